/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of a table, shared among the threads of a context.
 *
 * A product of at least ML__SHARED_PRODUCT multiply-adds is cut into tiles of C, each of which is one call of the table's
 * operation and is computed by one thread over the whole inner dimension; a smaller one is one call by the caller. Both
 * depend on the sizes only, and so do the bits, with a BLAS too. Inside a task of ml__parallel_for the caller does all tiles.
 * Arguments are those of the table (kernel.h). Only a host's executor can fail (ML_E_MEMORY, ML_E_EXECUTOR).
 */
#ifndef ML__KERNEL_PRODUCT_H
#define ML__KERNEL_PRODUCT_H

#include "base/context.h"
#include "kernel/kernel.h"

/* Some 30 microseconds in single precision with AVX-512: several times what it takes to wake a thread. */
enum { ML__SHARED_PRODUCT = 1 << 21 };

/* Who computes: a table, and the context whose threads take part (NULL: the caller alone). */
typedef struct ml__crew_f32 {
    const ml__kernels_f32 *k;
    ml_context *context;
} ml__crew_f32;

typedef struct ml__crew_f64 {
    const ml__kernels_f64 *k;
    ml_context *context;
} ml__crew_f64;

#define ML__PRODUCT_OPS(R, CREW, OP)                                                                             \
    ml_status OP(gemm_nn)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,    \
                          size_t ldb, R beta, R *C, size_t ldc);                                                 \
    ml_status OP(gemm_nt)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,    \
                          size_t ldb, R beta, R *C, size_t ldc);                                                 \
    ml_status OP(gemm_tn)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,    \
                          size_t ldb, R beta, R *C, size_t ldc);                                                 \
    ml_status OP(layer)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,      \
                        size_t ldb, const R *b, ml__activation f, R *C, size_t ldc);                             \
    ml_status OP(layer_back)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, \
                             size_t ldb, ml__activation f, const R *H, size_t ldh, R *C, size_t ldc);            \
    ml_status OP(adam_tn)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,    \
                          size_t ldb, const ml__adam *step, R *W, R *M, R *V, size_t ldw);

#define ML__PRODUCT_F32(name) ml__product_##name##_f32
#define ML__PRODUCT_F64(name) ml__product_##name##_f64

ML__PRODUCT_OPS(float, ml__crew_f32, ML__PRODUCT_F32)
ML__PRODUCT_OPS(double, ml__crew_f64, ML__PRODUCT_F64)

#endif
