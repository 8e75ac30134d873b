/* SPDX-License-Identifier: Apache-2.0 */
/* What a forest does besides growing trees: samples, extra trees, out-of-bag estimates, growing on. */
#include "base/context.h"
#include "tree_toys.h"

/* ---- samples ---- */

TEST(forest_fit, max_samples_counts_the_draws)
{
    ml_dataset *data = toy_data(NULL, false);
    /* one draw per tree: a single leaf with the value of a row */
    ml_model *one = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("max_samples", "1")),
             *all = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("max_samples", "1.0")),
             *none = toy_fitted(NULL, "random_forest", data, NULL),
             *third = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("max_samples", "0.33333")),
             *thirty = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("max_samples", "30")),
             *exact = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("max_samples", "1", "max_bins", "0"));

    CHECK(toy_tensor(one, "trees.nodes").shape[0] == 100 && toy_tensor(exact, "trees.nodes").shape[0] == 100);
    CHECK_OK(ml_model_set_text(all, "max_samples", "all"));
    toy_same_models(all, none);
    CHECK_OK(ml_model_set_text(third, "max_samples", "30"));
    toy_same_models(third, thirty);
    CHECK(toy_tensor(thirty, "trees.nodes").shape[0] < toy_tensor(none, "trees.nodes").shape[0] / 2);
    CHECK_OK(ml_model_set_int(none, "max_samples", TOY_ROWS + 1));
    CHECK_FAILS(ml_model_fit(none, data, NULL), ML_E_PARAMETER, "91");
    CHECK_OK(ml_model_set_text(thirty, "bootstrap", "false"));
    CHECK_FAILS(ml_model_fit(thirty, data, NULL), ML_E_PARAMETER, "'max_samples' needs 'bootstrap'");
    ml_model_free(one);
    ml_model_free(all);
    ml_model_free(none);
    ml_model_free(third);
    ml_model_free(thirty);
    ml_model_free(exact);
    ml_dataset_free(data);
}

/* ---- extra trees ---- */

TEST(forest_fit, extra_trees_score_as_in_scikit_learn)
{
    enum { N_SEEDS = 10 };
    static const char *const TABLES[] = {"iris", "wine", "breast_cancer", "digits", "boston", "diabetes"};
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("growth_scores.txt"), &n_numbers);

    for (size_t k = 0; k < 12; k++) {
        const size_t i = k / 2;
        const double *w = want + 6 * i;
        ml_dataset *all = test_table(NULL, TABLES[i]), *train, *test;
        ml_model *model = toy_model(NULL, "extra_trees");
        double mean = 0;

        if (k % 2)
            CHECK_OK(ml_model_set_int(model, "max_bins", 0));
        toy_split(all, &train, &test);
        for (int64_t seed = 0; seed < N_SEEDS; seed++) {
            CHECK_OK(ml_model_set_int(model, "random_state", seed));
            CHECK_OK(ml_model_fit(model, train, NULL));
            mean += toy_score(model, test) / N_SEEDS;
        }
        CHECK_MSG(fabs(mean - w[0]) <= 0.01, "%s: %g, expected %g +- %g", TABLES[i], mean, w[0], w[1]);
        ml_model_free(model);
        ml_dataset_free(train);
        ml_dataset_free(test);
        ml_dataset_free(all);
    }
    free(want);
}

/* All rows are seen and leaves are pure: the training data is predicted exactly. */
TEST(forest_fit, extra_trees_learn_their_data_by_heart)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *model = toy_fitted(NULL, "extra_trees", data, NULL);

        CHECK_CLOSE(toy_score(model, data), 1, 1e-14);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* In a node with rows at 0 and 1 only the threshold of a tree is uniform in (0, 1): its mean is 1/2, its variance 1/12. */
