/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures that start from model-based hierarchical clustering: those of mclust, invariants, many rows, limits. */
#include "gmm_toys.h"

#include <invar/mixture.h>

#define START "init_params=hierarchical"

static const char *const TYPES[] = {"covariance_type=full", "covariance_type=tied", "covariance_type=diag",
                                    "covariance_type=spherical"};
enum { N_SETS = 4, N_SIZES = 5 };

static void make_sets(matrix sets[N_SETS])
{
    static const size_t FIRST[] = {0, 1, 2, 3, 4, 5, 6, 7}, WITHOUT_SEX[] = {0, 2, 3, 4, 5, 6, 7, 8, 9};

    sets[0] = table("iris", 0, NULL);
    sets[1] = standardised(table("wine", 0, NULL));
    sets[2] = standardised(table("breast_cancer", 8, FIRST));
    sets[3] = standardised(table("diabetes", 9, WITHOUT_SEX));
}

/* The bound of the first mixture, which an M-step has made of the clusters. */
static double first_bound(const ml_model *model)
{
    return tensor(model, "lower_bounds", NULL)[0];
}

static double last_bound(const ml_model *model)
{
    size_t n;
    const double *L = tensor(model, "lower_bounds", &n);

    return L[n - 1];
}

/* ---- as mclust ---- */

TEST(gmm_hierarchical, clusters_and_where_em_ends_are_those_of_mclust)
{
    matrix sets[N_SETS];
    size_t n;
    double *want = test_read_numbers(test_expected_path("gmm_hierarchical.txt"), &n), *line = want, bic;

    make_sets(sets);
    CHECK(n == N_SETS * 4 * (N_SIZES + 1));
    for (size_t s = 0; s < N_SETS; s++)
        for (size_t t = 0; t < 4; t++, line += N_SIZES + 1) {
            for (size_t k = 0; k < N_SIZES; k++) {
                char components[32];
                snprintf(components, sizeof components, "n_components=%zu", k + 2);
                ml_model *model = fitted(&sets[s], SETTINGS(components, TYPES[t], START, "reg_covar=0", "max_iter=1"));
                const double got = first_bound(model) * (double)sets[s].n;
                CHECK_MSG(fabs(got - line[k]) <= 1e-9 * fabs(line[k]), "set %zu, %s, %s: %.15g, mclust %.15g", s,
                          TYPES[t], components, got, line[k]);
                ml_model_free(model);
            }
            ml_dataset *data = dataset(NULL, &sets[s]);
            ml_model *model = fitted(
                &sets[s], SETTINGS("n_components=3", TYPES[t], START, "reg_covar=0", "tol=1e-9", "max_iter=10000"));
            CHECK_OK(ml_mixture_bic(model, data, &bic));
            CHECK_MSG(bic <= line[N_SIZES] + 1e-5 * fabs(line[N_SIZES]), "set %zu, %s: BIC %.10g, mclust %.10g", s,
                      TYPES[t], bic, line[N_SIZES]);
            ml_model_free(model);
            ml_dataset_free(data);
        }
    for (size_t s = 0; s < N_SETS; s++)
        free(sets[s].X);
    free(want);
}

/* ---- what does not matter ---- */

/* First bounds of two tables, or of one with weights, for several numbers of components. */
static void check_same_clusters(const matrix *a, const matrix *b, const double *w)
{
    static const char *const COMPONENTS[] = {"n_components=2", "n_components=4", "n_components=7"};

    for (size_t i = 0; i < 3; i++) {
        const char *const *settings = SETTINGS(COMPONENTS[i], START, "max_iter=1", "covariance_type=tied");
        ml_dataset *data = dataset(NULL, b);
        ml_model *one = fitted(a, settings), *other = unfitted(NULL, settings);

        if (w)
            CHECK_OK(ml_dataset_set_weights(data, w, b->n));
        CHECK_OK(ml_model_fit(other, data, NULL));
        CHECK_CLOSE(first_bound(other), first_bound(one), 1e-9 * fabs(first_bound(one)));
        ml_model_free(one);
        ml_model_free(other);
        ml_dataset_free(data);
    }
}

