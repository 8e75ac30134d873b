/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared products of product.c, written once. No include guard: product.c includes this for each precision with
 *     R            the element type
 *     NAME(f)      the file-local name of f in this precision
 *     CREW         the type of the crew
 *     PUBLIC(f)    the cross-file name of operation f in this precision
 */

/* One call with what its operation needs of it; C is W for a step of Adam. */
typedef struct {
    operation op;
    const CREW *crew;
    size_t m, n, k;
    const R *A;
    size_t lda;
    const R *B;
    size_t ldb;
    R beta;
    R *C;
    size_t ldc;
    const R *b;
    ml__activation f;
    const R *H;
    size_t ldh;
    const ml__adam *step;
    R *M, *V;
    tiling tiles;
} NAME(product);

/* Tile `index`: those below each other follow each other, so that they find their part of B in the cache. */
static ml_status NAME(run_tile)(void *argument, size_t index)
{
    const NAME(product) *p = argument;
    const tiling *t = &p->tiles;
    const size_t i = index % t->n_high * t->height, j = index / t->n_high * t->width, k = p->k;
    const size_t m = at_most(p->m - i, t->height), n = index / t->n_high + 1 == t->n_wide ? p->n - j : t->width;
    const R *A = p->A + (p->op == GEMM_TN || p->op == ADAM_TN ? i : i * p->lda);
    const R *B = p->B + (p->op == GEMM_NT || p->op == LAYER_BACK ? j * p->ldb : j);
    R *C = p->C + i * p->ldc + j;
    const size_t at = (size_t)(C - p->C);

    switch (p->op) {
    case GEMM_NN:
        p->crew->k->gemm_nn(m, n, k, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
        break;
    case GEMM_NT:
        p->crew->k->gemm_nt(m, n, k, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
        break;
    case GEMM_TN:
        p->crew->k->gemm_tn(m, n, k, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
        break;
    case LAYER:
        p->crew->k->layer(m, n, k, A, p->lda, B, p->ldb, p->b ? p->b + j : NULL, p->f, C, p->ldc);
        break;
    case LAYER_BACK:
        p->crew->k->layer_back(m, n, k, A, p->lda, B, p->ldb, p->f, p->H + i * p->ldh + j, p->ldh, C, p->ldc);
        break;
    case ADAM_TN:
        p->crew->k->adam_tn(m, n, k, A, p->lda, B, p->ldb, p->step, C, p->M + at, p->V + at, p->ldc);
        break;
    }
    return ML_OK;
}

static ml_status NAME(run)(NAME(product) * p)
{
    const size_t n_tiles = p->tiles.n_high * p->tiles.n_wide;

    return ml__parallel_for(p->crew->context, n_tiles, NAME(run_tile), p);
}

static NAME(product) NAME(describe)(operation op, const CREW *crew, size_t m, size_t n, size_t k, const R *A,
                                    size_t lda, const R *B, size_t ldb, R *C, size_t ldc)
{
    return (NAME(product)){.op = op,
                           .crew = crew,
                           .m = m,
                           .n = n,
                           .k = k,
                           .A = A,
                           .lda = lda,
                           .B = B,
                           .ldb = ldb,
                           .C = C,
                           .ldc = ldc,
                           .tiles = tiling_of(m, n, k)};
}

ml_status PUBLIC(gemm_nn)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                          size_t ldb, R beta, R *C, size_t ldc)
{
    NAME(product) p;

    if (!is_shared(m, n, k)) {
        crew->k->gemm_nn(m, n, k, A, lda, B, ldb, beta, C, ldc);
        return ML_OK;
    }
    p = NAME(describe)(GEMM_NN, crew, m, n, k, A, lda, B, ldb, C, ldc);
    p.beta = beta;
    return NAME(run)(&p);
}

ml_status PUBLIC(gemm_nt)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                          size_t ldb, R beta, R *C, size_t ldc)
{
    NAME(product) p;

    if (!is_shared(m, n, k)) {
        crew->k->gemm_nt(m, n, k, A, lda, B, ldb, beta, C, ldc);
        return ML_OK;
    }
    p = NAME(describe)(GEMM_NT, crew, m, n, k, A, lda, B, ldb, C, ldc);
    p.beta = beta;
    return NAME(run)(&p);
}

ml_status PUBLIC(gemm_tn)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                          size_t ldb, R beta, R *C, size_t ldc)
{
    NAME(product) p;

    if (!is_shared(m, n, k)) {
        crew->k->gemm_tn(m, n, k, A, lda, B, ldb, beta, C, ldc);
        return ML_OK;
    }
    p = NAME(describe)(GEMM_TN, crew, m, n, k, A, lda, B, ldb, C, ldc);
    p.beta = beta;
    return NAME(run)(&p);
}

ml_status PUBLIC(layer)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb,
                        const R *b, ml__activation f, R *C, size_t ldc)
{
    NAME(product) p;

    if (!is_shared(m, n, k)) {
        crew->k->layer(m, n, k, A, lda, B, ldb, b, f, C, ldc);
        return ML_OK;
    }
    p = NAME(describe)(LAYER, crew, m, n, k, A, lda, B, ldb, C, ldc);
    p.b = b;
    p.f = f;
    return NAME(run)(&p);
}

ml_status PUBLIC(layer_back)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                             size_t ldb, ml__activation f, const R *H, size_t ldh, R *C, size_t ldc)
{
    NAME(product) p;

    if (!is_shared(m, n, k)) {
        crew->k->layer_back(m, n, k, A, lda, B, ldb, f, H, ldh, C, ldc);
        return ML_OK;
    }
    p = NAME(describe)(LAYER_BACK, crew, m, n, k, A, lda, B, ldb, C, ldc);
    p.f = f;
    p.H = H;
    p.ldh = ldh;
    return NAME(run)(&p);
}

ml_status PUBLIC(adam_tn)(const CREW *crew, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                          size_t ldb, const ml__adam *step, R *W, R *M, R *V, size_t ldw)
{
    NAME(product) p;

    if (!is_shared(m, n, k)) {
        crew->k->adam_tn(m, n, k, A, lda, B, ldb, step, W, M, V, ldw);
        return ML_OK;
    }
    p = NAME(describe)(ADAM_TN, crew, m, n, k, A, lda, B, ldb, W, ldw);
    p.step = step;
    p.M = M;
    p.V = V;
    return NAME(run)(&p);
}
