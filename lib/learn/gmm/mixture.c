/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mixture of Gaussians: factors of its covariances, densities of rows, its tensors.
 *
 * Factor      Sigma^-1 = U U', U upper triangular ("precisions_cholesky": L^-1 transposed with Sigma = L L'); of a diagonal
 *             1 / sigma_j; of a sphere 1 / sigma
 * Density     ln N(x | mu, Sigma) = ln det U - d/2 ln 2 pi - |U' (x - mu)|² / 2
 * Degenerate  where Sigma is singular to working precision there is no factor: ML_E_NUMERIC. Squared distances beyond the
 *             range count as the largest number, so that densities are finite for all finite rows. A row that far from all
 *             components, about 1e154 deviations or more, has the same posterior for each and is of component 0.
 */
#include "learn/gmm/mixture.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

static const double LN_2PI = 1.8378770664093454836;

/* Up to where a deviation is no more than the rounding of the mean, relative to that: 10 eps of a row come from N (em.c), the
 * rest is room. And a squared pivot that of the variance, relative to that and for each feature. */
static const double MEAN_ROUNDING = 32 * DBL_EPSILON, PIVOT_ROUNDING = 16 * DBL_EPSILON;

double ml__mixture_n_parameters(const ml__mixture *m)
{
    const double k = (double)m->k, d = (double)m->d, triangle = 0.5 * d * (d + 1);
    const double of_covariances[] = {k * triangle, triangle, k * d, k};

    return of_covariances[m->type] + k * d + k - 1;
}

ml_status ml__mixture_create(ml__arena *arena, ml__covariance type, size_t k, size_t d, ml__mixture *out)
{
    size_t n;
    ml_status st = ML_OK;

    *out = (ml__mixture){.type = type, .k = k, .d = d};
    ML__CHECK(ml__size_mul(k, d, &n) && ml__size_mul(n, d, &n), ML_E_MEMORY,
              "%zu covariances of %zu features do not fit in memory", k, d);
    ML__NEW(arena, out->weights, k);
    ML__NEW(arena, out->means, k * d);
    ML__NEW(arena, out->covariances, ml__covariance_numbers(out));
    ML__NEW(arena, out->factors, ml__covariance_numbers(out));
    ML__NEW(arena, out->log_weights, k);
    ML__NEW(arena, out->log_norms, k);
    ML__NEW(arena, out->counts, k);
done:
    return st;
}

void ml__mixture_copy(const ml__mixture *from, ml__mixture *to)
{
    const size_t n = ml__covariance_numbers(from);

    memcpy(to->weights, from->weights, from->k * sizeof *to->weights);
    memcpy(to->means, from->means, from->k * from->d * sizeof *to->means);
    memcpy(to->covariances, from->covariances, n * sizeof *to->covariances);
    memcpy(to->factors, from->factors, n * sizeof *to->factors);
    memcpy(to->log_weights, from->log_weights, from->k * sizeof *to->log_weights);
    memcpy(to->log_norms, from->log_norms, from->k * sizeof *to->log_norms);
}

/* ---- factors ---- */

static double log_determinant(const ml__mixture *m, size_t c)
{
    const double *U = m->factors + ml__covariance_at(m, c);
    const size_t d = m->d, step = m->type == ML__DIAG ? 1 : d + 1;
    double sum = 0;

    if (m->type == ML__SPHERICAL)
        return (double)d * log(*U);
    for (size_t j = 0; j < d; j++)
        sum += log(U[j * step]);
    return sum;
}

void ml__mixture_prepare(ml__mixture *m)
{
    for (size_t c = 0; c < m->k; c++) {
        m->log_weights[c] = log(m->weights[c]);
        m->log_norms[c] =
            c && m->type == ML__TIED ? m->log_norms[0] : log_determinant(m, c) - 0.5 * (double)m->d * LN_2PI;
    }
}

static void transpose(size_t d, double *A)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            const double a = A[i * d + j];
            A[i * d + j] = A[j * d + i];
            A[j * d + i] = a;
        }
}

bool ml__all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* U from Sigma; L is workspace of a matrix. */
static bool factor(const ml__mixture *m, const double *Sigma, double *L, double *U)
{
    const size_t d = m->d, n = ml__covariance_size(m->type, d);

    if (m->type == ML__FULL || m->type == ML__TIED) {
        memcpy(L, Sigma, n * sizeof *L);
        if (ml__cholesky(d, L, d))
            return false;
        ml__invert_lower(d, L, d, U, d);
        transpose(d, U);
    } else {
        for (size_t j = 0; j < n; j++) {
            if (!(Sigma[j] > 0))
                return false;
            U[j] = 1 / sqrt(Sigma[j]);
        }
    }
    return ml__all_finite(U, n) && ml__all_finite(Sigma, n);
}

