/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EM for mixtures of Gaussians does with a block of rows, in double only: one column for each row, one row of a matrix
 * for each statistic or component, so that the lanes of a vector are rows and nothing is idle however few features or
 * components there are.
 */
#ifndef ML__KERNEL_MIXTURE_H
#define ML__KERNEL_MIXTURE_H

#include <stddef.h>

/* The statistics of a row x of d features: 1, x and */
typedef enum ml__squares {
    ML__NO_SQUARES,
    ML__NORM,     /* |x|² */
    ML__SQUARES,  /* x_j² */
    ML__OBSERVED, /* x_j², and o_j before x: 1 where x_j is a number, 0 where it is NaN, which then counts as 0 */
} ml__squares;

/* Columns come in whole groups of ML__MIXTURE_GROUP: those behind column n are there, and are written. */
enum { ML__MIXTURE_GROUP = 8 };

static inline size_t ml__whole_groups(size_t n)
{
    return (n + ML__MIXTURE_GROUP - 1) / ML__MIXTURE_GROUP * ML__MIXTURE_GROUP;
}

#define ML__MIXTURE_OPS(OP)                                                                                                 \
    /* column i of T[p x ldt]: the statistics of row i of X[n x d]; behind column n they are finite */                      \
    void OP(mixture_statistics)(ml__squares squares, size_t n, size_t d, const double *X, double *T, size_t ldt);           \
    /* L[k x ldl] = W[k x (1 + d) (2 + d) / 2] times the products t_a t_b for b <= a, by a then b, of the 1 + d */          \
    /* numbers of each column of T[1 + d x ldt], whose first is 1; n columns and those behind them */                       \
    void OP(mixture_quadratics)(size_t k, size_t d, size_t n, const double *W, const double *T, size_t ldt, double *L,      \
                                size_t ldl);                                                                                \
    /* each element of L[k x ldl] becomes w_i exp(L_ci - lse_i), lse_i = log sum exp of column i < n; 0 behind column n; */ \
    /* a column of -inf only gives lse -inf and equal shares; one with NaN or +inf becomes NaN, and so does its lse */      \
    void OP(mixture_shares)(size_t k, size_t n, double *L, size_t ldl, const double *w, double *lse);                       \
    /* P[k x p], each of whose elements is ML__MIXTURE_GROUP partial sums, += R[k x ldr] T[p x ldt]' over n columns and */  \
    /* those behind them */                                                                                                 \
    void OP(mixture_add)(size_t k, size_t p, size_t n, const double *R, size_t ldr, const double *T, size_t ldt,            \
                         double *P);                                                                                        \
    /* the same with these products, p = (1 + d) (2 + d) / 2, in the place of T */                                          \
    void OP(mixture_add_pairs)(size_t k, size_t d, size_t n, const double *R, size_t ldr, const double *T, size_t ldt,      \
                               double *P);                                                                                  \
    /* S[n]: the sums of n times ML__MIXTURE_GROUP partial sums */                                                          \
    void OP(mixture_sum)(size_t n, const double *P, double *S);

#endif
