/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of several outputs: labels and reals with a trunk in common, outputs that rows lack, losses, weights. */
#include "mlp_toys.h"

/* Outputs: "kind" three classes, "size" real, "sign" two classes, in this order. */
static ml_dataset *mixed(ml_context *context, bool missing)
{
    double X[N * D], y[N];
    int64_t kind[N], sign[N];
    ml_dataset *data;

    toy_matrix(X);
    for (size_t i = 0; i < N; i++) {
        kind[i] = missing && i % 4 == 0 ? -1 : (int64_t)(i % 3);
        y[i] = missing && i % 5 == 0 ? NAN : X[i * D] - X[i * D + 1];
        sign[i] = missing && i % 6 == 0 ? -1 : X[i * D + 2] > 0;
    }
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_add_labels(data, "kind", kind, N, -1));
    CHECK_OK(ml_dataset_add_targets(data, "size", y, N));
    CHECK_OK(ml_dataset_add_labels(data, "sign", sign, N, -1));
    return data;
}

/* ---- predictions ---- */

/* predict, probabilities and decision have the columns that the header promises; logistic outputs have 0 and z. */
static void check_layout(ml_model *model, const ml_dataset *data)
{
    static double value[3 * N], p[5 * N], z[5 * N];

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_width(model, ML_PREDICT) == 3);
    CHECK(ml_model_width(model, ML_PREDICT_PROBA) == 5 && ml_model_width(model, ML_DECISION) == 5);
    CHECK_OK(ml_model_predict(model, data, value, 3 * N));
    CHECK_OK(ml_model_predict_proba(model, data, p, 5 * N));
    CHECK_OK(ml_model_decision(model, data, z, 5 * N));
    for (size_t i = 0; i < N; i++) {
        const double *v = value + 3 * i, *q = p + 5 * i, *f = z + 5 * i;

        CHECK_CLOSE(q[0] + q[1] + q[2], 1, 1e-12);
        CHECK_CLOSE(q[3] + q[4], 1, 1e-12);
        for (size_t k = 0; k < 3; k++)
            CHECK(f[(size_t)v[0]] >= f[k] && q[(size_t)v[0]] >= q[k]);
        CHECK(v[2] == (f[4] > f[3]));
        CHECK_CLOSE(q[4], 1 / (1 + exp(f[3] - f[4])), 1e-12);
    }
}

/* What an output is after it went through a file. */
static void check_file(ml_context *context, const ml_model *model, const ml_dataset *data)
{
    static double before[3 * N], after[3 * N];
    size_t n;
    void *bytes = test_saved(model, &n);
    ml_model *loaded;
    double a, b;

    CHECK_OK(ml_model_load_memory(context, bytes, n, NULL, &loaded));
    CHECK_OK(ml_model_predict(model, data, before, 3 * N));
    CHECK_OK(ml_model_predict(loaded, data, after, 3 * N));
    CHECK_SAME_BYTES(before, sizeof before, after, sizeof after);
    CHECK_OK(ml_model_score(model, data, NULL, &a));
    CHECK_OK(ml_model_score(loaded, data, NULL, &b));
    CHECK(a == b);
    free(bytes);
    ml_model_free(loaded);
}

/* Right labels of both outputs, over the labels there are. */
static double micro_accuracy(const ml_model *model, const ml_dataset *data)
{
    static double value[3 * N];
    int32_t label[N];
    double right = 0, all = 0;

    CHECK_OK(ml_model_predict(model, data, value, 3 * N));
    for (size_t o = 0; o < 3; o += 2) {
        ml__dataset_read_labels(data, o, label);
        for (size_t i = 0; i < N; i++) {
            all += label[i] >= 0;
            right += label[i] >= 0 && value[3 * i + o] == label[i];
        }
    }
    return right / all;
}

