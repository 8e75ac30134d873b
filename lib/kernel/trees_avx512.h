/* SPDX-License-Identifier: Apache-2.0 */
/* Primitives of kernel/trees_tmpl.h for both AVX-512 units; a unit includes it under its target. */
#include <immintrin.h>

#define VECTOR_BYTES 64
#include "kernel/trees_generic.h"

#undef ADD_WHERE_AT_LEAST_ALL
#undef ADD_WHERE_FROM_ALL
#undef MASK_16
#undef AT_LEAST_16
#undef ADD_WHERE_16
#undef MASK_32
#undef AT_LEAST_32
#undef ADD_WHERE_32
#undef COMPACT
#undef LARGER_f32
#undef LARGER_f64
#undef LARGEST_f32
#undef LARGEST_f64
#undef LANES_ABOVE_f32
#undef LANES_ABOVE_f64
#undef LANES_FROM_f32
#undef LANES_FROM_f64
#undef WIDEN
#undef WIDEN_i32
#undef COMPARE_64
#undef COUNT_BELOW_16
#undef CHOOSE_16_IDS

#define ADD_WHERE_AT_LEAST_ALL(sum, lanes, code, weight)                                                          \
    ((sum) = (v_u8)_mm512_mask_add_epi8((__m512i)(sum),                                                           \
                                        _mm512_cmpge_epu8_mask((__m512i)(lanes), _mm512_set1_epi8((char)(code))), \
                                        (__m512i)(sum), _mm512_set1_epi8((char)(weight))))
#define ADD_WHERE_FROM_ALL(sum, lanes, codes, weights)                                                              \
    ((sum) = (v_u8)_mm512_mask_add_epi8((__m512i)(sum), _mm512_cmpge_epu8_mask((__m512i)(lanes), (__m512i)(codes)), \
                                        (__m512i)(sum), (__m512i)(weights)))
#define MASK_16 __mmask32
#define AT_LEAST_16(lanes, codes) _mm512_cmpge_epu16_mask((__m512i)(lanes), (__m512i)(codes))
#define ADD_WHERE_16(sum, mask, x) ((v_u16)_mm512_mask_add_epi16((__m512i)(sum), mask, (__m512i)(sum), (__m512i)(x)))
#define MASK_32 __mmask16
#define AT_LEAST_32(lanes, x) _mm512_cmpge_epi32_mask((__m512i)(lanes), _mm512_set1_epi32(x))
#define ADD_WHERE_32(sum, mask, x) \
    ((v_i32)_mm512_mask_add_epi32((__m512i)(sum), mask, (__m512i)(sum), _mm512_set1_epi32(x)))
#define MASK_HALF __mmask8
#define AT_LEAST_HALF(lanes, x) _mm256_cmpge_epi32_mask((__m256i)(lanes), _mm256_set1_epi32(x))
#define ADD_WHERE_HALF(sum, mask, x) \
    ((half_i32)_mm256_mask_add_epi32((__m256i)(sum), mask, (__m256i)(sum), _mm256_set1_epi32(x)))
#define LARGER_f32(x, y) ((v_f32)_mm512_max_ps((__m512)(x), (__m512)(y)))
#define LARGER_f64(x, y) ((v_f64)_mm512_max_pd((__m512d)(x), (__m512d)(y)))
#define LARGEST_f32(v) _mm512_reduce_max_ps((__m512)(v))
#define LARGEST_f64(v) _mm512_reduce_max_pd((__m512d)(v))
#define LANES_ABOVE_f32(v, x) ((uint32_t)_mm512_cmp_ps_mask((__m512)(v), _mm512_set1_ps(x), _CMP_GT_OQ))
#define LANES_ABOVE_f64(v, x) ((uint32_t)_mm512_cmp_pd_mask((__m512d)(v), _mm512_set1_pd(x), _CMP_GT_OQ))
#define LANES_FROM_f32(v, x) ((uint32_t)_mm512_cmp_ps_mask((__m512)(v), _mm512_set1_ps(x), _CMP_GE_OQ))
#define LANES_FROM_f64(v, x) ((uint32_t)_mm512_cmp_pd_mask((__m512d)(v), _mm512_set1_pd(x), _CMP_GE_OQ))
#define WIDEN(bytes, floats) \
    ((floats) = (v_f32)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(bytes)))))
#define WIDEN_i32(bytes, numbers) ((numbers) = (v_i32)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(bytes))))
#define COMPARE_64(code, cut) \
    ((uint64_t)_mm512_cmple_epu8_mask(_mm512_loadu_si512((const void *)(code)), _mm512_set1_epi8((char)(cut))))
#define CHOOSE_16_IDS(from, bits, here, to)                          \
    _mm512_storeu_si512(                                             \
        (void *)(to), _mm512_maskz_compress_epi32((__mmask16)(bits), \
                                                  _mm512_maskz_loadu_epi32((__mmask16)(here), (const void *)(from))))
#define COUNT_BELOW_16(v, x) \
    ((uint32_t)_mm_popcnt_u32(_mm512_cmp_ps_mask(_mm512_loadu_ps(v), _mm512_set1_ps(x), _CMP_LT_OQ)))

#define COMPACT 1

enum { SPARSE_ROWS = 256 }; /* up to here a table is compacted before it is read through */

/* What is not 0 of table[n], a multiple of 8, to its beginning, and zeros up to the next multiple; the bits of what was not
 * 0 to `occupied`. Returns how many. */
static inline size_t compact_i64(int64_t *table, size_t n, uint32_t *occupied)
{
    uint8_t bits[ML__MAX_CODES / 8] = {0};
    size_t to = 0;

    for (size_t c = 0; c < n; c += 8) {
        const __m512i v = _mm512_loadu_si512(table + c);
        const __mmask8 here = _mm512_test_epi64_mask(v, v);

        _mm512_storeu_si512(table + to, _mm512_maskz_compress_epi64(here, v));
        bits[c / 8] = here;
        to += (size_t)_mm_popcnt_u32(here);
    }
    memcpy(occupied, bits, sizeof bits);
    if (to < n)
        _mm512_storeu_si512(table + to, _mm512_setzero_si512());
    return to;
}

/* Where the bit is before which there are n. */
static inline uint32_t bit_at(const uint32_t *bits, uint32_t n)
{
    uint32_t word = 0, here;

    for (; (uint32_t)_mm_popcnt_u32(bits[word]) <= n; word++)
        n -= (uint32_t)_mm_popcnt_u32(bits[word]);
    for (here = bits[word]; n; n--)
        here &= here - 1;
    return 32 * word + (uint32_t)__builtin_ctz(here);
}
