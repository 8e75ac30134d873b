/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix products of a vector instruction set, written once. No include guard: a unit of an instruction set includes
 * this for each precision with
 *     REAL            the element type
 *     NAME(f)         the file-local name of f
 *     PUBLIC(f)       the cross-file name of operation f
 *     VECTOR, LANES   a vector, its number of elements
 *     PART            which lanes of a vector are there; PART_OF(n): the first n
 *     KEEP_PART(part) makes the compiler keep it in a register
 *     ZERO, BROADCAST, LOAD, LOAD_PART, STORE, STORE_PART, MULTIPLY, MULTIPLY_ADD
 *     GROUP           columns that NAME(transpose_group) takes at once
 *     TALL_1, TALL_2  rows of the tallest tiles of one and of two vectors
 *
 * Chains      Each element of C is beta C (0 when beta is 0), then one fused multiply-add for each term in index order.
 *             Tiles, panels and blocks only choose which elements are worked on together, and a chain cut by a block
 *             goes on from the element as it was stored: no bit depends on any choice made here.
 * Tiles       up to TALL_2 x 2 vectors of C in registers; a term loads two vectors of B and broadcasts from A, both where
 *             they lie. Few rows take more vectors (WIDE), since about eight chains hide the latency of an addition.
 * Panels      the columns of C of one tile width. Few rows or terms: B is read in place. Many: blocks of it are copied to
 *             the stack, since rows of B far apart would fall into the same few sets of the first cache. B by columns
 *             (nt) is always transposed there.
 * Blocks      BLOCK_K terms of a panel of B stay in the first or second cache while all rows pass; BLOCK_A bytes of A
 *             stay in the second while all panels pass.
 * Swapping    C' = B' A' when rows of C fill the lanes better than its columns do (swap_pays).
 */

/* ---- operands: term p of C[i, j] is A[i a_row + p a_term] B[p b_term + j b_column]; b_term or b_column is 1 ---- */

typedef struct {
    size_t m, n, k;
    const REAL *A;
    size_t a_row, a_term;
    const REAL *B;
    size_t b_term, b_column;
    REAL beta;
    REAL *C;
    size_t c_row, c_column;
} NAME(operands);

/* What the tiles of a panel have in common: k terms of B, rows ldb apart. */
typedef struct {
    size_t k;
    const REAL *B;
    size_t ldb, a_row, a_term, ldc;
    REAL beta;
    PART last; /* of the last vector of the panel */
} NAME(panel);

typedef void NAME(tile)(const NAME(panel) * p, size_t n_tiles, const REAL *A, REAL *C);

/* ---- tiles ---- */

ML__TILE(1, 1)
ML__TILE(2, 1)
ML__TILE(3, 1)
ML__TILE(4, 1)
ML__TILE(5, 1)
ML__TILE(6, 1)
ML__TILE(7, 1)
ML__TILE(8, 1)
ML__TILE(9, 1)
ML__TILE(10, 1)
ML__TILE(11, 1)
ML__TILE(12, 1)
ML__TILE(1, 2)
ML__TILE(2, 2)
ML__TILE(3, 2)
ML__TILE(4, 2)
ML__TILE(5, 2)
ML__TILE(6, 2)
#if TALL_2 > 6
ML__TILE(13, 1)
ML__TILE(14, 1)
ML__TILE(7, 2)
ML__TILE(8, 2)
ML__TILE(9, 2)
ML__TILE(10, 2)
ML__TILE(11, 2)
ML__TILE(12, 2)
ML__TILE(13, 2)
ML__TILE(14, 2)
#endif
ML__TILE(1, 3)
ML__TILE(2, 3)
ML__TILE(3, 3)
ML__TILE(1, 4)
ML__TILE(2, 4)
ML__TILE(1, 5)
ML__TILE(1, 6)
ML__TILE(1, 7)
ML__TILE(1, 8)

