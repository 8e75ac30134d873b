/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix products of a vector instruction set, written once. No include guard: a unit of an instruction set includes
 * this for each precision with
 *     REAL            the element type
 *     NAME(f)         the file-local name of f
 *     PUBLIC(f)       the cross-file name of operation f
 *     VECTOR, LANES   a vector, on which + - * / work, and its number of elements
 *     PART            which lanes of a vector are there; PART_OF(n): the first n
 *     KEEP_PART(part) makes the compiler keep it in a register
 *     ZERO, BROADCAST, LOAD, LOAD_PART, STORE, STORE_PART, MULTIPLY, MULTIPLY_ADD, SQRT
 *     MAX(a, b)       a > b ? a : b
 *     WHERE_POSITIVE(h, v)    h > 0 ? v : 0
 *     ADAM_ROWS       rows of the tallest tiles with steps of Adam between their terms; undefined without registers for both
 *     ROWS_AT_ONCE    rows of a product with a vector: at most 8, a divisor of LANES
 *     GROUP           columns that NAME(transpose_group) takes at once
 *     TALL_1, TALL_2  rows of the tallest tiles of one and of two vectors
 *
 * Chains      Each element of C is beta S (0 without S), S being C or what else it starts from, then one fused multiply-add
 *             for each term in index order. Tiles, panels and blocks only choose which elements are worked on together, and
 *             a chain cut by a block goes on from the element as it was stored: no bit depends on any choice made here.
 *             The exception is nn and nt with one column and COLUMN_TERMS or more (run_column).
 * Tiles       up to TALL_2 x 2 vectors of C in registers; a term loads two vectors of B and broadcasts from A, both where
 *             they lie. Few rows take more vectors (WIDE), since about eight chains hide the latency of an addition.
 * Panels      the columns of C of one tile width. Few rows or terms: B is read in place. Many: blocks of it are copied to
 *             the stack, since rows of B far apart would fall into the same few sets of the first cache. B by columns
 *             (nt) is always transposed there.
 * Blocks      BLOCK_K terms, of which a panel of B stays in the first cache while all rows pass, and BLOCK_A bytes of A
 *             that stay in the second while all panels pass.
 * Swapping    C' = B' A' when rows of C fill the lanes better than its columns do (swap_pays).
 * Finishing   what is done with the product besides storing it follows each tile, while it is in the first cache.
 */

/* ---- operands: term p of C[i, j] is A[i a_row + p a_term] B[p b_term + j b_column]; b_term or b_column is 1 ---- */

typedef struct NAME(operands) NAME(operands);
typedef struct NAME(panel) NAME(panel);

/* What is done with m rows from i on and n columns from j on of a product, which are at C. */
typedef void NAME(finish)(const void *with, size_t i, size_t m, size_t j, size_t n, REAL *C, size_t ldc);
/* What runs n_tiles tiles of `rows` rows and one or two vectors from where the panel is, and moves it below them. */
typedef void NAME(runner)(void *with, NAME(panel) * p, size_t vectors, size_t rows, size_t n_tiles);

struct NAME(operands) {
    size_t m, n, k;
    const REAL *A;
    size_t a_row, a_term;
    const REAL *B;
    size_t b_term, b_column;
    REAL beta;
    const REAL *S; /* C[i, j] starts from beta S[i s_row + j s_column], from 0 without S */
    size_t s_row, s_column;
    REAL *C;
    size_t c_row, c_column;
    bool relu;     /* values < 0 become 0 at the end */
    const REAL *H; /* at the end, values become 0 where H[i ldh + j] is not > 0; NULL for none */
    size_t ldh;
    NAME(finish) * finish;
    const void *with;
    NAME(runner) * runner; /* for tiles of at most two vectors, if set */
    void *runs_with;
    uint32_t runner_rows; /* of its tallest tiles */
    bool is_spent;        /* tiles of C are of no use after finish: all of them are put to where C begins */
};

/* Rows of B for a panel: k terms. */
typedef struct {
    const REAL *B;
    size_t k;
} NAME(terms);

/* What the tiles of a panel have in common. Its terms of B are in rows ldb apart: one or two runs of them, of which whole
 * vectors can be read, or k_masked rows from terms[0].B on. */
