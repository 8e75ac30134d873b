/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of an operation, by a table of kernels and by the BLAS, in one precision. No include guard: kernels.c includes
 * this twice with
 *     R            the element type
 *     NAME(f)      the name of f in this precision
 *     MEMBER       of ml__kernels
 *     BLAS(f)      the BLAS's function f
 */

static void NAME(run)(const ml__kernels *table, const shape *s, void *const *matrices)
{
    static const ml__adam STEP = {1e-4, 0.9, 0.999, 1e-8, 1e-4};
    const R *A = matrices[0], *B = matrices[1];
    R *C = matrices[2], *M = matrices[3], *V = matrices[4];

    switch (s->op) {
    case NN:
        table->MEMBER.gemm_nn(s->m, s->n, s->k, A, s->k, B, s->n, 0, C, s->n);
        break;
    case NT:
        table->MEMBER.gemm_nt(s->m, s->n, s->k, A, s->k, B, s->k, 0, C, s->n);
        break;
    case TN:
        table->MEMBER.gemm_tn(s->m, s->n, s->k, A, s->m, B, s->n, 0, C, s->n);
        break;
    case SYRK:
        table->MEMBER.syrk_tn(s->n, s->k, A, s->n, 0, C, s->n);
        break;
    case LAYER: /* M is the bias */
        table->MEMBER.layer(s->m, s->n, s->k, A, s->k, B, s->n, M, ML__RELU, C, s->n);
        break;
    case BACK: /* M is H */
        table->MEMBER.layer_back(s->m, s->n, s->k, A, s->k, B, s->k, ML__RELU, M, s->n, C, s->n);
        break;
    case ADAM:
        table->MEMBER.adam_tn(s->m, s->n, s->k, A, s->m, B, s->n, &STEP, C, M, V, s->n);
        break;
    }
}

#ifdef ML__CBLAS
/* The product alone, whatever else the operation does. Both matrices lie as the operation has them. */
static void NAME(run_blas)(const shape *s, void *const *matrices)
{
    const bool trans_a = s->op == TN || s->op == ADAM, trans_b = s->op == NT || s->op == BACK;
    const int m = (int)s->m, n = (int)s->n, k = (int)s->k, lda = trans_a ? m : k, ldb = trans_b ? k : n;
    const R *A = matrices[0], *B = matrices[1];
    R *C = matrices[2];

    if (s->op == SYRK)
        BLAS(syrk)(CblasRowMajor, CblasLower, CblasTrans, n, k, 1, A, n, 0, C, n);
    else if (n == 1)
        BLAS(gemv)(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_a ? k : m, lda, 1, A, lda, B, 1, 0, C, 1);
    else if (m == 1)
        BLAS(gemv)(CblasRowMajor, trans_b ? CblasNoTrans : CblasTrans, trans_b ? n : k, ldb, 1, B, ldb, A, 1, 0, C, 1);
    else
        BLAS(gemm)
    (CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, m, n, k, 1, A, lda, B,
     ldb, 0, C, n);
}
#endif
