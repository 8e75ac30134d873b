/* SPDX-License-Identifier: Apache-2.0 */
/* The kind mini_batch_kmeans: steps against scikit-learn, quality, stopping, reassignment, edges, refusals. */
#include "cluster_toys.h"

static ml_model *new_mini_batch(const char *n_clusters)
{
    ml_model *model = new_model(NULL, "mini_batch_kmeans");

    set(model, "n_clusters", n_clusters);
    return model;
}

/* Its first centres given by the parameter. */
static ml_model *given_at(const double *rows, size_t k, size_t d)
{
    ml_model *model = new_model(NULL, "mini_batch_kmeans");

    CHECK_OK(ml_model_set_int(model, "n_clusters", (int64_t)k));
    give_reals(model, "centers_init", rows, k * d);
    return model;
}

static int64_t whole_of(const ml_model *model, const char *name)
{
    return *(const int64_t *)tensor_data(model, name);
}

static double inertia_of(const ml_model *model)
{
    return reals_of(model, "inertia")[0];
}

/* ---- against scikit-learn ---- */

TEST(mini_batch_kmeans, partial_fits_agree_with_scikit_learn)
{
    static const struct {
        const char *table;
        size_t k, batch;
        bool weighted;
    } CASES[] = {{"iris", 3, 30, false}, {"wine", 5, 50, true}, {"digits", 10, 200, false}, {"digits", 10, 1797, true}};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("mini_batch_kmeans.txt"), &n_expected), *e = expected;

    for (int run = 0; run < 8; run++) { /* each twice, by both ways to give centres */
        const int c = run / 2;
        ml_dataset *table = test_table(NULL, CASES[c].table);
        const size_t n = ml_dataset_n_rows(table), d = ml_dataset_n_features(table), k = CASES[c].k;
        double *x = rows_of(table), *w = malloc(n * sizeof *w), *start = malloc(k * d * sizeof *start);
        ml_model *model;

        for (size_t i = 0; i < n; i++)
            w[i] = CASES[c].weighted ? (double)(i % 4) * 0.5 + 0.5 : 1;
        for (size_t i = 0; i < k * d; i++)
            start[i] = x[i / d * (n / k) * d + i % d] + (double)(i % 7) / 100; /* nothing ties */
        model = run % 2 ? given_at(start, k, d) : started_at("mini_batch_kmeans", start, k, d);
        set(model, "reassignment_ratio", "0");
        for (size_t b = 0; b < n; b += CASES[c].batch) {
            const size_t n_rows = n - b < CASES[c].batch ? n - b : CASES[c].batch;
            ml_dataset *data = matrix(NULL, x + b * d, n_rows, d);

            if (CASES[c].weighted)
                CHECK_OK(ml_dataset_set_weights(data, w + b, n_rows));
            CHECK_OK(ml_model_partial_fit(model, data, NULL));
            ml_dataset_free(data);
        }
        CHECK(whole_of(model, "n_steps") == (int64_t)*e++);
        CHECK_CLOSE(inertia_of(model), *e, 1e-12 * *e);
        e++;
        for (size_t i = 0; i < k; i++)
            CHECK_CLOSE(reals_of(model, "counts")[i], *e++, 1e-12 * (double)n);
        for (size_t i = 0; i < k * d; i++, e++)
            CHECK_CLOSE(reals_of(model, "cluster_centers")[i], *e, 1e-12 * fmax(1, fabs(*e)));
        e -= run % 2 ? 0 : 2 + k + k * d;
        free(x);
        free(w);
        free(start);
        ml_model_free(model);
        ml_dataset_free(table);
    }
    CHECK(e + 3 == expected + n_expected);
    free(expected);
}

static uint64_t below(uint64_t *state, uint64_t bound)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 32) % bound;
}

/* As make_clusters.py makes them. */
static ml_dataset *blobs(void)
{
    enum { N = 5200, D = 16, K = 26 };
    static double x[N * D], centres[K * D];
    uint64_t state = 5;

    for (size_t v = 0; v < K * D; v++)
        centres[v] = (double)below(&state, 64);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++) {
            double sum = -120;
            for (int t = 0; t < 3; t++)
                sum += (double)below(&state, 81);
            x[i * D + j] = centres[i % K * D + j] + sum / 8;
        }
    return matrix(NULL, x, N, D);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

