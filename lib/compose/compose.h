/* SPDX-License-Identifier: Apache-2.0 */
/* The composites: models made of models. None of them knows which kinds exist. */
#ifndef ML__COMPOSE_COMPOSE_H
#define ML__COMPOSE_COMPOSE_H

#include "model/model.h"

extern const ml__kind ml__pipeline, ml__column_transformer, ml__feature_union, ml__weighted_average;

/* The same outputs with the same classes, whatever the outputs are called. */
bool ml__same_outputs(const ml__schema *a, const ml__schema *b);
/* By kind, before anything is fitted; a pipeline transforms when its last step does. */
bool ml__transforms(const ml_model *model);
/* A fitted member that takes no missing values gets one. */
ml_status ml__refuse_missing_in(const char *name, const ml_model *member, const char *feature_name);
/* Names and categories of what a fitted transformer gives, into the arena. */
ml_status ml__name_new_features(const ml_model *model, ml__arena *arena, ml__schema *features);
/* The same rows, outputs and weights with what a fitted transformer gives as features. Of streamed data it is streamed, too:
 * then `step` must outlive it. An infinite value is ML_E_DATA. */
ml_status ml__transformed(const ml_model *step, const ml_dataset *data, ml_dataset **out);

#endif
