/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures of Gaussians inside the library.
 *
 *     mixture.c      the mixture: sizes, factors, densities of rows
 *     statistics.c   sufficient statistics of rows: log-densities and moments as two matrix products
 *     em.c           a step of EM, block by block
 *     mstep.c        the next mixture from its sums
 *     missing.c      rows with missing entries
 *     start.c        what EM starts from
 *     hierarchical.c clusters by agglomeration, for a start
 *     given.c        and what parameters say of it
 *     gmm.c          the kind gmm: parameters, fit, predictions
 *     posterior.c    variational inference: what priors make of an M-step and of the next E-step
 *     bayesian.c     the kind bayesian_gmm: its priors; the rest is gmm's
 *     classifier.c   the kind gmm_classifier: a mixture for each class
 *     criteria.c     BIC, AIC, samples (include/invar/mixture.h)
 *     select.c       the best number of components and covariance type
 */
#ifndef ML__LEARN_GMM_MIXTURE_H
#define ML__LEARN_GMM_MIXTURE_H

#include <stdatomic.h>

#include "base/memory.h"
#include "kernel/kernel.h"
#include "learn/kmeans.h"
#include "learn/slots.h"
#include "model/model.h"

typedef enum ml__covariance { ML__FULL, ML__TIED, ML__DIAG, ML__SPHERICAL } ml__covariance;

/* One covariance each, or of all where they are tied. Sigma and U as the type says: [d x d], [d] or one number. */
typedef struct ml__mixture {
    ml__covariance type;
    size_t k, d;
    double *weights;     /* pi [k] */
    double *means;       /* mu [k x d] */
    double *covariances; /* Sigma */
    double *factors;     /* U, upper triangular: Sigma^-1 = U U'; of diagonals 1 / sigma */
    double *log_weights; /* ln pi [k] */
    double *log_norms;   /* ln det U - d/2 ln 2 pi [k] */
    double *counts;      /* N [k] of the M-step it is from; not copied, not in files */
} ml__mixture;

/* Numbers of one covariance. */
static inline size_t ml__covariance_size(ml__covariance type, size_t d)
{
    return type == ML__SPHERICAL ? 1 : type == ML__DIAG ? d : d * d;
}

/* Covariances of k components. */
static inline size_t ml__covariance_count(ml__covariance type, size_t k)
{
    return type == ML__TIED ? 1 : k;
}

/* Where the covariance of component c begins, of as many numbers as ml__covariance_size(). */
static inline size_t ml__covariance_at(const ml__mixture *m, size_t c)
{
    return m->type == ML__TIED ? 0 : c * ml__covariance_size(m->type, m->d);
}

static inline size_t ml__covariance_numbers(const ml__mixture *m)
{
    return ml__covariance_count(m->type, m->k) * ml__covariance_size(m->type, m->d);
}

bool ml__all_finite(const double *x, size_t n);
/* Free parameters, for AIC and BIC. */
double ml__mixture_n_parameters(const ml__mixture *m);

ml_status ml__mixture_create(ml__arena *arena, ml__covariance type, size_t k, size_t d, ml__mixture *out);
void ml__mixture_copy(const ml__mixture *from, ml__mixture *to);
/* log_weights and log_norms from weights and factors. */
void ml__mixture_prepare(ml__mixture *m);
/* Factors from covariances. ML_E_NUMERIC names the first component whose covariance is not positive definite. */
ml_status ml__mixture_factor(ml_context *context, ml__mixture *m, double reg_covar, bool has_prior,
                             double *work /* numbers of Sigma */);
/* ML_E_NUMERIC where the covariance of a component is no more than what rounding makes of rows that have none; to be asked of
 * mixtures with factors, from an M-step without reg_covar and prior. */
ml_status ml__mixture_check_rounding(const ml__mixture *m);
/* out[i k + c] = ln N(x_i | mu_c, Sigma_c) for n rows of X; work: 2 n d. Each row by itself if the kernels are rowwise. */
void ml__log_densities(const ml__mixture *m, const ml__kernels_f64 *kernels, const double *X, size_t n, double *work,
                       double *out);

