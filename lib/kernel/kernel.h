/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel layer: dense linear algebra and vector maths behind one table per precision, chosen once.
 *
 * Matrices are row-major with a leading dimension (elements between rows). Each function names what it reads and writes;
 * with beta == 0 the output is never read. Outputs do not overlap inputs, unless said. Sizes may be 0. Nothing is
 * allocated.
 *
 * The `portable` table is the reference; `ml__kernels_best()` is the best there is for training, and may use a BLAS.
 * Prediction uses ml__kernels_rowwise(): each output row depends on its own input row only, element by element one
 * chain of additions in index order, so that a row's prediction never depends on the rows around it.
 */
#ifndef ML__KERNEL_KERNEL_H
#define ML__KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

/* One prototype per operation and precision: R is float or double, OP(name) the declarator: a slot of the table here, the
 * functions of one table in kernel/tables.h. */
#define ML__KERNEL_OPS(R, OP)                                                                                            \
    /* C[m x n] = A[m x k] B[k x n] + beta C */                                                                          \
    void OP(gemm_nn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,         \
                     size_t ldc);                                                                                        \
    /* C[m x n] = A[m x k] B[n x k]' + beta C */                                                                         \
    void OP(gemm_nt)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,         \
                     size_t ldc);                                                                                        \
    /* C[m x n] = A[k x m]' B[k x n] + beta C */                                                                         \
    void OP(gemm_tn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,         \
                     size_t ldc);                                                                                        \
    /* C[n x n] = A[k x n]' A + beta C, the lower triangle only */                                                       \
    void OP(syrk_tn)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc);                              \
    /* y[i] = exp(x[i]), log(x[i]), tanh(x[i]), 1 / (1 + exp(-x[i])); x and y may be the same array */                   \
    void OP(vexp)(size_t n, const R *x, R *y);                                                                           \
    void OP(vlog)(size_t n, const R *x, R *y);                                                                           \
    void OP(vtanh)(size_t n, const R *x, R *y);                                                                          \
    void OP(vlogistic)(size_t n, const R *x, R *y);                                                                      \
    /* each row of X[m x n] becomes exp(x - lse); lse[i] = log sum exp of row i, or lse is NULL. A row of -inf only    \
     * gives lse -inf and equal shares; a row with NaN or +inf becomes NaN, and so does its lse. n = 0: nothing. */ \
    void OP(softmax)(size_t m, size_t n, R * X, size_t ldx, R * lse);                                                    \
    /* sum of x and of x * y, in double, in a fixed blocked order that depends on n only */                              \
    double OP(sum)(size_t n, const R *x);                                                                                \
    double OP(dot)(size_t n, const R *x, const R *y);

#define ML__KERNEL_SLOT(name) (*name)

typedef struct ml__kernels_f32 {
    ML__KERNEL_OPS(float, ML__KERNEL_SLOT)
} ml__kernels_f32;

typedef struct ml__kernels_f64 {
    ML__KERNEL_OPS(double, ML__KERNEL_SLOT)
} ml__kernels_f64;

typedef struct ml__kernels {
    const char *name; /* "portable", "cblas", "openblas" */
    ml__kernels_f32 f32;
    ml__kernels_f64 f64;
} ml__kernels;

const ml__kernels *ml__kernels_best(void);    /* constant data chosen at build time */
const ml__kernels *ml__kernels_rowwise(void); /* see above */
/* All tables of this build, for the checker: returns how many, *tables an array of them. */
size_t ml__kernels_all(const ml__kernels *const **tables);

/* ---- factorisations, double only (kernel/factor.c) ---- */

/* A = L L' in the lower triangle of A[n x n]; the upper one is not read or written. Returns 0, or 1 + the index of the
 * first pivot that is not > 0 and finite; rows from there on are left half-done. */
size_t ml__cholesky(size_t n, double *A, size_t lda);
/* B[n x m] := L^-1 B, or L'^-1 B, L lower triangular with non-zero diagonal. Each column of B is treated on its own. */
void ml__solve_lower(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb);
void ml__solve_lower_transposed(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb);
/* Inverse of a lower triangular matrix: X[n x n] = L^-1, its upper triangle set to 0. */
void ml__invert_lower(size_t n, const double *L, size_t ldl, double *X, size_t ldx);
/* Symmetric eigenproblem, Householder tridiagonalisation and implicit QL: A[n x n] (lower triangle read) is replaced by
 * eigenvectors in rows, `values` ascending; e has n elements of workspace. false when 50 n sweeps were not enough or A is
 * not finite; A and values then hold nothing of use. */
bool ml__symmetric_eigen(size_t n, double *A, size_t lda, double *values, double *e);

#endif
