/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safetensors container: an 8-byte length, a JSON header, and the bytes of the tensors without gaps.
 * Knows nothing of models: names, element types, shapes and places only.
 */
#ifndef ML__STORE_SAFETENSORS_H
#define ML__STORE_SAFETENSORS_H

#include <invar/dataset.h>

#include "store/file.h"
#include "store/json.h"

#define ML__HEADER_DEFAULT_BYTES ((uint64_t)8 << 20)
#define ML__HEADER_MAX_BYTES ((uint64_t)100000000)
enum { ML__MAX_TENSORS = 65536, ML__TENSOR_NAME_BYTES = 256, ML__TENSOR_RANK = 8 };

typedef struct ml__stored_tensor {
    const char *name;
    const char *type_name; /* "F32" */
    ml_dtype dtype;        /* 0: an element type that no model has */
    uint32_t element_bytes, rank;
    uint64_t shape[ML__TENSOR_RANK];
    uint64_t begin, end; /* bytes, from the start of the data */
    const void *data;    /* when writing */
} ml__stored_tensor;

typedef struct ml__safetensors {
    ml__source source;    /* when writing: the file's bytes; must be the first member */
    uint64_t data_offset; /* of the data in the file */
    size_t n_tensors;
    ml__stored_tensor *tensors; /* in the order of their bytes */
    uint32_t *by_name;          /* indices into tensors, by name */
    ml__json_source header_source;
    const ml__json_node *metadata; /* object of texts; NULL when the header has none */
    const char *header;            /* when writing: length and header, data_offset bytes */
} ml__safetensors;

/* Read and check length, header and layout; no data is read. Everything lives in `arena`. ML_E_FORMAT (names tensor or
 * byte), ML_E_UNSUPPORTED (element type), ML_E_LIMIT, ML_E_IO, ML_E_MEMORY. */
ml_status ml__safetensors_read(ml__arena *arena, const ml__source *file, uint64_t max_header_bytes,
                               ml__safetensors *out);
/* Its position in `tensors`; n_tensors when there is none. */
size_t ml__safetensors_find(const ml__safetensors *file, const char *name);
/* All elements of a tensor, in the host's byte order; `out` has end - begin bytes. */
ml_status ml__safetensors_load(const ml__safetensors *layout, const ml__source *file, const ml__stored_tensor *tensor,
                               void *out);

/*
 * Lay out a file: puts the tensors (name, dtype, rank, shape and data given) in order, largest elements first and then by
 * name, so that each is aligned, and writes the header. Afterwards out->source has the bytes of the file. `metadata` is
 * pairs of key and value.
 */
ml_status ml__safetensors_plan(ml__arena *arena, ml__stored_tensor *tensors, size_t n_tensors,
                               const char *const (*metadata)[2], size_t n_metadata, ml__safetensors *out);

/* What bytes that are not of this format look like: "a Python pickle"; NULL when unknown. */
const char *ml__resembles(const unsigned char *bytes, size_t n_bytes);

#endif
