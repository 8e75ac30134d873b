/* SPDX-License-Identifier: Apache-2.0 */
/* Linear least squares of any shape and rank. */
#ifndef ML__LEARN_LEAST_SQUARES_H
#define ML__LEARN_LEAST_SQUARES_H

#include "base/memory.h"

/* The X [d x o] of least Frobenius norm among those that minimise ||A X - B||, for A [n x d] and B [n x o], both
 * row-major, finite and destroyed. *rank is the numerical rank of A. Workspace comes from `scratch`. */
ml_status ml__least_squares(ml__arena *scratch, size_t n, size_t d, size_t o, double *A, double *B, double *X,
                            size_t *rank);

#endif
