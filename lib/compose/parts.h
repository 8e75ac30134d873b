/* SPDX-License-Identifier: Apache-2.0 */
/* What a column transformer and a union are once they are fitted: transformers whose outputs stand side by side. */
#ifndef ML__COMPOSE_PARTS_H
#define ML__COMPOSE_PARTS_H

#include "model/model.h"

typedef struct ml__part {
    const char *name;       /* of its new features, "name__feature" */
    const ml_model *model;  /* fitted; NULL: the columns as they are */
    const int64_t *columns; /* n_in of them, valid; NULL: all, in order */
    size_t n_in, n_out;
    bool takes_missing;
} ml__part;

/* The state of such a model; `parts` may have more room than n. */
typedef struct ml__parts {
    size_t n, width, widest_in, widest_out;
    ml__part *parts;
} ml__parts;

/* Append a part, whose width is found here. A failure is ML_E_FORMAT: it is for `prepare`. */
ml_status ml__parts_add(ml__parts *parts, const char *name, const ml_model *model, const int64_t *columns, size_t n_in);

/* Members that cannot transform are refused (ML_E_PARAMETER). */
ml_status ml__parts_check(const ml_model *model);
/* Fit a member on `data`, adopt it and report the step. The stop reason of the fit is the gravest of its members', the
 * number that is largest; *width is added to. */
ml_status ml__parts_fit(ml__fit *f, const ml__member *member, const ml_dataset *data, const ml_dataset *validation,
                        size_t *width);
/* More than ML_MAX_FEATURES new features are refused. */
ml_status ml__parts_limit(const char *kind, size_t width);

/* Hooks of the kinds, with ml__parts as the learned state. */
ml_status ml__parts_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
size_t ml__parts_scratch(const ml_model *model, size_t n);
size_t ml__parts_width(const ml_model *model, int32_t what);
ml_status ml__parts_name_features(const ml_model *model, ml__arena *arena, ml__schema *features);

#endif
