/* SPDX-License-Identifier: Apache-2.0 */
/* Principal components at the edges of what doubles hold: variances that span many digits, offsets, tiny and huge numbers. */
#include "streamed_toys.h"

static ml_model *fitted_with(const char *const *settings, const ml_dataset *data)
{
    ml_model *pca = test_model(NULL, "pca", settings);

    CHECK_OK(ml_model_fit(pca, data, NULL));
    return pca;
}

/* As tests/reference/make_clusters.py makes them: whole numbers, of latent ones of which the first is `scale` times larger. */
static toy mixed(size_t n, size_t d, size_t m, double scale, uint64_t seed)
{
    toy t = {n, d, malloc(n * d * sizeof(double)), NULL};
    double *mix = malloc(d * m * sizeof *mix), *z = malloc(m * sizeof *z);

    for (size_t v = 0; v < d * m + n * m; v++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (v < d * m) {
            mix[v] = (double)((seed >> 32) % 7) - 3;
            continue;
        }
        z[v % m] = ((double)((seed >> 32) % 2001) - 1000) * (v % m == 0 ? scale : 1);
        for (size_t j = 0; j < d && v % m == m - 1; j++) {
            double *x = t.x + (v / m - d) * d + j;

            *x = 0;
            for (size_t l = 0; l < m; l++)
                *x += z[l] * mix[j * m + l];
        }
    }
    free(mix);
    free(z);
    return t;
}

/* Of a value that stands to the first: singular values are known to some eps of the first, as those of the reference; values of S
 * to some eps of the first, where that leaves more than half of their digits. */
static double tolerance(double first, double value)
{
    return 1e-12 + 1e-15 * (first < 1e8 * value ? first / value : sqrt(first / value));
}

TEST(pca_spread, agrees_with_scikit_learn)
{
    static const char *const SOLVERS[] = {"svd_solver=auto", "svd_solver=full", "svd_solver=randomized"};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("pca_spread.txt"), &n_expected);
    const double *e = expected;

    while (e < expected + n_expected) {
        const size_t n = (size_t)e[0], d = (size_t)e[1], m = (size_t)e[2], k = (size_t)e[4];
        toy t = mixed(n, d, m, e[3], n + d + k);
        ml_dataset *data = toy_in_memory(NULL, &t);
        char n_components[32];

        snprintf(n_components, sizeof n_components, "n_components=%zu", k);
        for (int s = 0; s < 3; s++) {
            ml_model *pca = fitted_with(SETTINGS(SOLVERS[s], n_components), data);
            const double *variance = reals_of(pca, "explained_variance"), noise = reals_of(pca, "noise_variance")[0];

            for (size_t i = 0; i < k; i++)
                CHECK_CLOSE(variance[i] / e[5 + i], 1, tolerance(e[5], e[5 + i]));
            if (k < (n < d ? n : d))
                CHECK_CLOSE(noise / e[5 + k], 1, tolerance(e[5], e[5 + k]));
            else
                CHECK(noise == 0);
            ml_model_free(pca);
        }
        ml_dataset_free(data);
        toy_free(&t);
        e += 6 + k;
    }
    free(expected);
}

/* Columns of the 8 x 8 Hadamard matrix: no means, no correlations, variances 8/7 times squares of scales. */
static toy hadamard(size_t d, const double *scales)
{
    toy t = {8, d, malloc(8 * d * sizeof(double)), NULL};

    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < d; j++) {
            const size_t bits = i & (j + 1);
            t.x[i * d + j] = ((bits ^ bits >> 1 ^ bits >> 2) & 1 ? -1 : 1) * scales[j];
        }
    return t;
}

TEST(pca_spread, variances_of_uncorrelated_features)
{
    static const double SCALES[] = {3e7, 1e12, 1, 0.5, 1e4};
    static const int ORDER[] = {1, 0, 4, 2, 3};
    static const char *const CHOICES[] = {"n_components=all", "n_components=mle", "incremental=true"};
    toy t = hadamard(5, SCALES);
    ml_dataset *data = toy_in_memory(NULL, &t);

    for (int c = 0; c < 3; c++) {
        ml_model *pca = fitted_with(SETTINGS(CHOICES[c]), data);
        const double *variance = reals_of(pca, "explained_variance"), *V = reals_of(pca, "components");
        const size_t k = ml_model_width(pca, ML_TRANSFORM);

        CHECK(k == 5 || c == 1);
        for (size_t i = 0; i < k; i++) {
            const double scale = SCALES[ORDER[i]];

            CHECK_CLOSE(variance[i] / (scale * scale * 8 / 7), 1, 1e-14);
            CHECK_CLOSE(V[i * 5 + (size_t)ORDER[i]], 1, 1e-14);
        }
        ml_model_free(pca);
    }
    ml_dataset_free(data);
    toy_free(&t);
}

