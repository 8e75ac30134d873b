/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a build with a BLAS: its matrix products, the portable functions for everything else.
 *
 * Results must not depend on the BLAS's own threads, and its settings belong to the host. OpenBLAS runs a product of
 * m n k <= 262144 = 2^18 multiply-adds on the calling thread (65536 GEMM_MULTITHREAD_THRESHOLD, interface/gemm.c), so
 * every call made here stays within that, whatever the size of the whole:
 *
 *     columns    tiles of at most TILE_N = 64
 *     depth      at most TILE_K = 128, in ascending order; from the second on with beta = 1
 *     rows       as many as keep rows x columns x depth <= 2^18: 32 for full tiles, more when n or k are small
 *
 * Tiles depend on m, n and k only; within one build and instruction set an element's terms are therefore always added in
 * the same order. syrk has no such rule in OpenBLAS (it takes threads at any size), and reference BLAS skips 0 * NaN in it:
 * gemm does the lower triangle in blocks of TILE_SYRK rows, the diagonal blocks through a square on the stack.
 *
 * layer, layer_back and adam_tn are these products and passes over their results (kernel/fused_tmpl.h).
 *
 * Portable functions take the cases that a BLAS would refuse (and print about): no terms, a leading dimension below the
 * width or above INT_MAX. They also take products with a vector, which newer versions forward to gemv, where threads
 * start at 9216 terms; edge tiles of one row or column have at most TILE_N TILE_K = 8192.
 */
#include "kernel/tables.h"

#ifdef ML__CBLAS

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum {
    MAX_WORK = 1 << 18,
    TILE_N = 64,
    TILE_K = 128,
    TILE_SYRK = 32 /* a square in double is 8 KiB of stack */
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool fits(size_t ld, size_t width)
{
    return ld >= width && ld <= INT_MAX;
}

static bool for_blas(size_t m, size_t n, size_t k, size_t lda, size_t width_a, size_t ldb, size_t width_b, size_t ldc)
{
    return m > 1 && n > 1 && k > 0 && fits(lda, width_a) && fits(ldb, width_b) && fits(ldc, n);
}

#define R float
#define NAME(name) name##_f32
#define PORTABLE(name) ML__PORTABLE_F32(name)
#define GEMM cblas_sgemm
#include "kernel/cblas_tmpl.h"
#define DEFINE(name) static void NAME(name)
#define MATRIX(name) NAME(name)
#define OWN(name) NAME(name)
#define MATHS(name) PORTABLE(name)
#define SQRT sqrtf
#include "kernel/fused_tmpl.h"
#undef R
#undef NAME
#undef PORTABLE
#undef GEMM
#undef SQRT

#define R double
#define NAME(name) name##_f64
#define PORTABLE(name) ML__PORTABLE_F64(name)
#define GEMM cblas_dgemm
#include "kernel/cblas_tmpl.h"
#define SQRT sqrt
#include "kernel/fused_tmpl.h"

#define CBLAS_F32(name) name##_f32
#define CBLAS_F64(name) name##_f64

const ml__kernels ml__kernels_cblas = {
#ifdef ML__OPENBLAS
    .name = "openblas",
#else
    .name = "cblas",
#endif
    .chain = ML__CHAIN_NONE,
    .f32 = {ML__MATRIX_SLOTS(CBLAS_F32), ML__LAYER_SLOTS(CBLAS_F32), ML__STATISTIC_SLOTS(ML__PORTABLE_F32),
            ML__VECTOR_SLOTS(ML__PORTABLE_F32)},
    .f64 = {ML__MATRIX_SLOTS(CBLAS_F64), ML__LAYER_SLOTS(CBLAS_F64), ML__STATISTIC_SLOTS(ML__PORTABLE_F64),
            ML__VECTOR_SLOTS(ML__PORTABLE_F64)},
    .tree = {ML__TREE_SLOTS(ML__PORTABLE_TREE)},
    .mixture = {ML__MIXTURE_SLOTS(ML__PORTABLE_F64)},
};

#endif
