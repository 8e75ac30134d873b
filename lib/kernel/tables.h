/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of this build, what they are put together from, and what the processor can run. Included by lib/kernel only. */
#ifndef ML__KERNEL_TABLES_H
#define ML__KERNEL_TABLES_H

#include "base/platform.h"
#include "kernel/kernel.h"

/* Instruction sets of this architecture in ascending order; each implies those before it. */
typedef enum {
    ML__PORTABLE,
#ifdef ML__NEON_KERNELS
    ML__NEON,
#else
    ML__AVX2,   /* AVX2, FMA, BMI 1 and 2 */
    ML__AVX512, /* AVX-512 F, BW, DQ and VL */
    ML__VBMI2,  /* also AVX-512 VBMI and VBMI2 */
#endif
} ml__level;

ml__level ml__cpu_level(void);

#define ML__PORTABLE_F32(name) ml__portable_##name##_f32
#define ML__PORTABLE_F64(name) ml__portable_##name##_f64
#define ML__AVX2_F32(name) ml__##name##_f32_avx2
#define ML__AVX2_F64(name) ml__##name##_f64_avx2
#define ML__AVX512_F32(name) ml__##name##_f32_avx512
#define ML__AVX512_F64(name) ml__##name##_f64_avx512
#define ML__NEON_F32(name) ml__##name##_f32_neon
#define ML__NEON_F64(name) ml__##name##_f64_neon

#define ML__PORTABLE_TREE(name) ml__portable_##name
#define ML__AVX2_TREE(name) ml__##name##_avx2
#define ML__AVX512_TREE(name) ml__##name##_avx512
#define ML__VBMI2_TREE(name) ml__##name##_vbmi2

ML__TREE_OPS(ML__PORTABLE_TREE)
ML__KERNEL_OPS(float, ML__PORTABLE_F32)
ML__KERNEL_OPS(double, ML__PORTABLE_F64)
ML__MIXTURE_OPS(ML__PORTABLE_F64)
#ifdef ML__X86_KERNELS
ML__TREE_OPS(ML__AVX2_TREE)
ML__TREE_OPS(ML__AVX512_TREE)
ML__TREE_OPS(ML__VBMI2_TREE)
ML__KERNEL_OPS(float, ML__AVX2_F32)
ML__KERNEL_OPS(double, ML__AVX2_F64)
ML__MIXTURE_OPS(ML__AVX2_F64)
ML__KERNEL_OPS(float, ML__AVX512_F32)
ML__KERNEL_OPS(double, ML__AVX512_F64)
ML__MIXTURE_OPS(ML__AVX512_F64)
#endif
#ifdef ML__NEON_KERNELS
ML__KERNEL_OPS(float, ML__NEON_F32)
ML__KERNEL_OPS(double, ML__NEON_F64)
ML__MIXTURE_OPS(ML__NEON_F64)
#endif

extern const ml__kernels ml__kernels_portable;
#ifdef ML__CBLAS
extern const ml__kernels ml__kernels_cblas;
#endif

/* The slots of a table's f32 or f64, by kind and all of them; OP(name) is the function's name. */
#define ML__MATRIX_SLOTS(OP) \
    .gemm_nn = OP(gemm_nn), .gemm_nt = OP(gemm_nt), .gemm_tn = OP(gemm_tn), .syrk_tn = OP(syrk_tn)
#define ML__LAYER_SLOTS(OP) \
    .layer = OP(layer), .layer_row = OP(layer_row), .layer_back = OP(layer_back), .adam_tn = OP(adam_tn)
#define ML__STATISTIC_SLOTS(OP) .syrk_weighted = OP(syrk_weighted), .nearest = OP(nearest)
#define ML__VECTOR_SLOTS(OP)                                                                                    \
    .vexp = OP(vexp), .vlog = OP(vlog), .vtanh = OP(vtanh), .vlogistic = OP(vlogistic), .softmax = OP(softmax), \
    .shares = OP(shares), .logsumexp = OP(logsumexp), .sum = OP(sum), .dot = OP(dot)
#define ML__SLOTS(OP) ML__MATRIX_SLOTS(OP), ML__LAYER_SLOTS(OP), ML__STATISTIC_SLOTS(OP), ML__VECTOR_SLOTS(OP)
#define ML__MIXTURE_SLOTS(OP)                                                           \
    .mixture_statistics = OP(mixture_statistics), .mixture_shares = OP(mixture_shares), \
    .mixture_quadratics = OP(mixture_quadratics), .mixture_add = OP(mixture_add),       \
    .mixture_add_pairs = OP(mixture_add_pairs), .mixture_sum = OP(mixture_sum)
#define ML__TREE_SLOTS(OP)                                                                                      \
    .tree_encode = OP(tree_encode), .tree_encode_rows = OP(tree_encode_rows), .tree_compare = OP(tree_compare), \
    .tree_next = OP(tree_next), .tree_move = OP(tree_move), .tree_move_ids = OP(tree_move_ids),                 \
    .tree_choose = OP(tree_choose), .tree_sum = OP(tree_sum), .tree_products = OP(tree_products),               \
    .tree_pack = OP(tree_pack), .tree_cut_two = OP(tree_cut_two), .tree_cut_classes = OP(tree_cut_classes),     \
    .tree_cut_targets = OP(tree_cut_targets), .tree_cut_table = OP(tree_cut_table)

#endif
