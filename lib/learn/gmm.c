/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gaussian mixture with full covariances, fitted by expectation maximisation.
 *
 * Model       p(x) = Σ_k pi_k N(x | mu_k, Sigma_k),   Sigma_k^-1 = U_k U_k',  U_k upper triangular
 * Density     ln N(x | mu_k, Sigma_k) = ln det U_k - d/2 ln 2 pi - |U_k' (x - mu_k)|² / 2
 * E-step      r_ik = pi_k N(x_i | mu_k, Sigma_k) / Σ_l pi_l N(x_i | mu_l, Sigma_l),  by log-sum-exp over k
 *             L    = Σ_i w_i ln p(x_i) / Σ_i w_i             (the lower bound that EM raises)
 * M-step      N_k  = Σ_i w_i r_ik + 10 eps                   pi_k = N_k / Σ_l N_l
 *             mu_k = Σ_i w_i r_ik x_i / N_k                  Sigma_k = Σ_i w_i r_ik (x_i - mu_k)(x_i - mu_k)' / N_k + c I
 *             with the new mu_k in Sigma_k: a second pass over the rows, without cancellation.
 * Start       responsibilities from k-means (one cluster each), from single rows (drawn by k-means++ or at random), or
 *             random ones; then an M-step
 * Stop        |L - L of the step before| < tol, or max_iter; of n_init starts the one with the largest L stays
 *             (Dempster, Laird & Rubin 1977; Bishop, Pattern Recognition and Machine Learning, 2006, section 9.2.2. The
 *             order of steps, 10 eps and the stopping rule are scikit-learn's.)
 *
 * Symbols     n rows, d features, k components;  i row, j feature, c component in code;  B rows of a block
 *             X [n x d] rows less the mean of all, so that a large common offset costs no digits; w [n] weights, scaled
 *             to mean 1; R [n x k] w_i r_ik;  c I = reg_covar I
 *             U [d x d] "precisions_cholesky" is L^-1 transposed with Sigma = L L'
 * Degenerate  rows without weight are left out. A component that collapses onto a point, lies in a subspace, or gets no
 *             row at all keeps Sigma >= c I; where c is below the rounding of Sigma (c = 0, huge features) the Cholesky
 *             factor does not exist: ML_E_NUMERIC. Squared distances beyond the range count as the largest number,
 *             so that posteriors and densities are finite for all finite rows.
 * Cost        per iteration O(n k d²) time; memory n (d + k) doubles and k d² for each slot
 */
#include "learn/gmm.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "learn/learn.h"
#include "learn/moments.h"

static const double LN_2PI = 1.8378770664093454836;

enum {
    START_ITER = 300,  /* of k-means at the start, as scikit-learn's KMeans */
    PREDICT_ROWS = 32, /* at a time: bounds the workspace of a prediction */
    MAX_ITER_LIMIT = 1000000
};
static const double START_TOL = 1e-4;

/* ---- the mixture ---- */

ml_status ml__mixture_create(ml__arena *arena, size_t k, size_t d, ml__mixture *out)
{
    size_t kd;
    ml_status st = ML_OK;

    *out = (ml__mixture){.k = k, .d = d};
    ML__CHECK(ml__size_mul(k, d, &kd) && ml__size_mul(kd, d, &kd), ML_E_MEMORY,
              "%zu covariances of %zu features do not fit in memory", k, d);
    ML__NEW(arena, out->weights, k);
    ML__NEW(arena, out->means, k * d);
    ML__NEW(arena, out->covariances, kd);
    ML__NEW(arena, out->factors, kd);
    ML__NEW(arena, out->log_weights, k);
    ML__NEW(arena, out->log_norms, k);
done:
    return st;
}

void ml__mixture_prepare(ml__mixture *m)
{
    for (size_t c = 0; c < m->k; c++) {
        const double *U = m->factors + c * m->d * m->d;
        double log_det = 0;

        for (size_t j = 0; j < m->d; j++)
            log_det += log(U[j * m->d + j]);
        m->log_weights[c] = log(m->weights[c]);
        m->log_norms[c] = log_det - 0.5 * (double)m->d * LN_2PI;
    }
}

/* out[i k + c] = ln N(x_i | mu_c, Sigma_c) for n rows of X; work: 2 n d. Each row by itself if the kernels are rowwise. */
static void log_densities(const ml__mixture *m, const ml__kernels_f64 *kernels, const double *X, size_t n, double *work,
                          double *out)
{
    const size_t d = m->d;
    double *Z = work, *Y = work + n * d;

    for (size_t c = 0; c < m->k; c++) {
        const double *mu = m->means + c * d;

        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < d; j++)
                Z[i * d + j] = X[i * d + j] - mu[j];
        ml__multiply_upper(kernels, n, d, Z, d, m->factors + c * d * d, d, Y, d);
        for (size_t i = 0; i < n; i++) {
            double q = 0;
            for (size_t j = 0; j < d; j++)
                q += Y[i * d + j] * Y[i * d + j];
            out[i * m->k + c] = m->log_norms[c] - 0.5 * fmin(q, DBL_MAX); /* also when q is NaN: inf - inf above */
        }
    }
}

