/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of a network and their training by a vector instruction set. No include guard: a unit of an instruction set
 * includes this for each precision after kernel/gemm_tmpl.h, whose definitions and products it uses.
 *
 * layer       the product; ReLU in the registers, other functions tile by tile while a tile is in the first cache.
 * layer_row   one row, in several chains where one of each column would leave the multipliers waiting.
 * layer_back  the product; behind a ReLU that is not open elements become 0 in the registers, other derivatives follow
 *             tile by tile.
 * adam_tn     the product, from penalty W on, whose tiles never leave the first cache. A step takes a square root and a
 *             division, which do not need the multipliers: where registers allow (ADAM_ROWS), a tile makes the step of the
 *             tile before it, row by row between its own terms.
 */

static VECTOR NAME(times_derivative)(VECTOR c, ml__activation f, VECTOR h)
{
    static const REAL one = 1;

    switch (f) {
    case ML__RELU:
        return WHERE_POSITIVE(h, c);
    case ML__LOGISTIC:
        return c * (h * (BROADCAST(&one) - h));
    case ML__TANH:
        return c * (BROADCAST(&one) - h * h);
    default:
        return c;
    }
}

typedef struct {
    ml__activation f;
    const REAL *H;
    size_t ldh;
} NAME(activation);

/* C = f(C) */
static void NAME(activate)(const void *with, size_t i, size_t m, size_t j, size_t n, REAL *C, size_t ldc)
{
    const NAME(activation) *a = with;
    const bool is_one_row = ldc == n;

    (void)i;
    (void)j;
    for (size_t r = 0; n > 0 && r < (is_one_row ? m > 0 : m); r++)
        (a->f == ML__TANH ? PUBLIC(vtanh) : PUBLIC(vlogistic))(is_one_row ? m * n : n, C + r * ldc, C + r * ldc);
}

/* C = C . f' */
static void NAME(differentiate)(const void *with, size_t i, size_t m, size_t j, size_t n, REAL *C, size_t ldc)
{
    const NAME(activation) *a = with;
    const REAL *H = a->H + i * a->ldh + j;
    const size_t whole = n / LANES * LANES;
    const PART rest = PART_OF(n - whole);

    for (size_t r = 0; r < m; r++, C += ldc, H += a->ldh) {
        for (size_t q = 0; q < whole; q += LANES)
            STORE(C + q, NAME(times_derivative)(LOAD(C + q), a->f, LOAD(H + q)));
        if (whole < n)
            STORE_PART(C + whole, rest,
                       NAME(times_derivative)(LOAD_PART(C + whole, rest), a->f, LOAD_PART(H + whole, rest)));
    }
}

/* Whether a product, that of few columns, is not made of tiles that lie as C does. */
static bool NAME(comes_otherwise)(const NAME(operands) * o)
{
    return NAME(is_column)(o) || NAME(swap_pays)(o);
}

/* A product whose tiles are finished while they are in the first cache, or as a whole. */
static void NAME(multiply_and_finish)(NAME(operands) * o, NAME(finish) * finish, const void *with)
{
    if (!NAME(comes_otherwise)(o)) {
        o->finish = finish;
        o->with = with;
        NAME(run_blocks)(o);
        return;
    }
    NAME(multiply_rows)(o);
    finish(with, 0, o->m, 0, o->n, o->C, o->c_row);
}

/* ---- one row ---- */

ML__ROW(1)
ML__ROW(2)
ML__ROW(3)
ML__ROW(4)
ML__ROW(5)
ML__ROW(6)
ML__ROW(7)
ML__ROW(8)

/* A row of the product, without the way through panels and tiles. */
static void NAME(multiply_row)(size_t n, size_t k, const REAL *a, const REAL *B, size_t ldb, const REAL *s, bool relu,
                               REAL *c)
{
    static void (*const ROWS[])(size_t, size_t, const REAL *, const REAL *, size_t, const REAL *, bool, REAL *) = {
        NAME(row_1), NAME(row_2), NAME(row_3), NAME(row_4), NAME(row_5), NAME(row_6), NAME(row_7), NAME(row_8)};

    for (size_t j = 0; j < n; j += TILE_VECTORS * LANES) {
        const size_t width = min(n - j, TILE_VECTORS * LANES);

        ROWS[(width - 1) / LANES](width, k, a, B + j, ldb, s ? s + j : NULL, relu, c + j);
    }
}

