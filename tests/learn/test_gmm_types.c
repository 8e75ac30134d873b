/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures of all four covariance types: tensors, degenerate data, starts from other mixtures, threads, memory. */
#include "gmm_toys.h"
#include "learn/gmm/mixture.h"

#include <invar/mixture.h>

static const char *const TYPES[] = {"covariance_type=full", "covariance_type=tied", "covariance_type=diag",
                                    "covariance_type=spherical"};
static const char *const STARTS[] = {"init_params=kmeans", "init_params=k-means++", "init_params=random",
                                     "init_params=random_from_data", "init_params=hierarchical"};

TEST(gmm_types, tensors_have_the_shapes_of_scikit_learn)
{
    static const uint64_t SHAPES[][4] = {{3, 3, 2, 2}, {2, 2, 2}, {2, 3, 2}, {1, 3}}; /* rank, sizes */
    matrix m = blobs(60, 2, 3, 4, 1);

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=3", TYPES[t]));
        ml_tensor of = {.struct_size = sizeof of}, type = {.struct_size = sizeof type};
        for (size_t i = 0; i < 2; i++) {
            CHECK_OK(ml_model_tensor(model, i ? "precisions_cholesky" : "covariances", &of));
            CHECK(of.rank == SHAPES[t][0] && !memcmp(of.shape, SHAPES[t] + 1, of.rank * sizeof *of.shape));
        }
        if (t == 0)
            CHECK_FAILS(ml_model_tensor(model, "covariance_type", &type), ML_E_ARGUMENT, "covariance_type");
        else
            CHECK(count(model, "covariance_type") == (int64_t)t);
        ml_model_free(model);
    }
    free(m.X);
}

/* One component: the sample covariance, its diagonal, the mean of that. */
TEST(gmm_types, one_component_is_the_sample_moments)
{
    matrix m = table("wine", 0, NULL);
    const size_t d = m.d;
    double mean_variance = 0;

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("reg_covar=0.5", TYPES[t]));
        const double *Sigma = tensor(model, "covariances", NULL);
        for (size_t j = 0; j < d; j++) {
            double mean, variance;
            moments_of(&m, j, &mean, &variance);
            mean_variance += variance / (double)d;
            if (t < 3)
                CHECK_CLOSE(Sigma[t == 2 ? j : j * (d + 1)] / (variance + 0.5), 1, 1e-13);
        }
        if (t == 3)
            CHECK_CLOSE(Sigma[0] / (mean_variance + 0.5), 1, 1e-13);
        mean_variance = 0;
        ml_model_free(model);
    }
    free(m.X);
}

TEST(gmm_types, likelihood_never_falls)
{
    for (size_t t = 0; t < 4; t++)
        for (uint64_t seed = 1; seed <= 10; seed++) {
            matrix m = blobs(150, 3, 5, 1, seed);
            char state[32];
            snprintf(state, sizeof state, "random_state=%d", (int)seed);
            ml_model *model = fitted(&m, SETTINGS("n_components=3", "tol=0", "max_iter=60", "reg_covar=0",
                                                  "init_params=random", TYPES[t], state));
            check_never_falls(model, 60, TYPES[t], seed);
            ml_model_free(model);
            free(m.X);
        }
}

/* Far components: moments about the mean of all would lose half of the digits. */
TEST(gmm_types, components_far_apart_keep_their_digits)
{
    matrix m = make_matrix(400, 2);
    uint64_t state = 4;
    for (size_t i = 0; i < m.n; i++)
        for (size_t j = 0; j < 2; j++)
            m.X[2 * i + j] = (i % 2 ? 1e6 : -1e6) + normal(&state);
    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=2", "reg_covar=0", TYPES[t]));
        const double *Sigma = tensor(model, "covariances", NULL), *mu = tensor(model, "means", NULL);
        double want[2][2] = {{0}}, first[2];
        for (size_t c = 0; c < 2; c++)
            for (size_t j = 0; j < 2; j++) {
                double sum = 0, squares = 0;
                for (size_t i = mu[2 * c] > 0; i < m.n; i += 2)
                    sum += m.X[2 * i + j] / 200;
                for (size_t i = mu[2 * c] > 0; i < m.n; i += 2)
                    squares += (m.X[2 * i + j] - sum) * (m.X[2 * i + j] - sum) / 200;
                want[c][j] = squares;
            }
        first[0] = t == 1 ? (want[0][0] + want[1][0]) / 2 : t == 3 ? (want[0][0] + want[0][1]) / 2 : want[0][0];
        CHECK_MSG(fabs(Sigma[0] / first[0] - 1) < 1e-9, "%s: %.17g, expected %.17g", TYPES[t], Sigma[0], first[0]);
        ml_model_free(model);
    }
    free(m.X);
}

