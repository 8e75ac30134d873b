/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a .npy file: NumPy's format, versions 1.0 to 3.0. */
#ifndef ML__DATA_NPY_H
#define ML__DATA_NPY_H

#include <invar/dataset.h>

#include "base/io.h"

typedef struct ml__npy {
    ml_dtype dtype;
    uint64_t n_rows, n_cols;
    uint64_t offset; /* of the first element */
} ml__npy;

/* ML_E_FORMAT for what is no such header, ML_E_UNSUPPORTED for one of a matrix that is stored otherwise; ML_E_IO. Nothing is
 * said of the data behind it, and the numbers may be any. */
ml_status ml__npy_read_header(const ml__input *input, ml__npy *out);

#endif