struct NAME(panel) {
    NAME(terms) terms[2];
    size_t k_masked, ldb;
    const REAL *A;
    size_t a_row, a_term;
    const REAL *S;
    size_t s_row;
    REAL beta;
    REAL *C;
    size_t ldc, c_move; /* from a row of a tile to the next, from a row of the panel to the next */
    bool relu, finishes;
    const REAL *H; /* in its last block */
    size_t ldh;
    size_t i, j, n; /* the row and the column of the product where it begins, its columns */
    PART last;      /* of the last vector of the panel */
};

typedef void NAME(tile)(const NAME(panel) * p, size_t n_tiles);

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

/* ---- panels ---- */

/* T[p, j] = B[j, p] for j < n, p < k, rows of T ldt apart. Groups at the edges overlap their neighbours. */
static NOINLINE void NAME(transpose)(size_t n, size_t k, const REAL *B, size_t ldb, REAL *T, size_t ldt)
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
static NOINLINE void NAME(copy)(size_t n, size_t k, const REAL *B, size_t ldb, REAL *T, size_t ldt)
{
    const size_t whole = (n - 1) / LANES * LANES;
    const PART last = PART_OF(n - whole);

    for (size_t p = 0; p < k; p++, B += ldb, T += ldt) {
        for (size_t j = 0; j < whole; j += LANES)
            STORE(T + j, LOAD(B + j));
        STORE(T + whole, LOAD_PART(B + whole, last));
    }
}

/* Rows from i and columns from j of the product, all of one panel; its terms from p on, beginning with beta S. */
typedef struct {
    size_t i, m, j, n, p, k;
    REAL beta;
    const REAL *S;
    size_t s_row;
    REAL *C;
    size_t ldc;
} NAME(part);

/* n_tiles tiles, all at once or, when there is something to finish, one by one; the panel then begins below them. */
static void NAME(run_tiles)(NAME(panel) * p, const NAME(operands) * o, const NAME(part) * s, size_t vectors,
                            size_t rows, size_t n_tiles)
{
    NAME(tile) *const tile = NAME(TILES)[vectors][rows - 1];
    const size_t at_once = p->finishes ? 1 : n_tiles, height = at_once * rows;

    for (; n_tiles > 0; n_tiles -= at_once) {
        tile(p, at_once);
        if (p->finishes)
            o->finish(o->with, p->i, rows, s->j, s->n, p->C, p->ldc);
        p->i += height;
        p->A += height * p->a_row;
        p->S = p->S ? p->S + height * p->s_row : NULL;
        p->H = p->H ? p->H + height * p->ldh : NULL;
        p->C += height * p->c_move;
    }
}

/* All rows of a panel, in tiles as equal as can be: a last tile of few rows would leave the multipliers idle. They are at
 * most a block's, or the order of a square matrix: short divisions will do. */
static NOINLINE void NAME(multiply)(NAME(panel) * p, const NAME(operands) * o, const NAME(part) * s, size_t vectors)
{
    const bool has_runner = o->runner && vectors <= 2;
    const uint32_t m = (uint32_t)s->m, tallest = has_runner                            ? o->runner_rows
                                                 : vectors == 1                        ? TALL_1
                                                 : vectors > 2                         ? m
                                                 : share_sets(p->a_row * sizeof(REAL)) ? min(TALL_2, TALL_SHARED)
                                                                                       : TALL_2;
    const uint32_t n_tiles = m <= tallest ? 1 : (m + tallest - 1) / tallest;
    const uint32_t rows = n_tiles == 1 ? m : m / n_tiles, n_taller = m - rows * n_tiles;

    if (has_runner) {
        o->runner(o->runs_with, p, vectors, rows + 1, n_taller);
        o->runner(o->runs_with, p, vectors, rows, n_tiles - n_taller);
        return;
    }
    if (n_taller > 0)
        NAME(run_tiles)(p, o, s, vectors, rows + 1, n_taller);
    NAME(run_tiles)(p, o, s, vectors, rows, n_tiles - n_taller);
}

