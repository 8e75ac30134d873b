/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of trees with AVX-512 VBMI2, which draws bytes together by itself. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#ifdef __clang__
#pragma clang attribute push(                                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,bmi,bmi2,popcnt"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,fma,bmi,bmi2,popcnt")
#endif

#include "kernel/trees_avx512.h"

#undef CHOOSE_64
#undef MOVE_SMALL

#define CHOOSE_64(from, bits, to)     \
    _mm512_storeu_si512((void *)(to), \
                        _mm512_maskz_compress_epi8((__mmask64)(bits), _mm512_loadu_si512((const void *)(from))))
#define MOVE_SMALL 1

/* n <= 64: one permutation for all columns; the rows behind the node stay where they are. */
static inline void move_small(size_t n, size_t n_columns, uint8_t *columns, size_t stride, uint64_t left)
{
    uint8_t order[128];
    const size_t n_left = (size_t)_mm_popcnt_u64(left);
    const uint64_t all = n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
    __m512i self, from;

    for (int i = 0; i < 64; i++)
        order[i] = (uint8_t)i;
    self = _mm512_loadu_si512(order);
    _mm512_storeu_si512(order, _mm512_maskz_compress_epi8(left, self));
    _mm512_storeu_si512(order + n_left, _mm512_maskz_compress_epi8(all & ~left, self));
    from = _mm512_mask_mov_epi8(self, all, _mm512_loadu_si512(order));
    for (size_t j = 0; j < n_columns; j++, columns += stride)
        _mm512_storeu_si512(columns, _mm512_permutexvar_epi8(from, _mm512_loadu_si512(columns)));
}

#define PUBLIC(name) ML__VBMI2_TREE(name)
#include "kernel/trees_columns_tmpl.h"
#include "kernel/trees_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
