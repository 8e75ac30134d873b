/* SPDX-License-Identifier: Apache-2.0 */
/* Autoencoders: what they learn, their calls by formula, and what is refused. Their gradients are tested with the networks'. */
#include "learn/mlp/layered.h"
#include "mlp_toys.h"

static ml_model *coder(ml_context *context, const char *const *settings)
{
    return test_model(context, "autoencoder", settings);
}

/* n rows of d features: n_factors normal numbers mixed, and noise of a tenth. */
static void factor_rows(uint64_t seed, size_t n, size_t d, size_t n_factors, double *X)
{
    ml__rng rng = ml__rng_make(seed, 0), mix = ml__rng_make(1, 1);
    double A[16 * 16], h[16];

    for (size_t i = 0; i < n_factors * d; i++)
        A[i] = ml__rng_normal(&mix);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n_factors; k++)
            h[k] = ml__rng_normal(&rng) * (double)(k + 1);
        for (size_t j = 0; j < d; j++) {
            X[i * d + j] = 0.1 * ml__rng_normal(&rng) + (double)j;
            for (size_t k = 0; k < n_factors; k++)
                X[i * d + j] += A[k * d + j] * h[k];
        }
    }
}

static ml_dataset *rows(ml_context *context, const double *X, size_t n, size_t d)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, n, d, 0, 0, ML_COPY, &data));
    return data;
}

/* Mean of minus the scores. */
static double mean_error(const ml_model *model, const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    double *score = malloc(n * sizeof *score), sum = 0;

    CHECK_OK(ml_model_score_samples(model, data, score, n));
    for (size_t i = 0; i < n; i++)
        sum -= score[i];
    free(score);
    return sum / (double)n;
}

/* ---- what they learn ---- */

/* Eigenvalues of a symmetric matrix by Jacobi's rotations, smallest first. */
static void eigenvalues(size_t d, double *C, double *values)
{
    for (int sweep = 0; sweep < 30; sweep++)
        for (size_t p = 0; p < d; p++)
            for (size_t q = p + 1; q < d; q++) {
                const double theta = 0.5 * atan2(2 * C[p * d + q], C[q * d + q] - C[p * d + p]);
                const double c = cos(theta), s = sin(theta);
                for (size_t i = 0; i < d; i++) {
                    const double a = C[i * d + p], b = C[i * d + q];
                    C[i * d + p] = c * a - s * b;
                    C[i * d + q] = s * a + c * b;
                }
                for (size_t i = 0; i < d; i++) {
                    const double a = C[p * d + i], b = C[q * d + i];
                    C[p * d + i] = c * a - s * b;
                    C[q * d + i] = s * a + c * b;
                }
            }
    for (size_t i = 0; i < d; i++) {
        size_t at = i;
        for (; at && values[at - 1] > C[i * d + i]; at--)
            values[at] = values[at - 1];
        values[at] = C[i * d + i];
    }
}

/* Baldi & Hornik 1989: no linear code of k numbers does better than the first k principal components, and every minimum is one
 * of theirs. */
TEST(autoencoder, a_linear_one_reaches_the_error_of_principal_components)
{
    enum { n = 150, d = 6 };
    double X[n * d], C[d * d] = {0}, mean[d] = {0}, values[d];
    bench c;
    open_context(&c, 1);

    factor_rows(3, n, d, 4, X);
    for (size_t i = 0; i < n * d; i++)
        mean[i % d] += X[i] / n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d * d; j++)
            C[j] += (X[i * d + j / d] - mean[j / d]) * (X[i * d + j % d] - mean[j % d]) / n;
    eigenvalues(d, C, values);
    ml_dataset *data = rows(c.context, X, n, d);
    for (int64_t k = 1; k <= 4; k++)
        for (int tied = 0; tied < 2; tied++) {
            ml_model *model = coder(c.context, WITH("encoder_layer_sizes=", "activation=identity", "alpha=0",
                                                    "solver=lbfgs", "tol=1e-7", "max_iter=3000"));
            double want = 0, got;

            for (size_t j = 0; j + (size_t)k < d; j++)
                want += values[j] / (2 * d);
            CHECK_OK(ml_model_set_int(model, "code_size", k));
            CHECK_OK(ml_model_set_text(model, "tied_weights", tied ? "true" : "false"));
            CHECK_OK(ml_model_fit(model, data, NULL));
            got = mean_error(model, data);
            CHECK_MSG(fabs(got - want) <= 1e-4 * want, "k = %d, tied %d: %.9g, expected %.9g", (int)k, tied, got, want);
            ml_model_free(model);
        }
    ml_dataset_free(data);
    close_context(&c);
}