static NOINLINE void NAME(layer_of_rows)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B,
                                         size_t ldb, const REAL *b, ml__activation f, REAL *C, size_t ldc)
{
    NAME(operands) o = NAME(describe)(m, n, k, A, lda, 1, B, ldb, 1, 1, b, C, ldc);

    o.s_row = 0;
    o.relu = f == ML__RELU;
    if (f == ML__TANH || f == ML__LOGISTIC)
        NAME(multiply_and_finish)(&o, NAME(activate), &(NAME(activation)){f, NULL, 0});
    else
        NAME(multiply_rows)(&o);
}

void PUBLIC(layer)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb, const REAL *b,
                   ml__activation f, REAL *C, size_t ldc)
{
    if (m == 1 && !(n == 1 && k >= COLUMN_TERMS)) {
        NAME(multiply_row)(n, k, A, B, ldb, b, f == ML__RELU, C);
        if (f == ML__TANH || f == ML__LOGISTIC)
            NAME(activate)(&(NAME(activation)){f, NULL, 0}, 0, 1, 0, n, C, n);
    } else {
        NAME(layer_of_rows)(m, n, k, A, lda, B, ldb, b, f, C, ldc);
    }
}

/* Loading is what four or more chains wait for: they load four elements at once, where lanes can be spread for nothing. */
#ifdef FOUR
#define CHAIN_ELEMENT(i) (chains >= 4 ? ONE_OF(FOUR(a + (i) / 4 * 4), (i) % 4) : BROADCAST(a + (i)))
#else
#define CHAIN_ELEMENT(i) BROADCAST(a + (i))
#endif

/* As many chains as fill the multipliers, which take some eight products before the first is done. */
ML__CHAINS(1, 8)
ML__CHAINS(2, 4)
ML__CHAINS(3, 4)
#if LANES == 16 /* and registers for as many */
ML__CHAINS(4, 4)
#else
ML__CHAINS(4, 2)
#endif
ML__CHAINS(5, 1)
ML__CHAINS(6, 1)
ML__CHAINS(7, 1)
ML__CHAINS(8, 1)
#undef CHAIN_ELEMENT

/* Whole vectors are stored: who reads single elements soon would wait for a part of one. */
void PUBLIC(layer_row)(size_t n, size_t k, const REAL *a, const REAL *B, size_t ldb, const REAL *b, ml__activation f,
                       REAL *c)
{
    static void (*const ROWS[])(size_t, size_t, const REAL *, const REAL *, size_t, const REAL *, bool,
                                REAL *) = {NAME(chains_1), NAME(chains_2), NAME(chains_3), NAME(chains_4),
                                           NAME(chains_5), NAME(chains_6), NAME(chains_7), NAME(chains_8)};

    for (size_t j = 0; j < n; j += TILE_VECTORS * LANES) {
        const size_t width = min(n - j, TILE_VECTORS * LANES);

        ROWS[(width - 1) / LANES](width, k, a, B + j, ldb, b ? b + j : NULL, f == ML__RELU, c + j);
    }
    if (f == ML__TANH || f == ML__LOGISTIC)
        NAME(activate)(&(NAME(activation)){f, NULL, 0}, 0, 1, 0, n, c, n);
}

void PUBLIC(layer_back)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb,
                        ml__activation f, const REAL *H, size_t ldh, REAL *C, size_t ldc)
{
    NAME(operands) o = NAME(describe)(m, n, k, A, lda, 1, B, 1, ldb, 1, NULL, C, ldc);

    if (f == ML__RELU && !NAME(comes_otherwise)(&o)) {
        o.H = H;
        o.ldh = ldh;
        NAME(run_blocks)(&o);
    } else if (f == ML__IDENTITY) {
        NAME(multiply_rows)(&o);
    } else {
        NAME(multiply_and_finish)(&o, NAME(differentiate), &(NAME(activation)){f, H, ldh});
    }
}

/* ---- Adam ---- */

/* Rows of the gradient, ldg apart, of the weights from `at` on. */
typedef struct {
    const REAL *G;
    size_t m, n, ldg, at;
} NAME(gradient);

typedef struct {
    VECTOR beta_1, rest_1, beta_2, rest_2, rate, epsilon;
    REAL *weights, *means, *squares; /* W, and its moments M and V */
    size_t m, ldw;
    NAME(gradient) waiting; /* whose step is still to be made */
    REAL *G[2];             /* where gradients of tiles go in turn */
} NAME(adam);

