/* SPDX-License-Identifier: Apache-2.0 */
/* Principal components: against scikit-learn, in parts, and at the edges. */
#include "helpers.h"
#include "learn/principal.h"

/* The first rows of a table, without its output. */
static ml_dataset *features_of(const char *name, size_t first, size_t n)
{
    ml_dataset *all = test_table(NULL, name), *data;
    const size_t d = ml_dataset_n_features(all);
    double *x = rows_of(all);

    data = matrix(NULL, x + first * d, n ? n : ml_dataset_n_rows(all) - first, d);
    free(x);
    ml_dataset_free(all);
    return data;
}

static const double *expect(const double *e, const double *got, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(got[i], e[i], tolerance);
    return e + n;
}

TEST(pca, agrees_with_scikit_learn)
{
    static const struct {
        const char *table;
        size_t n_rows;
        const char *n_components, *whiten;
    } CASES[] = {{"iris", 0, "all", "false"},   {"wine", 0, "3", "false"},    {"boston", 0, "5", "true"},
                 {"digits", 0, "0.9", "false"}, {"digits", 40, "10", "true"}, {"diabetes", 0, "mle", "false"},
                 {"iris", 20, "mle", "false"}};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("pca.txt"), &n_expected);
    const double *e = expected;

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_dataset *data = features_of(CASES[c].table, 0, CASES[c].n_rows), *rows = features_of(CASES[c].table, 5, 3);
        const size_t d = ml_dataset_n_features(data);
        ml_model *pca = new_model(NULL, "pca");
        double *out = malloc(3 * d * sizeof *out), *back = malloc(3 * d * sizeof *back);
        size_t k;

        set(pca, "n_components", CASES[c].n_components);
        set(pca, "whiten", CASES[c].whiten);
        CHECK_OK(ml_model_fit(pca, data, NULL));
        k = ml_model_width(pca, ML_TRANSFORM);
        CHECK((double)k == *e++);
        e = expect(e, reals_of(pca, "components"), k * d, 1e-9);
        e = expect(e, reals_of(pca, "mean"), d, 1e-13);
        e = expect(e, reals_of(pca, "explained_variance"), k, 1e-11);
        e = expect(e, reals_of(pca, "explained_variance_ratio"), k, 1e-12);
        e = expect(e, reals_of(pca, "singular_values"), k, 1e-10);
        e = expect(e, reals_of(pca, "noise_variance"), 1, 1e-11);
        CHECK_OK(ml_model_transform(pca, rows, out, 3 * k));
        e = expect(e, out, 3 * k, 1e-8);
        CHECK_OK(ml_model_inverse_transform(pca, out, 3, k, back, 3 * d));
        e = expect(e, back, 3 * d, 1e-9);
        CHECK_OK(ml_model_score_samples(pca, rows, out, 3));
        e = expect(e, out, 3, 1e-8);
        free(out);
        free(back);
        ml_model_free(pca);
        ml_dataset_free(data);
        ml_dataset_free(rows);
    }
    CHECK(e == expected + n_expected);
    free(expected);
}

/* The two routes of as many rows as features, and few components of many. */
TEST(pca, routes_agree)
{
    enum { D = 300, K = 6 };
    static double x[(D + 1) * D];
    ml_model *routes[3];
    ml_dataset *data;
    uint64_t state = 5;

    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (double)(state >> 40) / 16777216.0 * (i % D < 8 ? 10.0 + (double)(i % D) : 1);
    }
    data = matrix(NULL, x, D - 1, D); /* fewer rows than features: Gram, unless the scatter matrix is kept */
    for (int r = 0; r < 3; r++) {
        routes[r] = new_model(NULL, "pca");
        set(routes[r], "n_components", "6");
        set(routes[r], "svd_solver", r == 0 ? "auto" : "full");
        set(routes[r], "incremental", r == 2 ? "true" : "false");
        CHECK_OK(ml_model_fit(routes[r], data, NULL));
    }
    for (int r = 1; r < 3; r++) {
        (void)expect(reals_of(routes[0], "explained_variance"), reals_of(routes[r], "explained_variance"), K, 1e-12);
        (void)expect(reals_of(routes[0], "components"), reals_of(routes[r], "components"), K * D, 1e-7);
        (void)expect(reals_of(routes[0], "noise_variance"), reals_of(routes[r], "noise_variance"), 1, 1e-12);
    }
    for (int r = 0; r < 3; r++)
        ml_model_free(routes[r]);
    ml_dataset_free(data);
}

