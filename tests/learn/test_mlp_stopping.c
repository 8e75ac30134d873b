/* SPDX-License-Identifier: Apache-2.0 */
/* Networks with held-out rows, and fits that are ended or cancelled within an epoch. */
#include <time.h>

#include "mlp_toys.h"

/* Outputs with holes by their letters: k three classes, s a real, g two classes; rows [first, first + n). */
static ml_dataset *some(ml_context *context, const char *outputs, uint64_t first, size_t n)
{
    double *X = malloc(n * D * sizeof *X), *y = malloc(n * sizeof *y);
    int64_t *kind = malloc(n * sizeof *kind), *sign = malloc(n * sizeof *sign);
    ml_dataset *data;
    ml__rng rng = ml__rng_make(12, first);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < D; j++)
            X[i * D + j] = ml__rng_normal(&rng);
        kind[i] = i < 3 ? (int64_t)i : i % 4 == 0 ? -1 : X[i * D] > 0.5 ? 2 : X[i * D + 1] > 0;
        y[i] = i % 5 == 0 ? NAN : X[i * D] - X[i * D + 1] + 0.7 * ml__rng_normal(&rng);
        sign[i] = i < 2 ? (int64_t)i : i % 7 == 0 ? -1 : X[i * D + 2] + ml__rng_normal(&rng) > 0;
    }
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, n, D, 0, 0, ML_COPY, &data));
    if (strchr(outputs, 'k'))
        CHECK_OK(ml_dataset_add_labels(data, "kind", kind, n, -1));
    if (strchr(outputs, 's'))
        CHECK_OK(ml_dataset_add_targets(data, "size", y, n));
    if (strchr(outputs, 'g'))
        CHECK_OK(ml_dataset_add_labels(data, "sign", sign, n, -1));
    free(X);
    free(y);
    free(kind);
    free(sign);
    return data;
}

static ml_dataset *mixed(ml_context *context, uint64_t first, size_t n)
{
    return some(context, "ksg", first, n);
}

/* Of an output that some row has, by hand: its loss, and its accuracy or R2. */
typedef struct quality {
    double loss, score;
} quality;

enum { MOST = 200 };

/* label[i] < 0: unknown; p are probabilities, K of them in `width` numbers per row. */
static quality quality_of_labels(size_t n, const int32_t *label, size_t K, const double *p, size_t width)
{
    double all = 0, good = 0, loss = 0;

    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0) {
            all++;
            good += ml__arg_max(p + i * width, K) == (size_t)label[i];
            loss -= log(p[i * width + (size_t)label[i]]);
        }
    return (quality){loss / all, good / all};
}

static quality quality_of_reals(size_t n, const double *want, const double *got, size_t width)
{
    double all = 0, mean = 0, squares = 0, errors = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(want[i])) {
            all++;
            mean += want[i];
            errors += (want[i] - got[i * width]) * (want[i] - got[i * width]);
        }
    for (size_t i = 0; i < n; i++)
        if (!isnan(want[i]))
            squares += (want[i] - mean / all) * (want[i] - mean / all);
    return (quality){0.5 * errors / all, 1 - errors / squares};
}

