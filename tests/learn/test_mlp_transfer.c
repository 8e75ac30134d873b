/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that begin with layers of another: which, how fast these learn, and what that is good for. */
#include "mlp_toys.h"

/* A fitted network 3 -> 6 -> 5 -> 3. */
static ml_model *source(ml_context *context, const ml_dataset *data)
{
    ml_model *model = make(context, WITH("hidden_layer_sizes=6,5", "max_iter=4", "random_state=9"));

    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

static bool same_tensor(const ml_model *a, const ml_model *b, const char *name)
{
    size_t n_a, n_b;
    const float *x = tensor_f32(a, name, &n_a), *y = tensor_f32(b, name, &n_b);

    return n_a == n_b && !memcmp(x, y, n_a * sizeof *x);
}

/* Layers that a fit with next to no learning rate has from `from`. */
static size_t layers_from(ml_model *model, const ml_model *from, const ml_dataset *data)
{
    size_t n = 0;
    char W[32], b[32];
    ml_tensor t = {.struct_size = sizeof t};

    CHECK_OK(ml_model_fit(model, data, NULL));
    for (;; n++) {
        snprintf(W, sizeof W, "weights.%zu", n);
        snprintf(b, sizeof b, "biases.%zu", n);
        if (ml_model_tensor(model, W, &t) != ML_OK || ml_model_tensor(from, W, &t) != ML_OK ||
            !same_tensor(model, from, W) || !same_tensor(model, from, b))
            return n;
    }
}

TEST(mlp_transfer, takes_the_layers_that_it_is_told)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *reals = toy_reals(c.context, 2);
    ml_model *from = source(c.context, data);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6,5", "learning_rate_init=1e-30", "max_iter=1"));

    CHECK(layers_from(model, from, data) == 0);
    CHECK_OK(ml_model_start_from(model, from));
    CHECK(layers_from(model, from, data) == 2);
    CHECK(layers_from(model, from, reals) == 2); /* other outputs: a head of its own */
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "1"));
    CHECK(layers_from(model, from, data) == 1);
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "3"));
    CHECK(layers_from(model, from, data) == 3);
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "all"));
    CHECK(layers_from(model, from, data) == 3);
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "auto"));
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,4")); /* as far as they agree */
    CHECK(layers_from(model, from, data) == 1);
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,5,3")); /* their head stays theirs */
    CHECK(layers_from(model, from, data) == 2);
    CHECK_OK(ml_model_start_from(model, NULL));
    CHECK(layers_from(model, from, data) == 0);
    ml_model_free(model);
    ml_model_free(from);
    ml_dataset_free(data);
    ml_dataset_free(reals);
    close_context(&c);
}

TEST(mlp_transfer, layers_that_do_not_fit_are_refused)
{
    double X[N * 2] = {0};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *reals = toy_reals(c.context, 2), *narrow;
    ml_model *from = source(c.context, data), *model = make(c.context, WITH("hidden_layer_sizes=4,5", "max_iter=1"));
    ml_model *scaler, *unfitted = make(c.context, NULL);

    CHECK_OK(ml_model_create(c.context, "standard_scaler", &scaler));
    CHECK_FAILS(ml_model_start_from(model, unfitted), ML_E_STATE, "the mlp to begin with is not fitted");
    CHECK_FAILS(ml_model_start_from(scaler, from), ML_E_UNSUPPORTED, "standard_scaler cannot begin");
    CHECK_OK(ml_model_fit(scaler, data, NULL));
    CHECK_FAILS(ml_model_start_from(model, scaler), ML_E_UNSUPPORTED,
                "mlp starts from networks only, not from a model of kind standard_scaler");
    CHECK_OK(ml_model_start_from(model, from));
    CHECK_FAILS(ml_model_start_from(model, scaler), ML_E_UNSUPPORTED, "networks only");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_SHAPE,
                "its first is 3 x 6, here it is 3 x 4"); /* still the first */
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6"));
    CHECK_OK(ml_model_set_text(model, "activation", "tanh"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_SHAPE, "or the activations differ");
    CHECK_OK(ml_model_set_text(model, "activation", "relu"));
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "2"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_SHAPE,
                "layer 1 of the model to start from is 6 x 5, here it is 6 x 3");
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "3"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_SHAPE,
                "3 layers are to be transferred, the model to start from has 3, this one 2");
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "all"));
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,5"));
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_SHAPE,
                "layer 2 of the model to start from is 5 x 3, here it is 5 x 2");
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "encoder"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "the model to start from is no autoencoder");
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "auto"));
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, 2, 0, 0, ML_COPY, &narrow));
    CHECK_OK(ml_dataset_set_targets(narrow, NULL, X, N));
    CHECK_FAILS(ml_model_fit(model, narrow, NULL), ML_E_SHAPE, "its first is 3 x 6, here it is 2 x 6");
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "")); /* no hidden layer: nothing to take */
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_SHAPE, "no layer of the model to start from fits");
    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,5"));
    CHECK_OK(ml_model_set_text(model, "freeze_layers", "3"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'freeze_layers' is 3, at most 2 of the 3 layers");
    CHECK_FAILS(ml_model_set_text(model, "transfer_layers", "0.5"), ML_E_PARAMETER,
                "'transfer_layers' takes a whole number in [1, 33] or one of auto|encoder|all, got '0.5'");
    CHECK(!ml_model_is_fitted(model));
    ml_dataset_free(narrow);
    ml_model_free(unfitted);
    ml_model_free(scaler);
    ml_model_free(model);
    ml_model_free(from);
    ml_dataset_free(data);
    ml_dataset_free(reals);
    close_context(&c);
}

TEST(mlp_transfer, frozen_layers_keep_their_bits_until_they_are_freed)
{
    static const char *const SETTINGS[][2] = {{"solver=adam", "alpha=0.5"},     {"solver=adamw", "weight_decay=0.5"},
                                              {"solver=sgd", "momentum=0.9"},   {"solver=lbfgs", "alpha=0.5"},
                                              {"clip_norm=0.1", "dropout=0.3"}, {"l1=0.1", "solver=adamw"}};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *from = source(c.context, data);

    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS; s++) {
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=5", "freeze_layers=1",
                                               "learning_rate_init=0.1", SETTINGS[s][0], SETTINGS[s][1]));

        CHECK_OK(ml_model_start_from(model, from));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(same_tensor(model, from, "weights.0") && same_tensor(model, from, "biases.0"));
        CHECK(!same_tensor(model, from, "weights.1") && !same_tensor(model, from, "biases.1"));
        CHECK_OK(ml_model_set_text(model, "freeze_layers", "0"));
        CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(!same_tensor(model, from, "weights.0") && !same_tensor(model, from, "biases.0"));
        ml_model_free(model);
    }
    ml_model_free(from);
    ml_dataset_free(data);
    close_context(&c);
}

