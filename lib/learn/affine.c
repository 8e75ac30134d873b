/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/affine.h"

typedef struct {
    size_t n_out;
    const double *coef, *intercept; /* [n_out x d], [n_out] */
} state;

ml_status ml__affine_prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *coef = ml__learned_find(learned, "coef");
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    *s = (state){(size_t)coef->shape[0], coef->data, ml__tensor_data(learned, "intercept")};
    learned->state = s;
done:
    return st;
}

ml_status ml__affine_predict(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;

    (void)scratch;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < s->n_out; j++)
            out[i * s->n_out + j] = s->intercept[j];
    ml__kernels_rowwise()->f64.gemm_nt(x->n, s->n_out, x->d, x->f64, x->d, s->coef, x->d, 1, out, s->n_out);
    return ML_OK;
}