static double mean_magnitude(const ml_model *model, const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data) * ml_model_width(model, ML_TRANSFORM);
    double *code = malloc(n * sizeof *code), sum = 0;

    CHECK_OK(ml_model_transform(model, data, code, n));
    for (size_t i = 0; i < n; i++)
        sum += fabs(code[i]);
    free(code);
    return sum / (double)n;
}

TEST(autoencoder, a_larger_complexity_weight_gives_smaller_codes)
{
    static const double WEIGHTS[] = {0, 0.01, 0.1, 1};
    double X[100 * 5], last = INFINITY;
    bench c;
    open_context(&c, 1);

    factor_rows(4, 100, 5, 3, X);
    ml_dataset *data = rows(c.context, X, 100, 5);
    for (size_t i = 0; i < 4; i++) {
        ml_model *model =
            coder(c.context, WITH("encoder_layer_sizes=8", "code_size=3", "activation=tanh", "code_activation=identity",
                                  "learning_rate_init=0.01", "max_iter=300", "tol=0"));
        double now;

        CHECK_OK(ml_model_set_real(model, "complexity_weight", WEIGHTS[i]));
        CHECK_OK(ml_model_fit(model, data, NULL));
        now = mean_magnitude(model, data);
        CHECK_MSG(now < last, "complexity_weight %g: %g after %g", WEIGHTS[i], now, last);
        last = now;
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

/* A feature that was set to 0 can be told from the others by who has learned to. */
TEST(autoencoder, masking_teaches_to_fill_in)
{
    enum { n = 300, d = 6 };
    double X[n * d], Y[n * d], out[n * d], code[n * 4], error[2] = {0};
    bench c;
    open_context(&c, 1);

    factor_rows(5, n, d, 2, X);
    for (size_t i = 0; i < n * d; i++)
        X[i] = (X[i] - (double)(i % d)) / 3;
    memcpy(Y, X, sizeof Y);
    for (size_t i = 0; i < n; i++)
        Y[i * d + i % d] = 0;
    ml_dataset *clean = rows(c.context, X, n, d), *masked = rows(c.context, Y, n, d);
    for (int denoising = 0; denoising < 2; denoising++) {
        ml_model *model =
            coder(c.context, WITH("encoder_layer_sizes=16", "code_size=4", "activation=tanh", "batch_size=20",
                                  "learning_rate_init=0.005", "max_iter=150", "noise_kind=masking", "tol=0"));

        CHECK_OK(ml_model_set_real(model, "noise", denoising ? 0.2 : 0));
        CHECK_OK(ml_model_fit(model, clean, NULL));
        CHECK_OK(ml_model_transform(model, masked, code, n * 4));
        CHECK_OK(ml_model_inverse_transform(model, code, n, 4, out, n * d));
        for (size_t i = 0; i < n * d; i++)
            error[denoising] += (out[i] - X[i]) * (out[i] - X[i]);
        ml_model_free(model);
    }
    CHECK_MSG(error[1] < 0.6 * error[0], "with noise %g, without %g", error[1], error[0]);
    ml_dataset_free(clean);
    ml_dataset_free(masked);
    close_context(&c);
}

TEST(autoencoder, scores_of_unusual_rows_are_lower)
{
    enum { n = 200, d = 6 };
    double X[n * d], normal[n], unusual[n], area = 0;
    ml__rng rng = ml__rng_make(8, 8);
    bench c;
    open_context(&c, 1);
    ml_model *model =
        coder(c.context, WITH("encoder_layer_sizes=16", "code_size=2", "activation=tanh", "batch_size=20",
                              "code_activation=identity", "learning_rate_init=0.01", "max_iter=100", "noise=0.05"));

    factor_rows(6, n, d, 2, X);
    ml_dataset *train = rows(c.context, X, n, d), *seen, *odd;
    factor_rows(7, n, d, 2, X);
    seen = rows(c.context, X, n, d);
    for (size_t i = 0; i < n * d; i++) /* each feature as usual, their relation not */
        X[i] = (double)(i % d) + 2 * ml__rng_normal(&rng);
    odd = rows(c.context, X, n, d);
    CHECK_OK(ml_model_fit(model, train, NULL));
    CHECK_OK(ml_model_score_samples(model, seen, normal, n));
    CHECK_OK(ml_model_score_samples(model, odd, unusual, n));
    for (size_t i = 0; i < n * n; i++)
        area += (double)(normal[i / n] > unusual[i % n]) / (n * n);
    CHECK_MSG(area > 0.95, "area under the curve %g", area);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(seen);
    ml_dataset_free(odd);
    close_context(&c);
}

/* ---- calls by formula ---- */

static double logistic(double z)
{
    return 1 / (1 + exp(-z));
}

/* Layers [first, end) of a net with tanh inside, in double; h has room for the widest layer. */
static void forward(const ml_model *model, size_t first, size_t end, size_t L, double *h)
{
    char name[32];
    double next[16];

    for (size_t l = first; l < end; l++) {
        ml_tensor W = {.struct_size = sizeof W};
        size_t n;
        const float *b;

        snprintf(name, sizeof name, "weights.%zu", l);
        CHECK_OK(ml_model_tensor(model, name, &W));
        snprintf(name, sizeof name, "biases.%zu", l);
        b = tensor_f32(model, name, &n);
        for (size_t j = 0; j < n; j++) {
            next[j] = (double)b[j];
            for (size_t i = 0; i < W.shape[0]; i++)
                next[j] += h[i] * (double)((const float *)W.data)[i * n + j];
        }
        for (size_t j = 0; j < n; j++)
            h[j] = l + 1 < L ? tanh(next[j]) : next[j];
    }
}

static double loss_by_formula(int kind, bool is_logistic, double z, double x)
{
    const double p = is_logistic ? logistic(z) : z, e = fabs(p - x);

    if (kind == 3)
        return -x * log(p) - (1 - x) * log(1 - p);
    if (kind == 2)
        return e <= 0.25 ? 0.5 * e * e : 0.25 * (e - 0.125);
    return kind == 1 ? e : 0.5 * e * e;
}

TEST(autoencoder, code_reconstruction_and_score_are_the_formulas)
{
    static const char *const LOSSES[] = {"squared_error", "absolute_error", "huber", "binary_cross_entropy"};
    double X[N * D], code[N * 2], out[N * D], score[N];
    bench c;
    open_context(&c, 1);

    toy_matrix(X);
    for (size_t i = 0; i < N * D; i++)
        X[i] = (double)(float)logistic(X[i]);
    ml_dataset *data = rows(c.context, X, N, D);
    for (int variant = 0; variant < 8; variant++) {
        const int kind = variant / 2;
        const bool is_logistic = variant % 2 || kind == 3;
        ml_model *model =
            coder(c.context, WITH("encoder_layer_sizes=5", "code_size=2", "decoder_layer_sizes=6,4", "activation=tanh",
                                  "max_iter=20", "huber_delta=0.25", "reconstruction_weight=3"));

        CHECK_OK(ml_model_set_text(model, "loss", LOSSES[kind]));
        CHECK_OK(ml_model_set_text(model, "output_activation", variant % 2 ? "logistic" : "identity"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(ml_model_width(model, ML_TRANSFORM) == 2 && ml_model_width(model, ML_SCORE_SAMPLES) == 1);
        CHECK(ml_model_width(model, ML_PREDICT) == 0 && ml_model_width(model, ML_PREDICT_PROBA) == 0);
        CHECK_OK(ml_model_transform(model, data, code, N * 2));
        CHECK_OK(ml_model_inverse_transform(model, code, N, 2, out, N * D));
        CHECK_OK(ml_model_score_samples(model, data, score, N));
        for (size_t i = 0; i < N; i++) {
            double h[16], e = 0;

            memcpy(h, X + i * D, D * sizeof *h);
            forward(model, 0, 2, 5, h);
            CHECK_CLOSE(code[2 * i], h[0], 1e-5);
            CHECK_CLOSE(code[2 * i + 1], h[1], 1e-5);
            forward(model, 2, 5, 5, h);
            for (size_t j = 0; j < D; j++) {
                CHECK_CLOSE(out[i * D + j], is_logistic ? logistic(h[j]) : h[j], 1e-5);
                e += loss_by_formula(kind, is_logistic, h[j], X[i * D + j]) / D;
            }
            CHECK_CLOSE(score[i], -e, 1e-5);
        }
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

TEST(autoencoder, held_out_score_is_the_mean_score_of_the_rows)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *train, *held;
    ml_model *model =
        coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "max_iter=30", "noise=0.3", "dropout=0.2"));
    ml_fit_options options = {.struct_size = sizeof options};
    const double *scores;
    double best = -INFINITY, score;
    size_t n;

    CHECK_OK(ml_dataset_split(data, 0.3, 4, 0, &train, &held));
    options.validation = held;
    CHECK_OK(ml_model_fit(model, train, &options));
    scores = tensor_f64(model, "validation_scores", &n);
    for (size_t e = 0; e < n; e++)
        best = fmax(best, scores[e]);
    CHECK_CLOSE(best, -mean_error(model, held), 1e-6);
    CHECK_OK(ml_model_score(model, held, NULL, &score));
    CHECK_CLOSE(score, best, 1e-6);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- tied weights ---- */

static void check_tied(const ml_model *model, size_t L)
{
    char name[32];

    for (size_t l = 0; l < L / 2; l++) {
        ml_tensor W = {.struct_size = sizeof W}, V = {.struct_size = sizeof V};

        snprintf(name, sizeof name, "weights.%zu", l);
        CHECK_OK(ml_model_tensor(model, name, &W));
        snprintf(name, sizeof name, "weights.%zu", L - 1 - l);
        CHECK_OK(ml_model_tensor(model, name, &V));
        CHECK(W.shape[0] == V.shape[1] && W.shape[1] == V.shape[0]);
        for (size_t i = 0; i < W.shape[0]; i++)
            for (size_t j = 0; j < W.shape[1]; j++)
                CHECK(((const float *)W.data)[i * W.shape[1] + j] == ((const float *)V.data)[j * V.shape[1] + i]);
    }
}

TEST(autoencoder, tied_weights_are_the_encoders_transposed)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = coder(c.context, WITH("encoder_layer_sizes=6,4", "decoder_layer_sizes=4,6", "code_size=2",
                                            "tied_weights=true", "max_iter=5"));
    ml_model *free_one = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "max_iter=2"));

    CHECK_OK(ml_model_fit(model, data, NULL));
    check_tied(model, 6);
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    check_tied(model, 6);
    CHECK_OK(ml_model_set_text(model, "solver", "lbfgs"));
    CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_tied(model, 6);
    CHECK_OK(ml_model_fit(free_one, data, NULL));
    CHECK_OK(ml_model_set_text(free_one, "tied_weights", "true"));
    CHECK_FAILS(ml_model_partial_fit(free_one, data, NULL), ML_E_PARAMETER,
                "weights of layer 2 that are not those of layer 1 transposed");
    ml_model_free(free_one);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* Neither the encoder nor, by way of the decoder that is tied to it, its weights learn. */
TEST(autoencoder, frozen_layers_stay_when_others_are_tied_to_them)
{
    static const char *const SOLVERS[] = {"adam", "sgd", "lbfgs"};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t s = 0; s < 3; s++) {
        ml_model *model = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "activation=tanh",
                                                "tied_weights=true", "max_iter=5"));
        ml_model *on;
        float before[18], code_before[12];
        const float *W;
        size_t n;

        CHECK_OK(ml_model_fit(model, data, NULL));
        memcpy(before, tensor_f32(model, "weights.0", &n), sizeof before);
        memcpy(code_before, tensor_f32(model, "weights.1", &n), sizeof code_before);
        CHECK_OK(ml_model_clone(model, &on));
        CHECK_OK(ml_model_set_text(on, "solver", SOLVERS[s]));
        CHECK_OK(ml_model_set_text(on, "warm_start", "true"));
        CHECK_OK(ml_model_set_text(on, "freeze_layers", "1"));
        CHECK_OK(ml_model_fit(on, data, NULL));
        W = tensor_f32(on, "weights.0", &n);
        CHECK_SAME_BYTES(W, sizeof before, before, sizeof before);
        W = tensor_f32(on, "weights.1", &n);
        CHECK(memcmp(W, code_before, sizeof code_before));
        check_tied(on, 4);
        ml_model_free(on);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- learning on, and from it ---- */

TEST(autoencoder, a_network_starts_from_its_encoder)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=4", "max_iter=5")), *again;
    ml_model *net =
        make(c.context, WITH("hidden_layer_sizes=6,4", "transfer_layers=encoder", "freeze_layers=2", "max_iter=3"));
    size_t n;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_start_from(net, model));
    CHECK_OK(ml_model_fit(net, data, NULL));
    for (int l = 0; l < 2; l++) {
        const char *const names[] = {"weights.0", "weights.1"};
        const float *W = tensor_f32(net, names[l], &n), *V = tensor_f32(model, names[l], &n);
        CHECK_SAME_BYTES(W, n * sizeof *W, V, n * sizeof *V);
    }
    CHECK_OK(ml_model_set_text(net, "hidden_layer_sizes", "6,3"));
    CHECK_FAILS(ml_model_fit(net, data, NULL), ML_E_SHAPE,
                "layer 1 of the model to start from is 6 x 4, here it is 6 x 3");
    again = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=4", "transfer_layers=all", "max_iter=1"));
    CHECK_OK(ml_model_start_from(again, model));
    CHECK_OK(ml_model_set_text(again, "freeze_layers", "3"));
    CHECK_OK(ml_model_fit(again, data, NULL));
    const float *W = tensor_f32(again, "weights.2", &n), *V = tensor_f32(model, "weights.2", &n);
    CHECK_SAME_BYTES(W, n * sizeof *W, V, n * sizeof *V);
    ml_model_free(again);
    ml_model_free(net);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* One epoch per call, with the optimiser's state: the same as epochs of one fit without shuffling and noise. */
