/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Autoencoder: a network that gives its input back through a narrow layer, the code (Hinton & Salakhutdinov 2006).
 *
 * Model       encoder d -> encoder_layer_sizes -> code_size, decoder code_size -> decoder_layer_sizes -> d; no sizes: those of
 *             the encoder in reverse. x^ = z, or 1 / (1 + exp(-z)) by output_activation; binary_cross_entropy is always so
 * Tied        the decoder has the weights of the encoder transposed, and biases of its own (layers_tmpl.h)
 * Error       e(x) = 1/d Σ_j loss(x^_j, x_j): half the square, the magnitude, Huber's (1964), or the cross-entropy of a
 *             feature in [0, 1]
 * Objective   J = reconstruction_weight Σ_i c_i e(x_i) + complexity_weight Σ_i c_i ||h_i||_1 + alpha / (2 m w) Σ_l ||W_l||²
 *             + l1 / (m w) Σ |w|,  c_i = w_i / (m w) over a batch of m rows, w the mean weight of all, h_i the code of row i
 * Denoising   the input of a step is disturbed, by normal noise or by zeros (masking), and held against the clean row
 *             (Vincent et al. 2008)
 * Calls       transform: h(x); inverse: x^ from h; score_samples: -e(x), so that larger is more usual, as of densities
 *
 * Symbols     as in mlp.c; c the layer whose outputs are the code
 * Precision   the network in float32; errors of rows are computed in double from its outputs
 * Degenerate  a layer that is frozen while another is tied to it learns from neither of the two
 */
#include <float.h>

#include "learn/learn.h"
#include "learn/mlp/layered.h"
#include "learn/mlp/parameters.h"

typedef ml__mlp_params params;

/* The first one is the activation of the other layers. */
#define CODE_ACTIVATIONS "auto|" ML__MLP_ACTIVATIONS
#define LOSSES "squared_error|absolute_error|huber|binary_cross_entropy"
static const int32_t LOSS_IDS[] = {ML__MLP_SQUARED_ERROR, ML__MLP_ABSOLUTE_ERROR, ML__MLP_HUBER,
                                   ML__MLP_BINARY_CROSS_ENTROPY};

