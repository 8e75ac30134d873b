/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel layer: dense linear algebra and vector maths behind one table per precision, chosen once.
 *
 * Matrices are row-major with a leading dimension (elements between rows). Each function names what it reads and writes;
 * with beta == 0 the output is never read. Outputs do not overlap inputs, unless said. Sizes may be 0. Nothing is
 * allocated.
 *
 * There is one table per level of instruction set, and one on top of a BLAS. `portable` is the reference; for training,
 * `ml__kernels_best()` is the best there is: the table of the highest level that the processor runs, and where that is
 * `portable` the BLAS of the build. Prediction uses ml__kernels_rowwise(): each output row depends on its own input row
 * only, so that a row's prediction never depends on the rows around it. All tables but the BLAS's are like that.
 */
#ifndef ML__KERNEL_KERNEL_H
#define ML__KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernel/mixture.h"
#include "kernel/trees.h"

/* A function applied to every element of a layer's output. ReLU keeps a NaN. */
typedef enum ml__activation { ML__IDENTITY, ML__RELU, ML__LOGISTIC, ML__TANH } ml__activation;

/* One step of Adam, its rate corrected for the bias of the moments; penalty: of the squares of the weights. */
typedef struct ml__adam {
    double rate, beta_1, beta_2, epsilon, penalty;
} ml__adam;

/* One prototype per operation and precision: R is float or double, OP(name) the declarator: a slot of the table here, the
 * functions of one table in kernel/tables.h. */
#define ML__KERNEL_OPS(R, OP)                                                                                               \
    /* C[m x n] = A[m x k] B[k x n] + beta C */                                                                             \
    void OP(gemm_nn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,            \
                     size_t ldc);                                                                                           \
    /* C[m x n] = A[m x k] B[n x k]' + beta C */                                                                            \
    void OP(gemm_nt)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,            \
                     size_t ldc);                                                                                           \
    /* C[m x n] = A[k x m]' B[k x n] + beta C */                                                                            \
    void OP(gemm_tn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,            \
                     size_t ldc);                                                                                           \
    /* C[n x n] = A[k x n]' A + beta C, the lower triangle only */                                                          \
    void OP(syrk_tn)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc);                                 \
    /* C[m x n] = f(A[m x k] B[k x n] + 1 b'), b [n] or NULL */                                                             \
    void OP(layer)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, const R *b,                \
                   ml__activation f, R *C, size_t ldc);                                                                     \
    /* c[n] = f(a[k] B[k x n] + b), its terms summed in any order that depends on n and k only; c has room for n rounded */ \
    /* up to a multiple of 16 elements, all of which may be written; b [n] or NULL */                                       \
    void OP(layer_row)(size_t n, size_t k, const R *a, const R *B, size_t ldb, const R *b, ml__activation f, R *c);         \
    /* C[m x n] = (A[m x k] B[n x k]') . f', the derivative f' by way of the values H[m x n] = f(z) */                      \
    void OP(layer_back)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb,                       \
                        ml__activation f, const R *H, size_t ldh, R *C, size_t ldc);                                        \
    /* a step of Adam on W[m x n], moments M and V, gradient A[k x m]' B[k x n] + penalty W (which is never stored) */      \
    void OP(adam_tn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb,                          \
                     const ml__adam *step, R *W, R *M, R *V, size_t ldw);                                                   \
    /* C[n x n] += A[k x n]' diag(w) A, the lower triangle only, in double; w[k], or NULL for ones */                       \
    void OP(syrk_weighted)(size_t n, size_t k, const R *A, size_t lda, const R *w, double *C, size_t ldc);                  \
    /* for each row a of A[m x k] the column j of B[k x n], n < 2^32, with the least half[j] - a'b_j: its index (the */     \
    /* lowest of equals), that value, and the least of the other columns (+inf without any; second may be NULL); NaN is */  \
    /* left aside; where no value is below +inf, the index is 0 and the value NaN */                                        \
    void OP(nearest)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, const R *half,           \
                     uint32_t *index, R *value, R *second);                                                                 \
    /* y[i] = exp(x[i]), log(x[i]), tanh(x[i]), 1 / (1 + exp(-x[i])); x and y may be the same array */                      \
    void OP(vexp)(size_t n, const R *x, R *y);                                                                              \
    void OP(vlog)(size_t n, const R *x, R *y);                                                                              \
    void OP(vtanh)(size_t n, const R *x, R *y);                                                                             \
    void OP(vlogistic)(size_t n, const R *x, R *y);                                                                         \
    /* each row of X[m x n] becomes exp(x - lse); lse[i] = log sum exp of row i, or lse is NULL; a row of -inf only */      \
    /* gives lse -inf and equal shares; a row with NaN or +inf becomes NaN, and so does its lse; n = 0: nothing */          \
    void OP(softmax)(size_t m, size_t n, R * X, size_t ldx, R * lse);                                                       \
    /* p[n] = what softmax makes of the one row x[n] in double */                                                           \
    void OP(shares)(size_t n, const R *x, double *p);                                                                       \
    /* the same lse, X left as it is */                                                                                     \
    void OP(logsumexp)(size_t m, size_t n, const R *X, size_t ldx, R *lse);                                                 \
    /* sum of x and of x * y, in double, in a fixed blocked order that depends on n only */                                 \
    double OP(sum)(size_t n, const R *x);                                                                                   \
    double OP(dot)(size_t n, const R *x, const R *y);

