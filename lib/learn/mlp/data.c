/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows, heads and batches.
 *
 * Heads       one per output of labels, one for each run of real outputs; a label is a column of the labels, a real one of
 *             the targets. Each has its own loss, by the parameter where that suits the output and else the usual one
 * Scale       what a row counts in head o: lambda_o W / W_o v_y, with lambda_o the head's loss weight, v_y the weight of
 *             its class, W the weight of all rows, W_o = Σ w_i v_{y_i} that of the rows whose output is known. So each
 *             head's loss is a mean over the rows that have the output, however many lack it. In a later call of
 *             ml_model_partial_fit() an output that no row has counts 0. Held-out rows have W and W_o of their own, classes
 *             weigh what they do in training, and an output that none of them has counts 0 too
 * Balanced    v_y follows from the rows of the call; those of weight 0 are not among them
 * Shares      w_i / (m w) in a batch of m rows, w the mean weight of all rows of the fit: a row counts the same in batches of
 *             any size and company
 */
#include <string.h>

#include "learn/class_weights.h"
#include "learn/mlp/mlp.h"

/* ---- rows ---- */

static ml_status read_labels(const ml_dataset *data, const ml__schema *schema, ml__arena *arena, ml__mlp_rows *r)
{
    int32_t *all, *one;
    size_t column = 0;
    ml_status st = ML_OK;

    ML__NEW(arena, all, r->n * r->n_labels);
    ML__NEW(arena, one, r->n);
    for (size_t o = 0; o < schema->n_outputs; o++) {
        if (!schema->outputs[o].n_classes)
            continue;
        ml__dataset_read_labels(data, o, one);
        for (size_t i = 0; i < r->n; i++)
            all[i * r->n_labels + column] = one[i];
        column++;
    }
    r->label = all;
done:
    return st;
}

static ml_status read_targets(const ml_dataset *data, const ml__schema *schema, ml__arena *arena, ml__mlp_rows *r)
{
    float *all;
    double *one;
    size_t column = 0;
    ml_status st = ML_OK;

    ML__NEW(arena, all, r->n * r->n_targets);
    ML__NEW(arena, one, r->n);
    for (size_t o = 0; o < schema->n_outputs; o++) {
        if (schema->outputs[o].n_classes)
            continue;
        ml__dataset_read_targets(data, o, one);
        for (size_t i = 0; i < r->n; i++)
            all[i * r->n_targets + column] = (float)one[i];
        column++;
    }
    r->target = all;
done:
    return st;
}

/* What the cross-entropy of a feature takes. */
static ml_status check_shares(const ml__fit *f, const ml__mlp_rows *r, const char *use)
{
    ml_status st = ML_OK;

    for (size_t i = 0; i < r->n * r->d; i++)
        ML__CHECK(
            r->X[i] >= 0 && r->X[i] <= 1, ML_E_DATA,
            "%s: with the loss binary_cross_entropy features are in [0, 1], row %zu for %s has %g in feature '%s'",
            f->model->kind->name, i / r->d, use, (double)r->X[i], f->schema->features[i % r->d].name);
done:
    return st;
}

ml_status ml__mlp_read_rows(const ml__fit *f, const ml__mlp_plan *plan, const ml_dataset *data, const char *use,
                            ml__mlp_rows *r)
{
    ml__fit part = *f;
    ml_status st = ML_OK;

    part.data = data;
    part.n = ml_dataset_n_rows(data);
    *r = (ml__mlp_rows){.n = part.n, .d = f->d};
    ML__TRY(ml__fit_matrix_f32(&part, &r->X));
    r->w = ml__fit_weights(&part);
    ML__TRY(r->w ? ML_OK : ML_E_MEMORY);
    for (size_t i = 0; i < r->n; i++)
        r->W += r->w[i];
    ML__CHECK(r->W > 0, ML_E_DATA, "%s: none of the %zu rows for %s has a positive weight", f->model->kind->name, r->n,
              use);
    if (plan->is_autoencoder) {
        r->n_targets = f->d;
        r->target = r->X;
        return plan->loss == ML__MLP_BINARY_CROSS_ENTROPY ? check_shares(f, r, use) : ML_OK;
    }
    for (size_t o = 0; o < f->n_outputs; o++)
        r->n_labels += f->schema->outputs[o].n_classes > 0;
    r->n_targets = f->n_outputs - r->n_labels;
    if (r->n_labels)
        ML__TRY(read_labels(data, f->schema, f->scratch, r));
    if (r->n_targets)
        ML__TRY(read_targets(data, f->schema, f->scratch, r));
done:
    return st;
}

