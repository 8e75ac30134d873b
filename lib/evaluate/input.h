/* SPDX-License-Identifier: Apache-2.0 */
/* What all metrics check in the same way. */
#ifndef ML__EVALUATE_INPUT_H
#define ML__EVALUATE_INPUT_H

#include <math.h>
#include <stddef.h>

#include "base/number.h"
#include "base/status.h"

/* Weight of a row: 1 without weights. */
static inline double ml__row_weight(const double *weights, size_t row)
{
    return weights ? weights[row] : 1;
}

/* Finite, none negative, with a positive and finite total; NULL is n ones. `total` may be NULL. */
ml_status ml__metric_weights(const double *weights, size_t n, double *total);

/* n >= 1, width >= 1, and n * width is a size; the names are for the message. */
ml_status ml__metric_extent(size_t n, size_t width, const char *width_name);

/* y [n x n_outputs] are class indices; NaN passes where labels may be missing. */
ml_status ml__metric_classes(const char *name, const double *y, size_t n, size_t n_outputs, const size_t *n_classes,
                             bool may_miss);

#endif
