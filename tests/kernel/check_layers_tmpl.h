/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer, layer_row, layer_back and adam_tn of one table in one precision. Included by check_ops_tmpl.h, whose matrices, fills and
 * parameters it uses.
 */

/* All there is to a call: what an operation does not know stays empty. C is W for adam_tn, with M and V like it. */
typedef struct {
    NAME(matrix) A, B, b, H, C, M, V;
} NAME(layer_operands);

static const char *NAME(layer_name)(const char *table, const layer_case *p, const char *what)
{
    static char name[200];

    snprintf(name, sizeof name, "%s " PRECISION " %s%s %zu x %zu x %zu, %s%s, %s, %s%s", table, LAYER_NAMES[p->op],
             what, p->m, p->n, p->k, p->op == ADAM ? "" : ACTIVATION_NAMES[p->f],
             p->op == LAYER && !p->has_bias ? " without b" : "", LAYOUTS[p->layout].name, FILL_NAMES[p->fill],
             POISON_NAMES[p->poison]);
    return name;
}

/* Values of the activation; for ReLU any sign, zeros and NaN. */
static R NAME(activated)(ml__activation f, uint64_t *state)
{
    const double u = check_uniform(state);

    switch (f) {
    case ML__LOGISTIC:
        return (R)fabs(u);
    case ML__RELU:
        return check_random(state) % 5 ? (R)u : check_random(state) % 2 ? NAN : 0;
    default:
        return check_random(state) % 9 ? (R)u : 1;
    }
}

static NAME(layer_operands) NAME(make_layer)(const layer_case *p, uint64_t *state)
{
    const bool adam = p->op == ADAM, back = p->op == BACK;
    NAME(layer_operands) o;

    o.A = NAME(make_matrix)(adam ? p->k : p->m, adam ? p->m : p->k, p->layout, false);
    o.B = NAME(make_matrix)(back ? p->n : p->k, back ? p->k : p->n, (p->layout + 1) % N_LAYOUTS, false);
    o.b = NAME(make_matrix)(p->has_bias, p->n, p->layout, false);
    o.H = NAME(make_matrix)(back ? p->m : 0, p->n, (p->layout + 2) % N_LAYOUTS, false);
    o.C = NAME(make_matrix)(p->m, p->n, p->layout, true);
    o.M = NAME(make_matrix)(adam ? p->m : 0, p->n, p->layout, true);
    o.V = NAME(make_matrix)(adam ? p->m : 0, p->n, p->layout, true);
    NAME(fill_matrix)(&o.A, p->fill, state);
    NAME(fill_matrix)(&o.B, p->fill, state);
    NAME(fill_matrix)(&o.b, p->fill, state);
    for (size_t i = 0; i < o.H.rows; i++)
        for (size_t j = 0; j < o.H.columns; j++)
            o.H.at[i * o.H.ld + j] = NAME(activated)(p->f, state);
    if (adam) { /* otherwise C stays NaN */
        NAME(fill_matrix)(&o.C, UNIT, state);
        NAME(fill_matrix)(&o.M, p->fill, state);
        NAME(fill_matrix)(&o.V, p->fill, state);
        for (size_t i = 0; i < p->m; i++)
            for (size_t j = 0; j < p->n; j++)
                o.V.at[i * o.V.ld + j] = (R)fabs(o.V.at[i * o.V.ld + j]);
    }
    NAME(poison_factors)(&o.A, &o.B, p->poison, state);
    NAME(remember)(&o.A);
    NAME(remember)(&o.B);
    NAME(remember)(&o.b);
    NAME(remember)(&o.H);
    NAME(remember)(&o.C);
    NAME(remember)(&o.M);
    NAME(remember)(&o.V);
    return o;
}

static void NAME(free_layer)(NAME(layer_operands) * o)
{
    NAME(free_matrix)(&o->A);
    NAME(free_matrix)(&o->B);
    NAME(free_matrix)(&o->b);
    NAME(free_matrix)(&o->H);
    NAME(free_matrix)(&o->C);
    NAME(free_matrix)(&o->M);
    NAME(free_matrix)(&o->V);
}