/* A covariance that is no density's, and what would help. */
static ml_status blame_covariance(const ml__mixture *m, size_t c, const char *what, double reg_covar, bool has_prior)
{
    return ml__fail(ML_E_NUMERIC,
                    "the covariance of component %zu is %s: fewer components (n_components is %zu), a larger reg_covar "
                    "(it is %g)%s or scaled features would help",
                    c, what, m->k, reg_covar, has_prior ? ", a larger covariance_prior" : "");
}

typedef struct factoring {
    ml__mixture *m;
    double reg_covar;
    bool has_prior;
    double *work;
} factoring;

static ml_status factor_component(void *argument, size_t c)
{
    const factoring *f = argument;
    const ml__mixture *m = f->m;
    const size_t at = ml__covariance_at(m, c);

    if (factor(m, m->covariances + at, f->work + at, m->factors + at))
        return ML_OK;
    return blame_covariance(m, c, "not positive definite", f->reg_covar, f->has_prior);
}

ml_status ml__mixture_factor(ml_context *context, ml__mixture *m, double reg_covar, bool has_prior, double *work)
{
    factoring f = {m, reg_covar, has_prior, work};
    const double d = (double)m->d, n = (double)ml__covariance_size(m->type, m->d);
    const ml_status st =
        ml__parallel_for_cost(context, ml__covariance_count(m->type, m->k), 0.3 * d * n, factor_component, &f);

    if (st == ML_OK)
        ml__mixture_prepare(m);
    return st;
}

/* What the rounding of means adds to the variance of feature j. */
static double rounded_variance(const ml__mixture *m, size_t c, size_t j)
{
    double sum = 0;

    for (size_t l = m->type == ML__TIED ? 0 : c; l < (m->type == ML__TIED ? m->k : c + 1); l++) {
        const double error = MEAN_ROUNDING * m->means[l * m->d + j];
        sum += (m->type == ML__TIED ? m->weights[l] : 1) * error * error;
    }
    return sum;
}

/* Is what Sigma says of a feature, given those before, no more than rounding? The pivots of L are 1 / U_jj. */
static bool is_rounding(const ml__mixture *m, size_t c)
{
    const double *Sigma = m->covariances + ml__covariance_at(m, c), *U = m->factors + ml__covariance_at(m, c);
    const size_t d = m->d;
    double sum = 0;

    for (size_t j = 0; j < d; j++) {
        const double error = rounded_variance(m, c, j), u = m->type < ML__DIAG ? U[j * (d + 1)] : 0;

        sum += error;
        if (m->type < ML__DIAG && 1 / (u * u) <= PIVOT_ROUNDING * (double)d * Sigma[j * (d + 1)] + error)
            return true;
        if (m->type == ML__DIAG && Sigma[j] <= error)
            return true;
    }
    return m->type == ML__SPHERICAL && *Sigma <= sum / (double)d;
}

ml_status ml__mixture_check_rounding(const ml__mixture *m)
{
    for (size_t c = 0; c < ml__covariance_count(m->type, m->k); c++)
        if (is_rounding(m, c))
            return blame_covariance(m, c, "no more than rounding", 0, false);
    return ML_OK;
}

/* ---- densities ---- */

/* Y = (X - mu) U of component c */
static void whiten(const ml__mixture *m, const ml__kernels_f64 *kernels, size_t c, const double *X, size_t n, double *Z,
                   double *Y)
{
    const size_t d = m->d, step = m->type == ML__DIAG;
    const double *mu = m->means + c * d, *U = m->factors + ml__covariance_at(m, c);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            Z[i * d + j] = X[i * d + j] - mu[j];
    if (m->type == ML__FULL || m->type == ML__TIED) {
        ml__multiply_upper(kernels, n, d, Z, d, U, d, Y, d);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            Y[i * d + j] = Z[i * d + j] * U[j * step];
}

void ml__log_densities(const ml__mixture *m, const ml__kernels_f64 *kernels, const double *X, size_t n, double *work,
                       double *out)
{
    const size_t d = m->d;
    double *Y = work + n * d;

    for (size_t c = 0; c < m->k; c++) {
        whiten(m, kernels, c, X, n, work, Y);
        for (size_t i = 0; i < n; i++) {
            const double q = kernels->dot(d, Y + i * d, Y + i * d);
            out[i * m->k + c] =
                m->log_norms[c] - 0.5 * (q < DBL_MAX ? q : DBL_MAX); /* also when q is NaN: inf - inf above */
        }
    }
}

void ml__log_densities_of_rows(const ml__mixture *m, const ml__kernels_f64 *kernels, const double *X, size_t n,
                               double *work, double *seen, double *out)
{
    ml__log_densities(m, kernels, X, n, work, out);
    for (size_t i = 0; i < n; i++)
        if (ml__has_missing(X + i * m->d, m->d))
            ml__log_densities_seen(m, X + i * m->d, seen, out + i * m->k);
}

/* q[n] = |(x - mu) u|²; u of all features, or with step 0 one number. */
static void distances(size_t n, size_t d, const double *x, size_t ld, const double *mu, const double *u, size_t step,
                      double *q)
{
    for (size_t i = 0; i < n; i += ML__MIXTURE_GROUP) {
        double sums[ML__MIXTURE_GROUP] = {0};

        for (size_t j = 0; j < d; j++)
            for (size_t r = 0; r < ML__MIXTURE_GROUP; r++) {
                const double z = (x[j * ld + i + r] - mu[j]) * u[j * step];
                sums[r] += z * z;
            }
        memcpy(q + i, sums, sizeof sums);
    }
}

/* q[n] = |U'(x - mu)|² of a matrix U. */
static void distances_of_matrix(size_t n, size_t d, const double *x, size_t ld, const double *mu, const double *U,
                                double *Z, double *q)
{
    double *Y = Z + d * ld;

    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < n; i++)
            Z[j * ld + i] = x[j * ld + i] - mu[j];
    ml__kernels_best()->f64.gemm_tn(d, n, d, U, d, Z, ld, 0, Y, ld);
    memset(q, 0, n * sizeof *q);
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < n; i++)
            q[i] += Y[j * ld + i] * Y[j * ld + i];
}