/* The rows of parts are gone, but features on other scales keep their variances in the scatter matrix. */
TEST(pca_spread, parts_keep_features_of_other_scales)
{
    toy t = mixed(600, 4, 4, 1, 3);
    ml_dataset *all;
    ml_model *at_once, *in_parts = new_model(NULL, "pca");

    for (size_t i = 0; i < t.n; i++)
        t.x[i * 4 + 2] = t.x[i * 4 + 2] * 0x1p40 + t.x[i * 4];
    all = toy_in_memory(NULL, &t);
    at_once = fitted_with(SETTINGS("svd_solver=full"), all);
    for (size_t first = 0; first < t.n; first += 200) {
        ml_dataset *part = matrix(NULL, t.x + first * 4, 200, 4);

        CHECK_OK(ml_model_partial_fit(in_parts, part, NULL));
        ml_dataset_free(part);
    }
    for (int i = 0; i < 4; i++)
        CHECK_CLOSE(reals_of(in_parts, "explained_variance")[i] / reals_of(at_once, "explained_variance")[i], 1, 1e-12);
    for (int v = 0; v < 16; v++)
        CHECK_CLOSE(reals_of(in_parts, "components")[v], reals_of(at_once, "components")[v], 1e-9);
    ml_model_free(at_once);
    ml_model_free(in_parts);
    ml_dataset_free(all);
    toy_free(&t);
}

/* By the scatter matrix, with some and with more slots than one; by the Gram matrix; by random directions. */
TEST(pca_spread, streamed_rows_and_threads_give_the_same_bytes)
{
    static const struct {
        size_t n, d, m;
        const char *setting;
        bool weighted;
    } CASES[] = {{200, 5, 5, "svd_solver=full", false},
                 {5000, 12, 9, "n_components=0.9", true},
                 {3000, 300, 9, "n_components=7", false},
                 {40, 60, 9, "n_components=5", true},
                 {500, 40, 9, "svd_solver=randomized", false}};

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        toy t = mixed(CASES[c].n, CASES[c].d, CASES[c].m, 1e8, c);

        if (CASES[c].weighted)
            toy_weigh(&t, true, 3);
        toy_check("pca", SETTINGS(CASES[c].setting), &t, 1);
        toy_free(&t);
    }
}

TEST(pca_spread, failing_reads_fail_the_fit)
{
    toy t = mixed(6000, 3, 3, 1e8, 3);

    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++)
        toy_check_failures("pca", SETTINGS("svd_solver=full"), &t, n_threads);
    toy_free(&t);
}

/* ---- the density ---- */

/* ln N(x; 0, diag(s², σ², .. σ²)) of a row with elements ±s and ±1, σ² = 8/7: all terms but one are the same. */
TEST(pca_spread, densities_beside_a_large_component)
{
    for (double scale = 100; scale < 1e13; scale *= 100) {
        const double scales[] = {scale, 1, 1, 1, 1}, log_2pi = log(2 * acos(-1));
        const double want = -0.5 * (5 * log_2pi + 2 * log(scale) + 5 * log(8.0 / 7) + 5 * 7.0 / 8);
        toy t = hadamard(5, scales);
        ml_dataset *data = toy_in_memory(NULL, &t);
        ml_model *pca = fitted_with(SETTINGS("n_components=1"), data);
        double got[8];

        CHECK_OK(ml_model_score_samples(pca, data, got, 8));
        for (int i = 0; i < 8; i++)
            CHECK_CLOSE(got[i], want, 1e-12);
        ml_model_free(pca);
        ml_dataset_free(data);
        toy_free(&t);
    }
}

TEST(pca_spread, a_singular_covariance_has_no_density_and_says_so)
{
    const double x[] = {1, 2, 2, 4, 5, 10, 7, 14};
    ml_dataset *data = matrix(NULL, x, 4, 2);
    ml_model *pca = fitted_with(SETTINGS("n_components=all"), data);
    double out[4];

    CHECK(ml_model_width(pca, ML_SCORE_SAMPLES) == 0);
    CHECK_FAILS(ml_model_score_samples(pca, data, out, 4), ML_E_UNSUPPORTED,
                "pca does not offer score_samples: the covariance of the rows learned is singular");
    ml_model_free(pca);
    ml_dataset_free(data);
}

/* ---- parts ---- */

