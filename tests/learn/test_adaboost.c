/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/learn.h"
#include "tree_toys.h"

/* ---- SAMME against scikit-learn ---- */

/* Training error after each round. */
static void training_errors(const ml_model *model, const ml_dataset *data, const double *y, double *out)
{
    const size_t n = ml_dataset_n_rows(data), T = ml_model_stage_count(model);
    double *h = malloc(T * n * sizeof *h);

    CHECK_OK(ml_model_staged_predict(model, data, ML_PREDICT, h, T * n));
    for (size_t t = 0; t < T; t++) {
        out[t] = 0;
        for (size_t i = 0; i < n; i++)
            out[t] += (h[t * n + i] != y[i]) / (double)n;
    }
    free(h);
}

static void check_samme_set(const double *x, size_t n, size_t d, const char *const *settings, double tolerance,
                            const double **at)
{
    const double *set = *at, *y = set + 4, *w = y + n, *errors = w + n;
    const size_t K = (size_t)set[0], T = (size_t)set[1];
    const double *weights = errors + T, *curve = weights + T, *decision = curve + T, *proba = decision + 20 * K;
    int64_t *labels = malloc(n * sizeof *labels);
    double *got = malloc(n * K * sizeof *got), *staged = malloc(T * sizeof *staged);
    ml_dataset *data;
    ml_model *model = toy_model(NULL, "adaboost");

    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)y[i];
    data = toy_labels(NULL, x, n, d, labels);
    if (set[3] != 0)
        CHECK_OK(ml_dataset_set_weights(data, w, n));
    CHECK_OK(ml_model_set_int(model, "n_estimators", (int64_t)T));
    CHECK_OK(ml_model_set_real(model, "learning_rate", set[2]));
    CHECK_OK(ml_model_add_member(model, "tree", toy_model(NULL, "decision_tree")));
    for (; *settings; settings += 2)
        CHECK_OK(ml_model_set_text(model, settings[0], settings[1]));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_member_count(model) == T);
    training_errors(model, data, y, staged);
    for (size_t t = 0; t < T; t++) {
        CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_errors").data)[t], errors[t], tolerance);
        CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_weights").data)[t], weights[t], tolerance);
        CHECK_CLOSE(staged[t], curve[t], tolerance);
    }
    CHECK_OK(ml_model_decision(model, data, got, n * K));
    for (size_t i = 0; i < 20 * K; i++)
        CHECK_CLOSE(got[i], decision[i], tolerance);
    CHECK_OK(ml_model_predict_proba(model, data, got, n * K));
    for (size_t i = 0; i < 20 * K; i++)
        CHECK_CLOSE(got[i], proba[i], tolerance);
    *at = proba + 20 * K;
    free(labels);
    free(got);
    free(staged);
    ml_model_free(model);
    ml_dataset_free(data);
}

static void check_samme_file(const char *name, const char *const *const *settings, double tolerance)
{
    size_t n_numbers;
    double *numbers = test_read_numbers(test_expected_path(name), &n_numbers);
    const size_t n = (size_t)numbers[0], d = (size_t)numbers[1];
    const double *x = numbers + 3, *next = x + n * d;

    for (size_t s = 0; s < (size_t)numbers[2]; s++)
        check_samme_set(x, n, d, settings[s], tolerance, &next);
    CHECK(next == numbers + n_numbers);
    free(numbers);
}

/* With 180 values at most, codes are exact. */
TEST(adaboost, samme_is_that_of_scikit_learn)
{
    const char *const *const coded = TOY_SETTINGS("algorithm", "samme", "tree__max_depth", "1", "max_bins", "255");
    const char *const *const ranked = TOY_SETTINGS("algorithm", "samme", "tree__max_depth", "1", "max_bins", "0");

    check_samme_file("adaboost_samme.txt", (const char *const *const[]){coded, coded, coded}, 1e-12);
    check_samme_file("adaboost_samme.txt", (const char *const *const[]){ranked, ranked, ranked}, 1e-12);
}

