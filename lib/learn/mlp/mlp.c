/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multi-layer perceptron: classifier, regressor, or both at once with a trunk in common.
 *
 * Model       H_0 = f(X W_0 + 1 b_0'),  H_l = f(H_{l-1} W_l + 1 b_l'),  Z = H_{L-2} W_{L-1} + 1 b_{L-1}'
 *             each output has its columns z of Z (its head):
 *             classes: p(y = k | x) = exp(z_k) / Σ_k exp(z_k), one column for each class; two classes have one column in all,
 *             p(y = 1 | x) = 1 / (1 + exp(-z)), unless the loss is cross_entropy
 *             reals: z, or 1 / (1 + exp(-z)) by output_activation; targets are taken as they are
 * Objective   J = Σ_o lambda_o Σ_i c_i loss_o(z_i, y_io) + alpha / (2 m w) Σ_l ||W_l||² + l1 / (m w) Σ |w|,  c_i = w_i / (m w),
 *             m rows in a batch, w the mean of w_i over all rows of the fit (so a weight counts the same in a batch of any size,
 *             and m w is W = Σ w_i when the batch is all rows); a row without output o leaves head o alone (Caruana 1997,
 *             "Multitask learning").
 *             loss: cross-entropy, half the squared error, absolute error, Huber's (1964); several reals are summed; biases
 *             are not penalised
 * Fit         gradients by backpropagation (layers_tmpl.h), steps (optimisers.c) or L-BFGS (search.c), epochs, early stopping
 *             and sample weights (train.c), what it starts from (start.c); rules and defaults are scikit-learn's,
 *             differences are: cross-entropy is not clipped; the loss of several real outputs is their sum, not their mean (the steps are the same, tol compares
 *             with the sum)
 *
 * Symbols     n rows, d features, L layers; layer l is n_l -> n_{l+1}, n_0 = d, n_L columns of all heads
 *             W_l [n_l x n_{l+1}], b_l [n_{l+1}], f activation, w_i sample weight; theta all W and b in one vector
 * Precision   float32 throughout, lbfgs searches in double; losses and scores are summed in double, probabilities computed
 *             in double
 * Degenerate  one class: p = 1; no hidden layer: a linear model; a loss or weight that is not finite ends the fit with
 *             ML_E_NUMERIC, naming the epoch and the batch by which it was seen, and the model keeps what it had before
 * Cost        6 multiplications per weight, row and epoch; memory see train.c
 * Bits        training: the same for any number of threads (they share large products); a row's prediction never depends
 *             on others. The row of ml_model_predict_row() sums each column in several chains, which hides their latency:
 *             its last bits may differ from those of the same row in a batch, but not from call to call. A network in a
 *             composite predicts a row as in a batch
 */
#include <string.h>

#include "learn/learn.h"
#include "learn/mlp/layered.h"
#include "learn/mlp/parameters.h"

typedef ml__mlp_params params;