/* Log-densities of the components become those of components and rows together. */
static void add_log_weights(const ml__mixture *m, size_t n, double *L)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < m->k; c++)
            L[i * m->k + c] += m->log_weights[c];
}

/* Log-densities become posteriors; lse, unless NULL, gets ln p(x_i). */
static void posteriors(const ml__mixture *m, const ml__kernels_f64 *kernels, size_t n, double *L, double *lse)
{
    add_log_weights(m, n, L);
    kernels->softmax(n, m->k, L, m->k, lse);
}

/* ---- factors ---- */

typedef struct factoring {
    ml__mixture *m;
    double reg_covar;
    double *work;
} factoring;

static void transpose(size_t d, double *A)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            const double a = A[i * d + j];
            A[i * d + j] = A[j * d + i];
            A[j * d + i] = a;
        }
}

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static ml_status factor_component(void *argument, size_t c)
{
    const factoring *f = argument;
    const size_t d = f->m->d;
    const double *Sigma = f->m->covariances + c * d * d;
    double *L = f->work + c * d * d, *U = f->m->factors + c * d * d;

    memcpy(L, Sigma, d * d * sizeof *L);
    if (!ml__cholesky(d, L, d)) {
        ml__invert_lower(d, L, d, U, d);
        transpose(d, U);
        if (all_finite(U, d * d))
            return ML_OK;
    }
    return ml__fail(ML_E_NUMERIC,
                    "gmm: the covariance of component %zu is not positive definite: fewer components (n_components is "
                    "%zu), a larger reg_covar (it is %g) or scaled features would help",
                    c, f->m->k, f->reg_covar);
}

ml_status ml__mixture_factor(ml_context *context, ml__mixture *m, double reg_covar, double *work)
{
    factoring f = {m, reg_covar, work};
    const double d = (double)m->d;
    const ml_status st = ml__parallel_for_cost(context, m->k, 0.3 * d * d * d, factor_component, &f);

    if (st == ML_OK)
        ml__mixture_prepare(m);
    return st;
}

/* ---- EM ---- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

ml_status ml__em_create(ml__arena *arena, ml_context *context, const ml__points *points, size_t k, double reg_covar,
                        ml__em *out)
{
    const size_t n = points->n, d = points->d;
    size_t n_work, n_R, n_partial;
    ml_status st = ML_OK;

    *out = (ml__em){.context = context, .points = *points, .k = k, .reg_covar = reg_covar};
    ML__CHECK(ml__size_mul(d, larger(d, 2), &out->n_sums) && ml__size_mul(out->n_sums, k, &out->n_sums) &&
                  ml__size_mul(2 * d + 1, ML__SLOT_BLOCK, &n_work) && ml__size_add(out->n_sums, n_work, &out->stride) &&
                  ml__size_mul(n, k, &n_R),
              ML_E_MEMORY, "%zu components of %zu features do not fit in memory", k, d);
    out->slots = ml__slots_make(n, out->stride);
    ML__CHECK(ml__size_mul(out->slots.n, out->stride, &n_partial), ML_E_MEMORY,
              "%zu components of %zu features do not fit in memory", k, d);
    ML__NEW(arena, out->R, n_R);
    ML__NEW(arena, out->partial, n_partial);
    for (size_t i = 0; i < n; i++)
        out->total += points->w[i];
done:
    return st;
}

/* A step over all rows of a slot, block by block. */
typedef struct pass {
    ml__em *em;
    const ml__mixture *m;
    size_t n_sums; /* used in this pass */
    void (*add_block)(const struct pass *pass, size_t first, size_t n, double *sums, double *work);
} pass;

