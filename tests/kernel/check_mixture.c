/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of kernel/mixture.h against the same in long double, in blocks of every kind of size: fewer rows than
 * lanes, rows that fill no vector, one and many components, more statistics than a tile.
 */
#include <math.h>
#include <string.h>

#include "check.h"

static const long double EPS = 0x1p-52L;

typedef struct {
    size_t n, d, k, p, ld;
    double *X, *T, *R, *w, *lse;
} block;

static block make(ml__squares squares, size_t n, size_t d, size_t k, uint64_t *state)
{
    const size_t more[] = {0, 1, d, 2 * d}, ld = ml__whole_groups(n) + ML__MIXTURE_GROUP;
    block b = {.n = n, .d = d, .k = k, .p = 1 + d + more[squares], .ld = ld};

    b.X = check_fenced(0, n * d, sizeof(double));
    b.T = check_fenced(1, b.p * ld, sizeof(double));
    b.R = check_fenced(2, k * ld, sizeof(double));
    b.w = check_fenced(3, n, sizeof(double));
    b.lse = check_fenced(4, n, sizeof(double));
    for (size_t v = 0; v < n * d; v++)
        b.X[v] = squares == ML__OBSERVED && check_random(state) % 4 == 0 ? NAN : check_uniform(state);
    for (size_t v = 0; v < k * ld; v++)
        b.R[v] = 5 * check_uniform(state);
    for (size_t i = 0; i < n; i++)
        b.w[i] = 1.5 + check_uniform(state);
    return b;
}

/* ---- statistics ---- */

/* Statistic s of row i, as kernel/mixture.h lists them. */
static double statistic(const block *b, ml__squares squares, size_t i, size_t s)
{
    const double *x = b->X + i * b->d;

    if (s == 0)
        return 1;
    s -= 1;
    if (squares == ML__OBSERVED) {
        if (s < b->d)
            return isnan(x[s]) ? 0 : 1;
        s -= b->d;
        return isnan(x[s % b->d]) ? 0 : s < b->d ? x[s] : x[s - b->d] * x[s - b->d];
    }
    if (s < b->d)
        return x[s];
    return x[s - b->d] * x[s - b->d];
}

static long double norm(const block *b, size_t i)
{
    long double sum = 0;

    for (size_t j = 0; j < b->d; j++)
        sum += (long double)b->X[i * b->d + j] * b->X[i * b->d + j];
    return sum;
}

static void check_statistics(const ml__mixture_kernels *t, ml__squares squares, const block *b)
{
    t->mixture_statistics(squares, b->n, b->d, b->X, b->T, b->ld);
    for (size_t s = 0; s < b->p; s++) {
        for (size_t i = 0; i < b->n; i++) {
            const double value = b->T[s * b->ld + i];

            if (squares == ML__NORM && s == 1 + b->d)
                check_that(fabsl(value - norm(b, i)) <= (long double)b->d * EPS * norm(b, i), "row %zu: norm %g", i,
                           value);
            else
                check_that(value == statistic(b, squares, i, s), "row %zu: statistic %zu is %g, not %g", i, s, value,
                           statistic(b, squares, i, s));
        }
        for (size_t i = b->n; i < ml__whole_groups(b->n); i++)
            check_that(isfinite(b->T[s * b->ld + i]), "statistic %zu behind the last row", s);
    }
}

/* ---- products of pairs ---- */

/* Number s of the products t_a t_b, b <= a, of column i. */
static long double product(const block *b, size_t i, size_t s)
{
    size_t a = 0;

    for (; s > a; a++)
        s -= a + 1;
    return (long double)b->T[a * b->ld + i] * b->T[s * b->ld + i];
}

