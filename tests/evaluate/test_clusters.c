/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of clusters against scikit-learn, against closed forms, and their refusals. */
#include "draws.h"
#include "test.h"

#include <float.h>
#include <stdint.h>

enum { MAX_ROWS = 66, MAX_FEATURES = 5 };

/* What tests/reference/make_clusters.py draws. */
typedef struct drawn {
    size_t n, d, K;
    double labels[MAX_ROWS], other[MAX_ROWS], x[MAX_ROWS * MAX_FEATURES];
} drawn;

static drawn draw(uint64_t seed)
{
    lcg g = {seed};
    drawn t = {0};

    t.n = 6 + below(&g, 60);
    t.d = 1 + below(&g, 5);
    t.K = 2 + below(&g, 4);
    for (size_t i = 0; i < t.n; i++)
        t.labels[i] = i < t.K ? (double)i : below(&g, (uint32_t)t.K);
    for (size_t i = 0; i < t.n; i++)
        t.other[i] = below(&g, 2) ? t.labels[i] : below(&g, 3);
    for (size_t i = 0; i < t.n; i++)
        for (size_t j = 0; j < t.d; j++)
            t.x[i * t.d + j] = 100 + below(&g, 40) / 8.0 + (j == 0 ? t.labels[i] : 0);
    return t;
}

/* Silhouette of the first and last row and of all, Davies-Bouldin, Calinski-Harabasz. */
static void judge(const drawn *t, const double *x, double out[5])
{
    double samples[MAX_ROWS];

    CHECK_OK(ml_metrics_silhouette(NULL, x, t->n, t->d, t->labels, t->K, &out[0], samples));
    out[1] = samples[0];
    out[2] = samples[t->n - 1];
    CHECK_OK(ml_metrics_davies_bouldin(NULL, x, t->n, t->d, t->labels, t->K, &out[3]));
    CHECK_OK(ml_metrics_calinski_harabasz(NULL, x, t->n, t->d, t->labels, t->K, &out[4]));
}

TEST(clusters, agree_with_scikit_learn)
{
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("metrics_clusters.txt"), &n_expected), *e = expected;

    CHECK(n_expected == 60 * 7);
    for (uint64_t seed = 0; seed < 60; seed++, e += 7) {
        const drawn t = draw(seed);
        double got[7];

        judge(&t, t.x, got);
        CHECK_OK(ml_metrics_adjusted_rand(NULL, t.labels, t.other, t.n, t.K, MAX_ROWS, &got[5]));
        CHECK_OK(ml_metrics_normalized_mutual_info(NULL, t.labels, t.other, t.n, t.K, MAX_ROWS, &got[6]));
        for (int i = 0; i < 7; i++)
            CHECK_CLOSE(got[i], e[i], 1e-9);
    }
    free(expected);
}

TEST(clusters, the_unit_of_the_rows_does_not_matter)
{
    static const double UNITS[] = {1e300, 1e150, 1e-150, 1e-300};
    const drawn t = draw(7);
    double x[MAX_ROWS * MAX_FEATURES], as_they_are[5], scaled[5];

    judge(&t, t.x, as_they_are);
    for (int u = 0; u < 4; u++) {
        for (size_t i = 0; i < t.n * t.d; i++)
            x[i] = t.x[i] * UNITS[u];
        judge(&t, x, scaled);
        for (int i = 0; i < 5; i++)
            CHECK_CLOSE(scaled[i], as_they_are[i], 1e-9);
    }
}

/* Rows so far from the mean that the products hold no digit of the distances inside a cluster. */
TEST(clusters, close_rows_are_told_apart)
{
    const double x[] = {0, 1e-9, 4e-9, 1, 1 + 1e-9 * 2, 1 + 1e-9 * 6}, labels[] = {0, 0, 1, 2, 2, 3};
    double mean, s[6];

    CHECK_OK(ml_metrics_silhouette(NULL, x, 6, 1, labels, 4, &mean, s));
    CHECK_CLOSE(s[0], 1 - 1.0 / 4, 1e-6);
    CHECK_CLOSE(s[1], 1 - 1.0 / 3, 1e-6);
    CHECK(s[2] == 0 && s[5] == 0);
    CHECK_CLOSE(s[3], 1 - 2.0 / 6, 1e-6);
}

/* The definitions, in long double and from differences alone. */
static long double apart(const drawn *t, const long double *x, const long double *y)
{
    long double sum = 0;

    for (size_t j = 0; j < t->d; j++)
        sum += (x[j] - y[j]) * (x[j] - y[j]);
    return sum;
}

