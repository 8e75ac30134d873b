/* SPDX-License-Identifier: Apache-2.0 */
/* The kind kmeans: against scikit-learn, exact labels, weights, edges, refusals. */
#include "cluster_toys.h"

static ml_model *exactly_at(const double *rows, size_t k, size_t d)
{
    ml_model *model = started_at("kmeans", rows, k, d);

    set(model, "tol", "0");
    return model;
}

static int64_t n_iter_of(const ml_model *model)
{
    return *(const int64_t *)tensor_data(model, "n_iter");
}

/* The parameter centers_init gives the centres that `model` began with: the same bytes, whatever n_init is. */
static void check_given(const ml_model *model, const ml_dataset *data, const double *rows, size_t k, size_t d)
{
    static const char *const SAME[] = {"tol", "max_iter"};
    ml_model *given = new_model(NULL, "kmeans");
    char value[64];

    CHECK_OK(ml_model_set_int(given, "n_clusters", (int64_t)k));
    for (int s = 0; s < 2; s++) {
        CHECK_OK(ml_model_get_text(model, SAME[s], value, sizeof value, NULL));
        set(given, SAME[s], value);
    }
    set(given, "n_init", "7");
    give_reals(given, "centers_init", rows, k * d);
    CHECK_OK(ml_model_fit(given, data, NULL));
    CHECK_SAME_BYTES(reals_of(given, "cluster_centers"), k * d * sizeof *rows, reals_of(model, "cluster_centers"),
                     k * d * sizeof *rows);
    CHECK(reals_of(given, "inertia")[0] == reals_of(model, "inertia")[0]);
    CHECK(n_iter_of(given) == n_iter_of(model));
    ml_model_free(given);
}

/* The cluster of a row by the definition, ties to the lowest, and the square of its distance. */
static size_t nearest_to(const double *x, const double *centres, size_t k, size_t d, double *least)
{
    size_t nearest = 0;

    *least = INFINITY;
    for (size_t c = 0; c < k; c++) {
        double sum = 0;

        for (size_t j = 0; j < d; j++)
            sum += (x[j] - centres[c * d + j]) * (x[j] - centres[c * d + j]);
        if (sum < *least) {
            *least = sum;
            nearest = c;
        }
    }
    return nearest;
}

/* Labels by the definition: the distances from the rows as they came, ties to the lowest. */
static void check_labels(const ml_model *model, const double *x, size_t n, size_t d, size_t k)
{
    const double *centres = reals_of(model, "cluster_centers");
    ml_dataset *data = matrix(NULL, x, n, d);
    double *labels = malloc(n * sizeof *labels), *score = malloc(n * sizeof *score), inertia = 0;

    CHECK_OK(ml_model_predict(model, data, labels, n));
    CHECK_OK(ml_model_score_samples(model, data, score, n));
    for (size_t i = 0; i < n; i++) {
        double least;
        const size_t nearest = nearest_to(x + i * d, centres, k, d, &least);

        CHECK_MSG(labels[i] == (double)nearest, "row %zu: cluster %g, expected %zu", i, labels[i], nearest);
        CHECK(score[i] == -least);
        inertia += least;
    }
    CHECK_CLOSE(reals_of(model, "inertia")[0], inertia, 1e-12);
    free(labels);
    free(score);
    ml_dataset_free(data);
}