TEST(autoencoder, learning_on_is_one_more_epoch)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *whole =
        coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "shuffle=false", "max_iter=3", "batch_size=20"));
    ml_model *parts = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "shuffle=false", "batch_size=20"));

    CHECK_OK(ml_model_fit(whole, data, NULL));
    for (int epoch = 0; epoch < 3; epoch++)
        CHECK_OK(ml_model_partial_fit(parts, data, NULL));
    check_same_weights(whole, parts);
    ml_model_free(whole);
    ml_model_free(parts);
    ml_dataset_free(data);
    close_context(&c);
}

/* Outputs are of no concern: rows with and without them follow each other, to learn from and to hold out. */
TEST(autoencoder, learns_on_with_or_without_labels)
{
    double X[N * D];
    bench c;
    open_context(&c, 1);
    ml_dataset *labelled = toy_classes(c.context), *bare;
    ml_model *first = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "max_iter=3", "warm_start=true"));
    ml_model *second;
    ml_fit_options options = {.struct_size = sizeof options};

    toy_matrix(X);
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &bare));
    CHECK_OK(ml_model_clone(first, &second));
    for (int turn = 0; turn < 4; turn++) {
        const bool is_bare = turn % 2;

        options.validation = is_bare ? labelled : bare;
        CHECK_OK((turn < 2 ? ml_model_fit : ml_model_partial_fit)(first, is_bare ? bare : labelled, &options));
        CHECK_OK((turn < 2 ? ml_model_fit : ml_model_partial_fit)(second, is_bare ? labelled : bare, &options));
        check_same_weights(first, second);
        CHECK(ml_model_n_outputs(first) == 0 && ml_model_n_outputs(second) == 0);
    }
    ml_model_free(first);
    ml_model_free(second);
    ml_dataset_free(labelled);
    ml_dataset_free(bare);
    close_context(&c);
}