static void judge_exactly(const drawn *t, long double out[5])
{
    static long double x[MAX_ROWS * MAX_FEATURES];
    long double centre[MAX_FEATURES][MAX_FEATURES] = {{0}}, all[MAX_FEATURES] = {0}, n[MAX_FEATURES] = {0},
                spread[MAX_FEATURES] = {0}, within = 0, between = 0;

    for (size_t v = 0; v < t->n * t->d; v++)
        x[v] = t->x[v];
    for (size_t i = 0; i < t->n; i++)
        n[(int)t->labels[i]]++;
    for (size_t i = 0; i < t->n; i++)
        for (size_t j = 0; j < t->d; j++) {
            centre[(int)t->labels[i]][j] += x[i * t->d + j] / n[(int)t->labels[i]];
            all[j] += x[i * t->d + j] / (long double)t->n;
        }
    for (size_t i = 0; i < t->n; i++) {
        const int k = (int)t->labels[i];
        spread[k] += sqrtl(apart(t, x + i * t->d, centre[k])) / n[k];
        within += apart(t, x + i * t->d, centre[k]);
    }
    memset(out, 0, 5 * sizeof *out);
    for (size_t k = 0; k < t->K; k++) {
        long double worst = 0;
        for (size_t e = 0; e < t->K; e++)
            worst = fmaxl(worst, e == k ? 0 : (spread[k] + spread[e]) / sqrtl(apart(t, centre[k], centre[e])));
        out[3] += worst / (long double)t->K;
        between += n[k] * apart(t, centre[k], all);
    }
    out[4] = between / within * (long double)(t->n - t->K) / (long double)(t->K - 1);
    for (size_t i = 0; i < t->n; i++) {
        long double sums[MAX_FEATURES] = {0}, b = INFINITY, a, s;
        const size_t own = (size_t)t->labels[i];
        for (size_t r = 0; r < t->n; r++)
            sums[(int)t->labels[r]] += sqrtl(apart(t, x + i * t->d, x + r * t->d));
        a = sums[own] / fmaxl(n[own] - 1, 1);
        for (size_t k = 0; k < t->K; k++)
            b = k == own ? b : fminl(b, sums[k] / n[k]);
        s = n[own] == 1 ? 0 : (b - a) / fmaxl(a, b);
        out[0] += s / (long double)t->n;
        out[1] = i == 0 ? s : out[1];
        out[2] = s;
    }
}

/* One entry far off takes no digits of the others: neither where it is in a cluster with them, nor alone in one. */
TEST(clusters, an_entry_far_off_does_not_take_the_digits_of_others)
{
    static const double FAR[] = {1e6, 1e9, 1e12, 1e15, 1e18, 1e100, 1e150, 1e160, 1e200, 1e270, 1e300};

    for (uint64_t seed = 0; seed < 60; seed++)
        for (size_t f = 0; f < sizeof FAR / sizeof *FAR; f++)
            for (int alone = 0; alone < 2; alone++) {
                const double far = FAR[f];
                drawn t = draw(seed);
                const size_t row = seed % t.n;
                long double expected[5];
                double got[5];

                t.x[row * t.d] = far;
                for (size_t i = 0; i < t.n && alone; i++)
                    t.labels[i] = i == row ? 0 : i == row + 1 ? 1 : t.labels[i] == 0 ? 1 : t.labels[i];
                t.K = t.K < 3 && alone ? 3 : t.K;
                for (size_t k = 0; k < t.K && alone; k++) /* no cluster is empty */
                    t.labels[(row + 1 + k) % t.n] = k == 0 ? 1 : (double)k;
                judge_exactly(&t, expected);
                expected[4] = fminl(expected[4], DBL_MAX);
                judge(&t, t.x, got);
                for (int i = 0; i < 5; i++)
                    CHECK_MSG(fabs(got[i] - (double)expected[i]) <= 1e-9 * fmax(1, fabs((double)expected[i])),
                              "seed %d, %g, alone %d, metric %d: %.12g, expected %.12g", (int)seed, far, alone, i,
                              got[i], (double)expected[i]);
            }
}