static ml_status pass_slot(void *argument, size_t s)
{
    const pass *p = argument;
    const ml__em *em = p->em;
    const size_t end = ml__slots_begin(&em->slots, s + 1);
    double *sums = em->partial + s * em->stride;

    memset(sums, 0, p->n_sums * sizeof *sums);
    for (size_t i = ml__slots_begin(&em->slots, s); i < end; i += ML__SLOT_BLOCK)
        p->add_block(p, i, end - i < ML__SLOT_BLOCK ? end - i : ML__SLOT_BLOCK, sums, sums + em->n_sums);
    return ML_OK;
}

/* The sums of all rows come to stand at em->partial. */
static ml_status run_pass(const pass *p)
{
    const double k = (double)p->m->k, d = (double)p->m->d;
    const double task_ns = ml__slots_rows(&p->em->slots) * k * (3 + d + 0.05 * d * d);
    pass copy = *p;
    const ml_status st = ml__parallel_for_cost(p->em->context, p->em->slots.n, task_ns, pass_slot, &copy);

    if (st == ML_OK)
        ml__slots_add(&p->em->slots, p->em->partial, p->em->stride, p->n_sums);
    return st;
}

/* sums[0] += Σ w ln p(x), and R of these rows. */
static void expect_block(const pass *p, size_t first, size_t n, double *sums, double *work)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    const size_t k = p->m->k, d = p->m->d;
    const double *X = p->em->points.X + first * d, *w = p->em->points.w + first;
    double *R = p->em->R + first * k, *lse = work + 2 * n * d;

    log_densities(p->m, kernels, X, n, work, R);
    posteriors(p->m, kernels, n, R, lse);
    for (size_t i = 0; i < n; i++) {
        sums[0] += w[i] * lse[i];
        for (size_t c = 0; c < k; c++)
            R[i * k + c] *= w[i];
    }
}

ml_status ml__em_expect(ml__em *em, const ml__mixture *m, double *log_likelihood)
{
    const ml_status st = run_pass(&(pass){em, m, 1, expect_block});

    *log_likelihood = em->partial[0] / em->total;
    if (st == ML_OK && !isfinite(*log_likelihood))
        return ml__fail(ML_E_NUMERIC, "gmm: the log-likelihood is %g; scaled features would help", *log_likelihood);
    return st;
}

/* N [k], then Σ w r x [k x d] */
static void sum_block(const pass *p, size_t first, size_t n, double *sums, double *work)
{
    const size_t k = p->m->k, d = p->m->d;
    const double *R = p->em->R + first * k;

    (void)work;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < k; c++)
            sums[c] += R[i * k + c];
    ml__kernels_best()->f64.gemm_tn(k, d, n, R, k, p->em->points.X + first * d, d, 1, sums + k, d);
}

/* Σ w r (x - mu)(x - mu)' [k x d x d], the lower triangles. Rows without share in a component are skipped. */
static void scatter_block(const pass *p, size_t first, size_t n, double *sums, double *work)
{
    const size_t k = p->m->k, d = p->m->d;
    const double *X = p->em->points.X + first * d, *R = p->em->R + first * k;
    double *Z = work, *shares = work + n * d;

    for (size_t c = 0; c < k; c++) {
        const double *mu = p->m->means + c * d;
        size_t n_shared = 0;

        for (size_t i = 0; i < n; i++) {
            double *z = Z + n_shared * d;
            if (!(R[i * k + c] > 0))
                continue;
            for (size_t j = 0; j < d; j++)
                z[j] = X[i * d + j] - mu[j];
            shares[n_shared++] = R[i * k + c];
        }
        ml__kernels_best()->f64.syrk_weighted(d, n_shared, Z, d, shares, sums + c * d * d, d);
    }
}

/* Weights hold N until the covariances are done. */
static void update_means(ml__mixture *m, const double *sums)
{
    for (size_t c = 0; c < m->k; c++) {
        m->weights[c] = sums[c] + 10 * DBL_EPSILON;
        for (size_t j = 0; j < m->d; j++)
            m->means[c * m->d + j] = sums[m->k + c * m->d + j] / m->weights[c];
    }
}

