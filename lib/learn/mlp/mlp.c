/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multi-layer perceptron: classifier and regressor.
 *
 * Model       H_0 = f(X W_0 + 1 b_0'),  H_l = f(H_{l-1} W_l + 1 b_l'),  Z = H_{L-2} W_{L-1} + 1 b_{L-1}'
 *             classes: p(y = k | x) = exp(z_k) / Σ_k exp(z_k), one output for each class also when there are two;
 *             reals: the outputs are the predictions, targets are taken as they are
 * Objective   J = Σ_i c_i loss(z_i, y_i) + alpha / (2 W) Σ_l ||W_l||²,  c_i = w_i / W,  W = Σ_i w_i over a batch
 *             loss = cross-entropy, or half the squared error summed over the outputs; biases are not penalised
 * Fit         gradients by backpropagation (layers_tmpl.h), steps by SGD or Adam (optimisers.c), epochs, early stopping
 *             and sample weights in train.c; rules and defaults are scikit-learn's, differences are:
 *             two classes use two outputs; cross-entropy is not clipped; the loss of several real outputs is their sum,
 *             not their mean (the steps are the same, tol compares with the sum)
 *
 * Symbols     n rows, d features, L layers; layer l is n_l -> n_{l+1}, n_0 = d, n_L = n_out = classes or outputs
 *             W_l [n_l x n_{l+1}], b_l [n_{l+1}], f activation, w_i sample weight; theta all W and b in one vector
 * Precision   float32 throughout; losses and scores are summed in double, probabilities computed in double
 * Degenerate  one class: p = 1; no hidden layer: a linear model; a loss or weight that is not finite ends the fit with
 *             ML_E_NUMERIC, naming epoch and batch
 * Cost        6 multiplications per weight, row and epoch; memory see train.c
 * Bits        training: the same for any number of threads (they share large products); a row's prediction never depends
 *             on others
 */
#include <string.h>

#include "learn/learn.h"
#include "learn/mlp/mlp.h"

typedef ml__mlp_params params;

static const ml__param PARAMS[] = {
    ML__INTS(params, hidden_layer_sizes, "100", ML__RANGE(1, 1e6), "widths of the hidden layers; empty: none"),
    ML__CHOICE(params, activation, "relu", ML__MLP_ACTIVATIONS, "of the hidden layers"),
    ML__CHOICE(params, solver, "adam", ML__MLP_OPTIMISERS, "optimiser"),
    ML__REAL(params, alpha, "0.0001", ML__RANGE_OPEN_HIGH(0, INFINITY), "strength of the L2 penalty on the weights"),
    ML__SIZE(params, batch_size, "auto", ML__RANGE(1, 1e9), "auto", "rows per step; auto: 200 or all rows if fewer"),
    ML__REAL(params, learning_rate_init, "0.001", ML__RANGE_OPEN(0, INFINITY), "step size, of adam or at the start"),
    ML__CHOICE(params, learning_rate, "constant", ML__MLP_RATES,
               "how sgd changes its step size: not, falling with power_t, or divided by 5 when progress stalls"),
    ML__REAL(params, power_t, "0.5", ML__RANGE_OPEN_HIGH(0, INFINITY), "exponent of invscaling"),
    ML__INT(params, max_iter, "200", ML__RANGE(1, 1e6), "the most epochs"),
    ML__BOOL(params, shuffle, "true", "new order of the rows in every epoch"),
    ML__RANDOM_STATE(params),
    ML__REAL(params, tol, "0.0001", ML__RANGE_OPEN_HIGH(0, INFINITY), "what counts as an improvement"),
    ML__REAL(params, momentum, "0.9", ML__RANGE(0, 1), "of sgd"),
    ML__BOOL(params, nesterovs_momentum, "true", "look ahead with the momentum of sgd"),
    ML__BOOL(params, early_stopping, "false", "hold rows out and stop when their score no longer improves"),
    ML__REAL(params, validation_fraction, "0.1", ML__RANGE_OPEN(0, 1), "share of rows held out by early_stopping"),
    ML__INT(params, n_iter_no_change, "10", ML__RANGE(1, 1e6), "epochs without improvement that are put up with"),
    ML__REAL(params, beta_1, "0.9", ML__RANGE_OPEN_HIGH(0, 1), "decay of adam's first moment"),
    ML__REAL(params, beta_2, "0.999", ML__RANGE_OPEN_HIGH(0, 1), "decay of adam's second moment"),
    ML__REAL(params, epsilon, "1e-8", ML__RANGE_OPEN_HIGH(1e-30, INFINITY), "keeps adam from dividing by zero"),
    ML__PARAMS_END,
};