TEST(mini_batch_kmeans, inertia_is_no_worse_than_that_of_scikit_learn)
{
    enum { SEEDS = 10 };
    static const char *const K[] = {"10", "10", "26"}, *const BATCH[] = {"1024", "100", "256"};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("mini_batch_kmeans.txt"), &n_expected);

    for (int c = 0; c < 3; c++) {
        ml_dataset *data = c == 2 ? blobs() : test_table(NULL, "digits");
        double inertia[SEEDS];

        for (int seed = 0; seed < SEEDS; seed++) {
            ml_model *model = new_mini_batch(K[c]);

            set(model, "batch_size", BATCH[c]);
            set(model, "n_init", "3");
            CHECK_OK(ml_model_set_int(model, "random_state", seed));
            CHECK_OK(ml_model_fit(model, data, NULL));
            inertia[seed] = inertia_of(model);
            ml_model_free(model);
        }
        qsort(inertia, SEEDS, sizeof *inertia, by_value);
        CHECK_MSG((inertia[4] + inertia[5]) / 2 <= 1.001 * expected[n_expected - 3 + (size_t)c],
                  "case %d: median %.6g, scikit-learn's %.6g", c, (inertia[4] + inertia[5]) / 2,
                  expected[n_expected - 3 + (size_t)c]);
        ml_dataset_free(data);
    }
    free(expected);
}

/* ---- what it learned ---- */

