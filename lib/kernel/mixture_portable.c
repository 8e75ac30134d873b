/* SPDX-License-Identifier: Apache-2.0 */
/* The portable operations of kernel/mixture.h. */
#include <math.h>

#include "kernel/tables.h"

enum { LANES = ML__MIXTURE_GROUP, PRODUCTS = 256 /* columns at a time */ };

static size_t whole_groups_within(size_t n)
{
    return ml__whole_groups(n < PRODUCTS ? n : PRODUCTS);
}

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
        for (size_t l = 0; l < n_columns; l++)
            t[i * ldt + l] = x[i * ldt + l] * x[i * ldt + l];
}

/* Of n <= PRODUCTS columns and one component */
static void quadratic(size_t d, const double *W, size_t n, const double *T, size_t ldt, double *q)
{
    double sums[PRODUCTS];

    for (size_t i = 0; i < n; i++)
        q[i] = *W;
    W++;
    for (size_t a = 1; a <= d; a++, W += a) {
        ML__PORTABLE_F64(gemm_nn)(1, n, a + 1, W, a + 1, T, ldt, 0, sums, n);
        for (size_t i = 0; i < n; i++)
            q[i] += T[a * ldt + i] * sums[i];
    }
}

void ML__PORTABLE_F64(mixture_quadratics)(size_t k, size_t d, size_t n, const double *W, const double *T, size_t ldt,
                                          double *L, size_t ldl)
{
    for (size_t i = 0; i < n; i += PRODUCTS)
        for (size_t c = 0; c < k; c++)
            quadratic(d, W + c * (1 + d) * (2 + d) / 2, whole_groups_within(n - i), T + i, ldt, L + c * ldl + i);
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

/* P += r t */
static void add_terms(size_t n, const double *r, const double *t, double *P)
{
    double sums[LANES] = {0};

    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            sums[l] += r[i + l] * t[i + l];
    for (size_t l = 0; l < LANES; l++)
        P[l] += sums[l];
}

void ML__PORTABLE_F64(mixture_add)(size_t k, size_t p, size_t n, const double *R, size_t ldr, const double *T,
                                   size_t ldt, double *P)
{
    for (size_t c = 0; c < k; c++)
        for (size_t s = 0; s < p; s++, P += LANES)
            add_terms(n, R + c * ldr, T + s * ldt, P);
}

void ML__PORTABLE_F64(mixture_add_pairs)(size_t k, size_t d, size_t n, const double *R, size_t ldr, const double *T,
                                         size_t ldt, double *P)
{
    const size_t p = (1 + d) * (2 + d) / 2;
    double products[PRODUCTS];

    for (size_t i = 0; i < n; i += PRODUCTS)
        for (size_t a = 0, s = 0; a <= d; a++)
            for (size_t b = 0; b <= a; b++, s++) {
                const size_t n_columns = whole_groups_within(n - i);

                for (size_t l = 0; l < n_columns; l++)
                    products[l] = T[a * ldt + i + l] * T[b * ldt + i + l];
                for (size_t c = 0; c < k; c++)
                    add_terms(n_columns, R + c * ldr + i, products, P + (c * p + s) * LANES);
            }
}

void ML__PORTABLE_F64(mixture_sum)(size_t n, const double *P, double *S)
{
    for (size_t v = 0; v < n; v++, P += LANES)
        S[v] = ((P[0] + P[1]) + (P[2] + P[3])) + ((P[4] + P[5]) + (P[6] + P[7]));
}