TEST(forest_fit, drawn_thresholds_are_uniform)
{
    enum { N_TREES = 2000 };
    static const double X[] = {0, 1};
    static const int64_t Y[] = {0, 1};
    ml_dataset *data = toy_labels(NULL, X, 2, 1, Y);
    ml_model *model = toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "2000"));
    double below = 0;

    for (int i = 1; i < 10; i++) {
        const double x = i / 10.;
        double p[2];

        /* the share of trees that send x to the right is P(threshold < x) = x */
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, &x, 1, p, 2, NULL, 0));
        CHECK_MSG(fabs(p[1] - x) <= 4 * sqrt(x * (1 - x) / N_TREES), "P(threshold < %g) is %g", x, p[1]);
        CHECK(p[1] >= below);
        below = p[1];
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Where every value has a code of its own, bytes and ranks draw the same thresholds and find the same trees. */
TEST(forest_fit, extra_trees_of_codes_are_those_of_ranks)
{
    static const char *const DATA[] = {"n_classes=2", "n_classes=3", ""};
    char text[128];

    for (int k = 0; k < 3; k++) {
        const char *const what = k < 2 ? "classification" : "regression";
        ml_dataset *train, *test;
        ml_model *codes, *ranks;
        double *a, *b;

        sprintf(text, "n_samples=200,n_features=8,n_informative=5,random_state=1%s%s", k < 2 ? "," : "", DATA[k]);
        CHECK_OK(ml_dataset_make(NULL, what, text, &train));
        sprintf(text, "n_samples=200,n_features=8,n_informative=5,random_state=2%s%s", k < 2 ? "," : "", DATA[k]);
        CHECK_OK(ml_dataset_make(NULL, what, text, &test));
        codes = toy_fitted(NULL, "extra_trees", train, TOY_SETTINGS("n_estimators", "30"));
        ranks = toy_fitted(NULL, "extra_trees", train, TOY_SETTINGS("n_estimators", "30", "max_bins", "0"));
        CHECK(toy_tensor(codes, "trees.nodes").shape[0] == toy_tensor(ranks, "trees.nodes").shape[0]);
        a = toy_predictions(codes, test);
        b = toy_predictions(ranks, test);
        for (size_t i = 0; i < 200; i++)
            CHECK_CLOSE(a[i], b[i], 1e-9);
        free(a);
        free(b);
        ml_model_free(codes);
        ml_model_free(ranks);
        ml_dataset_free(train);
        ml_dataset_free(test);
    }
}

/* ---- out-of-bag estimates ---- */

TEST(forest_fit, out_of_bag_scores_are_those_of_scikit_learn)
{
    enum { N_SEEDS = 10 };
    static const char *const TABLES[] = {"iris", "wine", "breast_cancer", "digits", "boston", "diabetes"};
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("growth_scores.txt"), &n_numbers);

    for (size_t i = 0; i < 12; i++) {
        const double *w = want + 6 * (i / 2);
        ml_dataset *data = test_table(NULL, TABLES[i / 2]);
        ml_model *model = toy_model(NULL, "random_forest");
        double mean = 0;

        CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
        if (i % 2)
            CHECK_OK(ml_model_set_int(model, "max_bins", 0));
        for (int64_t seed = 0; seed < N_SEEDS; seed++) {
            CHECK_OK(ml_model_set_int(model, "random_state", seed));
            CHECK_OK(ml_model_fit(model, data, NULL));
            mean += *(const double *)toy_tensor(model, "oob_score").data / N_SEEDS;
        }
        /* four standard errors of a difference of two means */
        CHECK_MSG(fabs(mean - w[4]) <= 4 * w[5] * sqrt(2. / N_SEEDS) + 0.001, "%s: %g, expected %g +- %g",
                  TABLES[i / 2], mean, w[4], w[5]);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    free(want);
}

TEST(forest_fit, out_of_bag_rows_are_as_good_as_new_ones)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ml_dataset *all, *train, *test;
        ml_model *model;
        double oob, held_out, error;
        char text[128];

        sprintf(text, "n_samples=4000,n_features=10,n_informative=5,random_state=%d", (int)seed);
        CHECK_OK(ml_dataset_make(NULL, "classification", text, &all));
        CHECK_OK(ml_dataset_split(all, 0.5, 100 + seed, 0, &train, &test));
        model = toy_fitted(NULL, "random_forest", train, TOY_SETTINGS("oob_score", "true"));
        oob = *(const double *)toy_tensor(model, "oob_score").data;
        held_out = toy_score(model, test);
        error = sqrt(held_out * (1 - held_out) * 2 / 2000);
        CHECK_MSG(fabs(oob - held_out) <= 3 * error, "out of bag %g, held out %g +- %g", oob, held_out, error);
        CHECK(toy_score(model, train) > held_out + 3 * error);
        ml_model_free(model);
        ml_dataset_free(train);
        ml_dataset_free(test);
        ml_dataset_free(all);
    }
}