/* The mean of a part has 1e-7 beside an offset of 1e9; a spread of 1e-3 takes more. */
TEST(pca_spread, offsets_cost_parts_no_digits)
{
    enum { N = 500 };
    static const size_t PARTS[] = {2, 5, 50};
    toy t = toy_blobs(N, 2, 2, 8);
    ml_dataset *all;
    ml_model *at_once;

    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < 2; j++)
            t.x[i * 2 + j] = 1e9 + 1e-3 * t.x[i * 2 + j] + (i < N / 2 ? 0.02 * (double)j : 0);
    all = toy_in_memory(NULL, &t);
    at_once = fitted_with(SETTINGS("incremental=true"), all);
    for (int p = 0; p < 3; p++) {
        ml_model *in_parts = new_model(NULL, "pca");

        for (size_t first = 0; first < N; first += PARTS[p]) {
            ml_dataset *part = matrix(NULL, t.x + first * 2, PARTS[p], 2);
            ml_model *loaded;
            size_t n_bytes;
            void *bytes;

            CHECK_OK(ml_model_partial_fit(in_parts, part, NULL));
            bytes = test_saved(in_parts, &n_bytes);
            CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
            ml_model_free(in_parts);
            in_parts = loaded;
            free(bytes);
            ml_dataset_free(part);
        }
        for (int i = 0; i < 2; i++) {
            CHECK_CLOSE(reals_of(in_parts, "explained_variance")[i] / reals_of(at_once, "explained_variance")[i], 1,
                        1e-12);
            CHECK(reals_of(in_parts, "mean")[i] == reals_of(at_once, "mean")[i]);
        }
        ml_model_free(in_parts);
    }
    ml_model_free(at_once);
    ml_dataset_free(all);
    toy_free(&t);
}

/* Fewer rows than features: what rounding leaves of the mean is no component. */
TEST(pca_spread, offsets_cost_few_rows_no_digits)
{
    static const char *const SOLVERS[] = {"svd_solver=full", "svd_solver=randomized"};
    toy t = mixed(7, 12, 6, 1, 4);
    ml_dataset *near = toy_in_memory(NULL, &t), *far;

    for (size_t v = 0; v < t.n * t.d; v++)
        t.x[v] += 0x1p43;
    far = toy_in_memory(NULL, &t);
    for (int s = 0; s < 2; s++) {
        ml_model *want = fitted_with(SETTINGS(SOLVERS[s]), near), *got = fitted_with(SETTINGS(SOLVERS[s]), far);
        const double *a = reals_of(want, "explained_variance"), *b = reals_of(got, "explained_variance");

        for (int i = 0; i < 6; i++)
            CHECK_CLOSE(b[i] / a[i], 1, 1e-11);
        CHECK(a[6] == 0 && b[6] == 0);
        ml_model_free(want);
        ml_model_free(got);
    }
    ml_dataset_free(near);
    ml_dataset_free(far);
    toy_free(&t);
}

/* A part may have one row, also the first, and fewer than there are to be components. */
TEST(pca_spread, parts_may_be_of_one_row)
{
    toy t = mixed(30, 4, 4, 1, 5);
    ml_dataset *all = toy_in_memory(NULL, &t);
    ml_model *at_once = fitted_with(SETTINGS("n_components=3"), all);
    ml_model *in_parts = test_model(NULL, "pca", SETTINGS("n_components=3"));

    for (size_t i = 0; i < t.n; i++) {
        ml_dataset *part = matrix(NULL, t.x + i * 4, 1, 4);
        double z[3] = {1, 1, 1};

        CHECK_OK(ml_model_partial_fit(in_parts, part, NULL));
        CHECK(ml_model_width(in_parts, ML_TRANSFORM) == (i < 3 ? i + 1 : 3));
        CHECK(i > 0 || reals_of(in_parts, "explained_variance")[0] == 0);
        CHECK_OK(ml_model_transform(in_parts, part, z, i < 3 ? i + 1 : 3));
        CHECK(i > 0 || z[0] == 0);
        ml_dataset_free(part);
    }
    for (int i = 0; i < 3; i++)
        CHECK_CLOSE(reals_of(in_parts, "explained_variance")[i] / reals_of(at_once, "explained_variance")[i], 1, 1e-12);
    CHECK_OK(ml_model_set_text(in_parts, "n_components", "5"));
    CHECK_FAILS(ml_model_partial_fit(in_parts, all, NULL), ML_E_DATA, "n_components is 5");
    ml_model_free(at_once);
    ml_model_free(in_parts);
    ml_dataset_free(all);
    toy_free(&t);
}

/* ---- the range of double ---- */

TEST(pca_spread, coordinates_beyond_double_are_refused)
{
    const double x[] = {0, 0, 2, 2.5, 4, 3.5, 7, 7}, far[] = {1.7e308, 1.7e308}, coordinates[] = {1.7e308, 1.7e308};
    ml_dataset *data = matrix(NULL, x, 4, 2), *away = matrix(NULL, far, 1, 2);
    ml_model *pca = fitted_with(SETTINGS("n_components=2"), data);
    double out[2];

    CHECK_FAILS(ml_model_transform(pca, away, out, 2), ML_E_NUMERIC, "pca: component");
    CHECK_FAILS(ml_model_inverse_transform(pca, coordinates, 1, 2, out, 2), ML_E_NUMERIC, "pca: feature 'x");
    ml_model_free(pca);
    ml_dataset_free(data);
    ml_dataset_free(away);
}