TEST(gmm_hierarchical, the_order_of_rows_does_not_matter)
{
    matrix sets[N_SETS];

    make_sets(sets);
    for (size_t s = 0; s < N_SETS; s++) {
        const matrix *m = &sets[s];
        matrix turned = make_matrix(m->n, m->d);
        for (size_t i = 0; i < m->n; i++)
            memcpy(turned.X + i * m->d, m->X + (i + m->n / 3) % m->n * m->d, m->d * sizeof *m->X);
        check_same_clusters(m, &turned, NULL);
        free(turned.X);
        free(sets[s].X);
    }
}

TEST(gmm_hierarchical, weights_are_repeated_rows_whatever_their_unit)
{
    matrix m = blobs(150, 3, 3, 3, 9);
    double *w = malloc(m.n * sizeof *w);
    matrix twice = with_rows_twice(&m, w);

    check_same_clusters(&twice, &m, w);
    for (size_t i = 0; i < m.n; i++)
        w[i] *= 1e-9;
    check_same_clusters(&twice, &m, w);
    free(w);
    free(twice.X);
    free(m.X);
}

TEST(gmm_hierarchical, weights_may_span_the_range_of_double)
{
    matrix m = blobs(50, 2, 2, 3, 9);

    for (double small = 1e-322; small < 1; small *= 1e100) {
        ml_dataset *data = dataset(NULL, &m);
        ml_model *model = unfitted(NULL, SETTINGS("n_components=2", START));
        double w[50];

        for (size_t i = 0; i < 50; i++)
            w[i] = i ? small : 1;
        CHECK_OK(ml_dataset_set_weights(data, w, 50));
        CHECK_OK(ml_model_fit(model, data, NULL));
        ml_model_free(model);
        ml_dataset_free(data);
    }
    free(m.X);
}

TEST(gmm_hierarchical, rows_without_weight_do_not_matter)
{
    matrix all = blobs(160, 2, 2, 4, 3), half = make_matrix(80, 2);
    double w[160];

    for (size_t i = 0; i < 160; i++) {
        w[i] = i % 4 < 2;
        if (i % 4 < 2)
            memcpy(half.X + (i / 4 * 2 + i % 4) * 2, all.X + 2 * i, 2 * sizeof *half.X);
        else
            all.X[2 * i] = 1e6 * (double)i;
    }
    check_same_clusters(&half, &all, w);
    free(all.X);
    free(half.X);
}

/* Each feature in a unit of its own, and far from 0: the same clusters, so the same posteriors. */
TEST(gmm_hierarchical, units_of_features_do_not_matter)
{
    static const double UNITS[] = {1e-140, 0.3, 1e5, 1e140};
    matrix m = table("iris", 0, NULL), scaled = table("iris", 0, NULL);
    const char *const *settings = SETTINGS("n_components=3", START, "reg_covar=0", "max_iter=1");
    double *p[2];

    for (size_t v = 0; v < m.n * m.d; v++)
        scaled.X[v] = UNITS[v % 4] * (scaled.X[v] + (v % 4 == 2 ? 1e4 : 0));
    for (size_t i = 0; i < 2; i++) {
        ml_dataset *data = dataset(NULL, i ? &scaled : &m);
        ml_model *model = fitted(i ? &scaled : &m, settings);
        p[i] = malloc(m.n * 3 * sizeof *p[i]);
        CHECK_OK(ml_model_predict_proba(model, data, p[i], m.n * 3));
        ml_model_free(model);
        ml_dataset_free(data);
    }
    for (size_t v = 0; v < m.n * 3; v++)
        CHECK_CLOSE(p[1][v], p[0][v], 1e-6);
    free(p[0]);
    free(p[1]);
    free(m.X);
    free(scaled.X);
}