TEST(pca, likeliest_number_agrees_with_scikit_learn)
{
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("pca_likeliest.txt"), &n_expected);

    for (const double *e = expected; e < expected + n_expected;) {
        const double n = *e++;
        const size_t d = (size_t)*e++;
        ml__arena arena;
        size_t k;

        ml__arena_init(&arena, NULL);
        CHECK_OK(ml__principal_likeliest(&arena, d, e, n, &k));
        CHECK_MSG((double)k == e[d], "%g rows of %zu features: %zu components, expected %g", n, d, k, e[d]);
        e += d + 1;
        ml__arena_free(&arena);
    }
    free(expected);
}

/* ---- the randomized solver ---- */

/* Rows whose deviations along hidden directions fall by `decay` from one to the next. */
static double *decaying(size_t n, size_t d, size_t rank, double decay)
{
    double *x = calloc(n * d, sizeof *x), *direction = malloc(d * sizeof *direction);
    uint64_t state = 11;

    for (size_t c = 0; c < rank; c++) {
        for (size_t j = 0; j < d; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            direction[j] = (double)(state >> 40) / 16777216.0 - 0.5;
        }
        for (size_t i = 0; i < n; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            for (size_t j = 0; j < d; j++)
                x[i * d + j] += ((double)(state >> 40) / 16777216.0 - 0.5) * pow(decay, (double)c) * direction[j];
        }
    }
    free(direction);
    return x;
}

static ml_model *fitted_by(const char *solver, const char *iterated_power, const char *k, const ml_dataset *data)
{
    ml_model *pca = new_model(NULL, "pca");

    set(pca, "svd_solver", solver);
    set(pca, "iterated_power", iterated_power);
    set(pca, "n_components", k);
    CHECK_OK(ml_model_fit(pca, data, NULL));
    return pca;
}

/* The share of a direction beyond the 18 falls to 0.7^(10 (2 n_iter + 2)): nothing after 7 iterations; without any it is
 * 8e-4, of each of those beyond, and singular values are within 5 %, never above. */
TEST(pca, randomized_finds_what_full_finds_where_variances_fall)
{
    enum { K = 8 };
    static const struct {
        size_t n, d;
        double unit, offset;
        bool weighted;
    } CASES[] = {{200, 60, 1, 0, false},
                 {60, 200, 1, 0, true},
                 {150, 150, 1, 1e5, true},
                 {60, 200, 1e-150, 0, false},
                 {200, 60, 1e150, 0, false}};

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        const size_t n = CASES[c].n, d = CASES[c].d;
        double *x = decaying(n, d, 40, 0.7), *w = malloc(n * sizeof *w);
        const double *at_once, *slow, *fast;
        ml_dataset *data;
        ml_model *full, *power, *none;

        for (size_t i = 0; i < n * d; i++)
            x[i] = x[i] * CASES[c].unit + CASES[c].offset;
        for (size_t i = 0; i < n; i++)
            w[i] = CASES[c].weighted ? (double)(i % 3) : 1;
        data = matrix(NULL, x, n, d);
        CHECK_OK(ml_dataset_set_weights(data, w, n));
        full = fitted_by("full", "auto", "8", data);
        power = fitted_by("randomized", "7", "8", data);
        none = fitted_by("randomized", "0", "8", data);
        at_once = reals_of(full, "singular_values");
        slow = reals_of(power, "singular_values");
        fast = reals_of(none, "singular_values");
        for (int i = 0; i < K; i++) {
            CHECK_CLOSE(slow[i] / at_once[i], 1, 1e-9);
            CHECK(fast[i] <= at_once[i] * (1 + 1e-9));
            CHECK_CLOSE(fast[i] / at_once[i], 1, 0.05);
        }
        CHECK(memcmp(slow, fast, K * sizeof *slow) != 0);
        (void)expect(reals_of(full, "components"), reals_of(power, "components"), K * d, 1e-8);
        CHECK_CLOSE(reals_of(power, "noise_variance")[0] / reals_of(full, "noise_variance")[0], 1, 1e-7);
        ml_model_free(full);
        ml_model_free(power);
        ml_model_free(none);
        ml_dataset_free(data);
        free(x);
        free(w);
    }
}

