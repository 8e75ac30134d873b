/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations that do more than a product, against the same work in steps by the same table: equal to the last bit,
 * where the table's products are chains. No include guard: check_ops_tmpl.h includes this for each precision.
 */

static R NAME(derivative)(ml__activation f, R h, R c)
{
    const R one = 1;
    R slope;

    switch (f) {
    case ML__RELU:
        return h > 0 ? c : 0;
    case ML__LOGISTIC:
        slope = one - h;
        slope = h * slope;
        return c * slope;
    case ML__TANH:
        slope = h * h;
        slope = one - slope;
        return c * slope;
    default:
        return c;
    }
}

static void NAME(activate)(const TABLE *t, ml__activation f, size_t n, R *c)
{
    if (f == ML__TANH)
        t->vtanh(n, c, c);
    if (f == ML__LOGISTIC)
        t->vlogistic(n, c, c);
    for (size_t j = 0; j < n && f == ML__RELU; j++)
        c[j] = c[j] < 0 ? 0 : c[j];
}

static void NAME(check_same)(const NAME(matrix) * got, const NAME(matrix) * want, const char *name)
{
    for (size_t i = 0; i < got->rows; i++)
        for (size_t j = 0; j < got->columns; j++)
            check_that(NAME(same_bits)(got->at[i * got->ld + j], want->at[i * want->ld + j]),
                       "%s(%zu, %zu) is %g, in steps %g", name, i, j, (double)got->at[i * got->ld + j],
                       (double)want->at[i * want->ld + j]);
}

static void NAME(begin_fused)(const ml__kernels *table, const char *op, const fused_case *c)
{
    check_begin("%s " PRECISION " %s %zu x %zu x %zu, %s, %s", table->name, op, c->m, c->n, c->k,
                ACTIVATION_NAMES[c->f], LAYOUTS[c->layout].name);
}

/* The whole, then its rows in two halves: the bits of a row do not depend on the others. */
static void NAME(check_layer_case)(const ml__kernels *table, const fused_case *c, uint64_t *state)
{
    const TABLE *t = &table->MEMBER;
    const size_t half = c->m / 2;
    NAME(matrix) A = NAME(make_matrix)(c->m, c->k, c->layout, false);
    NAME(matrix) B = NAME(make_matrix)(c->k, c->n, c->layout, false);
    NAME(matrix) b = NAME(make_matrix)(1, c->n, c->layout, false);
    NAME(matrix) C = NAME(make_matrix)(c->m, c->n, c->layout, true);
    NAME(matrix) want = NAME(make_matrix)(c->m, c->n, c->layout, true);

    NAME(begin_fused)(table, c->with ? "layer" : "layer without bias", c);
    NAME(fill_matrix)(&A, c->fill, state);
    NAME(fill_matrix)(&B, c->fill, state);
    NAME(fill_matrix)(&b, c->fill, state);
    if (c->poisoned)
        NAME(poison_matrix)(&A, NAN, state);
    NAME(remember)(&C);
    for (size_t i = 0; i < c->m && c->with; i++)
        memcpy(want.at + i * want.ld, b.at, c->n * sizeof(R));
    t->gemm_nn(c->m, c->n, c->k, A.at, A.ld, B.at, B.ld, c->with, want.at, want.ld);
    for (size_t i = 0; i < c->m; i++)
        NAME(activate)(t, c->f, c->n, want.at + i * want.ld);
    t->layer(c->m, c->n, c->k, A.at, A.ld, B.at, B.ld, c->with ? b.at : NULL, c->f, C.at, C.ld);
    NAME(check_same)(&C, &want, "C");
    NAME(check_untouched)(&C, "C", false, false);
    NAME(digest_matrix)(&C);
    t->layer(half, c->n, c->k, A.at, A.ld, B.at, B.ld, c->with ? b.at : NULL, c->f, C.at, C.ld);
    t->layer(c->m - half, c->n, c->k, A.at + half * A.ld, A.ld, B.at, B.ld, c->with ? b.at : NULL, c->f,
             C.at + half * C.ld, C.ld);
    NAME(check_same)(&C, &want, "in halves C");
    check_end();
    NAME(free_matrix)(&A);
    NAME(free_matrix)(&B);
    NAME(free_matrix)(&b);
    NAME(free_matrix)(&C);
    NAME(free_matrix)(&want);
}