/* The tensors of a mixture, as a fit publishes and a file brings them; `suffix` is "" or ".3". */
ml_status ml__mixture_publish(ml__learned *learned, const char *suffix, const ml__mixture *m, const double *shift);
/* Reads and checks them; log_weights and log_norms come from `arena`, the others stay in the tensors. */
ml_status ml__mixture_read(const ml__learned *learned, const char *suffix, ml__arena *arena, ml__mixture *out);
/* One tensor of them, of that rank and shape. */
ml_status ml__mixture_tensor(const ml__learned *learned, const char *name, const char *suffix, uint32_t rank,
                             const uint64_t *shape, double **out);
/* The mixture that a fitted gmm, or bayesian_gmm, has learned. */
const ml__mixture *ml__gmm_mixture(const ml_model *model);

/* ---- sufficient statistics (statistics.c) ---- */

/* Values of T(x). 0: too many to be of use. */
size_t ml__statistics_size(ml__covariance type, size_t d, bool has_missing);
/* Are moments sums of T(x) too? */
bool ml__statistics_are_summed(ml__covariance type, size_t d);
/* Rows of a block's T that the kernels make T(x) of, */
size_t ml__statistics_rows(ml__covariance type, size_t d, bool has_missing);
/* and what there is of x in them. */
ml__squares ml__statistics_squares(ml__covariance type, bool has_missing);
/* W[size] of component c: ln pi_c + ln N(x | c) = T(x)' W_c, but for x'Px that all share where they are tied.
 * work: d x d, where they are tied as component 0 left it. Returns what |T|'|W| of a row near the component comes to: times
 * eps the error that is to be expected. Beyond `most` W may be NaN. */
double ml__statistics_weights(const ml__mixture *m, size_t c, bool has_missing, double most, double *W, double *work);

/* What |T|'|W| of n rows x [d x ld], in columns up to a whole group, comes to at most, whatever the component:
 * d trace P (max |x_j| + max |mu_j|)². */
double ml__statistics_bound(const ml__mixture *m, size_t n, const double *x, size_t ld);

/* ---- rows with missing entries (missing.c) ---- */

/* What a set of observed features makes of one component. */
typedef struct ml__pattern {
    size_t d, n_seen;
    size_t *order;      /* features: the observed ones, then the others [d] */
    double *L;          /* Cholesky factor of Sigma_oo [d x d] */
    double *B;          /* Sigma_mo Sigma_oo^-1 [d x d] */
    double *C;          /* Sigma_mm - B Sigma_om [d x d] */
    double log_norm;    /* of the density of the observed features */
    bool is_degenerate; /* Sigma_oo has no factor: the least density there is */
} ml__pattern;

size_t ml__pattern_doubles(size_t d); /* for L, B and C */
void ml__pattern_of_row(const double *x, size_t d, ml__pattern *pattern);
/* L and log_norm; with `regress` B and C too. */
void ml__pattern_factor(const ml__mixture *m, size_t c, bool regress, ml__pattern *pattern);
/* |L^-1 (x - mu)_o|²; y: d numbers of workspace. */
double ml__pattern_distance(const ml__pattern *pattern, const double *x, const double *mu, double *y);
bool ml__has_missing(const double *x, size_t d);
/* Of each feature what was observed: Σ w and Σ w x² [d each], added to what is there. */
ml_status ml__sum_observed(const ml__points *points, double *W, double *squares);
/* ln N(x_o | c) of all components for a row with missing entries; work: ml__pattern_work() doubles, none but for full
 * covariances. */
size_t ml__pattern_work(ml__covariance type, size_t d);
void ml__log_densities_seen(const ml__mixture *m, const double *x, double *work, double *out);

/* ml__log_densities() of rows that may have missing entries; work: 2 n d, seen: ml__pattern_work(). (mixture.c) */
void ml__log_densities_of_rows(const ml__mixture *m, const ml__kernels_f64 *kernels, const double *X, size_t n,
                               double *work, double *seen, double *out);
/* The same with log-weights, and rows and what becomes of them in columns: x [d x ld], out [k x ld]; n: whole groups of
 * ML__MIXTURE_GROUP, ld as many or more. work: 2 d ld. */
void ml__log_densities_of_columns(const ml__mixture *m, const double *x, size_t n, size_t ld, double *work,
                                  double *out);
/* Is in each of n columns of L[k x ld] one value larger than all others by `lead`, and of a size of at least `least`? */
bool ml__one_leads(size_t n, size_t k, const double *L, size_t ld, double lead, double least);
/* Log-densities [n x k] become those of components and rows together. */
void ml__add_log_weights(const ml__mixture *m, size_t n, double *L);