static ml_status check(const ml_model *model)
{
    const params *p = model->params;

    if (p->batch_size.form == ML__SIZE_FRACTION)
        return ml__fail(ML_E_PARAMETER, "mlp: batch_size is %g, expected auto or a whole number",
                        p->batch_size.fraction);
    return ML_OK;
}

/* ---- fit ---- */

/* activations has the function of each layer, as numbered by ML__MLP_ACTIVATIONS; that of the last is the identity. */
static const ml__tensor_rule TENSORS[] = {
    {"weights.*", ML_FLOAT32, "**", ML__FINITE},
    {"biases.*", ML_FLOAT32, "*", ML__FINITE},
    {"activations", ML_INT32, "*", ML__NON_NEGATIVE},
    {"loss_curve", ML_FLOAT64, "*", ML__FINITE},
    {"validation_scores", ML_FLOAT64, "*", ML__FINITE | ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

static ml__mlp_shape shape_of(const ml__fit *f)
{
    const params *p = f->params;
    ml__mlp_shape shape = {.L = p->hidden_layer_sizes.n + 1};

    shape.n[0] = f->d;
    for (size_t l = 0; l < p->hidden_layer_sizes.n; l++)
        shape.n[l + 1] = (size_t)p->hidden_layer_sizes.values[l];
    shape.n[shape.L] = f->task == ML__CLASSIFY ? f->K : f->n_outputs;
    return shape;
}

enum { NAME_BYTES = 40 };

static ml_status publish_layer(ml__fit *f, const ml__mlp_net *net, size_t l)
{
    const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];
    char name[NAME_BYTES];
    float *W, *b;
    ml_status st = ML_OK;

    ml__format(name, sizeof name, "weights.%zu", l);
    ML__PUBLISH(f, W, name, ML_FLOAT32, n_in, n_out);
    ml__format(name, sizeof name, "biases.%zu", l);
    ML__PUBLISH(f, b, name, ML_FLOAT32, n_out);
    memcpy(W, net->W[l], n_in * n_out * sizeof *W);
    memcpy(b, net->b[l], n_out * sizeof *b);
done:
    return st;
}

static ml_status publish(ml__fit *f, const ml__mlp_trained *trained)
{
    const size_t L = trained->net.shape.L, n_bytes = trained->n_epochs * sizeof(double);
    int32_t *activations;
    double *curve;
    ml_status st = ML_OK;

    for (size_t l = 0; l < L; l++)
        ML__TRY(publish_layer(f, &trained->net, l));
    ML__PUBLISH(f, activations, "activations", ML_INT32, L);
    for (size_t l = 0; l < L; l++)
        activations[l] = (int32_t)(trained->net.f[l] - ml__mlp_activations);
    ML__PUBLISH(f, curve, "loss_curve", ML_FLOAT64, trained->n_epochs);
    memcpy(curve, trained->loss_curve, n_bytes);
    if (trained->validation_scores) {
        ML__PUBLISH(f, curve, "validation_scores", ML_FLOAT64, trained->n_epochs);
        memcpy(curve, trained->validation_scores, n_bytes);
    }
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const ml__mlp_shape shape = shape_of(f);
    ml__mlp_trained trained;
    ml_status st;

    ML__CHECK(f->task == ML__REGRESS || f->n_outputs == 1, ML_E_UNSUPPORTED,
              "mlp learns one output of labels (or several of reals), the data has %zu", f->n_outputs);
    ML__TRY(ml__mlp_train(f, &shape, &trained));
    ML__TRY(publish(f, &trained));
done:
    return st;
}

/* ---- prepare: from tensors to a net ---- */

/* Layer l of the net from its tensors; *found is false when there is none. */
static ml_status link_layer(const ml__learned *learned, size_t l, ml__mlp_net *net, bool *found)
{
    char name_W[NAME_BYTES], name_b[NAME_BYTES];
    const ml__named_tensor *W, *b;
    ml_status st = ML_OK;

    ml__format(name_W, sizeof name_W, "weights.%zu", l);
    ml__format(name_b, sizeof name_b, "biases.%zu", l);
    W = ml__learned_find(learned, name_W);
    b = ml__learned_find(learned, name_b);
    *found = W || b;
    if (!*found)
        return ML_OK;
    ML__CHECK(W && b, ML_E_FORMAT, "mlp: tensor '%s' is missing", W ? name_b : name_W);
    ML__CHECK(l < ML__MLP_MAX_LAYERS, ML_E_FORMAT, "mlp: tensor '%s': at most %d layers are supported", name_W,
              (int)ML__MLP_MAX_LAYERS);
    ML__CHECK(W->shape[0] == net->shape.n[l], ML_E_FORMAT, "mlp: tensor '%s' takes %llu inputs, expected %zu", name_W,
              (unsigned long long)W->shape[0], net->shape.n[l]);
    ML__CHECK(W->shape[1] >= 1, ML_E_FORMAT, "mlp: tensor '%s' has no outputs", name_W);
    ML__CHECK(b->shape[0] == W->shape[1], ML_E_FORMAT, "mlp: tensor '%s' has %llu elements, expected %llu", name_b,
              (unsigned long long)b->shape[0], (unsigned long long)W->shape[1]);
    net->shape.n[l + 1] = (size_t)W->shape[1];
    net->W[l] = W->data;
    net->b[l] = b->data;
done:
    return st;
}

static ml_status link_activations(const ml__learned *learned, ml__mlp_net *net)
{
    const ml__named_tensor *t = ml__learned_find(learned, "activations");
    const size_t L = net->shape.L;
    const int32_t *id = t->data;
    ml_status st = ML_OK;

    ML__CHECK(t->shape[0] == L, ML_E_FORMAT, "mlp: tensor 'activations' has %llu elements for %zu layers",
              (unsigned long long)t->shape[0], L);
    for (size_t l = 0; l < L; l++) {
        ML__CHECK(id[l] < ML__MLP_N_ACTIVATIONS, ML_E_FORMAT, "mlp: tensor 'activations': element %zu is %d, unknown",
                  l, id[l]);
        net->f[l] = &ml__mlp_activations[id[l]];
    }
    ML__CHECK(id[L - 1] == ML__MLP_IDENTITY, ML_E_FORMAT, "mlp: tensor 'activations': the last one is %d, expected %d",
              id[L - 1], (int)ML__MLP_IDENTITY);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__schema *schema = &learned->schema;
    const size_t n_out = learned->task == ML__CLASSIFY ? ml__schema_width(schema) : schema->n_outputs;
    ml__mlp_net *net;
    bool found = true;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, net, 1);
    net->shape.n[0] = schema->n_features;
    for (size_t l = 0; found; l++) {
        ML__TRY(link_layer(learned, l, net, &found));
        net->shape.L = found ? l + 1 : l;
    }
    ML__CHECK(net->shape.L > 0, ML_E_FORMAT, "mlp: tensor 'weights.0' is missing");
    ML__CHECK(net->shape.n[net->shape.L] == n_out, ML_E_FORMAT, "mlp: the last layer has %zu outputs, expected %zu",
              net->shape.n[net->shape.L], n_out);
    ML__TRY(link_activations(learned, net));
    learned->state = net;
done:
    return st;
}