/* The state of tied layers is as long as these; of other lengths, or of two, it is no state. */
TEST(autoencoder, states_of_tied_layers_are_kept_and_checked)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "tied_weights=true")), *loaded;
    size_t n_bytes, n;
    void *bytes;

    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    (void)tensor_f32(model, "optimiser.vectors.1", &n);
    CHECK(n == 3 * 6 + 6 * 2 + 6 + 2 + 6 + 3);
    bytes = test_saved(model, &n_bytes);
    CHECK_OK(ml_model_load_memory(c.context, bytes, n_bytes, NULL, &loaded));
    free(bytes);
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_OK(ml_model_partial_fit(loaded, data, NULL));
    check_same_weights(model, loaded);
    CHECK_OK(ml_model_set_text(model, "tied_weights", "false")); /* a state of another length: begins anew */
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK(*tensor_f64(model, "optimiser.progress", &n) == 1);
    for (size_t i = 0; i < loaded->learned->n_tensors; i++)
        if (!strcmp(loaded->learned->tensors[i].name, "optimiser.vectors.1"))
            loaded->learned->tensors[i].shape[0]--;
    CHECK_REFUSED(loaded, "'optimiser.vectors.1' has 46 elements for 47 weights");
    ml_model_free(loaded);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(autoencoder, codes_are_features_of_a_pipeline)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *pipe, *step;
    double out[N * D], code[N * 2];

    CHECK_OK(ml_model_create(c.context, "pipeline", &pipe));
    CHECK_OK(ml_model_create(c.context, "standard_scaler", &step));
    CHECK_OK(ml_model_add_member(pipe, "scale", step));
    step = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "max_iter=5"));
    CHECK_OK(ml_model_add_member(pipe, "code", step));
    CHECK_OK(ml_model_create(c.context, "logistic_regression", &step));
    CHECK_OK(ml_model_add_member(pipe, "net", step));
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_n_features(ml_model_member(pipe, 2)) == 2);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 2), 1), "code1"));
    memset(code, 0, sizeof code);
    CHECK_OK(ml_model_inverse_transform(pipe, code, N, 2, out, N * D));
    ml_model_free(pipe);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- weights, bits ---- */