TEST(gmm_types, degenerate_data_stays_finite)
{
    uint64_t state = 1;
    matrix constant = make_matrix(20, 3), two_points = make_matrix(20, 2), wide = make_matrix(5, 12);
    matrix line = make_matrix(50, 2), one = make_matrix(1, 2), very_wide = make_matrix(6, 95);
    for (size_t i = 0; i < 40; i++)
        two_points.X[i] = (double)(i / 2 % 2);
    for (size_t i = 0; i < 60; i++)
        wide.X[i] = normal(&state);
    for (size_t i = 0; i < 6 * 95; i++)
        very_wide.X[i] = normal(&state);
    for (size_t i = 0; i < 50; i++)
        line.X[2 * i] = 2 * (line.X[2 * i + 1] = normal(&state));
    const matrix cases[] = {constant, two_points, wide, line, one, very_wide};
    const char *const components[] = {"n_components=4", "n_components=6", "n_components=3",
                                      "n_components=2", "n_components=1", "n_components=2"};

    for (size_t c = 0; c < 6; c++) {
        for (size_t t = 1; t < 5; t++)
            for (size_t s = 0; s < 5; s++) {
                ml_model *model = fitted(&cases[c], SETTINGS(components[c], STARTS[s], TYPES[t % 4]));
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

TEST(gmm_types, without_regularisation_no_variance_is_reported)
{
    matrix line = rows_on_a_line();
    ml_dataset *data = dataset(NULL, &line);
    for (size_t t = 0; t < 3; t++) {
        ml_model *model = unfitted(NULL, SETTINGS("n_components=2", "reg_covar=0", TYPES[t]));
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC,
                    "covariance of component 0 is not positive definite");
        ml_model_free(model);
    }
    ml_dataset_free(data);
    free(line.X);
}

TEST(gmm_types, any_scale_is_finite_or_reported)
{
    static const double SCALES[] = {1e-300, 1e-150, 1e-30, 1e30, 1e150, 1e200, 1e307};

    for (size_t t = 1; t < 4; t++)
        for (size_t s = 0; s < sizeof SCALES / sizeof *SCALES; s++)
            for (size_t mixed = 0; mixed < 2; mixed++) {
                matrix m = blobs(60, 2, 2, 5, 6);
                for (size_t i = 0; i < m.n; i++) {
                    m.X[2 * i] *= SCALES[s];
                    m.X[2 * i + 1] *= mixed ? 1 / SCALES[s] : SCALES[s];
                }
                ml_dataset *data = dataset(NULL, &m);
                ml_model *model = unfitted(NULL, SETTINGS("n_components=2", TYPES[t]));
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

TEST(gmm_types, threads_do_not_show)
{
    matrix m = blobs(3000, 3, 6, 2, 12);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++) {
        ml_model *models[4];
        for (size_t i = 0; i < 4; i++) {
            static const uint32_t THREADS[] = {1, 2, 3, 7};
            const ml_context_options options = {.struct_size = sizeof options, .n_threads = THREADS[i]};
            ml_context *context;
            CHECK_OK(ml_context_create(&options, &context));
            models[i] = unfitted(context, SETTINGS("n_components=5", "max_iter=12", TYPES[t]));
            CHECK_OK(ml_model_fit(models[i], data, NULL));
            check_same_tensors(models[i], models[0]);
            ml_context_free(context);
        }
        for (size_t i = 0; i < 4; i++)
            ml_model_free(models[i]);
    }
    ml_dataset_free(data);
    free(m.X);
}

/* Many sums, whose partial sums a slot does not keep, are the same for any number of threads, and what sums about the means
 * are. */
TEST(gmm_types, wide_mixtures_are_those_of_sums_about_the_means)
{
    enum { K = 40, D = 20, N = 1500 };
    matrix m = blobs(N, D, 8, 3, 12);
    double *w = malloc(N * sizeof *w), bounds[2];
    ml_dataset *data = dataset(NULL, &m);
    ml_model *models[2];

    for (size_t t = 0; t < 2; t++) {
        const ml_context_options options = {.struct_size = sizeof options, .n_threads = t ? 3 : 1};
        ml_context *context;
        CHECK_OK(ml_context_create(&options, &context));
        models[t] = unfitted(context, SETTINGS("n_components=40", "max_iter=4", "reg_covar=0.1"));
        CHECK_OK(ml_model_fit(models[t], data, NULL));
        ml_context_free(context);
    }
    check_same_tensors(models[0], models[1]);
    for (size_t i = 0; i < N; i++)
        w[i] = 1;
    for (size_t way = 0; way < 2; way++) {
        ml__arena arena;
        ml__mixture next;
        ml__em em;

        ml__arena_init(&arena, NULL);
        CHECK_OK(ml__em_create(&arena, NULL, &(ml__points){.X = m.X, .n = N, .d = D, .w = w}, ML__FULL, K, 0.1, &em));
        CHECK_OK(ml__mixture_create(&arena, ML__FULL, K, D, &next));
        CHECK(em.p == 231 && em.slots.n == 6); /* one for each block of 256 rows */
        em.p = way ? 0 : em.p;
        CHECK_OK(ml__em_begin_from(&em, ml__gmm_mixture(models[0])));
        ml__mixture_copy(ml__gmm_mixture(models[0]), &next);
        for (size_t step = 0; step < 3; step++)
            CHECK_OK(ml__em_step(&em, &next, &bounds[way]));
        ml__arena_free(&arena);
    }
    CHECK_CLOSE(bounds[0] / bounds[1], 1, 1e-11);
    for (size_t t = 0; t < 2; t++)
        ml_model_free(models[t]);
    ml_dataset_free(data);
    free(w);
    free(m.X);
}

TEST(gmm_types, wide_mixtures_have_slots_for_many_threads)
{
    matrix m = make_matrix(20000, 30);
    double *w = malloc(m.n * sizeof *w);
    ml__arena arena;
    ml__em em;

    for (size_t i = 0; i < m.n; i++)
        w[i] = 1;
    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__em_create(&arena, NULL, &(ml__points){.X = m.X, .n = m.n, .d = m.d, .w = w}, ML__FULL, 200, 0, &em));
    CHECK_MSG(em.slots.n == 22, "%zu slots", em.slots.n);
    CHECK_MSG(em.n_rooms == 1, "workspace for %zu tasks, of one thread", em.n_rooms);
    ml__arena_free(&arena);
    free(w);
    free(m.X);
}

/* ---- starts ---- */

TEST(gmm_types, twenty_steps_are_ten_and_ten_more)
{
    matrix m = blobs(300, 3, 4, 1.5, 7);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++) {
        ml_model *all = fitted(&m, SETTINGS("n_components=4", "tol=0", "max_iter=20", TYPES[t]));
        ml_model *half = fitted(&m, SETTINGS("n_components=4", "tol=0", "max_iter=10", "warm_start=true", TYPES[t]));
        ml_model *next = unfitted(NULL, SETTINGS("n_components=4", "tol=0", "max_iter=10", "n_init=3", TYPES[t]));
        const double *want = tensor(all, "lower_bounds", NULL);

        CHECK_OK(ml_model_start_from(next, half));
        CHECK_OK(ml_model_fit(next, data, NULL));
        CHECK_OK(ml_model_fit(half, data, NULL));
        for (size_t i = 0; i < 10; i++) {
            CHECK_CLOSE(tensor(half, "lower_bounds", NULL)[i] / want[10 + i], 1, 1e-11);
            CHECK_CLOSE(tensor(next, "lower_bounds", NULL)[i] / want[10 + i], 1, 1e-11);
        }
        CHECK(count(next, "n_iter") == 10);
        ml_model_free(all);
        ml_model_free(half);
        ml_model_free(next);
    }
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, a_start_must_fit)
{
    matrix m = blobs(60, 2, 2, 4, 1), wide = blobs(60, 3, 2, 4, 1);
    ml_dataset *data = dataset(NULL, &m), *wider = dataset(NULL, &wide);
    ml_model *from = fitted(&m, SETTINGS("n_components=2")), *model = unfitted(NULL, SETTINGS("n_components=3")),
             *scaler;

    CHECK_OK(ml_model_create(NULL, "standard_scaler", &scaler));
    CHECK_OK(ml_model_fit(scaler, data, NULL));
    CHECK_FAILS(ml_model_start_from(model, scaler), ML_E_UNSUPPORTED, "gmm starts from a gmm only");
    CHECK_OK(ml_model_start_from(model, from));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "has 2 components, parameter 'n_components' is 3");
    CHECK_OK(ml_model_set_int(model, "n_components", 2));
    CHECK_FAILS(ml_model_fit(model, wider, NULL), ML_E_SHAPE, "has 2 features, the data 3");
    CHECK_OK(ml_model_set_text(model, "covariance_type", "tied"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER,
                "has full covariances, parameter 'covariance_type' is tied");
    CHECK_OK(ml_model_set_text(model, "covariance_type", "full"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    /* a warm start from what no longer fits is a cold one */
    CHECK_OK(ml_model_start_from(model, NULL));
    CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
    CHECK_OK(ml_model_set_int(model, "n_components", 3));
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_model_free(model);
    ml_model_free(from);
    ml_model_free(scaler);
    ml_dataset_free(data);
    ml_dataset_free(wider);
    free(m.X);
    free(wide.X);
}

/* ---- starts that parameters give ---- */

/* Set a list parameter to n numbers; returns what is behind them. */
static const double *give(ml_model *model, const char *name, const double *numbers, size_t n)
{
    char *text = malloc(32 * n), *end = text;

    for (size_t v = 0; v < n; v++)
        end += snprintf(end, 32, v ? ",%.17g" : "%.17g", numbers[v]);
    CHECK_OK(ml_model_set_text(model, name, text));
    free(text);
    return numbers + n;
}

static const double *check_equal(const ml_model *model, const char *name, const double *want)
{
    size_t n;
    const double *got = tensor(model, name, &n);

    for (size_t v = 0; v < n; v++)
        CHECK_MSG(fabs(got[v] - want[v]) <= 1e-8 * fmax(1, fabs(want[v])), "%s: element %zu is %.17g, expected %.17g",
                  name, v, got[v], want[v]);
    return want + n;
}

TEST(gmm_types, starts_that_parameters_give_are_those_of_scikit_learn)
{
    enum { D = 4 };
    static const struct {
        size_t k, n_steps;
        bool weights, means, precisions;
    } CASES[] = {{3, 50, true, true, true}, {1, 2, false, true, false}, {1, 2, false, false, true}};
    matrix m = table("iris", 0, NULL);
    ml_dataset *data = dataset(NULL, &m);
    size_t n;
    double *numbers = test_read_numbers(test_expected_path("gmm_given.txt"), &n);
    const double *want = numbers;

    for (size_t t = 0; t < 4; t++)
        for (size_t c = 0; c < 3; c++) {
            const size_t k = CASES[c].k, sizes[] = {k * D * D, D * D, k * D, k};
            ml_model *model = unfitted(NULL, SETTINGS(TYPES[t], "tol=0", "n_init=2"));

            CHECK_OK(ml_model_set_int(model, "n_components", (int64_t)k));
            CHECK_OK(ml_model_set_int(model, "max_iter", (int64_t)CASES[c].n_steps));
            want = CASES[c].weights ? give(model, "weights_init", want, k) : want;
            want = CASES[c].means ? give(model, "means_init", want, k * D) : want;
            want = CASES[c].precisions ? give(model, "precisions_init", want, sizes[t]) : want;
            CHECK_OK(ml_model_fit(model, data, NULL));
            want = check_equal(model, "lower_bounds", want);
            want = check_equal(model, "weights", want);
            want = check_equal(model, "means", want);
            want = check_equal(model, "covariances", want);
            ml_model_free(model);
        }
    CHECK(want == numbers + n);
    free(numbers);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, given_starts_that_do_not_fit_are_refused)
{
    static const struct {
        const char *settings[3];
        const char *text;
    } CASES[] = {
        {{"weights_init=0.5,0.25,0.25"},
         "gmm: parameter 'weights_init' has 3 numbers, 2 components of 2 features with full covariances take 2"},
        {{"weights_init=0.5,0.4"}, "'weights_init': the sum of 2 numbers is 0.9, expected 1"},
        {{"means_init=1,2"}, "'means_init' has 2 numbers, 2 components of 2 features with full covariances take 4"},
        {{"precisions_init=1,2,3,4"},
         "'precisions_init' has 4 numbers, 2 components of 2 features with full "
         "covariances take 8"},
        {{"precisions_init=1,0,0,1,1,0.5,0.25,1"}, "'precisions_init' of component 1 is not symmetric: 0.25 and 0.5"},
        {{"precisions_init=1,2,2,1,1,0,0,1"}, "'precisions_init' of component 0 is not positive definite"},
        {{"covariance_type=tied", "precisions_init=1,2,2,1"}, "'precisions_init' is not positive definite"},
        {{"covariance_type=diag", "precisions_init=1,1,1,-2"}, "'precisions_init' of component 1: -2 is not positive"},
        {{"covariance_type=spherical", "precisions_init=0,1"}, "'precisions_init' of component 0: 0 is not positive"},
        {{"covariance_type=spherical", "precisions_init=1,1,1"}, "with spherical covariances take 2"},
    };
    matrix m = blobs(60, 2, 2, 4, 1);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_model *model = unfitted(NULL, CASES[c].settings);
        CHECK_OK(ml_model_set_int(model, "n_components", 2));
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, CASES[c].text);
        ml_model_free(model);
    }
    ml_model *model = unfitted(NULL, NULL);
    CHECK_FAILS(ml_model_set_text(model, "weights_init", "0,1"), ML_E_PARAMETER, "weights_init");
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

/* A component keeps the place that its mean was given: labels come in that order, whatever is drawn. */
TEST(gmm_types, given_means_order_the_components)
{
    matrix m = blobs(400, 2, 4, 9, 3);
    double proba[4 * 400];
    ml_dataset *data = dataset(NULL, &m);

    for (int t = 0; t < 4; t++) {
        ml_model *model = unfitted(NULL, SETTINGS(TYPES[t], "n_components=4", "means_init=9,9,0,9,9,0,0,0",
                                                  "weights_init=0.25,0.25,0.25,0.25"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_predict_proba(model, data, proba, 4 * 400));
        for (size_t i = 0; i < 400; i++)
            CHECK(proba[4 * i + 3 - i % 4] > 0.9);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, every_allocation_may_fail)
{
    matrix m = blobs(40, 2, 2, 5, 1);

    for (size_t t = 0; t < 4; t++) {
        const double kept = m.X[3];
        m.X[3] = t % 2 ? kept : NAN;
        check_every_allocation(&m, "gmm", SETTINGS("n_components=2", TYPES[t], STARTS[t], "passthrough=true"));
        m.X[3] = kept;
    }
    free(m.X);
}

TEST(gmm_types, ten_starts_are_as_good_as_those_of_scikit_learn)
{
    const matrix sets[] = {table("iris", 0, NULL), standardised(table("wine", 0, NULL))};
    size_t n;
    double *want = test_read_numbers(test_expected_path("gmm_bic.txt"), &n), bic;

    CHECK(n == 8);
    for (size_t i = 0; i < 8; i++) {
        ml_dataset *data = dataset(NULL, &sets[i / 4]);
        ml_model *model =
            fitted(&sets[i / 4], SETTINGS("n_components=3", "n_init=10", "tol=1e-6", "max_iter=1000", TYPES[i % 4]));
        CHECK_OK(ml_mixture_bic(model, data, &bic));
        CHECK_MSG(bic <= want[i] + 1e-6 * fabs(want[i]), "%s of set %zu: BIC %.10g, median %.10g", TYPES[i % 4], i / 4,
                  bic, want[i]);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    free(sets[0].X);
    free(sets[1].X);
    free(want);
}

/* ---- files ---- */

TEST(gmm_types, what_is_set_after_a_fit_waits_for_the_next)
{
    matrix m = table("iris", 0, NULL);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = fitted(&m, SETTINGS("n_components=3", "features=labels", "passthrough=true")), *copies[2];
    double *want = malloc(m.n * 5 * sizeof *want), *got = malloc(m.n * 5 * sizeof *got);
    size_t n_bytes;

    CHECK(count(model, "features") == 2 && count(model, "passthrough") == 1);
    CHECK_OK(ml_model_transform(model, data, want, m.n * 5));
    CHECK_OK(ml_model_set_text(model, "features", "log_densities"));
    CHECK_OK(ml_model_set_text(model, "passthrough", "false"));
    void *bytes = test_saved(model, &n_bytes);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &copies[0]));
    CHECK_OK(ml_model_clone(model, &copies[1]));
    for (size_t i = 0; i < 2; i++) {
        CHECK(ml_model_width(copies[i], ML_TRANSFORM) == 5);
        CHECK_OK(ml_model_transform(copies[i], data, got, m.n * 5));
        CHECK_SAME_BYTES(got, m.n * 5 * sizeof *got, want, m.n * 5 * sizeof *want);
        CHECK_OK(ml_model_fit(copies[i], data, NULL));
        CHECK(ml_model_width(copies[i], ML_TRANSFORM) == 3);
        ml_model_free(copies[i]);
    }
    free(bytes);
    free(want);
    free(got);
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, files_say_which_type_it_is)
{
    matrix m = table("iris", 0, NULL);

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=4", TYPES[t])), *loaded; /* as many as features */

        CHECK_OK(ml_model_set_text(model, "covariance_type", t ? "full" : "diag")); /* of the next fit */
        loaded = check_loaded(model, &m);
        ml_model_free(loaded);
        ml_model_free(model);
    }
    free(m.X);
}

TEST(gmm_types, broken_tensors_are_refused)
{
    matrix m = blobs(40, 3, 2, 5, 1);
    ml_model *diag = fitted(&m, SETTINGS("n_components=2", TYPES[2]));

    CHECK_REFUSED_VALUE(diag, "precisions_cholesky", 4, 0,
                        "'precisions_cholesky': component 1, element 1 is 0, not positive");
    CHECK_REFUSED_VALUE(diag, "covariance_type", 0, 4, "'covariance_type' is 4, expected 0 to 3");
    CHECK_REFUSED_VALUE(diag, "covariance_type", 0, 1, "'covariances': dimension 0 is 2, expected 3");
    CHECK_REFUSED_VALUE(diag, "covariance_type", 0, 3,
                        "'covariances' has 2 dimensions, its covariance_type asks for 1");
    CHECK_REFUSED_SIZE(diag, "covariances", 1, 2, "'covariances': dimension");
    CHECK_OK(ml__learned_validate(diag, diag->learned, false));
    ml_model_free(diag);
    free(m.X);
}

/* ---- criteria, samples, selection ---- */

TEST(gmm_types, criteria_count_free_parameters)
{
    static const double N_PARAMETERS[] = {2 * 6 + 6 + 1, 6 + 6 + 1, 2 * 3 + 6 + 1, 2 + 6 + 1};
    matrix m = blobs(80, 3, 2, 3, 5);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=2", TYPES[t]));
        double *L = score_samples(model, &m), sum = 0, bic, aic;
        for (size_t i = 0; i < m.n; i++)
            sum += L[i];
        CHECK_OK(ml_mixture_bic(model, data, &bic));
        CHECK_OK(ml_mixture_aic(model, data, &aic));
        CHECK_CLOSE(bic / (N_PARAMETERS[t] * log(80) - 2 * sum), 1, 1e-13);
        CHECK_CLOSE(aic / (N_PARAMETERS[t] * 2 - 2 * sum), 1, 1e-13);
        free(L);
        ml_model_free(model);
    }
    ml_model *scaler;
    double x;
    CHECK_OK(ml_model_create(NULL, "standard_scaler", &scaler));
    CHECK_FAILS(ml_mixture_bic(scaler, data, &x), ML_E_UNSUPPORTED, "a standard_scaler is not a gmm");
    CHECK_FAILS(ml_mixture_aic(NULL, data, &x), ML_E_ARGUMENT, "model is NULL");
    ml_model_free(scaler);
    scaler = unfitted(NULL, NULL);
    CHECK_FAILS(ml_mixture_bic(scaler, data, &x), ML_E_STATE, "not fitted");
    ml_model_free(scaler);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, samples_have_the_moments_of_the_mixture)
{
    enum { N = 20000 };
    matrix m = blobs(300, 2, 2, 3, 5);
    double *x = malloc(2 * N * sizeof *x), again[20];
    int32_t *of = malloc(N * sizeof *of);
    for (size_t i = 0; i < m.n; i++)
        m.X[2 * i] += 0.8 * m.X[2 * i + 1];

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=2", TYPES[t]));
        const double *pi = tensor(model, "weights", NULL), *mu = tensor(model, "means", NULL);
        const double *Sigma = tensor(model, "covariances", NULL);
        CHECK_OK(ml_mixture_sample(model, N, 9, x, 2 * N, of));
        CHECK_OK(ml_mixture_sample(model, 10, 9, again, 20, NULL));
        CHECK_SAME_BYTES(again, sizeof again, x, sizeof again);
        for (size_t c = 0; c < 2; c++) {
            double n = 0, sum[2] = {0}, products[3] = {0};
            for (size_t i = 0; i < N; i++) {
                const double a = x[2 * i] - mu[2 * c], b = x[2 * i + 1] - mu[2 * c + 1];
                if (of[i] != (int32_t)c)
                    continue;
                n++;
                sum[0] += a;
                sum[1] += b;
                products[0] += a * a;
                products[1] += a * b;
                products[2] += b * b;
            }
            const double want[4][3] = {{Sigma[4 * c % 8], Sigma[(4 * c + 1) % 8], Sigma[(4 * c + 3) % 8]},
                                       {Sigma[0], Sigma[1], Sigma[3]},
                                       {Sigma[2 * c % 4], 0, Sigma[(2 * c + 1) % 4]},
                                       {Sigma[c], 0, Sigma[c]}};
            CHECK_CLOSE(n / N, pi[c], 0.02);
            CHECK_CLOSE(sum[0] / n, 0, 0.1);
            CHECK_CLOSE(sum[1] / n, 0, 0.1);
            for (size_t e = 0; e < 3 && t < 1; e++)
                CHECK_CLOSE(products[e] / n, want[t][e], 0.15);
            CHECK_CLOSE(products[0] / n / want[t][0], 1, 0.08);
        }
        CHECK_FAILS(ml_mixture_sample(model, 10, 9, again, 19, NULL), ML_E_SHAPE,
                    "19 elements, 10 rows of 2 features are 20");
        ml_model_free(model);
    }
    free(x);
    free(of);
    free(m.X);
}