/* A rate of 0 for transferred layers freezes them too, but for rounding nothing else; the others learn at theirs. */
TEST(mlp_transfer, transferred_layers_have_a_rate_of_their_own)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *from = source(c.context, data);

    for (size_t s = 0; s < 3; s++) {
        const char *const SOLVERS[] = {"solver=adam", "solver=sgd", "solver=adamw"};
        ml_model *slow = make(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=5", "transfer_rate=0", SOLVERS[s]));
        ml_model *frozen = make(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=5", "freeze_layers=2", SOLVERS[s]));

        CHECK_OK(ml_model_start_from(slow, from));
        CHECK_OK(ml_model_start_from(frozen, from));
        CHECK_OK(ml_model_fit(slow, data, NULL));
        CHECK_OK(ml_model_fit(frozen, data, NULL));
        check_same_weights(slow, frozen);
        CHECK(!same_tensor(slow, from, "weights.2"));
        ml_model_free(slow);
        ml_model_free(frozen);
    }
    ml_model_free(from);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_transfer, learning_on_keeps_the_rate_of_transferred_layers)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *from = source(c.context, data);
    ml_model *whole =
        make(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=4", "transfer_rate=0.1", "shuffle=false"));
    ml_model *parts;

    CHECK_OK(ml_model_start_from(whole, from));
    CHECK_OK(ml_model_clone(whole, &parts));
    CHECK_OK(ml_model_fit(whole, data, NULL));
    for (size_t k = 0; k < 4; k++)
        CHECK_OK(ml_model_partial_fit(parts, data, NULL));
    check_same_weights(whole, parts);
    ml_model_free(whole);
    ml_model_free(parts);
    ml_model_free(from);
    ml_dataset_free(data);
    close_context(&c);
}

static ml_model *pipeline_of(ml_context *context, const char *const *settings, ml_model **net)
{
    ml_model *pipeline, *scaler;

    CHECK_OK(ml_model_create(context, "pipeline", &pipeline));
    CHECK_OK(ml_model_create(context, "standard_scaler", &scaler));
    *net = make(context, settings);
    CHECK_OK(ml_model_add_member(pipeline, "scaler", scaler));
    CHECK_OK(ml_model_add_member(pipeline, "net", *net));
    return pipeline;
}

/* From the net inside a fitted pipeline to the net inside another, through clones and folds. */
TEST(mlp_transfer, members_of_pipelines_give_and_take)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *net, *other, *copy;
    ml_model *first = pipeline_of(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=5", "random_state=7"), &net);
    ml_model *second = pipeline_of(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=5", "freeze_layers=2"), &other);
    const ml_model *from;

    CHECK_OK(ml_model_fit(first, data, NULL));
    from = ml_model_member(first, 1);
    CHECK_OK(ml_model_start_from(other, from));
    CHECK_OK(ml_model_clone(second, &copy));
    CHECK_OK(ml_model_fit(second, data, NULL));
    CHECK_OK(ml_model_fit(copy, data, NULL));
    CHECK(same_tensor(ml_model_member(second, 1), from, "weights.1"));
    CHECK(!same_tensor(ml_model_member(second, 1), from, "weights.2"));
    check_same_weights(ml_model_member(second, 1), ml_model_member(copy, 1));
    ml_model_free(first); /* what was given is a copy */
    CHECK_OK(ml_model_fit(copy, data, NULL));
    check_same_weights(ml_model_member(second, 1), ml_model_member(copy, 1));
    ml_model_free(second);
    ml_model_free(copy);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- fits that go on ---- */

/* A fit that goes on does not look at the model to start from; which layers came from one is kept, in files too. */
TEST(mlp_transfer, fits_that_go_on_remember_which_layers_came_from_another)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *reals = toy_reals(c.context, 2);
    ml_model *from = source(c.context, data), *loaded, *own;
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6,5", "max_iter=3", "transfer_rate=0", "warm_start=true",
                                           "transfer_layers=1"));
    ml_tensor t = {.struct_size = sizeof t};
    size_t n;
    void *bytes;

    CHECK_OK(ml_model_start_from(model, from));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_tensor(model, "transferred", &t));
    CHECK(t.shape[0] == 1 && *(const int32_t *)t.data == 1);
    bytes = test_saved(model, &n);
    CHECK_OK(ml_model_load_memory(c.context, bytes, n, NULL, &loaded));
    free(bytes);
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "all")); /* looked at when layers are taken, not later */
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_fit(loaded, data, NULL)); /* without a model to start from */
    check_same_weights(model, loaded);
    CHECK(same_tensor(model, from, "weights.0") && !same_tensor(model, from, "weights.1"));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_OK(ml_model_partial_fit(loaded, data, NULL));
    check_same_weights(model, loaded);
    CHECK(same_tensor(model, from, "weights.0"));
    CHECK_OK(ml_model_set_text(model, "warm_start", "false"));
    CHECK_OK(ml_model_start_from(model, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_model_tensor(model, "transferred", &t), ML_E_ARGUMENT, "transferred");
    /* own weights: another model that would not even fit changes nothing */
    own = make(c.context, WITH("hidden_layer_sizes=4", "max_iter=3", "transfer_rate=0", "warm_start=true"));
    CHECK_OK(ml_model_fit(own, reals, NULL));
    ml_model_free(loaded);
    CHECK_OK(ml_model_clone(own, &loaded));
    CHECK_OK(ml_model_start_from(own, from));
    CHECK_OK(ml_model_fit(own, reals, NULL));
    CHECK_OK(ml_model_fit(loaded, reals, NULL));
    check_same_weights(own, loaded);
    ml_model_free(own);
    ml_model_free(loaded);
    ml_model_free(model);
    ml_model_free(from);
    ml_dataset_free(data);
    ml_dataset_free(reals);
    close_context(&c);
}

