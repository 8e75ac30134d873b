/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that learn on: warm_start, ml_model_partial_fit(), and the optimiser's state between calls and in files. */
#include "mlp_toys.h"

static size_t curve_length(const ml_model *model, const char *name)
{
    size_t n;

    (void)tensor_f64(model, name, &n);
    return n;
}

static void check_same_curve(const ml_model *a, const ml_model *b, const char *name)
{
    size_t n_a, n_b;
    const double *x = tensor_f64(a, name, &n_a), *y = tensor_f64(b, name, &n_b);

    CHECK_SAME_BYTES(x, n_a * sizeof *x, y, n_b * sizeof *y);
}

TEST(mlp_continue, warm_start_without_state_is_one_longer_fit)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *once = make(c.context, WITH("hidden_layer_sizes=6,5", "solver=sgd", "momentum=0", "shuffle=false",
                                          "batch_size=16", "max_iter=12", "learning_rate_init=0.1"));
    ml_model *twice = make(c.context, WITH("hidden_layer_sizes=6,5", "solver=sgd", "momentum=0", "shuffle=false",
                                           "batch_size=16", "max_iter=6", "learning_rate_init=0.1", "warm_start=true"));

    CHECK_OK(ml_model_fit(once, data, NULL));
    CHECK_OK(ml_model_fit(twice, data, NULL));
    CHECK_OK(ml_model_fit(twice, data, NULL));
    check_same_weights(once, twice);
    check_same_curve(once, twice, "loss_curve");
    CHECK(curve_length(twice, "loss_curve") == 12);
    CHECK_OK(ml_model_set_text(twice, "warm_start", "false"));
    CHECK_OK(ml_model_fit(twice, data, NULL));
    CHECK(curve_length(twice, "loss_curve") == 6);
    ml_model_free(once);
    ml_model_free(twice);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_continue, warm_start_wants_the_same_layers_and_classes)
{
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *reals = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=2", "warm_start=true"));

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "goes on with 3 layers, the parameters say 2");
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,4"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "layer 1 of 6 x 5");
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,5"));
    CHECK_OK(ml_model_set_text(model, "activation", "tanh"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "activation");
    CHECK_OK(ml_model_set_text(model, "activation", "relu"));
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_SHAPE, "output");
    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 3) + 1;
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "class 0 is '1', expected '0'");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "mlp: to learn on from, the data must be as before: ");
    CHECK(curve_length(model, "loss_curve") == 2);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(reals);
    close_context(&c);
}

TEST(mlp_continue, two_classes_that_had_two_columns_want_cross_entropy)
{
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=2", "loss=cross_entropy"));

    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 2);
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_set_text(model, "loss", "auto"));
    CHECK_FAILS(ml_model_partial_fit(model, data, NULL), ML_E_PARAMETER,
                "a layer 1 of 6 x 2 and its activation, parameters and data ask for 6 x 1 or another activation (two "
                "classes have one column unless 'loss' is cross_entropy)");
    CHECK_OK(ml_model_set_text(model, "loss", "cross_entropy"));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

static ml_model *reloaded(ml_context *context, ml_model *model)
{
    size_t n;
    void *bytes = test_saved(model, &n);
    ml_model *loaded;

    CHECK_OK(ml_model_load_memory(context, bytes, n, NULL, &loaded));
    free(bytes);
    ml_model_free(model);
    return loaded;
}

/* k calls with all rows are k epochs of one fit, also when the model went through a file in between. */
TEST(mlp_continue, partial_fits_of_all_rows_are_one_fit)
{
    static const char *const SETTINGS[][3] = {
        {"solver=adam", "alpha=0.1", "dropout=0.2"},
        {"solver=adamw", "weight_decay=0.1", "clip_norm=0.2"},
        {"solver=sgd", "momentum=0.9", "learning_rate=invscaling"},
        {"solver=sgd", "nesterovs_momentum=false", "learning_rate=cosine"},
        {"solver=adam", "learning_rate=step", "decay_epochs=3"},
        {"solver=adam", "warmup_epochs=3.5", "l1=0.01"},
    };
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS; s++) {
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=6,5", "shuffle=false", "batch_size=16", "max_iter=8",
                                               SETTINGS[s][0], SETTINGS[s][1], SETTINGS[s][2]));
        ml_model *whole;

        CHECK_OK(ml_model_clone(model, &whole));
        CHECK_OK(ml_model_fit(whole, data, NULL));
        for (size_t k = 0; k < 8; k++) {
            CHECK_OK(ml_model_partial_fit(model, data, NULL));
            CHECK(ml_model_stop_reason(model) == ML_STOP_COMPLETE);
            CHECK(curve_length(model, "loss_curve") == k + 1);
            if (k == 2)
                model = reloaded(c.context, model);
        }
        check_same_weights(model, whole);
        check_same_curve(model, whole, "loss_curve");
        CHECK_FAILS(ml_model_tensor(whole, "optimiser.progress", &(ml_tensor){.struct_size = sizeof(ml_tensor)}),
                    ML_E_ARGUMENT, "optimiser.progress"); /* a fit keeps no state */
        CHECK(tensor_f64(model, "optimiser.progress", &(size_t){0})[0] == 8 * 4);
        ml_model_free(whole);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

