/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/scaling.h"

ml_status ml__scaling_prepare(ml__learned *learned, const char *shift, const char *scale)
{
    ml__scaling *s;
    ml_status st = ML_OK;

    ML__NEW(&learned->arena, s, 1);
    *s = (ml__scaling){ml__tensor_data(learned, shift), ml__tensor_data(learned, scale)};
    learned->state = s;
done:
    return st;
}

void ml__scaling_divide(const ml__scaling *s, size_t n, size_t d, const double *in, double *out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            out[i * d + j] = (in[i * d + j] - s->shift[j]) / s->scale[j];
}

void ml__scaling_multiply(const ml__scaling *s, size_t n, size_t d, const double *in, double *out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            out[i * d + j] = in[i * d + j] * s->scale[j] + s->shift[j];
}

ml_status ml__scaling_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    (void)scratch;
    ml__scaling_divide(model->learned->state, x->n, x->d, x->f64, out);
    return ML_OK;
}

ml_status ml__scaling_inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    (void)scratch;
    ml__scaling_multiply(model->learned->state, n, model->learned->schema.n_features, z, out);
    return ML_OK;
}