TEST(kmeans_kind, agrees_with_scikit_learn)
{
    static const struct {
        const char *table;
        size_t k;
        bool weighted;
        const char *tol, *max_iter;
        double far;
    } CASES[] = {{"iris", 3, false, "1e-4", "300", 0},   {"iris", 5, true, "0", "300", 0},
                 {"wine", 4, false, "0", "300", 0},      {"digits", 10, false, "0", "300", 0},
                 {"digits", 10, true, "1e-4", "300", 0}, {"boston", 6, false, "0", "3", 0},
                 {"iris", 4, false, "0", "300", 1000}};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("kmeans.txt"), &n_expected), *e = expected;

    for (int c = 0; c < 7; c++) {
        ml_dataset *table = test_table(NULL, CASES[c].table), *data;
        const size_t n = ml_dataset_n_rows(table), d = ml_dataset_n_features(table), k = CASES[c].k;
        double *x = rows_of(table), *start = malloc(k * d * sizeof *start), *labels = malloc(n * sizeof *labels);
        ml_model *model;

        data = matrix(NULL, x, n, d);
        for (size_t i = 0; i < k * d; i++)
            start[i] = x[i / d * (n / k) * d + i % d] + (i / d == k - 1 ? CASES[c].far : 0);
        if (CASES[c].weighted)
            set_weights(data, 0.5);
        model = exactly_at(start, k, d);
        set(model, "tol", CASES[c].tol);
        set(model, "max_iter", CASES[c].max_iter);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_CLOSE(reals_of(model, "inertia")[0], *e, 1e-10);
        CHECK_MSG(n_iter_of(model) == (int64_t)e[1], "case %d: %lld iterations, expected %g", c,
                  (long long)n_iter_of(model), e[1]);
        CHECK(ml_model_stop_reason(model) == (c == 5 ? ML_STOP_MAX_ITER : ML_STOP_CONVERGED));
        e += 2;
        for (size_t i = 0; i < k * d; i++)
            CHECK_CLOSE(reals_of(model, "cluster_centers")[i], e[i], 1e-11);
        e += k * d;
        CHECK_OK(ml_model_predict(model, data, labels, n));
        for (size_t i = 0; i < n; i++)
            CHECK_MSG(labels[i] == e[i], "case %d, row %zu", c, i);
        e += n;
        check_given(model, data, start, k, d);
        free(x);
        free(start);
        free(labels);
        ml_model_free(model);
        ml_dataset_free(table);
        ml_dataset_free(data);
    }
    CHECK(e == expected + n_expected);
    free(expected);
}

/* Many rows between two centres, far from 0, in both precisions and with distances that tie. */
TEST(kmeans_kind, labels_are_those_of_the_distances)
{
    enum { N = 3000, D = 5, K = 40 };
    static double x[N * D];
    static float single[N * D];

    for (double offset = 0; offset < 1e10; offset = offset * 1e3 + 1)
        for (int in_single = 0; in_single < 2; in_single++) {
            ml_model *model = new_model(NULL, "kmeans");
            ml_dataset *data;

            draw(x, N * D, 3, offset);
            for (size_t i = 0; i < N * D; i++)
                single[i] = (float)x[i];
            for (size_t i = 0; i < N * D && in_single; i++)
                x[i] = single[i];
            if (in_single)
                CHECK_OK(ml_dataset_from_matrix(NULL, single, ML_FLOAT32, N, D, 0, 0, ML_BORROW, &data));
            else
                data = matrix(NULL, x, N, D);
            set(model, "n_clusters", "40");
            set(model, "max_iter", "7");
            set(model, "tol", "0");
            CHECK_OK(ml_model_fit(model, data, NULL));
            CHECK(n_iter_of(model) <= 7 && n_iter_of(model) >= 1);
            check_labels(model, x, N, D, K);
            ml_model_free(model);
            ml_dataset_free(data);
        }
}