/* Labels and inertia are those of the definition; the sum of minus the scores is the inertia. */
TEST(mini_batch_kmeans, inertia_labels_and_distances_go_with_the_centres)
{
    enum { N = 3000, D = 5, K = 12 };
    static double x[N * D], labels[N], score[N], distance[N * K];

    for (double offset = 0; offset < 1e10; offset = offset * 1e3 + 1) {
        ml_model *model = new_mini_batch("12");
        const double *centres;
        double inertia = 0;
        ml_dataset *data;

        draw(x, N * D, 3, offset);
        data = matrix(NULL, x, N, D);
        CHECK_OK(ml_model_fit(model, data, NULL));
        centres = reals_of(model, "cluster_centers");
        CHECK_OK(ml_model_predict(model, data, labels, N));
        CHECK_OK(ml_model_score_samples(model, data, score, N));
        CHECK_OK(ml_model_transform(model, data, distance, N * K));
        for (size_t i = 0; i < N; i++) {
            double least = INFINITY;
            size_t nearest = 0;

            for (size_t c = 0; c < K; c++) {
                double sum = 0;
                for (size_t j = 0; j < D; j++)
                    sum += (x[i * D + j] - centres[c * D + j]) * (x[i * D + j] - centres[c * D + j]);
                CHECK_CLOSE(distance[i * K + c], sqrt(sum), 1e-14 * fmax(1, sqrt(sum)));
                nearest = sum < least ? c : nearest;
                least = fmin(sum, least);
            }
            CHECK(labels[i] == (double)nearest);
            CHECK(score[i] == -least);
            inertia += least;
        }
        CHECK_CLOSE(inertia_of(model), inertia, 1e-12 * inertia);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* A step with all rows is one of Lloyd's. */
TEST(mini_batch_kmeans, the_first_step_gives_the_means_of_the_rows)
{
    const double x[] = {0, 1, 2, 99, 10, 11, 12}, w[] = {1, 1, 1, 0, 2, 1, 1}, start[] = {0, 12};
    ml_dataset *data = matrix(NULL, x, 7, 1);
    ml_model *model = started_at("mini_batch_kmeans", start, 2, 1);

    CHECK_OK(ml_dataset_set_weights(data, w, 7));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_CLOSE(reals_of(model, "cluster_centers")[0], 1, 1e-15);
    CHECK_CLOSE(reals_of(model, "cluster_centers")[1], 10.75, 1e-14);
    CHECK(reals_of(model, "counts")[0] == 3 && reals_of(model, "counts")[1] == 4);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Rows of weight 0 are as if absent: drawn numbers, and so all bytes, are those of the table without them. */
TEST(mini_batch_kmeans, rows_of_weight_zero_do_not_exist)
{
    enum { N = 600 };
    static double x[2 * N], w[N], left[2 * N], left_w[N];
    size_t n_left = 0, n_bytes[2];
    void *bytes[2];

    draw(x, 2 * N, 6, 0);
    for (size_t i = 0; i < N; i++) {
        w[i] = (double)(i % 3);
        if (i % 3 == 0)
            continue;
        memcpy(left + 2 * n_left, x + 2 * i, 2 * sizeof *x);
        left_w[n_left++] = w[i];
    }
    for (int t = 0; t < 2; t++) {
        ml_dataset *data = matrix(NULL, t ? left : x, t ? n_left : N, 2);
        ml_model *model = new_mini_batch("7");

        CHECK_OK(ml_dataset_set_weights(data, t ? left_w : w, t ? n_left : N));
        set(model, "batch_size", "50");
        set(model, "n_init", "2");
        CHECK_OK(ml_model_fit(model, data, NULL));
        bytes[t] = test_saved(model, &n_bytes[t]);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK_SAME_BYTES(bytes[0], n_bytes[0], bytes[1], n_bytes[1]);
    free(bytes[0]);
    free(bytes[1]);
}

TEST(mini_batch_kmeans, learning_on_goes_on_from_a_fit_and_from_a_file)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = new_mini_batch("3"), *loaded;
    size_t n, n_on[2];
    void *bytes, *on[2];
    int64_t n_steps;

    CHECK_OK(ml_model_fit(model, iris, NULL));
    n_steps = whole_of(model, "n_steps");
    bytes = test_saved(model, &n);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n, NULL, &loaded));
    for (int t = 0; t < 2; t++) {
        ml_model *m = t ? loaded : model;

        CHECK_OK(ml_model_partial_fit(m, iris, NULL));
        CHECK(whole_of(m, "n_steps") == n_steps + 1);
        on[t] = test_saved(m, &n_on[t]);
        ml_model_free(m);
    }
    CHECK_SAME_BYTES(on[0], n_on[0], on[1], n_on[1]);
    free(bytes);
    free(on[0]);
    free(on[1]);
    ml_dataset_free(iris);
}

/* ---- stopping ---- */

TEST(mini_batch_kmeans, it_stops_for_the_reasons_that_parameters_give)
{
    static const struct {
        const char *tol, *patience;
        int32_t reason;
        int64_t least, most; /* n_steps */
    } CASES[] = {{"0", "none", ML_STOP_MAX_ITER, 120, 120},
                 {"0", "1", ML_STOP_CONVERGED, 2, 119},
                 {"1e6", "none", ML_STOP_CONVERGED, 2, 2},
                 {"1e-9", "none", ML_STOP_MAX_ITER, 120, 120}};
    ml_dataset *data = blobs();

    for (int c = 0; c < 4; c++) {
        ml_model *model = new_mini_batch("26");

        set(model, "batch_size", "130");
        set(model, "max_iter", "3");
        set(model, "tol", CASES[c].tol);
        set(model, "max_no_improvement", CASES[c].patience);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(ml_model_stop_reason(model) == CASES[c].reason);
        CHECK_MSG(whole_of(model, "n_steps") >= CASES[c].least && whole_of(model, "n_steps") <= CASES[c].most,
                  "case %d: %lld steps", c, (long long)whole_of(model, "n_steps"));
        CHECK(whole_of(model, "n_iter") == (whole_of(model, "n_steps") * 130 + 5199) / 5200);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

/* ---- reassignment ---- */

TEST(mini_batch_kmeans, empty_clusters_move_to_rows_of_the_batch)
{
    const double x[] = {0, 1, 2, 3, 4, 50}, start[] = {2, 1000, 2000, 3000};
    ml_dataset *data = matrix(NULL, x, 6, 1);
    ml_model *model = started_at("mini_batch_kmeans", start, 4, 1);
    const double *centres;

    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    centres = reals_of(model, "cluster_centers");
    CHECK_CLOSE(centres[0], 10, 1e-14);
    for (int c = 1; c < 4; c++) {
        bool is_row = false;

        for (int i = 0; i < 6; i++)
            is_row = is_row || centres[c] == x[i];
        CHECK(is_row);
        CHECK(reals_of(model, "counts")[c] == 6);
    }
    CHECK(centres[1] != centres[2] && centres[1] != centres[3] && centres[2] != centres[3]);
    ml_model_free(model);
    model = started_at("mini_batch_kmeans", start, 4, 1);
    set(model, "reassignment_ratio", "0");
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK(reals_of(model, "cluster_centers")[3] == 3000 && reals_of(model, "counts")[3] == 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(mini_batch_kmeans, at_most_half_a_batch_of_clusters_moves_the_lightest_first)
{
    const double x[] = {0, 0, 0, 0, 6, 10, 10}, start[] = {0, 6, 10, 100, 200}, four[] = {0, 0, 0, 6};
    ml_dataset *data = matrix(NULL, x, 7, 1), *second = matrix(NULL, four, 4, 1);
    ml_model *model = started_at("mini_batch_kmeans", start, 5, 1);

    set(model, "reassignment_ratio", "0");
    CHECK_OK(ml_model_partial_fit(model, data, NULL)); /* counts 4 1 2 0 0 */
    set(model, "reassignment_ratio", "1");
    CHECK_OK(ml_model_partial_fit(model, second, NULL)); /* 7 2 2 0 0: of four light ones the two empty ones move */
    CHECK(reals_of(model, "cluster_centers")[1] == 6 && reals_of(model, "cluster_centers")[2] == 10);
    for (int c = 3; c < 5; c++) {
        CHECK(reals_of(model, "cluster_centers")[c] <= 6);
        CHECK(reals_of(model, "counts")[c] == 2);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(second);
}

/* ---- edges ---- */

TEST(mini_batch_kmeans, more_clusters_than_distinct_points)
{
    static const char *const INITS[] = {"k-means++", "random"};
    const double x[] = {1, 1, 2, 2, 2, 1};
    ml_dataset *data = matrix(NULL, x, 6, 1);
    double labels[6];

    for (int i = 0; i < 2; i++) {
        ml_model *model = new_mini_batch("4");

        set(model, "init", INITS[i]);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(inertia_of(model) == 0);
        CHECK_OK(ml_model_predict(model, data, labels, 6));
        CHECK(labels[0] == labels[1] && labels[2] == labels[3] && labels[0] != labels[2]);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

TEST(mini_batch_kmeans, one_row_and_equal_rows)
{
    const double x[] = {7, -3, 7, -3, 7, -3};
    ml_dataset *one = matrix(NULL, x, 1, 2), *equal = matrix(NULL, x, 3, 2);
    ml_model *model = new_mini_batch("1");

    CHECK_OK(ml_model_fit(model, one, NULL));
    CHECK(reals_of(model, "cluster_centers")[0] == 7 && reals_of(model, "cluster_centers")[1] == -3);
    set(model, "n_clusters", "3");
    CHECK_OK(ml_model_fit(model, equal, NULL));
    CHECK(inertia_of(model) == 0 && reals_of(model, "cluster_centers")[5] == -3);
    ml_model_free(model);
    ml_dataset_free(one);
    ml_dataset_free(equal);
}

TEST(mini_batch_kmeans, extreme_magnitudes_work_or_say_so)
{
    static const double UNITS[] = {1e150, 1, 1e-150, 1e-250};
    const double x[] = {1, 2, 3, 11, 12, 13}, start[] = {1, 13}, large[] = {1e200, 3e200};
    ml_dataset *data = matrix(NULL, large, 2, 1);
    ml_model *model = new_mini_batch("1");
    double y[6], rows[2], labels[6];

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC,
                "mini_batch_kmeans: 'inertia' is beyond double: 2 rows are ");
    CHECK_FAILS(ml_model_partial_fit(model, data, NULL), ML_E_NUMERIC, "2 rows are 1e200 from their centres");
    ml_model_free(model);
    ml_dataset_free(data);
    for (int u = 0; u < 4; u++) {
        for (int i = 0; i < 6; i++)
            y[i] = x[i] * UNITS[u];
        rows[0] = start[0] * UNITS[u];
        rows[1] = start[1] * UNITS[u];
        data = matrix(NULL, y, 6, 1);
        model = started_at("mini_batch_kmeans", rows, 2, 1);
        for (int on = 0; on < 2; on++) {
            CHECK_OK(on ? ml_model_partial_fit(model, data, NULL) : ml_model_fit(model, data, NULL));
            CHECK(fabs(reals_of(model, "cluster_centers")[1] / UNITS[u] - 12) < 1);
            CHECK_OK(ml_model_predict(model, data, labels, 6));
            for (int i = 0; i < 6; i++)
                CHECK(labels[i] == i / 3);
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Where the differences are small beside the values, or to some centres beside those to others. */
TEST(mini_batch_kmeans, differences_whose_squares_vanish_are_compared)
{
    static const double UNITS[] = {1e-130, 1e-150, 1e-170, 1e-250, 1e-300}, OFFSETS[] = {0, 1, 1e200};

    for (int u = 0; u < 5; u++)
        for (int o = 0; o < 3; o++) {
            const double a = UNITS[u], b = OFFSETS[o];
            const double start[] = {a, b, 3 * a, b, 1, b}, x[] = {3 * a, b, 1.25 * a, b, 2.5 * a, b, 0.75, b};
            const double nearest[] = {3 * a, a, 3 * a, 1};
            double labels[4], distances[12];
            ml_model *model = new_mini_batch("3");
            ml_dataset *at = matrix(NULL, start, 3, 2), *data = matrix(NULL, x, 4, 2);
            const double *C;

            set(model, "init", "random");
            CHECK_OK(ml_model_partial_fit(model, at, NULL)); /* leaves the centres at these rows */
            C = reals_of(model, "cluster_centers");
            CHECK_OK(ml_model_predict(model, data, labels, 4));
            CHECK_OK(ml_model_transform(model, data, distances, 12));
            for (int i = 0; i < 4; i++) {
                CHECK(C[2 * (int)labels[i]] == nearest[i]);
                for (int c = 0; c < 3; c++)
                    CHECK_CLOSE(distances[3 * i + c] / a, fabs(x[2 * i] - C[2 * c]) / a, 1e-12);
            }
            ml_model_free(model);
            ml_dataset_free(data);
            ml_dataset_free(at);
        }
}

/* Rows of a later call may lie far beyond those of the first, from which the unit of squares comes. */
TEST(mini_batch_kmeans, learning_on_from_rows_far_beyond)
{
    const double small[] = {1e-100, 2e-100, 1e-100, 2e-100}, large[] = {1e60, 3e60, 1e60, 3e60};
    const double beyond[] = {1e200, 3e200, 1e200, 3e200};
    ml_dataset *data[] = {matrix(NULL, small, 4, 1), matrix(NULL, large, 4, 1), matrix(NULL, beyond, 4, 1)};
    ml_model *model = new_mini_batch("1");

    CHECK_OK(ml_model_partial_fit(model, data[0], NULL));
    CHECK_CLOSE(inertia_of(model) / 1e-200, 1, 1e-12);
    CHECK_OK(ml_model_partial_fit(model, data[1], NULL));
    CHECK_CLOSE(reals_of(model, "cluster_centers")[0] / 1e60, 1, 1e-14);
    CHECK_CLOSE(inertia_of(model) / 1e120, 8, 1e-12);
    CHECK_FAILS(ml_model_partial_fit(model, data[2], NULL), ML_E_NUMERIC, "4 rows are 1.66666");
    CHECK_CLOSE(inertia_of(model) / 1e120, 8, 1e-12);
    ml_model_free(model);
    for (int i = 0; i < 3; i++)
        ml_dataset_free(data[i]);
}

/* Fits begin with given centres, once, whatever n_init is. */
TEST(mini_batch_kmeans, given_centres_begin_a_fit)
{
    const double x[] = {1, 2, 3, 4}, start[] = {3, 1, 2, 2, 7, 5, 3, 1};
    ml_dataset *iris = test_table(NULL, "iris"), *data = matrix(NULL, x, 4, 1);
    ml_model *by_model = started_at("mini_batch_kmeans", start, 2, 4), *by_parameter = given_at(start, 2, 4);

    set(by_parameter, "n_init", "5");
    CHECK_OK(ml_model_fit(by_model, iris, NULL));
    CHECK_OK(ml_model_fit(by_parameter, iris, NULL));
    CHECK_SAME_BYTES(reals_of(by_model, "cluster_centers"), sizeof start, reals_of(by_parameter, "cluster_centers"),
                     sizeof start);
    CHECK(reals_of(by_parameter, "cluster_centers")[3] < reals_of(by_parameter, "cluster_centers")[7]);
    CHECK_FAILS(ml_model_fit(by_parameter, data, NULL), ML_E_PARAMETER,
                "mini_batch_kmeans: parameter 'centers_init' has 8 numbers, 2 clusters of 1 features take 2");
    ml_model_free(by_model);
    ml_model_free(by_parameter);
    ml_dataset_free(iris);
    ml_dataset_free(data);
}

/* Only ratios of weights count, also of those that come in later parts. */
TEST(mini_batch_kmeans, weights_of_any_size_give_the_same_clusters)
{
    enum { N = 60, D = 2 };
    static const double UNITS[] = {1, 5e-324, 0x1p-1000, 0x1p-400, 0x1p400, 0x1p1000};
    double x[N * D], w[N], centres[2][3 * D], counts[3];

    draw(x, N * D, 3, 0);
    for (int u = 0; u < 6; u++) {
        ml_dataset *data = matrix(NULL, x, N, D);
        ml_model *model = new_mini_batch("3"), *parts = new_mini_batch("3");

        for (size_t i = 0; i < N; i++)
            w[i] = UNITS[u] * (double)(1 + i % 3);
        CHECK_OK(ml_dataset_set_weights(data, w, N));
        CHECK_OK(ml_model_fit(model, data, NULL));
        for (int part = 0; part < 3; part++)
            CHECK_OK(ml_model_partial_fit(parts, data, NULL));
        if (u == 0) {
            memcpy(centres[0], reals_of(model, "cluster_centers"), sizeof centres[0]);
            memcpy(centres[1], reals_of(parts, "cluster_centers"), sizeof centres[1]);
            memcpy(counts, reals_of(parts, "counts"), sizeof counts);
        }
        CHECK_SAME_BYTES(reals_of(model, "cluster_centers"), sizeof centres[0], centres[0], sizeof centres[0]);
        CHECK_SAME_BYTES(reals_of(parts, "cluster_centers"), sizeof centres[1], centres[1], sizeof centres[1]);
        for (int c = 0; c < 3; c++)
            CHECK(reals_of(parts, "counts")[c] == counts[c] * UNITS[u]);
        ml_model_free(model);
        ml_model_free(parts);
        ml_dataset_free(data);
    }
}

/* Rows that weigh next to nothing after rows that weigh 1 move nothing, and lose nothing. */
TEST(mini_batch_kmeans, weights_far_from_those_before)
{
    const double x[] = {1, 2, 8, 9}, ones[] = {1, 1, 1, 2}, tiny[] = {5e-324, 1e-323, 5e-324, 5e-324},
                 heavy[] = {1e300, 3e300, 1e300, 1e300};
    ml_dataset *data = matrix(NULL, x, 4, 1);
    ml_model *model = given_at((const double[]){0, 10}, 2, 1);

    CHECK_OK(ml_dataset_set_weights(data, ones, 4));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_OK(ml_dataset_set_weights(data, tiny, 4));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_CLOSE(reals_of(model, "cluster_centers")[0], 1.5, 1e-15);
    CHECK_CLOSE(reals_of(model, "cluster_centers")[1], 26.0 / 3, 1e-14);
    CHECK(reals_of(model, "counts")[0] == 2 && reals_of(model, "counts")[1] == 3);
    CHECK_OK(ml_dataset_set_weights(data, heavy, 4));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_CLOSE(reals_of(model, "cluster_centers")[0], 1.75, 1e-15);
    CHECK_CLOSE(reals_of(model, "cluster_centers")[1], 8.5, 1e-14);
    CHECK(reals_of(model, "counts")[0] == 4e300 && reals_of(model, "counts")[1] == 2e300);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(mini_batch_kmeans, refusals)
{
    const double x[] = {1, 2, 3, 4};
    ml_dataset *data = matrix(NULL, x, 4, 1), *wide = matrix(NULL, x, 2, 2);
    ml_model *model = new_mini_batch("5"), *from = centres_at(x, 2, 1),
             *scaler = fitted_model(NULL, "standard_scaler", data);

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "mini_batch_kmeans: n_clusters is 5, the data has 4 rows");
    CHECK_FAILS(ml_model_set_text(model, "n_init", "0.5"), ML_E_PARAMETER, "n_init");
    CHECK_FAILS(ml_model_set_text(model, "reassignment_ratio", "1.5"), ML_E_PARAMETER, "reassignment_ratio");
    set(model, "n_clusters", "2");
    CHECK_FAILS(ml_model_start_from(model, scaler), ML_E_UNSUPPORTED,
                "mini_batch_kmeans cannot begin with what standard_scaler has learned");
    CHECK_OK(ml_model_start_from(model, from));
    CHECK_FAILS(ml_model_fit(model, wide, NULL), ML_E_SHAPE, "the data has 2 features, the model to begin with 1");
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    set(model, "n_clusters", "3");
    CHECK_OK(ml_model_start_from(model, NULL));
    CHECK_FAILS(ml_model_partial_fit(model, data, NULL), ML_E_PARAMETER, "n_clusters is 3, what was learned has 2");
    ml_model_free(model);
    ml_model_free(from);
    ml_model_free(scaler);
    ml_dataset_free(data);
    ml_dataset_free(wide);
}

/* A kmeans may begin with its centres, and the other way round. */
TEST(mini_batch_kmeans, kmeans_begins_with_its_centres)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = new_mini_batch("4"), *kmeans = new_model(NULL, "kmeans");

    CHECK_OK(ml_model_fit(model, iris, NULL));
    set(kmeans, "n_clusters", "4");
    CHECK_OK(ml_model_start_from(kmeans, model));
    CHECK_OK(ml_model_fit(kmeans, iris, NULL));
    CHECK(inertia_of(kmeans) <= inertia_of(model));
    ml_model_free(model);
    ml_model_free(kmeans);
    ml_dataset_free(iris);
}

/* ---- threads, cancelling ---- */

static void *fit_drawn(ml_context *context, const void *weighted, size_t *n_bytes)
{
    ml_model *model =
        test_model(context, "mini_batch_kmeans", SETTINGS("n_clusters=200", "n_init=2", "batch_size=3000", "tol=1e-4"));
    ml_dataset *data = drawn_rows(context, *(const bool *)weighted);
    void *bytes;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    bytes = test_saved(model, n_bytes);
    ml_model_free(model);
    ml_dataset_free(data);
    return bytes;
}

TEST(mini_batch_kmeans, any_number_of_threads_gives_the_same_bytes)
{
    test_any_threads("with weights", fit_drawn, &(bool){true});
    test_any_threads("without", fit_drawn, &(bool){false});
}

TEST(mini_batch_kmeans, cancelled_it_keeps_what_it_had)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = new_mini_batch("3");

    set(model, "batch_size", "20");
    CHECK_OK(ml_model_fit(model, iris, NULL));
    CHECK(test_cancelled_fits("mini_batch_kmeans", model, iris) >= 3);
    ml_model_free(model);
    ml_dataset_free(iris);
}