/* Samples of one row make trees of one leaf: which row it was shows in the prediction, so all estimates are known. */
TEST(forest_fit, out_of_bag_predictions_are_of_trees_that_have_not_seen_the_row)
{
    enum { N_TREES = 40 };
    static const char *const BINS[] = {"0", "255"};

    for (int by_columns = 0; by_columns < 2; by_columns++) {
        double x[30], t[30], drawn[N_TREES + 1] = {0};
        ml_dataset *data;
        ml_model *model = toy_model(NULL, "random_forest");
        ml_tensor curve, prediction;

        for (int i = 0; i < 30; i++) {
            x[i] = i;
            t[i] = i * i;
        }
        data = toy_reals(NULL, x, 30, 1, t);
        CHECK_OK(ml_model_set_int(model, "max_samples", 1));
        CHECK_OK(ml_model_set_text(model, "max_bins", BINS[by_columns]));
        for (int n = 1; n <= N_TREES; n++) {
            double mean;
            CHECK_OK(ml_model_set_int(model, "n_estimators", n));
            CHECK_OK(ml_model_fit(model, data, NULL));
            CHECK_OK(ml_model_predict_row(model, ML_PREDICT, x, 1, &mean, 1, NULL, 0));
            drawn[n] = round(n * mean);
            for (int before = 1; before < n; before++)
                drawn[n] -= drawn[before];
        }
        CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        curve = toy_tensor(model, "oob_error_curve");
        prediction = toy_tensor(model, "oob_prediction");
        CHECK(curve.shape[0] == N_TREES && prediction.shape[0] == 30);
        for (int n = 1; n <= N_TREES; n++) {
            double error = 0, n_rows = 0, mean = 0, variance = 0;

            for (int i = 0; i < 30; i++) {
                double sum = 0, n_out = 0;
                for (int tree = 1; tree <= n; tree++)
                    if (drawn[tree] != t[i]) {
                        sum += drawn[tree];
                        n_out++;
                    }
                if (n_out > 0) {
                    error += (sum / n_out - t[i]) * (sum / n_out - t[i]);
                    n_rows++;
                }
                if (n == N_TREES)
                    CHECK_CLOSE(((const double *)prediction.data)[i], sum / n_out, 1e-12);
            }
            CHECK_CLOSE(((const double *)curve.data)[n - 1], error / n_rows, 1e-12);
            for (int i = 0; i < 30; i++)
                mean += t[i] / 30;
            for (int i = 0; i < 30; i++)
                variance += (t[i] - mean) * (t[i] - mean) / 30;
            if (n == N_TREES)
                CHECK_CLOSE(*(const double *)toy_tensor(model, "oob_score").data, 1 - error / n_rows / variance, 1e-12);
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Of labels: the curve is what smaller forests have, its end is the score, and both follow from the shares. */
TEST(forest_fit, out_of_bag_curve_ends_at_the_score)
{
    static const char *const BINS[] = {"0", "255"};

    for (int by_columns = 0; by_columns < 2; by_columns++) {
        ml_dataset *data = toy_data(NULL, true);
        ml_model *model =
                     toy_fitted(NULL, "random_forest", data,
                                TOY_SETTINGS("oob_score", "true", "n_estimators", "37", "max_bins", BINS[by_columns])),
                 *tree = toy_fitted(NULL, "decision_tree", data, NULL);
        const double *curve = toy_tensor(model, "oob_error_curve").data,
                     *share = toy_tensor(model, "oob_decision_function").data;
        double *y = toy_predictions(tree, data), n_right = 0; /* a tree knows the labels by heart */

        CHECK(toy_tensor(model, "oob_score").shape[0] == 1);
        CHECK(*(const double *)toy_tensor(model, "oob_score").data == 1 - curve[36]);
        for (size_t i = 0; i < TOY_ROWS; i++, share += 3) {
            const int arg_max = share[0] >= share[1] && share[0] >= share[2] ? 0 : share[1] >= share[2] ? 1 : 2;
            CHECK_CLOSE(share[0] + share[1] + share[2], 1, 1e-12);
            n_right += arg_max == (int)y[i];
        }
        CHECK_CLOSE(curve[36], 1 - n_right / TOY_ROWS, 1e-15);
        for (int n = 1; n < 37; n += 7) {
            ml_model *small;
            CHECK_OK(ml_model_clone(model, &small));
            CHECK_OK(ml_model_set_int(small, "n_estimators", n));
            CHECK_OK(ml_model_fit(small, data, NULL));
            CHECK(*(const double *)toy_tensor(small, "oob_score").data == 1 - curve[n - 1]);
            ml_model_free(small);
        }
        free(y);
        ml_model_free(model);
        ml_model_free(tree);
        ml_dataset_free(data);
    }
}

TEST(forest_fit, rows_that_every_tree_has_seen_have_no_estimate)
{
    static const double X[] = {3};
    static const int64_t Y[] = {0};
    ml_dataset *data = toy_data(NULL, true), *one_row = toy_labels(NULL, X, 1, 1, Y);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("oob_score", "true", "n_estimators", "1"));
    const double *share = toy_tensor(model, "oob_decision_function").data;
    size_t n_out = 0;

    for (size_t i = 0; i < TOY_ROWS; i++)
        n_out += !isnan(share[3 * i]);
    CHECK(n_out > 20 && n_out < 45); /* a share of 1/e is 33, with a standard deviation of 3 */
    CHECK_OK(ml_model_fit(model, one_row, NULL));
    CHECK(isnan(*(const double *)toy_tensor(model, "oob_score").data));
    CHECK(isnan(*(const double *)toy_tensor(model, "oob_error_curve").data));
    CHECK_OK(ml_model_set_text(model, "bootstrap", "false"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'oob_score' needs 'bootstrap'");
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(one_row);
}

/* The rule of scikit-learn's r2_score where targets do not vary: 1 when they are met exactly, else 0. */
TEST(forest_fit, out_of_bag_scores_of_equal_targets)
{
    static const double X[3] = {0, 1, 2}, VARIED[3] = {1, 2, 3}, EQUAL[3] = {0.1, 0.1, 0.1};
    ml_dataset *data = toy_reals(NULL, X, 3, 1, VARIED), *constant = toy_reals(NULL, X, 3, 1, EQUAL);
    size_t n_zero = 0;

    for (int seed = 0; seed < 12; seed++) {
        ml_model *model = toy_model(NULL, "random_forest");
        const double *mean;
        size_t n_out = 0;

        CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
        CHECK_OK(ml_model_set_int(model, "random_state", seed));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 1));
        CHECK_OK(ml_model_fit(model, data, NULL));
        mean = toy_tensor(model, "oob_prediction").data;
        for (int i = 0; i < 3; i++)
            n_out += !isnan(mean[i]);
        if (n_out == 1) { /* the row that was left out is predicted by the value of another */
            CHECK(*(const double *)toy_tensor(model, "oob_score").data == 0);
            n_zero++;
        }
        CHECK_OK(ml_model_fit(model, constant, NULL));
        if (n_out)
            CHECK(*(const double *)toy_tensor(model, "oob_score").data == 1);
        ml_model_free(model);
    }
    CHECK(n_zero >= 3);
    ml_dataset_free(data);
    ml_dataset_free(constant);
}

/* A second output that is the first one once more changes no tree; of another one each has its share of the score. */
TEST(forest_fit, out_of_bag_scores_of_outputs_are_averaged)
{
    ml_dataset *one = toy_data(NULL, true), *twin = toy_data(NULL, true), *two = toy_data(NULL, true);
    ml_model *tree = toy_fitted(NULL, "decision_tree", one, NULL), *a, *b, *c;
    const char *const *const settings = TOY_SETTINGS("oob_score", "true", "max_bins", "0", "n_estimators", "25");
    double *y = toy_predictions(tree, one), right[2] = {0}; /* a tree knows the labels by heart */
    int64_t again[TOY_ROWS], other[TOY_ROWS];
    const double *p, *q;

    for (size_t i = 0; i < TOY_ROWS; i++) {
        again[i] = (int64_t)y[i];
        other[i] = again[i] == 1 || i % 5 == 0;
    }
    CHECK_OK(ml_dataset_add_labels(twin, "again", again, TOY_ROWS, -1));
    CHECK_OK(ml_dataset_add_labels(two, "other", other, TOY_ROWS, -1));
    a = toy_fitted(NULL, "random_forest", one, settings);
    b = toy_fitted(NULL, "random_forest", twin, settings);
    c = toy_fitted(NULL, "random_forest", two, settings);
    CHECK(*(const double *)toy_tensor(a, "oob_score").data == *(const double *)toy_tensor(b, "oob_score").data);
    p = toy_tensor(a, "oob_decision_function").data;
    q = toy_tensor(b, "oob_decision_function").data;
    CHECK(toy_tensor(b, "oob_decision_function").shape[1] == 6);
    for (size_t i = 0; i < TOY_ROWS; i++)
        for (size_t k = 0; k < 6; k++)
            CHECK(p[3 * i + k % 3] == q[6 * i + k]);
    p = toy_tensor(a, "oob_error_curve").data;
    q = toy_tensor(b, "oob_error_curve").data;
    for (size_t t = 0; t < 25; t++)
        CHECK(p[t] == q[2 * t] && p[t] == q[2 * t + 1]);
    p = toy_tensor(c, "oob_decision_function").data;
    q = toy_tensor(c, "oob_error_curve").data;
    for (size_t i = 0; i < TOY_ROWS; i++, p += 5) {
        right[0] += (p[0] >= p[1] && p[0] >= p[2] ? 0 : p[1] >= p[2] ? 1 : 2) == again[i];
        right[1] += (p[4] > p[3]) == other[i];
    }
    CHECK_CLOSE(q[48], 1 - right[0] / TOY_ROWS, 1e-15);
    CHECK_CLOSE(q[49], 1 - right[1] / TOY_ROWS, 1e-15);
    CHECK_CLOSE(*(const double *)toy_tensor(c, "oob_score").data, (right[0] + right[1]) / 2 / TOY_ROWS, 1e-15);
    free(y);
    ml_model_free(tree);
    ml_model_free(a);
    ml_model_free(b);
    ml_model_free(c);
    ml_dataset_free(one);
    ml_dataset_free(twin);
    ml_dataset_free(two);
}

/* ---- growing on ---- */

TEST(forest_fit, growing_on_gives_what_a_fresh_fit_gives)
{
    static const char *const SETTINGS[][5] = {
        {"random_forest"},
        {"random_forest", "oob_score", "true"},
        {"random_forest", "max_bins", "0", "oob_score", "true"},
        {"extra_trees"},
        {"random_forest", "max_leaf_nodes", "7"},
    };

    for (size_t k = 0; k < 10; k++) {
        const char *const *s = SETTINGS[k / 2];
        ml_dataset *data = toy_data(NULL, k % 2);
        ml_model *model = toy_model(NULL, s[0]), *fresh, *loaded;
        size_t n_bytes;
        void *bytes;

        CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 41));
        for (s++; *s && s < SETTINGS[k / 2] + 5; s += 2)
            CHECK_OK(ml_model_set_text(model, s[0], s[1]));
        CHECK_OK(ml_model_clone(model, &fresh));
        CHECK_OK(ml_model_fit(fresh, data, NULL));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 7));
        CHECK_OK(ml_model_fit(model, data, NULL));
        bytes = test_saved(model, &n_bytes);
        CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
        free(bytes);
        CHECK_OK(ml_model_set_int(model, "n_estimators", 20));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 41));
        CHECK_OK(ml_model_fit(model, data, NULL));
        toy_same_models(model, fresh);
        CHECK_OK(ml_model_fit(model, data, NULL)); /* nothing is missing */
        toy_same_models(model, fresh);
        CHECK_OK(ml_model_set_int(loaded, "n_estimators", 41));
        CHECK_OK(ml_model_fit(loaded, data, NULL));
        toy_same_models(loaded, fresh);
        ml_model_free(model);
        ml_model_free(fresh);
        ml_model_free(loaded);
        ml_dataset_free(data);
    }
}