TEST(autoencoder, weights_are_repetitions_of_rows)
{
    size_t chosen[2 * N], n = 0;
    double w[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *source = toy_classes(c.context), *twice;
    ml_model *weighted =
        coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "solver=sgd", "max_iter=5", "batch_size=1000",
                              "shuffle=false", "alpha=0.5", "complexity_weight=0.1"));
    ml_model *plain;
    static float a[ROOM], b[ROOM];

    for (size_t i = 0; i < N; i++) {
        w[i] = (double)(i % 3);
        for (size_t r = 0; r < i % 3; r++)
            chosen[n++] = i;
    }
    CHECK_OK(ml_model_clone(weighted, &plain));
    CHECK_OK(ml_dataset_subset(source, chosen, n, &twice));
    CHECK_OK(ml_model_fit(plain, twice, NULL));
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_model_fit(weighted, data, NULL));
    n = weights_of(plain, a, ROOM);
    CHECK(weights_of(weighted, b, ROOM) == n);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE((double)a[i], (double)b[i], 2e-6);
    ml_model_free(weighted);
    ml_model_free(plain);
    ml_dataset_free(twice);
    ml_dataset_free(source);
    ml_dataset_free(data);
    close_context(&c);
}

/* Large enough for products to be shared. */
static void *fit_noisy(ml_context *context, const void *settings, size_t *n_bytes)
{
    enum { n = 400, d = 150 };
    double *X = malloc(n * d * sizeof *X);
    ml__rng rng = ml__rng_make(2, 2);
    ml_model *model;
    ml_dataset *data;

    for (size_t i = 0; i < n * d; i++)
        X[i] = ml__rng_normal(&rng);
    data = rows(context, X, n, d);
    free(X);
    model = coder(context, settings);
    return test_fitted_bytes(model, data, n_bytes);
}

