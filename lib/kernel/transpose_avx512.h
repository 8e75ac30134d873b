/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of LANES rows to vectors and back, a group at a time, for units that enable AVX-512 (F, DQ, VL). */
#ifndef ML__KERNEL_TRANSPOSE_AVX512_H
#define ML__KERNEL_TRANSPOSE_AVX512_H

#include <immintrin.h>
#include <stddef.h>

/* ---- 16 rows of 4 floats ---- */

/* Rows r, r + 4, r + 8, r + 12, one in each quarter. */
static inline __m512 quarters_f32(const float *x, size_t ld)
{
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(x));

    v = _mm512_insertf32x4(v, _mm_loadu_ps(x + 4 * ld), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(x + 8 * ld), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(x + 12 * ld), 3);
}

/* 4 x 4 blocks are transposed within the quarters. */
static inline void transpose_blocks_f32(__m512 r[4])
{
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));

    r[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
    r[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
    r[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
    r[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
}

/* T[p, j] = x[j, p] for 16 j and 4 p */
static inline void transpose_group_f32(const float *x, size_t ld, float *T, size_t ldt)
{
    __m512 r[4] = {quarters_f32(x, ld), quarters_f32(x + ld, ld), quarters_f32(x + 2 * ld, ld),
                   quarters_f32(x + 3 * ld, ld)};

    transpose_blocks_f32(r);
    for (size_t p = 0; p < 4; p++)
        _mm512_storeu_ps(T + p * ldt, r[p]);
}

/* x[j, p] = T[p, j] for 16 j and 4 p */
static inline void transpose_back_f32(const float *T, size_t ldt, float *x, size_t ld)
{
    __m512 r[4] = {_mm512_loadu_ps(T), _mm512_loadu_ps(T + ldt), _mm512_loadu_ps(T + 2 * ldt),
                   _mm512_loadu_ps(T + 3 * ldt)};

    transpose_blocks_f32(r);
    for (size_t j = 0; j < 4; j++) {
        _mm_storeu_ps(x + j * ld, _mm512_castps512_ps128(r[j]));
        _mm_storeu_ps(x + (4 + j) * ld, _mm512_extractf32x4_ps(r[j], 1));
        _mm_storeu_ps(x + (8 + j) * ld, _mm512_extractf32x4_ps(r[j], 2));
        _mm_storeu_ps(x + (12 + j) * ld, _mm512_extractf32x4_ps(r[j], 3));
    }
}

/* ---- 8 rows of 2 doubles ---- */

/* Rows r, r + 2, r + 4, r + 6, one in each quarter. */
static inline __m512d quarters_f64(const double *x, size_t ld)
{
    __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(x));

    v = _mm512_insertf64x2(v, _mm_loadu_pd(x + 2 * ld), 1);
    v = _mm512_insertf64x2(v, _mm_loadu_pd(x + 4 * ld), 2);
    return _mm512_insertf64x2(v, _mm_loadu_pd(x + 6 * ld), 3);
}

/* T[p, j] = x[j, p] for 8 j and 2 p */
static inline void transpose_group_f64(const double *x, size_t ld, double *T, size_t ldt)
{
    const __m512d r0 = quarters_f64(x, ld), r1 = quarters_f64(x + ld, ld);

    _mm512_storeu_pd(T, _mm512_unpacklo_pd(r0, r1));
    _mm512_storeu_pd(T + ldt, _mm512_unpackhi_pd(r0, r1));
}

/* Rows r, r + 2, r + 4, r + 6 from the quarters. */
static inline void store_quarters_f64(double *x, size_t ld, __m512d v)
{
    _mm_storeu_pd(x, _mm512_castpd512_pd128(v));
    _mm_storeu_pd(x + 2 * ld, _mm512_extractf64x2_pd(v, 1));
    _mm_storeu_pd(x + 4 * ld, _mm512_extractf64x2_pd(v, 2));
    _mm_storeu_pd(x + 6 * ld, _mm512_extractf64x2_pd(v, 3));
}

/* x[j, p] = T[p, j] for 8 j and 2 p */
static inline void transpose_back_f64(const double *T, size_t ldt, double *x, size_t ld)
{
    const __m512d t0 = _mm512_loadu_pd(T), t1 = _mm512_loadu_pd(T + ldt);

    store_quarters_f64(x, ld, _mm512_unpacklo_pd(t0, t1));
    store_quarters_f64(x + ld, ld, _mm512_unpackhi_pd(t0, t1));
}

#endif