/* The call for rows [i, i + m) and columns [j, j + n) of C. */
static void NAME(call_layer)(const TABLE *t, const layer_case *p, const NAME(layer_operands) * o, size_t i, size_t m,
                             size_t j, size_t n)
{
    const R *A = o->A.at + (p->op == ADAM ? i : i * o->A.ld), *B = o->B.at + (p->op == BACK ? j * o->B.ld : j);
    R *C = o->C.at + i * o->C.ld + j;

    switch (p->op) {
    case LAYER:
        t->layer(m, n, p->k, A, o->A.ld, B, o->B.ld, p->has_bias ? o->b.at + j : NULL, p->f, C, o->C.ld);
        break;
    case BACK:
        t->layer_back(m, n, p->k, A, o->A.ld, B, o->B.ld, p->f, o->H.at + i * o->H.ld + j, o->H.ld, C, o->C.ld);
        break;
    case ADAM:
        t->adam_tn(m, n, p->k, A, o->A.ld, B, o->B.ld, &p->step, C, o->M.at + i * o->M.ld + j,
                   o->V.at + i * o->V.ld + j, o->C.ld);
        break;
    case ALONE:
        t->layer_row(n, p->k, A, B, o->B.ld, p->has_bias ? o->b.at + j : NULL, p->f, C);
        break;
    }
}

static void NAME(call_whole)(const TABLE *t, const layer_case *p, const NAME(layer_operands) * o)
{
    NAME(call_layer)(t, p, o, 0, p->m, 0, p->n);
}

/* ---- elements against long double ---- */

/* A value, and how far from it any order of summation may end. */
typedef struct {
    long double value, bound;
} NAME(estimate);

static NAME(estimate)
    NAME(product_of)(const layer_case *p, const NAME(layer_operands) * o, long double start, size_t i, size_t j)
{
    const R *a = o->A.at + (p->op == ADAM ? i : i * o->A.ld), *b = o->B.at + (p->op == BACK ? j * o->B.ld : j);
    const size_t a_term = p->op == ADAM ? o->A.ld : 1, b_term = p->op == BACK ? 1 : o->B.ld;
    long double value = start, size = fabsl(start);

    for (size_t q = 0; q < p->k; q++) {
        const long double term = (long double)a[q * a_term] * b[q * b_term];
        value += term;
        size += fabsl(term);
    }
    return (NAME(estimate)){value, (p->k + 2) * (EPS * size + SMALLEST)};
}

/* Three units for the vector functions (check_vector), and |f'| <= 1. */
static void NAME(check_output)(const layer_case *p, const NAME(layer_operands) * o, size_t i, size_t j)
{
    const NAME(estimate) z = NAME(product_of)(p, o, p->has_bias ? o->b.at[j] : 0, i, j);
    const R got = o->C.at[i * o->C.ld + j];
    long double want = z.value, slack = 0;

    if (p->f == ML__RELU)
        want = want < 0 ? 0 : want;
    if (p->f == ML__LOGISTIC || p->f == ML__TANH) {
        want = p->f == ML__TANH ? tanhl(want) : NAME(logistic)(want);
        slack = 3 * (EPS * fabsl(want) + SMALLEST);
    }
    check_that(NAME(close)(got, want, z.bound + slack), "element (%zu, %zu) is %.17g, not %.17Lg", i, j, (double)got,
               want);
}

/* 1 - h h loses digits where h is close to 1. Behind a ReLU that is not open nothing counts, not even a NaN. */
static void NAME(check_delta)(const layer_case *p, const NAME(layer_operands) * o, size_t i, size_t j)
{
    const NAME(estimate) d = NAME(product_of)(p, o, 0, i, j);
    const R got = o->C.at[i * o->C.ld + j];
    const long double h = o->H.at[i * o->H.ld + j];
    const long double slope = p->f == ML__TANH ? 1 - h * h : p->f == ML__LOGISTIC ? h * (1 - h) : 1;
    const bool closed = p->f == ML__RELU && !(h > 0), exact = p->f == ML__RELU || p->f == ML__IDENTITY;
    const long double slack = exact ? 0 : 2 * EPS * fabsl(d.value) * (fabsl(slope) + h * h) + 2 * SMALLEST;
    const long double want = closed ? 0 : d.value * slope;

    check_that(NAME(close)(got, want, closed ? 0 : fabsl(slope) * d.bound + slack),
               "element (%zu, %zu) is %.17g, not %.17Lg", i, j, (double)got, want);
}