/* Beside a large feature all directions that products give are nearly parallel. */
TEST(pca, randomized_finds_what_stands_beside_a_large_feature)
{
    enum { N = 120, D = 40, K = 5 };
    double *x = decaying(N, D, 20, 0.6);
    ml_dataset *data;
    ml_model *full, *pca;

    for (size_t i = 0; i < N; i++)
        x[i * D + 3] = 5e3 * (double)((i * 37) % 11 - 5.0);
    data = matrix(NULL, x, N, D);
    full = fitted_by("full", "auto", "5", data);
    pca = fitted_by("randomized", "auto", "5", data);
    for (int i = 0; i < K; i++)
        CHECK_CLOSE(reals_of(pca, "singular_values")[i] / reals_of(full, "singular_values")[i], 1, 1e-9);
    ml_model_free(full);
    ml_model_free(pca);
    ml_dataset_free(data);
    free(x);
}

/* All there is to find: as many directions as features, more than the rank. */
TEST(pca, randomized_and_rows_of_lower_rank)
{
    enum { N = 30, D = 12, RANK = 3 };
    double *x = decaying(N, D, RANK, 0.5);
    ml_dataset *data = matrix(NULL, x, N, D);
    ml_model *full = fitted_by("full", "auto", "all", data), *pca = fitted_by("randomized", "auto", "all", data);
    const double *V = reals_of(pca, "components"), *variance = reals_of(pca, "explained_variance");

    (void)expect(reals_of(full, "explained_variance"), variance, D, 1e-13);
    CHECK(variance[RANK - 1] > 0 && variance[RANK] == 0);
    for (int a = 0; a < D; a++)
        for (int b = 0; b <= a; b++) {
            double dot = 0;

            for (int j = 0; j < D; j++)
                dot += V[a * D + j] * V[b * D + j];
            CHECK_CLOSE(dot, a == b, 1e-13);
        }
    ml_model_free(full);
    ml_model_free(pca);
    ml_dataset_free(data);
    free(x);
}

/* The two solvers find the same variances, and directions that are orthonormal. */
static void check_randomized(const double *x, size_t n, size_t d, const char *k)
{
    ml_dataset *data = matrix(NULL, x, n, d);
    ml_model *full = fitted_by("full", "auto", k, data), *pca = fitted_by("randomized", "auto", k, data);
    const size_t n_components = ml_model_width(pca, ML_TRANSFORM);
    const double *V = reals_of(pca, "components"), *want = reals_of(full, "explained_variance");
    const double *got = reals_of(pca, "explained_variance");

    for (size_t a = 0; a < n_components; a++) {
        CHECK_CLOSE(got[a], want[a], 1e-12 * want[0]);
        for (size_t b = 0; b <= a; b++) {
            double dot = 0;

            for (size_t j = 0; j < d; j++)
                dot += V[a * d + j] * V[b * d + j];
            CHECK_CLOSE(dot, a == b, 1e-13);
        }
    }
    ml_model_free(full);
    ml_model_free(pca);
    ml_dataset_free(data);
}

/* Fewer directions in the data than the solver looks at. */
TEST(pca, randomized_counts_no_direction_twice)
{
    enum { N = 120, D = 40 };
    static const double multiples[] = {0, 0, 1, 1, 2, 2, 5, 5};
    double *x = calloc(N * D, sizeof *x), *some = decaying(5, D, 5, 0.9), *tall = decaying(N, 6, 4, 0.7);

    check_randomized(multiples, 4, 2, "1");
    check_randomized(multiples, 4, 2, "2");
    for (size_t i = 0; i < N; i++) { /* one-hot, then constant columns */
        x[i * 9 + i * i % 11 % 6] = 1;
        for (size_t j = 6; j < 9; j++)
            x[i * 9 + j] = 0.1 * (double)j;
    }
    check_randomized(x, N, 9, "4");
    check_randomized(x, N, 9, "9");
    for (size_t i = 0; i < N; i++) /* binary columns, repeated: in a table with more rows, and with more features */
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = (double)(i * 2654435761u >> (7 + j % 3) & 1);
    check_randomized(x, N, D, "3");
    check_randomized(x, N, D, "20");
    check_randomized(x, 30, D, "3");
    check_randomized(x, 30, D, "30");
    for (size_t i = 0; i < N; i++) /* rows, repeated */
        memcpy(x + i * D, some + i * i % 7 % 5 * D, D * sizeof *x);
    check_randomized(x, N, D, "3");
    check_randomized(x, N, D, "40");
    check_randomized(x, 30, D, "12");
    for (size_t i = 0; i < N; i++) /* constant columns beside others */
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = j % 7 == 3 ? tall[i * 6 + j / 7] : 1.0 / (double)(j + 1);
    check_randomized(x, N, D, "4");
    check_randomized(x, N, D, "15");
    free(x);
    free(some);
    free(tall);
}