/* The part's terms from p on, k of them, where panel->terms says that they are. */
static void NAME(run_terms)(const NAME(operands) * o, const NAME(part) * s, size_t p, size_t k, NAME(panel) * panel)
{
    const size_t vectors = (s->n + LANES - 1) / LANES;
    const bool first = p == s->p, last = p + k == o->k;

    panel->A = o->A + s->i * o->a_row + p * o->a_term;
    panel->a_row = o->a_row;
    panel->a_term = o->a_term;
    panel->S = first ? s->S : s->C;
    panel->s_row = first ? s->s_row : s->ldc;
    panel->beta = first ? s->beta : 1;
    panel->C = s->C;
    panel->ldc = s->ldc;
    panel->c_move = o->is_spent ? 0 : s->ldc;
    panel->relu = last && o->relu;
    panel->finishes = last && o->finish;
    panel->H = last && o->H ? o->H + s->i * o->ldh + s->j : NULL;
    panel->ldh = o->ldh;
    panel->i = s->i;
    panel->j = s->j;
    panel->n = s->n;
    panel->last = PART_OF(s->n - (vectors - 1) * LANES);
    NAME(multiply)(panel, o, s, vectors);
}

/* k terms of the panel from p on, copied or transposed to T; what is missing in the last vector is 0. */
static void NAME(pack)(const NAME(operands) * o, const NAME(part) * s, size_t p, size_t k, REAL *T, size_t ldt)
{
    const REAL *B = o->B + p * o->b_term + s->j * o->b_column;

    if (o->b_column == 1) {
        NAME(copy)(s->n, k, B, o->b_term, T, ldt);
        return;
    }
    for (size_t q = 0; q < k && s->n < ldt; q++)
        STORE(T + q * ldt + ldt - LANES, ZERO());
    NAME(transpose)(s->n, k, B, o->b_column, T, ldt);
}

/* The second run of terms goes to a buffer of another frame: frames of the stack shall be small. */
static NOINLINE void NAME(run_second)(const NAME(operands) * o, const NAME(part) * s, size_t p, size_t k,
                                      NAME(panel) * panel)
{
    _Alignas(64) REAL T[BUFFER / sizeof(REAL)];
    const size_t k_first = panel->terms[0].k;

    panel->terms[1] = (NAME(terms)){T, k - k_first};
    NAME(pack)(o, s, p + k_first, k - k_first, T, panel->ldb);
    NAME(run_terms)(o, s, p, k, panel);
}

/* The panel of B copied or transposed to the stack, as many terms at a time as two buffers take. */
static NOINLINE void NAME(run_packed)(const NAME(operands) * o, const NAME(part) * s)
{
    _Alignas(64) REAL T[BUFFER / sizeof(REAL)];
    const size_t ldt = (s->n + LANES - 1) / LANES * LANES, most = BUFFER / sizeof(REAL) / ldt / GROUP * GROUP;
    const size_t depth = even_blocks(s->k, 2 * most, GROUP), end = s->p + s->k;

    for (size_t p = s->p; p < end; p += depth) {
        const size_t k = min(end - p, depth);
        NAME(panel) panel;

        panel.terms[0] = (NAME(terms)){T, min(k, most)};
        panel.terms[1] = (NAME(terms)){NULL, 0};
        panel.k_masked = 0;
        panel.ldb = ldt;
        NAME(pack)(o, s, p, panel.terms[0].k, T, ldt);
        if (k > most)
            NAME(run_second)(o, s, p, k, &panel);
        else
            NAME(run_terms)(o, s, p, k, &panel);
    }
}

/* B where it lies. The last vector of a row may end beyond the matrix: a mask then takes time of the multipliers. */
static void NAME(run_in_place)(const NAME(operands) * o, const NAME(part) * s)
{
    NAME(panel) panel;

    panel.terms[0] = (NAME(terms)){o->B + s->p * o->b_term + s->j * o->b_column, s->n % LANES ? 0 : s->k};
    panel.terms[1] = (NAME(terms)){NULL, 0};
    panel.k_masked = s->n % LANES ? s->k : 0;
    panel.ldb = o->b_term;
    NAME(run_terms)(o, s, s->p, s->k, &panel);
}

/* Copying B pays when many rows use it and it does not stay in the first cache where it lies. Tiles that are spent must have
 * all their terms at once. */
