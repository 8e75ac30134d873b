/* SPDX-License-Identifier: Apache-2.0 */
/* Variational Gaussian mixtures: scikit-learn step by step, closed forms, what priors do, degenerate data, files. */
#include "gmm_toys.h"
#include "learn/gmm/mixture.h"

#include <float.h>
#include <invar/mixture.h>

static const char *const TYPES[] = {"covariance_type=full", "covariance_type=tied", "covariance_type=diag",
                                    "covariance_type=spherical"};
static const char *const WEIGHTS[] = {"weight_concentration_prior_type=dirichlet_process",
                                      "weight_concentration_prior_type=dirichlet_distribution"};
static const char *const STARTS[] = {"init_params=kmeans", "init_params=k-means++", "init_params=random",
                                     "init_params=random_from_data", "init_params=hierarchical"};

static ml_model *bayesian(const char *const *settings)
{
    return test_model(NULL, "bayesian_gmm", settings);
}

static ml_model *fitted_bayesian(const matrix *m, const char *const *settings)
{
    ml_dataset *data = dataset(NULL, m);
    ml_model *model = bayesian(settings);

    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    return model;
}

/* ---- step by step ---- */

/* Divisor n - 1. */
static double covariance_of(const matrix *x, size_t i, size_t j)
{
    double mean_i, mean_j, unused;
    long double sum = 0;

    moments_of(x, i, &mean_i, &unused);
    moments_of(x, j, &mean_j, &unused);
    for (size_t r = 0; r < x->n; r++)
        sum += (x->X[r * x->d + i] - mean_i) * (x->X[r * x->d + j] - mean_j);
    return (double)(sum / (x->n - 1));
}

/* As tests/reference/make_bayesian_gmm.py: of the rows, or its own. */
static ml__prior reference_prior(ml__arena *arena, const matrix *x, ml__covariance type, size_t k, bool is_process,
                                 bool is_own)
{
    const size_t d = x->d, n = ml__covariance_size(type, d);
    ml__prior prior = {.concentration = is_own ? 0.5 : 1 / (double)k,
                       .mean_precision = is_own ? 2.5 : 1,
                       .freedom = (double)d + (is_own ? 1.5 : 0),
                       .mean = ml__arena_take(arena, d, sizeof(double)),
                       .covariance = ml__arena_take(arena, n, sizeof(double)),
                       .unit = 1};

    CHECK_OK(ml__posterior_create(arena, type, k, is_process, &prior.posterior));
    for (size_t i = 0; i < d; i++) {
        double mean, unused;
        moments_of(x, i, &mean, &unused);
        prior.mean[i] = is_own ? 0.25 * (double)i - 0.5 : mean;
        for (size_t j = 0; j < d && type < ML__DIAG; j++)
            prior.covariance[i * d + j] = is_own ? 0.25 + (i == j ? 1 + (double)i : 0) : covariance_of(x, i, j);
        if (type == ML__DIAG)
            prior.covariance[i] = is_own ? 1 + (double)i : covariance_of(x, i, i);
        if (type == ML__SPHERICAL)
            *prior.covariance += is_own ? 1.5 / (double)d : covariance_of(x, i, i) / (double)d;
    }
    return prior;
}

/* Largest difference over max(1, |want|); *want is moved behind. */
static void check_near(const char *what, const double *got, size_t n, const double **want)
{
    for (size_t i = 0; i < n; i++)
        CHECK_MSG(fabs(got[i] - (*want)[i]) <= 1e-8 * fmax(1, fabs((*want)[i])), "%s: element %zu is %.17g, not %.17g",
                  what, i, got[i], (*want)[i]);
    *want += n;
}

enum { N_STEPS = 50, N_SCORES = 10 };