TEST(autoencoder, any_number_of_threads_gives_the_same_bytes)
{
    test_any_threads(
        "gaussian", fit_noisy,
        WITH("encoder_layer_sizes=120", "code_size=30", "max_iter=2", "noise=0.2", "dropout=0.3", "batch_size=200"));
    test_any_threads("masking, tied", fit_noisy,
                     WITH("encoder_layer_sizes=120", "code_size=30", "max_iter=2", "noise=0.2", "dropout=0.3",
                          "batch_size=200", "noise_kind=masking", "tied_weights=true"));
}

/* ---- what is refused ---- */

TEST(autoencoder, parameters_that_do_not_go_together_are_refused)
{
    static const struct {
        const char *settings[3], *message;
    } CASES[] = {
        {{"tied_weights=true", "decoder_layer_sizes=5"}, "tied_weights need a decoder that mirrors the encoder"},
        {{"tied_weights=true", "encoder_layer_sizes=5,4", "decoder_layer_sizes=5,4"}, "tied_weights need a decoder"},
        {{"noise=1", "noise_kind=masking"}, "noise is 1, with noise_kind masking it is a share below 1"},
        {{"noise=0.5", "solver=lbfgs"}, "solver lbfgs takes no noise"},
        {{"clip_norm=0.5", "solver=lbfgs"}, "autoencoder: clip_norm is 0.5, solver lbfgs has no steps to shorten"},
        {{"dropout=0.5,0.5"}, "'dropout' has 2 rates, expected one or one for each of the 3 hidden layers"},
        {{"encoder_layer_sizes=1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7"}, "give 34 layers, at most 33 are supported"},
        {{"freeze_layers=4"}, "'freeze_layers' is 4, at most 3 of the 4 layers"},
    };
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        ml_model *model =
            coder(c.context, WITH(CASES[i].settings[0], CASES[i].settings[1] ? CASES[i].settings[1] : "max_iter=1",
                                  CASES[i].settings[2] ? CASES[i].settings[2] : "max_iter=1"));

        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, CASES[i].message);
        ml_model_free(model);
    }
    ml_model *model = coder(c.context, NULL);
    CHECK_FAILS(ml_model_set_text(model, "loss", "cross_entropy"), ML_E_PARAMETER, "squared_error");
    CHECK_FAILS(ml_model_set_text(model, "hidden_layer_sizes", "5"), ML_E_PARAMETER, "encoder_layer_sizes");
    CHECK_FAILS(ml_model_set_text(model, "batch_size", "0.5"), ML_E_PARAMETER,
                "autoencoder: parameter 'batch_size' takes a whole number in [1, 1000000000] or auto, got '0.5'");
    CHECK_FAILS(ml_model_set_real(model, "batch_size", 0.5), ML_E_PARAMETER, "got '0.5'");
    CHECK_FAILS(ml_model_set_int(model, "code_size", 0), ML_E_PARAMETER, "code_size");
    CHECK_FAILS(ml_model_set_real(model, "reconstruction_weight", 0), ML_E_PARAMETER, "reconstruction_weight");
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(autoencoder, data_that_it_does_not_take_is_refused)
{
    double X[N * D], code[2] = {0, 0}, out[D];
    bench c;
    open_context(&c, 1);
    ml_model *model = coder(c.context, WITH("code_size=2", "max_iter=2", "loss=binary_cross_entropy"));
    ml_dataset *data;

    for (size_t i = 0; i < N * D; i++)
        X[i] = (double)(i % 5) / 4;
    X[7 * D + 1] = 1.5;
    data = rows(c.context, X, N, D);
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "row 7 for training has 1.5 in feature 'x1'");
    ml_dataset_free(data);
    X[7 * D + 1] = NAN;
    data = rows(c.context, X, N, D);
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "takes no missing values, row 7");
    ml_dataset_free(data);
    X[7 * D + 1] = 1;
    data = rows(c.context, X, N, D);
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_inverse_transform(model, code, 1, 2, out, D));
    c.allocator.fail_at = c.allocator.n_allocations + 1;
    (void)ml_model_inverse_transform(model, code, 1, 2, out, D);
    c.allocator.fail_at = 0;
    code[1] = NAN;
    CHECK_FAILS(ml_model_inverse_transform(model, code, 1, 2, out, D), ML_E_DATA, "column 1 of a code is missing");
    code[1] = 1e300;
    CHECK_FAILS(ml_model_inverse_transform(model, code, 1, 2, out, D), ML_E_DATA, "column 1 of a code is too large");
    CHECK_FAILS(ml_model_inverse_transform(model, code, 1, 1, out, D), ML_E_SHAPE, "autoencoder has 2");
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(autoencoder, divergence_is_an_error)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = coder(c.context, WITH("encoder_layer_sizes=6", "code_size=2", "activation=identity", "solver=sgd",
                                            "learning_rate_init=100000", "batch_size=10"));

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "autoencoder: a weight or its step became");
    CHECK(!ml_model_is_fitted(model));
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* Tensors of 3 -> 2 -> 3 of which each case spoils one thing. */
typedef struct broken {
    const char *message;
    uint64_t n_out;
    int32_t link, code, loss;
    double huber_delta;
} broken;