/* Squares that vanish: no directions come from that. */
TEST(pca_spread, squares_below_double_are_refused)
{
    static const double x[] = {1, 2, 3, 1, 5, 5, 2, 9};
    double tiny[8];
    ml_dataset *tall, *wide, *equal = matrix(NULL, (const double[]){1e-200, 0, 1e-200, 0}, 2, 2);
    ml_model *pca = new_model(NULL, "pca");

    for (int i = 0; i < 8; i++)
        tiny[i] = x[i] * 1e-165;
    tall = matrix(NULL, tiny, 4, 2);
    wide = matrix(NULL, tiny, 2, 4);
    CHECK_FAILS(ml_model_fit(pca, tall, NULL), ML_E_NUMERIC, "pca: the squares of the features are below double");
    CHECK_FAILS(ml_model_fit(pca, wide, NULL), ML_E_NUMERIC, "scale the features");
    CHECK_FAILS(ml_model_partial_fit(pca, tall, NULL), ML_E_NUMERIC, "row 0 of feature 'x0'");
    CHECK_OK(ml_model_fit(pca, equal, NULL)); /* where there is nothing to square */
    ml_model_free(pca);
    ml_dataset_free(tall);
    ml_dataset_free(wide);
    ml_dataset_free(equal);
}

/* Which is told with the kind and the feature. */
TEST(pca_spread, squares_beyond_double_are_refused)
{
    const double x[] = {0, 1e200, 2, -1e200, 4, 3e200, 7, 0};
    ml_dataset *data = matrix(NULL, x, 4, 2);
    ml_model *pca = new_model(NULL, "pca");

    CHECK_FAILS(ml_model_fit(pca, data, NULL), ML_E_NUMERIC, "pca: the squares of feature 'x1'");
    ml_model_free(pca);
    ml_dataset_free(data);
}

/* Only ratios of weights count, whatever they are. */
TEST(pca_spread, weights_may_be_tiny_or_huge)
{
    static const double UNITS[] = {5e-324, 1e-310, 1e300, 7};
    toy t = mixed(50, 3, 3, 1, 1), wide = mixed(5, 8, 5, 1, 1);
    toy *const TABLES[] = {&t, &wide};

    for (int c = 0; c < 2; c++) {
        ml_dataset *data = toy_in_memory(NULL, TABLES[c]);
        ml_model *plain = fitted_with(SETTINGS("n_components=3"), data), *pca;
        double w[50];

        for (int u = 0; u < 4; u++) {
            for (size_t i = 0; i < TABLES[c]->n; i++)
                w[i] = UNITS[u];
            CHECK_OK(ml_dataset_set_weights(data, w, TABLES[c]->n));
            pca = fitted_with(SETTINGS("n_components=3"), data);
            for (int i = 0; i < 3; i++)
                CHECK_CLOSE(reals_of(pca, "explained_variance")[i] / reals_of(plain, "explained_variance")[i], 1,
                            1e-13);
            CHECK_CLOSE(reals_of(pca, "sum_of_weights")[0] / ((double)TABLES[c]->n * UNITS[u]), 1, 1e-13);
            ml_model_free(pca);
        }
        ml_model_free(plain);
        ml_dataset_free(data);
    }
    toy_free(&t);
    toy_free(&wide);
}

/* Sums in the unit of the weights, which parts need, are then beyond double. */
TEST(pca_spread, parts_with_weights_beyond_double_say_so)
{
    static const double UNITS[] = {5e-324, 1e307};
    toy t = mixed(6, 3, 3, 1, 1);
    ml_dataset *data = toy_in_memory(NULL, &t);
    ml_model *pca = new_model(NULL, "pca");

    for (size_t v = 0; v < t.n * t.d; v++)
        t.x[v] *= 1e-3;
    for (int u = 0; u < 2; u++) {
        double w[6];
        ml_dataset *part = matrix(NULL, t.x, 6, 3);

        for (int i = 0; i < 6; i++)
            w[i] = UNITS[u];
        CHECK_OK(ml_dataset_set_weights(part, w, 6));
        CHECK_FAILS(ml_model_partial_fit(pca, part, NULL), ML_E_NUMERIC, "weights");
        ml_dataset_free(part);
    }
    ml_model_free(pca);
    ml_dataset_free(data);
    toy_free(&t);
}
