/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal component analysis: ways to the axes.
 *
 * Route       n >= d: eigenvectors of S [d x d]; of a few out of many by subspace iteration.
 *             n < d: of the Gram matrix of the centred rows [n x n], X X' u = λ u, v = X'u / sqrt λ, made orthonormal again.
 *             randomized: from products of the centred rows with k + n_oversamples directions (principal.c)
 * Spread      an error of eps λ_1 in S leaves a λ_i below 1e-8 λ_1 less than half of its digits. Where a component, or what all
 *             of them leave, is below that, eigenpairs are found once more (graded.c), from rows turned by what was found:
 *             singular values are then known to r eps of the first, as from a decomposition of the rows.
 *
 * Symbols     n rows, d features, k components, r = min(n, d); S scatter matrix of the rows, λ its eigenvalues
 * Cost        n d² / 2 multiply-adds and 9 d³ for the eigenvectors, or n² d / 2 and 9 n³; randomized
 *             2 (n_iter + 1) n d (k + n_oversamples). Spread: 1 to 3 passes of 3 n d² / 2, or n² d; some n or d sweeps of rotations
 */
#include "learn/pca.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/product.h"
#include "kernel/rows.h"
#include "learn/graded.h"
#include "learn/principal.h"

/* ---- which solver ---- */

enum { LEADING_FEATURES = 256, LEADING_SHARE = 8, SKETCH_ROWS = 1000, SKETCH_SHARE = 32 };

/* Does subspace iteration pay for k of m eigenvectors? */
static bool wants_leading(const ml__pca_params *p, size_t m, size_t k)
{
    return p->svd_solver == ML__PCA_AUTO && p->n_components.form == ML__SIZE_COUNT && m >= LEADING_FEATURES &&
           k <= m / LEADING_SHARE;
}

bool ml__pca_wants_sketch(const ml__pca_params *p, size_t n, size_t d)
{
    if (p->svd_solver != ML__PCA_AUTO || p->incremental || p->n_components.form != ML__SIZE_COUNT)
        return p->svd_solver == ML__PCA_RANDOMIZED;
    return n < d && n >= SKETCH_ROWS && (size_t)(p->n_components.count + p->n_oversamples) <= n / SKETCH_SHARE;
}

/* A few components need more iterations, as scikit-learn has it. */
static ml__sketch sketch_of(const ml__fit *f, size_t r, size_t k)
{
    const ml__pca_params *p = f->params;
    const size_t by_share = 10 * k < r ? 7 : 4;

    return (ml__sketch){.n_oversamples = (size_t)p->n_oversamples,
                        .n_iter = p->iterated_power.form == ML__SIZE_COUNT ? (size_t)p->iterated_power.count : by_share,
                        .seed = f->seed};
}

/* ---- how many ---- */

/* As many components as explain more than the fraction: scikit-learn's rule. */
static void cut_to_fraction(double fraction, ml__pca_axes *c)
{
    double sum = 0;

    for (size_t i = 0; i < c->k; i++) {
        sum += c->values[i] / c->trace;
        if (sum > fraction) {
            c->k = i + 1;
            return;
        }
    }
}

/* From the values. */
static ml_status choose(ml__fit *f, ml__pca_axes *c)
{
    const ml__size *wanted = &((const ml__pca_params *)f->params)->n_components;
    ml_status st = ML_OK;

    c->k = c->count;
    if (wanted->form == ML__SIZE_FRACTION)
        cut_to_fraction(wanted->fraction, c);
    if (ml__pca_is_mle(wanted) && c->trace > 0)
        ML__TRY(ml__principal_likeliest(f->scratch, c->d, c->values, c->n, &c->k));
done:
    return st;
}

double ml__pca_rest(const ml__pca_axes *c)
{
    double rest = c->is_spread ? c->beyond : c->trace;

    for (size_t i = c->k; i < c->r && c->is_spread && !c->is_sketch; i++)
        rest += c->values[i];
    for (size_t i = 0; i < c->k && !c->is_spread; i++)
        rest -= c->values[i];
    return rest;
}

/* Is a component, or what all of them leave, so small beside the first that the squares have lost it? */
static bool loses_digits(const ml__fit *f, const ml__pca_axes *c)
{
    const bool all = ml__pca_is_mle(&((const ml__pca_params *)f->params)->n_components);
    const size_t k = all ? c->count : c->k, last = k < c->rank ? k : c->rank;

    return last > 0 && (ml__is_spread(c->values[0], c->values[last - 1]) ||
                        (k < c->rank && ml__is_spread(c->trace, ml__pca_rest(c))));
}

/* ---- routes ---- */

/* Values that are nothing but rounding: of S, or of rows, whose singular values are known to eps of the first. */
static void drop_rounding(const ml__pca_axes *c, size_t count, bool of_rows)
{
    const double eps = (double)c->r * DBL_EPSILON;
    const double least = c->values[0] * eps * (of_rows ? eps : 1); /* this order does not overflow */

    for (size_t i = 0; i < count; i++)
        if (!(c->values[i] > least))
            c->values[i] = 0;
}

static bool is_larger(double x, double y)
{
    return x > y;
}

