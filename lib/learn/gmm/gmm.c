/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind gmm: a mixture of Gaussians, fitted by expectation maximisation (em.c). Fit and predictions are bayesian_gmm's too.
 *
 * Start       of n_init starts (start.c) the one with the largest lower bound stays; or one start from what the model has
 *             learned before (warm_start), or from another gmm (ml_model_start_from); else weights_init, means_init and
 *             precisions_init replace what the shares of a start give (given.c)
 * Stop        |L - L of the step before| < tol, or max_iter: scikit-learn's rule
 * Missing     full and diagonal covariances: EM over what was observed, densities of what is observed
 * Tensors     scikit-learn's, and the lower bound of each iteration. Files say "covariance_type" unless it is full, and what
 *             transform gives unless it is posteriors without the old features.
 * Degenerate  see em.c; posteriors and densities are finite for all finite rows, those of rows beyond all distances too (mixture.c)
 * Cost        memory: the rows, for each slot sums of k p numbers, for each thread a block of statistics and shares (em.c)
 * Streamed    rows that are not in memory are read anew in each pass, in windows (window.h), with the same bits as result. Of a
 *             row its weight is kept, and while a start is drawn its label and a distance: 20 bytes; where there are rows
 *             without weight, or full covariances with missing entries, 8 more for its place, 32 while patterns are sorted
 */
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"
#include "learn/learn.h"

enum { PREDICT_ROWS = 32 }; /* at a time: bounds the workspace of a prediction */

/* ---- parameters ---- */

enum { FEATURES_POSTERIORS, FEATURES_LOG_DENSITIES, FEATURES_LABELS };

typedef struct params {
    ml__gmm_model_params of_gmm;
    ml__reals weights_init, means_init, precisions_init;
} params;