/* The step of the weights of one vector, all of it or a part. */
static inline void NAME(adam_vector)(const NAME(adam) * a, const REAL *G, REAL *W, REAL *M, REAL *V, bool whole,
                                     PART part)
{
    const VECTOR g = whole ? LOAD(G) : LOAD_PART(G, part), w = whole ? LOAD(W) : LOAD_PART(W, part);
    const VECTOR m = a->beta_1 * (whole ? LOAD(M) : LOAD_PART(M, part)) + a->rest_1 * g;
    const VECTOR v = a->beta_2 * (whole ? LOAD(V) : LOAD_PART(V, part)) + a->rest_2 * (g * g);
    const VECTOR new_w = w - a->rate * m / (SQRT(v) + a->epsilon);

    if (whole) {
        STORE(M, m);
        STORE(V, v);
        STORE(W, new_w);
    } else {
        STORE_PART(M, part, m);
        STORE_PART(V, part, v);
        STORE_PART(W, part, new_w);
    }
}

static void NAME(adam_row)(const NAME(adam) * a, size_t n, const REAL *G, size_t at)
{
    const size_t whole = n / LANES * LANES;
    const PART rest = PART_OF(n - whole);
    REAL *W = a->weights + at, *M = a->means + at, *V = a->squares + at;

    for (size_t j = 0; j < whole; j += LANES)
        NAME(adam_vector)(a, G + j, W + j, M + j, V + j, true, rest);
    if (whole < n)
        NAME(adam_vector)(a, G + whole, W + whole, M + whole, V + whole, false, rest);
}

/* Lines of weights and moments that will be changed soon. */
static inline void NAME(fetch)(const NAME(adam) * a, size_t at, size_t n)
{
    for (size_t q = 0; q < n; q += 64 / sizeof(REAL)) {
        __builtin_prefetch(a->weights + at + q, 1);
        __builtin_prefetch(a->means + at + q, 1);
        __builtin_prefetch(a->squares + at + q, 1);
    }
}

/* The weights of a tile, whose gradient is G; those of the next one are fetched meanwhile. */
static void NAME(adam_tile)(const void *with, size_t i, size_t m, size_t j, size_t n, REAL *G, size_t ldg)
{
    const NAME(adam) *a = with;

    for (size_t r = 0; r < m; r++, G += ldg) {
        NAME(fetch)(a, min(i + r + m, a->m - 1) * a->ldw + j, n);
        NAME(adam_row)(a, n, G, (i + r) * a->ldw + j);
    }
}

#ifdef ADAM_ROWS

static void NAME(make_waiting_step)(NAME(adam) * a)
{
    const NAME(gradient) *w = &a->waiting;

    for (size_t r = 0; r < w->m; r++)
        NAME(adam_row)(a, w->n, w->G + r * w->ldg, w->at + r * a->ldw);
    a->waiting.m = 0;
}

ML__ADAM_TILE(1, 1)
ML__ADAM_TILE(2, 1)
ML__ADAM_TILE(3, 1)
ML__ADAM_TILE(4, 1)
ML__ADAM_TILE(5, 1)
ML__ADAM_TILE(6, 1)
ML__ADAM_TILE(7, 1)
ML__ADAM_TILE(8, 1)
ML__ADAM_TILE(1, 2)
ML__ADAM_TILE(2, 2)
ML__ADAM_TILE(3, 2)
ML__ADAM_TILE(4, 2)
ML__ADAM_TILE(5, 2)
ML__ADAM_TILE(6, 2)
ML__ADAM_TILE(7, 2)
ML__ADAM_TILE(8, 2)
ML__ADAM_TILE(9, 1)
ML__ADAM_TILE(10, 1)
ML__ADAM_TILE(11, 1)
ML__ADAM_TILE(12, 1)
ML__ADAM_TILE(9, 2)
ML__ADAM_TILE(10, 2)
ML__ADAM_TILE(11, 2)
ML__ADAM_TILE(12, 2)

#define TILE(m, v) NAME(adam_tile_##m##_##v)
/* Tiles of a panel, each with the step of the one before. */
static void NAME(run_adam_tiles)(void *with, NAME(panel) * p, size_t vectors, size_t rows, size_t n_tiles)
{
    static void (*const TILES[][ADAM_ROWS])(const NAME(adam) *, const NAME(panel) *, REAL *) = {
        {TILE(1, 1), TILE(2, 1), TILE(3, 1), TILE(4, 1), TILE(5, 1), TILE(6, 1), TILE(7, 1), TILE(8, 1), TILE(9, 1),
         TILE(10, 1), TILE(11, 1), TILE(12, 1)},
        {TILE(1, 2), TILE(2, 2), TILE(3, 2), TILE(4, 2), TILE(5, 2), TILE(6, 2), TILE(7, 2), TILE(8, 2), TILE(9, 2),
         TILE(10, 2), TILE(11, 2), TILE(12, 2)}};
    NAME(adam) *a = with;

    for (; n_tiles > 0; n_tiles--) {
        REAL *G = a->G[a->waiting.G == a->G[0]];

        if (a->waiting.n + LANES <= p->n || p->n + LANES <= a->waiting.n)
            NAME(make_waiting_step)(a);
        TILES[vectors - 1][rows - 1](a, p, G);
        a->waiting = (NAME(gradient)){G, rows, p->n, vectors * LANES, p->i * a->ldw + p->j};
        p->i += rows;
        p->A += rows * p->a_row;
        p->S = p->S ? p->S + rows * p->s_row : NULL;
    }
}
#undef TILE