/* With moments from statistics, or row by row. */
static const double *check_steps(const matrix *x, ml__covariance type, size_t k, bool is_process, bool is_own,
                                 bool row_by_row, const double *want)
{
    const double n = (double)x->n;
    double *w = malloc(x->n * sizeof *w), bound, *work, *L, scores[N_SCORES];
    uint32_t *of = malloc(x->n * sizeof *of);
    ml__arena arena;
    ml__mixture m;
    ml__em em;

    ml__arena_init(&arena, NULL);
    for (size_t i = 0; i < x->n; i++) {
        w[i] = 1;
        of[i] = (uint32_t)(i * k / x->n);
    }
    const ml__prior prior = reference_prior(&arena, x, type, k, is_process, is_own);
    CHECK_OK(ml__em_create(&arena, NULL, &(ml__points){.X = x->X, .n = x->n, .d = x->d, .w = w}, type, k,
                           is_own ? 1e-3 : 1e-6, &em));
    CHECK_OK(ml__mixture_create(&arena, type, k, x->d, &m));
    em.prior = &prior;
    em.of = of;
    if (row_by_row)
        em.p = 0;
    CHECK_OK(ml__em_begin(&em, &m));
    for (size_t t = 0; t < N_STEPS; t++, want++) {
        CHECK_OK(ml__em_step(&em, &m, &bound));
        CHECK_MSG(fabs(bound - *want) <= 1e-9 * n, "step %zu: lower bound %.17g, expected %.17g", t, bound, *want);
    }
    ml__posterior_count(&prior, &m);
    check_near("weights", m.weights, k, &want);
    check_near("weight_concentration", prior.posterior.concentration, is_process ? 2 * k : k, &want);
    check_near("mean_precision", prior.posterior.mean_precision, k, &want);
    check_near("means", m.means, k * x->d, &want);
    check_near("degrees_of_freedom", prior.posterior.freedom, ml__covariance_count(type, k), &want);
    check_near("covariances", m.covariances, ml__covariance_numbers(&m), &want);
    work = ml__arena_take(&arena, 2 * N_SCORES * x->d, sizeof *work);
    L = ml__arena_take(&arena, N_SCORES * k, sizeof *L);
    ml__log_densities(&m, &ml__kernels_rowwise()->f64, x->X, N_SCORES, work, L);
    ml__add_log_weights(&m, N_SCORES, L);
    ml__kernels_rowwise()->f64.logsumexp(N_SCORES, k, L, k, scores);
    check_near("score_samples", scores, N_SCORES, &want);
    ml__arena_free(&arena);
    free(w);
    free(of);
    return want;
}

TEST(bayesian_gmm, fifty_steps_equal_scikit_learn)
{
    static const size_t BOSTON[] = {0, 4, 5, 6, 7, 12}, DIGITS[] = {10, 20, 21, 27, 28, 35, 42, 43};
    const struct {
        matrix x;
        size_t k;
        bool is_own;
    } SETS[] = {{table("iris", 0, NULL), 3, false},
                {standardised(table("wine", 0, NULL)), 5, false},
                {table("digits", 8, DIGITS), 5, false},
                {standardised(table("boston", 6, BOSTON)), 4, true}};
    size_t n;
    double *numbers = test_read_numbers(test_expected_path("bayesian_gmm.txt"), &n);
    const double *want = numbers;

    for (size_t w = 0; w < 2; w++)
        for (ml__covariance type = ML__FULL; type <= ML__SPHERICAL; type++)
            for (size_t s = 0; s < 4; s++) {
                const double *begin = want;
                for (int way = 0; way < 2; way++)
                    want = check_steps(&SETS[s].x, type, SETS[s].k, w == 0, SETS[s].is_own, way, begin);
            }
    CHECK(want == numbers + n);
    for (size_t s = 0; s < 4; s++)
        free(SETS[s].x.X);
    free(numbers);
}

TEST(bayesian_gmm, lower_bound_never_falls)
{
    for (size_t t = 0; t < 4; t++)
        for (uint64_t seed = 1; seed <= 10; seed++) {
            matrix m = blobs(150, 3, 5, 1, seed);
            char state[32];
            snprintf(state, sizeof state, "random_state=%d", (int)seed);
            ml_model *model = fitted_bayesian(&m, SETTINGS("n_components=4", "tol=0", "max_iter=60", "reg_covar=0",
                                                           "init_params=random", TYPES[t], WEIGHTS[seed % 2], state));
            check_never_falls(model, 60, TYPES[t], seed);
            ml_model_free(model);
            free(m.X);
        }
}

/* ---- priors ---- */