static const ml__param PARAMS[] = {
    ML__GMM_PARAMS("mean log-likelihood"),
    ML__GMM_MODEL_PARAMS,
    ML__REALS(params, weights_init, "", ML__RANGE_OPEN_LOW(0, 1),
              "weights of the first mixture, which sum to 1; empty: from responsibilities. What a model starts from "
              "(warm_start, ml_model_start_from) goes before this and the next two, and has no limit of 1024 numbers"),
    ML__REALS(params, means_init, "", ML__RANGE_OPEN(-INFINITY, INFINITY),
              "means of the first mixture, one after the other; empty: from responsibilities"),
    ML__REALS(
        params, precisions_init, "", ML__RANGE_OPEN(-INFINITY, INFINITY),
        "inverses of its covariances, as covariance_type has them: matrices row by row, one matrix, diagonals, or "
        "one number for each component; empty: from responsibilities"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    ML__GMM_TENSORS,
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
    const ml__gmm_params *p;
    const ml__gmm_inference *inference;
    ml__prior prior;
    const ml__mixture *from; /* what EM starts from, or NULL: starts are drawn */
    ml__gmm_rows rows;
    ml__em em;
    ml__gmm_start start;
    trial now, best;
    bool is_cut; /* the deadline passed with work left */
} fitting;

/* What the fit begins with, if anything: it must be of the size and type that is wanted. */
static ml_status find_start(const ml__fit *f, const ml__gmm_params *p, const ml__mixture **out)
{
    const ml_model *from = p->warm_start && f->model->learned ? f->model : f->model->start;
    static const char *const TYPES[] = {"full", "tied", "diag", "spherical"};
    const char *kind = f->model->kind->name;
    const ml__mixture *m;
    ml_status st = ML_OK;

    *out = NULL;
    if (!from)
        return ML_OK;
    m = ml__gmm_mixture(from);
    if (from == f->model && (m->d != f->d || m->k != (size_t)p->n_components || (int64_t)m->type != p->covariance_type))
        return ML_OK; /* another model than before: a cold start */
    ML__CHECK(m->d == f->d, ML_E_SHAPE, "%s: the model to start from has %zu features, the data %zu", kind, m->d, f->d);
    ML__CHECK(m->k == (size_t)p->n_components, ML_E_PARAMETER,
              "%s: the model to start from has %zu components, parameter 'n_components' is %zu", kind, m->k,
              (size_t)p->n_components);
    ML__CHECK((int64_t)m->type == p->covariance_type, ML_E_PARAMETER,
              "%s: the model to start from has %s covariances, parameter 'covariance_type' is %s", kind, TYPES[m->type],
              TYPES[p->covariance_type]);
    *out = m;
done:
    return st;
}

static ml_status create_trial(ml__fit *f, const ml__gmm_params *p, trial *t)
{
    ml_status st;

    ML__TRY(
        ml__mixture_create(f->scratch, (ml__covariance)p->covariance_type, (size_t)p->n_components, f->d, &t->mixture));
    ML__NEW(f->scratch, t->bounds, (size_t)p->max_iter);
done:
    return st;
}

static ml_status prepare_fit(ml__fit *f, fitting *g)
{
    const ml__gmm_params *p = g->p;
    const size_t k = (size_t)p->n_components;
    size_t n;
    ml_status st;

    ML__TRY(find_start(f, p, &g->from));
    ML__TRY(ml__gmm_gather(f, (ml__covariance)p->covariance_type, &g->rows));
    n = g->rows.points.n;
    ML__CHECK(k <= n || g->from, ML_E_DATA, "%s: n_components is %zu, the data has %zu rows%s", f->model->kind->name, k,
              n, n < f->n ? " with positive weight" : "");
    ML__TRY(ml__em_create(f->scratch, f->context, &g->rows.points, (ml__covariance)p->covariance_type, k, p->reg_covar,
                          &g->em));
    if (g->inference->given)
        ML__TRY(ml__gmm_check_given(f, g->inference->given, &g->em.next));
    if (g->inference->make_prior) {
        ML__TRY(g->inference->make_prior(f, &g->rows, &g->prior));
        g->em.prior = &g->prior;
    }
    ML__TRY(create_trial(f, p, &g->now));
    ML__TRY(create_trial(f, p, &g->best));
    if (!g->from)
        ML__TRY(ml__gmm_start_create(f, p->init_params, &g->rows.points, k, &g->start));
done:
    return st;
}

/* Start number t in g->now. */
static ml_status begin(ml__fit *f, fitting *g, uint64_t t, uint64_t n_init)
{
    const uint64_t max_iter = (uint64_t)g->p->max_iter;
    const ml__gmm_given *given = g->inference->given;
    ml__mixture *m = &g->now.mixture;
    ml_status st = ML_OK;

    if (!g->from) {
        if (!ml__gmm_all_given(given)) {
            ML__TRY(ml__gmm_start_draw(f, &g->start, &g->em, &g->rows.complete, t, t * max_iter, n_init * max_iter));
            ML__TRY(ml__em_begin(&g->em, m));
        }
        if (given && (given->weights->n || given->means->n || given->precisions->n))
            ML__TRY(ml__gmm_put_given(f, given, g->rows.shift, &g->em, m));
        return ML_OK;
    }
    ml__mixture_copy(g->from, m);
    for (size_t v = 0; v < m->k * m->d; v++)
        m->means[v] -= g->rows.shift[v % m->d];
    st = ml__em_begin_from(&g->em, m);
done:
    return st;
}

static ml_status iterate(ml__fit *f, fitting *g, uint64_t t, uint64_t n_init)
{
    const uint64_t max_iter = (uint64_t)g->p->max_iter;
    const char *metric = g->em.prior ? "lower_bound" : "log_likelihood";
    trial *now = &g->now;
    double L, before = -INFINITY;
    ml_status st = ML_OK;

    now->converged = false;
    for (now->n_iter = 0; now->n_iter < max_iter && !now->converged && !g->is_cut;) {
        ML__TRY(ml__em_step(&g->em, &now->mixture, &L));
        now->bounds[now->n_iter++] = L;
        now->converged = fabs(L - before) < g->p->tol;
        before = L;
        ML__TRY(ml__fit_step(f, t * max_iter + now->n_iter, n_init * max_iter, metric, L));
        g->is_cut = ml__fit_late(f) && (t + 1 < n_init || (now->n_iter < max_iter && !now->converged));
    }
done:
    return st;
}

static bool is_better(const trial *a, const trial *b)
{
    return !b->n_iter || a->bounds[a->n_iter - 1] > b->bounds[b->n_iter - 1];
}

/* A switch of a fitted model, where it is not at its default of 0. */
static ml_status publish_switch(ml__fit *f, const char *name, int64_t value)
{
    int64_t *to;
    ml_status st = ML_OK;

    if (!value)
        return ML_OK;
    ML__PUBLISH(f, to, name, ML_INT64, 1);
    *to = value;
done:
    return st;
}

static ml_status publish(ml__fit *f, const fitting *g)
{
    const ml__gmm_model_params *p = f->params;
    double *bounds;
    int64_t *converged, *n_iter;
    ml_status st;

    ML__TRY(ml__mixture_publish(f->learned, "", &g->best.mixture, g->rows.shift));
    ML__PUBLISH(f, bounds, "lower_bounds", ML_FLOAT64, g->best.n_iter);
    ML__PUBLISH(f, converged, "converged", ML_INT64, 1);
    ML__PUBLISH(f, n_iter, "n_iter", ML_INT64, 1);
    ML__TRY(publish_switch(f, "covariance_type", (int64_t)g->best.mixture.type));
    ML__TRY(publish_switch(f, "features", p->features));
    ML__TRY(publish_switch(f, "passthrough", p->passthrough != 0));
    if (g->em.prior)
        ML__TRY(g->inference->publish(f, &g->prior, &g->best.mixture, g->rows.shift));
    memcpy(bounds, g->best.bounds, g->best.n_iter * sizeof *bounds);
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
                "%s: no convergence in %zu iterations (max_iter); a larger max_iter or tol would help",
                f->model->kind->name, g->best.n_iter);
}

