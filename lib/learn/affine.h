/* SPDX-License-Identifier: Apache-2.0 */
/* What linear models are once they are fitted: Z = 1 intercept' + X coef', with the tensors "coef" and "intercept". */
#ifndef ML__LEARN_AFFINE_H
#define ML__LEARN_AFFINE_H

#include "model/model.h"

/* The `prepare` of such a kind. */
ml_status ml__affine_prepare(const ml_model *model, ml__learned *learned);
/* Z [n x rows of coef], each row by itself: a predictor. */
ml_status ml__affine_predict(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);

#endif