static void NAME(run)(const NAME(operands) * o, const NAME(part) * s)
{
    const bool stays = s->n % LANES == 0 && s->k * o->b_term * sizeof(REAL) <= SMALL_B;
    const bool pays = !stays && s->m >= COPY_ROWS && s->k >= COPY_TERMS && !(o->is_spent && s->k > MOST_TERMS);

    if (s->k == 0 || (o->b_column == 1 && !pays))
        NAME(run_in_place)(o, s);
    else
        NAME(run_packed)(o, s);
}

/* ---- whole products ---- */

/* Where the part goes, and what its terms are added to. */
static void NAME(begin)(const NAME(operands) * o, NAME(part) * s)
{
    const bool first = s->p == 0;

    s->C = o->is_spent ? o->C : o->C + s->i * o->c_row + s->j;
    s->ldc = o->c_row;
    s->S = !first ? s->C : o->S ? o->S + s->i * o->s_row + s->j : NULL;
    s->s_row = first ? o->s_row : s->ldc;
    s->beta = first ? o->beta : 1;
}

/* Rows in a block: as many of A as stay in the second cache. Where that is of no use for B, which is not copied, and C is
 * larger than the cache, it is written rather row by row. */
static size_t NAME(block_height)(const NAME(operands) * o, size_t depth)
{
    if (o->m <= COPY_ROWS)
        return COPY_ROWS;
    if (o->k < COPY_TERMS && o->b_column == 1 && o->m * o->n > LARGE_C / sizeof(REAL))
        return max(BLOCK_C / sizeof(REAL) / o->n, COPY_ROWS);
    return max(BLOCK_A / sizeof(REAL) / depth, COPY_ROWS);
}