#define TILE(m, v) NAME(tile_##m##_##v)
/* by vectors, then rows - 1 */
static NAME(tile) *const NAME(TILES)[][14] = {
    {NULL},
    {TILE(1, 1), TILE(2, 1), TILE(3, 1), TILE(4, 1), TILE(5, 1), TILE(6, 1), TILE(7, 1), TILE(8, 1), TILE(9, 1),
     TILE(10, 1), TILE(11, 1), TILE(12, 1),
#if TALL_2 > 6
     TILE(13, 1), TILE(14, 1)
#endif
    },
    {TILE(1, 2), TILE(2, 2), TILE(3, 2), TILE(4, 2), TILE(5, 2), TILE(6, 2),
#if TALL_2 > 6
     TILE(7, 2), TILE(8, 2), TILE(9, 2), TILE(10, 2), TILE(11, 2), TILE(12, 2), TILE(13, 2), TILE(14, 2)
#endif
    },
    {TILE(1, 3), TILE(2, 3), TILE(3, 3)},
    {TILE(1, 4), TILE(2, 4)},
    {TILE(1, 5)},
    {TILE(1, 6)},
    {TILE(1, 7)},
    {TILE(1, 8)},
};
#undef TILE

/* All m rows of a panel, in tiles as equal as can be: a last tile of few rows would leave the multipliers idle. m is at
 * most a block's, or the order of a square matrix: short divisions will do. */
static void NAME(multiply)(const NAME(panel) * p, size_t m, size_t vectors, const REAL *A, REAL *C)
{
    const size_t tallest = vectors == 1 ? TALL_1 : vectors == 2 ? TALL_2 : m;
    const size_t n_tiles = m <= tallest ? 1 : ((uint32_t)m + tallest - 1) / (uint32_t)tallest;
    const size_t rows = n_tiles == 1 ? m : (uint32_t)m / (uint32_t)n_tiles, n_taller = m - rows * n_tiles;

    if (n_taller > 0)
        NAME(TILES)[vectors][rows](p, n_taller, A, C);
    A += n_taller * (rows + 1) * p->a_row;
    C += n_taller * (rows + 1) * p->ldc;
    NAME(TILES)[vectors][rows - 1](p, n_tiles - n_taller, A, C);
}

/* ---- panels ---- */

/* T[p, j] = B[j, p] for j < n, p < k, rows of T ldt apart. Groups at the edges overlap their neighbours. */
static void NAME(transpose)(size_t n, size_t k, const REAL *B, size_t ldb, REAL *T, size_t ldt)
{
    if (n < LANES || k < GROUP) {
        for (size_t j = 0; j < n; j++)
            for (size_t p = 0; p < k; p++)
                T[p * ldt + j] = B[j * ldb + p];
        return;
    }
    for (size_t j = 0; j < n; j += LANES) {
        const size_t j0 = min(j, n - LANES);

        for (size_t p = 0; p < k; p += GROUP) {
            const size_t p0 = min(p, k - GROUP);

            NAME(transpose_group)(B + j0 * ldb + p0, ldb, T + p0 * ldt + j0, ldt);
        }
    }
}

/* T[p, j] = B[p, j] for j < n, p < k */
static void NAME(copy)(size_t n, size_t k, const REAL *B, size_t ldb, REAL *T, size_t ldt)
{
    const size_t whole = (n - 1) / LANES * LANES;
    const PART last = PART_OF(n - whole);

    for (size_t p = 0; p < k; p++, B += ldb, T += ldt) {
        for (size_t j = 0; j < whole; j += LANES)
            STORE(T + j, LOAD(B + j));
        STORE(T + whole, LOAD_PART(B + whole, last));
    }
}

/* Rows from i and columns from j of the product, all of one panel; its terms from p are added to C. */
typedef struct {
    size_t i, m, j, n, p, k;
    REAL *C;
    size_t ldc;
} NAME(part);

/* The part's terms from p to p + k, with the panel's B where it has been laid out. */
static void NAME(run_terms)(const NAME(operands) * o, const NAME(part) * s, size_t p, size_t k, const REAL *B,
                            size_t ldb)
{
    const size_t vectors = (s->n + LANES - 1) / LANES;
    const NAME(panel) panel = {.k = k,
                               .B = B,
                               .ldb = ldb,
                               .a_row = o->a_row,
                               .a_term = o->a_term,
                               .ldc = s->ldc,
                               .beta = p == 0 ? o->beta : 1,
                               .last = PART_OF(s->n - (vectors - 1) * LANES)};

    NAME(multiply)(&panel, s->m, vectors, o->A + s->i * o->a_row + p * o->a_term, s->C);
}

