/* SPDX-License-Identifier: Apache-2.0 */
/* Models as safetensors files (docs/model-file.md). The public functions are in <invar/model.h>. */
#ifndef ML__STORE_MODEL_FILE_H
#define ML__STORE_MODEL_FILE_H

#include "model/model.h"
#include "store/safetensors.h"

#define ML__FORMAT_NAME "invar"
#define ML__MANIFEST "manifest" /* the tensor with the tree of models */
enum { ML__FORMAT_VERSION = 1 };

/* Everything of a model's file but the writing: plan->source has its bytes. Refers to the model's tensors and to `arena`;
 * the model is fitted. (model_write.c) */
ml_status ml__model_plan(ml__arena *arena, const ml_model *model, ml__safetensors *plan);

/* The model that these bytes describe, checked completely. With `outline` without the data of its tensors, from header
 * and manifest only: for looking at, never for predicting. (model_read.c) */
ml_status ml__model_read(ml_context *context, const ml__source *file, uint64_t max_header_bytes, bool outline,
                         ml_model **out);

/* The outline of a file, and its size in bytes. */
ml_status ml__file_outline(const char *path, ml_model **out, uint64_t *n_bytes);

/* ---- shared by both directions and by descriptions (model_file.c) ---- */

/* Texts for values in files and descriptions; NULL when out of range. */
const char *ml__task_name(int32_t task);
const char *ml__stop_name(int32_t stop_reason);
/* And back; 0 for an unknown text. */
int32_t ml__task_from_name(const char *name);
int32_t ml__stop_from_name(const char *name);

/* The name of a tensor, built while walking a model: "members.0.members.3.trees.threshold". */
typedef struct ml__tensor_path {
    char text[ML__TENSOR_NAME_BYTES + 1];
    size_t n;
} ml__tensor_path;

/* Append; ML_E_LIMIT when the name becomes too long. The caller goes back with restore. */
ml_status ml__path_add(ml__tensor_path *path, const char *text);
ml_status ml__path_add_member(ml__tensor_path *path, size_t i);
void ml__path_restore(ml__tensor_path *path, size_t n);

#endif
