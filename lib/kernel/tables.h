/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of this build, and the portable functions that other tables borrow. Included by lib/kernel only. */
#ifndef ML__KERNEL_TABLES_H
#define ML__KERNEL_TABLES_H

#include "kernel/kernel.h"

#define ML__PORTABLE_F32(name) ml__portable_##name##_f32
#define ML__PORTABLE_F64(name) ml__portable_##name##_f64

ML__KERNEL_OPS(float, ML__PORTABLE_F32)
ML__KERNEL_OPS(double, ML__PORTABLE_F64)

extern const ml__kernels ml__kernels_portable;
#ifdef ML__CBLAS
extern const ml__kernels ml__kernels_cblas;
#endif

/* The slots of a table's f32 or f64 that hold matrix products, and all the others; OP(name) is the function's name. */
#define ML__MATRIX_SLOTS(OP) \
    .gemm_nn = OP(gemm_nn), .gemm_nt = OP(gemm_nt), .gemm_tn = OP(gemm_tn), .syrk_tn = OP(syrk_tn)
#define ML__VECTOR_SLOTS(OP)                                                                                    \
    .vexp = OP(vexp), .vlog = OP(vlog), .vtanh = OP(vtanh), .vlogistic = OP(vlogistic), .softmax = OP(softmax), \
    .sum = OP(sum), .dot = OP(dot)

#endif