void ml__log_densities_of_columns(const ml__mixture *m, const double *x, size_t n, size_t ld, double *work, double *out)
{
    const size_t d = m->d;

    for (size_t c = 0; c < m->k; c++) {
        const double *mu = m->means + c * d, *U = m->factors + ml__covariance_at(m, c);
        const double constant = m->log_norms[c] + m->log_weights[c];
        double *q = out + c * ld;

        if (m->type < ML__DIAG)
            distances_of_matrix(n, d, x, ld, mu, U, work, q);
        else
            distances(n, d, x, ld, mu, U, m->type == ML__DIAG, q);
        for (size_t i = 0; i < n; i++)
            q[i] = constant - 0.5 * (q[i] < DBL_MAX ? q[i] : DBL_MAX); /* as above */
    }
}

bool ml__one_leads(size_t n, size_t k, const double *L, size_t ld, double lead, double least)
{
    for (size_t i = 0; i < n; i += ML__MIXTURE_GROUP) {
        double first[ML__MIXTURE_GROUP], second[ML__MIXTURE_GROUP];

        for (size_t r = 0; r < ML__MIXTURE_GROUP; r++)
            first[r] = second[r] = -INFINITY;
        for (size_t c = 0; c < k; c++)
            for (size_t r = 0; r < ML__MIXTURE_GROUP; r++) {
                const double value = L[c * ld + i + r], less = value < first[r] ? value : first[r];
                first[r] = value > first[r] ? value : first[r];
                second[r] = less > second[r] ? less : second[r];
            }
        for (size_t r = 0; r < ML__MIXTURE_GROUP && i + r < n; r++)
            if (!(first[r] - second[r] > lead && fabs(first[r]) >= least))
                return false;
    }
    return true;
}

void ml__add_log_weights(const ml__mixture *m, size_t n, double *L)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < m->k; c++)
            L[i * m->k + c] += m->log_weights[c];
}

/* ---- tensors ---- */

enum { NAME_BYTES = 48 };

static double *add(ml__learned *learned, const char *name, const char *suffix, uint32_t rank, const uint64_t *shape)
{
    char full[NAME_BYTES];

    ml__format(full, sizeof full, "%s%s", name, suffix);
    return ml__learned_add(learned, full, ML_FLOAT64, rank, shape);
}

/* Shape of covariances: scikit-learn's. */
static uint32_t shape_of(ml__covariance type, uint64_t k, uint64_t d, uint64_t shape[3])
{
    const uint64_t shapes[][3] = {{k, d, d}, {d, d}, {k, d}, {k}};
    const uint32_t ranks[] = {3, 2, 2, 1};

    memcpy(shape, shapes[type], sizeof shapes[type]);
    return ranks[type];
}

ml_status ml__mixture_publish(ml__learned *learned, const char *suffix, const ml__mixture *m, const double *shift)
{
    const size_t k = m->k, d = m->d, n = ml__covariance_numbers(m);
    uint64_t shape[3];
    const uint32_t rank = shape_of(m->type, k, d, shape);
    double *weights = add(learned, "weights", suffix, 1, (const uint64_t[]){k});
    double *means = add(learned, "means", suffix, 2, (const uint64_t[]){k, d});
    double *covariances = add(learned, "covariances", suffix, rank, shape);
    double *factors = add(learned, "precisions_cholesky", suffix, rank, shape);

    if (!weights || !means || !covariances || !factors)
        return ML_E_MEMORY;
    memcpy(weights, m->weights, k * sizeof *weights);
    memcpy(covariances, m->covariances, n * sizeof *covariances);
    memcpy(factors, m->factors, n * sizeof *factors);
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            means[c * d + j] = m->means[c * d + j] + shift[j];
    return ML_OK;
}