/* ---- heads ---- */

size_t ml__mlp_columns_of(const ml__output *output, bool is_logistic)
{
    return output->n_classes && !is_logistic ? output->n_classes : 1;
}

bool ml__mlp_is_binary(const ml__mlp_params *p, const ml__output *output)
{
    return p->loss == ML__MLP_BINARY_CROSS_ENTROPY || (output->n_classes == 2 && p->loss != ML__MLP_CROSS_ENTROPY);
}

static size_t columns_of(const ml__mlp_params *p, const ml__output *output)
{
    return ml__mlp_columns_of(output, ml__mlp_is_binary(p, output));
}

size_t ml__mlp_n_columns(const ml__mlp_params *p, const ml__schema *schema)
{
    size_t n = 0;

    for (size_t o = 0; o < schema->n_outputs; o++)
        n += columns_of(p, &schema->outputs[o]);
    return n;
}

static bool is_loss_of_labels(int64_t loss)
{
    return loss == ML__MLP_CROSS_ENTROPY || loss == ML__MLP_BINARY_CROSS_ENTROPY;
}

static bool is_loss_of_reals(int64_t loss)
{
    return loss >= ML__MLP_BINARY_CROSS_ENTROPY;
}

/* Binary cross-entropy takes reals in [0, 1]. */
static ml_status check_targets(const ml__fit *f, const ml_dataset *data, const char *use)
{
    const size_t n = ml_dataset_n_rows(data);
    ml__arena arena;
    double *target;
    ml_status st = ML_OK;

    ml__arena_init(&arena, f->context);
    ML__NEW(&arena, target, n);
    for (size_t o = 0; o < f->n_outputs; o++) {
        if (f->schema->outputs[o].n_classes)
            continue;
        ml__dataset_read_targets(data, o, target);
        for (size_t i = 0; i < n; i++)
            ML__CHECK(
                !(target[i] < 0 || target[i] > 1), ML_E_DATA,
                "%s: with the loss binary_cross_entropy targets are in [0, 1], row %zu for %s has %g in output '%s'",
                f->model->kind->name, i, use, target[i], f->schema->outputs[o].name);
    }
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml__mlp_check_loss(const ml__fit *f, const ml_dataset *data, const char *use)
{
    const ml__mlp_params *p = f->params;
    const char *kind = f->model->kind->name;
    bool suits = p->loss == ML__MLP_AUTO;
    ml_status st = ML_OK;

    for (size_t o = 0; o < f->n_outputs; o++) {
        const ml__output *output = &f->schema->outputs[o];

        suits = suits || (output->n_classes ? is_loss_of_labels(p->loss) : is_loss_of_reals(p->loss));
        ML__CHECK(p->loss != ML__MLP_BINARY_CROSS_ENTROPY || output->n_classes <= 2, ML_E_PARAMETER,
                  "%s: parameter 'loss' is binary_cross_entropy, output '%s' has %zu classes", kind, output->name,
                  output->n_classes);
    }
    ML__CHECK(suits, ML_E_PARAMETER, "%s: parameter 'loss' is one of %s, the data has only such outputs as '%s'", kind,
              f->schema->outputs[0].n_classes ? "reals" : "labels", f->schema->outputs[0].name);
    if (p->loss == ML__MLP_BINARY_CROSS_ENTROPY)
        ML__TRY(check_targets(f, data, use));
done:
    return st;
}

/* lambda W / W_o; when no row has the output 0 or a refusal. */
static ml_status scale_of(const ml__fit *f, bool may_lack, size_t o, double W, double W_o, double *scale)
{
    const ml__reals *lambda = &((const ml__mlp_params *)f->params)->loss_weights;

    *scale = 0;
    if (!(W_o > 0) && may_lack)
        return ML_OK;
    if (!(W_o > 0))
        return ml__fail(ML_E_DATA, "%s: no row with a weight that is left for training has output '%s'",
                        f->model->kind->name, f->schema->outputs[o].name);
    *scale = W / W_o * (lambda->n ? lambda->values[lambda->n == 1 ? 0 : o] : 1);
    return ML_OK;
}

/* Of the K classes of the labels in a column; a table has been read already. */
static ml_status weigh_classes(const ml__fit *f, const ml__mlp_rows *r, size_t column, size_t K, double *weight)
{
    const ml__weights *p = &((const ml__mlp_params *)f->params)->class_weight;
    size_t *n_k;
    ml_status st = ML_OK;

    if (p->form == ML__WEIGHTS_TABLE)
        return ML_OK;
    ML__NEW(f->scratch, n_k, K);
    for (size_t i = 0; i < r->n; i++)
        if (r->label[i * r->n_labels + column] >= 0)
            n_k[r->label[i * r->n_labels + column]]++;
    if (p->form == ML__MLP_BALANCED)
        ml__balance_classes(K, n_k, weight);
    else
        for (size_t k = 0; k < K; k++)
            weight[k] = 1;
done:
    return st;
}

/* Whose rows a head's loss is a mean of, and of which rows the classes are balanced. */
typedef struct basis {
    const ml__mlp_rows *rows, *training;
    bool may_lack; /* an output that no row has counts 0 */
} basis;

/* class_weight [K] becomes what the head's classes count. */
static ml_status make_label_head(const ml__fit *f, const basis *b, size_t o, double *class_weight, ml__mlp_head *h)
{
    const ml__mlp_params *p = f->params;
    const size_t K = f->schema->outputs[o].n_classes;
    const ml__mlp_rows *r = b->rows;
    const int32_t *label = r->label + h->column;
    double W_o = 0, factor;
    float *scale;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, scale, K);
    ML__TRY(weigh_classes(f, b->training, h->column, K, class_weight));
    for (size_t i = 0; i < r->n; i++)
        if (label[i * r->n_labels] >= 0)
            W_o += r->w[i] * class_weight[label[i * r->n_labels]];
    ML__TRY(scale_of(f, b->may_lack, o, r->W, W_o, &factor));
    for (size_t k = 0; k < K; k++)
        scale[k] = (float)(factor * class_weight[k]);
    h->scale = scale;
    h->output = o;
    h->is_label = true;
    h->is_logistic = ml__mlp_is_binary(p, &f->schema->outputs[o]);
    h->loss = h->is_logistic ? ML__MLP_BINARY_CROSS_ENTROPY : ML__MLP_CROSS_ENTROPY;
done:
    return st;
}

