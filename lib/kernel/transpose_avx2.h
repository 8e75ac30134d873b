/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of LANES rows to vectors and back, a group at a time, for units that enable AVX2. */
#ifndef ML__KERNEL_TRANSPOSE_AVX2_H
#define ML__KERNEL_TRANSPOSE_AVX2_H

#include <immintrin.h>
#include <stddef.h>

/* ---- 8 rows of 4 floats ---- */

/* Rows r and r + 4, one in each half. */
static inline __m256 halves_f32(const float *x, size_t ld)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), _mm_loadu_ps(x + 4 * ld), 1);
}

/* 4 x 4 blocks are transposed within the halves. */
static inline void transpose_blocks_f32(__m256 r[4])
{
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1]));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));

    r[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
    r[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
    r[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
    r[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
}

/* T[p, j] = x[j, p] for 8 j and 4 p */
static inline void transpose_group_f32(const float *x, size_t ld, float *T, size_t ldt)
{
    __m256 r[4] = {halves_f32(x, ld), halves_f32(x + ld, ld), halves_f32(x + 2 * ld, ld), halves_f32(x + 3 * ld, ld)};

    transpose_blocks_f32(r);
    for (size_t p = 0; p < 4; p++)
        _mm256_storeu_ps(T + p * ldt, r[p]);
}

/* x[j, p] = T[p, j] for 8 j and 4 p */
static inline void transpose_back_f32(const float *T, size_t ldt, float *x, size_t ld)
{
    __m256 r[4] = {_mm256_loadu_ps(T), _mm256_loadu_ps(T + ldt), _mm256_loadu_ps(T + 2 * ldt),
                   _mm256_loadu_ps(T + 3 * ldt)};

    transpose_blocks_f32(r);
    for (size_t j = 0; j < 4; j++) {
        _mm_storeu_ps(x + j * ld, _mm256_castps256_ps128(r[j]));
        _mm_storeu_ps(x + (4 + j) * ld, _mm256_extractf128_ps(r[j], 1));
    }
}

/* ---- 4 rows of 2 doubles ---- */

/* Rows r and r + 2, one in each half. */
static inline __m256d halves_f64(const double *x, size_t ld)
{
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(x)), _mm_loadu_pd(x + 2 * ld), 1);
}

/* T[p, j] = x[j, p] for 4 j and 2 p */
static inline void transpose_group_f64(const double *x, size_t ld, double *T, size_t ldt)
{
    const __m256d r0 = halves_f64(x, ld), r1 = halves_f64(x + ld, ld);

    _mm256_storeu_pd(T, _mm256_unpacklo_pd(r0, r1));
    _mm256_storeu_pd(T + ldt, _mm256_unpackhi_pd(r0, r1));
}

/* x[j, p] = T[p, j] for 4 j and 2 p */
static inline void transpose_back_f64(const double *T, size_t ldt, double *x, size_t ld)
{
    const __m256d t0 = _mm256_loadu_pd(T), t1 = _mm256_loadu_pd(T + ldt);
    const __m256d even = _mm256_unpacklo_pd(t0, t1), odd = _mm256_unpackhi_pd(t0, t1);

    _mm_storeu_pd(x, _mm256_castpd256_pd128(even));
    _mm_storeu_pd(x + ld, _mm256_castpd256_pd128(odd));
    _mm_storeu_pd(x + 2 * ld, _mm256_extractf128_pd(even, 1));
    _mm_storeu_pd(x + 3 * ld, _mm256_extractf128_pd(odd, 1));
}

#endif