TEST(gmm_types, selection_finds_the_blobs)
{
    matrix m = blobs(400, 2, 4, 8, 3); /* four spheres of the same size */
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, SETTINGS("n_init=3")), *best;
    double scores[4 * 6], bic, least = INFINITY;
    ml_mixture_options options = {.struct_size = sizeof options, .max_components = 6};

    CHECK_OK(ml_mixture_select(model, data, &options, scores, 24, &best));
    CHECK(ml_model_width(best, ML_PREDICT_PROBA) == 4);
    CHECK_OK(ml_mixture_bic(best, data, &bic));
    for (size_t i = 0; i < 24; i++) {
        CHECK(isfinite(scores[i]));
        least = fmin(least, scores[i]);
    }
    CHECK(least == bic && !ml_model_is_fitted(model));
    for (size_t t = 0; t < 4; t++) /* for every type four are best */
        for (size_t k = 0; k < 6; k++)
            CHECK(scores[6 * t + 3] <= scores[6 * t + k]);
    ml_model_free(best);

    options.types = ML_MIXTURE_TIED;
    options.criterion = ML_MIXTURE_AIC;
    options.min_components = 2;
    options.max_components = 3;
    CHECK_OK(ml_mixture_select(model, data, &options, scores, 2, &best));
    CHECK(count(best, "covariance_type") == 1);
    CHECK(ml_model_width(best, ML_PREDICT_PROBA) == (scores[1] < scores[0] ? 3 : 2));
    ml_model_free(best);
    CHECK_FAILS(ml_mixture_select(model, data, &options, scores, 3, &best), ML_E_SHAPE, "scores has 3 elements");
    options.max_components = 1;
    CHECK_FAILS(ml_mixture_select(model, data, &options, NULL, 0, &best), ML_E_ARGUMENT, "max_components is 1");
    options.max_components = 3;
    options.types = 16;
    CHECK_FAILS(ml_mixture_select(model, data, &options, NULL, 0, &best), ML_E_ARGUMENT, "types is 16");
    CHECK(!best);
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, selection_goes_on_where_a_mixture_cannot_be_fitted)
{
    matrix m = make_matrix(3, 1);
    for (size_t i = 0; i < 3; i++)
        m.X[i] = (double)i * (double)i;
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, SETTINGS("reg_covar=0")), *best;
    const ml_mixture_options options = {.struct_size = sizeof options, .max_components = 5, .types = ML_MIXTURE_FULL};
    double scores[5];

    CHECK_OK(ml_mixture_select(model, data, &options, scores, 5, &best));
    CHECK(isfinite(scores[0]) && isnan(scores[3]) && isnan(scores[4])); /* four of three rows */
    ml_model_free(best);
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_types, selection_leaves_out_what_the_data_cannot_train)
{
    matrix m = blobs(60, 2, 2, 8, 3);
    double w[60], scores[4 * 6];
    m.X[5] = NAN;
    for (size_t i = 0; i < 60; i++)
        w[i] = i < 4; /* four rows count */
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, NULL), *best;
    ml_mixture_options options = {.struct_size = sizeof options, .max_components = 6};

    CHECK_OK(ml_mixture_select(model, data, &options, scores, 24, &best));
    for (size_t t = 0; t < 4; t++)
        for (size_t k = 0; k < 6; k++) /* tied and spherical ones refuse missing entries */
            CHECK(t % 2 ? isnan(scores[6 * t + k]) : isfinite(scores[6 * t + k]));
    ml_model_free(best);
    CHECK_OK(ml_dataset_set_weights(data, w, 60));
    CHECK_OK(ml_mixture_select(model, data, &options, scores, 24, &best));
    for (size_t t = 0; t < 4; t += 2)
        for (size_t k = 0; k < 6; k++)
            CHECK(k < 4 ? isfinite(scores[6 * t + k]) : isnan(scores[6 * t + k]));
    ml_model_free(best);
    /* more than n_components may be, and than there are rows */
    options = (ml_mixture_options){.struct_size = sizeof options, .min_components = 69999, .max_components = 70000};
    CHECK_FAILS(ml_mixture_select(model, data, &options, NULL, 0, &best), ML_E_NUMERIC, "no mixture of 69999 to 70000");
    options = (ml_mixture_options){.struct_size = sizeof options, .max_components = 70000, .types = ML_MIXTURE_FULL};
    double *table = malloc(70000 * sizeof *table);
    CHECK_OK(ml_mixture_select(model, data, &options, table, 70000, &best));
    for (size_t k = 0; k < 70000; k++)
        CHECK(k < 4 ? table[k] == scores[k] : isnan(table[k]));
    free(table);
    ml_model_free(best);
    options.max_components = 6;
    options.types = ML_MIXTURE_TIED;
    CHECK_FAILS(ml_mixture_select(model, data, &options, NULL, 0, &best), ML_E_NUMERIC,
                "no mixture of 1 to 6 components could be fitted");
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