TEST(mlp_tasks, labels_and_reals_are_learned_together)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *whole = mixed(c.context, false), *holes = mixed(c.context, true);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=40", "learning_rate_init=0.02", "max_iter=400"));
    double score, r2;

    check_layout(model, whole);
    CHECK(micro_accuracy(model, whole) > 0.9);
    check_layout(model, holes);
    check_file(c.context, model, holes);
    CHECK_OK(ml_model_score(model, holes, NULL, &score));
    CHECK_CLOSE(score, micro_accuracy(model, holes), 1e-15);
    CHECK(score > 0.9);
    CHECK_OK(ml_model_score(model, whole, "r2", &r2));
    CHECK(r2 > 0.9);
    ml_model_free(model);
    ml_dataset_free(whole);
    ml_dataset_free(holes);
    close_context(&c);
}

/* Several outputs of two classes with one column each: labels that go together or not. */
TEST(mlp_tasks, multi_label_has_one_column_for_each_label)
{
    double X[N * D], p[6 * N], got[3 * N];
    int64_t y[N];
    size_t n_close = 0;
    bench c;
    open_context(&c, 1);
    ml_model *model =
        make(c.context, WITH("hidden_layer_sizes=30", "learning_rate_init=0.02", "max_iter=500", "alpha=3"));
    ml_dataset *data;
    double score;
    ml_tensor W = {.struct_size = sizeof W};

    toy_matrix(X);
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    for (size_t o = 0; o < 3; o++) {
        const char *const names[] = {"a", "b", "c"};
        for (size_t i = 0; i < N; i++)
            y[i] = (i + o) % 7 == 0 ? -1 : X[i * D + o] > 0.2;
        CHECK_OK(ml_dataset_add_labels(data, names[o], y, N, -1));
    }
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_tensor(model, "weights.1", &W));
    CHECK(W.shape[0] == 30 && W.shape[1] == 3);
    CHECK_OK(ml_model_predict_proba(model, data, p, 6 * N));
    CHECK_OK(ml_model_predict(model, data, got, 3 * N));
    for (size_t i = 0; i < 3 * N; i++) {
        CHECK_CLOSE(p[2 * i] + p[2 * i + 1], 1, 1e-15);
        CHECK(got[i] == (p[2 * i + 1] > 0.5));
        n_close += p[2 * i + 1] > 0.5 && p[2 * i + 1] < 0.58;
    }
    CHECK(n_close > 0); /* or else another threshold would do */
    CHECK_OK(ml_model_score(model, data, NULL, &score));
    CHECK(score > 0.97);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* As scikit-learn: one column for two classes; two when a column for each is asked for. */
TEST(mlp_tasks, two_classes_have_one_column_unless_told_otherwise)
{
    static const char *const LOSSES[] = {"auto", "binary_cross_entropy", "cross_entropy"};
    int64_t y[N];
    double X[N * D], p[3][2 * N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data;

    toy_matrix(X);
    for (size_t i = 0; i < N; i++)
        y[i] = X[i * D] > 0;
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    for (size_t l = 0; l < 3; l++) {
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=5"));
        ml_tensor W = {.struct_size = sizeof W};

        CHECK_OK(ml_model_set_text(model, "loss", LOSSES[l]));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_tensor(model, "weights.1", &W));
        CHECK(W.shape[0] == 6 && W.shape[1] == (l < 2 ? 1 : 2));
        CHECK_OK(ml_model_predict_proba(model, data, p[l], 2 * N));
        ml_model_free(model);
    }
    CHECK(!memcmp(p[0], p[1], sizeof p[0]) && memcmp(p[0], p[2], sizeof p[0]));
    ml_dataset_free(data);
    close_context(&c);
}

