/* SPDX-License-Identifier: Apache-2.0 */
/* Primitives of kernel/trees_tmpl.h for both AVX-512 units; a unit includes it under its target. */
#include <immintrin.h>

#define VECTOR_BYTES 64
#include "kernel/trees_generic.h"

#undef ADD_WHERE_AT_LEAST_ALL
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