static const ml__param PARAMS[] = {
    {"encoder_layer_sizes", ML_PARAM_INTS, offsetof(params, hidden_layer_sizes), "64", ML__RANGE(1, 1e6), "",
     "widths of the layers before the code; empty: none", 0},
    ML__INT(params, code_size, "8", ML__RANGE(1, 1e6), "width of the code"),
    ML__INTS(params, decoder_layer_sizes, "", ML__RANGE(1, 1e6),
             "widths of the layers behind the code; empty: those of the encoder in reverse"),
    ML__CHOICE(params, activation, "relu", ML__MLP_ACTIVATIONS,
               "of the hidden layers; gelu: in its tanh form; leaky_relu: of slope 0.01 below 0"),
    ML__CHOICE(params, code_activation, "auto", CODE_ACTIVATIONS, "of the code; auto: as the hidden layers"),
    ML__CHOICE(params, output_activation, "identity", ML__MLP_OUTPUT_ACTIVATIONS, "of the reconstruction"),
    ML__CHOICE(params, loss, "squared_error", LOSSES,
               "error of a reconstruction, a mean over the features; squared_error: half of the square; "
               "binary_cross_entropy: features in [0, 1], the output is logistic"),
    ML__REAL(params, huber_delta, "1", ML__RANGE_OPEN(0, INFINITY), "error beyond which Huber's loss is linear"),
    ML__REAL(params, reconstruction_weight, "1", ML__RANGE_OPEN(0, INFINITY),
             "what the error of a reconstruction counts"),
    ML__REAL(params, complexity_weight, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "what the sum of the magnitudes of a code counts"),
    ML__BOOL(params, tied_weights, "false", "the decoder has the weights of the encoder, transposed"),
    ML__REAL(params, noise, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "disturbance of the inputs while training: standard deviation of gaussian noise, or share of the features "
             "that masking sets to 0"),
    ML__CHOICE(params, noise_kind, "gaussian", ML__MLP_NOISES, "of the disturbance"),
    ML__REALS(params, dropout, "0", ML__RANGE_OPEN_HIGH(0, 1),
              "share of the outputs of each layer but the last that a step leaves out, or one number for all"),
    ML__MLP_TRAINING_PARAMS(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {ML__MLP_TENSORS,
                                          {"code", ML_INT32, "1", ML__NON_NEGATIVE},
                                          {"loss", ML_INT32, "1", ML__NON_NEGATIVE},
                                          {"huber_delta", ML_FLOAT64, "1", ML__FINITE | ML__POSITIVE},
                                          {NULL, 0, NULL, 0}};

/* ---- parameters ---- */

static size_t n_decoder_layers(const params *p)
{
    return p->decoder_layer_sizes.n ? p->decoder_layer_sizes.n : p->hidden_layer_sizes.n;
}

/* Width of the decoder's layer l, from the code on. */
static int64_t decoder_width(const params *p, size_t l)
{
    const size_t n = p->hidden_layer_sizes.n;

    return p->decoder_layer_sizes.n ? p->decoder_layer_sizes.values[l] : p->hidden_layer_sizes.values[n - 1 - l];
}

static bool is_mirrored(const params *p)
{
    const size_t n = p->hidden_layer_sizes.n;
    bool same = n_decoder_layers(p) == n;

    for (size_t l = 0; l < n && same; l++)
        same = decoder_width(p, l) == p->hidden_layer_sizes.values[n - 1 - l];
    return same;
}

static ml_status check(const ml_model *model)
{
    const params *p = model->params;
    const size_t n_layers = p->hidden_layer_sizes.n + n_decoder_layers(p) + 2;
    ml_status st;

    ML__TRY(ml__mlp_check(model));
    ML__CHECK(n_layers <= ML__MLP_MAX_LAYERS, ML_E_PARAMETER,
              "autoencoder: encoder_layer_sizes and decoder_layer_sizes give %zu layers, at most %d are supported",
              n_layers, (int)ML__MLP_MAX_LAYERS);
    ML__CHECK(!p->tied_weights || is_mirrored(p), ML_E_PARAMETER,
              "autoencoder: tied_weights need a decoder that mirrors the encoder: decoder_layer_sizes empty, or "
              "encoder_layer_sizes in reverse");
    ML__CHECK(p->noise_kind != ML__MLP_MASKING || p->noise < 1, ML_E_PARAMETER,
              "autoencoder: noise is %g, with noise_kind masking it is a share below 1", p->noise);
done:
    return st;
}

/* ---- fit ---- */

static ml__mlp_plan plan_of(const ml__fit *f, bool is_partial)
{
    const params *p = f->params;
    const size_t n = p->hidden_layer_sizes.n, L = n + n_decoder_layers(p) + 2;
    ml__mlp_plan plan = {.shape.L = L,
                         .is_autoencoder = true,
                         .code = n,
                         .loss = LOSS_IDS[p->loss],
                         .is_partial = is_partial,
                         .continues = f->model->learned && (is_partial || p->warm_start)};

    plan.shape.n[0] = f->d;
    for (size_t l = 0; l < L; l++) {
        const int64_t hidden = l < n ? p->hidden_layer_sizes.values[l] : l == n ? p->code_size : 0;

        plan.shape.n[l + 1] = hidden ? (size_t)hidden : l + 1 < L ? (size_t)decoder_width(p, l - n - 1) : f->d;
        plan.shape.tied_to[l] = p->tied_weights && l > n ? L - 1 - l : ML__MLP_NOT_TIED;
        plan.f[l] = &ml__mlp_activations[l + 1 == L                     ? ML__MLP_IDENTITY
                                         : l == n && p->code_activation ? p->code_activation - 1
                                                                        : p->activation];
    }
    return plan;
}

static ml_status publish_error(ml__fit *f, const ml__mlp_plan *plan)
{
    int32_t *code, *loss;
    double *huber_delta;
    ml_status st = ML_OK;

    ML__PUBLISH(f, code, "code", ML_INT32, 1);
    ML__PUBLISH(f, loss, "loss", ML_INT32, 1);
    ML__PUBLISH(f, huber_delta, "huber_delta", ML_FLOAT64, 1);
    *code = (int32_t)plan->code;
    *loss = plan->loss;
    *huber_delta = ((const params *)f->params)->huber_delta;
done:
    return st;
}

static ml_status learn(ml__fit *f, bool is_partial)
{
    const params *p = f->params;
    const ml__mlp_plan plan = plan_of(f, is_partial);
    const bool is_logistic = p->output_activation || plan.loss == ML__MLP_BINARY_CROSS_ENTROPY;
    const int32_t link = is_logistic ? ML__MLP_LOGISTIC_OUTPUT : ML__MLP_LINEAR;
    ml__mlp_trained trained = {.n_epochs = 0};
    ml_status st;

    ML__TRY(ml__mlp_train(f, &plan, &trained));
    ML__TRY(ml__mlp_publish(f, &trained, &link, 1, is_partial));
    ML__TRY(publish_error(f, &plan));
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    return learn(f, false);
}

static ml_status partial_fit(ml__fit *f)
{
    return learn(f, true);
}

/* ---- prepare: from tensors to a net ---- */

typedef struct state {
    ml__mlp_fitted net; /* first, for networks that start from this one */
    ml__mlp64_head head;
    ml__mlp64_objective error; /* of a reconstruction: that head */
} state;

static ml_status check_layers(const ml__learned *learned, const ml__mlp_fitted *fitted, int32_t loss)
{
    const size_t L = fitted->net.shape.L, d = learned->schema.n_features;
    bool is_known = false;
    ml_status st = ML_OK;

    ML__CHECK(fitted->code + 1 < L, ML_E_FORMAT, "autoencoder: tensor 'code': element 0 is %zu, expected less than %zu",
              fitted->code, L - 1);
    ML__CHECK(fitted->net.shape.n[L] == d, ML_E_FORMAT, "autoencoder: the last layer has %zu outputs, expected %zu",
              fitted->net.shape.n[L], d);
    ML__CHECK(fitted->links[0] != ML__MLP_SOFTMAX, ML_E_FORMAT,
              "autoencoder: tensor 'links': element 0 is %d, of classes", fitted->links[0]);
    for (size_t i = 0; i < sizeof LOSS_IDS / sizeof *LOSS_IDS; i++)
        is_known = is_known || loss == LOSS_IDS[i];
    ML__CHECK(is_known, ML_E_FORMAT, "autoencoder: tensor 'loss': element 0 is %d, unknown", loss);
    ML__CHECK(loss != ML__MLP_BINARY_CROSS_ENTROPY || fitted->links[0] == ML__MLP_LOGISTIC_OUTPUT, ML_E_FORMAT,
              "autoencoder: tensor 'links': element 0 is %d, the loss binary_cross_entropy needs %d", fitted->links[0],
              (int)ML__MLP_LOGISTIC_OUTPUT);
done:
    return st;
}

static ml_status make_error(ml__learned *learned, int32_t loss, state *s)
{
    const size_t d = learned->schema.n_features;
    double *scale;
    ml_status st = ML_OK;

    ML__NEW(&learned->arena, scale, d);
    for (size_t j = 0; j < d; j++)
        scale[j] = 1 / (double)d;
    s->head = (ml__mlp64_head){.loss = loss,
                               .is_logistic = s->net.links[0] == ML__MLP_LOGISTIC_OUTPUT,
                               .is_uniform = true,
                               .n = d,
                               .scale = scale,
                               .huber_delta = *(const double *)ml__tensor_data(learned, "huber_delta")};
    s->error = (ml__mlp64_objective){.n_heads = 1, .n_targets = d, .heads = &s->head};
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const int32_t loss = *(const int32_t *)ml__tensor_data(learned, "loss");
    state *s;
    ml_status st = ML_OK;

    ML__NEW(&learned->arena, s, 1);
    s->net.is_autoencoder = true;
    s->net.code = (size_t) * (const int32_t *)ml__tensor_data(learned, "code");
    ML__TRY(ml__mlp_link(model, learned, learned->schema.n_features, 1, &s->net));
    ML__TRY(check_layers(learned, &s->net, loss));
    ML__TRY(make_error(learned, loss, s));
    learned->state = s;
done:
    return st;
}

/* ---- calls ---- */

static size_t width(const ml_model *model, int32_t what)
{
    const ml__mlp_fitted *fitted = model->learned->state;

    return what == ML_TRANSFORM ? fitted->net.shape.n[fitted->code + 1] : what == ML_SCORE_SAMPLES;
}

/* Outputs and a row of features, or codes in single precision. */
static size_t scratch_size(const ml_model *model, size_t n)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const size_t d = model->learned->schema.n_features, code = fitted->net.shape.n[fitted->code + 1];

    return ml__mlp_scratch(model, n) + ml__scratch_bytes(n, d * sizeof(double)) + ml__scratch_bytes(d, sizeof(double)) +
           ml__scratch_bytes(n, code * sizeof(float));
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;

    return ml__mlp_outputs(model, 0, fitted->code + 1, x->n, x->f32, out, scratch);
}

static ml_status codes_to_single(size_t n, size_t width, const double *z, float *out)
{
    for (size_t i = 0; i < n * width; i++) {
        if (!(fabs(z[i]) <= FLT_MAX))
            return ml__fail(ML_E_DATA,
                            isnan(z[i]) ? "autoencoder: column %zu of a code is missing"
                                        : "autoencoder works in single precision, column %zu of a code is too large",
                            i % width);
        out[i] = (float)z[i];
    }
    return ML_OK;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const size_t L = fitted->net.shape.L, code = fitted->net.shape.n[fitted->code + 1];
    float *h = ml__scratch_take(&scratch, n * code, sizeof *h);
    ml_status st = ML_OK;

    if (!h)
        return ML_E_MEMORY;
    ML__TRY(codes_to_single(n, code, z, h));
    ML__TRY(ml__mlp_outputs(model, fitted->code + 1, L, n, h, out, scratch));
    if (fitted->links[0] == ML__MLP_LOGISTIC_OUTPUT)
        ml__kernels_rowwise()->f64.vlogistic(n * fitted->net.shape.n[L], out, out);
done:
    return st;
}

static ml_status score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    const ml__kernels_f64 *k = &ml__kernels_rowwise()->f64;
    const size_t d = x->d;
    const double one = 1;
    double *z = ml__scratch_take(&scratch, x->n * d, sizeof *z),
           *target = ml__scratch_take(&scratch, d, sizeof *target);
    ml_status st = ML_OK;

    if (!z || !target)
        return ML_E_MEMORY;
    ML__TRY(ml__mlp_outputs(model, 0, s->net.net.shape.L, x->n, x->f32, z, scratch));
    for (size_t i = 0; i < x->n; i++) {
        for (size_t j = 0; j < d; j++)
            target[j] = (double)x->f32[i * d + j];
        out[i] = -ml__mlp64_loss(k, &s->error, &(ml__mlp64_batch){.m = 1, .target = target, .share = &one}, d,
                                 z + i * d, NULL);
    }
done:
    return st;
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    char name[32];
    ml_status st = ML_OK;

    features->n_features = width(model, ML_TRANSFORM);
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < features->n_features; j++) {
        ml__format(name, sizeof name, "code%zu", j);
        features->features[j].name = ml__arena_text(arena, name);
        if (!features->features[j].name)
            return ML_E_MEMORY;
    }
done:
    return st;
}

const ml__kind ml__autoencoder = {
    .name = "autoencoder",
    .doc = "Autoencoder: a neural network that codes rows in few numbers and gives them back; codes are new features, "
           "errors tell what is unusual; ml_model_partial_fit() is one epoch",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .partial_fit = partial_fit,
    .starts_from = ml__mlp_starts_from,
    .check = check,
    .prepare = prepare,
    .transform = transform,
    .score_samples = score_samples,
    .inverse = inverse,
    .scratch = scratch_size,
    .width = width,
    .name_features = name_features,
};