TEST(gmm_hierarchical, more_features_than_rows)
{
    matrix m = blobs(30, 40, 1, 0, 5), with_copies = make_matrix(30, 120);
    double *labels = malloc(m.n * sizeof *labels);

    for (size_t v = 0; v < m.n * m.d; v++)
        m.X[v] += v / m.d % 2 ? 10 : 0;
    for (size_t i = 0; i < m.n; i++)
        for (size_t j = 0; j < 120; j++)
            with_copies.X[i * 120 + j] = m.X[i * 40 + j % 40];
    for (size_t wide = 0; wide < 2; wide++) {
        const matrix *of = wide ? &with_copies : &m;
        ml_dataset *data = dataset(NULL, of);
        ml_model *model = fitted(of, SETTINGS("n_components=2", START, "covariance_type=spherical"));
        CHECK_OK(ml_model_predict(model, data, labels, m.n));
        for (size_t i = 2; i < m.n; i++)
            CHECK(labels[i] == labels[i % 2] && labels[0] != labels[1]);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    free(labels);
    free(with_copies.X);
    free(m.X);
}

/* ---- more rows than are looked at ---- */

/* The first mixture is already near the last one, also where all components share a covariance; a start is made again by its
 * random_state, and differs with another. */
TEST(gmm_hierarchical, of_many_rows_some_are_drawn)
{
    matrix m = blobs(9000, 2, 4, 12, 11);

    for (size_t t = 0; t < 4; t++) {
        const char *const states[] = {"random_state=1", "random_state=1", "random_state=2"};
        double first[3];
        for (size_t i = 0; i < 3; i++) {
            ml_model *model = fitted(&m, SETTINGS("n_components=4", TYPES[t], START, states[i], "tol=1e-9"));
            first[i] = first_bound(model);
            CHECK_CLOSE(first[i], last_bound(model), 0.01);
            for (size_t c = 0; c < 4; c++)
                CHECK_CLOSE(tensor(model, "weights", NULL)[c], 0.25, 1e-9);
            ml_model_free(model);
        }
        CHECK(first[0] == first[1] && first[0] != first[2]);
    }
    free(m.X);
}

typedef struct watch {
    uint64_t total;
    bool cancels;
} watch;

static int32_t look(void *user, const ml_progress *p)
{
    watch *w = user;

    w->total = p->total;
    return w->cancels && !*p->metric;
}

TEST(gmm_hierarchical, starts_that_are_the_same_are_made_once)
{
    matrix few = blobs(300, 2, 2, 2, 3), many = blobs(2001, 2, 2, 2, 3);
    const char *const *settings = SETTINGS("n_components=2", START, "n_init=3", "max_iter=5");

    for (size_t i = 0; i < 2; i++) {
        watch w = {0};
        const ml_fit_options fit = {.struct_size = sizeof fit, .monitor = look, .monitor_user = &w};
        ml_dataset *data = dataset(NULL, i ? &many : &few);
        ml_model *model = unfitted(NULL, settings);
        CHECK_OK(ml_model_fit(model, data, &fit));
        CHECK(w.total == (i ? 15 : 5));
        w.cancels = true;
        CHECK_FAILS(ml_model_fit(model, data, &fit), ML_E_CANCELLED, "");
        ml_model_free(model);
        ml_dataset_free(data);
    }
    free(few.X);
    free(many.X);
}

TEST(gmm_hierarchical, more_components_than_rows_looked_at_are_refused)
{
    matrix m = blobs(2500, 1, 2, 3, 1);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, SETTINGS("n_components=2001", START));

    CHECK_FAILS(
        ml_model_fit(model, data, NULL), ML_E_PARAMETER,
        "gmm: parameter 'init_params' is hierarchical, which looks at 2000 of these rows, n_components is 2001");
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

/* ---- other kinds, and other uses ---- */

TEST(gmm_hierarchical, kinds_that_share_the_start_have_it)
{
    matrix m = standardised(table("wine", 0, NULL));
    ml_dataset *data = dataset(NULL, &m);
    ml_model *bayesian = test_model(NULL, "bayesian_gmm", SETTINGS("n_components=3", START, "covariance_type=tied"));
    ml_model *model = unfitted(NULL, SETTINGS(START, "tol=1e-8", "max_iter=1000")), *best;
    const ml_mixture_options options = {.struct_size = sizeof options, .min_components = 3, .max_components = 3};
    double scores[4];

    CHECK_OK(ml_model_fit(bayesian, data, NULL));
    for (size_t c = 0; c < 3; c++)
        CHECK(tensor(bayesian, "weights", NULL)[c] > 0.2);
    CHECK_OK(ml_mixture_select(model, data, &options, scores, 4, &best));
    CHECK_CLOSE(scores[0], 5744.234, 0.01); /* with mclust's start; without it 5763 at best */
    ml_model_free(best);
    ml_model_free(model);
    ml_model_free(bayesian);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_hierarchical, a_mixture_of_each_class)
{
    ml_dataset *data = test_table(NULL, "iris");
    ml_model *model = test_model(NULL, "gmm_classifier", SETTINGS("n_components=2", START, "reg_covar=0.01"));
    double accuracy;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_score(model, data, "accuracy", &accuracy));
    CHECK(accuracy >= 0.97);
    ml_model_free(model);
    ml_dataset_free(data);
}