/* With another solver its state begins anew: as after loading without any. */
TEST(mlp_continue, another_solver_does_not_take_over_the_state)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *fitted = make(c.context, WITH("hidden_layer_sizes=6,5", "shuffle=false", "max_iter=1"));
    ml_model *partial = make(c.context, WITH("hidden_layer_sizes=6,5", "shuffle=false", "max_iter=1"));

    CHECK_OK(ml_model_fit(fitted, data, NULL));
    CHECK_OK(ml_model_partial_fit(partial, data, NULL));
    check_same_weights(fitted, partial);
    CHECK_OK(ml_model_set_text(fitted, "solver", "sgd"));
    CHECK_OK(ml_model_set_text(partial, "solver", "sgd"));
    for (size_t k = 0; k < 2; k++) {
        CHECK_OK(ml_model_partial_fit(fitted, data, NULL));
        CHECK_OK(ml_model_partial_fit(partial, data, NULL));
        check_same_weights(fitted, partial);
    }
    ml_model_free(fitted);
    ml_model_free(partial);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_continue, a_new_learning_rate_is_that_of_the_next_call)
{
    static float before[ROOM], after[ROOM];
    size_t n;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6"));

    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    n = weights_of(model, before, ROOM);
    CHECK_OK(ml_model_set_text(model, "learning_rate_init", "1e-30"));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK(weights_of(model, after, ROOM) == n);
    CHECK_SAME_BYTES(before, n * sizeof *before, after, n * sizeof *after);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_continue, partial_fits_want_the_classes_of_the_first)
{
    size_t rows[N], n_rows = 0;
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *two, *other = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6"));

    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    for (size_t i = 0; i < N; i++)
        if (i % 3)
            rows[n_rows++] = i;
    CHECK_OK(ml_dataset_subset(data, rows, n_rows, &two)); /* a class that is not there now */
    CHECK_OK(ml_model_partial_fit(model, two, NULL));
    CHECK_OK(ml_model_set_text(model, "class_weight", "balanced"));
    CHECK_OK(ml_model_partial_fit(model, two, NULL));
    CHECK(ml_model_n_classes(model, 0) == 3);
    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 4);
    CHECK_OK(ml_dataset_set_labels(other, NULL, y, N, -1));
    CHECK_FAILS(ml_model_partial_fit(model, other, NULL), ML_E_SHAPE, "4 classes, expected 3");
    CHECK_FAILS(ml_model_partial_fit(model, other, NULL), ML_E_SHAPE, "mlp: to learn on from, the data must be");
    CHECK(curve_length(model, "loss_curve") == 3);
    ml_model_free(model);
    ml_dataset_free(two);
    ml_dataset_free(other);
    ml_dataset_free(data);
    close_context(&c);
}

/* An output that no row of a later call has rests; in the first call it is missed. */
TEST(mlp_continue, an_output_may_be_absent_from_later_rows)
{
    double y[N], want[2 * N], got[2 * N];
    size_t rows[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 2), *half;
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "freeze_layers=1", "solver=sgd", "momentum=0"));

    for (size_t i = 0; i < N; i++) {
        y[i] = i < N / 2 ? NAN : (double)i / N;
        rows[i] = i;
    }
    CHECK_OK(ml_dataset_add_targets(data, "late", y, N));
    CHECK_OK(ml_dataset_subset(data, rows, N / 2, &half));
    CHECK_FAILS(ml_model_partial_fit(model, half, NULL), ML_E_DATA, "has output 'late'");
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK(ml_model_width(model, ML_PREDICT) == 3);
    for (size_t k = 0; k < 2; k++) {
        double all[3 * N];

        CHECK_OK(ml_model_predict(model, data, all, 3 * N));
        for (size_t i = 0; i < N; i++) {
            (k ? got : want)[2 * i] = all[3 * i];
            (k ? got : want)[2 * i + 1] = all[3 * i + 2];
        }
        CHECK_OK(ml_model_set_text(model, "alpha", "0"));
        CHECK_OK(ml_model_partial_fit(model, half, NULL));
    }
    for (size_t i = 0; i < N; i++) {
        CHECK(want[2 * i] != got[2 * i]);
        CHECK(want[2 * i + 1] == got[2 * i + 1]);
    }
    ml_model_free(model);
    ml_dataset_free(half);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- state in files ---- */

