/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows of a class count for: the parameter class_weight. */
#ifndef ML__LEARN_CLASS_WEIGHTS_H
#define ML__LEARN_CLASS_WEIGHTS_H

#include "model/model.h"

/* n / (K' n_k) for the n_k rows of class k and the K' classes that have rows (King & Zeng 2001; scikit-learn's rule: rows
 * are counted whatever they weigh). */
void ml__balance_classes(size_t K, const size_t *n_k, double *weight);
/* Weights by table: classes by name, or by index where no class has that name; with several outputs "output=class". Class k
 * of output o is weight[first[o] + k], there are first[n_outputs] of them; those that are not named count 1. ML_E_PARAMETER
 * for a class that the output has not. */
ml_status ml__class_table(const ml__fit *f, const size_t *first, const char *table, double *weight);

#endif