/* With one component there is nothing to iterate: the posterior of a Gaussian. Weights count rows. */
TEST(bayesian_gmm, one_component_is_the_posterior_in_closed_form)
{
    double w[60], mean[3], S[9] = {0};
    matrix m = blobs(60, 3, 2, 3, 4), counted = with_rows_twice(&m, w);
    ml_dataset *data = dataset(NULL, &m);
    CHECK_OK(ml_dataset_set_weights(data, w, m.n));
    for (size_t i = 0; i < 3; i++) {
        double unused;
        moments_of(&counted, i, &mean[i], &unused);
        for (size_t j = 0; j < 3; j++)
            S[3 * i + j] = covariance_of(&counted, i, j);
    }

    for (size_t t = 0; t < 4; t++)
        for (size_t own = 0; own < 2; own++) {
            const char *mean_prior = own ? "mean_prior=3,0,-1" : "mean_prior=";
            ml_model *model = bayesian(
                SETTINGS("reg_covar=0", "degrees_of_freedom_prior=5", "mean_precision_prior=10", mean_prior, TYPES[t]));
            const double m0[] = {own ? 3 : mean[0], own ? 0 : mean[1], own ? -1 : mean[2]};
            double z[3], want[9], sphere = 0;
            CHECK_OK(ml_model_fit(model, data, NULL));
            const double *Sigma = tensor(model, "covariances", NULL), *prior = tensor(model, "covariance_prior", NULL);
            CHECK(*tensor(model, "weights", NULL) == 1);
            CHECK_CLOSE(*tensor(model, "degrees_of_freedom", NULL), 95, 1e-12);
            CHECK_CLOSE(*tensor(model, "mean_precision", NULL), 100, 1e-12);
            for (size_t i = 0; i < 3; i++) {
                z[i] = mean[i] - m0[i];
                CHECK_CLOSE(tensor(model, "mean_prior", NULL)[i], m0[i], 1e-12);
                CHECK_CLOSE(tensor(model, "means", NULL)[i], (10 * m0[i] + 90 * mean[i]) / 100, 1e-12);
            }
            for (size_t v = 0; v < 9; v++) {
                want[v] = (S[v] + 89 * S[v] + 90 * 10 / 100.0 * z[v / 3] * z[v % 3]) / 95;
                sphere += v % 4 ? 0 : want[v] / 3;
            }
            for (size_t v = 0; v < 9 && t < 2; v++) {
                CHECK_CLOSE(prior[v], S[v], 1e-12);
                CHECK_CLOSE(Sigma[v], want[v], 1e-12);
            }
            for (size_t j = 0; j < 3 && t == 2; j++)
                CHECK_CLOSE(Sigma[j], want[4 * j], 1e-12);
            if (t == 3)
                CHECK_CLOSE(*Sigma, sphere, 1e-12);
            ml_model_free(model);
        }
    ml_dataset_free(data);
    free(m.X);
    free(counted.X);
}

TEST(bayesian_gmm, superfluous_components_are_empty)
{
    matrix m = blobs(400, 2, 4, 12, 11);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++)
        for (size_t w = 0; w < 2; w++)
            for (int gamma = 0; gamma < 2; gamma++) {
                ml_model *model = fitted_bayesian(
                    &m, SETTINGS("n_components=7", "max_iter=1000", "n_init=3", TYPES[t], WEIGHTS[w],
                                 gamma ? "weight_concentration_prior=1e-6" : "weight_concentration_prior=0"));
                const double *pi = tensor(model, "weights", NULL);
                double label[400], sum = 0, used[7] = {0};
                CHECK_OK(ml_model_predict(model, data, label, 400));
                for (size_t i = 0; i < 400; i++)
                    used[(size_t)label[i]] += 1 / 400.0;
                for (size_t c = 0; c < 7; c++) {
                    sum += pi[c];
                    /* a stick that no row is on takes 1 / (1 + n) of what is left, a Dirichlet one gamma / n */
                    CHECK_MSG(used[c] > 0 || pi[c] < (w == 0  ? 1 / 390.0
                                                      : gamma ? 1e-8
                                                              : 1 / 390.0 / 7),
                              "component %zu without rows: weight %g", c, pi[c]);
                }
                CHECK_CLOSE(sum, 1, 1e-14);
                if (t == 0 || t == 2) /* the others may split a blob for ever */
                    for (size_t i = 4; i < 400; i++)
                        CHECK(label[i] == label[i % 4]);
                ml_model_free(model);
            }
    ml_dataset_free(data);
    free(m.X);
}

