/* SPDX-License-Identifier: Apache-2.0 */
/* What composites ask of members that transform. */
#include "compose/compose.h"

bool ml__transforms(const ml_model *model)
{
    while (model->kind == &ml__pipeline && model->members.n)
        model = model->members.items[model->members.n - 1].model;
    return model->kind->transform != NULL;
}

ml_status ml__refuse_missing_in(const char *name, const ml_model *member, const char *feature_name)
{
    return ml__fail(ML_E_DATA,
                    "member '%s' (%s) takes no missing values, feature '%s' has one (a simple_imputer before it helps)",
                    name, member->kind->name, feature_name);
}

/* "<kind>0", "<kind>1", ... */
static ml_status number_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    char name[64];
    ml_status st = ML_OK;

    features->n_features = ml_model_width(model, ML_TRANSFORM);
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < features->n_features; j++) {
        ml__format(name, sizeof name, "%s%zu", model->kind->name, j);
        features->features[j].name = ml__arena_text(arena, name);
        if (!features->features[j].name)
            return ML_E_MEMORY;
    }
done:
    return st;
}

ml_status ml__name_new_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    return model->kind->name_features ? model->kind->name_features(model, arena, features)
                                      : number_features(model, arena, features);
}