static NOINLINE void NAME(run_blocks)(const NAME(operands) * o)
{
    const size_t width = LANES * (o->m < 4 ? WIDE[o->m] : 2);
    const size_t most = o->is_spent ? o->k : share_sets(o->a_term * sizeof(REAL)) ? BLOCK_K_SHARED : BLOCK_K;
    const size_t depth = even_blocks(o->k, most, 16), height = NAME(block_height)(o, depth);
    NAME(part) s;

    for (s.p = 0; s.p == 0 || s.p < o->k; s.p += depth)
        for (s.i = 0; s.i < o->m; s.i += height)
            for (s.j = 0; s.j < o->n; s.j += width) {
                s.m = min(o->m - s.i, height);
                s.n = min(o->n - s.j, width);
                s.k = min(o->k - s.p, depth);
                NAME(begin)(o, &s);
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

/* T[j] = S[j step] for j < n, and more up to a whole vector when step is 0. */
static void NAME(gather)(size_t n, const REAL *S, size_t step, REAL *T)
{
    if (step == 0)
        for (size_t j = 0; j < n; j += LANES)
            STORE(T + j, BROADCAST(S));
    else
        for (size_t j = 0; j < n; j++)
            T[j] = S[j * step];
}

/* C' when its elements, or those it starts from, are not next to each other: panels of few rows go through a buffer. */
static NOINLINE void NAME(run_scattered)(const NAME(operands) * o)
{
    _Alignas(64) REAL T[LANES > 2 ? 4 * LANES * LANES : 9 * LANES]; /* up to 2 LANES rows; three take 3 LANES columns */
    const size_t width = LANES * (o->m < 4 ? WIDE[o->m] : 2);
    NAME(part) s = {.m = o->m, .k = o->k, .beta = o->beta, .S = o->S ? T : NULL, .s_row = width, .C = T, .ldc = width};

    for (; s.j < o->n; s.j += width) {
        s.n = min(o->n - s.j, width);
        for (size_t i = 0; i < o->m && o->S; i++)
            NAME(gather)(s.n, o->S + i * o->s_row + s.j * o->s_column, o->s_column, T + i * width);
        NAME(run)(o, &s);
        NAME(scatter)(s.m, s.n, T, width, o->C + s.j * o->c_column, o->c_column);
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

static NOINLINE void NAME(product_swapped)(const NAME(operands) * o)
{
    const NAME(operands) s = {.m = o->n,
                              .n = o->m,
                              .k = o->k,
                              .A = o->B,
                              .a_row = o->b_column,
                              .a_term = o->b_term,
                              .B = o->A,
                              .b_term = o->a_term,
                              .b_column = o->a_row,
                              .beta = o->beta,
                              .S = o->S,
                              .s_row = o->s_column,
                              .s_column = o->s_row,
                              .C = o->C,
                              .c_row = o->c_column,
                              .c_column = o->c_row,
                              .relu = o->relu};

    if (s.c_column == 1 && (!s.S || s.s_column == 1))
        NAME(run_blocks)(&s);
    else
        NAME(run_scattered)(&s);
}

static void NAME(product)(const NAME(operands) * o)
{
    if (o->m == 0 || o->n == 0)
        return;
    if (NAME(swap_pays)(o))
        NAME(product_swapped)(o);
    else
        NAME(run_blocks)(o);
}

/* ---- products with a vector ---- */

/* Lanes of the sum of a_r b in row r of T, k terms, for ROWS_AT_ONCE rows of A; those from m on are the last one again. */
static void NAME(dot_rows)(size_t m, size_t k, const REAL *A, size_t lda, const REAL *b, REAL *T)
{
    const size_t whole = k / LANES * LANES;
    const PART rest = PART_OF(k - whole);
    VECTOR sum[ROWS_AT_ONCE];

#pragma GCC unroll 8
    for (size_t r = 0; r < ROWS_AT_ONCE; r++)
        sum[r] = MULTIPLY(LOAD_PART(A + min(r, m - 1) * lda + whole, rest), LOAD_PART(b + whole, rest));
    for (size_t p = 0; p < whole; p += LANES) {
        const VECTOR x = LOAD(b + p);

#pragma GCC unroll 8
        for (size_t r = 0; r < ROWS_AT_ONCE; r++)
            sum[r] = MULTIPLY_ADD(LOAD(A + min(r, m - 1) * lda + p), x, sum[r]);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < ROWS_AT_ONCE; r++)
        STORE(T + r * LANES, sum[r]);
}

/* sums[r] = the sum of row r of T[LANES x LANES], as a balanced tree. */
static void NAME(sum_rows)(const REAL *T, REAL *sums)
{
    _Alignas(64) REAL S[LANES * LANES];

    NAME(transpose)(LANES, LANES, T, LANES, S, LANES);
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t p = 0; p < width; p++)
            STORE(S + p * LANES, LOAD(S + p * LANES) + LOAD(S + (p + width) * LANES));
    STORE(sums, LOAD(S));
}

/* k terms from p on of a product with one column, for up to LANES rows from i on. */
static void NAME(add_dots)(const NAME(operands) * o, size_t i, size_t p, size_t k, const REAL *b)
{
    _Alignas(64) REAL T[LANES * LANES], sums[LANES];
    const size_t m = min(o->m - i, LANES), s_row = p > 0 ? o->c_row : o->s_row;
    const REAL *S = p > 0 ? o->C : o->S, beta = p > 0 ? 1 : o->beta;
    const REAL least = o->relu && p + k == o->k ? 0 : -INFINITY;

    for (size_t r = 0; r < m; r += ROWS_AT_ONCE)
        NAME(dot_rows)(m - r, k, o->A + (i + r) * o->a_row + p, o->a_row, b, T + r * LANES);
    NAME(sum_rows)(T, sums);
    for (size_t r = 0; r < m; r++) {
        const REAL value = (S ? beta * S[(i + r) * s_row] : 0) + sums[r];

        o->C[(i + r) * o->c_row] = value < least ? least : value;
        ML__OPAQUE(r); /* the compiler would make much of these few steps */
    }
}

/* n = 1: a chain would have to wait for each addition, so the terms of a block are summed in LANES lanes. */
static NOINLINE void NAME(run_column)(const NAME(operands) * o)
{
    REAL b[BUFFER / 2 / sizeof(REAL)];

    for (size_t p = 0; p == 0 || p < o->k; p += BUFFER / 2 / sizeof(REAL)) {
        const size_t k = min(o->k - p, BUFFER / 2 / sizeof(REAL));
        const REAL *B = o->B + p * o->b_term;

        if (o->b_term != 1)
            NAME(transpose)(k, 1, B, o->b_term, b, k);
        for (size_t i = 0; i < o->m; i += LANES)
            NAME(add_dots)(o, i, p, k, o->b_term == 1 ? B : b);
    }
}

/* ---- operations ---- */

static bool NAME(is_column)(const NAME(operands) * o)
{
    return o->n == 1 && o->k >= COLUMN_TERMS;
}

/* What C starts from is S, ldc apart too, or 0 without it. */
static NAME(operands)
    NAME(describe)(size_t m, size_t n, size_t k, const REAL *A, size_t a_row, size_t a_term, const REAL *B,
                   size_t b_term, size_t b_column, REAL beta, const REAL *S, REAL *C, size_t ldc)
{
    return (NAME(operands)){.m = m,
                            .n = n,
                            .k = k,
                            .A = A,
                            .a_row = a_row,
                            .a_term = a_term,
                            .B = B,
                            .b_term = b_term,
                            .b_column = b_column,
                            .beta = beta,
                            .S = S,
                            .s_row = ldc,
                            .s_column = 1,
                            .C = C,
                            .c_row = ldc,
                            .c_column = 1};
}

static void NAME(multiply_rows)(const NAME(operands) * o)
{
    if (NAME(is_column)(o))
        NAME(run_column)(o);
    else
        NAME(product)(o);
}

void PUBLIC(gemm_nn)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, REAL beta,
                     REAL *C, size_t ldc)
{
    const NAME(operands) o = NAME(describe)(m, n, k, A, lda, 1, B, ldb, 1, beta, beta != 0 ? C : NULL, C, ldc);

    NAME(multiply_rows)(&o);
}

void PUBLIC(gemm_nt)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, REAL beta,
                     REAL *C, size_t ldc)
{
    const NAME(operands) o = NAME(describe)(m, n, k, A, lda, 1, B, 1, ldb, beta, beta != 0 ? C : NULL, C, ldc);

    NAME(multiply_rows)(&o);
}

void PUBLIC(gemm_tn)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, REAL beta,
                     REAL *C, size_t ldc)
{
    const NAME(operands) o = NAME(describe)(m, n, k, A, 1, lda, B, ldb, 1, beta, beta != 0 ? C : NULL, C, ldc);

    NAME(product)(&o);
}

