/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/extremes.h"

ml_status ml__find_extremes(ml__fit *f, double *least, double *largest)
{
    const double *X = ml__fit_matrix_f64(f), *w = ml__fit_weights(f);

    if (!X || !w)
        return ML_E_MEMORY;
    for (size_t j = 0; j < f->d; j++)
        least[j] = largest[j] = NAN;
    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < f->d && w[i] > 0; j++) {
            const double value = X[i * f->d + j];

            if (isnan(value))
                continue;
            least[j] = value >= least[j] ? least[j] : value;
            largest[j] = value <= largest[j] ? largest[j] : value;
        }
    for (size_t j = 0; j < f->d; j++)
        if (isnan(least[j]))
            least[j] = largest[j] = 0;
    return ML_OK;
}