TEST(bayesian_gmm, priors_that_do_not_fit_are_refused)
{
    static const struct {
        const char *settings[3];
        const char *text;
    } CASES[] = {
        {{"degrees_of_freedom_prior=2"}, "'degrees_of_freedom_prior' is 2, for 3 features it must be above 2"},
        {{"mean_prior=1,2"}, "'mean_prior' has 2 numbers, the data has 3 features"},
        {{"covariance_prior=1,2"}, "'covariance_prior' has 2 numbers, for 3 features it takes 9, or fewer"},
        {{"covariance_prior=1,2,3", "covariance_type=spherical"}, "has 3 numbers, for 3 features it takes 1"},
        {{"covariance_prior=1,0,2", "covariance_type=diag"}, "'covariance_prior': 0 is not positive"},
        {{"covariance_prior=1,0,0,0.5,1,0,0,0,1"}, "'covariance_prior' is not symmetric: 0.5 and 0"},
        {{"covariance_prior=1,2,0,2,1,0,0,0,1"}, "'covariance_prior' is not positive definite"},
    };
    matrix m = blobs(30, 3, 2, 3, 1), one = make_matrix(1, 3);
    ml_dataset *data = dataset(NULL, &m), *single = dataset(NULL, &one);

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_model *model = bayesian(CASES[c].settings);
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, CASES[c].text);
        ml_model_free(model);
    }
    ml_model *model = bayesian(NULL);
    CHECK_FAILS(ml_model_fit(model, single, NULL), ML_E_DATA, "the weights sum to 1, no more than one row");
    CHECK_OK(ml_model_set_text(model, "covariance_prior", "2"));
    CHECK_OK(ml_model_fit(model, single, NULL));
    const double *prior = tensor(model, "covariance_prior", NULL); /* one number: its multiple of the identity */
    for (size_t v = 0; v < 9; v++)
        CHECK(prior[v] == (v % 4 ? 0 : 2));
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(single);
    free(m.X);
    free(one.X);
}

/* ---- weights, starts, threads ---- */