/* Loss summed over the outputs that some row has, score a mean over them; of mixed outputs minus the loss. */
static quality quality_of(const ml_model *model, const ml_dataset *data)
{
    static double p[5 * MOST], got[3 * MOST], want[MOST];
    static int32_t label[MOST];
    const size_t n = ml_dataset_n_rows(data), n_outputs = ml_dataset_n_outputs(data);
    const bool has_labels = ml_model_width(model, ML_PREDICT_PROBA) > 0;
    bool has_reals = false;
    quality sum = {0};
    double n_counted = 0;
    size_t column = 0;

    CHECK_OK(ml_model_predict(model, data, got, n_outputs * n));
    if (has_labels)
        CHECK_OK(ml_model_predict_proba(model, data, p, n * ml_model_width(model, ML_PREDICT_PROBA)));
    for (size_t o = 0; o < n_outputs; o++) {
        const size_t K = ml_model_n_classes(model, o);
        quality q;

        if (K) {
            ml__dataset_read_labels(data, o, label);
            q = quality_of_labels(n, label, K, p + column, ml_model_width(model, ML_PREDICT_PROBA));
            column += K;
        } else {
            ml__dataset_read_targets(data, o, want);
            q = quality_of_reals(n, want, got + o, n_outputs);
            has_reals = true;
        }
        if (isnan(q.loss))
            continue;
        sum.loss += q.loss;
        sum.score += q.score;
        n_counted++;
    }
    return (quality){sum.loss, has_labels && has_reals ? -sum.loss : sum.score / n_counted};
}

static double best_of(const ml_model *model, size_t *n, size_t *at)
{
    const double *scores = tensor_f64(model, "validation_scores", n);

    *at = 0;
    for (size_t e = 1; e < *n; e++)
        *at = scores[e] > scores[*at] ? e : *at;
    return scores[*at];
}

/* Replays scikit-learn's rule on the recorded scores, tol = 1e-4. */
static void check_rule(const ml_model *model, size_t patience)
{
    size_t n, n_stalled = 0;
    const double *scores = tensor_f64(model, "validation_scores", &n);
    double best = -INFINITY;

    for (size_t e = 0; e < n; e++) {
        CHECK(n_stalled <= patience);
        n_stalled = scores[e] < best + 1e-4 ? n_stalled + 1 : 0;
        best = fmax(best, scores[e]);
    }
    CHECK(n_stalled == patience + 1);
}

static ml_status fit_with(ml_model *model, const ml_dataset *data, const ml_dataset *held)
{
    return ml_model_fit(model, data, &(ml_fit_options){.struct_size = sizeof(ml_fit_options), .validation = held});
}

/* The held-out rows lack outputs otherwise than those of the training do: losses are means over their own. */
TEST(mlp_stopping, the_best_weights_are_kept)
{
    static const char *const OUTPUTS[] = {"ksg", "kg", "s"};
    bench c;
    open_context(&c, 1);

    for (size_t d = 0; d < 3; d++) {
        ml_dataset *data = some(c.context, OUTPUTS[d], 0, 150), *held = some(c.context, OUTPUTS[d], 1, 80), *part;
        ml_model *model = make(c.context, WITH("learning_rate_init=0.02", "n_iter_no_change=15", "max_iter=1000"));
        size_t n, at, n_loss, rows[80], n_rows = 0;
        double best;
        quality q;

        CHECK_OK(fit_with(model, data, held));
        CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
        best = best_of(model, &n, &at);
        q = quality_of(model, held);
        CHECK(at + 1 < n && tensor_f64(model, "validation_scores", &n)[n - 1] < best);
        CHECK_CLOSE(q.score, best, 1e-6);
        CHECK_CLOSE(q.loss, tensor_f64(model, "validation_loss", &n_loss)[at], 1e-6);
        CHECK(n_loss == n);
        check_rule(model, 15);

        for (size_t every = 4; every < 6 && d < 2;
             every++) { /* no row of these has "kind", then "size": it does not count */
            n_rows = 0;
            for (size_t i = every; i < 80; i += every)
                rows[n_rows++] = i;
            CHECK_OK(ml_dataset_subset(held, rows, n_rows, &part));
            CHECK_OK(fit_with(model, data, part));
            best = best_of(model, &n, &at);
            CHECK_CLOSE(quality_of(model, part).score, best, 1e-6);
            ml_dataset_free(part);
        }
        ml_model_free(model);
        ml_dataset_free(data);
        ml_dataset_free(held);
    }
    close_context(&c);
}

/* One row in ten of the training has labels, and every other one of these is held out: their loss is the mean of -log p, by
 * class_weight, over them alone; balanced weights are those of the training. */