/* Outputs [o, o + h->n), all reals. */
static ml_status make_real_head(const ml__fit *f, const basis *b, size_t o, ml__mlp_head *h)
{
    const ml__mlp_params *p = f->params;
    const ml__mlp_rows *r = b->rows;
    float *scale;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, scale, h->n);
    h->is_uniform = true;
    for (size_t j = 0; j < h->n; j++) {
        double W_o = 0, factor;

        for (size_t i = 0; i < r->n; i++)
            if (!isnan(r->target[i * r->n_targets + h->column + j]))
                W_o += r->w[i];
        ML__TRY(scale_of(f, b->may_lack, o + j, r->W, W_o, &factor));
        scale[j] = (float)factor;
        h->is_uniform = h->is_uniform && scale[j] == scale[0];
    }
    h->scale = scale;
    h->output = o;
    h->loss = is_loss_of_reals(p->loss) ? (int32_t)p->loss : ML__MLP_SQUARED_ERROR;
    h->is_logistic = p->output_activation || h->loss == ML__MLP_BINARY_CROSS_ENTROPY;
    h->huber_delta = (float)p->huber_delta;
done:
    return st;
}

/* All features are one head of reals. */
static ml_status make_reconstruction_head(const ml__fit *f, const ml__mlp_plan *plan, ml__mlp_objective *objective,
                                          ml__mlp_head *h)
{
    const ml__mlp_params *p = f->params;
    float *scale;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, scale, f->d);
    for (size_t j = 0; j < f->d; j++)
        scale[j] = (float)(p->reconstruction_weight / (double)f->d);
    *h = (ml__mlp_head){
        .loss = plan->loss, .is_uniform = true, .n = f->d, .scale = scale, .huber_delta = (float)p->huber_delta};
    h->is_logistic = p->output_activation || h->loss == ML__MLP_BINARY_CROSS_ENTROPY;
    objective->n_heads = 1;
    objective->code = plan->code;
    objective->complexity = p->complexity_weight;
done:
    return st;
}