TEST(bayesian_gmm, failures_name_the_kind_and_its_priors)
{
    matrix line = rows_on_a_line();
    ml_dataset *data = dataset(NULL, &line);
    ml_model *model = bayesian(SETTINGS("reg_covar=0"));

    CHECK_FAILS(
        ml_model_fit(model, data, NULL), ML_E_NUMERIC,
        "bayesian_gmm: the covariance of component 0 is not positive definite: fewer components (n_components is "
        "1), a larger reg_covar (it is 0), a larger covariance_prior or scaled features would help");
    CHECK_OK(ml_model_set_text(model, "covariance_prior", "1"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_model_free(model);
    ml_dataset_free(data);
    free(line.X);
}

TEST(bayesian_gmm, weight_two_is_the_row_twice)
{
    double w[90];
    matrix m = blobs(90, 2, 2, 6, 9), twice = with_rows_twice(&m, w);
    ml_dataset *data = dataset(NULL, &m);
    CHECK_OK(ml_dataset_set_weights(data, w, m.n));
    for (size_t t = 0; t < 4; t++) {
        ml_model *a = bayesian(SETTINGS("n_components=2", TYPES[t], WEIGHTS[1])),
                 *b = fitted_bayesian(&twice, SETTINGS("n_components=2", TYPES[t], WEIGHTS[1]));
        CHECK_OK(ml_model_fit(a, data, NULL));
        double *L_a = score_samples(a, &m), *L_b = score_samples(b, &m);
        size_t n_a, n_b;
        const double *of_a = tensor(a, "lower_bounds", &n_a), *of_b = tensor(b, "lower_bounds", &n_b);
        CHECK_CLOSE(of_a[n_a - 1] / of_b[n_b - 1], 1, 1e-12);
        for (size_t i = 0; i < m.n; i++)
            CHECK_CLOSE(L_a[i], L_b[i], 1e-10);
        free(L_a);
        free(L_b);
        ml_model_free(a);
        ml_model_free(b);
    }
    ml_dataset_free(data);
    free(m.X);
    free(twice.X);
}

TEST(bayesian_gmm, twenty_steps_are_ten_and_ten_more)
{
    matrix m = blobs(300, 3, 4, 1.5, 7);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++) {
        ml_model *all =
            fitted_bayesian(&m, SETTINGS("n_components=4", "tol=0", "max_iter=20", TYPES[t], WEIGHTS[t % 2]));
        ml_model *half = fitted_bayesian(
            &m, SETTINGS("n_components=4", "tol=0", "max_iter=10", "warm_start=true", TYPES[t], WEIGHTS[t % 2]));
        ml_model *next = bayesian(SETTINGS("n_components=4", "tol=0", "max_iter=10", TYPES[t], WEIGHTS[t % 2]));
        ml_model *mixture = unfitted(NULL, NULL);
        const double *want = tensor(all, "lower_bounds", NULL);

        CHECK_OK(ml_model_start_from(next, half));
        CHECK_FAILS(ml_model_start_from(mixture, half), ML_E_UNSUPPORTED, "gmm starts from a gmm only");
        CHECK_OK(ml_model_fit(next, data, NULL));
        CHECK_OK(ml_model_fit(half, data, NULL));
        for (size_t i = 0; i < 10; i++) {
            CHECK_CLOSE(tensor(half, "lower_bounds", NULL)[i] / want[10 + i], 1, 1e-11);
            CHECK_CLOSE(tensor(next, "lower_bounds", NULL)[i] / want[10 + i], 1, 1e-11);
        }
        ml_model_free(all);
        ml_model_free(half);
        ml_model_free(next);
        ml_model_free(mixture);
    }
    ml_dataset_free(data);
    free(m.X);
}

static void check_same(const ml_model *a, const ml_model *b)
{
    static const char *const NAMES[] = {"weight_concentration", "mean_precision", "degrees_of_freedom",
                                        "covariance_prior", "mean_prior"};

    check_same_tensors(a, b);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t n_a, n_b;
        const double *x = tensor(a, NAMES[i], &n_a), *y = tensor(b, NAMES[i], &n_b);
        CHECK_SAME_BYTES(x, n_a * sizeof *x, y, n_b * sizeof *y);
    }
}

TEST(bayesian_gmm, threads_do_not_show)
{
    matrix m = blobs(3000, 3, 6, 2, 12);

    for (size_t t = 0; t < 4; t++)
        check_threads(&m, "bayesian_gmm", SETTINGS("n_components=6", "max_iter=20", TYPES[t]));
    free(m.X);
}

/* ---- digits ---- */

TEST(bayesian_gmm, offset_costs_no_digits)
{
    matrix m = blobs(200, 2, 2, 4, 3), moved = make_matrix(200, 2);
    for (size_t v = 0; v < 400; v++) {
        m.X[v] = ldexp(nearbyint(ldexp(m.X[v], 10)), -10); /* so that the sum is exact */
        moved.X[v] = m.X[v] + (v % 2 ? -0x1p30 : 0x1p35);
    }
    for (size_t t = 0; t < 4; t++) {
        ml_model *a = fitted_bayesian(&m, SETTINGS("n_components=3", TYPES[t])),
                 *b = fitted_bayesian(&moved, SETTINGS("n_components=3", TYPES[t]));
        size_t n_a, n_b;
        const double *of_a = tensor(a, "lower_bounds", &n_a), *of_b = tensor(b, "lower_bounds", &n_b);
        CHECK(n_a == n_b);
        CHECK_CLOSE(of_b[n_b - 1] / of_a[n_a - 1], 1, 1e-11);
        of_a = tensor(a, "covariances", &n_a);
        of_b = tensor(b, "covariances", NULL);
        for (size_t v = 0; v < n_a; v++)
            CHECK_CLOSE(of_a[v], of_b[v], 1e-10);
        ml_model_free(a);
        ml_model_free(b);
    }
    free(m.X);
    free(moved.X);
}