/* T has 1 and x. */
static void check_quadratics(const ml__mixture_kernels *t, const block *b, uint64_t *state)
{
    const size_t p = (1 + b->d) * (2 + b->d) / 2;
    double *W = check_fenced(5, b->k * p, sizeof *W), *L = check_fenced(6, b->k * b->ld, sizeof *L);

    for (size_t v = 0; v < b->k * p; v++)
        W[v] = check_uniform(state);
    t->mixture_quadratics(b->k, b->d, b->n, W, b->T, b->ld, L, b->ld);
    for (size_t c = 0; c < b->k; c++)
        for (size_t i = 0; i < ml__whole_groups(b->n); i++) {
            const double value = L[c * b->ld + i];
            long double sum = 0, size = 0;

            for (size_t s = 0; s < p; s++) {
                sum += W[c * p + s] * product(b, i, s);
                size += fabsl(W[c * p + s] * product(b, i, s));
            }
            check_that(fabsl(value - sum) <= (long double)(2 * b->d + 4) * EPS * size,
                       "column %zu, component %zu: %g, not %Lg", i, c, value, sum);
        }
}

/* ---- shares ---- */

/* ln Σ exp of column i of the k x ld logarithms at L. */
static long double exact_lse(const block *b, const double *L, size_t i)
{
    long double largest = -INFINITY, total = 0;

    for (size_t c = 0; c < b->k; c++)
        largest = fmaxl(largest, L[c * b->ld + i]);
    for (size_t c = 0; c < b->k; c++)
        total += expl(L[c * b->ld + i] - largest);
    return largest + logl(total);
}

/* Shares below `least` may be 0. */
static void check_shares(const ml__mixture_kernels *t, const block *b, double least)
{
    double *L = check_fenced(5, b->k * b->ld, sizeof *L);

    memcpy(L, b->R, b->k * b->ld * sizeof *L);
    t->mixture_shares(b->k, b->n, b->R, b->ld, b->w, b->lse);
    for (size_t i = 0; i < b->n; i++) {
        const long double lse = exact_lse(b, L, i);

        check_that(fabsl(b->lse[i] - lse) <= 16 * EPS * (1 + fabsl(lse)), "column %zu: lse %g", i, b->lse[i]);
        for (size_t c = 0; c < b->k; c++) {
            const long double share = b->w[i] * expl(L[c * b->ld + i] - lse);
            check_that(fabsl(b->R[c * b->ld + i] - share) <= (long double)(16 + b->k) * EPS * share ||
                           (share < least && b->R[c * b->ld + i] >= 0 && b->R[c * b->ld + i] < 2 * least),
                       "column %zu: share %zu is %g", i, c, b->R[c * b->ld + i]);
        }
    }
    for (size_t c = 0; c < b->k; c++)
        for (size_t i = b->n; i < ml__whole_groups(b->n); i++)
            check_that(b->R[c * b->ld + i] == 0, "share %zu behind the last column", c);
}

/* Logarithms far below the largest, which is 0: shares may be 0 where they are hardly normal numbers. */
static void check_small_shares(const ml__mixture_kernels *t, size_t k, uint64_t *state)
{
    const block b = make(ML__NO_SQUARES, 61, 1, k, state);

    for (size_t c = 0; c < k; c++)
        for (size_t i = 0; i < b.n; i++)
            b.R[c * b.ld + i] = c == 0 ? 0 : 380 * (check_uniform(state) - 1);
    check_shares(t, &b, 0x1p-1018);
}

/* Columns of which nothing is above -inf, one is +inf, one NaN; among others that stay what they are alone. */
static void check_special(const ml__mixture_kernels *t, size_t n, size_t k)
{
    const size_t ld = ml__whole_groups(n);
    double *L = check_fenced(0, k * ld, sizeof *L), *w = check_fenced(1, n, sizeof *w);
    double *lse = check_fenced(2, n, sizeof *lse);

    for (size_t i = 0; i < n; i++) {
        w[i] = 2;
        for (size_t c = 0; c < k; c++)
            L[c * ld + i] = i % 4 == 0                 ? -INFINITY
                            : i % 4 == 1 && c == k - 1 ? INFINITY
                            : i % 4 == 2 && c == 0     ? NAN
                                                       : 1e3;
    }
    t->mixture_shares(k, n, L, ld, w, lse);
    for (size_t i = 0; i < n; i++) {
        const double expected[] = {-INFINITY, NAN, NAN, 1e3 + log((double)k)}, all = expected[i % 4];

        check_that(isnan(all) ? isnan(lse[i]) : fabs(lse[i] - all) <= 1e-12 || lse[i] == all, "column %zu: lse %g", i,
                   lse[i]);
        for (size_t c = 0; c < k; c++) {
            const double share = L[c * ld + i];
            check_that(isnan(all) ? isnan(share) : fabs(share - 2 / (double)k) <= 1e-14, "column %zu: share %g", i,
                       share);
        }
    }
}