static size_t n_trees(const ml_model *model)
{
    return (size_t)toy_tensor(model, "trees.first_value").shape[0];
}

TEST(forest_fit, growing_on_grows_only_what_is_missing)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("warm_start", "true", "n_estimators", "10"));
    test_watch seen = {0};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = test_watching, .monitor_user = &seen};

    CHECK_OK(ml_model_set_int(model, "n_estimators", 15));
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(seen.n_seen == 5 && seen.least_done >= 1 && n_trees(model) == 15);
    CHECK_OK(ml_model_set_text(model, "warm_start", "false"));
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(seen.n_seen == 20 && n_trees(model) == 15);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(forest_fit, growing_on_needs_trees_of_the_same_kind_of_data)
{
    static const double X[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t Y[2] = {0, 1};
    ml_dataset *data = toy_data(NULL, true), *narrow = toy_labels(NULL, X, 3, 2, (const int64_t[3]){0, 1, 2}),
               *other = toy_labels(NULL, X, 2, 3, Y), *reals = toy_data(NULL, false), *half;
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("warm_start", "true", "n_estimators", "10")),
             *cold = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "10"));
    size_t rows[TOY_ROWS / 2];

    CHECK_OK(ml_model_set_int(model, "n_estimators", 9));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "it is 9, there are 10 trees");
    CHECK_OK(ml_model_set_int(model, "n_estimators", 12));
    CHECK_FAILS(ml_model_fit(model, narrow, NULL), ML_E_SHAPE, "expected 3");
    CHECK_FAILS(ml_model_fit(model, other, NULL), ML_E_SHAPE, "2 classes, expected 3");
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_SHAPE, "");
    CHECK_OK(ml_model_set_text(cold, "warm_start", "true"));
    CHECK_FAILS(ml_model_fit(cold, data, NULL), ML_E_PARAMETER, "grown without warm_start");
    /* other rows may be added, but then nobody knows what is out of bag */
    for (size_t i = 0; i < TOY_ROWS / 2; i++)
        rows[i] = 2 * i;
    CHECK_OK(ml_dataset_subset(data, rows, TOY_ROWS / 2, &half));
    CHECK_OK(ml_model_fit(model, half, NULL));
    CHECK(n_trees(model) == 12);
    CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
    CHECK_FAILS(ml_model_fit(model, half, NULL), ML_E_PARAMETER, "'oob_score' needs the 12 trees");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'oob_score' needs the 12 trees");
    ml_model_free(model);
    ml_model_free(cold);
    ml_dataset_free(data);
    ml_dataset_free(narrow);
    ml_dataset_free(other);
    ml_dataset_free(reals);
    ml_dataset_free(half);
}