/* Two clusters a million widths apart, and priors too weak to widen them. */
TEST(bayesian_gmm, components_far_apart_keep_their_digits)
{
    enum { N = 200 }; /* of a cluster */
    matrix m = make_matrix(2 * N, 1);
    uint64_t state = 4;
    for (size_t i = 0; i < m.n; i++)
        m.X[i] = (i % 2 ? 1e6 : -1e6) + normal(&state);
    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted_bayesian(&m, SETTINGS("n_components=2", "reg_covar=0", "covariance_prior=0.5",
                                                       TYPES[t], "mean_precision_prior=1e-25"));
        const double *Sigma = tensor(model, "covariances", NULL), *mu = tensor(model, "means", NULL);
        double squares[2] = {0};
        for (size_t c = 0; c < 2; c++) {
            double mean = 0;
            for (size_t i = mu[c] > 0; i < m.n; i += 2)
                mean += m.X[i] / N;
            for (size_t i = mu[c] > 0; i < m.n; i += 2)
                squares[c] += (m.X[i] - mean) * (m.X[i] - mean);
        }
        for (size_t c = 0; c < 2; c++)
            CHECK_CLOSE(Sigma[t == 1 ? 0 : c] /
                            ((0.5 + (t == 1 ? (squares[0] + squares[1]) / 2 : squares[c])) / (1 + N)),
                        1, 1e-9);
        ml_model_free(model);
    }
    free(m.X);
}

/* ---- degenerate data ---- */

TEST(bayesian_gmm, degenerate_data_stays_finite)
{
    uint64_t state = 1;
    matrix constant = make_matrix(20, 3), two_points = make_matrix(20, 2), wide = make_matrix(5, 12);
    matrix line = make_matrix(50, 2), very_wide = make_matrix(6, 95);
    for (size_t i = 0; i < 40; i++)
        two_points.X[i] = (double)(i / 2 % 2);
    for (size_t i = 0; i < 60; i++)
        wide.X[i] = normal(&state);
    for (size_t i = 0; i < 6 * 95; i++)
        very_wide.X[i] = normal(&state);
    for (size_t i = 0; i < 50; i++)
        line.X[2 * i] = 2 * (line.X[2 * i + 1] = normal(&state));
    const matrix cases[] = {constant, two_points, wide, line, very_wide};
    const char *const components[] = {"n_components=4", "n_components=6", "n_components=3", "n_components=2",
                                      "n_components=2"};

    for (size_t c = 0; c < 5; c++) {
        for (size_t t = 0; t < 4; t++)
            for (size_t s = 0; s < 5; s++) {
                ml_model *model =
                    fitted_bayesian(&cases[c], SETTINGS(components[c], STARTS[s], TYPES[t], WEIGHTS[s % 2]));
                double *L = score_samples(model, &cases[c]);
                check_finite(model);
                for (size_t i = 0; i < cases[c].n; i++)
                    CHECK(isfinite(L[i]));
                free(L);
                ml_model_free(model);
            }
        free(cases[c].X);
    }
}

TEST(bayesian_gmm, any_scale_is_finite_or_reported)
{
    static const double SCALES[] = {1e-300, 1e-150, 1e-30, 1e30, 1e150, 1e200, 1e307};

    for (size_t t = 0; t < 4; t++)
        for (size_t s = 0; s < sizeof SCALES / sizeof *SCALES; s++)
            for (size_t mixed = 0; mixed < 2; mixed++) {
                matrix m = blobs(60, 2, 2, 5, 6);
                for (size_t i = 0; i < m.n; i++) {
                    m.X[2 * i] *= SCALES[s];
                    m.X[2 * i + 1] *= mixed ? 1 / SCALES[s] : SCALES[s];
                }
                ml_dataset *data = dataset(NULL, &m);
                ml_model *model = bayesian(SETTINGS("n_components=3", TYPES[t]));
                const ml_status st = ml_model_fit(model, data, NULL);
                CHECK_MSG(st == ML_OK || (st == ML_E_NUMERIC && (SCALES[s] > 1e150 || SCALES[s] < 1e-150)),
                          "%s, scale %g: %s", TYPES[t], SCALES[s], ml_last_error());
                if (st == ML_OK)
                    check_finite(model);
                ml_dataset_free(data);
                ml_model_free(model);
                free(m.X);
            }
}