/* Columns of a narrow table, some of them or each several times, in a table wide enough for products with random directions:
 * variances are those of the full solver for the narrow one, times the number of copies. */
TEST(pca, auto_finds_what_full_finds_in_tables_of_ones)
{
    enum { N = 1000, D = 1100 };
    static const struct {
        size_t n_columns, n_copies;
        bool one_hot;
        const char *k;
    } CASES[] = {{6, 1, true, "4"}, {1, D, false, "1"}, {3, 360, false, "3"}};
    double *wide = malloc(N * D * sizeof *wide), narrow[6 * N];

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        const size_t m = CASES[c].n_columns;
        const double *want, *share;
        ml_dataset *data, *few;
        ml_model *full, *pca;
        double sum = 0;

        memset(wide, 0, N * D * sizeof *wide);
        for (size_t i = 0; i < N; i++) {
            const size_t z = i * 2654435761u >> 7;

            for (size_t j = 0; j < m; j++)
                narrow[i * m + j] = (double)(CASES[c].one_hot ? z % 31 % m == j : z >> j & 1);
            for (size_t j = 0; j < m * CASES[c].n_copies; j++)
                wide[i * D + j] = narrow[i * m + j % m];
        }
        few = matrix(NULL, narrow, N, m);
        data = matrix(NULL, wide, N, D);
        full = fitted_by("full", "auto", CASES[c].k, few);
        pca = fitted_by("auto", "auto", CASES[c].k, data);
        want = reals_of(full, "explained_variance");
        share = reals_of(full, "explained_variance_ratio");
        for (size_t i = 0; i < ml_model_width(pca, ML_TRANSFORM); i++) {
            CHECK_CLOSE(reals_of(pca, "explained_variance")[i] / (double)CASES[c].n_copies / want[i], 1, 1e-11);
            CHECK_CLOSE(reals_of(pca, "explained_variance_ratio")[i], share[i], 1e-11);
            sum += reals_of(pca, "explained_variance_ratio")[i];
        }
        CHECK(sum <= 1 + 1e-12);
        ml_model_free(full);
        ml_model_free(pca);
        ml_dataset_free(data);
        ml_dataset_free(few);
    }
    free(wide);
}

TEST(pca, auto_is_randomized_for_few_components_of_many)
{
    enum { N = 1000, D = 1001 };
    double *x = decaying(N, D, 12, 0.8);
    ml_dataset *data = matrix(NULL, x, N, D);
    ml_model *a = fitted_by("auto", "auto", "6", data), *b = fitted_by("randomized", "auto", "6", data);

    CHECK(!memcmp(reals_of(a, "components"), reals_of(b, "components"), 6 * D * sizeof(double)));
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(data);
    free(x);
}

