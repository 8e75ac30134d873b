/* SPDX-License-Identifier: Apache-2.0 */
/* Models as safetensors files (docs/model-file.md). The public functions are in <invar/model.h>. */
#ifndef ML__STORE_MODEL_FILE_H
#define ML__STORE_MODEL_FILE_H

#include "model/model.h"

/* The model of a file without the data of its tensors, from header and manifest only: for looking at, not for
 * predicting. *n_bytes is the size of the file. */
ml_status ml__file_outline(const char *path, ml_model **out, uint64_t *n_bytes);

/* Names of values that files and descriptions have as text; NULL when out of range. */
const char *ml__task_name(int32_t task);
const char *ml__stop_name(int32_t stop_reason);

#endif