/* The same number of rows is not enough: trees that saw all of them, or that drew from others, have no such estimates. */
TEST(forest_fit, out_of_bag_rows_of_other_trees_are_never_guessed)
{
    ml_dataset *data = toy_data(NULL, true), *turned;
    const char *const settings[] = {"random_forest", "extra_trees"};
    size_t rows[TOY_ROWS];

    for (size_t i = 0; i < TOY_ROWS; i++)
        rows[i] = TOY_ROWS - 1 - i;
    CHECK_OK(ml_dataset_subset(data, rows, TOY_ROWS, &turned));
    for (size_t k = 0; k < 2; k++) {
        ml_model *model = toy_fitted(NULL, settings[k], data, TOY_SETTINGS("warm_start", "true", "n_estimators", "5"));

        CHECK_OK(ml_model_set_int(model, "n_estimators", 8));
        CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
        CHECK_OK(ml_model_set_text(model, "bootstrap", "true"));
        if (k) /* grown without samples */
            CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'oob_score' needs the 5 trees");
        else
            CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 9));
        CHECK_FAILS(ml_model_fit(model, turned, NULL), ML_E_PARAMETER, "'oob_score' needs the");
        ml_model_free(model);
    }
    ml_dataset_free(turned);
    ml_dataset_free(data);
}

