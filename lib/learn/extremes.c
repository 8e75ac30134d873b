/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/extremes.h"

#include "learn/rows.h"

enum { BLOCK_ROWS = 64 };

static void add_row(size_t d, const double *x, double *least, double *largest)
{
    for (size_t j = 0; j < d; j++) {
        if (isnan(x[j]))
            continue;
        least[j] = x[j] >= least[j] ? least[j] : x[j];
        largest[j] = x[j] <= largest[j] ? largest[j] : x[j];
    }
}

ml_status ml__find_extremes(ml__fit *f, double *least, double *largest)
{
    const double *w, *X;
    double *block = NULL;
    ml__rows rows;
    ml_status st;

    ML__TRY(ml__fit_rows_weights(f, &w));
    ML__TRY(ml__fit_rows(f, &rows));
    ML__TRY(ml__rows_room(&rows, f->context, BLOCK_ROWS, &block));
    for (size_t j = 0; j < f->d; j++)
        least[j] = largest[j] = NAN;
    for (size_t i = 0; i < f->n; i += BLOCK_ROWS) {
        const size_t n = f->n - i < BLOCK_ROWS ? f->n - i : BLOCK_ROWS;

        ML__TRY(ml__rows_take(&rows, i, n, block, &X));
        for (size_t r = 0; r < n; r++)
            if (ml__weight_at(w, i + r) > 0)
                add_row(f->d, X + r * f->d, least, largest);
    }
    for (size_t j = 0; j < f->d; j++)
        if (isnan(least[j]))
            least[j] = largest[j] = 0;
done:
    ml__free(block);
    return st;
}