/* A label and a share, a column each: both are logistic. */
TEST(mlp_tasks, mixed_outputs_may_both_be_logistic)
{
    double X[N * D], u[N], value[2 * N], p[2 * N], z[2 * N];
    int64_t y[N];
    size_t n_close = 0;
    bench c;
    open_context(&c, 1);
    ml_dataset *data;
    ml_model *model =
        make(c.context, WITH("loss=binary_cross_entropy", "hidden_layer_sizes=", "solver=lbfgs", "alpha=1"));

    toy_matrix(X);
    for (size_t i = 0; i < N; i++) {
        u[i] = 1 / (1 + exp(X[i * D] - X[i * D + 1]));
        y[i] = X[i * D + 2] > 0;
    }
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_add_targets(data, "share", u, N));
    CHECK_OK(ml_dataset_add_labels(data, "sign", y, N, -1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict(model, data, value, 2 * N));
    CHECK_OK(ml_model_predict_proba(model, data, p, 2 * N));
    CHECK_OK(ml_model_decision(model, data, z, 2 * N));
    for (size_t i = 0; i < N; i++) {
        CHECK(z[2 * i] == 0 && value[2 * i + 1] == (z[2 * i + 1] > 0));
        CHECK_CLOSE(p[2 * i + 1], 1 / (1 + exp(-z[2 * i + 1])), 1e-12);
        CHECK_CLOSE(value[2 * i], u[i], 0.1);
        n_close += z[2 * i + 1] > 0 && z[2 * i + 1] < 0.4;
    }
    CHECK(n_close > 0); /* or else another threshold would do */
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_tasks, a_binary_head_of_one_class_predicts_it)
{
    const int64_t y[N] = {0};
    double p[N], got[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("max_iter=3", "loss=binary_cross_entropy"));

    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    for (size_t s = 0; s < 2; s++) {
        CHECK_OK(ml_model_set_text(model, "solver", s ? "lbfgs" : "adam"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_predict_proba(model, data, p, N));
        CHECK_OK(ml_model_predict(model, data, got, N));
        for (size_t i = 0; i < N; i++)
            CHECK(p[i] == 1 && got[i] == 0);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_tasks, a_logistic_output_stays_in_its_range)
{
    double y[N], got[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("output_activation=logistic", "learning_rate_init=0.05", "max_iter=50"));

    for (size_t i = 0; i < N; i++)
        y[i] = i % 2 ? 3 : -3; /* never met */
    CHECK_OK(ml_dataset_set_targets(data, NULL, y, N));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict(model, data, got, N));
    for (size_t i = 0; i < N; i++)
        CHECK(got[i] >= 0 && got[i] <= 1);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- missing outputs ---- */

/* Rows without any output change nothing; a row with some of them does. */
TEST(mlp_tasks, rows_without_any_output_are_left_out)
{
    double X[2 * N * D], size[2 * N];
    int64_t kind[2 * N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data, *longer;
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=5", "batch_size=16")), *other;

    CHECK_OK(ml_model_clone(model, &other));
    toy_matrix(X);
    for (size_t i = 0; i < N; i++) {
        kind[i] = i % 4 ? (int64_t)(i % 3) : -1;
        size[i] = i % 4 && i % 5 == 0 ? NAN : X[i * D];
    }
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_add_labels(data, "kind", kind, N, -1));
    CHECK_OK(ml_dataset_add_targets(data, "size", size, N));
    CHECK_OK(ml_model_fit(model, data, NULL));

    for (size_t i = N; i-- > 0;) { /* each row is followed by one without outputs */
        memmove(X + 2 * i * D, X + i * D, D * sizeof *X);
        kind[2 * i] = kind[i];
        size[2 * i] = size[i];
        kind[2 * i + 1] = -1;
        size[2 * i + 1] = NAN;
        for (size_t j = 0; j < D; j++)
            X[(2 * i + 1) * D + j] = 1e6;
    }
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, 2 * N, D, 0, 0, ML_COPY, &longer));
    CHECK_OK(ml_dataset_add_labels(longer, "kind", kind, 2 * N, -1));
    CHECK_OK(ml_dataset_add_targets(longer, "size", size, 2 * N));
    CHECK_OK(ml_model_fit(other, longer, NULL));
    check_same_weights(model, other);

    size_t rows[N];
    ml_dataset *bare; /* none of these has an output: which data it is, is said */
    for (size_t i = 0; i < N; i++)
        rows[i] = 2 * i + 1;
    CHECK_OK(ml_dataset_subset(longer, rows, N, &bare));
    CHECK_FAILS(ml_model_fit(model, bare, NULL), ML_E_DATA, "mlp: none of the 60 rows has a value for any output");
    CHECK_FAILS(ml_model_fit(model, data, &(ml_fit_options){.struct_size = sizeof(ml_fit_options), .validation = bare}),
                ML_E_DATA, "mlp: validation data: none of the 60 rows has a value for any output");
    ml_dataset_free(bare);
    ml_model_free(model);
    ml_model_free(other);
    ml_dataset_free(longer);
    ml_dataset_free(data);
    close_context(&c);
}