/* Of values whose squares vanish beside those of others. */
TEST(clusters, a_cluster_far_off_does_not_take_the_squares_of_others)
{
    static const double FAR[] = {1e150, 1e160, 1e200, 1e290, 1e300, 1e307};
    const double own[] = {0, 0, 1, 1, 2, 2}, sides[] = {0, 1, 2, 2, 3, 3};
    const double close = 1 - 1 / 9.5, outer = 1 - 1 / 10.5;

    for (size_t f = 0; f < sizeof FAR / sizeof *FAR; f++) {
        const double x[] = {FAR[f], FAR[f], 10, 11, 20, 21}, about[] = {FAR[f], -FAR[f], -5.5, -4.5, 4.5, 5.5};
        double value, s[6];

        CHECK_OK(ml_metrics_silhouette(NULL, x, 6, 1, own, 3, &value, s));
        CHECK_CLOSE(value, (1 + close + outer) / 3, 1e-12);
        CHECK(s[0] == 1 && s[1] == 1);
        CHECK_CLOSE(s[2], outer, 1e-12);
        CHECK_CLOSE(s[3], close, 1e-12);
        CHECK_OK(ml_metrics_davies_bouldin(NULL, x, 6, 1, own, 3, &value));
        CHECK_CLOSE(value, 0.2 / 3, 1e-12);
        CHECK_OK(ml_metrics_calinski_harabasz(NULL, x, 6, 1, own, 3, &value));
        CHECK_CLOSE(value / DBL_MAX, fmin(2 * FAR[f] / DBL_MAX * FAR[f], 1), 1e-12);
        CHECK_OK(ml_metrics_silhouette(NULL, about, 6, 1, sides, 4, &value, s)); /* the others near the mean */
        CHECK(s[0] == 0 && s[1] == 0);
        CHECK_CLOSE(s[2], outer, 1e-12);
        CHECK_CLOSE(s[3], close, 1e-12);
        CHECK_CLOSE(s[4], close, 1e-12);
        CHECK_CLOSE(s[5], outer, 1e-12);
        CHECK_OK(ml_metrics_davies_bouldin(NULL, about, 6, 1, sides, 4, &value));
        CHECK_CLOSE(value, 0.1 / 2, 1e-12);
    }
}

TEST(clusters, closed_forms)
{
    const double x[] = {0, 0, 5, 5}, same[] = {3, 3, 3, 3}, two[] = {0, 0, 2, 2}, split[] = {0, 1, 2, 3},
                 ab[] = {0, 1, 0, 1};
    double value, s[4];

    CHECK_OK(ml_metrics_silhouette(NULL, x, 4, 1, two, 3, &value, s));
    CHECK(value == 1 && s[0] == 1);
    CHECK_OK(ml_metrics_davies_bouldin(NULL, x, 4, 1, two, 3, &value));
    CHECK(value == 0);
    CHECK_OK(ml_metrics_calinski_harabasz(NULL, x, 4, 1, two, 3, &value));
    CHECK(value == 1);
    CHECK_OK(ml_metrics_davies_bouldin(NULL, same, 4, 1, two, 3, &value));
    CHECK(value == 0);
    CHECK_OK(ml_metrics_silhouette(NULL, same, 4, 1, two, 3, &value, NULL));
    CHECK(value == 0);
    CHECK_OK(ml_metrics_adjusted_rand(NULL, same, same, 4, 4, 4, &value));
    CHECK(value == 1);
    CHECK_OK(ml_metrics_normalized_mutual_info(NULL, same, same, 4, 4, 4, &value));
    CHECK(value == 1);
    CHECK_OK(ml_metrics_normalized_mutual_info(NULL, same, two, 4, 4, 4, &value));
    CHECK(value == 0);
    CHECK_OK(ml_metrics_adjusted_rand(NULL, split, split, 4, 4, 4, &value));
    CHECK(value == 1);
    CHECK_OK(ml_metrics_adjusted_rand(NULL, two, ab, 4, 4, 4, &value));
    CHECK_CLOSE(value, -0.5, 1e-15);
}