TEST(mlp_transfer, a_broken_number_of_transferred_layers_is_refused)
{
    static const size_t WIDTHS[] = {D, 2, 3};
    static const int32_t LINK = ML__MLP_SOFTMAX, COUNTS[] = {0, 2, 3, -1};
    static const double THETA[3 * 2 + 2 + 2 * 3 + 3] = {0.5};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t i = 0; i < 4; i++) {
        ml_model *model = model_of(c.context, data, WIDTHS, 2, ML__MLP_RELU, &LINK, THETA);
        int32_t *n = ml__learned_add(model->learned, "transferred", ML_INT32, 1, &(uint64_t){1});

        *n = COUNTS[i];
        if (i < 2)
            CHECK_OK(ml__learned_validate(model, model->learned, false));
        else
            CHECK_REFUSED(model, i == 2 ? "'transferred': element 0 is 3, there are 2 layers"
                                        : "'transferred': element 0 is -1");
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- what it is good for ---- */

/* Digits, pixels to [0, 1]. Of each ten rows one is to learn from; of the others every second is to begin with: without the
 * digits, but with labels that do not determine them (at least 5, or that and even, which leaves two or three digits each),
 * or for an autoencoder. The rest is for testing. */
enum { PIXELS = 64 };
typedef enum { FEW, OTHERS, TEST_ROWS } part;
typedef enum { TWO_LABELS, ONE_LABEL, AUTOENCODER, N_SOURCES } source_task;

static ml_dataset *digits(ml_context *context, part rows, source_task task, size_t seed)
{
    ml_dataset *table = test_table(context, "digits"), *data;
    const size_t n = ml_dataset_n_rows(table);
    double *X = malloc(n * PIXELS * sizeof *X);
    int32_t *code = malloc(n * sizeof *code);
    int64_t *label = malloc(2 * n * sizeof *label), *even = label + n;
    size_t n_taken = 0;

    CHECK_OK(ml__dataset_read(table, 0, n, ML_FLOAT64, X));
    ml__dataset_read_labels(table, 0, code);
    for (size_t i = 0; i < n; i++) {
        const part in = i % 10 == seed ? FEW : (i / 10 + i) % 2 ? OTHERS : TEST_ROWS;

        if (in != rows)
            continue;
        for (size_t j = 0; j < PIXELS; j++)
            X[n_taken * PIXELS + j] = X[i * PIXELS + j] / 16;
        even[n_taken] = code[i] % 2;
        label[n_taken++] = rows == OTHERS ? code[i] >= 5 : code[i];
    }
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, n_taken, PIXELS, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_add_labels(data, "digit", label, n_taken, -1));
    if (rows == OTHERS && task == TWO_LABELS)
        CHECK_OK(ml_dataset_add_labels(data, "even", even, n_taken, -1));
    free(X);
    free(code);
    free(label);
    ml_dataset_free(table);
    return data;
}