/* The moments from the gradient, and the weight from the moments as the table has them. */
static void NAME(check_weight)(const layer_case *p, const NAME(layer_operands) * o, size_t i, size_t j)
{
    const size_t at = i * o->C.ld + j, front = (size_t)(o->C.at - o->C.all);
    const R W0 = o->C.copy[front + at], M0 = o->M.copy[front + at], V0 = o->V.copy[front + at];
    const R W = o->C.at[at], M = o->M.at[at], V = o->V.at[at];
    const long double b1 = (R)p->step.beta_1, c1 = (R)(1 - p->step.beta_1);
    const long double b2 = (R)p->step.beta_2, c2 = (R)(1 - p->step.beta_2);
    const NAME(estimate) g = NAME(product_of)(p, o, (long double)(R)p->step.penalty * W0, i, j);
    const long double bound = g.bound + EPS * fabsl(p->step.penalty * W0);
    const long double m = b1 * M0 + c1 * g.value, v = b2 * V0 + c2 * g.value * g.value;
    const long double root = sqrtl(V) + p->step.epsilon, move = p->step.rate * M / root;

    check_that(NAME(close)(M, m, c1 * bound + 3 * EPS * (fabsl(b1 * M0) + fabsl(c1 * g.value)) + 3 * SMALLEST),
               "M(%zu, %zu) is %.17g, not %.17Lg", i, j, (double)M, m);
    check_that(NAME(close)(V, v, c2 * bound * (2 * fabsl(g.value) + bound) + 3 * EPS * v + 3 * SMALLEST),
               "V(%zu, %zu) is %.17g, not %.17Lg", i, j, (double)V, v);
    check_that(NAME(close)(W, W0 - move, 4 * EPS * fabsl(move) + EPS * fabsl(W0) + 2 * SMALLEST / root),
               "W(%zu, %zu) is %.17g, not %.17Lg", i, j, (double)W, W0 - move);
}

static void NAME(check_layer_values)(const ml__kernels *table, const layer_case *p, uint64_t *state)
{
    NAME(layer_operands) o = NAME(make_layer)(p, state);

    check_begin("%s", NAME(layer_name)(table->name, p, ""));
    NAME(call_whole)(&table->MEMBER, p, &o);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++)
            if (p->op == LAYER)
                NAME(check_output)(p, &o, i, j);
            else if (p->op == BACK)
                NAME(check_delta)(p, &o, i, j);
            else
                NAME(check_weight)(p, &o, i, j);
    NAME(check_untouched)(&o.A, "A", false, true);
    NAME(check_untouched)(&o.B, "B", false, true);
    NAME(check_untouched)(&o.b, "b", false, true);
    NAME(check_untouched)(&o.H, "H", false, true);
    NAME(check_untouched)(&o.C, p->op == ADAM ? "W" : "C", false, false);
    NAME(check_untouched)(&o.M, "M", false, false);
    NAME(check_untouched)(&o.V, "V", false, false);
    NAME(digest_matrix)(&o.C);
    check_end();
    NAME(free_layer)(&o);
}

/* ---- the same bits in pieces, and when inputs are one ---- */

static bool NAME(same_matrix)(const NAME(matrix) * X, const NAME(matrix) * Y)
{
    return memcmp(X->all, Y->all, X->n_all * sizeof(R)) == 0;
}

static void NAME(check_layer_pieces)(const ml__kernels *table, const layer_case *p, uint64_t *state)
{
    uint64_t again = *state;
    NAME(layer_operands) whole = NAME(make_layer)(p, state), cut = NAME(make_layer)(p, &again);
    const size_t i = check_random(state) % (p->m + 1);
    size_t j = check_random(state) % (p->n + 1);

    if (table->chain == ML__CHAIN_FUSED && p->op != ADAM && (j == 1 || p->n - j == 1))
        j = 0; /* one column may have an order of its own */
    check_begin("%s", NAME(layer_name)(table->name, p, " in pieces"));
    NAME(call_whole)(&table->MEMBER, p, &whole);
    NAME(call_layer)(&table->MEMBER, p, &cut, 0, i, 0, j);
    NAME(call_layer)(&table->MEMBER, p, &cut, i, p->m - i, 0, j);
    for (size_t row = 0; row < p->m; row++)
        NAME(call_layer)(&table->MEMBER, p, &cut, row, 1, j, p->n - j);
    check_that(NAME(same_matrix)(&whole.C, &cut.C), "cut at row %zu, column %zu differs", i, j);
    check_that(NAME(same_matrix)(&whole.M, &cut.M) && NAME(same_matrix)(&whole.V, &cut.V), "moments differ");
    check_end();
    NAME(free_layer)(&whole);
    NAME(free_layer)(&cut);
}