/* A head never learns from rows that lack its output: its columns are those of a fit without the other heads' rows. */
TEST(mlp_tasks, a_head_learns_from_its_own_rows_only)
{
    double X[N * D], a[N], b[N];
    size_t rows[N], n = 0;
    const float *W_both, *W_one;
    bench c;
    open_context(&c, 1);
    ml_dataset *both, *all, *one;
    ml_model *together =
        make(c.context, WITH("hidden_layer_sizes=", "solver=lbfgs", "alpha=0", "tol=1e-9", "max_iter=9999"));
    ml_model *alone;

    CHECK_OK(ml_model_clone(together, &alone));
    toy_matrix(X);
    for (size_t i = 0; i < N; i++) {
        a[i] = i % 3 ? 2 * X[i * D] - X[i * D + 1] + 0.1 * (double)(i % 5) : NAN;
        b[i] = i % 4 ? X[i * D + 2] + 0.1 * (double)(i % 7) : NAN;
        if (i % 3)
            rows[n++] = i;
    }
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &both));
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &all));
    CHECK_OK(ml_dataset_add_targets(both, "a", a, N));
    CHECK_OK(ml_dataset_add_targets(both, "b", b, N));
    CHECK_OK(ml_dataset_add_targets(all, "a", a, N));
    CHECK_OK(ml_dataset_subset(all, rows, n, &one));
    CHECK_OK(ml_model_fit(together, both, NULL));
    CHECK_OK(ml_model_fit(alone, one, NULL));
    W_both = tensor_f32(together, "weights.0", &n);
    W_one = tensor_f32(alone, "weights.0", &n);
    for (size_t j = 0; j < D; j++)
        CHECK_CLOSE((double)W_both[2 * j], (double)W_one[j], 1e-5);
    ml_model_free(together);
    ml_model_free(alone);
    ml_dataset_free(one);
    ml_dataset_free(all);
    ml_dataset_free(both);
    close_context(&c);
}

/* ---- weights ---- */

/* A head of weight 0 has no part in the trunk; weights of classes are weights of their rows. */
TEST(mlp_tasks, weights_of_outputs_and_classes_are_their_definitions)
{
    double w[N];
    int32_t label[N];
    const float *a, *b;
    size_t n;
    bench c;
    open_context(&c, 1);
    ml_dataset *both = mixed(c.context, false), *kinds = toy_classes(c.context);
    ml_model *with = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=10", "alpha=0"));
    ml_model *without = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=10", "alpha=0"));
    float trunk[D * 6];

    CHECK_OK(ml_model_set_text(with, "loss_weights", "0,1,0"));
    CHECK_OK(ml_model_set_text(with, "solver", "sgd"));
    CHECK_OK(ml_model_set_text(with, "learning_rate_init", "0.002"));
    CHECK_OK(ml_model_fit(with, both, NULL));
    memcpy(trunk, tensor_f32(with, "weights.0", &n), sizeof trunk);
    CHECK_OK(ml_model_set_text(with, "loss_weights", "0,2,0")); /* twice the loss, half the rate */
    CHECK_OK(ml_model_set_text(with, "learning_rate_init", "0.001"));
    CHECK_OK(ml_model_fit(with, both, NULL));
    a = tensor_f32(with, "weights.0", &n);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE((double)a[i], (double)trunk[i], 1e-6);

    CHECK_OK(ml_model_set_text(with, "loss_weights", "1"));
    CHECK_OK(ml_model_set_text(with, "class_weight", "1:3,2:0"));
    CHECK_OK(ml_model_fit(with, kinds, NULL));
    ml__dataset_read_labels(kinds, 0, label);
    for (size_t i = 0; i < N; i++)
        w[i] = label[i] == 0 ? 1 : label[i] == 1 ? 3 : 0;
    CHECK_OK(ml_dataset_set_weights(kinds, w, N));
    CHECK_OK(ml_model_set_text(without, "solver", "sgd"));
    CHECK_OK(ml_model_fit(without, kinds, NULL));
    a = tensor_f32(with, "weights.0", &n);
    b = tensor_f32(without, "weights.0", &n);
    for (size_t i = 0; i < n; i++) /* one batch of all rows: the same mean */
        CHECK_CLOSE((double)a[i], (double)b[i], 1e-6);
    ml_model_free(with);
    ml_model_free(without);
    ml_dataset_free(both);
    ml_dataset_free(kinds);
    close_context(&c);
}