#define ML__KERNEL_SLOT(name) (*name)

typedef struct ml__kernels_f32 {
    ML__KERNEL_OPS(float, ML__KERNEL_SLOT)
} ml__kernels_f32;

typedef struct ml__kernels_f64 {
    ML__KERNEL_OPS(double, ML__KERNEL_SLOT)
} ml__kernels_f64;

typedef struct ml__tree_kernels {
    ML__TREE_OPS(ML__KERNEL_SLOT)
} ml__tree_kernels;

typedef struct ml__mixture_kernels {
    ML__MIXTURE_OPS(ML__KERNEL_SLOT)
} ml__mixture_kernels;

/* How an element of a matrix product adds up, from beta C (0 when beta is 0) over all terms. With ML__CHAIN_FUSED, gemm_nn
 * and gemm_nt of one column add in an order of their own, which depends on k only. */
typedef enum ml__chain {
    ML__CHAIN_NONE,    /* in no order that is promised */
    ML__CHAIN_ROUNDED, /* in index order, each product and each sum rounded */
    ML__CHAIN_FUSED    /* in index order, by fused multiply-add */
} ml__chain;

typedef struct ml__kernels {
    const char *name; /* "portable", "avx2", "avx512", "avx512vbmi2", "neon", "cblas", "openblas" */
    ml__chain chain;
    ml__kernels_f32 f32;
    ml__kernels_f64 f64;
    ml__tree_kernels tree;
    ml__mixture_kernels mixture;
} ml__kernels;

/* Constant data; which, the first call finds out. Any thread. */
const ml__kernels *ml__kernels_best(void);
const ml__kernels *ml__kernels_rowwise(void);
/* All tables that this build has and this processor runs, for the checker: returns how many, *tables an array of them. */
size_t ml__kernels_all(const ml__kernels *const **tables);
/* For test programs: from now on use the table of this name, for row-wise work `portable` in the place of the BLAS's. False,
 * and no change, when ml__kernels_all() has none of that name. Not while anything else runs. */
bool ml__kernels_limit(const char *name);

/* ---- factorisations, double only (kernel/factor.c) ---- */

/* C[m x n] = A[m x n] U, U[n x n] upper triangular with zeros below the diagonal, most of which are skipped. Each row by
 * itself if the kernels are row-wise. */
void ml__multiply_upper(const ml__kernels_f64 *kernels, size_t m, size_t n, const double *A, size_t lda,
                        const double *U, size_t ldu, double *C, size_t ldc);

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
struct ml_context;
/* Rows V[b x n], b <= n, of length 1, become an orthonormal basis of what they span (Cholesky QR, kernel/subspace.c); *dependent is
 * b. Or the index of the first row that nearly depends on those before it: V is unchanged then. L[b x b] is workspace. The
 * threads of `context`, which may be NULL, share columns; only a host's executor can fail. */
ml_status ml__orthonormalise(struct ml_context *context, size_t b, size_t n, double *V, double *L, size_t *dependent);
/* The k <= n eigenvalues of largest magnitude, in descending order of it, and their eigenvectors, rows of vectors[k x n],
 * of the symmetric A[n x n], both triangles set (kernel/subspace.c). `start` is NULL or k x n, rows near the eigenvectors;
 * work has ml__leading_eigen_work(n, k) elements. Ends when no residual |A v - value v| exceeds tol times the largest
 * |value| (tol: at least n eps). A value beyond the range of double is infinite, its vector as good as any. *converged is
 * false when max_iter >= 1 iterations were not enough: values and vectors are then those of the last one; or when A is not
 * finite or ml__symmetric_eigen() failed inside: all values are then NaN, and vectors of no use. The threads of `context`,
 * which may be NULL, share the products with A; only a host's executor can fail, values are then NaN as well. */
size_t ml__leading_eigen_work(size_t n, size_t k);
ml_status ml__leading_eigen(struct ml_context *context, size_t n, size_t k, const double *A, size_t lda,
                            const double *start, double tol, size_t max_iter, double *values, double *vectors,
                            double *work, bool *converged);

#endif
