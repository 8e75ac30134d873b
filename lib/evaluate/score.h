/* SPDX-License-Identifier: Apache-2.0 */
/* What scoring knows about labels and metrics, for others that compare a model with data. */
#ifndef ML__EVALUATE_SCORE_H
#define ML__EVALUATE_SCORE_H

#include "model/model.h"

/* Labels of output o as classes of the model, NaN when missing, `step` apart; classes that the model does not know are
 * numbered on, up to *n_classes. */
ml_status ml__true_classes(ml__arena *arena, const ml_model *model, const ml_dataset *data, size_t o, double *out,
                           size_t step, size_t *n_classes);

/* Is less better in this metric (NULL: the model's default)? ML_E_ARGUMENT when there is none of this name. */
ml_status ml__metric_direction(const ml_model *model, const char *name, bool *less_is_better);

#endif