static void NAME(check_layer_back_case)(const ml__kernels *table, const fused_case *c, uint64_t *state)
{
    const TABLE *t = &table->MEMBER;
    const size_t half = c->m / 2;
    NAME(matrix) A = NAME(make_matrix)(c->m, c->k, c->layout, false);
    NAME(matrix) B = NAME(make_matrix)(c->n, c->k, c->layout, false);
    NAME(matrix) H = NAME(make_matrix)(c->m, c->n, N_LAYOUTS - 1 - c->layout, false);
    NAME(matrix) C = NAME(make_matrix)(c->m, c->n, c->layout, true);
    NAME(matrix) want = NAME(make_matrix)(c->m, c->n, c->layout, true);

    NAME(begin_fused)(table, "layer_back", c);
    NAME(fill_matrix)(&A, c->fill, state);
    NAME(fill_matrix)(&B, c->fill, state);
    NAME(fill_matrix)(&H, MANY_ZEROS, state);
    if (c->poisoned)
        NAME(poison_matrix)(&H, NAN, state);
    NAME(remember)(&C);
    t->gemm_nt(c->m, c->n, c->k, A.at, A.ld, B.at, B.ld, 0, want.at, want.ld);
    for (size_t i = 0; i < c->m; i++)
        for (size_t j = 0; j < c->n; j++)
            want.at[i * want.ld + j] = NAME(derivative)(c->f, H.at[i * H.ld + j], want.at[i * want.ld + j]);
    t->layer_back(c->m, c->n, c->k, A.at, A.ld, B.at, B.ld, c->f, H.at, H.ld, C.at, C.ld);
    NAME(check_same)(&C, &want, "C");
    NAME(check_untouched)(&C, "C", false, false);
    NAME(digest_matrix)(&C);
    t->layer_back(half, c->n, c->k, A.at, A.ld, B.at, B.ld, c->f, H.at, H.ld, C.at, C.ld);
    t->layer_back(c->m - half, c->n, c->k, A.at + half * A.ld, A.ld, B.at, B.ld, c->f, H.at + half * H.ld, H.ld,
                  C.at + half * C.ld, C.ld);
    NAME(check_same)(&C, &want, "in halves C");
    check_end();
    NAME(free_matrix)(&A);
    NAME(free_matrix)(&B);
    NAME(free_matrix)(&H);
    NAME(free_matrix)(&C);
    NAME(free_matrix)(&want);
}

/* ---- a step of Adam ---- */

typedef struct {
    NAME(matrix) A, B, W, M, V;
    ml__adam step;
} NAME(adam_case);

static NAME(adam_case) NAME(make_adam)(const fused_case *c, uint64_t *state)
{
    NAME(adam_case)
    a = {.A = NAME(make_matrix)(c->k, c->m, c->layout, false),
         .B = NAME(make_matrix)(c->k, c->n, c->layout, false),
         .W = NAME(make_matrix)(c->m, c->n, c->layout, true),
         .M = NAME(make_matrix)(c->m, c->n, c->layout, true),
         .V = NAME(make_matrix)(c->m, c->n, c->layout, true),
         .step = {0.003, 0.9, 0.999, 1e-8, c->with ? 0.01 : 0}};

    NAME(fill_matrix)(&a.A, c->fill, state);
    NAME(fill_matrix)(&a.B, c->fill, state);
    NAME(fill_matrix)(&a.W, UNIT, state);
    NAME(fill_matrix)(&a.M, UNIT, state);
    for (size_t i = 0; i < c->m; i++)
        for (size_t j = 0; j < c->n; j++)
            a.V.at[i * a.V.ld + j] = (R)fabs(check_uniform(state));
    return a;
}

static void NAME(free_adam)(NAME(adam_case) * a)
{
    NAME(free_matrix)(&a->A);
    NAME(free_matrix)(&a->B);
    NAME(free_matrix)(&a->W);
    NAME(free_matrix)(&a->M);
    NAME(free_matrix)(&a->V);
}