/* Priors at the ends of their ranges. */
TEST(bayesian_gmm, extreme_priors_stay_finite)
{
    static const char *const PRIORS[] = {"weight_concentration_prior=1e-300",
                                         "weight_concentration_prior=1e300",
                                         "mean_precision_prior=1e-300",
                                         "mean_precision_prior=1e150",
                                         "degrees_of_freedom_prior=1e12",
                                         "covariance_prior=1e-12",
                                         "covariance_prior=1e100"};
    const double far[] = {0, 0, 1e5, 1e5, DBL_MAX, -DBL_MAX};
    matrix m = blobs(60, 2, 2, 5, 6), x = {3, 2, (double *)far};
    ml_dataset *rows = dataset(NULL, &x);

    for (size_t t = 0; t < 4; t++)
        for (size_t p = 0; p < sizeof PRIORS / sizeof *PRIORS; p++)
            for (size_t w = 0; w < 2; w++) {
                ml_model *model = fitted_bayesian(&m, SETTINGS("n_components=4", PRIORS[p], TYPES[t], WEIGHTS[w]));
                double *L = score_samples(model, &x), proba[12];
                check_finite(model);
                CHECK_OK(ml_model_predict_proba(model, rows, proba, 12));
                for (size_t i = 0; i < 3; i++) {
                    double sum = 0;
                    for (size_t c = 0; c < 4; c++)
                        sum += proba[4 * i + c];
                    CHECK(isfinite(L[i]));
                    CHECK_CLOSE(sum, 1, 1e-15);
                }
                free(L);
                ml_model_free(model);
            }
    ml_dataset_free(rows);
    free(m.X);
}

TEST(bayesian_gmm, missing_entries_and_too_many_components_are_refused)
{
    matrix m = blobs(5, 2, 2, 3, 1);
    ml_model *model = bayesian(SETTINGS("n_components=6"));
    ml_dataset *data = dataset(NULL, &m), *gaps;

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "bayesian_gmm: n_components is 6, the data has 5 rows");
    m.X[3] = NAN;
    gaps = dataset(NULL, &m);
    CHECK_OK(ml_model_set_int(model, "n_components", 2));
    CHECK_FAILS(ml_model_fit(model, gaps, NULL), ML_E_DATA, "");
    ml_dataset_free(gaps);
    ml_dataset_free(data);
    ml_model_free(model);
    free(m.X);
}

/* ---- new features, samples, files ---- */