static void update_covariances(ml__mixture *m, const double *M2, double reg_covar)
{
    const size_t d = m->d;

    for (size_t c = 0; c < m->k; c++, M2 += d * d) {
        double *Sigma = m->covariances + c * d * d;
        for (size_t i = 0; i < d; i++) {
            for (size_t j = 0; j <= i; j++)
                Sigma[i * d + j] = Sigma[j * d + i] = M2[i * d + j] / m->weights[c];
            Sigma[i * d + i] += reg_covar;
        }
    }
}

static void update_weights(ml__mixture *m)
{
    double total = 0;

    for (size_t c = 0; c < m->k; c++)
        total += m->weights[c];
    for (size_t c = 0; c < m->k; c++)
        m->weights[c] /= total;
}

ml_status ml__em_maximise(ml__em *em, ml__mixture *m)
{
    ml_status st;

    ML__TRY(run_pass(&(pass){em, m, m->k * (m->d + 1), sum_block}));
    update_means(m, em->partial);
    ML__TRY(run_pass(&(pass){em, m, m->k * m->d * m->d, scatter_block}));
    update_covariances(m, em->partial, em->reg_covar);
    update_weights(m);
    ML__TRY(ml__mixture_factor(em->context, m, em->reg_covar, em->partial));
done:
    return st;
}

/* ---- parameters ---- */

enum { INIT_KMEANS, INIT_KMEANS_PLUS_PLUS, INIT_RANDOM, INIT_RANDOM_FROM_DATA };
enum { FEATURES_POSTERIORS, FEATURES_LOG_DENSITIES, FEATURES_LABELS };

typedef struct params {
    int64_t n_components;
    double tol, reg_covar;
    int64_t max_iter, n_init, init_params, random_state, features, passthrough;
} params;