/* n x n x n, with B the same memory as A, b the first row of it, and H too. */
static void NAME(check_shared_inputs)(const ml__kernels *table, layer_op op, size_t n, uint64_t *state)
{
    const layer_case p = {.op = op, .m = n, .n = n, .k = n, .f = ML__TANH, .has_bias = op == LAYER, .step = STEP};
    uint64_t again = *state;
    NAME(layer_operands) one = NAME(make_layer)(&p, state), many = NAME(make_layer)(&p, &again), shared = one;

    check_begin("%s", NAME(layer_name)(table->name, &p, " with one input"));
    for (size_t i = 0; i < n; i++) {
        memcpy(many.B.at + i * many.B.ld, many.A.at + i * many.A.ld, n * sizeof(R));
        if (op == BACK)
            memcpy(many.H.at + i * many.H.ld, many.A.at + i * many.A.ld, n * sizeof(R));
    }
    if (op == LAYER)
        memcpy(many.b.at, many.A.at, n * sizeof(R));
    shared.B = shared.H = shared.b = one.A;
    NAME(call_whole)(&table->MEMBER, &p, &shared);
    NAME(call_whole)(&table->MEMBER, &p, &many);
    check_that(NAME(same_matrix)(&one.C, &many.C), "differs from copies");
    NAME(check_untouched)(&one.A, "A", false, true);
    check_end();
    NAME(free_layer)(&one);
    NAME(free_layer)(&many);
}

/* ---- shapes ---- */

static void NAME(check_layer_shape)(const ml__kernels *table, layer_op op, size_t m, size_t n, size_t k,
                                    uint64_t *state)
{
    const uint64_t z = check_random(state);
    const size_t n_fills = m * n * k > 40000 ? TINY_VALUES : N_FILLS;
    layer_case p = {.op = op,
                    .m = m,
                    .n = n,
                    .k = k,
                    .f = (ml__activation)(z % N_ACTIVATIONS),
                    .has_bias = op == LAYER && z / 8 % 2,
                    .layout = z / 16 % N_LAYOUTS,
                    .fill = z / 64 % n_fills,
                    .step = STEP};

    if (z / 1024 % 4 == 0)
        p.step.penalty = 0;
    NAME(check_layer_values)(table, &p, state);
    if (table->chain != ML__CHAIN_NONE)
        NAME(check_layer_pieces)(table, &p, state);
    p.fill = UNIT;
    p.poison = 1 + z / 4096 % (N_POISONS - 1);
    NAME(check_layer_values)(table, &p, state);
}

/* One row, twice: where it goes lies otherwise, with the room that it may write to. */
static void NAME(check_row_alone)(const ml__kernels *table, const layer_case *p, uint64_t *state)
{
    NAME(layer_operands) o = NAME(make_layer)(p, state);
    NAME(matrix) again = NAME(make_matrix)(1, (p->n + 15) / 16 * 16, (p->layout + 1) % N_LAYOUTS, true);

    check_begin("%s", NAME(layer_name)(table->name, p, ""));
    NAME(free_matrix)(&o.C);
    o.C = again;
    NAME(remember)(&o.C);
    NAME(call_whole)(&table->MEMBER, p, &o);
    NAME(check_untouched)(&o.C, "c", false, false);
    o.C = NAME(make_matrix)(1, again.columns, p->layout, true);
    NAME(remember)(&o.C);
    NAME(call_whole)(&table->MEMBER, p, &o);
    for (size_t j = 0; j < p->n; j++) {
        NAME(check_output)(p, &o, 0, j);
        check_that(NAME(same_bits)(o.C.at[j], again.at[j]), "element %zu is %.17g, then %.17g", j, (double)again.at[j],
                   (double)o.C.at[j]);
    }
    NAME(check_untouched)(&o.A, "a", false, true);
    NAME(check_untouched)(&o.B, "B", false, true);
    NAME(check_untouched)(&o.b, "b", false, true);
    NAME(check_untouched)(&o.C, "c", false, false);
    check_digest(o.C.at, p->n * sizeof(R));
    check_end();
    NAME(free_matrix)(&again);
    NAME(free_layer)(&o);
}