TEST(forest_fit, trees_that_know_categories_do_not_grow_on_without_them)
{
    static const char TEXT[] = "colour,y\nred,a\nblue,b\nred,a\nblue,b\ngreen,a\n";
    static const double X[5] = {1e9, -5, 0, 1, 2};
    static const int64_t Y[5] = {0, 1, 0, 1, 0};
    const ml_csv_options options = {.struct_size = sizeof options, .target = "y"};
    ml_dataset *data, *plain = toy_labels(NULL, X, 5, 1, Y);
    ml_model *model;

    CHECK_OK(ml_dataset_from_csv_memory(NULL, TEXT, sizeof TEXT - 1, NULL, &options, &data));
    model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("warm_start", "true", "n_estimators", "5"));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 8));
    CHECK(ml_model_fit(model, plain, NULL) != ML_OK);
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_model_free(model);
    ml_dataset_free(plain);
    ml_dataset_free(data);
}

/* ---- memory ---- */

/* Codes of a byte, a thread's copy of them, small nodes until the end: beside the caller's table a fit takes less than three
 * such tables in single precision. */
TEST(forest_fit, a_fit_takes_little_memory_beside_the_table)
{
    enum { N_ROWS = 20000, N_FEATURES = 28 };
    const ml_context_options options = {.struct_size = sizeof options};
    ml_context *context;
    ml_dataset *data;
    ml_model *model;

    CHECK_OK(ml_context_create(&options, &context));
    CHECK_OK(ml_dataset_make(NULL, "classification", "n_samples=20000,n_features=28,n_informative=14", &data));
    model = toy_fitted(context, "random_forest", data, TOY_SETTINGS("n_estimators", "60"));
    CHECK(toy_tensor(model, "trees.nodes").shape[0] > 100000);
    CHECK_MSG(ml_context_memory_peak(context) < 3 * N_ROWS * N_FEATURES * sizeof(float), "%zu bytes",
              (size_t)ml_context_memory_peak(context));
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
}

