/* SPDX-License-Identifier: Apache-2.0 */
/* The portable operations of kernel/mixture.h. */
#include <math.h>

#include "kernel/tables.h"

enum { LANES = ML__MIXTURE_GROUP };

/* x becomes x, or 0 where it is NaN */
static void observe(size_t n, double *x, double *seen)
{
    for (size_t i = 0; i < n; i++) {
        seen[i] = isnan(x[i]) ? 0 : 1;
        x[i] = isnan(x[i]) ? 0 : x[i];
    }
}

static void norms(size_t n, size_t d, const double *X, size_t ldx, double *t)
{
    for (size_t i = 0; i < n; i++)
        t[i] = 0;
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < n; i++)
            t[i] += X[j * ldx + i] * X[j * ldx + i];
}

void ML__PORTABLE_F64(mixture_statistics)(ml__squares squares, size_t n, size_t d, const double *X, double *T,
                                          size_t ldt)
{
    const size_t n_columns = ml__whole_groups(n);
    double *x = T + (squares == ML__OBSERVED ? 1 + d : 1) * ldt, *t = x + d * ldt;

    for (size_t i = 0; i < n_columns; i++)
        T[i] = 1;
    for (size_t j = 0; j < d; j++) {
        for (size_t i = 0; i < n_columns; i++)
            x[j * ldt + i] = i < n ? X[i * d + j] : 0;
        if (squares == ML__OBSERVED)
            observe(n_columns, x + j * ldt, T + (1 + j) * ldt);
    }
    if (squares == ML__NORM)
        norms(n_columns, d, x, ldt, t);
    for (size_t i = 0; i < d && squares >= ML__SQUARES; i++)
        for (size_t j = squares == ML__PAIRS ? 0 : i; j <= i; j++, t += ldt)
            for (size_t l = 0; l < n_columns; l++)
                t[l] = x[i * ldt + l] * x[j * ldt + l];
}

/* Of one column; returns its lse. */
static double share(size_t k, double *L, size_t ldl, double w)
{
    double shift = -INFINITY, total = 0, factor;

    for (size_t c = 0; c < k; c++)
        shift = L[c * ldl] > shift ? L[c * ldl] : shift;
    shift = shift == -INFINITY ? 0 : shift;
    for (size_t c = 0; c < k; c++) {
        L[c * ldl] = exp(L[c * ldl] - shift);
        total += L[c * ldl];
    }
    factor = total == 0 ? w / (double)k : w / total;
    for (size_t c = 0; c < k; c++)
        L[c * ldl] = (total == 0 ? 1 : L[c * ldl]) * factor;
    return shift + log(total);
}

void ML__PORTABLE_F64(mixture_shares)(size_t k, size_t n, double *L, size_t ldl, const double *w, double *lse)
{
    for (size_t i = 0; i < n; i++)
        lse[i] = share(k, L + i, ldl, w[i]);
    for (size_t c = 0; c < k; c++)
        for (size_t i = n; i < ml__whole_groups(n); i++)
            L[c * ldl + i] = 0;
}

void ML__PORTABLE_F64(mixture_add)(size_t k, size_t p, size_t n, const double *R, size_t ldr, const double *T,
                                   size_t ldt, double *P)
{
    for (size_t c = 0; c < k; c++)
        for (size_t s = 0; s < p; s++, P += LANES) {
            double sums[LANES] = {0};

            for (size_t i = 0; i < n; i += LANES)
                for (size_t l = 0; l < LANES; l++)
                    sums[l] += R[c * ldr + i + l] * T[s * ldt + i + l];
            for (size_t l = 0; l < LANES; l++)
                P[l] += sums[l];
        }
}

void ML__PORTABLE_F64(mixture_sum)(size_t n, const double *P, double *S)
{
    for (size_t v = 0; v < n; v++, P += LANES)
        S[v] = ((P[0] + P[1]) + (P[2] + P[3])) + ((P[4] + P[5]) + (P[6] + P[7]));
}