static void add_tensors(ml__learned *learned, const void *argument)
{
    const broken *b = argument;
    const uint64_t W0[] = {3, 2}, W1[] = {2, b->n_out}, one = 1, two = 2;
    int32_t *id;

    (void)ml__learned_add(learned, "weights.0", ML_FLOAT32, 2, W0);
    (void)ml__learned_add(learned, "biases.0", ML_FLOAT32, 1, &two);
    (void)ml__learned_add(learned, "weights.1", ML_FLOAT32, 2, W1);
    (void)ml__learned_add(learned, "biases.1", ML_FLOAT32, 1, &b->n_out);
    id = ml__learned_add(learned, "activations", ML_INT32, 1, &two);
    id[1] = ML__MLP_IDENTITY;
    id = ml__learned_add(learned, "links", ML_INT32, 1, &one);
    *id = b->link;
    (void)ml__learned_add(learned, "loss_curve", ML_FLOAT64, 1, &two);
    id = ml__learned_add(learned, "loss", ML_INT32, 1, &one);
    *id = b->loss;
    *(double *)ml__learned_add(learned, "huber_delta", ML_FLOAT64, 1, &one) = b->huber_delta;
    if (b->code == -2)
        return;
    id = ml__learned_add(learned, "code", ML_INT32, 1, &one);
    *id = b->code;
}

