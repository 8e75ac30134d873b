/* SPDX-License-Identifier: Apache-2.0 */
/* k-means: fixed points, empty clusters, threads. */
#include "learn/kmeans.h"
#include "test.h"

static const double *ones(void)
{
    static double w[4096];

    for (size_t i = 0; i < 4096; i++)
        w[i] = 1;
    return w;
}

static void random_points(double *X, size_t n, size_t d, size_t n_centres, double apart, uint64_t seed)
{
    ml__rng rng = ml__rng_make(seed, 0);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            X[i * d + j] = ml__rng_normal(&rng) + apart * (double)((i % n_centres) >> j & 1);
}

static double inertia_of(const ml__points *p, const ml__kmeans *m)
{
    double J = 0;

    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->d; j++) {
            const double e = p->X[i * p->d + j] - m->centres[m->labels[i] * p->d + j];
            J += p->w[i] * e * e;
        }
    return J;
}

TEST(kmeans, the_result_is_a_fixed_point)
{
    enum { N = 900, D = 3, K = 7 };
    static double X[N * D], centres[K * D], w[N];
    static uint32_t labels[N];
    const ml__points points = {X, N, D, w, NULL};
    ml__kmeans m = {.k = K, .max_iter = 300, .tol = 0, .centres = centres, .labels = labels};
    ml__rng rng = ml__rng_make(3, 1);
    size_t rows[K];

    random_points(X, N, D, 5, 3, 1);
    for (size_t i = 0; i < N; i++)
        w[i] = 0.5 + (double)(i % 4);
    CHECK_OK(ml__kmeans_plus_plus(NULL, &points, K, &rng, rows));
    for (size_t c = 0; c < K; c++)
        memcpy(centres + c * D, X + rows[c] * D, D * sizeof *centres);
    CHECK_OK(ml__kmeans_lloyd(NULL, &points, &m));
    CHECK(m.converged);
    CHECK_CLOSE(m.inertia / inertia_of(&points, &m), 1, 1e-13);
    for (size_t c = 0; c < K; c++) { /* every centre is the mean of its rows */
        double W = 0, mean[D] = {0};
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < D && labels[i] == c; j++) {
                W += j ? 0 : w[i];
                mean[j] += w[i] * X[i * D + j];
            }
        CHECK(W > 0);
        for (size_t j = 0; j < D; j++)
            CHECK_CLOSE(mean[j] / W, centres[c * D + j], 1e-13);
    }
    for (size_t i = 0; i < N; i++) /* every row has the nearest centre */
        for (size_t c = 0; c < K; c++) {
            double own = 0, other = 0;
            for (size_t j = 0; j < D; j++) {
                own += pow(X[i * D + j] - centres[labels[i] * D + j], 2);
                other += pow(X[i * D + j] - centres[c * D + j], 2);
            }
            CHECK(own <= other + 1e-12);
        }
}

/* Far from 0 the products that distances are made of keep no digits of what tells these centres apart. */
TEST(kmeans, labels_are_those_of_the_distances)
{
    enum { N = 700, D = 5, K = 20 };
    static double X[N * D], centres[K * D];
    static uint32_t labels[N];
    const ml__points points = {X, N, D, ones(), NULL};

    for (double offset = 1; offset < 1e13; offset *= 1e3) {
        ml__kmeans m = {.k = K, .centres = centres, .labels = labels};
        ml__rng rng = ml__rng_make(4, 0);

        for (size_t i = 0; i < N * D; i++)
            X[i] = offset + ml__rng_normal(&rng);
        memcpy(centres, X, sizeof centres);
        memcpy(centres + 7 * D, centres + 3 * D, D * sizeof *centres); /* of equal centres the first */
        CHECK_OK(ml__kmeans_lloyd(NULL, &points, &m));
        for (size_t i = 0; i < N; i++) {
            double least = INFINITY;
            uint32_t nearest = 0;

            for (uint32_t c = 0; c < K; c++) {
                double sum = 0;
                for (size_t j = 0; j < D; j++)
                    sum += (X[i * D + j] - centres[c * D + j]) * (X[i * D + j] - centres[c * D + j]);
                if (sum < least) {
                    least = sum;
                    nearest = c;
                }
            }
            CHECK(labels[i] == nearest);
        }
    }
}

TEST(kmeans, iterations_lower_the_objective)
{
    enum { N = 500, D = 2, K = 6 };
    static double X[N * D], centres[K * D];
    static uint32_t labels[N];
    const ml__points points = {X, N, D, ones(), NULL};
    double last = INFINITY;

    random_points(X, N, D, 4, 2, 9);
    for (size_t max_iter = 0; max_iter < 15; max_iter++) {
        ml__kmeans m = {.k = K, .max_iter = max_iter, .centres = centres, .labels = labels};
        memcpy(centres, X, sizeof centres);
        CHECK_OK(ml__kmeans_lloyd(NULL, &points, &m));
        CHECK(m.inertia <= last * (1 + 1e-14));
        last = m.inertia;
    }
}