/* A tree rounds weights to 2^-52 of their sum, of which logarithms of small shares make more. */
TEST(adaboost, samme_r_is_that_of_scikit_learn)
{
    for (int coded = 0; coded < 2; coded++) {
        const char *const max_bins = coded ? "255" : "0";
        const char *const *const stump =
            TOY_SETTINGS("algorithm", "samme_r", "tree__max_depth", "1", "max_bins", max_bins);
        const char *const *const tree =
            TOY_SETTINGS("algorithm", "samme_r", "tree__max_depth", "2", "max_bins", max_bins);

        check_samme_file("adaboost_samme_r.txt", (const char *const *const[]){stump, tree, stump}, 1e-10);
    }
}

/* ---- R2 against scikit-learn, on the same draws ---- */

static void check_r2(const ml_dataset *data, const char *base, const char *loss, const double **at)
{
    const double *set = *at, *errors = set + 3;
    const size_t T = (size_t)set[0], n = ml_dataset_n_rows(data);
    const double *weights = errors + T, *want = weights + T;
    ml_model *model = toy_model(NULL, "adaboost"), *member = toy_model(NULL, base);
    double *got;

    if (!strcmp(base, "decision_tree")) {
        CHECK_OK(ml_model_set_int(member, "max_depth", 2));
        CHECK_OK(ml_model_set_int(member, "min_samples_leaf", 10));
    }
    CHECK_OK(ml_model_add_member(model, "estimator", member));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 20));
    CHECK_OK(ml_model_set_text(model, "loss", loss));
    CHECK_OK(ml_model_set_real(model, "learning_rate", set[1]));
    CHECK_OK(ml_model_set_int(model, "random_state", (int64_t)set[2]));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_MSG(ml_model_member_count(model) == T, "%zu rounds, expected %zu", ml_model_member_count(model), T);
    CHECK(ml_model_stop_reason(model) == (T < 20 ? ML_STOP_EARLY : ML_STOP_COMPLETE));
    for (size_t t = 0; t < T; t++) {
        CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_errors").data)[t], errors[t], 1e-12);
        CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_weights").data)[t], weights[t], 1e-12);
    }
    got = toy_predictions(model, data);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(got[i], want[i], 1e-12);
    *at = want + n;
    free(got);
    ml_model_free(model);
}

TEST(adaboost, r2_is_that_of_scikit_learn)
{
    static const char *const BASES[] = {"linear_regression", "decision_tree"}, *const LOSSES[] = {"linear", "square",
                                                                                                  "exponential"};
    size_t n_numbers;
    double *numbers = test_read_numbers(test_expected_path("adaboost_r2.txt"), &n_numbers);
    const size_t n = (size_t)numbers[0], d = (size_t)numbers[1];
    const double *next = numbers + 2 + n * d + n;
    ml_dataset *data = toy_reals(NULL, numbers + 2, n, d, numbers + 2 + n * d);

    for (int base = 0; base < 2; base++)
        for (int loss = 0; loss < 3; loss++)
            check_r2(data, BASES[base], LOSSES[loss], &next);
    CHECK(next == numbers + n_numbers);
    ml_dataset_free(data);
    free(numbers);
}

/* The default base for reals is that tree. */
TEST(adaboost, default_bases)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *a = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("n_estimators", "6")),
                 *b = toy_model(NULL, "adaboost"), *tree = toy_model(NULL, "decision_tree");
        double *p, *q;

        CHECK_OK(ml_model_set_int(tree, "max_depth", labels ? 1 : 3));
        CHECK_OK(ml_model_add_member(b, "estimator", tree));
        CHECK_OK(ml_model_set_int(b, "n_estimators", 6));
        CHECK_OK(ml_model_fit(b, data, NULL));
        CHECK(ml_model_member_count(a) == 6 && !strcmp(ml_model_kind(ml_model_member(a, 0)), "decision_tree"));
        CHECK(!strcmp(ml_model_member_name(a, 5), "5"));
        p = toy_predictions(a, data);
        q = toy_predictions(b, data);
        CHECK_SAME_BYTES(p, TOY_ROWS * sizeof *p, q, TOY_ROWS * sizeof *q);
        free(p);
        free(q);
        ml_model_free(a);
        ml_model_free(b);
        ml_dataset_free(data);
    }
}