TEST(autoencoder, broken_tensors_are_refused)
{
    enum { LINEAR = ML__MLP_LINEAR, SQUARED = ML__MLP_SQUARED_ERROR };
    static const broken CASES[] = {
        {NULL, 3, LINEAR, 0, SQUARED, 1},
        {NULL, 3, ML__MLP_LOGISTIC_OUTPUT, 0, ML__MLP_BINARY_CROSS_ENTROPY, 1},
        {"the last layer has 4 outputs, expected 3", 4, LINEAR, 0, SQUARED, 1},
        {"'links': element 0 is 0, of classes", 3, ML__MLP_SOFTMAX, 0, SQUARED, 1},
        {"'links': element 0 is 3, unknown", 3, ML__MLP_N_LINKS, 0, SQUARED, 1},
        {"'links': element 0 is 2, the loss binary_cross_entropy needs 1", 3, LINEAR, 0, ML__MLP_BINARY_CROSS_ENTROPY,
         1},
        {"'code': element 0 is 1, expected less than 1", 3, LINEAR, 1, SQUARED, 1},
        {"'code': element 0 is -1", 3, LINEAR, -1, SQUARED, 1},
        {"'code' is missing", 3, LINEAR, -2, SQUARED, 1},
        {"'loss': element 0 is 0, unknown", 3, LINEAR, 0, ML__MLP_AUTO, 1},
        {"'loss': element 0 is 1, unknown", 3, LINEAR, 0, ML__MLP_CROSS_ENTROPY, 1},
        {"'loss': element 0 is 6, unknown", 3, LINEAR, 0, ML__MLP_N_LOSSES, 1},
        {"'huber_delta': element 0 is 0", 3, LINEAR, 0, SQUARED, 0},
        {"'huber_delta': element 0 is inf", 3, LINEAR, 0, SQUARED, INFINITY},
    };
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = coder(c.context, NULL);

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_tensors(model, data, ML__UNSUPERVISED, add_tensors, &CASES[i], CASES[i].message);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- noise ---- */

TEST(autoencoder, noise_is_normal)
{
    enum { n = 1 << 20 };
    float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
    double mean = 0, square = 0, fourth = 0, beyond = 0, neighbours = 0;
    const ml__kernels_f32 *k = &ml__kernels_best()->f32;

    ml__mlp_add_noise(k, 3, 17, 2, n, x);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i] / 2;
        mean += v / n;
        square += v * v / n;
        fourth += v * v * v * v / n;
        beyond += (double)(fabs(v) > 1.959964) / n;
        neighbours += i ? v * (double)x[i - 1] / 2 / n : 0;
    }
    /* five standard errors: of the mean 1, of the squares 2, of the fourth powers 96, of a share p (1 - p), over n */
    CHECK_CLOSE(mean, 0, 5 * sqrt(1.0 / n));
    CHECK_CLOSE(square, 1, 5 * sqrt(2.0 / n));
    CHECK_CLOSE(fourth, 3, 5 * sqrt(96.0 / n));
    CHECK_CLOSE(beyond, 0.05, 5 * sqrt(0.05 * 0.95 / n));
    CHECK_CLOSE(neighbours, 0, 5 * sqrt(1.0 / n));
    ml__mlp_add_noise(k, 3, 17, 2, 512, y); /* whole blocks do not depend on what follows */
    CHECK_SAME_BYTES(x, 512 * sizeof *x, y, 512 * sizeof *y);
    for (size_t m = 0; m < 5; m++) { /* nothing is written behind the end, all of it before */
        memset(y, 0, 1024 * sizeof *y);
        ml__mlp_add_noise(k, 3, 17, 1, 511 + m, y);
        for (size_t i = 0; i < 1024; i++)
            CHECK((y[i] != 0) == (i < 511 + m));
    }
    free(x);
    free(y);
}

TEST(autoencoder, masking_sets_its_share_to_zero)
{
    enum { n = 1 << 18 };
    float *x = malloc((n + 1) * sizeof *x);
    double share = 0;

    for (size_t i = 0; i <= n; i++)
        x[i] = 1;
    ml__mlp_blank(3, 17, 0.3, n - 1, x);
    for (size_t i = 0; i < n - 1; i++) {
        CHECK(x[i] == 0 || x[i] == 1);
        share += (double)(x[i] == 0) / (n - 1);
    }
    CHECK(x[n - 1] == 1 && x[n] == 1);
    CHECK_CLOSE(share, 0.3, 5 * sqrt(0.3 * 0.7 / n));
    ml__mlp_draw_mask(3, 17, 1, 0.3, n, x);
    for (size_t i = 0; i < n; i++)
        CHECK(x[i] == 0 || x[i] == (float)(1 / 0.7));
    free(x);
}