static const ml__param PARAMS[] = {
    ML__INT(params, n_components, "1", ML__RANGE(1, 65536), "number of Gaussians"),
    ML__REAL(params, tol, "0.001", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "stop when the mean log-likelihood changes by less than this"),
    ML__REAL(params, reg_covar, "1e-6", ML__RANGE_OPEN_HIGH(0, INFINITY), "added to the diagonal of every covariance"),
    ML__INT(params, max_iter, "100", ML__RANGE(1, MAX_ITER_LIMIT), "most EM iterations of one start"),
    ML__INT(params, n_init, "1", ML__RANGE(1, 100000), "number of starts, of which the best is kept"),
    ML__CHOICE(params, init_params, "kmeans", "kmeans|k-means++|random|random_from_data",
               "how responsibilities start: k-means clusters, rows drawn by k-means++, random numbers, or random rows"),
    ML__RANDOM_STATE(params),
    ML__CHOICE(
        params, features, "posteriors", "posteriors|log_densities|labels",
        "what transform gives: posterior probabilities, log-densities of the components, or the component's number"),
    ML__BOOL(params, passthrough, "false", "transform keeps the old features in front of the new ones"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"weights", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE},
    {"means", ML_FLOAT64, "kd", ML__FINITE},
    {"covariances", ML_FLOAT64, "kdd", ML__FINITE},
    {"precisions_cholesky", ML_FLOAT64, "kdd", ML__FINITE},
    {"lower_bounds", ML_FLOAT64, "t", ML__FINITE}, /* L of each iteration of the best start */
    {"converged", ML_INT64, "1", ML__NON_NEGATIVE},
    {"n_iter", ML_INT64, "1", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

/* ---- fit ---- */

/* One start and where EM led it. */
typedef struct trial {
    ml__mixture mixture;
    double *bounds; /* max_iter */
    size_t n_iter;
    bool converged;
} trial;

typedef struct fitting {
    const params *p;
    ml__em em;
    double *shift; /* mean of the rows, taken off X [d] */
    trial now, best;
    bool is_cut;      /* the deadline passed with work left */
    size_t *rows;     /* k: starting rows */
    double *centres;  /* k x d */
    uint32_t *labels; /* n */
    double *mass;     /* n */
} fitting;

/* Rows with positive weight, and their weights. */
static ml_status gather_rows(ml__fit *f, ml__points *points)
{
    const double *weights = ml__fit_weights(f);
    double *X, *w;
    size_t n = 0, count;
    ml_status st = ML_OK;

    if (!weights)
        return ML_E_MEMORY;
    for (size_t i = 0; i < f->n; i++)
        n += weights[i] > 0;
    ML__CHECK(ml__size_mul(n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, f->d);
    ML__NEW(f->scratch, X, count);
    ML__NEW(f->scratch, w, n);
    *points = (ml__points){X, n, f->d, w};
    for (size_t i = 0, to = 0; i < f->n; i++) {
        if (!(weights[i] > 0))
            continue;
        ml__dataset_read(f->data, i, 1, ML_FLOAT64, X + to * f->d);
        w[to++] = weights[i];
    }
done:
    return st;
}

/* Take the mean off the rows, and scale the weights to mean 1. */
static ml_status centre_rows(ml__fit *f, fitting *g, ml__points *points)
{
    double *X = (double *)points->X, *w = (double *)points->w, mean_weight;
    ml__moments moments;
    ml_status st;

    ML__TRY(ml__moments_of(f->scratch, X, points->n, points->d, w, &moments));
    g->shift = moments.mean;
    mean_weight = moments.W[0] / (double)points->n;
    ML__CHECK(mean_weight >= DBL_MIN, ML_E_NUMERIC, "gmm: the mean weight is %g, too small to divide by", mean_weight);
    for (size_t i = 0; i < points->n; i++) {
        w[i] /= mean_weight;
        for (size_t j = 0; j < points->d; j++)
            X[i * points->d + j] -= g->shift[j];
    }
done:
    return st;
}

static ml_status prepare_fit(ml__fit *f, fitting *g)
{
    const size_t k = (size_t)g->p->n_components;
    ml__points points;
    ml_status st;

    ML__TRY(gather_rows(f, &points));
    ML__CHECK(k <= points.n, ML_E_DATA, "gmm: n_components is %zu, the data has %zu rows%s", k, points.n,
              points.n < f->n ? " with positive weight" : "");
    ML__TRY(centre_rows(f, g, &points));
    ML__TRY(ml__em_create(f->scratch, f->context, &points, k, g->p->reg_covar, &g->em));
    ML__TRY(ml__mixture_create(f->scratch, k, f->d, &g->now.mixture));
    ML__TRY(ml__mixture_create(f->scratch, k, f->d, &g->best.mixture));
    ML__NEW(f->scratch, g->now.bounds, (size_t)g->p->max_iter);
    ML__NEW(f->scratch, g->best.bounds, (size_t)g->p->max_iter);
    ML__NEW(f->scratch, g->rows, k);
    ML__NEW(f->scratch, g->centres, k * f->d);
    ML__NEW(f->scratch, g->labels, points.n);
    ML__NEW(f->scratch, g->mass, points.n);
done:
    return st;
}

static void draw_rows(fitting *g, ml__rng *rng)
{
    const ml__points *points = &g->em.points;
    double left = g->em.total;

    for (size_t i = 0; i < points->n; i++)
        g->mass[i] = 1;
    for (size_t c = 0; c < g->em.k; c++) {
        g->rows[c] = ml__points_draw(points, g->mass, left, rng);
        g->mass[g->rows[c]] = 0;
        left -= points->w[g->rows[c]];
    }
}

static ml_status cluster_rows(fitting *g, ml__rng *rng)
{
    const size_t k = g->em.k, d = g->em.points.d;
    ml__kmeans clusters = {
        .k = k, .max_iter = START_ITER, .tol = START_TOL, .centres = g->centres, .labels = g->labels};
    ml_status st;

    ML__TRY(ml__kmeans_plus_plus(g->em.context, &g->em.points, k, rng, g->rows));
    for (size_t c = 0; c < k; c++)
        memcpy(g->centres + c * d, g->em.points.X + g->rows[c] * d, d * sizeof *g->centres);
    ML__TRY(ml__kmeans_lloyd(g->em.context, &g->em.points, &clusters));
done:
    return st;
}

static void random_shares(ml__em *em, ml__rng *rng)
{
    for (size_t i = 0; i < em->points.n; i++) {
        double *r = em->R + i * em->k, total = 0;
        for (size_t c = 0; c < em->k; c++)
            total += r[c] = 1 - ml__rng_uniform(rng); /* not 0 */
        for (size_t c = 0; c < em->k; c++)
            r[c] *= em->points.w[i] / total;
    }
}

/* Responsibilities of start number t. */
static ml_status start(fitting *g, uint64_t seed, uint64_t t)
{
    ml__em *em = &g->em;
    ml__rng rng = ml__rng_make(seed, t);
    ml_status st = ML_OK;

    memset(em->R, 0, em->points.n * em->k * sizeof *em->R);
    if (g->p->init_params == INIT_KMEANS) {
        ML__TRY(cluster_rows(g, &rng));
        for (size_t i = 0; i < em->points.n; i++)
            em->R[i * em->k + g->labels[i]] = em->points.w[i];
    } else if (g->p->init_params == INIT_RANDOM) {
        random_shares(em, &rng);
    } else {
        if (g->p->init_params == INIT_RANDOM_FROM_DATA)
            draw_rows(g, &rng);
        else
            ML__TRY(ml__kmeans_plus_plus(em->context, &em->points, em->k, &rng, g->rows));
        for (size_t c = 0; c < em->k; c++)
            em->R[g->rows[c] * em->k + c] = em->points.w[g->rows[c]];
    }
done:
    return st;
}

static ml_status iterate(ml__fit *f, fitting *g, uint64_t t)
{
    const uint64_t max_iter = (uint64_t)g->p->max_iter, n_init = (uint64_t)g->p->n_init;
    trial *now = &g->now;
    double L, before = -INFINITY;
    ml_status st = ML_OK;

    now->converged = false;
    for (now->n_iter = 0; now->n_iter < max_iter && !now->converged && !g->is_cut;) {
        ML__TRY(ml__em_expect(&g->em, &now->mixture, &L));
        ML__TRY(ml__em_maximise(&g->em, &now->mixture));
        now->bounds[now->n_iter++] = L;
        now->converged = fabs(L - before) < g->p->tol;
        before = L;
        ML__TRY(ml__fit_step(f, t * max_iter + now->n_iter, n_init * max_iter, "log_likelihood", L));
        g->is_cut = ml__fit_late(f) && (t + 1 < n_init || (now->n_iter < max_iter && !now->converged));
    }
done:
    return st;
}

static bool is_better(const trial *a, const trial *b)
{
    return !b->n_iter || a->bounds[a->n_iter - 1] > b->bounds[b->n_iter - 1];
}

static ml_status publish(ml__fit *f, const fitting *g)
{
    const ml__mixture *m = &g->best.mixture;
    const size_t k = m->k, d = m->d;
    double *weights, *means, *covariances, *factors, *bounds;
    int64_t *converged, *n_iter;
    ml_status st = ML_OK;

    ML__PUBLISH(f, weights, "weights", ML_FLOAT64, k);
    ML__PUBLISH(f, means, "means", ML_FLOAT64, k, d);
    ML__PUBLISH(f, covariances, "covariances", ML_FLOAT64, k, d, d);
    ML__PUBLISH(f, factors, "precisions_cholesky", ML_FLOAT64, k, d, d);
    ML__PUBLISH(f, bounds, "lower_bounds", ML_FLOAT64, g->best.n_iter);
    ML__PUBLISH(f, converged, "converged", ML_INT64, 1);
    ML__PUBLISH(f, n_iter, "n_iter", ML_INT64, 1);
    memcpy(weights, m->weights, k * sizeof *weights);
    memcpy(covariances, m->covariances, k * d * d * sizeof *covariances);
    memcpy(factors, m->factors, k * d * d * sizeof *factors);
    memcpy(bounds, g->best.bounds, g->best.n_iter * sizeof *bounds);
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            means[c * d + j] = m->means[c * d + j] + g->shift[j];
    *converged = g->best.converged;
    *n_iter = (int64_t)g->best.n_iter;
done:
    return st;
}

static void say_why_it_stopped(ml__fit *f, const fitting *g)
{
    f->learned->stop_reason = g->is_cut ? ML_STOP_DEADLINE : g->best.converged ? ML_STOP_CONVERGED : ML_STOP_MAX_ITER;
    if (f->learned->stop_reason == ML_STOP_MAX_ITER)
        ml__log(f->context, ML_LOG_WARNING,
                "gmm: no convergence in %zu iterations (max_iter); a larger max_iter or tol would help",
                g->best.n_iter);
}

static ml_status fit(ml__fit *f)
{
    fitting g = {.p = f->params};
    ml_status st;

    ML__TRY(prepare_fit(f, &g));
    for (uint64_t t = 0; t < (uint64_t)g.p->n_init && !g.is_cut; t++) {
        ML__TRY(start(&g, f->seed, t));
        ML__TRY(ml__em_maximise(&g.em, &g.now.mixture));
        ML__TRY(iterate(f, &g, t));
        if (is_better(&g.now, &g.best)) {
            const trial worse = g.best;
            g.best = g.now;
            g.now = worse;
        }
    }
    say_why_it_stopped(f, &g);
    ML__TRY(publish(f, &g));
done:
    return st;
}

/* ---- what predictors read ---- */

typedef struct state {
    ml__mixture mixture;
    int64_t features;
    bool passthrough;
} state;

static ml_status check_factor(const double *U, size_t d, size_t c)
{
    ml_status st = ML_OK;

    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            const double u = U[i * d + j];
            ML__CHECK(j < i ? u == 0 : u > 0, ML_E_FORMAT,
                      "tensor 'precisions_cholesky': component %zu, row %zu, column %zu is %g, expected %s", c, i, j, u,
                      j < i ? "0 below the diagonal" : "a positive diagonal");
        }
done:
    return st;
}

static ml_status check_tensors(const ml__learned *learned, size_t k, size_t d)
{
    const double *weights = ml__tensor_data(learned, "weights");
    const int64_t *converged = ml__tensor_data(learned, "converged"), *n_iter = ml__tensor_data(learned, "n_iter");
    const uint64_t n_bounds = ml__learned_find(learned, "lower_bounds")->shape[0];
    double total = 0;
    ml_status st = ML_OK;

    ML__CHECK(k >= 1, ML_E_FORMAT, "tensor 'weights' is empty");
    for (size_t c = 0; c < k; c++)
        total += weights[c];
    ML__CHECK(fabs(total - 1) <= 1e-9 * (double)k, ML_E_FORMAT, "tensor 'weights': the sum is %g, expected 1", total);
    for (size_t c = 0; c < k; c++)
        ML__TRY(check_factor((const double *)ml__tensor_data(learned, "precisions_cholesky") + c * d * d, d, c));
    ML__CHECK(*converged <= 1, ML_E_FORMAT, "tensor 'converged' is %lld, expected 0 or 1", (long long)*converged);
    ML__CHECK((uint64_t)*n_iter == n_bounds, ML_E_FORMAT, "tensor 'n_iter' is %lld, there are %llu lower bounds",
              (long long)*n_iter, (unsigned long long)n_bounds);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const params *p = model->params;
    const ml__named_tensor *weights = ml__learned_find(learned, "weights");
    const size_t k = (size_t)weights->shape[0];
    state *s;
    ml__mixture *m;
    ml_status st;

    ML__TRY(check_tensors(learned, k, learned->schema.n_features));
    ML__NEW(&learned->arena, s, 1);
    m = &s->mixture;
    *m = (ml__mixture){.k = k, .d = learned->schema.n_features, .weights = weights->data};
    m->means = ml__learned_find(learned, "means")->data;
    m->covariances = ml__learned_find(learned, "covariances")->data;
    m->factors = ml__learned_find(learned, "precisions_cholesky")->data;
    ML__NEW(&learned->arena, m->log_weights, k);
    ML__NEW(&learned->arena, m->log_norms, k);
    ml__mixture_prepare(m);
    s->features = p->features;
    s->passthrough = p->passthrough != 0;
    learned->state = s;
done:
    return st;
}

/* ---- predict ---- */

static size_t n_features_made(const state *s)
{
    return (s->features == FEATURES_LABELS ? 1 : s->mixture.k) + (s->passthrough ? s->mixture.d : 0);
}

static size_t width(const ml_model *model, int32_t what)
{
    const state *s = model->learned->state;

    switch (what) {
    case ML_PREDICT_PROBA:
        return s->mixture.k;
    case ML_TRANSFORM:
        return n_features_made(s);
    default:
        return 1;
    }
}

static size_t scratch_size(const ml_model *model, size_t n)
{
    const state *s = model->learned->state;
    const size_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS;

    return ml__scratch_bytes(2 * rows * s->mixture.d, sizeof(double)) +
           ml__scratch_bytes(rows * s->mixture.k, sizeof(double));
}

/* What a call makes of the log-densities L [n x k] of rows x. */
typedef void (*finish)(const state *s, const double *x, size_t n, double *L, double *out);

static ml_status predict(const ml_model *model, const ml__block *x, size_t n_out, double *out, ml__scratch scratch,
                         finish finish_rows)
{
    const state *s = model->learned->state;
    const size_t rows = x->n < PREDICT_ROWS ? x->n : PREDICT_ROWS;
    double *work = ml__scratch_take(&scratch, 2 * rows * x->d, sizeof *work);
    double *L = ml__scratch_take(&scratch, rows * s->mixture.k, sizeof *L);

    if (!work || !L)
        return ML_E_MEMORY;
    for (size_t i = 0; i < x->n; i += rows) {
        const size_t n = x->n - i < rows ? x->n - i : rows;
        log_densities(&s->mixture, &ml__kernels_rowwise()->f64, x->f64 + i * x->d, n, work, L);
        finish_rows(s, x->f64 + i * x->d, n, L, out + i * n_out);
    }
    return ML_OK;
}

static void finish_proba(const state *s, const double *x, size_t n, double *L, double *out)
{
    (void)x;
    posteriors(&s->mixture, &ml__kernels_rowwise()->f64, n, L, NULL);
    memcpy(out, L, n * s->mixture.k * sizeof *out);
}

static void finish_score(const state *s, const double *x, size_t n, double *L, double *out)
{
    (void)x;
    add_log_weights(&s->mixture, n, L);
    ml__kernels_rowwise()->f64.logsumexp(n, s->mixture.k, L, s->mixture.k, out);
}

static void finish_transform(const state *s, const double *x, size_t n, double *L, double *out)
{
    const size_t k = s->mixture.k, d = s->mixture.d;

    if (s->features != FEATURES_LOG_DENSITIES)
        posteriors(&s->mixture, &ml__kernels_rowwise()->f64, n, L, NULL);
    for (size_t i = 0; i < n; i++) {
        if (s->passthrough) {
            memcpy(out, x + i * d, d * sizeof *out);
            out += d;
        }
        if (s->features == FEATURES_LABELS) {
            *out++ = (double)ml__arg_max(L + i * k, k);
        } else {
            memcpy(out, L + i * k, k * sizeof *out);
            out += k;
        }
    }
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return predict(model, x, width(model, ML_PREDICT_PROBA), out, scratch, finish_proba);
}

static ml_status score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return predict(model, x, 1, out, scratch, finish_score);
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return predict(model, x, width(model, ML_TRANSFORM), out, scratch, finish_transform);
}

/* ---- names of the new features ---- */

enum { NAME_BYTES = 64 };

/* Does one of the old features have this name? */
static bool is_taken(const ml__schema *old, const char *name)
{
    for (size_t j = 0; j < old->n_features; j++)
        if (!strcmp(old->features[j].name, name))
            return true;
    return false;
}

/* "gmm_p3"; with another mixture's "gmm_p3" passing through, "gmm2_p3". */
static char *new_name(const state *s, const ml__schema *old, ml__arena *arena, size_t c)
{
    static const char *const STEMS[] = {"p", "log_density", "label"};
    const char *stem = STEMS[s->features];
    char name[NAME_BYTES];

    for (size_t copy = 1;; copy++) {
        size_t n = copy == 1 ? ml__format(name, sizeof name, "gmm_%s", stem)
                             : ml__format(name, sizeof name, "gmm%zu_%s", copy, stem);
        if (s->features != FEATURES_LABELS)
            ml__format(name + n, sizeof name - n, "%zu", c);
        if (!s->passthrough || !is_taken(old, name))
            return ml__arena_text(arena, name);
    }
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const state *s = model->learned->state;
    const ml__schema *old = &model->learned->schema;
    const size_t n_old = s->passthrough ? old->n_features : 0;
    ml_status st = ML_OK;

    features->n_features = n_features_made(s);
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < features->n_features; j++) {
        char *name = j < n_old ? ml__arena_text(arena, old->features[j].name) : new_name(s, old, arena, j - n_old);
        if (!name)
            return ML_E_MEMORY;
        features->features[j].name = name;
    }
done:
    return st;
}

/* ---- the kind ---- */

const ml__kind ml__gmm = {
    .name = "gmm",
    .doc = "Gaussian mixture model with full covariances, fitted by expectation maximisation",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .proba = proba,
    .transform = transform,
    .score_samples = score_samples,
    .scratch = scratch_size,
    .width = width,
    .name_features = name_features,
};
