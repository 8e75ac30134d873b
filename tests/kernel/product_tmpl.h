/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared products of one precision. No include guard: test_product.c includes this twice with
 *     R              the element type
 *     NAME(f)        the name of f in this precision
 *     CREW, MEMBER   the crew's type, the precision's member of ml__kernels
 *     PRODUCT(f)     the shared product f
 */

/* C is W for a step of Adam; M and V are like it. Rows of all matrices are GAP elements further apart than needed. */
typedef struct {
    R *A, *B, *b, *H, *C, *M, *V;
    size_t lda, ldb, ldc, n_C;
} NAME(operands);

/* In [0, 1), scattered as multiples of the golden ratio are. */
static R *NAME(draw)(uint32_t start, size_t n)
{
    R *x = malloc((n + 1) * sizeof *x);

    CHECK(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (R)((start + (uint32_t)i * UINT32_C(2654435769)) >> 8) * (R)0x1p-24;
    return x;
}

static NAME(operands) NAME(make_operands)(operation op, const size_t *size)
{
    const size_t m = size[0], n = size[1], k = size[2];
    const bool a_by_terms = op == GEMM_TN || op == ADAM_TN, b_by_columns = op == GEMM_NT || op == LAYER_BACK;
    NAME(operands) o = {.lda = (a_by_terms ? m : k) + GAP, .ldb = (b_by_columns ? k : n) + GAP, .ldc = n + GAP};

    o.n_C = m * o.ldc;
    o.A = NAME(draw)(123456789, (a_by_terms ? k : m) * o.lda);
    o.B = NAME(draw)(246913578, (b_by_columns ? n : k) * o.ldb);
    o.b = NAME(draw)(370370367, n);
    o.H = NAME(draw)(493827156, o.n_C);
    o.C = NAME(draw)(617283945, o.n_C);
    o.M = NAME(draw)(740740734, o.n_C);
    o.V = NAME(draw)(864197523, o.n_C);
    return o;
}

static void NAME(free_operands)(NAME(operands) * o)
{
    R *const all[] = {o->A, o->B, o->b, o->H, o->C, o->M, o->V};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static ml_status NAME(share)(const CREW *crew, operation op, const size_t *size, const NAME(operands) * o)
{
    const size_t m = size[0], n = size[1], k = size[2];

    switch (op) {
    case GEMM_NN:
        return PRODUCT(gemm_nn)(crew, m, n, k, o->A, o->lda, o->B, o->ldb, 0.5, o->C, o->ldc);
    case GEMM_NT:
        return PRODUCT(gemm_nt)(crew, m, n, k, o->A, o->lda, o->B, o->ldb, 0, o->C, o->ldc);
    case GEMM_TN:
        return PRODUCT(gemm_tn)(crew, m, n, k, o->A, o->lda, o->B, o->ldb, 1, o->C, o->ldc);
    case LAYER:
        return PRODUCT(layer)(crew, m, n, k, o->A, o->lda, o->B, o->ldb, o->b, ML__TANH, o->C, o->ldc);
    case LAYER_BACK:
        return PRODUCT(layer_back)(crew, m, n, k, o->A, o->lda, o->B, o->ldb, ML__TANH, o->H, o->ldc, o->C, o->ldc);
    default:
        return PRODUCT(adam_tn)(crew, m, n, k, o->A, o->lda, o->B, o->ldb, &STEP, o->C, o->M, o->V, o->ldc);
    }
}

static void NAME(call_table)(const ml__kernels *table, operation op, const size_t *size, const NAME(operands) * o)
{
    const size_t m = size[0], n = size[1], k = size[2];

    switch (op) {
    case GEMM_NN:
        table->MEMBER.gemm_nn(m, n, k, o->A, o->lda, o->B, o->ldb, 0.5, o->C, o->ldc);
        break;
    case GEMM_NT:
        table->MEMBER.gemm_nt(m, n, k, o->A, o->lda, o->B, o->ldb, 0, o->C, o->ldc);
        break;
    case GEMM_TN:
        table->MEMBER.gemm_tn(m, n, k, o->A, o->lda, o->B, o->ldb, 1, o->C, o->ldc);
        break;
    case LAYER:
        table->MEMBER.layer(m, n, k, o->A, o->lda, o->B, o->ldb, o->b, ML__TANH, o->C, o->ldc);
        break;
    case LAYER_BACK:
        table->MEMBER.layer_back(m, n, k, o->A, o->lda, o->B, o->ldb, ML__TANH, o->H, o->ldc, o->C, o->ldc);
        break;
    default:
        table->MEMBER.adam_tn(m, n, k, o->A, o->lda, o->B, o->ldb, &STEP, o->C, o->M, o->V, o->ldc);
        break;
    }
}

/* Outputs are the same to the last bit, or, where the table promises no order of addition, nearly. */
static void NAME(check_same)(const NAME(operands) * a, const NAME(operands) * b, bool nearly)
{
    const R *const outputs[][2] = {{a->C, b->C}, {a->M, b->M}, {a->V, b->V}};

    for (size_t o = 0; o < 3; o++)
        for (size_t i = 0; i < a->n_C; i++) {
            const double x = (double)outputs[o][0][i], y = (double)outputs[o][1][i];
            CHECK_MSG(nearly ? fabs(x - y) <= 1e-4 * (1 + fabs(x)) : x == y, "element %zu is %.17g, not %.17g", i, y,
                      x);
        }
}

/* One product by one table: as a single call, then with every number of threads. The gaps between rows stay. */
static void NAME(check_product)(const ml__kernels *table, operation op, const size_t *size)
{
    NAME(operands) single = NAME(make_operands)(op, size), alone = NAME(make_operands)(op, size);

    NAME(call_table)(table, op, size, &single);
    CHECK_OK(NAME(share)(&(CREW){&table->MEMBER, NULL}, op, size, &alone));
    NAME(check_same)(&single, &alone, table->chain == ML__CHAIN_NONE);
    for (size_t t = 0; t < N_CONTEXTS; t++) {
        NAME(operands) together = NAME(make_operands)(op, size);

        CHECK_OK(NAME(share)(&(CREW){&table->MEMBER, contexts[t]}, op, size, &together));
        NAME(check_same)(&alone, &together, false);
        NAME(free_operands)(&together);
    }
    NAME(free_operands)(&alone);
    NAME(free_operands)(&single);
}
