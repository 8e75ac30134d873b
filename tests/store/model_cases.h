/* SPDX-License-Identifier: Apache-2.0 */
/* Fitted models of every kind in the build, for the tests of files and descriptions; files taken apart and put together. */
#ifndef INVAR_TEST_MODEL_CASES_H
#define INVAR_TEST_MODEL_CASES_H

#include "model/model.h"
#include "store/safetensors.h"
#include "test.h"

/* Calls `use` with a small fitted model for each kind, composition and table that go together, and the table it was
 * fitted on; `name` says which. Checks that every kind was fitted at least once. */
void cases_for_each(ml_context *context, void (*use)(const char *name, const ml_model *model, const ml_dataset *data));

/* One small model: "linear_regression" on iris, or a pipeline of a scaler and an ensemble of two trees on iris. */
ml_model *case_linear(ml_context *context);
ml_model *case_nested(ml_context *context);

/* All offered calls on all rows give the same bits with both models. */
void check_same_predictions(const char *name, const ml_model *a, const ml_model *b, const ml_dataset *data);

/* A file in parts that a test may change before it is put together again. */
typedef struct parts {
    ml__arena arena;
    size_t n_tensors; /* without the manifest */
    ml__stored_tensor *tensors;
    char *manifest; /* NULL: leave it out */
    const char *metadata[8][2];
    size_t n_metadata;
} parts;

void parts_take(parts *p, const void *bytes, size_t n_bytes); /* refers to the bytes */
void parts_free(parts *p);
ml__stored_tensor *parts_tensor(parts *p, const char *name);
/* Replace the first `from` in the manifest, which must be there. */
void parts_edit(parts *p, const char *from, const char *to);
/* The file, malloc'ed. */
void *parts_join(parts *p, size_t *n_bytes);

#endif