/* Under every limit a fit leaves the first trees of the whole forest, or fails; never when there was room for all of it. */
TEST(forest_fit, the_memory_limit_leaves_a_smaller_forest)
{
    enum { N_TREES = 80, N_LIMITS = 16 };

    for (int labels = 0; labels < 2; labels++) {
        const char *const what = labels ? "classification" : "regression";
        size_t n_early = 0, n_peak = 0;

        for (size_t k = 0; k <= N_LIMITS; k++) { /* the first without limit */
            ml_context_options options = {.struct_size = sizeof options,
                                          .memory_limit = k ? (2 * n_peak + (2 << 20)) * k / N_LIMITS : 0};
            ml_context *context;
            ml_dataset *data;
            ml_model *model;
            ml_status st;

            CHECK_OK(ml_context_create(&options, &context));
            CHECK_OK(ml_dataset_make(context, what, "n_samples=1500,n_features=6,n_informative=4", &data));
            model = toy_model(context, "random_forest");
            CHECK_OK(ml_model_set_int(model, "n_estimators", N_TREES));
            CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
            st = ml_model_fit(model, data, NULL);
            CHECK(st == ML_OK || (st == ML_E_MEMORY && options.memory_limit < n_peak && !ml_model_is_fitted(model)));
            if (st == ML_OK) {
                const size_t n = n_trees(model);
                const double *curve = toy_tensor(model, "oob_error_curve").data;
                ml_model *small = toy_model(NULL, "random_forest"), *loaded;
                size_t n_bytes;
                void *bytes = test_saved(model, &n_bytes);

                CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
                CHECK(ml_model_stop_reason(loaded) == ml_model_stop_reason(model));
                ml_model_free(loaded);
                free(bytes);
                CHECK(n >= 1 && n <= N_TREES);
                CHECK(n == N_TREES || k % N_LIMITS);
                CHECK(ml_model_stop_reason(model) == (n < N_TREES ? ML_STOP_MEMORY : ML_STOP_COMPLETE));
                n_early += n < N_TREES;
                CHECK_OK(ml_model_set_int(small, "n_estimators", (int64_t)n));
                CHECK_OK(ml_model_set_text(small, "oob_score", "true"));
                CHECK_OK(ml_model_fit(small, data, NULL));
                CHECK(!memcmp(curve, toy_tensor(small, "oob_error_curve").data, n * sizeof *curve));
                CHECK(!memcmp(toy_tensor(model, "trees.nodes").data, toy_tensor(small, "trees.nodes").data,
                              (size_t)toy_tensor(small, "trees.nodes").shape[0] * 8));
                ml_model_free(small);
            }
            if (!k)
                n_peak = (size_t)context->n_bytes_peak;
            ml_model_free(model);
            ml_dataset_free(data);
            ml_context_free(context);
        }
        CHECK_MSG(n_early >= 3, "%s: %zu early ends", what, n_early);
    }
}