/* m rows of the lower triangle from the diagonal on, at->n <= 2 LANES columns wide, through a square on the stack. */
static NOINLINE void NAME(run_diagonal)(const NAME(operands) * o, const NAME(part) * at)
{
    _Alignas(64) REAL T[LANES * 2 * LANES];
    NAME(part) s = *at;
    const size_t from = s.i - s.j;

    s.C = T;
    s.ldc = 2 * LANES;
    if (at->S) {
        s.S = T;
        s.s_row = s.ldc;
        for (size_t i = 0; i < s.m; i++)
            for (size_t j = 0; j < s.n; j++)
                T[i * s.ldc + j] = j <= from + i ? at->S[i * at->s_row + j] : 0;
    }
    NAME(run)(o, &s);
    for (size_t i = 0; i < s.m; i++)
        for (size_t j = 0; j <= from + i; j++)
            at->C[i * at->ldc + j] = T[i * s.ldc + j];
}

/* Panels of two vectors. In the square on the diagonal, the upper half needs the first vector only. */
void PUBLIC(syrk_tn)(size_t n, size_t k, const REAL *A, size_t lda, REAL beta, REAL *C, size_t ldc)
{
    const NAME(operands) o = NAME(describe)(n, n, k, A, 1, lda, A, lda, 1, beta, beta != 0 ? C : NULL, C, ldc);
    const size_t depth = even_blocks(k, BLOCK_K, 16);
    NAME(part) s;

    for (s.p = 0; s.p == 0 || s.p < k; s.p += depth) {
        s.k = min(k - s.p, depth);
        for (s.j = 0; s.j < n; s.j += 2 * LANES) {
            for (s.i = s.j; s.i < n && s.i < s.j + 2 * LANES; s.i += LANES) {
                s.m = min(n - s.i, LANES);
                s.n = min(n - s.j, s.i - s.j + LANES);
                NAME(begin)(&o, &s);
                NAME(run_diagonal)(&o, &s);
            }
            if (s.i < n) {
                s.m = n - s.i;
                s.n = 2 * LANES;
                NAME(begin)(&o, &s);
                NAME(run)(&o, &s);
            }
        }
    }
}