ml_status ml__gmm_fit(ml__fit *f, const ml__gmm_inference *inference)
{
    fitting g = {.p = f->params, .inference = inference};
    uint64_t n_init;
    ml_status st;

    ML__TRY(prepare_fit(f, &g));
    n_init = g.from || ml__gmm_all_given(inference->given) || g.start.is_fixed ? 1 : (uint64_t)g.p->n_init;
    for (uint64_t t = 0; t < n_init && !g.is_cut; t++) {
        ML__TRY(begin(f, &g, t, n_init));
        ML__TRY(iterate(f, &g, t, n_init));
        if (is_better(&g.now, &g.best)) {
            const trial worse = g.best;
            g.best = g.now;
            g.now = worse;
        }
    }
    say_why_it_stopped(f, &g);
    ML__TRY(publish(f, &g));
done:
    return st == ML_E_NUMERIC ? ml__blame(st, "%s: ", f->model->kind->name) : st;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;

    return ml__gmm_fit(f, &(ml__gmm_inference){.given = &(ml__gmm_given){
                                                   .weights = &p->weights_init,
                                                   .means = &p->means_init,
                                                   .precisions = &p->precisions_init,
                                               }});
}

ml_status ml__gmm_starts_from(const ml_model *model, const ml_model *from)
{
    if (from->kind != model->kind)
        return ml__fail(ML_E_UNSUPPORTED, "%s starts from a %s only, not from a %s", model->kind->name,
                        model->kind->name, from->kind->name);
    return ML_OK;
}

/* ---- what predictors read ---- */

const ml__mixture *ml__gmm_mixture(const ml_model *model)
{
    return &((const ml__gmm_state *)model->learned->state)->mixture;
}

/* What publish_switch() left, at most `most`. */
static ml_status read_switch(const ml__learned *learned, const char *name, int64_t most, int64_t *out)
{
    const int64_t *value = ml__tensor_data(learned, name);

    *out = value ? *value : 0;
    if (*out <= most)
        return ML_OK;
    return ml__fail(ML_E_FORMAT, "tensor '%s' is %lld, expected 0 %s %lld", name, (long long)*out,
                    most > 1 ? "to" : "or", (long long)most);
}

ml_status ml__gmm_prepare(const ml_model *model, ml__learned *learned)
{
    const int64_t *n_iter = ml__tensor_data(learned, "n_iter");
    const uint64_t n_bounds = ml__learned_find(learned, "lower_bounds")->shape[0];
    int64_t converged, passthrough;
    ml__gmm_state *s;
    ml_status st;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    ML__TRY(ml__mixture_read(learned, "", &learned->arena, &s->mixture));
    ML__TRY(read_switch(learned, "converged", 1, &converged));
    ML__TRY(read_switch(learned, "features", FEATURES_LABELS, &s->features));
    ML__TRY(read_switch(learned, "passthrough", 1, &passthrough));
    ML__CHECK((uint64_t)*n_iter == n_bounds, ML_E_FORMAT, "tensor 'n_iter' is %lld, there are %llu lower bounds",
              (long long)*n_iter, (unsigned long long)n_bounds);
    s->passthrough = passthrough != 0;
    learned->state = s;
done:
    return st;
}

/* What it takes: of a fitted model, by what was learned. Its new features are never missing. */
static uint32_t accepts_of(const ml_model *model)
{
    const ml__gmm_model_params *p = model->params;
    const ml__gmm_state *s = model->learned ? model->learned->state : NULL;
    const int64_t type = s ? (int64_t)s->mixture.type : p->fit.covariance_type;
    const bool passes = s ? s->passthrough : p->passthrough != 0;

    return model->kind->accepts | (type == ML__FULL || type == ML__DIAG ? ML__MISSING : 0) |
           (passes ? 0 : ML__FILLS_MISSING);
}

/* ---- predict ---- */

static size_t n_features_made(const ml__gmm_state *s)
{
    return (s->features == FEATURES_LABELS ? 1 : s->mixture.k) + (s->passthrough ? s->mixture.d : 0);
}

size_t ml__gmm_width(const ml_model *model, int32_t what)
{
    const ml__gmm_state *s = model->learned->state;

    switch (what) {
    case ML_PREDICT_PROBA:
        return s->mixture.k;
    case ML_TRANSFORM:
        return n_features_made(s);
    default:
        return 1;
    }
}