TEST(pca, solvers_that_do_not_go_with_what_is_asked_for_say_so)
{
    ml_dataset *iris = features_of("iris", 0, 0), *three = features_of("iris", 0, 3);
    ml_model *pca = new_model(NULL, "pca");

    set(pca, "svd_solver", "randomized");
    set(pca, "n_components", "0.9");
    CHECK_FAILS(ml_model_fit(pca, iris, NULL), ML_E_PARAMETER, "needs the number of components");
    set(pca, "n_components", "mle");
    CHECK_FAILS(ml_model_fit(pca, iris, NULL), ML_E_PARAMETER, "needs the number of components");
    set(pca, "n_components", "2");
    CHECK_FAILS(ml_model_partial_fit(pca, iris, NULL), ML_E_PARAMETER, "it cannot learn from parts");
    set(pca, "incremental", "true");
    CHECK_FAILS(ml_model_fit(pca, iris, NULL), ML_E_PARAMETER, "which incremental keeps");
    set(pca, "svd_solver", "full");
    set(pca, "n_components", "mle");
    CHECK_FAILS(ml_model_fit(pca, three, NULL), ML_E_DATA, "mle needs at least as many rows as features");
    CHECK_FAILS(ml_model_set_text(pca, "iterated_power", "0.5"), ML_E_PARAMETER, "iterated_power");
    ml_model_free(pca);
    ml_dataset_free(iris);
    ml_dataset_free(three);
}

/* What a fit decided stays, also in copies and files, whatever the parameter says afterwards. */
TEST(pca, whitening_is_that_of_the_fit)
{
    ml_dataset *iris = features_of("iris", 0, 0);

    for (int whitened = 0; whitened < 2; whitened++) {
        ml_model *pca = new_model(NULL, "pca"), *copy, *loaded;
        size_t n, n_bytes;
        double *before, *after;
        void *bytes;

        set(pca, "whiten", whitened ? "true" : "false");
        CHECK_OK(ml_model_fit(pca, iris, NULL));
        before = outputs_of(pca, iris, ML_TRANSFORM, &n);
        set(pca, "whiten", whitened ? "false" : "true");
        CHECK_OK(ml_model_clone(pca, &copy));
        bytes = test_saved(pca, &n_bytes);
        CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
        for (int m = 0; m < 3; m++) {
            after = outputs_of(m == 0 ? pca : m == 1 ? copy : loaded, iris, ML_TRANSFORM, &n);
            CHECK_SAME_BYTES(before, n * sizeof *before, after, n * sizeof *after);
            free(after);
        }
        free(before);
        free(bytes);
        ml_model_free(pca);
        ml_model_free(copy);
        ml_model_free(loaded);
    }
    ml_dataset_free(iris);
}

TEST(pca, parts_give_what_all_rows_give)
{
    static const size_t PARTS[] = {2, 1, 60, 300, 143};
    ml_dataset *all = features_of("boston", 0, 0);
    ml_model *at_once = fitted_model(NULL, "pca", all), *in_parts = new_model(NULL, "pca");
    size_t first = 0;

    CHECK_FAILS(ml_model_partial_fit(at_once, all, NULL), ML_E_STATE, "incremental");
    set(in_parts, "n_components", "2");
    for (int p = 0; p < 5; p++) {
        ml_dataset *part = features_of("boston", first, PARTS[p]);

        if (p == 4)
            set(in_parts, "n_components", "all");
        CHECK_OK(ml_model_partial_fit(in_parts, part, NULL));
        CHECK(reals_of(in_parts, "n_samples")[0] == (double)(first += PARTS[p]));
        ml_dataset_free(part);
    }
    CHECK(first == 506);
    (void)expect(reals_of(at_once, "mean"), reals_of(in_parts, "mean"), 13, 1e-13);
    (void)expect(reals_of(at_once, "explained_variance"), reals_of(in_parts, "explained_variance"), 13, 1e-12);
    (void)expect(reals_of(at_once, "components"), reals_of(in_parts, "components"), 13 * 13, 1e-9);
    ml_model_free(at_once);
    ml_model_free(in_parts);
    ml_dataset_free(all);
}

TEST(pca, a_weight_of_two_is_a_row_twice_but_for_the_divisor)
{
    const double x[] = {1, 2, 4, 1, 0, 5, 3, 3}, w[] = {2, 0, 1, 1}, twice[] = {1, 2, 1, 2, 0, 5, 3, 3};
    ml_dataset *a = matrix(NULL, x, 4, 2), *b = matrix(NULL, twice, 4, 2);
    ml_model *p, *q;

    CHECK_OK(ml_dataset_set_weights(a, w, 4));
    p = fitted_model(NULL, "pca", a);
    q = fitted_model(NULL, "pca", b);
    (void)expect(reals_of(q, "components"), reals_of(p, "components"), 4, 1e-14);
    (void)expect(reals_of(q, "explained_variance_ratio"), reals_of(p, "explained_variance_ratio"), 2, 1e-14);
    CHECK_CLOSE(reals_of(p, "explained_variance")[0] * 2 / 3, reals_of(q, "explained_variance")[0] * 3 / 4, 1e-13);
    ml_model_free(p);
    ml_model_free(q);
    ml_dataset_free(a);
    ml_dataset_free(b);
}