/* ---- sums ---- */

/* Of the statistics in T, or of products of pairs of them. */
static void check_sums(const ml__mixture_kernels *t, const block *b, bool of_pairs)
{
    const size_t p = of_pairs ? (1 + b->d) * (2 + b->d) / 2 : b->p, n_sums = b->k * p;
    double *P = check_fenced(6, n_sums * ML__MIXTURE_GROUP, sizeof *P), *S = check_fenced(7, n_sums, sizeof *S);

    memset(P, 0, n_sums * ML__MIXTURE_GROUP * sizeof *P);
    for (int twice = 0; twice < 2; twice++)
        if (of_pairs)
            t->mixture_add_pairs(b->k, b->d, b->n, b->R, b->ld, b->T, b->ld, P);
        else
            t->mixture_add(b->k, p, b->n, b->R, b->ld, b->T, b->ld, P);
    t->mixture_sum(n_sums, P, S);
    for (size_t c = 0; c < b->k; c++)
        for (size_t s = 0; s < p; s++) {
            long double sum = 0, size = 0;

            for (size_t i = 0; i < b->n; i++) {
                const long double value = of_pairs ? product(b, i, s) : (long double)b->T[s * b->ld + i];
                const long double term = 2 * (long double)b->R[c * b->ld + i] * value;
                sum += term;
                size += fabsl(term);
            }
            check_that(fabsl(S[c * p + s] - sum) <= (long double)(b->n + 4) * EPS * size,
                       "component %zu, statistic %zu: %g, not %Lg", c, s, S[c * p + s], sum);
        }
    check_digest(S, n_sums * sizeof *S);
}

static void check_block(const ml__kernels *table, ml__squares squares, size_t n, size_t d, size_t k, uint64_t *state)
{
    static const char *const NAMES[] = {"no squares", "norm", "squares", "observed"};
    const block b = make(squares, n, d, k, state);

    check_begin("%s mixture, %s: %zu rows of %zu, %zu components", table->name, NAMES[squares], n, d, k);
    check_statistics(&table->mixture, squares, &b);
    check_shares(&table->mixture, &b, 0);
    check_sums(&table->mixture, &b, false);
    if (squares == ML__NO_SQUARES) {
        check_quadratics(&table->mixture, &b, state);
        check_sums(&table->mixture, &b, true);
    }
    check_fences();
    check_end();
}

void check_mixture(const ml__kernels *table)
{
    static const size_t ROWS[] = {1, 7, 8, 9, 16, 61}, FEATURES[] = {1, 2, 3, 7, 8, 13};
    static const size_t COMPONENTS[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17};
    static const size_t LARGE[][3] = {{256, 32, 100}, {256, 33, 9}, {61, 32, 17}, {61, 33, 100}};
    uint64_t state = 1;

    for (int squares = ML__NO_SQUARES; squares <= ML__OBSERVED; squares++) {
        for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++)
            for (size_t f = 0; f < sizeof FEATURES / sizeof *FEATURES; f++)
                for (size_t c = 0; c < sizeof COMPONENTS / sizeof *COMPONENTS; c++)
                    check_block(table, (ml__squares)squares, ROWS[r], FEATURES[f], COMPONENTS[c], &state);
        for (size_t l = 0; l < sizeof LARGE / sizeof *LARGE; l++)
            check_block(table, (ml__squares)squares, LARGE[l][0], LARGE[l][1], LARGE[l][2], &state);
    }
    for (size_t k = 2; k < 9; k++) {
        check_begin("%s mixture, small shares: %zu components", table->name, k);
        check_small_shares(&table->mixture, k, &state);
        check_fences();
        check_end();
    }
    for (size_t n = 1; n < 20; n++) {
        check_begin("%s mixture, shares of nothing: %zu columns", table->name, n);
        check_special(&table->mixture, n, 1 + n % 5);
        check_fences();
        check_end();
    }
}