size_t ml__gmm_scratch(const ml_model *model, size_t n)
{
    const ml__gmm_state *s = model->learned->state;
    const size_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS;

    return ml__scratch_bytes(2 * rows * s->mixture.d, sizeof(double)) +
           ml__scratch_bytes(ml__pattern_work(s->mixture.type, s->mixture.d), sizeof(double)) +
           ml__scratch_bytes(rows * s->mixture.k, sizeof(double));
}

/* Log-densities become posteriors. */
static void posteriors(const ml__mixture *m, size_t n, double *L)
{
    ml__add_log_weights(m, n, L);
    ml__kernels_rowwise()->f64.softmax(n, m->k, L, m->k, NULL);
}

/* What a call makes of the log-densities L [n x k] of rows x. */
typedef void (*finish)(const ml__gmm_state *s, const double *x, size_t n, double *L, double *out);

static ml_status predict(const ml_model *model, const ml__block *x, size_t n_out, double *out, ml__scratch scratch,
                         finish finish_rows)
{
    const ml__gmm_state *s = model->learned->state;
    const size_t rows = x->n < PREDICT_ROWS ? x->n : PREDICT_ROWS;
    double *work = ml__scratch_take(&scratch, 2 * rows * x->d, sizeof *work);
    double *seen = ml__scratch_take(&scratch, ml__pattern_work(s->mixture.type, x->d), sizeof *seen);
    double *L = ml__scratch_take(&scratch, rows * s->mixture.k, sizeof *L);

    if (!work || !seen || !L)
        return ML_E_MEMORY;
    for (size_t i = 0; i < x->n; i += rows) {
        const size_t n = x->n - i < rows ? x->n - i : rows;
        ml__log_densities_of_rows(&s->mixture, &ml__kernels_rowwise()->f64, x->f64 + i * x->d, n, work, seen, L);
        finish_rows(s, x->f64 + i * x->d, n, L, out + i * n_out);
    }
    return ML_OK;
}

static void finish_proba(const ml__gmm_state *s, const double *x, size_t n, double *L, double *out)
{
    (void)x;
    posteriors(&s->mixture, n, L);
    memcpy(out, L, n * s->mixture.k * sizeof *out);
}

static void finish_score(const ml__gmm_state *s, const double *x, size_t n, double *L, double *out)
{
    (void)x;
    ml__add_log_weights(&s->mixture, n, L);
    ml__kernels_rowwise()->f64.logsumexp(n, s->mixture.k, L, s->mixture.k, out);
}

static void finish_transform(const ml__gmm_state *s, const double *x, size_t n, double *L, double *out)
{
    const size_t k = s->mixture.k, d = s->mixture.d;

    if (s->features != FEATURES_LOG_DENSITIES)
        posteriors(&s->mixture, n, L);
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

ml_status ml__gmm_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return predict(model, x, ml__gmm_width(model, ML_PREDICT_PROBA), out, scratch, finish_proba);
}

ml_status ml__gmm_score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return predict(model, x, 1, out, scratch, finish_score);
}

ml_status ml__gmm_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return predict(model, x, ml__gmm_width(model, ML_TRANSFORM), out, scratch, finish_transform);
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
static char *new_name(const ml_model *model, ml__arena *arena, size_t c)
{
    const ml__gmm_state *s = model->learned->state;
    const ml__schema *old = &model->learned->schema;
    static const char *const STEMS[] = {"p", "log_density", "label"};
    const char *stem = STEMS[s->features];
    char name[NAME_BYTES];

    for (size_t copy = 1;; copy++) {
        size_t n = copy == 1 ? ml__format(name, sizeof name, "%s_%s", model->kind->name, stem)
                             : ml__format(name, sizeof name, "%s%zu_%s", model->kind->name, copy, stem);
        if (s->features != FEATURES_LABELS)
            ml__format(name + n, sizeof name - n, "%zu", c);
        if (!s->passthrough || !is_taken(old, name))
            return ml__arena_text(arena, name);
    }
}

ml_status ml__gmm_name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__gmm_state *s = model->learned->state;
    const ml__schema *old = &model->learned->schema;
    const size_t n_old = s->passthrough ? old->n_features : 0;
    ml_status st = ML_OK;

    features->n_features = n_features_made(s);
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < features->n_features; j++) {
        char *name = j < n_old ? ml__arena_text(arena, old->features[j].name) : new_name(model, arena, j - n_old);
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
    .doc = "Gaussian mixture model, fitted by expectation maximisation",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .starts_from = ml__gmm_starts_from,
    .prepare = ml__gmm_prepare,
    .proba = ml__gmm_proba,
    .transform = ml__gmm_transform,
    .score_samples = ml__gmm_score_samples,
    .scratch = ml__gmm_scratch,
    .width = ml__gmm_width,
    .name_features = ml__gmm_name_features,
    .accepts_of = accepts_of,
};