/* ---- variational inference (posterior.c) ---- */

/* What is known of a mixture after its rows were seen: distributions of its parameters. */
typedef struct ml__posterior {
    bool is_process;        /* weights are broken off a stick; else they are Dirichlet distributed */
    double *concentration;  /* alpha [k]; of sticks a and b of Beta distributions [2 x k] */
    double *mean_precision; /* beta [k] */
    double *freedom;        /* nu [k], of tied covariances [1] */
} ml__posterior;

/* And before. */
typedef struct ml__prior {
    double concentration, mean_precision, freedom; /* gamma, beta0, nu0 */
    double *mean;                                  /* m0 [d], less what was taken off the rows */
    double *covariance;                            /* W0^-1, of one component */
    double unit;                                   /* weight of a row that EM counts as 1 */
    ml__posterior posterior;                       /* of the last M-step */
} ml__prior;

/* Workspace of a prior for k components. */
ml_status ml__posterior_create(ml__arena *arena, ml__covariance type, size_t k, bool is_process, ml__posterior *out);
/* prior->posterior from the counts of a mixture. */
void ml__posterior_count(const ml__prior *prior, const ml__mixture *m);
/* After an M-step: weights, means and covariances become those of the posterior. Returns Σ w r ln(pi N(x)) under `old`, which
 * the E-step before had made r with; 0 without it. work: d x d. */
double ml__posterior_update(const ml__prior *prior, const ml__mixture *old, double reg_covar, ml__mixture *m,
                            double *work);
/* log_weights and log_norms, as ml__mixture_prepare() leaves them, become expected ones. */
void ml__posterior_expect(const ml__posterior *p, ml__mixture *m);
/* The same after ml__posterior_update(). Returns the lower bound but for what does not depend on the rows; entropy: that of
 * the shares, -Σ w r ln r. */
double ml__posterior_weigh(const ml__prior *prior, double entropy, ml__mixture *m);

/* ---- EM (em.c) ---- */

/* One fit by EM: the rows, and workspace for its steps. */
typedef struct ml__em {
    ml_context *context;
    ml__points points; /* rows near 0, weights of mean 1 */
    bool has_missing;  /* some entries are NaN */
    double reg_covar;
    double total;       /* Σ w */
    bool is_started;    /* there is a mixture; else shares are given */
    bool is_near;       /* T(x) is exact enough for the mixture of the last step */
    bool is_far;        /* moments of T(x) were not exact enough in this run */
    const uint32_t *of; /* what a run starts from: the component of each row [n], UINT32_MAX: none; or NULL: */
    bool of_sample;     /* rows without a component do not count in tied covariances either */
    uint64_t key;       /* random shares, drawn with this key */
    ml__mixture next;
    size_t p;       /* values of T(x), 0: not used */
    size_t n_kept;  /* rows of a block's T */
    bool is_summed; /* moments are sums of T(x) */
    double *held;   /* T of all blocks, n_kept x ld each; NULL: it is made anew in each pass */
    double *W;      /* [k x p] */
    double *second; /* Σ w x x' [d x d], tied */
    double *origin; /* [k x d] what moments are about */
    double *work;   /* as many numbers as all Sigma have, at least d */
    double *errors; /* [k] */
    ml__slots slots;
    size_t rows, ld; /* of a block, and from a row of its matrices to the next */
    double *partial; /* [n_slots x stride] partial sums */
    size_t stride;
    double *rooms; /* [n_rooms x room] workspaces of tasks, one for each that can run at a time */
    size_t n_rooms, room;
    atomic_bool *is_taken; /* [n_rooms] */

    const ml__prior *prior; /* or NULL: maximum likelihood */
    double explained;       /* what ml__posterior_update() gave */
} ml__em;

/* Of a mixture of this type, with k components. */
ml_status ml__em_create(ml__arena *arena, ml_context *context, const ml__points *points, ml__covariance type, size_t k,
                        double reg_covar, ml__em *out);
/* The first mixture, from em->of or em->key. Missing entries count as those of a row at the centre of all, with the variance of
 * the feature. */
ml_status ml__em_begin(ml__em *em, ml__mixture *m);
/* Any mixture as the first one. */
ml_status ml__em_begin_from(ml__em *em, const ml__mixture *m);
/* E- and M-step: the next mixture, and the mean log-likelihood of the rows under the one before; with a prior the lower bound
 * of the next one. */