/* From S as it is kept, which is all that is left of rows that came in parts. */
static ml_status refine_scatter(ml__fit *f, const double *S, double *A, ml__pca_axes *c)
{
    const size_t d = c->d;
    double *doubt;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, c->values, d);
    ML__NEW(f->scratch, c->vectors, d * d);
    ML__NEW(f->scratch, doubt, d);
    for (size_t v = 0; v < d * d; v++)
        A[v] = ldexp(S[v], -c->unit);
    ML__TRY(ml__graded_eigen(f->scratch, d, A, c->values, c->vectors, doubt));
    for (size_t i = 0; i < d; i++)
        if (!(c->values[i] > (double)c->r * doubt[i]))
            c->values[i] = 0;
    ml__sort_pairs(d, is_larger, c->values, c->vectors, d);
done:
    return st;
}

ml_status ml__pca_of_scatter(ml__fit *f, const double *w, const double *S, double *A, ml__pca_axes *c)
{
    bool leading = wants_leading(f->params, c->d, c->count);
    ml_status st;

    ML__TRY(ml__principal_eigen(f->scratch, c->d, c->count, &leading, A, c->values, c->vectors));
    drop_rounding(c, c->count, false);
    ML__TRY(choose(f, c));
    if (!loses_digits(f, c))
        return ML_OK;
    if (!w) {
        ML__TRY(refine_scatter(f, S, A, c));
    } else {
        if (leading) {
            leading = false;
            ML__TRY(ml__principal_eigen(f->scratch, c->d, c->count, &leading, A, c->values, c->vectors));
        }
        ML__NEW(f->scratch, c->values, c->d);
        ML__TRY(ml__graded_scatter(f->scratch, f->data, w, c->mean, A, c->values));
        c->vectors = A;
        drop_rounding(c, c->d, true);
    }
    c->is_spread = true;
    ML__TRY(choose(f, c));
done:
    return st;
}

enum { GRAM_ROWS = 256 };

/* G = X X', half of it as products of blocks of rows with those up to them. */
static ml_status find_gram(ml__fit *f, size_t n, size_t d, const double *X, double *G)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    ml_status st = ML_OK;

    for (size_t i = 0; i < n; i += GRAM_ROWS) {
        const size_t rows = n - i < GRAM_ROWS ? n - i : GRAM_ROWS;
        ML__TRY(ml__product_gemm_nt_f64(&crew, rows, i + rows, d, X + i * d, d, X, d, 0, G + i * n, n));
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            G[j * n + i] = G[i * n + j];
done:
    return st;
}

/* U[n x n] are all eigenvectors of the Gram matrix: rows of U X are nearly orthogonal. */
static ml_status refine_gram(ml__fit *f, const double *X, const double *U, ml__pca_axes *c)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    const size_t n = (size_t)c->n, d = c->d;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, c->values, n);
    ML__NEW(f->scratch, c->vectors, n * d);
    ML__TRY(ml__product_gemm_nn_f64(&crew, n, d, n, U, n, X, d, 0, c->vectors, d));
    ml__graded_rows(n, d, c->vectors, 0, c->vectors, c->values);
    drop_rounding(c, n, true);
    c->is_spread = true;
done:
    return st;
}

ml_status ml__pca_of_gram(ml__fit *f, const double *X, ml__pca_axes *c)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    const size_t n = (size_t)c->n, d = c->d;
    bool leading = wants_leading(f->params, n, c->count);
    double *G, *U;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, G, n * n);
    ML__NEW(f->scratch, U, c->count * n);
    ML__TRY(find_gram(f, n, d, X, G));
    ML__TRY(ml__principal_eigen(f->scratch, n, c->count, &leading, G, c->values, U));
    drop_rounding(c, c->count, false);
    ML__TRY(choose(f, c));
    if (loses_digits(f, c)) {
        if (leading) {
            leading = false;
            ML__TRY(ml__principal_eigen(f->scratch, n, c->count, &leading, G, c->values, U));
        }
        ML__TRY(refine_gram(f, X, G, c));
        ML__TRY(choose(f, c));
    } else {
        ML__TRY(ml__product_gemm_nn_f64(&crew, c->count, d, n, U, n, X, d, 0, c->vectors, d));
    }
    ml__principal_orthonormalise(d, c->count, c->values, c->vectors);
done:
    return st;
}

ml_status ml__pca_of_sketch(ml__fit *f, double *X, ml__pca_axes *c)
{
    const ml__sketch sketch = sketch_of(f, c->r, c->count);
    double share;
    ml_status st;

    ML__TRY(ml__principal_sketch(f, &sketch, (size_t)c->n, c->d, X, c->count, c->values, c->vectors));
    drop_rounding(c, c->count, true);
    ml__principal_orthonormalise(c->d, c->count, c->values, c->vectors);
    if (c->count < c->rank && loses_digits(f, c)) {
        ML__TRY(ml__principal_rest(f, (size_t)c->n, c->d, X, c->count, c->vectors, &share));
        c->beyond = share * c->trace;
        c->is_spread = c->is_sketch = true;
    }
done:
    return st;
}
