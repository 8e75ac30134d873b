/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nearest columns of a vector instruction set, written once. No include guard: a unit of an instruction set includes
 * this for each precision after kernel/gemm_tmpl.h, whose definitions and transposition it uses, with
 *     SUBTRACT_PRODUCT(a, b, c)     c - a b, fused
 *     MIN(a, b), MAX(a, b)          b where one of them is NaN
 *     CHOOSE_LESS(a, b, yes, no)    yes where a < b, no elsewhere and where one of them is NaN
 *     NUMBER                        an unsigned integer as wide as REAL
 *     NEAREST_COLUMNS               columns of the largest tile, with ROW_VECTORS vectors of rows
 *
 * Values      half_j, then one fused multiply-subtract for each term in index order: no bit depends on tiles or blocks,
 *             nor on where a row or a column stands.
 * Lanes       are rows: a block of ROW_VECTORS vectors of them is transposed to the stack, an element of B is one
 *             broadcast, and a row's least value needs no reduction across lanes.
 * Tiles       columns times vectors of accumulators, which end in the running least: value, second value and number of
 *             the column, lane by lane.
 * Blocks      more than NEAREST_DEPTH terms: as many at a time, the values of NEAREST_WIDTH columns on the stack in
 *             between.
 */

/* ---- the least so far, of each row of a block ---- */

/* `number` holds the bits of integers: nothing is done to them but to choose. */
typedef struct {
    _Alignas(64) REAL value[ROW_VECTORS * LANES], second[ROW_VECTORS * LANES], number[ROW_VECTORS * LANES];
} NAME(least);

static inline REAL NAME(from_number)(size_t j)
{
    const NUMBER number = (NUMBER)j;
    REAL bits;

    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static inline uint32_t NAME(to_number)(REAL bits)
{
    NUMBER number;

    memcpy(&number, &bits, sizeof number);
    return (uint32_t)number;
}

/* What the tiles of a pass have in common: k terms of the rows, which lie transposed, vector by vector, in T. */
typedef struct {
    size_t k, ldb;
    const REAL *T;
    bool first, last; /* the terms are the first, the last ones */
} NAME(pass);

/* From column number j on, with B, half and S at it; S holds the values between two passes. */
typedef void NAME(nearest_tile)(const NAME(pass) * pass, const REAL *B, const REAL *half, REAL *S, size_t j,
                                NAME(least) * least);

/* ---- tiles ---- */

ML__NEAREST_TILE(1, 1)
ML__NEAREST_TILE(2, 1)
ML__NEAREST_TILE(3, 1)
ML__NEAREST_TILE(4, 1)
ML__NEAREST_TILE(1, 3)
ML__NEAREST_TILE(2, 3)
ML__NEAREST_TILE(3, 3)
ML__NEAREST_TILE(4, 3)
#if NEAREST_COLUMNS > 4
ML__NEAREST_TILE(5, 1)
ML__NEAREST_TILE(6, 1)
ML__NEAREST_TILE(7, 1)
ML__NEAREST_TILE(8, 1)
ML__NEAREST_TILE(5, 3)
ML__NEAREST_TILE(6, 3)
ML__NEAREST_TILE(7, 3)
ML__NEAREST_TILE(8, 3)
#endif

#define TILE(n, v) NAME(nearest_##n##_##v)
/* by "has one vector of rows", then columns - 1 */
static NAME(nearest_tile) *const NAME(NEAREST)[2][NEAREST_COLUMNS] = {
    {TILE(1, 3), TILE(2, 3), TILE(3, 3), TILE(4, 3),
#if NEAREST_COLUMNS > 4
     TILE(5, 3), TILE(6, 3), TILE(7, 3), TILE(8, 3)
#endif
    },
    {TILE(1, 1), TILE(2, 1), TILE(3, 1), TILE(4, 1),
#if NEAREST_COLUMNS > 4
     TILE(5, 1), TILE(6, 1), TILE(7, 1), TILE(8, 1)
#endif
    },
};
#undef TILE

/* ---- blocks ---- */

/* One block of rows: m <= vectors LANES of them, vectors 1 or ROW_VECTORS. */
static void NAME(nearest_rows)(const NAME(operands) * o, size_t m, size_t vectors, const REAL *A, const REAL *half,
                               NAME(least) * least)
{
    _Alignas(64) REAL T[NEAREST_DEPTH * ROW_VECTORS * LANES], S[NEAREST_WIDTH * ROW_VECTORS * LANES];
    NAME(nearest_tile) *const *const tiles = NAME(NEAREST)[vectors == 1];
    const size_t rows = vectors * LANES, depth = even_blocks(o->k, NEAREST_DEPTH, GROUP);
    const bool in_parts = o->k > depth;
    const size_t width = in_parts ? NEAREST_WIDTH : o->n;
    NAME(pass) pass = {.ldb = o->b_term, .T = T};

    if (m < rows)
        memset(T, 0, sizeof T);
    for (size_t i = 0; i < rows; i++) {
        least->value[i] = least->second[i] = INFINITY;
        least->number[i] = NAME(from_number)(0);
    }
    for (size_t j0 = 0; j0 < o->n; j0 += width)
        for (size_t p = 0; p == 0 || p < o->k; p += depth) {
            const size_t end = min(o->n, j0 + width), step = even_blocks(end - j0, NEAREST_COLUMNS, 1);

            pass.k = min(o->k - p, depth);
            pass.first = p == 0;
            pass.last = p + pass.k == o->k;
            NAME(transpose)(m, pass.k, A + p, o->a_row, T, rows);
            for (size_t j = j0; j < end; j += step)
                tiles[min(end - j, step) - 1](&pass, o->B + p * o->b_term + j, half + j,
                                              S + (in_parts ? (j - j0) * rows : 0), j, least);
        }
}

void PUBLIC(nearest)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb,
                     const REAL *half, uint32_t *index, REAL *value, REAL *second)
{
    const NAME(operands) o = {.m = m, .n = n, .k = k, .A = A, .a_row = lda, .B = B, .b_term = ldb};
    NAME(least) least;

    for (size_t i = 0, rows; i < m; i += rows) {
        const size_t vectors = m - i > LANES ? ROW_VECTORS : 1;

        rows = min(m - i, vectors * LANES);
        NAME(nearest_rows)(&o, rows, vectors, A + i * lda, half, &least);
        for (size_t r = 0; r < rows; r++) {
            index[i + r] = NAME(to_number)(least.number[r]);
            value[i + r] = least.value[r] < (REAL)INFINITY ? least.value[r] : (REAL)NAN;
            if (second)
                second[i + r] = least.second[r];
        }
    }
}