/* What is held back is in proportion to the forest: a fit that needs little memory gives some trees for less. */
TEST(forest_fit, the_memory_limit_leaves_small_fits_some_trees)
{
    static const char *const BINS[] = {"255", "0"};

    for (size_t k = 0; k < 4; k++) {
        size_t n_peak = 0;

        for (int limited = 0; limited < 2; limited++) {
            const ml_context_options options = {.struct_size = sizeof options,
                                                .memory_limit = limited ? n_peak * 3 / 4 : 0};
            ml_context *context;
            ml_dataset *data;
            ml_model *model;

            CHECK_OK(ml_context_create(&options, &context));
            CHECK_OK(
                ml_dataset_make(context, k % 2 ? "classification" : "regression", "n_samples=300,n_features=6", &data));
            model =
                toy_fitted(context, "random_forest", data, TOY_SETTINGS("max_bins", BINS[k / 2], "n_estimators", "80"));
            CHECK(ml_model_stop_reason(model) == (limited ? ML_STOP_MEMORY : ML_STOP_COMPLETE));
            CHECK(limited ? n_trees(model) >= 10 && n_trees(model) < 80 : n_trees(model) == 80);
            n_peak = (size_t)context->n_bytes_peak;
            ml_model_free(model);
            ml_dataset_free(data);
            ml_context_free(context);
        }
    }
}

/* ---- for all of these ---- */

TEST(forest_fit, any_number_of_threads_gives_the_same_bytes)
{
    toy_check_threads("random_forest", true, TOY_SETTINGS("oob_score", "true", "warm_start", "true"));
    toy_check_threads("random_forest", false, TOY_SETTINGS("oob_score", "true", "n_estimators", "21", "max_bins", "0"));
}

TEST(forest_fit, out_of_bag_estimates_of_many_rows_do_not_show_threads)
{
    double score[2];

    for (int t = 0; t < 2; t++) {
        test_allocator a = {0};
        ml_context *context = test_context(&a, t ? 3 : 1);
        ml_dataset *data;
        ml_model *model;

        CHECK_OK(ml_dataset_make(context, "regression", "n_samples=5000,n_features=6", &data));
        model = toy_fitted(context, "random_forest", data, TOY_SETTINGS("oob_score", "true", "n_estimators", "20"));
        score[t] = *(const double *)toy_tensor(model, "oob_score").data;
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
    }
    CHECK(score[0] == score[1]);
}

TEST(forest_fit, every_failing_allocation_is_reported)
{
    CHECK(toy_check_memory(1, "extra_trees", false, TOY_SETTINGS("n_estimators", "3")) >= 15);
    CHECK(toy_check_memory(1, "random_forest", true, TOY_SETTINGS("n_estimators", "3", "oob_score", "true")) >= 15);
    CHECK(toy_check_memory(1, "random_forest", false, TOY_SETTINGS("n_estimators", "3", "warm_start", "true")) >= 10);
    CHECK(toy_check_memory(3, "random_forest", false,
                           TOY_SETTINGS("n_estimators", "3", "oob_score", "true", "max_bins", "0")) >= 15);
}
