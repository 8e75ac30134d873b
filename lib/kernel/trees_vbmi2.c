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
#undef COPY
#undef MOVE_SMALL
#undef MOVE_MEDIUM

#define CHOOSE_64(from, bits, to)     \
    _mm512_storeu_si512((void *)(to), \
                        _mm512_maskz_compress_epi8((__mmask64)(bits), _mm512_loadu_si512((const void *)(from))))
#define COPY(to, from, n) copy_bytes(to, from, n)
#define MOVE_SMALL 1
#define MOVE_MEDIUM 1

/* memcpy() of what there is room to read 63 bytes behind. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t n)
{
    size_t i = 0;

    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
    if (i < n)
        _mm512_mask_storeu_epi8(to + i, ((uint64_t)1 << (n - i)) - 1, _mm512_loadu_si512(from + i));
}

/* The numbers 0, 1, … of 64 lanes and those of the next 64. */
static inline __m512i lane_numbers(int first)
{
    uint8_t number[64];

    for (int i = 0; i < 64; i++)
        number[i] = (uint8_t)(first + i);
    return _mm512_loadu_si512(number);
}

/* n <= 64: one permutation for all columns; the rows behind the node stay where they are. */
static inline void move_small(size_t n, size_t n_columns, uint8_t *columns, size_t stride, uint64_t left)
{
    uint8_t order[128];
    const size_t n_left = (size_t)_mm_popcnt_u64(left);
    const uint64_t all = n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
    const __m512i self = lane_numbers(0);
    __m512i from;

    _mm512_storeu_si512(order, _mm512_maskz_compress_epi8(left, self));
    _mm512_storeu_si512(order + n_left, _mm512_maskz_compress_epi8(all & ~left, self));
    from = _mm512_mask_mov_epi8(self, all, _mm512_loadu_si512(order));
    for (size_t j = 0; j < n_columns; j++, columns += stride)
        _mm512_storeu_si512(columns, _mm512_permutexvar_epi8(from, _mm512_loadu_si512(columns)));
}

/* The same for 64 < n <= 128, of two registers. */
static inline void move_medium(size_t n, size_t n_columns, uint8_t *columns, size_t stride, const uint64_t *left)
{
    uint8_t order[256];
    const size_t n_low = (size_t)_mm_popcnt_u64(left[0]), n_left = n_low + (size_t)_mm_popcnt_u64(left[1]);
    const uint64_t behind = n < 128 ? ~(uint64_t)0 << (n - 64) : 0;
    const __m512i low = lane_numbers(0), high = lane_numbers(64);
    __m512i from_low, from_high;

    _mm512_storeu_si512(order, _mm512_maskz_compress_epi8(left[0], low));
    _mm512_storeu_si512(order + n_low, _mm512_maskz_compress_epi8(left[1], high));
    _mm512_storeu_si512(order + n_left, _mm512_maskz_compress_epi8(~left[0], low));
    _mm512_storeu_si512(order + n_left + 64 - n_low, _mm512_maskz_compress_epi8(~left[1] & ~behind, high));
    from_low = _mm512_loadu_si512(order);
    from_high = _mm512_mask_mov_epi8(_mm512_loadu_si512(order + 64), behind, high);
    for (size_t j = 0; j < n_columns; j++, columns += stride) {
        const __m512i a = _mm512_loadu_si512(columns), b = _mm512_loadu_si512(columns + 64);

        _mm512_storeu_si512(columns, _mm512_permutex2var_epi8(a, from_low, b));
        _mm512_storeu_si512(columns + 64, _mm512_permutex2var_epi8(a, from_high, b));
    }
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