TEST(mlp_stopping, validation_loss_has_the_scale_of_its_own_rows)
{
    enum { MANY = 200, HELD = MANY / 20 };
    static double X[MANY * D], y[MANY];
    bench c;
    open_context(&c, 1);

    for (size_t weighting = 0; weighting < 3; weighting++) { /* none, a table, balanced */
        int64_t label[MANY];
        size_t rows[HELD], n;
        double p[2 * HELD], v[2] = {1, 1}, n_k[2] = {0}, loss = 0, W = 0;
        ml_model *model = make(c.context, WITH("max_iter=1", "loss_weights=1,0"));
        ml__rng rng = ml__rng_make(3, 0);
        ml_dataset *data, *held;

        for (size_t i = 0; i < MANY * D; i++)
            X[i] = ml__rng_normal(&rng);
        for (size_t i = 0; i < MANY; i++)
            label[i] = i % 10 ? -1 : X[i * D] > 0.5;
        for (size_t i = 0; i < MANY; i += 10)
            n_k[label[i]]++;
        for (size_t i = 0; i < HELD; i++)
            rows[i] = i * 20;
        CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, MANY, D, 0, 0, ML_COPY, &data));
        CHECK_OK(ml_dataset_add_labels(data, "label", label, MANY, -1));
        CHECK_OK(ml_dataset_add_targets(data, "zero", y, MANY));
        CHECK_OK(ml_dataset_subset(data, rows, HELD, &held));
        if (weighting) {
            CHECK_OK(ml_model_set_text(model, "class_weight", weighting == 1 ? "label=0:1,label=1:7" : "balanced"));
            v[0] = weighting == 1 ? 1 : 0.5 * (MANY / 10) / n_k[0];
            v[1] = weighting == 1 ? 7 : 0.5 * (MANY / 10) / n_k[1];
        }
        CHECK_OK(fit_with(model, data, held));
        CHECK_OK(ml_model_predict_proba(model, held, p, 2 * HELD));
        for (size_t i = 0; i < HELD; i++) {
            const size_t y_i = (size_t)label[rows[i]];

            W += v[y_i];
            loss -= v[y_i] * log(p[2 * i + y_i]);
        }
        CHECK_CLOSE(tensor_f64(model, "validation_loss", &n)[0], loss / W, 1e-6);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_dataset_free(held);
    }
    close_context(&c);
}

/* Accuracies are often equal: an epoch as good as the best one stalls. */
TEST(mlp_stopping, stops_when_the_score_no_longer_improves_by_tol)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *train, *held;
    ml_model *model = make(c.context, WITH("max_iter=1000", "learning_rate_init=0.01", "n_iter_no_change=12"));

    CHECK_OK(ml_dataset_split(data, 0.3, 4, ML_STRATIFY, &train, &held));
    CHECK_OK(fit_with(model, train, held));
    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    check_rule(model, 12);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

/* -log p, mean over the rows. */
TEST(mlp_stopping, validation_loss_is_the_mean_loss_of_the_held_out_rows)
{
    double p[3 * N], loss = 0;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *train, *held;
    ml_model *model =
        make(c.context, WITH("max_iter=1", "learning_rate_init=0.05", "dropout=0.5", "alpha=5", "batch_size=4"));
    size_t n_epochs, n;
    int32_t label[N];

    CHECK_OK(ml_dataset_split(data, 0.3, 4, ML_STRATIFY, &train, &held));
    n = ml_dataset_n_rows(held);
    CHECK_OK(fit_with(model, train, held));
    CHECK_OK(ml_model_predict_proba(model, held, p, 3 * n));
    ml__dataset_read_labels(held, 0, label);
    for (size_t i = 0; i < n; i++)
        loss -= log(p[3 * i + (size_t)label[i]]) / (double)n;
    CHECK_CLOSE(tensor_f64(model, "validation_loss", &n_epochs)[0], loss, 1e-6);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_stopping, held_out_rows_beyond_the_range_are_an_error)
{
    double X[N * D];
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *held;
    ml_model *model = make(c.context, WITH("max_iter=3", "learning_rate_init=0.1"));

    for (size_t i = 0; i < N * D; i++)
        X[i] = i % 2 ? 3e38 : -3e38;
    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 3);
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &held));
    CHECK_OK(ml_dataset_set_labels(held, NULL, y, N, -1));
    CHECK_FAILS(fit_with(model, data, held), ML_E_NUMERIC, "the loss of the held-out rows is");
    CHECK(!ml_model_is_fitted(model));
    ml_model_free(model);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- within an epoch ---- */