/* In steps: every operation rounded to R. */
static void NAME(adam_in_steps)(const TABLE *t, const fused_case *c, NAME(adam_case) * a)
{
    const R b1 = (R)a->step.beta_1, c1 = (R)(1 - a->step.beta_1), b2 = (R)a->step.beta_2;
    const R c2 = (R)(1 - a->step.beta_2), rate = (R)a->step.rate, epsilon = (R)a->step.epsilon;
    NAME(matrix) G = NAME(make_matrix)(c->m, c->n, 0, true);

    for (size_t i = 0; i < c->m && c->with; i++)
        memcpy(G.at + i * G.ld, a->W.at + i * a->W.ld, c->n * sizeof(R));
    t->gemm_tn(c->m, c->n, c->k, a->A.at, a->A.ld, a->B.at, a->B.ld, (R)a->step.penalty, G.at, G.ld);
    for (size_t i = 0; i < c->m; i++)
        for (size_t j = 0; j < c->n; j++) {
            const size_t at = i * a->W.ld + j;
            const R g = G.at[i * G.ld + j];
            R *w = a->W.at + at, *m = a->M.at + at, *v = a->V.at + at;

            *m = b1 * *m + c1 * g;
            *v = b2 * *v + c2 * (g * g);
            *w -= rate * *m / ((R)sqrt((double)*v) + epsilon);
        }
    NAME(free_matrix)(&G);
}

/* A block of the step: any division of W into blocks gives the same bits. */
static void NAME(adam_block)(const TABLE *t, const NAME(adam_case) * a, size_t k, size_t i, size_t m, size_t j,
                             size_t n)
{
    const size_t at = i * a->W.ld + j;

    t->adam_tn(m, n, k, a->A.at + i, a->A.ld, a->B.at + j, a->B.ld, &a->step, a->W.at + at, a->M.at + at, a->V.at + at,
               a->W.ld);
}

static void NAME(check_adam_case)(const ml__kernels *table, const fused_case *c, uint64_t *state)
{
    const TABLE *t = &table->MEMBER;
    const size_t half_m = c->m / 2, half_n = c->n / 2;
    uint64_t again = *state;
    NAME(adam_case) a = NAME(make_adam)(c, state), want = NAME(make_adam)(c, &again);

    NAME(begin_fused)(table, c->with ? "adam_tn with penalty" : "adam_tn", c);
    NAME(remember)(&a.W);
    NAME(remember)(&a.M);
    NAME(remember)(&a.V);
    NAME(adam_in_steps)(t, c, &want);
    NAME(adam_block)(t, &a, c->k, 0, c->m, 0, c->n);
    NAME(check_same)(&a.W, &want.W, "W");
    NAME(check_same)(&a.M, &want.M, "M");
    NAME(check_same)(&a.V, &want.V, "V");
    NAME(check_untouched)(&a.W, "W", false, false);
    NAME(check_untouched)(&a.M, "M", false, false);
    NAME(check_untouched)(&a.V, "V", false, false);
    NAME(digest_matrix)(&a.W);
    memcpy(a.W.all, a.W.copy, a.W.n_all * sizeof(R));
    memcpy(a.M.all, a.M.copy, a.M.n_all * sizeof(R));
    memcpy(a.V.all, a.V.copy, a.V.n_all * sizeof(R));
    NAME(adam_block)(t, &a, c->k, 0, half_m, 0, c->n);
    NAME(adam_block)(t, &a, c->k, half_m, c->m - half_m, 0, half_n);
    NAME(adam_block)(t, &a, c->k, half_m, c->m - half_m, half_n, c->n - half_n);
    NAME(check_same)(&a.W, &want.W, "in blocks W");
    check_end();
    NAME(free_adam)(&a);
    NAME(free_adam)(&want);
}

/* ---- shapes ---- */

typedef void NAME(fused_check)(const ml__kernels *table, const fused_case *c, uint64_t *state);

/* A table whose products are no chains gives other bits for other shapes: nothing to compare with here. */
static void NAME(check_fused)(const ml__kernels *table, NAME(fused_check) * check)
{
    uint64_t state = 17;

    for (size_t turn = 0; turn < N_FUSED_TURNS && table->chain != ML__CHAIN_NONE; turn++)
        for (size_t s = 0; s < N_FUSED; s++) {
            const uint64_t z = check_random(&state);
            const fused_case c = {.m = FUSED[s][0],
                                  .n = FUSED[s][1],
                                  .k = FUSED[s][2],
                                  .f = (ml__activation)(turn % N_ACTIVATIONS),
                                  .layout = z % N_LAYOUTS,
                                  .fill = z & 16 ? MIXED : UNIT,
                                  .with = (z & 32) != 0,
                                  .poisoned = (z & 448) == 0};

            check(table, &c, &state);
        }
}