/* The weights of all classes, output after output from first[o] on, as far as a table says. */
static ml_status read_class_weights(const ml__fit *f, size_t **first, double **weight)
{
    const ml__weights *p = &((const ml__mlp_params *)f->params)->class_weight;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, *first, f->n_outputs + 1);
    for (size_t o = 0; o < f->n_outputs; o++)
        (*first)[o + 1] = (*first)[o] + f->schema->outputs[o].n_classes;
    ML__NEW(f->scratch, *weight, (*first)[f->n_outputs]);
    if (p->form == ML__WEIGHTS_TABLE)
        ML__TRY(ml__class_table(f, *first, p->table, *weight));
done:
    return st;
}

static ml_status make_heads(const ml__fit *f, const basis *b, ml__mlp_objective *objective, ml__mlp_head *heads)
{
    const ml__output *outputs = f->schema->outputs;
    const ml__reals *lambda = &((const ml__mlp_params *)f->params)->loss_weights;
    size_t label = 0, target = 0, first = 0, *first_class;
    double *class_weight;
    ml_status st = ML_OK;

    ML__CHECK(lambda->n <= 1 || lambda->n == f->n_outputs, ML_E_PARAMETER,
              "%s: parameter 'loss_weights' has %zu numbers, the data has %zu outputs", f->model->kind->name, lambda->n,
              f->n_outputs);
    ML__TRY(read_class_weights(f, &first_class, &class_weight));
    for (size_t o = 0; o < f->n_outputs;) {
        ml__mlp_head *h = heads + objective->n_heads++;
        size_t n = 1;

        h->first = first;
        if (outputs[o].n_classes) {
            h->column = label++;
            h->n = columns_of(f->params, &outputs[o]);
            ML__TRY(make_label_head(f, b, o, class_weight + first_class[o], h));
        } else {
            while (o + n < f->n_outputs && !outputs[o + n].n_classes)
                n++;
            h->column = target;
            h->n = n;
            target += n;
            ML__TRY(make_real_head(f, b, o, h));
        }
        first += h->n;
        o += n;
    }
done:
    return st;
}

ml_status ml__mlp_make_objective(const ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_rows *r,
                                 const ml__mlp_rows *training, ml__mlp_objective *objective)
{
    const basis b = {r, training, r != training || (plan->is_partial && plan->continues)};
    ml__mlp_head *heads;
    ml_status st = ML_OK;

    *objective = (ml__mlp_objective){.n_labels = r->n_labels, .n_targets = r->n_targets};
    ML__NEW(f->scratch, heads, f->n_outputs + 1);
    objective->heads = heads;
    if (plan->is_autoencoder)
        return make_reconstruction_head(f, plan, objective, heads);
    ML__TRY(make_heads(f, &b, objective, heads));
done:
    return st;
}

/* ---- batches ---- */

ml_status ml__mlp_room_init(const ml__mlp_rows *rows, bool is_disturbed, size_t B, ml__arena *arena, ml__mlp_room *room)
{
    ml_status st = ML_OK;

    *room = (ml__mlp_room){.B = B};
    ML__NEW_MATRIX(arena, room->X, B, rows->d);
    ML__NEW(arena, room->share, B);
    if (rows->n_labels)
        ML__NEW_MATRIX(arena, room->label, B, rows->n_labels);
    if (rows->target == rows->X && !is_disturbed)
        room->target = room->X;
    else if (rows->n_targets)
        ML__NEW_MATRIX(arena, room->target, B, rows->n_targets);
done:
    return st;
}

ml__mlp_batch ml__mlp_gather(const ml__mlp_room *room, const ml__mlp_rows *r, const size_t *order, size_t m, double W)
{
    const size_t d = r->d, n_labels = r->n_labels, n_targets = r->n_targets;

    for (size_t i = 0; i < m; i++) {
        const size_t row = order[i];

        memcpy(room->X + i * d, r->X + row * d, d * sizeof *room->X);
        room->share[i] = (float)(r->w[row] / W);
        if (n_labels)
            memcpy(room->label + i * n_labels, r->label + row * n_labels, n_labels * sizeof *room->label);
        if (n_targets && room->target != room->X)
            memcpy(room->target + i * n_targets, r->target + row * n_targets, n_targets * sizeof *room->target);
    }
    return (ml__mlp_batch){.m = m, .X = room->X, .label = room->label, .target = room->target, .share = room->share};
}