static const ml__param PARAMS[] = {
    ML__INTS(params, hidden_layer_sizes, "100", ML__RANGE(1, 1e6), "widths of the hidden layers; empty: none"),
    ML__CHOICE(params, activation, "relu", ML__MLP_ACTIVATIONS,
               "of the hidden layers; gelu: in its tanh form; leaky_relu: of slope 0.01 below 0"),
    ML__CHOICE(params, output_activation, "identity", ML__MLP_OUTPUT_ACTIVATIONS, "of outputs of reals"),
    ML__CHOICE(params, loss, "auto", ML__MLP_LOSSES,
               "auto: binary_cross_entropy for labels of two classes, cross_entropy for more, squared_error for reals; "
               "cross_entropy: a column for each class; binary_cross_entropy: labels of two classes (one column each), "
               "or reals in [0, 1]; of mixed outputs those that it does not suit take theirs of auto"),
    ML__REAL(params, huber_delta, "1", ML__RANGE_OPEN(0, INFINITY), "error beyond which Huber's loss is linear"),
    ML__REALS(params, loss_weights, "1", ML__RANGE_OPEN_HIGH(0, INFINITY), "of each output, or one number for all"),
    ML__WEIGHTS_OF_CLASSES(
        params, class_weight, "none", ML__MLP_CLASS_WEIGHTS,
        "what the rows of a class count for; balanced: by n_samples / (n_classes * rows of the class), "
        "of the rows of each call"),
    ML__REALS(params, dropout, "0", ML__RANGE_OPEN_HIGH(0, 1),
              "share of the outputs of each hidden layer that a step leaves out, or one number for all"),
    ML__MLP_TRAINING_PARAMS(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {ML__MLP_TENSORS, {NULL, 0, NULL, 0}};

/* ---- fit ---- */

static ml__mlp_plan plan_of(const ml__fit *f, bool is_partial)
{
    const params *p = f->params;
    ml__mlp_plan plan = {.is_partial = is_partial, .continues = f->model->learned && (is_partial || p->warm_start)};
    ml__mlp_shape *shape = &plan.shape;

    shape->L = p->hidden_layer_sizes.n + 1;
    shape->n[0] = f->d;
    for (size_t l = 0; l < shape->L; l++) {
        const bool is_last = l + 1 == shape->L;

        shape->n[l + 1] = is_last ? ml__mlp_n_columns(p, f->schema) : (size_t)p->hidden_layer_sizes.values[l];
        shape->tied_to[l] = ML__MLP_NOT_TIED;
        plan.f[l] = &ml__mlp_activations[is_last ? ML__MLP_IDENTITY : p->activation];
    }
    return plan;
}

static int32_t link_of(const params *p, const ml__output *output)
{
    if (output->n_classes)
        return ml__mlp_is_binary(p, output) ? ML__MLP_LOGISTIC_OUTPUT : ML__MLP_SOFTMAX;
    return p->output_activation || p->loss == ML__MLP_BINARY_CROSS_ENTROPY ? ML__MLP_LOGISTIC_OUTPUT : ML__MLP_LINEAR;
}

static ml_status learn(ml__fit *f, bool is_partial)
{
    const ml__mlp_plan plan = plan_of(f, is_partial);
    ml__mlp_trained trained = {.n_epochs = 0};
    int32_t *links;
    ml_status st;

    ML__TRY(ml__mlp_train(f, &plan, &trained));
    ML__NEW(f->scratch, links, f->n_outputs);
    for (size_t o = 0; o < f->n_outputs; o++)
        links[o] = link_of(f->params, &f->schema->outputs[o]);
    ML__TRY(ml__mlp_publish(f, &trained, links, f->n_outputs, is_partial));
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

/* A softmax is of classes, a linear output of reals, a logistic one of at most two classes or of a real. */
static ml_status check_links(const ml__mlp_fitted *fitted, const ml__schema *schema)
{
    const size_t L = fitted->net.shape.L;
    size_t n_columns = 0;
    ml_status st = ML_OK;

    for (size_t o = 0; o < schema->n_outputs; o++) {
        const ml__output *output = &schema->outputs[o];
        const int32_t link = fitted->links[o];
        const bool fits = link == ML__MLP_SOFTMAX  ? output->n_classes > 0
                          : link == ML__MLP_LINEAR ? !output->n_classes
                                                   : output->n_classes <= 2;

        ML__CHECK(fits, ML_E_FORMAT, "mlp: tensor 'links': element %zu is %d, output '%s' has %zu classes", o, link,
                  output->name, output->n_classes);
        n_columns += ml__mlp_columns_of(output, link == ML__MLP_LOGISTIC_OUTPUT);
    }
    ML__CHECK(fitted->net.shape.n[L] == n_columns, ML_E_FORMAT, "mlp: the last layer has %zu outputs, expected %zu",
              fitted->net.shape.n[L], n_columns);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__schema *schema = &learned->schema;
    ml__mlp_fitted *fitted;
    ml_status st = ML_OK;

    ML__NEW(&learned->arena, fitted, 1);
    ML__TRY(ml__mlp_link(model, learned, schema->n_features, schema->n_outputs, fitted));
    ML__TRY(check_links(fitted, schema));
    learned->state = fitted;
done:
    return st;
}

/* ---- predict ---- */

/* The columns of all heads follow the raw outputs in the scratch. */
static size_t scratch_size(const ml_model *model, size_t n)
{
    const ml__mlp_fitted *fitted = model->learned->state;

    return ml__mlp_scratch(model, n) + ml__scratch_bytes(n * fitted->net.shape.n[fitted->net.shape.L], sizeof(double));
}

/* Z [n x n_L] in the scratch, which is moved behind it; NULL after a failure. */
static ml_status raw_outputs(const ml_model *model, const ml__block *x, ml__scratch *scratch, double **Z)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const size_t L = fitted->net.shape.L, n_columns = fitted->net.shape.n[L];
    const float *row;
    ml_status st;

    *Z = ml__scratch_take(scratch, x->n * n_columns, sizeof **Z);
    if (!*Z)
        return ML_E_MEMORY;
    if (!x->alone)
        return ml__mlp_outputs(model, 0, L, x->n, x->f32, *Z, *scratch);
    st = ml__mlp_row_outputs(model, 0, L, x->f32, scratch, &row);
    for (size_t j = 0; j < n_columns && st == ML_OK; j++)
        (*Z)[j] = (double)row[j];
    return st;
}

/* One label output: its K values from the columns z. */
static void decide(int32_t link, size_t K, const double *z, double *out)
{
    if (link == ML__MLP_SOFTMAX) {
        memcpy(out, z, K * sizeof *out);
        return;
    }
    out[0] = 0;
    if (K == 2)
        out[1] = z[0];
}

/* Decision function: of each class its z; of a logistic output 0 and z. Real outputs have none. */
static ml_status decision(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const ml__schema *schema = &model->learned->schema;
    double *z;
    const ml_status st = raw_outputs(model, x, &scratch, &z);

    for (size_t i = 0; i < x->n && st == ML_OK; i++)
        for (size_t o = 0; o < schema->n_outputs; o++) {
            const size_t K = schema->outputs[o].n_classes;

            if (K)
                decide(fitted->links[o], K, z, out);
            out += K;
            z += ml__mlp_columns_of(&schema->outputs[o], fitted->links[o] == ML__MLP_LOGISTIC_OUTPUT);
        }
    return st;
}

/* One row, all columns of which are one softmax. */
static ml_status shares(const ml_model *model, const float *x, double *out, ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const size_t L = fitted->net.shape.L;
    const float *z;
    const ml_status st = ml__mlp_row_outputs(model, 0, L, x, &scratch, &z);

    if (st == ML_OK)
        ml__kernels_rowwise()->f32.shares(fitted->net.shape.n[L], z, out);
    return st;
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const ml__schema *schema = &model->learned->schema;
    const size_t width = ml__schema_width(schema);
    ml_status st;

    if (x->alone && schema->n_outputs == 1 && fitted->links[0] == ML__MLP_SOFTMAX)
        return shares(model, x->f32, out, scratch);
    st = decision(model, x, out, scratch);

    for (size_t o = 0; o < schema->n_outputs && st == ML_OK; o++) {
        const size_t K = schema->outputs[o].n_classes;

        if (K)
            ml__kernels_rowwise()->f64.softmax(x->n, K, out, width, NULL);
        out += K;
    }
    return st;
}

/* The class of the largest z, or the value. */
static double value_of(const ml__output *output, int32_t link, const double *z)
{
    if (link == ML__MLP_SOFTMAX)
        return (double)ml__arg_max(z, output->n_classes);
    if (output->n_classes)
        return output->n_classes == 2 && z[0] > 0;
    return link == ML__MLP_LOGISTIC_OUTPUT ? ml__mlp_logistic(z[0]) : z[0];
}

static ml_status values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const ml__schema *schema = &model->learned->schema;
    double *z;
    const ml_status st = raw_outputs(model, x, &scratch, &z);

    for (size_t i = 0; i < x->n && st == ML_OK; i++)
        for (size_t o = 0; o < schema->n_outputs; o++) {
            *out++ = value_of(&schema->outputs[o], fitted->links[o], z);
            z += ml__mlp_columns_of(&schema->outputs[o], fitted->links[o] == ML__MLP_LOGISTIC_OUTPUT);
        }
    return st;
}

const ml__kind ml__mlp = {
    .name = "mlp",
    .doc = "Multi-layer perceptron: a feed-forward neural network for classes, reals, or several outputs of both; "
           "ml_model_partial_fit() is one epoch",
    .tasks = ML__CLASSIFY | ML__REGRESS | ML__MIXED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .partial_fit = partial_fit,
    .starts_from = ml__mlp_starts_from,
    .check = ml__mlp_check,
    .prepare = prepare,
    .proba = proba,
    .values = values,
    .decision = decision,
    .scratch = scratch_size,
};