ml_status ml__em_step(ml__em *em, ml__mixture *m, double *bound);
/* em->next from the sums behind em->partial[0], of statistics or about origins; with a prior that of the posterior. (mstep.c) */
void ml__em_update(ml__em *em, const ml__mixture *old, bool of_statistics);

/* ---- fits ---- */

/* Parameters that gmm and gmm_classifier share; at the beginning of those of both. */
typedef struct ml__gmm_params {
    int64_t n_components, covariance_type;
    double tol, reg_covar;
    int64_t max_iter, n_init, init_params, warm_start, random_state;
} ml__gmm_params;

enum { ML__GMM_KMEANS, ML__GMM_KMEANS_PLUS_PLUS, ML__GMM_RANDOM, ML__GMM_RANDOM_FROM_DATA, ML__GMM_HIERARCHICAL };
enum { ML__GMM_MAX_ITER = 1000000 };

/* `bound` is what tol is about. */
#define ML__GMM_PARAMS(bound)                                                                                        \
    ML__INT(ml__gmm_params, n_components, "1", ML__RANGE(1, 65536), "number of Gaussians"),                          \
        ML__CHOICE(ml__gmm_params, covariance_type, "full", "full|tied|diag|spherical",                              \
                   "each component its own matrix, one matrix for all, variances of features, or one variance"),     \
        ML__REAL(ml__gmm_params, tol, "0.001", ML__RANGE_OPEN_HIGH(0, INFINITY),                                     \
                 "stop when the " bound " changes by less than this"),                                               \
        ML__REAL(ml__gmm_params, reg_covar, "1e-6", ML__RANGE_OPEN_HIGH(0, INFINITY),                                \
                 "added to the diagonal of every covariance"),                                                       \
        ML__INT(ml__gmm_params, max_iter, "100", ML__RANGE(1, ML__GMM_MAX_ITER), "most EM iterations of one start"), \
        ML__INT(ml__gmm_params, n_init, "1", ML__RANGE(1, 100000), "number of starts, of which the best is kept"),   \
        ML__CHOICE(ml__gmm_params, init_params, "kmeans", "kmeans|k-means++|random|random_from_data|hierarchical",   \
                   "how responsibilities start: k-means clusters, rows drawn by k-means++, random numbers, random "  \
                   "rows, or clusters by model-based agglomeration (Fraley 1998) of all rows, or of 2000 drawn "     \
                   "ones (512 of more than 512 features): O(rows^2), some seconds at most, 20 MB and three copies "  \
                   "of them")

/* And those of the kinds that transform, gmm and bayesian_gmm. */
typedef struct ml__gmm_model_params {
    ml__gmm_params fit;
    int64_t features, passthrough;
} ml__gmm_model_params;

#define ML__GMM_MODEL_PARAMS                                                                                 \
    ML__BOOL(ml__gmm_params, warm_start, "false", "a fit begins with what the model has learned before"),    \
        ML__RANDOM_STATE(ml__gmm_params),                                                                    \
        ML__CHOICE(ml__gmm_model_params, features, "posteriors", "posteriors|log_densities|labels",          \
                   "what transform gives: posterior probabilities, log-densities of the components, or the " \
                   "component's number"),                                                                    \
        ML__BOOL(ml__gmm_model_params, passthrough, "false",                                                 \
                 "transform keeps the old features in front of the new ones")

/* Rows ready for EM. */
typedef struct ml__gmm_rows {
    ml__points points;         /* with positive weight, less their centre, weights of mean 1; NaN: missing */
    ml__points complete;       /* the same with 0 for NaN */
    double *shift;             /* what was taken off [d] */
    double unit;               /* the mean weight */
    ml__stream stream, filled; /* where rows of both come from when they are not in memory: this must not move */
} ml__gmm_rows;

ml_status ml__gmm_gather(ml__fit *f, ml__covariance type, ml__gmm_rows *out);

/* What starts draw with. */
typedef struct ml__gmm_start {
    int64_t init_params;
    size_t *rows;     /* k */
    double *centres;  /* k x d */
    uint32_t *labels; /* n, but for random shares */
    double *mass;     /* of rows that are not drawn yet, by blocks; for rows drawn at random */
    bool is_fixed;    /* nothing is drawn: all starts are the same */
} ml__gmm_start;