#endif

/* Few columns: rows of W without gaps are one long row. */
static void NAME(adam_narrow)(const NAME(operands) * o, const NAME(adam) * a)
{
    REAL G[BUFFER / sizeof(REAL)];
    const size_t rows = BUFFER / sizeof(REAL) / o->n;
    NAME(operands) part = *o;

    part.C = G;
    part.c_row = o->n;
    for (size_t i = 0; i < o->m; i += rows) {
        part.m = min(o->m - i, rows);
        part.A = o->A + i * o->a_row;
        part.S = o->S ? o->S + i * o->s_row : NULL;
        NAME(product)(&part);
        if (a->ldw == o->n)
            NAME(adam_row)(a, part.m * o->n, G, i * o->n);
        for (size_t r = 0; r < part.m && a->ldw != o->n; r++)
            NAME(adam_row)(a, o->n, G + r * o->n, (i + r) * a->ldw);
    }
}

/* Gradients start from penalty W, and do not leave the first cache. */
static void NAME(adam_wide)(const NAME(operands) * o, NAME(adam) * a)
{
    _Alignas(64) REAL G[TILE_ROWS * TILE_VECTORS * LANES];
    NAME(operands) tiles = *o;

    tiles.C = G;
    tiles.c_row = TILE_VECTORS * LANES;
    tiles.finish = NAME(adam_tile);
    tiles.with = a;
    tiles.is_spent = true;
#ifdef ADAM_ROWS
    a->G[0] = G;
    a->G[1] = G + ADAM_ROWS * 2 * LANES;
    tiles.runner = NAME(run_adam_tiles);
    tiles.runs_with = a;
    tiles.runner_rows = o->k < FEW_TERMS ? ADAM_ROWS_FEW : ADAM_ROWS;
    NAME(run_blocks)(&tiles);
    NAME(make_waiting_step)(a);
#else
    NAME(run_blocks)(&tiles);
#endif
}

/* One row of weights without penalty, of an input that lies in one piece: the biases. */
static void NAME(adam_biases)(const NAME(operands) * o, const NAME(adam) * a)
{
    _Alignas(64) REAL G[TILE_VECTORS * LANES];

    for (size_t j = 0; j < o->n; j += TILE_VECTORS * LANES) {
        const size_t n = min(o->n - j, TILE_VECTORS * LANES);

        NAME(multiply_row)(n, o->k, o->A, o->B + j, o->b_term, NULL, false, G);
        NAME(adam_row)(a, n, G, j);
    }
}

void PUBLIC(adam_tn)(size_t m, size_t n, size_t k, const REAL *A, size_t lda, const REAL *B, size_t ldb,
                     const ml__adam *step, REAL *W, REAL *M, REAL *V, size_t ldw)
{
    const REAL constants[] = {(REAL)step->beta_1,       (REAL)(1 - step->beta_1), (REAL)step->beta_2,
                              (REAL)(1 - step->beta_2), (REAL)step->rate,         (REAL)step->epsilon};
    NAME(adam)
    a = {.beta_1 = BROADCAST(constants),
         .rest_1 = BROADCAST(constants + 1),
         .beta_2 = BROADCAST(constants + 2),
         .rest_2 = BROADCAST(constants + 3),
         .rate = BROADCAST(constants + 4),
         .epsilon = BROADCAST(constants + 5),
         .weights = W,
         .means = M,
         .squares = V,
         .m = m,
         .ldw = ldw};
    const NAME(operands) o = {.m = m,
                              .n = n,
                              .k = k,
                              .A = A,
                              .a_row = 1,
                              .a_term = lda,
                              .B = B,
                              .b_term = ldb,
                              .b_column = 1,
                              .beta = (REAL)step->penalty,
                              .S = (REAL)step->penalty != 0 ? W : NULL,
                              .s_row = ldw,
                              .s_column = 1,
                              .c_column = 1};

    if (n == 0)
        return;
    if (m == 1 && lda == 1 && !o.S)
        NAME(adam_biases)(&o, &a);
    else if (n <= 2 * LANES && n % LANES)
        NAME(adam_narrow)(&o, &a);
    else
        NAME(adam_wide)(&o, &a);
}