TEST(kmeans, starts_are_distinct_while_points_are)
{
    enum { N = 60 };
    double X[N];
    const ml__points points = {X, N, 1, ones(), NULL};

    for (size_t i = 0; i < N; i++)
        X[i] = (double)(i % 5);
    for (uint64_t seed = 0; seed < 20; seed++) {
        ml__rng rng = ml__rng_make(seed, 0);
        size_t rows[8];
        bool seen[5] = {false};
        CHECK_OK(ml__kmeans_plus_plus(NULL, &points, 8, &rng, rows));
        for (size_t c = 0; c < 8; c++) {
            CHECK(rows[c] < N);
            CHECK(c >= 5 || !seen[(size_t)X[rows[c]]]);
            seen[(size_t)X[rows[c]]] = true;
        }
    }
}

TEST(kmeans, rows_are_drawn_by_weight)
{
    const double X[] = {0, 0, 0}, w[] = {1, 0, 3};
    const ml__points points = {X, 3, 1, w, NULL};
    ml__rng rng = ml__rng_make(1, 0);
    size_t n_drawn[3] = {0};

    for (int i = 0; i < 4000; i++)
        n_drawn[ml__points_draw(&points, NULL, 4, &rng)]++;
    CHECK(n_drawn[1] == 0);
    CHECK(n_drawn[0] > 850 && n_drawn[0] < 1150);
}

TEST(kmeans, an_empty_cluster_takes_the_farthest_row)
{
    const double X[] = {0, 1, 2, 3, 50};
    double centres[] = {0, 1000};
    uint32_t labels[5];
    const ml__points points = {X, 5, 1, ones(), NULL};
    ml__kmeans m = {.k = 2, .max_iter = 10, .centres = centres, .labels = labels};

    CHECK_OK(ml__kmeans_lloyd(NULL, &points, &m));
    CHECK(labels[0] == 0 && labels[3] == 0 && labels[4] == 1);
    CHECK(centres[0] == 1.5 && centres[1] == 50);
    CHECK(m.converged && m.inertia == 5);
}

TEST(kmeans, more_clusters_than_points_keep_their_centres)
{
    const double X[] = {1, 1, 2};
    double centres[] = {1, 1, 2, 2, 7};
    uint32_t labels[3];
    const ml__points points = {X, 3, 1, ones(), NULL};
    ml__kmeans m = {.k = 5, .max_iter = 10, .centres = centres, .labels = labels};

    CHECK_OK(ml__kmeans_lloyd(NULL, &points, &m));
    CHECK(labels[0] == 0 && labels[1] == 0 && labels[2] == 2 && m.inertia == 0 && centres[4] == 7);
}

TEST(kmeans, distances_out_of_range_are_reported)
{
    const double X[] = {-1e200, 1e200, 0};
    double centres[] = {0};
    uint32_t labels[3];
    size_t rows[2];
    const ml__points points = {X, 3, 1, ones(), NULL};
    ml__kmeans m = {.k = 1, .max_iter = 10, .centres = centres, .labels = labels};
    ml__rng rng = ml__rng_make(1, 0);

    CHECK_FAILS(ml__kmeans_lloyd(NULL, &points, &m), ML_E_NUMERIC, "scale the features");
    CHECK_FAILS(ml__kmeans_plus_plus(NULL, &points, 2, &rng, rows), ML_E_NUMERIC, "scale the features");
}

/* Centres, and behind them labels. */
static void *cluster(ml_context *context, const void *unused, size_t *n_bytes)
{
    enum { N = 4000, D = 2, K = 9 };
    static double X[N * D];
    const ml__points points = {X, N, D, ones(), NULL};
    double *centres = malloc(K * D * sizeof *centres + N * sizeof(uint32_t));
    ml__kmeans m = {.k = K, .max_iter = 20, .centres = centres, .labels = (uint32_t *)(centres + K * D)};
    ml__rng rng = ml__rng_make(8, 0);
    size_t rows[K];

    (void)unused;
    random_points(X, N, D, 4, 1, 2);
    CHECK_OK(ml__kmeans_plus_plus(context, &points, K, &rng, rows));
    for (size_t c = 0; c < K; c++)
        memcpy(centres + c * D, X + rows[c] * D, D * sizeof *centres);
    CHECK_OK(ml__kmeans_lloyd(context, &points, &m));
    *n_bytes = K * D * sizeof *centres + N * sizeof(uint32_t);
    return centres;
}

TEST(kmeans, threads_do_not_show)
{
    test_any_threads("kmeans", cluster, NULL);
}