TEST(clusters, refusals)
{
    const double x[] = {1, 2, 3, NAN}, y[] = {1, 2, 3, 4}, labels[] = {0, 1, 1, 0}, one[] = {2, 2, 2, 2};
    const double each[] = {0, 1, 2, 3}, bad[] = {0, 1, 2.5, 0};
    double out = 7;

    CHECK_FAILS(ml_metrics_silhouette(NULL, NULL, 4, 1, labels, 2, &out, NULL), ML_E_ARGUMENT, "x is NULL");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 1, NULL, 2, &out, NULL), ML_E_ARGUMENT, "labels is NULL");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 1, labels, 2, NULL, NULL), ML_E_ARGUMENT, "mean is NULL");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 0, 1, labels, 2, &out, NULL), ML_E_ARGUMENT, "n is 0");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 0, labels, 2, &out, NULL), ML_E_ARGUMENT, "d is 0");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 1, labels, 0, &out, NULL), ML_E_ARGUMENT, "n_clusters is 0");
    CHECK_FAILS(ml_metrics_silhouette(NULL, x, 4, 1, labels, 2, &out, NULL), ML_E_DATA, "row 3, column 0");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 1, bad, 3, &out, NULL), ML_E_DATA, "row 2 has 2.5");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 1, one, 3, &out, NULL), ML_E_DATA, "4 rows in 1 cluster,");
    CHECK_FAILS(ml_metrics_silhouette(NULL, y, 4, 1, each, 4, &out, NULL), ML_E_DATA, "4 rows in 4 clusters");
    CHECK_FAILS(ml_metrics_davies_bouldin(NULL, y, 4, 1, one, 3, &out), ML_E_DATA, "expected at least 2");
    CHECK_FAILS(ml_metrics_calinski_harabasz(NULL, y, 4, 1, one, 3, &out), ML_E_DATA, "expected at least 2");
    CHECK_FAILS(ml_metrics_calinski_harabasz(NULL, y, 4, 1, labels, 2, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_metrics_adjusted_rand(NULL, NULL, labels, 4, 2, 2, &out), ML_E_ARGUMENT, "labels_true is NULL");
    CHECK_FAILS(ml_metrics_adjusted_rand(NULL, labels, labels, 4, 2, 0, &out), ML_E_ARGUMENT, "n_pred is 0");
    CHECK_FAILS(ml_metrics_adjusted_rand(NULL, labels, one, 4, 2, 2, &out), ML_E_DATA, "labels_pred: row 0 has 2");
    CHECK_FAILS(ml_metrics_normalized_mutual_info(NULL, labels, labels, 0, 2, 2, &out), ML_E_ARGUMENT, "n is 0");
    CHECK(out == 7);
}

/* As many clusters as rows: what is kept and done grows with the rows, not with their square. */
TEST(clusters, many_clusters_are_compared_in_linear_memory)
{
    enum { N = 20000 };
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = 1, .memory_limit = 200 * N};
    ml_context *context;
    double *each = malloc(N * sizeof *each), *pairs = malloc(N * sizeof *pairs), value;

    CHECK_OK(ml_context_create(&options, &context));
    for (size_t i = 0; i < N; i++) {
        each[i] = (double)((i * 7919) % N);
        pairs[i] = floor(each[i] / 2);
    }
    CHECK_OK(ml_metrics_adjusted_rand(context, each, each, N, N, N, &value));
    CHECK(value == 1);
    CHECK_OK(ml_metrics_adjusted_rand(context, pairs, pairs, N, N, N, &value));
    CHECK(value == 1);
    CHECK_OK(ml_metrics_normalized_mutual_info(context, each, pairs, N, N, N, &value));
    CHECK_CLOSE(value, log(N / 2) / (0.5 * (log(N) + log(N / 2))), 1e-12); /* pairs follow from each */
    free(each);
    free(pairs);
    ml_context_free(context);
}

static ml_status judge_again(ml_context *context, void *user)
{
    const drawn *t = user;
    double out, samples[MAX_ROWS];
    ml_status st = ml_metrics_silhouette(context, t->x, t->n, t->d, t->labels, t->K, &out, samples);

    if (st == ML_OK)
        st = ml_metrics_davies_bouldin(context, t->x, t->n, t->d, t->labels, t->K, &out);
    if (st == ML_OK)
        st = ml_metrics_calinski_harabasz(context, t->x, t->n, t->d, t->labels, t->K, &out);
    return st == ML_OK ? ml_metrics_adjusted_rand(context, t->labels, t->other, t->n, t->K, t->K + 3, &out) : st;
}

TEST(clusters, every_allocation_may_fail)
{
    test_allocator a = {0};
    ml_context *context = test_context(&a, 1);
    drawn t = draw(3);

    CHECK(test_failing_allocations(&a, context, "clusters", judge_again, &t) > 0);
    ml_context_free(context);
    CHECK(a.n_live == 0);
}

static void *judge_many(ml_context *context, const void *unused, size_t *n_bytes)
{
    enum { N = 1500, D = 3 };
    static double x[N * D], labels[N];
    double *samples = malloc(N * sizeof *samples), mean;
    lcg g = {1};

    (void)unused;
    for (size_t i = 0; i < N; i++) {
        labels[i] = below(&g, 5);
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = below(&g, 1000) + 300 * labels[i];
    }
    CHECK_OK(ml_metrics_silhouette(context, x, N, D, labels, 5, &mean, samples));
    *n_bytes = N * sizeof *samples;
    return samples;
}

TEST(clusters, threads_do_not_show)
{
    test_any_threads("silhouettes", judge_many, NULL);
}