/* ---- any base ---- */

/* A base that takes no weights is fitted on rows drawn by them. */
TEST(adaboost, a_base_without_weights_is_resampled)
{
    ml_dataset *data = test_table(NULL, "iris");
    ml_model *model = toy_model(NULL, "adaboost"), *pipe = toy_model(NULL, "pipeline");

    CHECK_OK(ml_model_add_member(pipe, "scale", toy_model(NULL, "standard_scaler")));
    CHECK_OK(ml_model_add_member(pipe, "net", toy_model(NULL, "mlp")));
    CHECK_OK(ml_model_set_int(pipe, "net__max_iter", 20));
    CHECK_OK(ml_model_add_member(model, "estimator", pipe));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 3));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_member_count(model) == 3);
    CHECK(toy_score(model, data) > 0.8);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, boosting_helps_a_stump)
{
    ml_dataset *all = test_table(NULL, "breast_cancer"), *train, *test;
    ml_model *boosted, *stump;

    toy_split(all, &train, &test);
    boosted = toy_fitted(NULL, "adaboost", train, NULL);
    stump = toy_fitted(NULL, "decision_tree", train, TOY_SETTINGS("max_depth", "1"));
    CHECK(toy_score(boosted, test) > toy_score(stump, test) + 0.02);
    CHECK(toy_score(boosted, train) > 0.98);
    ml_model_free(boosted);
    ml_model_free(stump);
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_dataset_free(all);
}

TEST(adaboost, it_can_be_nested_and_takes_one_member)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *outer = toy_model(NULL, "adaboost"), *inner = toy_model(NULL, "adaboost"),
             *second = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_model_set_int(inner, "n_estimators", 3));
    CHECK_OK(ml_model_set_int(outer, "n_estimators", 2));
    CHECK_OK(ml_model_add_member(outer, "estimator", inner));
    CHECK_FAILS(ml_model_add_member(outer, "other", second), ML_E_UNSUPPORTED, "at most 1 member");
    CHECK_OK(ml_model_fit(outer, data, NULL));
    CHECK(toy_score(outer, data) > 0.6);
    ml_model_free(outer);
    ml_model_free(second);
    ml_dataset_free(data);
}

