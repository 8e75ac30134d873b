/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of trees with AVX-512, where bytes are drawn together by BMI2, eight at a time. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt")
#endif

#include "kernel/trees_avx512.h"
#include "kernel/trees_bmi2.h"

#define PUBLIC(name) ML__AVX512_TREE(name)
#include "kernel/trees_columns_tmpl.h"
#include "kernel/trees_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
