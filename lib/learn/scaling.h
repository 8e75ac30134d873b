/* SPDX-License-Identifier: Apache-2.0 */
/* Features that are shifted and scaled, each by its own two numbers; NaN stays NaN. */
#ifndef ML__LEARN_SCALING_H
#define ML__LEARN_SCALING_H

#include <float.h>

#include "model/model.h"

/* The learned state of such a kind. */
typedef struct ml__scaling {
    const double *shift, *scale; /* [d] each */
} ml__scaling;

/* The state from two tensors, for a kind's `prepare`. */
ml_status ml__scaling_prepare(ml__learned *learned, const char *shift, const char *scale);
/* (x - shift) / scale and x scale + shift for n rows of d; in and out may be the same. */
void ml__scaling_divide(const ml__scaling *s, size_t n, size_t d, const double *in, double *out);
void ml__scaling_multiply(const ml__scaling *s, size_t n, size_t d, const double *in, double *out);
/* The first of them as `transform` and the second as `inverse`. */
ml_status ml__scaling_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__scaling_inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch);

/* A spread to divide by: 1 where it is too small to be one (scikit-learn's rule). */
static inline double ml__usable_scale(double spread)
{
    return spread < 10 * DBL_EPSILON ? 1 : spread;
}

#endif