TEST(pca, rows_of_weight_zero_do_not_exist)
{
    const double x[] = {1e300, -1e300, 1, 2, 0, 5, 3, 3, -1e300, 1e300}, w[] = {0, 1, 1, 1, 0};
    ml_dataset *all = matrix(NULL, x, 5, 2), *some = matrix(NULL, x + 2, 3, 2);
    ml_model *p, *q = fitted_model(NULL, "pca", some);

    CHECK_OK(ml_dataset_set_weights(all, w, 5));
    p = fitted_model(NULL, "pca", all);
    (void)expect(reals_of(q, "explained_variance"), reals_of(p, "explained_variance"), 2, 1e-14);
    (void)expect(reals_of(q, "components"), reals_of(p, "components"), 4, 1e-14);
    ml_model_free(p);
    ml_model_free(q);
    ml_dataset_free(all);
    ml_dataset_free(some);
}

/* Sorted, so that rows that come first say nothing of the mean; and far from 0. */
TEST(pca, offsets_cost_no_digits)
{
    enum { N = 4000 };
    static double x[2 * N];
    ml_dataset *data;
    ml_model *pca;

    for (size_t i = 0; i < N; i++) {
        x[2 * i] = 1e9 + (double)i * ldexp(1, -10);
        x[2 * i + 1] = -1e9 + (i % 2 ? 1e-3 : 0);
    }
    data = matrix(NULL, x, N, 2);
    pca = fitted_model(NULL, "pca", data);
    CHECK_CLOSE(reals_of(pca, "explained_variance")[0] / (ldexp(1, -20) * N * (N + 1.0) / 12), 1, 1e-9);
    ml_model_free(pca);
    ml_dataset_free(data);
}

TEST(pca, degenerate_data)
{
    const double constant[] = {3, 1, 3, 2, 3, 4, 3, 7}, equal[] = {5, 6, 5, 6, 5, 6}, one[] = {1, 2};
    const double wide[] = {1, 0, 2, 5, 0, 0, 3, 3, 1, 1, 2, 2};
    const double *V;
    double z[4], dot = 0;
    ml_dataset *a = matrix(NULL, constant, 4, 2), *b = matrix(NULL, equal, 3, 2), *c = matrix(NULL, one, 1, 2),
               *d = matrix(NULL, wide, 2, 6);
    ml_model *pca = new_model(NULL, "pca");

    set(pca, "whiten", "true");
    CHECK_OK(ml_model_fit(pca, a, NULL));
    CHECK(reals_of(pca, "explained_variance")[1] == 0 && reals_of(pca, "mean")[0] == 3);
    CHECK(ml_model_width(pca, ML_SCORE_SAMPLES) == 0); /* no density */
    CHECK_OK(ml_model_fit(pca, b, NULL));
    CHECK(reals_of(pca, "explained_variance")[0] == 0 && reals_of(pca, "explained_variance_ratio")[0] == 0);
    CHECK_OK(ml_model_fit(pca, d, NULL)); /* the second of two components of two rows has no variance */
    V = reals_of(pca, "components");
    for (int j = 0; j < 6; j++)
        dot += V[j] * V[6 + j];
    CHECK_CLOSE(dot, 0, 1e-14);
    CHECK(reals_of(pca, "explained_variance")[1] == 0);
    CHECK_OK(ml_model_transform(pca, d, z, 4));
    CHECK(z[1] == 0 && z[3] == 0);
    CHECK_CLOSE(fabs(z[0]), sqrt(0.5), 1e-12);
    CHECK_FAILS(ml_model_fit(pca, c, NULL), ML_E_DATA, "the variance of one row is not defined");
    set(pca, "n_components", "3");
    CHECK_FAILS(ml_model_fit(pca, a, NULL), ML_E_DATA, "n_components is 3, 4 rows of 2 features have at most 2");
    ml_model_free(pca);
    ml_dataset_free(a);
    ml_dataset_free(b);
    ml_dataset_free(c);
    ml_dataset_free(d);
}