TEST(mlp_tasks, tables_name_output_and_class)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = mixed(c.context, true);
    ml_model *plain = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=4"));
    ml_model *model =
        make(c.context, WITH("hidden_layer_sizes=6", "max_iter=4", "class_weight=kind=0:2,kind=1:2,kind=2:2"));

    CHECK_OK(ml_model_fit(plain, data, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_same_weights(plain, model); /* only what classes count beside each other matters */
    CHECK_OK(ml_model_set_text(model, "class_weight", "sign=1:0"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_set_text(model, "class_weight", "sign=1:0,sign=0:0"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "has output 'sign'");
    CHECK_OK(ml_model_set_text(model, "class_weight", "size=1:2"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'size=1', which is not output=class");
    CHECK_OK(ml_model_set_text(model, "class_weight", "1:2"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'1', which is not output=class");
    ml_model_free(plain);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- refusals ---- */

TEST(mlp_tasks, losses_that_do_not_suit_are_refused)
{
    double y[N], w[N];
    int64_t label[N];
    size_t rows[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *classes = toy_classes(c.context), *reals = toy_reals(c.context, 2), *both = mixed(c.context, true);
    ml_dataset *other = toy_reals(c.context, 1), *view;
    ml_model *model = make(c.context, WITH("max_iter=2", "loss=squared_error"));

    CHECK_FAILS(ml_model_fit(model, classes, NULL), ML_E_PARAMETER, "'loss' is one of reals");
    CHECK_OK(ml_model_fit(model, both, NULL));
    CHECK_OK(ml_model_set_text(model, "loss", "cross_entropy"));
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_PARAMETER, "'loss' is one of labels");
    CHECK_OK(ml_model_fit(model, both, NULL));
    CHECK_OK(ml_model_set_text(model, "loss", "binary_cross_entropy"));
    CHECK_FAILS(ml_model_fit(model, classes, NULL), ML_E_PARAMETER, "output 'y' has 3 classes");
    CHECK_FAILS(ml_model_fit(model, both, NULL), ML_E_PARAMETER, "output 'kind' has 3 classes");
    for (size_t i = 0; i < N; i++) {
        y[i] = i == 40 ? 1.25 : i < 5 ? NAN : 0.5;
        rows[i] = N - 1 - i;
    }
    CHECK_OK(ml_dataset_set_targets(reals, "share", y,
                                    N)); /* the row is that of the caller's data, though five are left out */
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_DATA, "row 40 for training has 1.25 in output 'share'");
    CHECK_OK(ml_dataset_set_targets(other, "share", y, N));
    CHECK_OK(ml_dataset_subset(other, rows, N, &view));
    y[40] = 1;
    CHECK_OK(ml_dataset_set_targets(reals, "share", y, N));
    CHECK_FAILS(
        ml_model_fit(model, reals, &(ml_fit_options){.struct_size = sizeof(ml_fit_options), .validation = view}),
        ML_E_DATA, "row 19 for validation has 1.25");
    CHECK_OK(ml_model_fit(model, reals, NULL));

    CHECK_OK(ml_model_set_text(model, "loss", "auto"));
    CHECK_OK(ml_model_set_text(model, "loss_weights", "1,2"));
    CHECK_FAILS(ml_model_fit(model, both, NULL), ML_E_PARAMETER,
                "'loss_weights' has 2 numbers, the data has 3 outputs");
    CHECK_OK(ml_model_set_text(model, "loss_weights", "1"));
    for (size_t i = 0; i < N; i++) {
        label[i] = i < N / 2 ? (int64_t)(i % 2) : -1;
        w[i] = i >= N / 2;
    }
    CHECK_OK(ml_dataset_add_labels(both, "heavy", label, N, -1));
    CHECK_OK(ml_dataset_set_weights(both, w, N));
    CHECK_FAILS(ml_model_fit(model, both, NULL), ML_E_DATA,
                "no row with a weight that is left for training has output 'heavy'");
    CHECK(!ml_model_is_fitted(model) || ml_model_n_outputs(model) == 1);
    ml_model_free(model);
    ml_dataset_free(view);
    ml_dataset_free(other);
    ml_dataset_free(classes);
    ml_dataset_free(reals);
    ml_dataset_free(both);
    close_context(&c);
}

/* ---- what it is good for ---- */

/* Four outputs from the same three hidden units of a teacher: two of three classes, two reals; n rows of which each output
 * has 7 in 10. */
enum { N_TASKS = 4, WIDE = 20, HIDDEN_UNITS = 3, N_LEARN = 150, N_TEST = 1000 };

static ml_dataset *taught(ml_context *context, uint64_t seed, size_t n, bool missing, uint64_t rows)
{
    double *X = malloc(n * WIDE * sizeof *X), *y = malloc(n * sizeof *y), A[WIDE * HIDDEN_UNITS],
           B[N_TASKS * 3 * HIDDEN_UNITS];
    int64_t *label = malloc(n * sizeof *label);
    ml__rng teacher = ml__rng_make(seed, 0), rng = ml__rng_make(seed, rows);
    ml_dataset *data;

    for (size_t i = 0; i < WIDE * HIDDEN_UNITS; i++)
        A[i] = ml__rng_normal(&teacher) * sqrt(2.0 / WIDE);
    for (size_t i = 0; i < sizeof B / sizeof *B; i++)
        B[i] = ml__rng_normal(&teacher);
    for (size_t i = 0; i < n * WIDE; i++)
        X[i] = ml__rng_normal(&rng);
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, n, WIDE, 0, 0, ML_COPY, &data));
    for (size_t o = 0; o < N_TASKS; o++) {
        const char name[] = {(char)('a' + o), 0};

        for (size_t i = 0; i < n; i++) {
            double h[HIDDEN_UNITS], z[3] = {0};

            for (size_t k = 0; k < HIDDEN_UNITS; k++) {
                h[k] = 0;
                for (size_t j = 0; j < WIDE; j++)
                    h[k] += X[i * WIDE + j] * A[j * HIDDEN_UNITS + k];
                for (size_t j = 0; j < 3; j++)
                    z[j] += tanh(2 * h[k]) * B[(3 * o + j) * HIDDEN_UNITS + k];
            }
            for (size_t j = 0; j < 3; j++)
                z[j] += 0.3 * ml__rng_normal(&rng);
            label[i] = z[1] > z[0] ? z[2] > z[1] ? 2 : 1 : z[2] > z[0] ? 2 : 0;
            y[i] = z[0];
            if (missing && ml__rng_uniform(&rng) < 0.3) {
                label[i] = -1;
                y[i] = NAN;
            }
        }
        if (o < 2)
            CHECK_OK(ml_dataset_add_labels(data, name, label, n, -1));
        else
            CHECK_OK(ml_dataset_add_targets(data, name, y, n));
    }
    free(X);
    free(y);
    free(label);
    return data;
}

/* Accuracy or R2 of one output. */
static double score_of_output(const ml_dataset *data, size_t o, const double *got, size_t stride)
{
    static double want[N_TEST];
    static int32_t label[N_TEST];
    double right = 0, mean = 0, e = 0, total = 0;

    if (o < 2) {
        ml__dataset_read_labels(data, o, label);
        for (size_t i = 0; i < N_TEST; i++)
            right += got[i * stride] == label[i];
        return right / N_TEST;
    }
    ml__dataset_read_targets(data, o, want);
    for (size_t i = 0; i < N_TEST; i++)
        mean += want[i] / N_TEST;
    for (size_t i = 0; i < N_TEST; i++) {
        e += (got[i * stride] - want[i]) * (got[i * stride] - want[i]);
        total += (want[i] - mean) * (want[i] - mean);
    }
    return 1 - e / total;
}

static const char *const STUDENT[] = {
    "hidden_layer_sizes=32", "activation=tanh", "learning_rate_init=0.01", "max_iter=150",
    "n_iter_no_change=1000", "alpha=1",         "batch_size=32",           NULL};

/* Scores [N_TASKS] of one net for all outputs, and of one for each. */
static void compare(ml_context *context, uint64_t seed, double *together, double *alone)
{
    static double got[N_TASKS * N_TEST];
    ml_dataset *learn = taught(context, seed, N_LEARN, true, 1), *test = taught(context, seed, N_TEST, false, 2);
    ml_model *model = make(context, STUDENT);

    CHECK_OK(ml_model_fit(model, learn, NULL));
    CHECK_OK(ml_model_predict(model, test, got, N_TASKS * N_TEST));
    for (size_t o = 0; o < N_TASKS; o++)
        together[o] += score_of_output(test, o, got + o, N_TASKS);
    for (size_t o = 0; o < N_TASKS; o++) {
        static double X[N_LEARN * WIDE], y[N_LEARN];
        static int32_t code[N_LEARN];
        static int64_t label[N_LEARN];
        ml_dataset *one;

        CHECK_OK(ml__dataset_read(learn, 0, N_LEARN, ML_FLOAT64, X));
        CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, N_LEARN, WIDE, 0, 0, ML_COPY, &one));
        if (o < 2) {
            ml__dataset_read_labels(learn, o, code);
            for (size_t i = 0; i < N_LEARN; i++)
                label[i] = code[i];
            CHECK_OK(ml_dataset_set_labels(one, NULL, label, N_LEARN, -1));
        } else {
            ml__dataset_read_targets(learn, o, y);
            CHECK_OK(ml_dataset_set_targets(one, NULL, y, N_LEARN));
        }
        CHECK_OK(ml_model_fit(model, one, NULL));
        CHECK_OK(ml_model_predict(model, test, got, N_TEST));
        alone[o] += score_of_output(test, o, got, 1);
        ml_dataset_free(one);
    }
    ml_model_free(model);
    ml_dataset_free(learn);
    ml_dataset_free(test);
}

TEST(mlp_tasks, tasks_that_share_structure_help_each_other)
{
    enum { N_SEEDS = 10 };
    double together[N_TASKS] = {0}, alone[N_TASKS] = {0}, gain = 0;
    bench c;
    open_context(&c, 1);

    for (uint64_t seed = 0; seed < N_SEEDS; seed++)
        compare(c.context, seed, together, alone);
    for (size_t o = 0; o < N_TASKS; o++) {
        if (getenv("INVAR_VERBOSE"))
            printf("    output %zu: together %.4f, alone %.4f\n", o, together[o] / N_SEEDS, alone[o] / N_SEEDS);
        CHECK(together[o] > alone[o]);
        gain += (together[o] - alone[o]) / N_SEEDS / N_TASKS;
    }
    CHECK_MSG(gain > 0.03, "mean gain %g", gain);
    close_context(&c);
}