/* All rows lie where single precision cannot tell which of two centres is nearer; the first means tell where they went. */
TEST(kmeans_kind, what_single_precision_cannot_tell_is_decided_in_double)
{
    enum { N = 1001 };
    const double start[] = {0, 2};
    double x[N], sum[2] = {0}, n[2] = {0};
    ml_model *model = exactly_at(start, 2, 1);
    ml_dataset *data;

    for (int i = 0; i < N; i++) {
        const int to = (x[i] = 1 + (i * 7 % N - N / 2) * 0x1p-33) > 1; /* a tie goes to the first */

        sum[to] += x[i] - 1;
        n[to]++;
    }
    data = matrix(NULL, x, N, 1);
    set(model, "max_iter", "1");
    CHECK_OK(ml_model_fit(model, data, NULL));
    for (int c = 0; c < 2; c++)
        CHECK_CLOSE((reals_of(model, "cluster_centers")[c] - 1) * 0x1p33, sum[c] / n[c] * 0x1p33, 1e-5);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(kmeans_kind, centres_are_the_means_of_their_rows)
{
    enum { N = 2500, D = 3, K = 9 };
    static double x[N * D], w[N], labels[N];
    static const char *const INITS[] = {"k-means++", "random"};

    draw(x, N * D, 9, -50);
    for (size_t i = 0; i < N; i++)
        w[i] = (double)(i % 5);
    for (int c = 0; c < 4; c++) {
        ml_dataset *data = matrix(NULL, x, N, D);
        ml_model *model = new_model(NULL, "kmeans");

        if (c / 2)
            CHECK_OK(ml_dataset_set_weights(data, w, N));
        set(model, "n_clusters", "9");
        set(model, "tol", "0");
        set(model, "init", INITS[c % 2]);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
        CHECK_OK(ml_model_predict(model, data, labels, N));
        for (size_t k = 0; k < K; k++) {
            double W = 0, sum[D] = {0};

            for (size_t i = 0; i < N; i++)
                for (size_t j = 0; j < D && labels[i] == (double)k; j++) {
                    W += j ? 0 : c / 2 ? w[i] : 1;
                    sum[j] += (c / 2 ? w[i] : 1) * x[i * D + j];
                }
            CHECK(W > 0);
            for (size_t j = 0; j < D; j++)
                CHECK_CLOSE(reals_of(model, "cluster_centers")[k * D + j], sum[j] / W, 1e-13);
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(kmeans_kind, equal_weights_and_rows_of_weight_zero_do_not_count)
{
    const double x[] = {0, 1, 2, 99, 10, 11, 12}, w[] = {3, 3, 3, 0, 3, 3, 3}, start[] = {0, 12};
    ml_dataset *data = matrix(NULL, x, 7, 1);
    ml_model *model = exactly_at(start, 2, 1);

    CHECK_OK(ml_dataset_set_weights(data, w, 7));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(reals_of(model, "cluster_centers")[0] == 1 && reals_of(model, "cluster_centers")[1] == 11);
    CHECK(reals_of(model, "inertia")[0] == 12);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(kmeans_kind, transform_gives_distances)
{
    const double start[] = {0, 0, 3, 4}, x[] = {0, 0, 3, 4, 6, 8}, expected[] = {0, 5, 5, 0, 10, 5};
    double out[6];
    ml_model *model = centres_at(start, 2, 2);
    ml_dataset *data = matrix(NULL, x, 3, 2);

    CHECK_OK(ml_model_transform(model, data, out, 6));
    for (int i = 0; i < 6; i++)
        CHECK_CLOSE(out[i], expected[i], 1e-14);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(kmeans_kind, differences_whose_squares_vanish_are_compared)
{
    static const double UNITS[] = {1e-130, 1e-150, 1e-170, 1e-250, 1e-300};

    for (int u = 0; u < 5; u++) {
        const double x[] = {1 * UNITS[u], 1, 3 * UNITS[u], 1, 1 * UNITS[u], 1, 3 * UNITS[u], 1};
        ml_dataset *data = matrix(NULL, x, 4, 2);
        ml_model *model = new_model(NULL, "kmeans");
        double labels[4];

        set(model, "n_clusters", "2");
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_predict(model, data, labels, 4));
        for (int i = 0; i < 4; i++)
            CHECK_CLOSE(reals_of(model, "cluster_centers")[2 * (int)labels[i]] / x[2 * i], 1, 1e-12);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(kmeans_kind, inside_a_pipeline_it_predicts_clusters)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *pipe = new_model(NULL, "pipeline");
    double labels[150], seen[3] = {0};

    (void)add_member(pipe, "scale", "standard_scaler");
    CHECK_OK(ml_model_set_int(add_member(pipe, "cluster", "kmeans"), "n_clusters", 3));
    CHECK_OK(ml_model_fit(pipe, iris, NULL));
    CHECK(ml_model_width(pipe, ML_PREDICT) == 1);
    CHECK_OK(ml_model_predict(pipe, iris, labels, 150));
    for (int i = 0; i < 150; i++)
        seen[(int)labels[i]]++;
    CHECK(seen[0] > 20 && seen[1] > 20 && seen[2] > 20);
    ml_model_free(pipe);
    ml_dataset_free(iris);
}

/* ---- edges ---- */

TEST(kmeans_kind, more_clusters_than_distinct_points)
{
    static const char *const INITS[] = {"k-means++", "random"};
    const double x[] = {1, 1, 2, 2, 2, 1};
    ml_dataset *data = matrix(NULL, x, 6, 1);
    double labels[6];

    for (int i = 0; i < 2; i++) {
        ml_model *model = new_model(NULL, "kmeans");

        set(model, "n_clusters", "4");
        set(model, "init", INITS[i]);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(reals_of(model, "inertia")[0] == 0);
        CHECK_OK(ml_model_predict(model, data, labels, 6));
        CHECK(labels[0] == labels[1] && labels[2] == labels[3] && labels[0] != labels[2]);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

TEST(kmeans_kind, one_row_and_equal_rows)
{
    const double x[] = {7, -3, 7, -3, 7, -3};
    ml_dataset *one = matrix(NULL, x, 1, 2), *equal = matrix(NULL, x, 3, 2);
    ml_model *model = new_model(NULL, "kmeans");

    CHECK_FAILS(ml_model_fit(model, equal, NULL), ML_E_DATA, "n_clusters is 8, the data has 3 rows");
    set(model, "n_clusters", "1");
    CHECK_OK(ml_model_fit(model, one, NULL));
    CHECK(reals_of(model, "cluster_centers")[0] == 7 && reals_of(model, "cluster_centers")[1] == -3);
    set(model, "n_clusters", "3");
    CHECK_OK(ml_model_fit(model, equal, NULL));
    CHECK(reals_of(model, "inertia")[0] == 0 && reals_of(model, "cluster_centers")[5] == -3);
    ml_model_free(model);
    ml_dataset_free(one);
    ml_dataset_free(equal);
}

TEST(kmeans_kind, extreme_magnitudes_work_or_say_so)
{
    static const double UNITS[] = {1e150, 1, 1e-150, 1e-250};
    const double x[] = {1, 2, 3, 11, 12, 13}, start[] = {1, 13};
    double y[6], rows[2], labels[6], out[12];

    for (int u = 0; u < 4; u++) {
        ml_dataset *data;
        ml_model *model;

        for (int i = 0; i < 6; i++)
            y[i] = x[i] * UNITS[u];
        rows[0] = start[0] * UNITS[u];
        rows[1] = start[1] * UNITS[u];
        data = matrix(NULL, y, 6, 1);
        model = exactly_at(rows, 2, 1);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_CLOSE(reals_of(model, "cluster_centers")[1] / UNITS[u], 12, 1e-14);
        CHECK_OK(ml_model_predict(model, data, labels, 6));
        CHECK_OK(ml_model_transform(model, data, out, 12));
        for (int i = 0; i < 6; i++) {
            CHECK(labels[i] == i / 3);
            CHECK_CLOSE(out[2 * i] / UNITS[u], fabs(x[i] - 2), 1e-13);
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Weights near the ends of double, and how far apart they may be: only their ratios count. */
TEST(kmeans_kind, weights_of_any_size_give_the_same_clusters)
{
    enum { N = 60, D = 2 };
    static const double UNITS[] = {5e-324, 0x1p-1000, 0x1p-400, 0x1p400, 0x1p1000};
    double x[N * D], w[N];
    ml_model *first = NULL;

    draw(x, N * D, 3, 0);
    for (int u = -1; u < 5; u++) {
        ml_dataset *data = matrix(NULL, x, N, D);
        ml_model *model = new_model(NULL, "kmeans");
        const double unit = u < 0 ? 1 : UNITS[u];

        for (size_t i = 0; i < N; i++)
            w[i] = unit * (double)(1 + i % 3);
        CHECK_OK(ml_dataset_set_weights(data, w, N));
        set(model, "n_clusters", "3");
        CHECK_OK(ml_model_fit(model, data, NULL));
        first = first ? first : model;
        CHECK_SAME_BYTES(reals_of(model, "cluster_centers"), 3 * D * sizeof *x, reals_of(first, "cluster_centers"),
                         3 * D * sizeof *x);
        CHECK_CLOSE(reals_of(model, "inertia")[0] / unit / reals_of(first, "inertia")[0], 1, u ? 1e-15 : 0.1);
        if (model != first)
            ml_model_free(model);
        ml_dataset_free(data);
    }
    ml_model_free(first);
}

TEST(kmeans_kind, weights_that_are_too_heavy_or_far_apart)
{
    const double x[] = {1e9, 2e9, 8e9, 9e9}, heavy[] = {1e300, 2e300, 1e300, 3e300}, apart[] = {5e-324, 3, 1.7e308, 1};
    const double scaled[] = {1, 2, 8, 9};
    ml_dataset *data = matrix(NULL, x, 4, 1), *small = matrix(NULL, scaled, 4, 1);
    ml_model *model = new_model(NULL, "kmeans");

    set(model, "n_clusters", "2");
    CHECK_OK(ml_dataset_set_weights(data, heavy, 4));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "scale the features or the weights");
    CHECK_OK(ml_dataset_set_weights(small, heavy, 4));
    CHECK_OK(ml_model_fit(model, small, NULL));
    CHECK_CLOSE(fmin(reals_of(model, "cluster_centers")[0], reals_of(model, "cluster_centers")[1]), 5.0 / 3, 1e-15);
    CHECK_CLOSE(fmax(reals_of(model, "cluster_centers")[0], reals_of(model, "cluster_centers")[1]), 8.75, 1e-15);
    CHECK_OK(ml_dataset_set_weights(small, apart, 4));
    set(model, "n_clusters", "4");
    CHECK_OK(ml_model_fit(model, small, NULL)); /* each row its centre, however light */
    CHECK(reals_of(model, "inertia")[0] == 0);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(small);
}

TEST(kmeans_kind, given_centres_are_checked)
{
    const double x[] = {1, 2, 11, 12}, start[] = {2, 1};
    ml_dataset *data = matrix(NULL, x, 4, 1), *wide = matrix(NULL, x, 2, 2);
    ml_model *model = new_model(NULL, "kmeans"), *from = centres_at(start, 2, 1);

    set(model, "n_clusters", "2");
    set(model, "centers_init", "20,0"); /* in this order */
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(reals_of(model, "cluster_centers")[0] == 11.5 && reals_of(model, "cluster_centers")[1] == 1.5);
    CHECK_FAILS(ml_model_fit(model, wide, NULL), ML_E_PARAMETER,
                "kmeans: parameter 'centers_init' has 2 numbers, 2 clusters of 2 features take 4");
    CHECK_FAILS(ml_model_set_text(model, "centers_init", "1,nan"), ML_E_PARAMETER, "centers_init");
    CHECK_FAILS(ml_model_set_text(model, "centers_init", "1,inf"), ML_E_PARAMETER, "centers_init");
    CHECK_OK(ml_model_start_from(model, from)); /* goes before the parameter */
    set(model, "centers_init", "0,20,30");
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(reals_of(model, "cluster_centers")[0] == 11.5);
    CHECK_OK(ml_model_start_from(model, NULL));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'centers_init' has 3 numbers");
    set(model, "centers_init", "1e308,-1e308");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "kmeans: the centres are beyond the range of the rows");
    set(model, "centers_init", "");
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_model_free(model);
    ml_model_free(from);
    ml_dataset_free(data);
    ml_dataset_free(wide);
}

TEST(kmeans_kind, refusals)
{
    const double x[] = {1, 2, 3, 4}, spread[] = {-1.7e308, 1.7e308}, large[] = {1e200, 3e200};
    ml_dataset *data = matrix(NULL, x, 4, 1), *wide = matrix(NULL, x, 2, 2), *beyond = matrix(NULL, spread, 2, 1),
               *far = matrix(NULL, large, 2, 1);
    ml_model *model = new_model(NULL, "kmeans"), *from = centres_at(x, 2, 1),
             *scaler = fitted_model(NULL, "standard_scaler", data);

    set(model, "n_clusters", "2");
    set(model, "n_init", "0.5");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "n_init is a fraction");
    set(model, "n_init", "2");
    CHECK_FAILS(ml_model_start_from(model, scaler), ML_E_UNSUPPORTED, "standard_scaler");
    CHECK_OK(ml_model_start_from(model, from));
    CHECK_FAILS(ml_model_fit(model, wide, NULL), ML_E_SHAPE, "the data has 2 features, the model to begin with 1");
    set(model, "n_clusters", "3");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "n_clusters is 3, the model to begin with has 2");
    CHECK_OK(ml_model_start_from(model, NULL));
    set(model, "n_clusters", "1");
    CHECK_FAILS(ml_model_fit(model, beyond, NULL), ML_E_NUMERIC, "kmeans: the spread of feature 'x0' is beyond");
    CHECK_FAILS(ml_model_fit(model, far, NULL), ML_E_NUMERIC,
                "kmeans: 'inertia' is beyond double: 2 rows are 1e200 from their centres");
    ml_model_free(model);
    ml_model_free(from);
    ml_model_free(scaler);
    ml_dataset_free(data);
    ml_dataset_free(wide);
    ml_dataset_free(beyond);
    ml_dataset_free(far);
}

TEST(kmeans_kind, any_number_of_threads_gives_the_same_bytes)
{
    check_threads("kmeans", "digits", SETTINGS("n_clusters=10"));
}

/* With weights sums are doubles. */
static void *fit_drawn(ml_context *context, const void *weighted, size_t *n_bytes)
{
    return test_fitted_bytes(test_model(context, "kmeans", SETTINGS("n_clusters=20", "n_init=2")),
                             drawn_rows(context, *(const bool *)weighted), n_bytes);
}

TEST(kmeans_kind, threads_do_not_show_with_weights_either)
{
    test_any_threads("with weights", fit_drawn, &(bool){true});
    test_any_threads("without", fit_drawn, &(bool){false});
}

/* Bounds save passes over rows, not answers: a fit that ends after each number of iterations has the labels of the definition. */
TEST(kmeans_kind, every_iteration_has_the_nearest_centres)
{
    enum { N = 1200, D = 3, K = 15 };
    static double x[N * D];

    draw(x, N * D, 33, 0);
    for (int max_iter = 1; max_iter < 25; max_iter++) {
        ml_dataset *data = matrix(NULL, x, N, D);
        ml_model *model = exactly_at(x, K, D);

        CHECK_OK(ml_model_set_int(model, "max_iter", max_iter));
        CHECK_OK(ml_model_fit(model, data, NULL));
        check_labels(model, x, N, D, K);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* One iteration by the definition. */
static void iterate(const double *x, size_t n, size_t d, size_t k, double *centres)
{
    double *S = calloc(k * d, sizeof *S);
    size_t *count = calloc(k, sizeof *count);

    for (size_t i = 0; i < n; i++) {
        double least;
        const size_t nearest = nearest_to(x + i * d, centres, k, d, &least);

        count[nearest]++;
        for (size_t j = 0; j < d; j++)
            S[nearest * d + j] += x[i * d + j];
    }
    for (size_t c = 0; c < k; c++) {
        CHECK(count[c] > 0);
        for (size_t j = 0; j < d; j++)
            centres[c * d + j] = S[c * d + j] / (double)count[c];
    }
    free(S);
    free(count);
}

/* Clouds whose starting centres lie in half of them: some travel far while most stand still. */
TEST(kmeans_kind, centres_that_travel_far_do_not_hide)
{
    enum { N = 6000, D = 4, K = 40 };
    static double x[N * D], centres[K * D];

    draw(x, N * D, 71, 0);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++)
            x[i * D + j] += 5 * (double)((i % K * 7919 >> j * 3) % 5) * (i % 3 ? 1 : 0.8);
    for (size_t c = 0; c < K; c++)
        memcpy(centres + c * D, x + (c % (K / 2) + c / (K / 2) * K) * D, D * sizeof *x);
    for (int max_iter = 1; max_iter < 20; max_iter++) {
        ml_dataset *data = matrix(NULL, x, N, D);
        double first[K * D];
        ml_model *model;

        for (size_t c = 0; c < K; c++)
            memcpy(first + c * D, x + (c % (K / 2) + c / (K / 2) * K) * D, D * sizeof *x);
        model = exactly_at(first, K, D);
        CHECK_OK(ml_model_set_int(model, "max_iter", max_iter));
        CHECK_OK(ml_model_fit(model, data, NULL));
        iterate(x, N, D, K, centres);
        if (n_iter_of(model) == max_iter)
            for (size_t v = 0; v < K * D; v++)
                CHECK_CLOSE(reals_of(model, "cluster_centers")[v], centres[v], 1e-9);
        check_labels(model, x, N, D, K);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* A start out of all proportion: its step, once it has a row, is beyond single precision. */
TEST(kmeans_kind, centres_may_come_from_far_away)
{
    enum { N = 1100, D = 2, K = 17 };
    static const double FAR[] = {1e15, 1e25, 1e60};
    static double x[N * D];

    draw(x, N * D, 5, 0);
    for (size_t t = 0; t < sizeof FAR / sizeof *FAR; t++)
        for (int max_iter = 1; max_iter < 8; max_iter++) {
            ml_dataset *data = matrix(NULL, x, N, D);
            double first[K * D];
            ml_model *model;

            memcpy(first, x, sizeof first);
            first[3 * D] = FAR[t];
            first[8 * D + 1] = -FAR[t];
            model = exactly_at(first, K, D);
            CHECK_OK(ml_model_set_int(model, "max_iter", max_iter));
            CHECK_OK(ml_model_fit(model, data, NULL));
            check_labels(model, x, N, D, K);
            ml_model_free(model);
            ml_dataset_free(data);
        }
}

TEST(kmeans_kind, cancelled_it_keeps_what_it_had)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = fitted_model(NULL, "kmeans", iris);

    CHECK(test_cancelled_fits("kmeans", model, iris) >= 3);
    ml_model_free(model);
    ml_dataset_free(iris);
}