TEST(pca, extreme_magnitudes_work_or_say_so)
{
    static const double UNITS[] = {1e150, 1e-150};
    const double x[] = {1, 2, 3, 1, 5, 5, 2, 9}, huge[] = {1e200, -1e200, 3e200, 0};
    ml_dataset *plain = matrix(NULL, x, 4, 2), *bad = matrix(NULL, huge, 4, 1);
    ml_model *pca = fitted_model(NULL, "pca", plain), *scaled;

    for (int u = 0; u < 2; u++) {
        double y[8];
        ml_dataset *data;

        for (int i = 0; i < 8; i++)
            y[i] = x[i] * UNITS[u];
        data = matrix(NULL, y, 4, 2);
        scaled = fitted_model(NULL, "pca", data);
        (void)expect(reals_of(pca, "components"), reals_of(scaled, "components"), 4, 1e-9);
        CHECK_CLOSE(reals_of(scaled, "singular_values")[0] / UNITS[u], reals_of(pca, "singular_values")[0], 1e-9);
        ml_model_free(scaled);
        ml_dataset_free(data);
    }
    CHECK_FAILS(ml_model_fit(pca, bad, NULL), ML_E_NUMERIC, "scale the features");
    ml_model_free(pca);
    ml_dataset_free(plain);
    ml_dataset_free(bad);
}

/* The first variance, times the number of features, is beyond the range of double. */
TEST(pca, variances_near_the_largest_number_are_not_rounding)
{
    enum { N = 60, D = 20 };
    static const char *const SOLVERS[] = {"full", "randomized"};
    static double x[N * D], y[N * D];
    const int exponent = 505;
    ml_dataset *plain, *data;

    for (size_t i = 0; i < N * D; i++) {
        x[i] = (double)(i / D % 2) * 2 - 1 + 1e-3 * (double)(i * i % 17);
        y[i] = ldexp(x[i], exponent);
    }
    plain = matrix(NULL, x, N, D);
    data = matrix(NULL, y, N, D);
    for (int s = 0; s < 2; s++) {
        ml_model *want = fitted_by(SOLVERS[s], "auto", "2", plain), *got = fitted_by(SOLVERS[s], "auto", "2", data);
        const double *a = reals_of(want, "explained_variance"), *b = reals_of(got, "explained_variance");

        CHECK(isinf(b[0] * N * D));
        for (int i = 0; i < 2; i++)
            CHECK_CLOSE(ldexp(b[i], -2 * exponent) / a[i], 1, 1e-9);
        CHECK_CLOSE(ldexp(reals_of(got, "noise_variance")[0], -2 * exponent) / reals_of(want, "noise_variance")[0], 1,
                    1e-6);
        ml_model_free(want);
        ml_model_free(got);
    }
    ml_dataset_free(plain);
    ml_dataset_free(data);
}

/* The inverse of a variance is infinite, that of a deviation is not: p(s x) = p(x) / s^d. */
TEST(pca, densities_of_tiny_features)
{
    enum { N = 5, D = 3 };
    static const char *const N_COMPONENTS[] = {"1", "2", "3"};
    const double x[N * D] = {1, 2, 3, 1, 5, 5, 2, 9, 4, 7, 7, 0, 3, 1, 8};
    const int exponent = -515; /* 9e-156 */
    double y[N * D], want[N], got[N];
    ml_dataset *plain, *data;

    for (int i = 0; i < N * D; i++)
        y[i] = ldexp(x[i], exponent);
    plain = matrix(NULL, x, N, D);
    data = matrix(NULL, y, N, D);
    for (int k = 0; k < 3; k++) {
        ml_model *pca = fitted_by("full", "auto", N_COMPONENTS[k], plain);
        ml_model *tiny = fitted_by("full", "auto", N_COMPONENTS[k], data);

        CHECK(isinf(1 / reals_of(tiny, "explained_variance")[0]));
        CHECK_OK(ml_model_score_samples(pca, plain, want, N));
        CHECK_OK(ml_model_score_samples(tiny, data, got, N));
        for (int i = 0; i < N; i++)
            CHECK_CLOSE(got[i] + D * exponent * log(2), want[i], 1e-9);
        ml_model_free(pca);
        ml_model_free(tiny);
    }
    ml_dataset_free(plain);
    ml_dataset_free(data);
}