/* ---- predict ---- */

static size_t widest_layer(const ml__mlp_net *net)
{
    size_t widest = 0;

    for (size_t l = 0; l < net->shape.L; l++)
        widest = net->shape.n[l + 1] > widest ? net->shape.n[l + 1] : widest;
    return widest;
}

/* Two layers' outputs at a time. */
static size_t scratch_size(const ml_model *model, size_t n)
{
    return ml__scratch_bytes(n, 2 * widest_layer(model->learned->state) * sizeof(float));
}

/* Decision function of a classifier, values of a regressor. */
static ml_status outputs(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__mlp_net *net = model->learned->state;
    const size_t L = net->shape.L, n_values = x->n * net->shape.n[L], half = x->n * widest_layer(net);
    const ml__crew_f32 alone = {.k = &ml__kernels_rowwise()->f32};
    float *buffer = ml__scratch_take(&scratch, 2 * half, sizeof *buffer), *H[ML__MLP_MAX_LAYERS];
    ml_status st = ML_OK;

    if (!buffer)
        return ML_E_MEMORY;
    for (size_t l = 0; l < L; l++)
        H[l] = buffer + (l & 1 ? half : 0);
    ML__TRY(ml__mlp_forward(&alone, net, x->n, x->f32, H));
    for (size_t i = 0; i < n_values; i++) {
        ML__CHECK(isfinite(H[L - 1][i]), ML_E_NUMERIC, "mlp: a prediction is not finite, its features are too large");
        out[i] = (double)H[L - 1][i];
    }
done:
    return st;
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__mlp_net *net = model->learned->state;
    const size_t K = net->shape.n[net->shape.L];
    const ml_status st = outputs(model, x, out, scratch);

    if (st == ML_OK)
        ml__kernels_rowwise()->f64.softmax(x->n, K, out, K, NULL);
    return st;
}

const ml__kind ml__mlp = {
    .name = "mlp",
    .doc = "Multi-layer perceptron: a feed-forward neural network for classes or for one or several reals",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .proba = proba,
    .values = outputs,
    .decision = outputs,
    .scratch = scratch_size,
};
