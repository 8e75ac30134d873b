/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

enum { N = 60, D = 3 };

/* A linear congruence; [0, 1). */
static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

/* t = 2 x0 - 3 x1 without noise; x2 is for nothing. Labels: t > 0. */
static ml_dataset *table(ml_context *context, bool labels)
{
    double x[N * D], t[N];
    int64_t y[N];
    uint64_t state = 11;
    ml_dataset *data;

    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = uniform(&state) - 0.5;
        t[i] = 2 * x[i * D] - 3 * x[i * D + 1];
        y[i] = t[i] > 0;
    }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    if (labels)
        CHECK_OK(ml_dataset_set_labels(data, "y", y, N, -1));
    else
        CHECK_OK(ml_dataset_set_targets(data, "t", t, N));
    return data;
}

static ml_model *fitted(ml_context *context, const char *kind, const ml_dataset *data)
{
    ml_model *model;

    CHECK_OK(ml_model_create(context, kind, &model));
    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

static double variance(const ml_dataset *data, size_t feature)
{
    double x[D], sum = 0, squares = 0;

    for (size_t i = 0; i < N; i++) {
        CHECK_OK(ml_dataset_row(data, i, x, D));
        sum += x[feature];
        squares += x[feature] * x[feature];
    }
    return squares / N - sum / N * (sum / N);
}

/* Over all orders p of the rows, the mean of (beta (x_i - x_p(i)))^2 is 2 beta^2 var(x). */
TEST(permutation, a_linear_model_loses_twice_the_variance_of_each_term)
{
    enum { REPEATS = 400 };
    static const double BETA[D] = {2, -3, 0};
    ml_dataset *data = table(NULL, false);
    ml_model *model = fitted(NULL, "linear_regression", data);
    double mean[D], std[D];

    CHECK_OK(ml_permutation_importance(model, data, "mse", REPEATS, 5, mean, std, D));
    for (size_t j = 0; j < D; j++) {
        const double want = 2 * BETA[j] * BETA[j] * variance(data, j);
        CHECK_MSG(fabs(mean[j] - want) <= 4 * std[j] / sqrt(REPEATS) + 1e-12, "feature %zu: %g, expected %g", j,
                  mean[j], want);
        CHECK(j == 2 || (std[j] > 0 && std[j] < 0.3 * want));
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Other shuffles, so as close as chance allows: 5 standard errors. */
TEST(permutation, importances_are_those_of_scikit_learn)
{
    enum { FEATURES = 10, REPEATS = 300 };
    static const char *const METRICS[] = {"r2", "mse"};
    size_t n_numbers;
    double *numbers = test_read_numbers(test_expected_path("permutation.txt"), &n_numbers), mean[FEATURES],
           std[FEATURES];
    ml_dataset *data = test_table(NULL, "diabetes");
    ml_model *model = fitted(NULL, "linear_regression", data);

    CHECK(n_numbers == 1 + 4 * FEATURES);
    for (int m = 0; m < 2; m++) {
        const double *want = numbers + 1 + 2 * m * FEATURES, *deviation = want + FEATURES;

        CHECK_OK(ml_permutation_importance(model, data, METRICS[m], REPEATS, 1, mean, std, FEATURES));
        for (size_t j = 0; j < FEATURES; j++) {
            CHECK_MSG(fabs(mean[j] - want[j]) <= 5 * deviation[j] * sqrt(1.0 / REPEATS + 1 / numbers[0]),
                      "%s, feature %zu: %g, expected %g", METRICS[m], j, mean[j], want[j]);
            CHECK_MSG(fabs(std[j] / deviation[j] - 1) <= 5 * sqrt(0.5 / REPEATS + 0.5 / numbers[0]),
                      "%s, feature %zu: deviation %g, expected %g", METRICS[m], j, std[j], deviation[j]);
        }
    }
    free(numbers);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Two rows keep their places or change them: every repeat loses nothing or (beta (x_0 - x_1))^2. */
TEST(permutation, two_rows_are_kept_or_exchanged)
{
    enum { REPEATS = 64 };
    static const double X[] = {1, 4}, T[] = {0, 6};
    ml_dataset *data;
    ml_model *model;
    double mean, std, share;

    CHECK_OK(ml_dataset_from_matrix(NULL, X, ML_FLOAT64, 2, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_targets(data, "t", T, 2));
    model = fitted(NULL, "decision_tree", data);
    CHECK_OK(ml_permutation_importance(model, data, "mse", REPEATS, 0, &mean, &std, 1));
    share = mean / 36;
    CHECK(share > 0.25 && share < 0.75 && REPEATS * share == floor(REPEATS * share));
    CHECK_CLOSE(std, 36 * sqrt(share * (1 - share)), 1e-14);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(permutation, a_feature_that_is_not_looked_at_has_exactly_0)
{
    static const char *const METRICS[] = {NULL, "accuracy", "log_loss", "f1_macro"};
    ml_dataset *data = table(NULL, true);
    ml_model *model;
    double mean[D], std[D];
    ml_tree_node root = {.struct_size = sizeof root};

    CHECK_OK(ml_model_create(NULL, "decision_tree", &model));
    CHECK_OK(ml_model_set_int(model, "max_depth", 1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_tree_node(model, 0, 0, &root));
    for (int m = 0; m < 4; m++) {
        CHECK_OK(ml_permutation_importance(model, data, METRICS[m], 7, 3, mean, std, D));
        for (size_t j = 0; j < D; j++)
            if ((int32_t)j == root.feature)
                CHECK(mean[j] > 0 && std[j] > 0);
            else
                CHECK(mean[j] == 0 && std[j] == 0);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

/* r2 = 1 - mse / var(t): what one loses the other gains, in the same shuffles. */
TEST(permutation, less_is_better_for_losses)
{
    ml_dataset *data = table(NULL, false);
    ml_model *model = fitted(NULL, "random_forest", data);
    double r2[D], mse[D], mae[D], t[N], sum = 0, squares = 0;

    CHECK_OK(ml_dataset_output(data, 0, t, N));
    for (size_t i = 0; i < N; i++) {
        sum += t[i];
        squares += t[i] * t[i];
    }
    CHECK_OK(ml_permutation_importance(model, data, NULL, 5, 1, r2, NULL, D));
    CHECK_OK(ml_permutation_importance(model, data, "mse", 5, 1, mse, NULL, D));
    CHECK_OK(ml_permutation_importance(model, data, "mae", 5, 1, mae, NULL, D));
    for (size_t j = 0; j < D; j++)
        CHECK_CLOSE(mse[j], r2[j] * (squares / N - sum / N * (sum / N)), 1e-12);
    CHECK(r2[1] > r2[0] && r2[0] > r2[2] && mae[1] > mae[0] && mae[0] > 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* The r-th shuffle of a feature depends on seed, feature and r only. */
TEST(permutation, repeats_can_be_added)
{
    ml_dataset *data = table(NULL, false);
    ml_model *model = fitted(NULL, "linear_regression", data);
    double one[D], two[D], other[D], std[D];

    CHECK_OK(ml_permutation_importance(model, data, "mse", 1, 9, one, std, D));
    CHECK(std[0] == 0 && std[1] == 0);
    CHECK_OK(ml_permutation_importance(model, data, "mse", 2, 9, two, std, D));
    CHECK_OK(ml_permutation_importance(model, data, "mse", 1, 10, other, NULL, D));
    for (size_t j = 0; j < 2; j++) {
        CHECK_CLOSE(fabs(two[j] - one[j]), std[j], 1e-14); /* of two numbers half their distance */
        CHECK(std[j] > 0 && one[j] != other[j]);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(permutation, a_pipeline_sees_missing_values_and_categories)
{
    static const char TEXT[] =
        "colour,size,y\nred,1,a\nblue,,b\nred,2,a\nblue,1,b\ngreen,2,b\nred,,a\nblue,3,b\nred,2,a\n";
    const ml_csv_options csv = {.struct_size = sizeof csv, .target = "y"};
    const char *const kinds[] = {"simple_imputer", "one_hot_encoder", "random_forest"};
    ml_dataset *data;
    ml_model *model, *step;
    double mean[2], std[2];

    CHECK_OK(ml_dataset_from_csv_memory(NULL, TEXT, sizeof TEXT - 1, NULL, &csv, &data));
    CHECK_OK(ml_model_create(NULL, "pipeline", &model));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(ml_model_create(NULL, kinds[i], &step));
        CHECK_OK(ml_model_add_member(model, kinds[i], step));
    }
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_permutation_importance(model, data, NULL, 20, 0, mean, std, 2));
    CHECK(mean[0] > 0.2 && mean[0] > 2 * fabs(mean[1]));
    ml_model_free(model);
    ml_dataset_free(data);
}

/* A density of two features that go together loses when one of them is shuffled. */
TEST(permutation, densities_are_scored_too)
{
    double x[N * 2], mean[2], std[2];
    uint64_t state = 3;
    ml_dataset *data;
    ml_model *model;

    for (size_t i = 0; i < N; i++) {
        x[2 * i] = uniform(&state);
        x[2 * i + 1] = x[2 * i] + 0.1 * uniform(&state);
    }
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, N, 2, 0, 0, ML_COPY, &data));
    model = fitted(NULL, "gmm", data);
    CHECK_OK(ml_permutation_importance(model, data, NULL, 5, 0, mean, std, 2));
    CHECK(mean[0] > 1 && mean[1] > 1);
    ml_model_free(model);
    ml_dataset_free(data);
}

static void *measure(ml_context *context, const void *unused, size_t *n_bytes)
{
    ml_dataset *data = table(context, true);
    ml_model *model = fitted(context, "random_forest", data);
    double *out = malloc(2 * D * sizeof *out);

    (void)unused;
    CHECK_OK(ml_permutation_importance(model, data, "log_loss", 3, 7, out, out + D, D));
    ml_model_free(model);
    ml_dataset_free(data);
    *n_bytes = 2 * D * sizeof *out;
    return out;
}

TEST(permutation, any_number_of_threads_gives_the_same_bytes)
{
    test_any_threads("importances", measure, NULL);
}

TEST(permutation, wrong_requests_are_refused)
{
    ml_dataset *data = table(NULL, true);
    ml_model *model = fitted(NULL, "decision_tree", data), *blank;
    double mean[D] = {-7, -7, -7};

    CHECK_OK(ml_model_create(NULL, "decision_tree", &blank));
    CHECK_FAILS(ml_permutation_importance(NULL, data, NULL, 1, 0, mean, NULL, D), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_permutation_importance(model, NULL, NULL, 1, 0, mean, NULL, D), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_permutation_importance(model, data, NULL, 1, 0, NULL, NULL, D), ML_E_ARGUMENT, "mean is NULL");
    CHECK_FAILS(ml_permutation_importance(model, data, NULL, 0, 0, mean, NULL, D), ML_E_ARGUMENT, "n_repeats is 0");
    CHECK_FAILS(ml_permutation_importance(blank, data, NULL, 1, 0, mean, NULL, D), ML_E_STATE, "is not fitted");
    CHECK_FAILS(ml_permutation_importance(model, data, NULL, 1, 0, mean, NULL, 2), ML_E_SHAPE,
                "room for 2 features, the model has 3");
    CHECK_FAILS(ml_permutation_importance(model, data, "luck", 1, 0, mean, NULL, D), ML_E_ARGUMENT, "no metric 'luck'");
    CHECK_FAILS(ml_permutation_importance(model, data, "mse", 1, 0, mean, NULL, D), ML_E_UNSUPPORTED,
                "the metric needs");
    CHECK(mean[0] == -7 && mean[2] == -7);
    ml_model_free(model);
    ml_model_free(blank);
    ml_dataset_free(data);
}

typedef struct {
    const ml_model *model;
    const ml_dataset *data;
} request;

static ml_status ask(ml_context *context, void *argument)
{
    const request *r = argument;
    double mean[D];

    (void)context;
    return ml_permutation_importance(r->model, r->data, NULL, 2, 0, mean, NULL, D);
}

TEST(permutation, every_failing_allocation_is_reported)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data = table(context, true);
    ml_model *model = fitted(context, "decision_tree", data);
    request r = {model, data};

    CHECK(test_failing_allocations(&allocator, context, "importances", ask, &r) >= 10);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
}