/* Squares beyond double: no density is infinite or no number, and the score is one. */
TEST(pca, densities_of_rows_far_away_are_finite)
{
    const double x[] = {0, 1, 2, 10, 4, 5, 7, 3}, far[] = {1e200, -1e200, 1e308, 1e308};
    double got[2], score;
    ml_dataset *data = matrix(NULL, x, 4, 2), *away = matrix(NULL, far, 2, 2);

    for (int k = 1; k <= 2; k++) {
        ml_model *pca = fitted_by("full", "auto", k == 1 ? "1" : "2", data);

        CHECK_OK(ml_model_score_samples(pca, away, got, 2));
        CHECK(isfinite(got[0]) && got[0] < -1e300 && isfinite(got[1]) && got[1] < -1e300);
        CHECK_OK(ml_model_score(pca, away, NULL, &score));
        CHECK(isfinite(score));
        ml_model_free(pca);
    }
    ml_dataset_free(data);
    ml_dataset_free(away);
}

/* Runs all tasks and counts the calls; the call fail_at fails. */
typedef struct host {
    size_t n_runs, fail_at;
} host;

static int32_t run_all(void *user, size_t n_tasks, void (*task)(void *, size_t), void *argument)
{
    host *h = user;

    for (size_t i = 0; i < n_tasks; i++)
        task(argument, i);
    return ++h->n_runs == h->fail_at;
}

TEST(pca, an_executor_that_fails_in_any_product_fails_the_fit)
{
    enum { N = 420, D = 400 };
    static const char *const SOLVERS[] = {"auto", "randomized"}; /* subspace iteration, and the sketch */
    host h = {0};
    const ml_context_options options = {.struct_size = sizeof options, .executor = {run_all, &h}};
    double *x = decaying(N, D, 30, 0.9);
    ml_context *context;
    ml_dataset *data;
    ml_model *pca;

    CHECK_OK(ml_context_create(&options, &context));
    data = matrix(context, x, N, D);
    pca = new_model(context, "pca");
    set(pca, "n_components", "12");
    for (int s = 0; s < 2; s++) {
        size_t n_runs;

        set(pca, "svd_solver", SOLVERS[s]);
        h = (host){0};
        CHECK_OK(ml_model_fit(pca, data, NULL));
        n_runs = h.n_runs;
        CHECK(n_runs >= 4);
        for (size_t at = 1; at <= n_runs; at++) {
            h = (host){0, at};
            CHECK_FAILS(ml_model_fit(pca, data, NULL), ML_E_EXECUTOR, "the executor returned 1");
        }
    }
    ml_model_free(pca);
    ml_dataset_free(data);
    ml_context_free(context);
    free(x);
}

TEST(pca, any_number_of_threads_gives_the_same_bytes)
{
    check_threads("pca", "digits", SETTINGS("n_components=20"));
    check_threads("pca", "digits", SETTINGS("svd_solver=randomized"));
}

typedef struct {
    const char *solver;
    size_t n, d;
} solver_case;

static void *fit_decaying(ml_context *context, const void *argument, size_t *n_bytes)
{
    const solver_case *c = argument;
    double *x = decaying(c->n, c->d, 30, 0.9);
    ml_dataset *data = matrix(context, x, c->n, c->d);

    free(x);
    return test_fitted_bytes(test_model(context, "pca", SETTINGS("n_components=12", "svd_solver", c->solver)), data,
                             n_bytes);
}

/* Products that threads share: of subspace iteration, and of the randomized solver with more rows and with more features. */
TEST(pca, solvers_give_the_same_bytes_for_any_number_of_threads)
{
    static const solver_case CASES[] = {{"auto", 420, 400}, {"randomized", 420, 400}, {"randomized", 300, 500}};

    for (int c = 0; c < 3; c++)
        test_any_threads(CASES[c].solver, fit_decaying, &CASES[c]);
}
