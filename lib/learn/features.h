/* SPDX-License-Identifier: Apache-2.0 */
/* For transformers whose output has the features of their input: same number, names and categories. */
#ifndef ML__LEARN_FEATURES_H
#define ML__LEARN_FEATURES_H

#include "model/model.h"

/* The `name_features` of such a kind; its `width` may be NULL. */
static inline ml_status ml__keep_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    return ml__schema_copy(arena, &model->learned->schema, features);
}

#endif