#define STEPS "batch_size=16", "learning_rate_init=0.003"
static const char *const NET[] = {"hidden_layer_sizes=128", "max_iter=100", STEPS, NULL};
static const char *const OTHER_NET[] = {"hidden_layer_sizes=128", "max_iter=30", STEPS, NULL};
static const char *const CODER[] = {"encoder_layer_sizes=", "code_size=128", "noise=0.3", "max_iter=60", STEPS, NULL};

static ml_model *fitted_source(ml_context *context, source_task task, size_t seed)
{
    ml_dataset *others = digits(context, OTHERS, task, seed);
    ml_model *from =
        task == AUTOENCODER ? test_model(context, "autoencoder", CODER) : test_model(context, "mlp", OTHER_NET);

    CHECK_OK(ml_model_set_int(from, "random_state", 100 + (int64_t)seed));
    CHECK_OK(ml_model_fit(from, others, NULL));
    ml_dataset_free(others);
    return from;
}

/* Accuracy on the rows for testing after the few, beginning with `from` or not. */
static double accuracy(ml_context *context, const ml_model *from, const char *frozen, size_t seed)
{
    ml_dataset *few = digits(context, FEW, ONE_LABEL, seed), *rest = digits(context, TEST_ROWS, ONE_LABEL, seed);
    ml_model *model = make(context, NET);
    double score;

    CHECK_OK(ml_model_set_int(model, "random_state", (int64_t)seed));
    if (from) {
        CHECK_OK(ml_model_start_from(model, from));
        CHECK_OK(ml_model_set_text(model, "freeze_layers", frozen));
    }
    CHECK_OK(ml_model_fit(model, few, NULL));
    CHECK_OK(ml_model_score(model, rest, NULL, &score));
    ml_model_free(model);
    ml_dataset_free(few);
    ml_dataset_free(rest);
    return score;
}

/* Of the digits from a tenth of the rows, beginning with what other rows taught. */
TEST(mlp_transfer, layers_learned_without_the_digits_help_when_rows_are_few)
{
    enum { N_SEEDS = 10 };
    static const char *const NAMES[] = {"two labels", "one label", "an autoencoder"}, *const FROZEN[] = {"1", "0"};
    double scratch = 0, mean[N_SOURCES][2] = {{0}};
    size_t n_better[N_SOURCES][2] = {{0}};
    bench c;

    open_context(&c, 1);
    for (size_t seed = 0; seed < N_SEEDS; seed++) {
        const double alone = accuracy(c.context, NULL, "0", seed);

        scratch += alone / N_SEEDS;
        for (size_t task = 0; task < N_SOURCES; task++) {
            ml_model *from = fitted_source(c.context, (source_task)task, seed);

            for (size_t i = 0; i < 2; i++) {
                const double score = accuracy(c.context, from, FROZEN[i], seed);

                mean[task][i] += score / N_SEEDS;
                n_better[task][i] += score > alone;
            }
            ml_model_free(from);
        }
    }
    for (size_t i = 0; i < 2 * N_SOURCES && getenv("INVAR_VERBOSE"); i++)
        printf("    scratch %.4f, from %s, %s layers frozen %.4f (better %zu times)\n", scratch, NAMES[i / 2],
               FROZEN[i % 2], mean[i / 2][i % 2], n_better[i / 2][i % 2]);
    CHECK(mean[TWO_LABELS][0] > scratch + 0.01 && n_better[TWO_LABELS][0] >= 8);
    CHECK(mean[TWO_LABELS][1] > scratch + 0.005 && n_better[TWO_LABELS][1] >= 7);
    CHECK(mean[TWO_LABELS][0] > mean[ONE_LABEL][0]); /* what tells more apart serves more */
    close_context(&c);
}
