/* SPDX-License-Identifier: Apache-2.0 */
/* Solvers of the networks: when lbfgs ends and what it refuses; dropout; the bits of all of them. */
#include <time.h>

#include "mlp_toys.h"

static size_t curve_length(const ml_model *model)
{
    size_t n;

    (void)tensor_f64(model, "loss_curve", &n);
    return n;
}

/* ---- lbfgs ---- */

TEST(mlp_solvers, lbfgs_says_why_it_ended)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=5", "max_iter=7", "tol=1e-9"));
    const double *curve;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER && curve_length(model) == 7);
    curve = tensor_f64(model, "loss_curve", &(size_t){0});
    for (size_t i = 1; i < 7; i++)
        CHECK(curve[i] < curve[i - 1]);
    CHECK_OK(ml_model_set_text(model, "max_fun", "4")); /* one at the start, one or more each iteration */
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER && curve_length(model) <= 3);
    CHECK_OK(ml_model_set_text(model, "max_fun", "1")); /* the start only */
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER && curve_length(model) == 0);
    CHECK_OK(ml_model_set_text(model, "max_fun", "100000"));
    CHECK_OK(ml_model_set_text(model, "max_iter", "100000"));
    CHECK_OK(ml_model_set_text(model, "alpha", "3"));
    CHECK_OK(ml_model_set_text(model, "tol", "1e-5"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED && curve_length(model) > 7);
    CHECK_OK(
        ml_model_fit(model, data, &(ml_fit_options){.struct_size = sizeof(ml_fit_options), .deadline_seconds = 1e-9}));
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE && curve_length(model) == 1);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_solvers, lbfgs_refuses_what_changes_its_objective)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *two;
    ml_model *model = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=5,4", "dropout=0,0.1", "max_iter=5"));

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "solver lbfgs takes no dropout");
    CHECK_OK(ml_model_set_text(model, "dropout", "0,0"));
    CHECK_OK(ml_model_set_text(model, "clip_norm", "0.5"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "clip_norm is 0.5, solver lbfgs has no steps");
    CHECK_OK(ml_model_set_text(model, "clip_norm", "0"));
    CHECK_OK(ml_model_set_text(model, "alpha", "1e308"));
    CHECK_OK(ml_dataset_subset(data, (const size_t[]){0, 1}, 2, &two));
    CHECK_FAILS(ml_model_fit(model, two, NULL), ML_E_NUMERIC, "mlp: solver lbfgs: the loss is not finite at the start");
    ml_dataset_free(two);
    CHECK_OK(ml_model_set_text(model, "alpha", "1e-4"));
    CHECK_OK(ml_model_set_text(model, "transfer_rate", "0"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "transfer_rate is 0, solver lbfgs has one rate");
    CHECK_OK(ml_model_set_text(model, "transfer_rate", "1"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_model_partial_fit(model, data, NULL), ML_E_PARAMETER, "cannot learn on");
    CHECK(curve_length(model) == 5);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

typedef struct logs {
    size_t n;
    char text[512];
} logs;

static void note(void *user, int32_t level, const char *message)
{
    logs *l = user;

    if (level == ML_LOG_WARNING) {
        l->n++;
        snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s\n", message);
    }
}

/* What it leaves out of account, and where it ends before it has converged, the log tells. */
TEST(mlp_solvers, lbfgs_tells_what_it_does_not_use)
{
    static const struct {
        const char *settings[2], *message;
        bool is_validated;
    } CASES[] = {
        {{"early_stopping=true", "max_iter=3"}, "mlp: solver lbfgs does not use early_stopping\n", false},
        {{"max_iter=3", "max_fun=9"}, "mlp: solver lbfgs does not use the validation data\n", true},
        {{"learning_rate=cosine", "warmup_epochs=1"},
         "use learning_rate\nmlp: solver lbfgs does not use warmup_epochs\n",
         false},
        {{"warmup_epochs=1", "max_iter=3"}, "mlp: solver lbfgs does not use warmup_epochs\n", false},
        {{"max_iter=3", "max_fun=99"}, "mlp: max_iter = 3 were not enough to converge: 3 iterations, ", false},
        {{"max_iter=9", "max_fun=4"}, "mlp: max_fun = 4 were not enough to converge: ", false},
        {{"alpha=100", "tol=0.1"}, NULL, false},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        logs l = {0, ""};
        const ml_context_options with_log = {.struct_size = sizeof with_log, .log = note, .log_user = &l};
        ml_context *context;

        CHECK_OK(ml_context_create(&with_log, &context));
        ml_dataset *data = toy_classes(context);
        ml_model *model =
            make(context, WITH("solver=lbfgs", "hidden_layer_sizes=5", CASES[i].settings[0], CASES[i].settings[1]));
        const ml_fit_options options = {.struct_size = sizeof options,
                                        .validation = CASES[i].is_validated ? data : NULL};

        CHECK_OK(ml_model_fit(model, data, &options));
        CHECK(CASES[i].message ? strstr(l.text, CASES[i].message) != NULL : !l.n);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
    }
}

/* Rows in several blocks. */
static ml_dataset *many_rows(ml_context *context)
{
    ml_dataset *data = toy_classes(context), *many;
    size_t rows[1500];

    for (size_t i = 0; i < 1500; i++)
        rows[i] = i % N;
    CHECK_OK(ml_dataset_subset(data, rows, 1500, &many));
    ml_dataset_free(data);
    return many;
}

typedef struct watcher {
    size_t n_steps, after; /* iterations; how many of them before the answer */
    int32_t answer;
} watcher;

/* Answers within an evaluation: a pause after the iteration before makes sure that it is asked there. */
static int32_t watch(void *user, const ml_progress *progress)
{
    watcher *w = user;

    if (*progress->metric) {
        if (++w->n_steps == w->after)
            (void)nanosleep(&(struct timespec){0, 80 * 1000 * 1000}, NULL);
        return ML_MONITOR_CONTINUE;
    }
    CHECK(progress->done == w->n_steps);
    return w->n_steps >= w->after ? w->answer : ML_MONITOR_CONTINUE;
}

TEST(mlp_solvers, lbfgs_ends_within_an_evaluation_with_the_last_iteration)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = many_rows(c.context);
    ml_model *model = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=5", "tol=1e-9", "max_iter=50"));

    for (size_t after = 0; after <= 3; after += 3) {
        watcher w = {.after = after, .answer = ML_MONITOR_STOP};
        const ml_fit_options options = {.struct_size = sizeof options, .monitor = watch, .monitor_user = &w};
        ml_model *whole;
        size_t n;
        void *bytes;

        CHECK_OK(ml_model_fit(model, data, &options));
        CHECK(ml_model_stop_reason(model) == ML_STOP_MONITOR);
        CHECK(curve_length(model) == after && w.n_steps == after);
        CHECK_OK(ml_model_clone(model, &whole));
        if (after) {
            CHECK_OK(ml_model_set_int(whole, "max_iter", (int64_t)after));
            CHECK_OK(ml_model_fit(whole, data, NULL));
        } else { /* as drawn */
            CHECK_OK(ml_model_set_int(whole, "max_fun", 1));
            CHECK_OK(ml_model_fit(whole, data, NULL));
        }
        check_same_weights(model, whole);
        ml_model_free(whole);
        w = (watcher){.after = after, .answer = ML_MONITOR_CANCEL};
        CHECK_FAILS(ml_model_fit(model, data, &options), ML_E_CANCELLED, "mlp");
        CHECK(curve_length(model) == after);
        bytes = test_saved(model, &n); /* usable, also without any iteration */
        CHECK_OK(ml_model_load_memory(c.context, bytes, n, NULL, &whole));
        free(bytes);
        ml_model_free(whole);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* early_stopping holds no rows out, a validation set is not looked at, rows in blocks are one sum. */
TEST(mlp_solvers, lbfgs_learns_from_all_rows)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model =
        make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=4", "max_iter=9", "early_stopping=true"));
    ml_model *plain = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=4", "max_iter=9"));

    CHECK_OK(ml_model_fit(plain, data, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_same_weights(model, plain);
    CHECK_OK(ml_model_fit(model, data, &(ml_fit_options){.struct_size = sizeof(ml_fit_options), .validation = data}));
    check_same_weights(model, plain);
    ml_model_free(model);
    ml_model_free(plain);
    ml_dataset_free(data);
    close_context(&c);
}

/* 60 rows are one block; ten times each row are two, of the same objective but for the penalty. */
TEST(mlp_solvers, lbfgs_adds_its_blocks_of_rows)
{
    size_t rows[10 * N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *tenfold;
    ml_model *one = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=4", "max_iter=4", "alpha=0.5"));
    ml_model *ten = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=4", "max_iter=4", "alpha=5"));
    const double *a, *b;
    size_t n;

    for (size_t i = 0; i < 10 * N; i++)
        rows[i] = i % N;
    CHECK_OK(ml_dataset_subset(data, rows, 10 * N, &tenfold));
    CHECK_OK(ml_model_fit(one, data, NULL));
    CHECK_OK(ml_model_fit(ten, tenfold, NULL));
    a = tensor_f64(one, "loss_curve", &n);
    b = tensor_f64(ten, "loss_curve", &n);
    for (size_t i = 0; i < 4; i++)
        CHECK_CLOSE(a[i], b[i], 1e-9);
    ml_model_free(one);
    ml_model_free(ten);
    ml_dataset_free(tenfold);
    ml_dataset_free(data);
    close_context(&c);
}

/* Rows of weight 0, 1, 2 are rows that are there as often. */
TEST(mlp_solvers, lbfgs_takes_weights_as_repetitions)
{
    size_t rows[2 * N], n_rows = 0, n;
    double w[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *source = toy_classes(c.context), *repeated;
    ml_model *one = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=4", "max_iter=5", "alpha=0.5"));
    ml_model *two = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=4", "max_iter=5", "alpha=0.5"));
    const double *a, *b;

    for (size_t i = 0; i < N; i++) {
        w[i] = (double)(i / 3 % 3);
        for (size_t k = 0; k < i / 3 % 3; k++)
            rows[n_rows++] = i;
    }
    CHECK_OK(ml_dataset_subset(source, rows, n_rows, &repeated));
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_model_fit(one, data, NULL));
    CHECK_OK(ml_model_fit(two, repeated, NULL));
    a = tensor_f64(one, "loss_curve", &n);
    b = tensor_f64(two, "loss_curve", &n);
    for (size_t i = 0; i < 5; i++)
        CHECK_CLOSE(a[i], b[i], 1e-9);
    ml_model_free(one);
    ml_model_free(two);
    ml_dataset_free(repeated);
    ml_dataset_free(source);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_solvers, lbfgs_goes_on_from_its_weights)
{
    double first[20];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("solver=lbfgs", "hidden_layer_sizes=5", "max_iter=20", "warm_start=true"));
    const double *curve;

    CHECK_OK(ml_model_fit(model, data, NULL));
    memcpy(first, tensor_f64(model, "loss_curve", &(size_t){0}), sizeof first);
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(curve_length(model) == 40);
    curve = tensor_f64(model, "loss_curve", &(size_t){0});
    CHECK_SAME_BYTES(first, sizeof first, curve, sizeof first);
    CHECK(curve[20] < first[19]);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- dropout ---- */

TEST(mlp_solvers, a_mask_keeps_its_share_and_the_mean)
{
    enum { N_MASK = 100001 };
    static const double RATES[] = {0.1, 0.5, 0.9, 0.999};
    static float mask[N_MASK], again[N_MASK];

    for (size_t r = 0; r < 4; r++) {
        const double rate = RATES[r], spread = 4 * sqrt(rate * (1 - rate) / N_MASK);
        double kept = 0, sum = 0;

        ml__mlp_draw_mask(7, 3, 1, rate, N_MASK, mask);
        for (size_t i = 0; i < N_MASK; i++) {
            CHECK(mask[i] == 0 || mask[i] == (float)(1 / (1 - rate)));
            kept += mask[i] > 0;
            sum += (double)mask[i];
        }
        CHECK(fabs(kept / N_MASK - (1 - rate)) < spread);
        CHECK(fabs(sum / N_MASK - 1) < spread / (1 - rate));
        ml__mlp_draw_mask(7, 3, 1, rate, N_MASK / 2, again); /* a place's number does not depend on the others */
        CHECK_SAME_BYTES(mask, N_MASK / 2 * sizeof *mask, again, N_MASK / 2 * sizeof *again);
    }
    ml__mlp_draw_mask(7, 4, 1, 0.5, N_MASK, mask);
    ml__mlp_draw_mask(7, 3, 1, 0.5, N_MASK, again);
    CHECK(memcmp(mask, again, sizeof mask) != 0);
    ml__mlp_draw_mask(7, 3, 0, 0.5, N_MASK, mask);
    CHECK(memcmp(mask, again, sizeof mask) != 0);
}

/* One row through a layer, W [n_in x n_out] and biases behind it; where the next layer's weights are. */
static const float *by_hand(const float *W, size_t n_in, size_t n_out, bool relu, const double *x, double *out)
{
    for (size_t j = 0; j < n_out; j++) {
        out[j] = (double)W[n_in * n_out + j];
        for (size_t k = 0; k < n_in; k++)
            out[j] += x[k] * (double)W[k * n_out + j];
        out[j] = relu ? fmax(out[j], 0) : out[j];
    }
    return W + (n_in + 1) * n_out;
}

TEST(mlp_solvers, dropout_is_for_training_only)
{
    static float W0[ROOM], W1[ROOM];
    double got[N * 3];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *plain = make(c.context, WITH("hidden_layer_sizes=9,8", "max_iter=5"));
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=9,8", "max_iter=5", "dropout=0"));
    double X[N * D];

    CHECK_OK(ml_model_fit(plain, data, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_same_weights(plain, model);
    CHECK_OK(ml_model_set_text(model, "dropout", "0,0"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_same_weights(plain, model);
    CHECK_OK(ml_model_set_text(model, "dropout", "0.5"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(weights_of(model, W0, ROOM) == weights_of(plain, W1, ROOM) && memcmp(W0, W1, 100) != 0);
    CHECK_OK(ml_model_set_text(model, "dropout", "0.1,0.2,0.3"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER,
                "'dropout' has 3 rates, expected one or one for each of the 2 hidden layers");
    CHECK_FAILS(ml_model_set_text(model, "dropout", "1"), ML_E_PARAMETER, "dropout");
    CHECK_OK(ml_model_set_text(model, "dropout", "0.5,0"));
    CHECK_OK(ml_model_fit(model, data, NULL));

    /* the prediction by hand, without any mask */
    CHECK_OK(ml_model_decision(model, data, got, N * 3));
    toy_matrix(X);
    CHECK(weights_of(model, W0, ROOM) == 3 * 9 + 9 + 9 * 8 + 8 + 8 * 3 + 3);
    for (size_t i = 0; i < N; i++) {
        double h[9], g[8], z[3];
        const float *W = by_hand(W0, 3, 9, true, X + i * D, h);

        (void)by_hand(by_hand(W, 9, 8, true, h, g), 8, 3, false, g, z);
        for (size_t j = 0; j < 3; j++)
            CHECK_CLOSE(got[i * 3 + j], z[j], 1e-5);
    }
    ml_model_free(plain);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* The second of two layers may drop alone; its rate is the second of the list. */
TEST(mlp_solvers, each_layer_has_its_rate_of_dropout)
{
    static float theta[3][ROOM];
    static const char *const LISTS[] = {"0.5,0", "0,0.5", "0.5,0.5"};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    size_t n = 0;

    for (size_t i = 0; i < 3; i++) {
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=9,8", "max_iter=5"));

        CHECK_OK(ml_model_set_text(model, "dropout", LISTS[i]));
        CHECK_OK(ml_model_fit(model, data, NULL));
        n = weights_of(model, theta[i], ROOM) * sizeof(float);
        ml_model_free(model);
    }
    CHECK(memcmp(theta[0], theta[1], n) != 0 && memcmp(theta[0], theta[2], n) != 0 &&
          memcmp(theta[1], theta[2], n) != 0);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- bits ---- */

/* 600 x 300, three outputs: classes, reals with holes, two classes. Products are large enough to be shared. */
static ml_dataset *mixed_data(ml_context *context)
{
    enum { ROWS = 600 };
    static double y[ROWS];
    static int64_t label[ROWS];
    ml_dataset *data;
    ml__rng rng = ml__rng_make(3, 0);

    CHECK_OK(ml_dataset_make(context, "classification", "n_samples=600,n_features=300,n_informative=5", &data));
    for (size_t i = 0; i < ROWS; i++) {
        y[i] = i % 4 ? ml__rng_normal(&rng) : NAN;
        label[i] = i % 5 ? (int64_t)ml__rng_below(&rng, 2) : -1;
    }
    CHECK_OK(ml_dataset_add_targets(data, "r", y, ROWS));
    CHECK_OK(ml_dataset_add_labels(data, "b", label, ROWS, -1));
    return data;
}

static void *fit_mixed(ml_context *context, const void *settings, size_t *n_bytes)
{
    return test_fitted_bytes(make(context, settings), mixed_data(context), n_bytes);
}

TEST(mlp_solvers, threads_do_not_show_in_anything)
{
    static const char *const SETTINGS[][6] = {
        {"hidden_layer_sizes=128,65", "dropout=0.3,0.1", "clip_norm=0.5", "max_iter=2", "solver=adamw", NULL},
        {"hidden_layer_sizes=128,65", "l1=0.01", "activation=gelu", "max_iter=2", "solver=adam", NULL},
        {"hidden_layer_sizes=128,65", "solver=sgd", "activation=elu", "max_iter=2", "dropout=0.2", NULL},
        {"hidden_layer_sizes=128,65", "solver=lbfgs", "max_iter=3", "activation=softplus", "alpha=0.1", NULL},
    };

    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS; s++)
        test_any_threads(SETTINGS[s][1], fit_mixed, SETTINGS[s]);
}