TEST(adaboost, what_it_can_do_is_what_its_base_can)
{
    ml_dataset *labels = toy_data(NULL, true), *reals = toy_data(NULL, false);
    ml_model *model = toy_model(NULL, "adaboost");

    CHECK_OK(ml_model_add_member(model, "estimator", toy_model(NULL, "linear_regression")));
    CHECK_FAILS(ml_model_fit(model, labels, NULL), ML_E_UNSUPPORTED, "adaboost does not learn labels");
    CHECK_OK(ml_model_fit(model, reals, NULL));
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

/* The most voted class is also the likeliest, and what predict says. */
TEST(adaboost, votes_and_shares_agree)
{
    ml_dataset *data = test_table(NULL, "digits");
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("n_estimators", "25", "learning_rate", "1e-9"));
    const size_t n = ml_dataset_n_rows(data);
    double *votes = malloc(10 * n * sizeof *votes), *shares = malloc(10 * n * sizeof *shares);
    double *predicted = toy_predictions(model, data);

    CHECK_OK(ml_model_decision(model, data, votes, 10 * n));
    CHECK_OK(ml_model_predict_proba(model, data, shares, 10 * n));
    for (size_t i = 0; i < n; i++) {
        double sum = 0, total = 0;
        size_t best = 0;
        for (size_t k = 0; k < 10; k++) {
            best = votes[10 * i + k] > votes[10 * i + best] ? k : best;
            sum += shares[10 * i + k];
            total += votes[10 * i + k];
        }
        CHECK((double)best == predicted[i]);
        CHECK_CLOSE(sum, 1, 1e-14);
        CHECK_CLOSE(total, 1, 1e-14);
    }
    free(votes);
    free(shares);
    free(predicted);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- where it ends ---- */

static void check_one_round(const ml_model *model)
{
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
    CHECK(ml_model_member_count(model) == 1);
    CHECK(((const double *)toy_tensor(model, "estimator_weights").data)[0] == 1);
    CHECK(((const double *)toy_tensor(model, "estimator_errors").data)[0] == 0);
}

TEST(adaboost, a_perfect_learner_ends_it_with_a_finite_weight)
{
    static const double X[] = {1, 2, 3, 4}, T[] = {7, 7, 7.5, 7.5};
    static const int64_t Y[] = {5, 5, 6, 6};
    ml_dataset *labels = toy_labels(NULL, X, 4, 1, Y), *reals = toy_reals(NULL, X, 4, 1, T);
    ml_model *model = toy_fitted(NULL, "adaboost", labels, NULL);
    double out[8];

    check_one_round(model);
    CHECK_OK(ml_model_predict_proba(model, labels, out, 8));
    CHECK_CLOSE(out[0], 1 / (1 + exp(-1.0)), 1e-15);
    for (int64_t seed = 0; ml_model_is_fitted(model) && seed < 20; seed++) {
        /* a sample without one of the two values cannot be perfect: take the first that is */
        CHECK_OK(ml_model_set_int(model, "random_state", seed));
        CHECK_OK(ml_model_fit(model, reals, NULL));
        if (ml_model_stop_reason(model) == ML_STOP_CONVERGED && ml_model_member_count(model) == 1)
            break;
    }
    check_one_round(model);
    CHECK_OK(ml_model_predict(model, reals, out, 4));
    CHECK(out[0] == 7 && out[3] == 7.5);
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

TEST(adaboost, one_class_and_one_row)
{
    static const double X[] = {1, 2, 3}, T[] = {4};
    static const int64_t Y[] = {8, 8, 8};
    ml_dataset *labels = toy_labels(NULL, X, 3, 1, Y), *reals = toy_reals(NULL, X, 1, 1, T);
    ml_model *model = toy_fitted(NULL, "adaboost", labels, NULL);
    double out[3];

    check_one_round(model);
    CHECK_OK(ml_model_predict_proba(model, labels, out, 3));
    CHECK(out[0] == 1 && out[2] == 1);
    CHECK_OK(ml_model_fit(model, reals, NULL));
    check_one_round(model);
    CHECK_OK(ml_model_predict(model, reals, out, 1));
    CHECK(out[0] == 4);
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

/* On constant features a stump says the majority of the weights: 0.4 wrong, then 0.5, which is no better than chance. */
TEST(adaboost, a_round_that_cannot_help_is_dropped)
{
    static const double X[] = {1, 1, 1, 1, 1};
    static const int64_t Y[] = {0, 0, 0, 1, 1};
    ml_dataset *data = toy_labels(NULL, X, 5, 1, Y);
    ml_model *model = toy_fitted(NULL, "adaboost", data, NULL);

    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    CHECK(ml_model_member_count(model) == 1);
    CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_errors").data)[0], 0.4, 1e-15);
    CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_weights").data)[0], log(1.5), 1e-15);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, a_first_round_no_better_than_chance_is_an_error)
{
    static const double X[] = {1, 1, 1, 1}, T[] = {0, 0, 0, 1};
    static const int64_t Y[] = {0, 0, 1, 1};
    ml_dataset *labels = toy_labels(NULL, X, 4, 1, Y), *reals = toy_reals(NULL, X, 4, 1, T),
               *good = toy_data(NULL, false);
    ml_model *model = toy_fitted(NULL, "adaboost", good, NULL), *before;
    ml_status st = ML_OK;

    CHECK_OK(ml_model_clone(model, &before));
    CHECK_FAILS(ml_model_fit(model, labels, NULL), ML_E_NUMERIC,
                "adaboost: the first decision_tree is no better than chance: error 0.5, to be below 0.5");
    toy_same_models(model, before);
    for (int64_t seed = 0; st == ML_OK && seed < 100; seed++) { /* until the one is drawn too often */
        CHECK_OK(ml_model_set_int(model, "random_state", seed));
        st = ml_model_fit(model, reals, NULL);
    }
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_NUMERIC, "the first decision_tree is no better than chance");
    ml_model_free(model);
    ml_model_free(before);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
    ml_dataset_free(good);
}

/* The same data for an AdaBoost of AdaBoosts: on equal shares of both classes the inner one fails in its first round. */
TEST(adaboost, a_base_that_breaks_down_later_leaves_the_rounds_so_far)
{
    static const double X[] = {1, 1, 1, 1, 1};
    static const int64_t Y[] = {0, 0, 0, 1, 1};
    ml_dataset *data = toy_labels(NULL, X, 5, 1, Y);
    ml_model *model = toy_model(NULL, "adaboost"), *inner = toy_model(NULL, "adaboost");
    double out[5];

    CHECK_OK(ml_model_add_member(model, "inner", inner));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    CHECK(ml_model_member_count(model) == 1);
    CHECK_CLOSE(((const double *)toy_tensor(model, "estimator_weights").data)[0], log(1.5), 1e-15);
    CHECK_OK(ml_model_predict(model, data, out, 5));
    CHECK(out[0] == 0 && out[4] == 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* A large learning rate sends the first weights to infinity: the round before that is kept. */
TEST(adaboost, overflowing_weights_end_it)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("learning_rate", "1e6"));

    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    CHECK(ml_model_member_count(model) == 1);
    CHECK(toy_score(model, data) > 0.5);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, vanishing_weights_end_it)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("learning_rate", "1e6", "loss", "exponential"));

    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    CHECK(ml_model_member_count(model) == 1);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, the_deadline_leaves_the_rounds_so_far)
{
    ml_dataset *data = toy_data(NULL, true);
    const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
    ml_model *model = toy_model(NULL, "adaboost");

    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE);
    CHECK(ml_model_member_count(model) == 1);
    CHECK(toy_score(model, data) > 0.5);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, a_deadline_in_its_only_round_is_its_stop_reason)
{
    const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = toy_model(NULL, "adaboost"), *base = toy_model(NULL, "logistic_regression");

    CHECK_OK(ml_model_set_int(model, "n_estimators", 1));
    CHECK_OK(ml_model_add_member(model, "base", base));
    CHECK_OK(ml_model_fit(model, iris, &options));
    CHECK(ml_model_stop_reason(ml_model_member(model, 0)) == ML_STOP_DEADLINE);
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE);
    CHECK(toy_score(model, iris) > 0.6);
    ml_model_free(model);
    ml_dataset_free(iris);
}