static const ml__named_tensor *find(const ml__learned *learned, const char *name, const char *suffix)
{
    char full[NAME_BYTES];

    ml__format(full, sizeof full, "%s%s", name, suffix);
    return ml__learned_find(learned, full);
}

ml_status ml__mixture_tensor(const ml__learned *learned, const char *name, const char *suffix, uint32_t rank,
                             const uint64_t *shape, double **out)
{
    const ml__named_tensor *t = find(learned, name, suffix);
    ml_status st = ML_OK;

    ML__CHECK(t, ML_E_FORMAT, "tensor '%s%s' is missing", name, suffix);
    ML__CHECK(t->rank == rank, ML_E_FORMAT, "tensor '%s' has %u dimensions, its covariance_type asks for %u", t->name,
              t->rank, rank);
    for (uint32_t r = 0; r < rank; r++)
        ML__CHECK(t->shape[r] == shape[r], ML_E_FORMAT, "tensor '%s': dimension %u is %llu, expected %llu", t->name, r,
                  (unsigned long long)t->shape[r], (unsigned long long)shape[r]);
    *out = t->data;
done:
    return st;
}

static ml_status check_factor(const char *suffix, const ml__mixture *m, size_t c)
{
    const double *U = m->factors + ml__covariance_at(m, c);
    const size_t d = m->d, n = ml__covariance_size(m->type, d);
    ml_status st = ML_OK;

    for (size_t j = 0; j < n && m->type >= ML__DIAG; j++)
        ML__CHECK(U[j] > 0, ML_E_FORMAT,
                  "tensor 'precisions_cholesky%s': component %zu, element %zu is %g, not positive", suffix, c, j, U[j]);
    for (size_t i = 0; i < d && m->type < ML__DIAG; i++)
        for (size_t j = 0; j <= i; j++) {
            const double u = U[i * d + j];
            ML__CHECK(j < i ? u == 0 : u > 0, ML_E_FORMAT,
                      "tensor 'precisions_cholesky%s': component %zu, row %zu, column %zu is %g, expected %s", suffix,
                      c, i, j, u, j < i ? "0 below the diagonal" : "a positive diagonal");
        }
done:
    return st;
}

static ml_status read_type(const ml__learned *learned, ml__covariance *out)
{
    const ml__named_tensor *t = ml__learned_find(learned, "covariance_type");
    const int64_t type = t ? *(const int64_t *)t->data : ML__FULL;

    *out = (ml__covariance)type;
    if (type >= ML__FULL && type <= ML__SPHERICAL)
        return ML_OK;
    return ml__fail(ML_E_FORMAT, "tensor 'covariance_type' is %lld, expected 0 to 3", (long long)type);
}

ml_status ml__mixture_read(const ml__learned *learned, const char *suffix, ml__arena *arena, ml__mixture *out)
{
    const ml__named_tensor *weights = find(learned, "weights", suffix);
    uint64_t shape[3];
    uint32_t rank;
    double total = 0;
    ml_status st;

    *out = (ml__mixture){.d = learned->schema.n_features};
    ML__TRY(read_type(learned, &out->type));
    ML__CHECK(weights && weights->shape[0] >= 1, ML_E_FORMAT, "tensor 'weights%s' is empty", suffix);
    out->k = (size_t)weights->shape[0];
    out->weights = weights->data;
    for (size_t c = 0; c < out->k; c++)
        total += out->weights[c];
    ML__CHECK(fabs(total - 1) <= 1e-9 * (double)out->k, ML_E_FORMAT, "tensor 'weights%s': the sum is %g, expected 1",
              suffix, total);
    ML__TRY(ml__mixture_tensor(learned, "means", suffix, 2, (const uint64_t[]){out->k, out->d}, &out->means));
    rank = shape_of(out->type, out->k, out->d, shape);
    ML__TRY(ml__mixture_tensor(learned, "covariances", suffix, rank, shape, &out->covariances));
    ML__TRY(ml__mixture_tensor(learned, "precisions_cholesky", suffix, rank, shape, &out->factors));
    for (size_t c = 0; c < ml__covariance_count(out->type, out->k); c++)
        ML__TRY(check_factor(suffix, out, c));
    ML__NEW(arena, out->log_weights, out->k);
    ML__NEW(arena, out->log_norms, out->k);
    ml__mixture_prepare(out);
done:
    return st;
}