/* The panel of B copied or transposed to the stack, as many terms at a time as the buffer takes. */
static void NAME(run_packed)(const NAME(operands) * o, const NAME(part) * s)
{
    _Alignas(64) REAL T[BUFFER / sizeof(REAL)];
    const size_t width = (s->n + LANES - 1) / LANES * LANES;
    const size_t depth = even_blocks(s->k, BUFFER / sizeof(REAL) / width, GROUP);

    for (size_t p = s->p; p < s->p + s->k; p += depth) {
        const size_t k = min(s->p + s->k - p, depth);
        const REAL *B = o->B + p * o->b_term + s->j * o->b_column;

        if (o->b_column == 1)
            NAME(copy)(s->n, k, B, o->b_term, T, width);
        else
            NAME(transpose)(s->n, k, B, o->b_column, T, width);
        NAME(run_terms)(o, s, p, k, T, width);
    }
}

/* Copying B pays when many rows use it and it does not stay in the first cache where it lies. */
static void NAME(run)(const NAME(operands) * o, const NAME(part) * s)
{
    if (s->k == 0 || (o->b_column == 1 && (s->m < COPY_ROWS || s->k < COPY_TERMS)))
        NAME(run_terms)(o, s, s->p, s->k, o->B + s->p * o->b_term + s->j * o->b_column, o->b_term);
    else
        NAME(run_packed)(o, s);
}

/* ---- whole products ---- */

static void NAME(run_blocks)(const NAME(operands) * o)
{
    const size_t width = LANES * (o->m < 4 ? WIDE[o->m] : 2);
    const size_t depth = even_blocks(o->k, BLOCK_K, 16), height = max(BLOCK_A / sizeof(REAL) / depth, 64);
    NAME(part) s;

    for (s.p = 0; s.p == 0 || s.p < o->k; s.p += depth)
        for (s.i = 0; s.i < o->m; s.i += height)
            for (s.j = 0; s.j < o->n; s.j += width) {
                s.m = min(o->m - s.i, height);
                s.n = min(o->n - s.j, width);
                s.k = min(o->k - s.p, depth);
                s.C = o->C + s.i * o->c_row + s.j;
                s.ldc = o->c_row;
                NAME(run)(o, &s);
            }
}

/* C[j, i] = S[i, j] for i < m, j < n. */
static void NAME(scatter)(size_t m, size_t n, const REAL *S, size_t lds, REAL *C, size_t ldc)
{
    if (m >= GROUP && n >= LANES && m % LANES == 0)
        NAME(transpose)(m, n, S, lds, C, ldc);
    else
        for (size_t j = 0; j < n; j++)
            for (size_t i = 0; i < m; i++)
                C[j * ldc + i] = S[i * lds + j];
}

/* C' when its elements are not next to each other: panels of few rows go through a buffer. */
static void NAME(run_scattered)(const NAME(operands) * o)
{
    _Alignas(64) REAL S[2 * LANES * 2 * LANES];
    const size_t width = LANES * (o->m < 4 ? WIDE[o->m] : 2);
    NAME(part) s = {.m = o->m, .k = o->k, .C = S, .ldc = width};

    for (; s.j < o->n; s.j += width) {
        REAL *C = o->C + s.j * o->c_column;

        s.n = min(o->n - s.j, width);
        for (size_t i = 0; i < o->m && o->beta != 0; i++)
            for (size_t j = 0; j < s.n; j++)
                S[i * width + j] = C[j * o->c_column + i];
        NAME(run)(o, &s);
        NAME(scatter)(s.m, s.n, S, width, C, o->c_column);
    }
}

/* Whether C' = B' A' takes less time, counted in vectors per multiplier: the lanes without work against transposing A
 * (unless it comes transposed) and C. */