/* ---- files ---- */

TEST(adaboost, damaged_tensors_are_refused)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("n_estimators", "3"));
    ml__learned *learned = model->learned;
    ml__learned *theirs = learned->members.items[1].model->learned;
    double *alpha;

    CHECK_OK(ml__learned_validate(model, learned, false));
    CHECK_REFUSED_VALUE(model, "estimator_weights", 1, 0, "tensor 'estimator_weights': element 1 is 0");
    CHECK_REFUSED_VALUE(model, "estimator_weights", 1, -1, "tensor 'estimator_weights': element 1 is -1");
    CHECK_REFUSED_VALUE(model, "estimator_weights", 1, NAN, "tensor 'estimator_weights': element 1");
    CHECK_REFUSED_VALUE(model, "estimator_errors", 2, -1, "tensor 'estimator_errors': element 2 is -1");
    CHECK_REFUSED_SIZE(model, "estimator_weights", 0, 2, "dimension 0");
#define REFUSED(place, wrong, text)              \
    do {                                         \
        const uint64_t kept = (uint64_t)(place); \
        (place) = (wrong);                       \
        CHECK_REFUSED(model, text);              \
        (place) = kept;                          \
    } while (0)
    REFUSED(learned->members.n, 2, "'estimator_weights' has 3 elements for 2 members");
    REFUSED(theirs->task, ML__REGRESS, "member 1 has learned another task");
    REFUSED(theirs->schema.n_features, 2, "member 1 has 2 features, expected 3");
    REFUSED(theirs->schema.outputs[0].n_classes, 2, "member 1 has other classes");