/* Answers the first poll within an epoch after `after` whole epochs. Polls come 50 ms after a call at the earliest, so the
 * last of these waits as long. */
typedef struct host {
    uint64_t after, total;
    int32_t answer;
    size_t n_epochs, n_polls;
} host;

static int32_t watch(void *user, const ml_progress *progress)
{
    host *h = user;

    CHECK(progress->total == h->total);
    if (*progress->metric) {
        CHECK(progress->done == ++h->n_epochs);
        if (h->n_epochs == h->after)
            (void)nanosleep(&(struct timespec){0, 80 * 1000 * 1000}, NULL);
        return ML_MONITOR_CONTINUE;
    }
    CHECK(isnan(progress->value) && progress->done == h->n_epochs); /* epochs that are whole */
    h->n_polls++;
    return h->n_epochs >= h->after ? h->answer : ML_MONITOR_CONTINUE;
}

TEST(mlp_stopping, a_stop_within_an_epoch_keeps_the_best_weights)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = mixed(c.context, 0, 150), *held = mixed(c.context, 1, 80);
    ml_model *model =
        make(c.context, WITH("learning_rate_init=0.02", "n_iter_no_change=1000", "max_iter=1000", "batch_size=10"));
    host h = {.after = 40, .total = 1000, .answer = ML_MONITOR_STOP};
    const ml_fit_options options = {
        .struct_size = sizeof options, .monitor = watch, .monitor_user = &h, .validation = held};
    size_t n, at;
    double best;

    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MONITOR);
    best = best_of(model, &n, &at);
    CHECK(n == 41 && h.n_epochs == 41 && h.n_polls >= 1); /* the last one in part, yet told of */
    CHECK_CLOSE(quality_of(model, held).score, best, 1e-6);
    CHECK(tensor_f64(model, "validation_scores", &n)[n - 1] <= best);

    h = (host){.after = 2, .total = 1000, .answer = ML_MONITOR_STOP};
    CHECK_OK(ml_model_set_text(model, "warm_start", "true")); /* epochs are counted from the start of the call */
    CHECK_OK(ml_model_fit(model, data, &options));
    (void)tensor_f64(model, "loss_curve", &n);
    CHECK(n == 41 + 3);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(held);
    close_context(&c);
}

TEST(mlp_stopping, a_cancel_within_an_epoch_leaves_the_model_as_it_was)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=8", "batch_size=10", "warm_start=true"));
    ml_model *before;
    host h = {.after = 3, .total = 8, .answer = ML_MONITOR_CANCEL};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = watch, .monitor_user = &h};

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_clone(model, &before));
    CHECK_FAILS(ml_model_fit(model, data, &options), ML_E_CANCELLED, "step 3 of 8");
    CHECK(h.n_epochs == 3);
    check_same_weights(model, before);
    h = (host){.after = 0, .total = 1, .answer = ML_MONITOR_CANCEL};
    CHECK_FAILS(ml_model_partial_fit(model, data, &options), ML_E_CANCELLED, "step 0 of 1");
    check_same_weights(model, before);
    ml_model_free(model);
    ml_model_free(before);
    ml_dataset_free(data);
    close_context(&c);
}