static int32_t cancel_at_third(void *user, const ml_progress *p)
{
    (void)p;
    return ++*(int *)user == 3;
}

typedef struct {
    ml_model *model;
    ml_dataset *data;
    ml_mixture_options options;
} selection;

/* A selection that fails gives neither scores nor a model. */
static ml_status try_select(ml_context *context, void *argument)
{
    const selection *s = argument;
    double scores[4] = {-1, -1, -1, -1};
    ml_model *best;
    const ml_status st = ml_mixture_select(s->model, s->data, &s->options, scores, 4, &best);

    (void)context;
    CHECK(st == ML_OK ? best && isfinite(scores[0]) : !best && scores[0] == -1);
    ml_model_free(best);
    return st;
}

TEST(gmm_types, selection_may_be_cancelled_and_run_out_of_memory)
{
    matrix m = blobs(40, 2, 2, 5, 1);
    test_allocator a = {0};
    ml_context *context = test_context(&a, 1);
    int n_steps = 0;
    selection s = {unfitted(context, SETTINGS("max_iter=5")),
                   dataset(context, &m),
                   {.struct_size = sizeof s.options,
                    .max_components = 2,
                    .types = ML_MIXTURE_DIAG | ML_MIXTURE_TIED,
                    .monitor = cancel_at_third,
                    .monitor_user = &n_steps}};

    CHECK_FAILS(try_select(context, &s), ML_E_CANCELLED, "the monitor stopped");
    s.options.monitor = NULL;
    CHECK(test_failing_allocations(&a, context, "selection", try_select, &s) > 10);
    ml_model_free(s.model);
    ml_dataset_free(s.data);
    ml_context_free(context);
    CHECK(a.n_live == 0);
    free(m.X);
}