ml_status ml__gmm_start_create(ml__fit *f, int64_t init_params, const ml__points *points, size_t k, ml__gmm_start *out);
/* Start number t: what em->of and em->key are. The monitor may cancel; of `total` steps `done` are behind. */
ml_status ml__gmm_start_draw(ml__fit *f, ml__gmm_start *s, ml__em *em, const ml__points *complete, uint64_t t,
                             uint64_t done, uint64_t total);

/* How many of n rows with d features a hierarchical start looks at. (hierarchical.c) */
size_t ml__hierarchical_rows(size_t n, size_t d);
/* Labels below k, k > 1 and no more than ml__hierarchical_rows(), of these rows, UINT32_MAX of others. Rows without NaN. As many
 * labels are given as there are distinct rows, where these are fewer. */
ml_status ml__hierarchical_labels(ml__fit *f, const ml__points *points, size_t k, ml__rng *rng, uint64_t done,
                                  uint64_t total, uint32_t *labels);

/* What parameters say of the first mixture; lists without numbers say nothing. (given.c) */
typedef struct ml__gmm_given {
    const ml__reals *weights, *means, *precisions;
} ml__gmm_given;

bool ml__gmm_all_given(const ml__gmm_given *given);
/* Are they of the sizes of m, and is a mixture made of them one? */
ml_status ml__gmm_check_given(ml__fit *f, const ml__gmm_given *given, const ml__mixture *m);
/* They come into m, which EM begins with then; `shift` as in the rows. */
ml_status ml__gmm_put_given(ml__fit *f, const ml__gmm_given *given, const double *shift, ml__em *em, ml__mixture *m);
/* Is a covariance or precision that parameter `name` gives, `of` a component, symmetric and positive definite? */
ml_status ml__gmm_check_definite(ml__fit *f, const char *name, const char *of, ml__covariance type, const double *A);

/* ---- what gmm and bayesian_gmm share (gmm.c) ---- */

/* Tensors of both; those that are optional stand for what the parameters leave at their defaults. */
#define ML__GMM_TENSORS                                                                                   \
    {"weights", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE}, {"means", ML_FLOAT64, "kd", ML__FINITE}, \
        {"covariances", ML_FLOAT64, "kdd|dd|kd|k", ML__FINITE},                                           \
        {"precisions_cholesky", ML_FLOAT64, "kdd|dd|kd|k", ML__FINITE},                                   \
        {"lower_bounds", ML_FLOAT64, "t", ML__FINITE}, /* of each iteration of the best start */          \
        {"converged", ML_INT64, "1", ML__NON_NEGATIVE}, {"n_iter", ML_INT64, "1", ML__NON_NEGATIVE},      \
        {"covariance_type", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL}, /* absent: full */           \
        {"features", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL},        /* absent: posteriors */     \
    {                                                                                                     \
        "passthrough", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL /* absent: false */                 \
    }

/* What predictors of both read: learned->state. */
typedef struct ml__gmm_state {
    ml__mixture mixture;
    int64_t features;
    bool passthrough;
} ml__gmm_state;

/* The fit of a kind whose parameters begin with ml__gmm_model_params. `given`: NULL, or what its parameters say of the first
 * mixture. `make_prior`: NULL, or what makes a prior of the rows; then `publish` adds its tensors, with `shift` as in the rows.
 */
typedef struct ml__gmm_inference {
    const ml__gmm_given *given;
    ml_status (*make_prior)(ml__fit *f, const ml__gmm_rows *rows, ml__prior *out);
    ml_status (*publish)(ml__fit *f, const ml__prior *prior, const ml__mixture *m, const double *shift);
} ml__gmm_inference;
ml_status ml__gmm_fit(ml__fit *f, const ml__gmm_inference *inference);
ml_status ml__gmm_starts_from(const ml_model *model, const ml_model *from);
ml_status ml__gmm_prepare(const ml_model *model, ml__learned *learned);
ml_status ml__gmm_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__gmm_score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__gmm_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
size_t ml__gmm_scratch(const ml_model *model, size_t n);
size_t ml__gmm_width(const ml_model *model, int32_t what);
ml_status ml__gmm_name_features(const ml_model *model, ml__arena *arena, ml__schema *features);

#endif