#undef REFUSED
    {
        ml_dataset *reals = toy_data(NULL, false);
        ml_model *regressor = toy_fitted(NULL, "adaboost", reals, TOY_SETTINGS("n_estimators", "3"));
        const uint64_t shape[] = {1};

        CHECK(ml__learned_add(regressor->learned, "votes_by_probability", ML_INT32, 1, shape));
        CHECK_REFUSED(regressor, "'votes_by_probability' is for labels");
        ml_model_free(regressor);
        ml_dataset_free(reals);
    }
    alpha = test_tensor(model, "estimator_weights")->data;
    alpha[0] = alpha[1] = 1.7e308;
    CHECK_REFUSED(model, "the sum is not finite");
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, saved_and_loaded_it_predicts_the_same_bits)
{
    for (int kind = 0; kind < 3; kind++) { /* R2, SAMME, SAMME.R */
        ml_dataset *data = toy_data(NULL, kind > 0);
        ml_model *model = toy_fitted(NULL, "adaboost", data,
                                     TOY_SETTINGS("n_estimators", "12", "algorithm", kind == 2 ? "samme_r" : "samme")),
                 *loaded;
        size_t n_bytes;
        void *bytes = test_saved(model, &n_bytes);
        double *a = toy_predictions(model, data), *b;

        CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
        b = toy_predictions(loaded, data);
        CHECK_SAME_BYTES(a, TOY_ROWS * sizeof *a, b, TOY_ROWS * sizeof *b);
        free(a);
        free(b);
        free(bytes);
        ml_model_free(model);
        ml_model_free(loaded);
        ml_dataset_free(data);
    }
}

/* ---- contract ---- */

TEST(adaboost, any_number_of_threads_gives_the_same_bytes)
{
    toy_check_threads("adaboost", true, NULL);
    toy_check_threads("adaboost", true, TOY_SETTINGS("max_bins", "0"));
    toy_check_threads("adaboost", true, TOY_SETTINGS("algorithm", "samme_r"));
    toy_check_threads("adaboost", true, TOY_SETTINGS("algorithm", "samme_r", "max_bins", "0"));
    toy_check_threads("adaboost", false, NULL);
}

TEST(adaboost, every_failing_allocation_is_reported)
{
    CHECK(toy_check_memory(1, "adaboost", true, TOY_SETTINGS("n_estimators", "3")) >= 20);
    CHECK(toy_check_memory(1, "adaboost", true, TOY_SETTINGS("n_estimators", "3", "max_bins", "0")) >= 50);
    CHECK(toy_check_memory(1, "adaboost", true, TOY_SETTINGS("n_estimators", "3", "algorithm", "samme_r")) >= 20);
    CHECK(toy_check_memory(1, "adaboost", true,
                           TOY_SETTINGS("n_estimators", "3", "algorithm", "samme_r", "max_bins", "0")) >= 50);
    CHECK(toy_check_memory(1, "adaboost", false, TOY_SETTINGS("n_estimators", "3")) >= 50);
}

/* Each round ticks once for itself and, when it is the base's own fit, once for the tree in it. */
TEST(adaboost, cancel_leaves_the_model_unchanged)
{
    CHECK(toy_check_cancel("adaboost", true, TOY_SETTINGS("n_estimators", "5")) == 5);
    CHECK(toy_check_cancel("adaboost", true, TOY_SETTINGS("n_estimators", "5", "max_bins", "0")) == 10);
    CHECK(toy_check_cancel("adaboost", false, TOY_SETTINGS("n_estimators", "5")) == 10);
}
