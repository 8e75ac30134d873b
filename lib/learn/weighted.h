/* SPDX-License-Identifier: Apache-2.0 */
/* Values with weights, in order: what medians, quantiles and modes are taken from. */
#ifndef ML__LEARN_WEIGHTED_H
#define ML__LEARN_WEIGHTED_H

#include "base/context.h"
#include "base/memory.h"
#include "learn/rows.h"

typedef struct ml__weighted {
    double value, weight;
} ml__weighted;

/* By value, equal ones by weight, so that sums along the order do not depend on how the items came. In place: no workspace,
 * n log n at worst (introsort, Musser 1997). No NaN. */
void ml__weighted_sort(ml__weighted *items, size_t n);
/* The same for many, by way of n items of spare room: linear (radix sort). Weights are not negative. */
void ml__weighted_sort_many(ml__weighted *items, ml__weighted *spare, size_t n);
/* Of n >= 1 items in order: the smallest value with more than half of the weight at or below it; where one has exactly half,
 * the mean of it and the next. */
double ml__weighted_median(const ml__weighted *items, size_t n);

/* Quantiles of n >= 1 items in order. An item stands in the middle of its weight, and between two items the quantile is
 * linear: position (w_1 + w_k) / 2 + w_2 + ... + w_{k-1} behind the first. Equal weights give numpy's "linear". The first call
 * makes positions of the weights. */
void ml__weighted_place(ml__weighted *items, size_t n);
double ml__placed_quantile(const ml__weighted *items, size_t n, double q);

/* Columns of rows with weights w [n], or NULL where all are 1: all or those `wanted`, each with its values of positive weight
 * in order; NaN is left out, so that there may be none. `visit` may change the values; it is called once for each column, on
 * any thread. Workspace per row of positive weight: 32 bytes for each thread; when rows are read from a file, once for every
 * column per thread, 8 more for each thread and for the weight, if any. */
typedef ml_status (*ml__column_visitor)(void *argument, size_t j, ml__weighted *values, size_t n_values);
ml_status ml__visit_columns(ml_context *context, const ml__rows *rows, const double *w, const bool *wanted,
                            ml__column_visitor visit, void *argument);

#endif