static void NAME(check_row_alone_shape)(const ml__kernels *table, size_t n, size_t k, uint64_t *state)
{
    layer_case p = {.op = ALONE, .m = 1, .n = n, .k = k};

    for (size_t turn = 0; turn < 2 * N_ACTIVATIONS; turn++) {
        p.f = (ml__activation)(turn % N_ACTIVATIONS);
        p.has_bias = turn >= N_ACTIVATIONS;
        p.layout = (turn + n) % N_LAYOUTS;
        p.fill = (fill)((turn + k) % N_FILLS);
        p.poison = CLEAN;
        NAME(check_row_alone)(table, &p, state);
        p.fill = UNIT;
        p.poison = (poison)(1 + turn % (N_POISONS - 1));
        NAME(check_row_alone)(table, &p, state);
    }
}

static void NAME(check_layer_row)(const ml__kernels *table)
{
    static const size_t WIDTHS[] = {1,  3,  4,  7,  8,  15, 16, 17,  24,  25,  31, 32,
                                    33, 48, 50, 64, 79, 80, 96, 112, 128, 130, 300};
    static const size_t TERMS[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 20, 33, 64, 300};
    uint64_t state = 23;

    check_begin("%s " PRECISION " layer_row on nothing", table->name);
    table->MEMBER.layer_row(0, 0, NULL, NULL, 0, NULL, ML__TANH, NULL);
    table->MEMBER.layer_row(0, 5, NULL, NULL, 0, NULL, ML__TANH, NULL);
    check_end();
    for (size_t w = 0; w < sizeof WIDTHS / sizeof WIDTHS[0]; w++)
        for (size_t t = 0; t < sizeof TERMS / sizeof TERMS[0]; t++)
            NAME(check_row_alone_shape)(table, WIDTHS[w], TERMS[t], &state);
}

/* Sizes of 0 need no memory. */
static void NAME(check_layer_on_nothing)(const ml__kernels *table, layer_op op)
{
    const TABLE *t = &table->MEMBER;
    const size_t shapes[][3] = {{0, 0, 0}, {0, 0, 5}, {5, 0, 0}, {0, 5, 0}};

    check_begin("%s " PRECISION " %s on NULL", table->name, LAYER_NAMES[op]);
    for (size_t s = 0; s < 4; s++) {
        const size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];

        if (op == LAYER)
            t->layer(m, n, k, NULL, k, NULL, n, NULL, ML__TANH, NULL, n);
        else if (op == BACK)
            t->layer_back(m, n, k, NULL, k, NULL, k, ML__TANH, NULL, n, NULL, n);
        else
            t->adam_tn(m, n, k, NULL, m, NULL, n, &STEP, NULL, NULL, NULL, n);
    }
    check_end();
}

static void NAME(check_layers)(const ml__kernels *table, layer_op op)
{
    uint64_t state = 17 + op;

    NAME(check_layer_on_nothing)(table, op);
    for (size_t a = 0; a < N_SMALL; a++)
        for (size_t b = 0; b < N_SMALL; b++)
            for (size_t c = 0; c < N_SMALL; c++)
                NAME(check_layer_shape)(table, op, SMALL[a], SMALL[b], SMALL[c], &state);
    for (size_t a = 0; a < N_LARGE; a++)
        for (size_t b = 0; b < N_LARGE; b++)
            for (size_t c = 0; c < N_LARGE; c++)
                NAME(check_layer_shape)(table, op, LARGE[a], LARGE[b], LARGE[c], &state);
    for (size_t s = 0; s < N_BLOCKS; s++)
        NAME(check_layer_shape)(table, op, BLOCKS[s][0], BLOCKS[s][1], BLOCKS[s][2], &state);
    for (size_t a = 1; a < N_SMALL; a++)
        NAME(check_shared_inputs)(table, op, SMALL[a], &state);
}

static void NAME(check_layer)(const ml__kernels *table)
{
    NAME(check_layers)(table, LAYER);
    NAME(check_fused)(table, NAME(check_layer_case));
}

static void NAME(check_layer_back)(const ml__kernels *table)
{
    NAME(check_layers)(table, BACK);
    NAME(check_fused)(table, NAME(check_layer_back_case));
}

static void NAME(check_adam_tn)(const ml__kernels *table)
{
    NAME(check_layers)(table, ADAM);
    NAME(check_fused)(table, NAME(check_adam_case));
}