TEST(bayesian_gmm, features_and_samples_are_those_of_a_mixture)
{
    enum { N = 20000 };
    matrix m = blobs(300, 2, 2, 6, 8);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = fitted_bayesian(&m, SETTINGS("n_components=2", "features=log_densities", "passthrough=true"));
    const double *pi = tensor(model, "weights", NULL), *mu = tensor(model, "means", NULL);
    double *out = malloc(300 * 4 * sizeof *out), *x = malloc(2 * N * sizeof *x), sum[2][2] = {{0}}, count_of[2] = {0},
           bic;
    int32_t *of = malloc(N * sizeof *of);

    CHECK(ml_model_width(model, ML_TRANSFORM) == 4);
    CHECK_OK(ml_model_transform(model, data, out, 300 * 4));
    CHECK(out[4] == m.X[2] && out[5] == m.X[3] && out[2] < 0);
    CHECK_FAILS(ml_mixture_bic(model, data, &bic), ML_E_UNSUPPORTED, "a bayesian_gmm is not a gmm");
    CHECK_OK(ml_mixture_sample(model, N, 9, x, 2 * N, of));
    for (size_t i = 0; i < N; i++) {
        count_of[of[i]]++;
        for (size_t j = 0; j < 2; j++)
            sum[of[i]][j] += x[2 * i + j];
    }
    for (size_t c = 0; c < 2; c++) {
        CHECK_CLOSE(count_of[c] / N, pi[c], 0.02);
        for (size_t j = 0; j < 2; j++)
            CHECK_CLOSE(sum[c][j] / count_of[c], mu[2 * c + j], 0.1);
    }
    free(out);
    free(x);
    free(of);
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

TEST(bayesian_gmm, a_file_predicts_the_same_bits_whatever_is_set_later)
{
    matrix m = table("iris", 0, NULL);

    for (size_t t = 0; t < 4; t++)
        for (size_t w = 0; w < 2; w++) {
            ml_model *model = fitted_bayesian(&m, SETTINGS("n_components=4", TYPES[t], WEIGHTS[w], "features=labels")),
                     *loaded;
            CHECK_OK(ml_model_set_text(model, "weight_concentration_prior_type", "dirichlet_process"));
            CHECK_OK(ml_model_set_text(model, "covariance_type", "full"));
            CHECK_OK(ml_model_set_text(model, "features", "posteriors"));
            CHECK_OK(ml_model_set_text(model, "passthrough", "true"));
            loaded = check_loaded(model, &m);
            check_same(model, loaded);
            CHECK(ml_model_width(loaded, ML_TRANSFORM) == 1);
            ml_model_free(loaded);
            ml_model_free(model);
        }
    free(m.X);
}

TEST(bayesian_gmm, broken_tensors_are_refused)
{
    static const struct {
        const char *tensor;
        size_t element;
        double value;
        const char *text;
    } CASES[] = {
        {"weights", 1, 0.99, "tensor 'weights': the sum is"},
        {"weight_concentration", 0, 0, "tensor 'weight_concentration': element 0 is 0, not positive"},
        {"weight_concentration", 3, NAN, "tensor 'weight_concentration': element 3 is nan"},
        {"mean_precision", 1, -1, "tensor 'mean_precision': element 1 is -1, not positive"},
        {"degrees_of_freedom", 1, 1, "'degrees_of_freedom': element 1 is 1, for 2 features it must be above 1"},
        {"degrees_of_freedom", 0, INFINITY, "tensor 'degrees_of_freedom': element 0 is inf"},
        {"covariance_prior", 2, NAN, "tensor 'covariance_prior': element 2"},
        {"mean_prior", 0, INFINITY, "tensor 'mean_prior': element 0 is inf"},
        {"precisions_cholesky", 0, 0, "component 0, row 0, column 0 is 0, expected a positive diagonal"},
    };
    static const struct {
        const char *tensor;
        uint32_t dimension;
        uint64_t size;
        const char *text;
    } SHAPES[] = {
        {"weight_concentration", 0, 1, "'weight_concentration': dimension 0 is 1, expected 2"},
        {"weight_concentration", 1, 2, "'weight_concentration': dimension 1 is 2, expected 3"},
        {"mean_precision", 0, 2, "'mean_precision': dimension 0 is 2, expected 3"},
        {"degrees_of_freedom", 0, 2, "'degrees_of_freedom': dimension 0 is 2, expected 3"},
        {"covariance_prior", 0, 1, "'covariance_prior': dimension 0 is 1, expected 2"},
        {"mean_prior", 0, 1, "'mean_prior': dimension 0 is 1, expected 2"},
    };
    matrix m = blobs(40, 2, 2, 5, 1);
    ml_model *model = fitted_bayesian(&m, SETTINGS("n_components=3"));

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++)
        CHECK_REFUSED_VALUE(model, CASES[c].tensor, CASES[c].element, CASES[c].value, CASES[c].text);
    for (size_t c = 0; c < sizeof SHAPES / sizeof *SHAPES; c++)
        CHECK_REFUSED_SIZE(model, SHAPES[c].tensor, SHAPES[c].dimension, SHAPES[c].size, SHAPES[c].text);
    test_tensor(model, "covariance_prior")->rank = 1; /* as many numbers as features: a diagonal */
    CHECK_REFUSED(model, "'covariance_prior' has 1 dimensions");
    test_tensor(model, "covariance_prior")->rank = 2;
    test_tensor(model, "weight_concentration")->rank = 1;
    CHECK_REFUSED(model, "'weight_concentration'");
    test_tensor(model, "weight_concentration")->rank = 2;
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    ml_model_free(model);
    free(m.X);
}

TEST(bayesian_gmm, every_allocation_may_fail)
{
    matrix m = blobs(40, 2, 2, 5, 1);

    for (size_t t = 0; t < 4; t++)
        check_every_allocation(&m, "bayesian_gmm",
                               SETTINGS("n_components=2", TYPES[t], STARTS[t], WEIGHTS[t % 2], "features=labels"));
    free(m.X);
}