static bool NAME(swap_pays)(const NAME(operands) * o)
{
    const size_t plain = o->m * ((o->n + LANES - 1) / LANES) * o->k;
    const size_t swapped = o->n * ((o->m + LANES - 1) / LANES) * o->k;
    const size_t transposes = 2 * o->m * o->n + (o->a_row == 1 ? 0 : o->m * o->k / 2);

    return o->n <= 2 * LANES && swapped + transposes < plain;
}

static NAME(operands) NAME(swapped)(const NAME(operands) * o)
{
    return (NAME(operands)){.m = o->n,
                            .n = o->m,
                            .k = o->k,
                            .A = o->B,
                            .a_row = o->b_column,
                            .a_term = o->b_term,
                            .B = o->A,
                            .b_term = o->a_term,
                            .b_column = o->a_row,
                            .beta = o->beta,
                            .C = o->C,
                            .c_row = o->c_column,
                            .c_column = o->c_row};
}

static void NAME(product)(const NAME(operands) * o)
{
    NAME(operands) s;

    if (o->m == 0 || o->n == 0)
        return;
    if (!NAME(swap_pays)(o)) {
        NAME(run_blocks)(o);
        return;
    }
    s = NAME(swapped)(o);
    if (s.c_column == 1)
        NAME(run_blocks)(&s);
    else
        NAME(run_scattered)(&s);
}

void PUBLIC(gemm_nn)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, REAL beta,
                     REAL *C, size_t ldc)
{
    NAME(product)(&(NAME(operands)){m, n, k, A, lda, 1, B, ldb, 1, beta, C, ldc, 1});
}

void PUBLIC(gemm_nt)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, REAL beta,
                     REAL *C, size_t ldc)
{
    NAME(product)(&(NAME(operands)){m, n, k, A, lda, 1, B, 1, ldb, beta, C, ldc, 1});
}

void PUBLIC(gemm_tn)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, REAL beta,
                     REAL *C, size_t ldc)
{
    NAME(product)(&(NAME(operands)){m, n, k, A, 1, lda, B, ldb, 1, beta, C, ldc, 1});
}

/* m rows of the lower triangle from the diagonal on, s->n <= 2 LANES columns wide, through a square on the stack. */
static void NAME(run_diagonal)(const NAME(operands) * o, const NAME(part) * at)
{
    _Alignas(64) REAL S[LANES * 2 * LANES];
    NAME(part) s = *at;
    const size_t from = s.i - s.j;
    REAL *C = s.C;

    s.C = S;
    s.ldc = 2 * LANES;
    for (size_t i = 0; i < s.m; i++)
        for (size_t j = 0; j < s.n; j++)
            S[i * s.ldc + j] = j <= from + i && (s.p > 0 || o->beta != 0) ? C[i * at->ldc + j] : 0;
    NAME(run)(o, &s);
    for (size_t i = 0; i < s.m; i++)
        for (size_t j = 0; j <= from + i; j++)
            C[i * at->ldc + j] = S[i * s.ldc + j];
}

/* Panels of two vectors. In the square on the diagonal, the upper half needs the first vector only. */
void PUBLIC(syrk_tn)(size_t n, size_t k, const REAL *A, size_t lda, REAL beta, REAL *C, size_t ldc)
{
    const NAME(operands) o = {n, n, k, A, 1, lda, A, lda, 1, beta, C, ldc, 1};
    const size_t depth = even_blocks(k, BLOCK_K, 16);
    NAME(part) s = {.ldc = ldc};

    for (s.p = 0; s.p == 0 || s.p < k; s.p += depth)
        for (s.j = 0; s.j < n; s.j += 2 * LANES) {
            s.k = min(k - s.p, depth);
            for (s.i = s.j; s.i < n && s.i < s.j + 2 * LANES; s.i += LANES) {
                s.m = min(n - s.i, LANES);
                s.n = min(n - s.j, s.i - s.j + LANES);
                s.C = C + s.i * ldc + s.j;
                NAME(run_diagonal)(&o, &s);
            }
            if (s.i < n) {
                s.m = n - s.i;
                s.n = 2 * LANES;
                s.C = C + s.i * ldc + s.j;
                NAME(run)(&o, &s);
            }
        }
}