typedef struct state {
    const char *message;
    uint64_t n_progress;
    double progress[4];
    uint64_t n_vector[2]; /* 0: no such tensor */
    float value;
} state;

TEST(mlp_continue, broken_states_are_refused)
{
    enum { N_THETA = 3 * 2 + 2 + 2 * 3 + 3 };
    static const size_t WIDTHS[] = {D, 2, 3};
    static const int32_t LINK = ML__MLP_SOFTMAX;
    static const double THETA[N_THETA] = {0.5};
    static const state CASES[] = {
        {NULL, 4, {4, 240, ML__MLP_ADAM, 1.5}, {N_THETA, N_THETA}, 1},
        {NULL, 4, {4, 240, ML__MLP_SGD, 1.5}, {N_THETA, 0}, 1},
        {"'optimiser.vectors.0' has 5 elements for 17 weights", 4, {4, 240, ML__MLP_ADAM, 1.5}, {5, 5}, 1},
        {"'optimiser.vectors.1' has 16 elements for 17 weights", 4, {4, 240, ML__MLP_ADAM, 1.5}, {N_THETA, 16}, 1},
        {"'optimiser.progress' has 2 elements, expected 4", 2, {4, 240}, {N_THETA, N_THETA}, 1},
        {"tells of 4.5 steps", 4, {4.5, 240, ML__MLP_ADAM, 1.5}, {N_THETA, N_THETA}, 1},
        {"tells of 1e300 steps", 4, {1e300, 240, ML__MLP_ADAM, 1.5}, {N_THETA, N_THETA}, 1},
        {"steps of solver 3", 4, {4, 240, ML__MLP_LBFGS, 1.5}, {N_THETA, N_THETA}, 1},
        {"steps of solver 1e30", 4, {4, 240, 1e30, 1.5}, {N_THETA, N_THETA}, 1},
        {"'optimiser.progress': element 0 is -1", 4, {-1, 240, 0, 1.5}, {N_THETA, N_THETA}, 1},
        {"'optimiser.progress': element 3 is nan", 4, {4, 240, ML__MLP_ADAM, NAN}, {N_THETA, N_THETA}, 1},
        {"'optimiser.vectors.1' is missing", 4, {4, 240, ML__MLP_ADAM, 1.5}, {N_THETA, 0}, 1},
        {"'optimiser.vectors.0' has 18 elements for 17 weights", 4, {4, 240, ML__MLP_SGD, 1.5}, {N_THETA + 1, 0}, 1},
        {"'optimiser.vectors.1': element 0 is -1", 4, {4, 240, ML__MLP_ADAM, 1.5}, {N_THETA, N_THETA}, -1},
        {"'optimiser.vectors.0': element 0 is nan", 4, {4, 240, ML__MLP_SGD, 1.5}, {N_THETA, 0}, NAN},
    };
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const state *s = &CASES[i];
        ml_model *model = model_of(c.context, data, WIDTHS, 2, ML__MLP_RELU, &LINK, THETA);
        double *progress = ml__learned_add(model->learned, "optimiser.progress", ML_FLOAT64, 1, &s->n_progress);

        memcpy(progress, s->progress, s->n_progress * sizeof *progress);
        for (size_t v = 0; v < 2 && s->n_vector[v]; v++) {
            const char *const names[] = {"optimiser.vectors.0", "optimiser.vectors.1"};
            float *vector = ml__learned_add(model->learned, names[v], ML_FLOAT32, 1, &s->n_vector[v]);
            vector[0] = s->value;
        }
        if (s->message) {
            CHECK_REFUSED(model, s->message);
        } else {
            CHECK_OK(ml__learned_validate(model, model->learned, false));
            CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "2"));
            CHECK_OK(ml_model_set_text(model, "solver", s->progress[2] > 0 ? "sgd" : "adam"));
            CHECK_OK(ml_model_partial_fit(model, data, NULL));
            CHECK(tensor_f64(model, "optimiser.progress", &(size_t){0})[0] == 5);
        }
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}
