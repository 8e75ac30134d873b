/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many trees from the same data: parameters to rules, trees in parallel, tensors.
 *
 * Each tree is a task of its own with a key made from the fit's seed and its number, so neither threads nor batches show
 * in the result. Between batches the monitor is told of each tree and the deadline is looked at.
 */
#include <stdatomic.h>
#include <string.h>

#include "learn/tree/tree.h"

enum {
    BATCH_TREES = 16,         /* work for several threads, yet soon over when the monitor says stop */
    MAX_CATEGORIES = 1 << 24, /* single precision holds their numbers */
    MAX_COLUMN_ROWS = 1 << 26 /* squares of weights are whole numbers in double */
};

const ml__tensor_rule ml__trees_tensors[] = {
    {"feature_importances", ML_FLOAT64, "d", ML__FINITE | ML__NON_NEGATIVE},
    {"trees.nodes", ML_INT32, "t*", ML__ANY},
    {"trees.offset", ML_INT64, "s", ML__ANY},
    {"trees.first_value", ML_INT64, "u", ML__ANY},
    {"trees.value", ML_FLOAT64, "v*", ML__FINITE},
    {"trees.sets", ML_INT32, "*", ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

/* ---- rules ---- */

static ml_status choose_criterion(const ml__fit *f, const ml__tree_params *p, ml__tree_data *data)
{
    static const char *const NAMES[] = {"auto",          "gini",         "entropy",        "log_loss",
                                        "squared_error", "friedman_mse", "absolute_error", "poisson"};
    const bool for_reals = p->criterion >= ML__SQUARED_ERROR;

    if (p->criterion == ML__CRITERION_AUTO)
        data->criterion = data->classify ? ML__GINI : ML__SQUARED_ERROR;
    else if (for_reals == data->classify)
        return ml__fail(ML_E_PARAMETER, "%s: criterion %s is for %s, output '%s' is %s", f->model->kind->name,
                        NAMES[p->criterion], for_reals ? "reals" : "labels", f->schema->outputs[0].name,
                        for_reals ? "labels" : "real");
    else if (p->criterion == ML__FRIEDMAN_MSE && data->n_outputs == 1)
        data->criterion = ML__SQUARED_ERROR; /* makes the same splits */
    else
        data->criterion = p->criterion == ML__LOG_LOSS ? ML__ENTROPY : p->criterion;
    return ML_OK;
}

static ml_status set_monotonic(ml__fit *f, const ml__tree_params *p, ml__tree_data *data)
{
    const ml__ints *cst = &p->monotonic_cst;
    int8_t *monotonic;
    bool any = false;
    ml_status st = ML_OK;

    ML__CHECK(cst->n <= f->d, ML_E_PARAMETER, "%s: monotonic_cst has %zu numbers for %zu features",
              f->model->kind->name, cst->n, f->d);
    for (size_t j = 0; j < cst->n; j++)
        any |= cst->values[j] != 0;
    if (!any || (data->classify && data->K == 1))
        return ML_OK; /* nothing to be held back */
    ML__CHECK(data->n_outputs == 1 && (!data->classify || data->K <= 2), ML_E_PARAMETER,
              "%s: monotonic_cst is for one output of reals or two classes, here are %zu outputs with %zu %s",
              f->model->kind->name, data->n_outputs, data->K, data->classify ? "classes" : "values");
    ML__NEW(f->scratch, monotonic, f->d);
    for (size_t j = 0; j < cst->n; j++)
        monotonic[j] = (int8_t)cst->values[j];
    data->monotonic = monotonic;
done:
    return st;
}

static size_t count_of(const ml__size *size, size_t n)
{
    return size->form == ML__SIZE_COUNT ? (size_t)size->count : (size_t)ceil(size->fraction * (double)n);
}

static size_t count_features(const ml__size *size, size_t d, bool classify)
{
    double count = (double)d;

    if (size->form == ML__SIZE_COUNT)
        count = (double)size->count;
    else if (size->form == ML__SIZE_FRACTION)
        count = floor(size->fraction * (double)d);
    else if (size->count == ML__FEATURES_SQRT || (size->count == ML__FEATURES_AUTO && classify))
        count = floor(sqrt((double)d));
    else if (size->count == ML__FEATURES_LOG2)
        count = floor(log2((double)d));
    return count < 1 ? 1 : count > (double)d ? d : (size_t)count;
}

static void set_rules(const ml__fit *f, const ml__tree_params *p, ml__tree_data *data)
{
    const size_t two_leaves = 2 * count_of(&p->min_samples_leaf, f->n);
    const size_t split = count_of(&p->min_samples_split, f->n);

    data->max_depth = p->max_depth ? (size_t)p->max_depth : ML__TREE_MAX_DEPTH;
    data->min_samples_leaf = two_leaves / 2;
    data->min_samples_split = split > two_leaves ? split : two_leaves;
    data->max_features = count_features(&p->max_features, f->d, data->classify);
    data->min_impurity_decrease = p->min_impurity_decrease;
}

/* ---- data ---- */

/* Is any output of row i known? */
static bool has_any(const ml__tree_data *data, size_t i)
{
    bool any = !data->has;

    for (size_t o = 0; o < data->n_outputs && !any; o++)
        any = data->has[o * data->n + i];
    return any;
}

/* Weights to [0, 1] by a power of two, and the rows where they are positive. */
static ml_status set_weights(ml__fit *f, ml__tree_data *data)
{
    const double *w = ml__fit_weights(f);
    double *scaled, largest = 0;
    uint32_t *rows;
    int exponent;
    ml_status st = w ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__NEW(f->scratch, scaled, f->n);
    ML__NEW(f->scratch, rows, f->n);
    for (size_t i = 0; i < f->n; i++)
        largest = fmax(largest, w[i]);
    (void)frexp(largest, &exponent);
    for (size_t i = 0; i < f->n; i++) {
        scaled[i] = ldexp(w[i], -exponent);
        if (scaled[i] > 0 && has_any(data, i))
            rows[data->n_rows++] = (uint32_t)i;
    }
    data->w = scaled;
    data->rows = rows;
    ML__CHECK(data->n_rows, ML_E_DATA, "no row has a label and a positive weight");
done:
    return st;
}

/* What is missing becomes the first class, or 0, and is marked in `has`. */
static ml_status read_labels(ml__fit *f, ml__tree_data *data, uint8_t *has, bool *complete)
{
    size_t *first;
    int32_t *y;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, first, f->n_outputs + 1);
    ML__NEW(f->scratch, y, f->n_outputs * f->n);
    for (size_t o = 0; o < f->n_outputs; o++) {
        first[o + 1] = first[o] + f->schema->outputs[o].n_classes;
        ml__dataset_read_labels(f->data, o, y + o * f->n);
        for (size_t at = o * f->n; at < (o + 1) * f->n; at++) {
            has[at] = y[at] >= 0;
            *complete &= has[at];
            y[at] = (int32_t)first[o] + (has[at] ? y[at] : 0);
        }
    }
    data->first = first;
    data->y = y;
done:
    return st;
}

static ml_status read_targets(ml__fit *f, ml__tree_data *data, uint8_t *has, bool *complete)
{
    double *t;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, t, f->n_outputs * f->n);
    for (size_t o = 0; o < f->n_outputs; o++) {
        ml__dataset_read_targets(f->data, o, t + o * f->n);
        for (size_t at = o * f->n; at < (o + 1) * f->n; at++) {
            has[at] = !isnan(t[at]);
            *complete &= has[at];
            t[at] = has[at] ? t[at] : 0;
        }
    }
    data->t = t;
done:
    return st;
}

/* Shares or means of all rows, for trees whose sample lacks an output. */
static ml_status set_prior(ml__fit *f, ml__tree_data *data)
{
    double *prior;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, prior, data->K);
    for (size_t o = 0; o < data->n_outputs; o++) {
        const size_t first = data->classify ? data->first[o] : o, end = data->classify ? data->first[o + 1] : o + 1;
        double sum = 0;

        for (size_t p = 0; p < data->n_rows; p++) {
            const size_t i = data->rows[p], at = o * data->n + i;
            if (!data->has[at])
                continue;
            sum += data->w[i];
            if (data->classify)
                prior[data->y[at]] += data->w[i];
            else /* a mean that cannot overflow */
                prior[o] += data->w[i] / sum * (data->t[at] / 2 - prior[o] / 2) * 2;
        }
        ML__CHECK(sum > 0, ML_E_DATA, "output '%s': no row of positive weight has a label", f->schema->outputs[o].name);
        for (size_t k = first; k < end && data->classify; k++)
            prior[k] /= sum;
    }
    data->prior = prior;
done:
    return st;
}

static ml_status check_poisson(const ml__fit *f, const ml__tree_data *data)
{
    double sum = 0;
    ml_status st = ML_OK;

    for (size_t o = 0; o < data->n_outputs; o++)
        for (size_t p = 0; p < data->n_rows; p++) {
            const double t = data->t[o * data->n + data->rows[p]];

            ML__CHECK(t >= 0, ML_E_DATA, "criterion poisson: row %zu of output '%s' is %g, negative",
                      (size_t)data->rows[p], f->schema->outputs[o].name, t);
            sum += t;
        }
    ML__CHECK(sum > 0, ML_E_DATA, "criterion poisson: the targets sum to %g, not more", sum);
done:
    return st;
}

/* Ranks of the targets among all rows. */
static ml_status rank_targets(ml__fit *f, ml__tree_data *data)
{
    const size_t n = data->n;
    uint64_t *keys, *other;
    uint32_t *rank, *row;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, rank, data->n_outputs * n);
    ML__NEW(f->scratch, row, n);
    ML__NEW(f->scratch, keys, n);
    ML__NEW(f->scratch, other, n);
    for (size_t o = 0; o < data->n_outputs; o++) {
        const double *t = data->t + o * n;

        ml__order_reals(t, n, row, keys, other);
        for (size_t i = 1; i < n; i++)
            rank[o * n + row[i]] = rank[o * n + row[i - 1]] + (t[row[i]] != t[row[i - 1]]);
    }
    data->rank = rank;
done:
    return st;
}

static ml_status set_categories(ml__fit *f, ml__tree_data *data)
{
    uint32_t *n_categories;
    bool any = false;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, n_categories, f->d);
    for (size_t j = 0; j < f->d; j++) {
        const size_t n = f->schema->features[j].n_categories;

        ML__CHECK(!n || !data->monotonic || !data->monotonic[j], ML_E_PARAMETER,
                  "%s: monotonic_cst of feature '%s', which is categorical", f->model->kind->name,
                  f->schema->features[j].name);
        ML__CHECK(n <= MAX_CATEGORIES, ML_E_LIMIT, "feature '%s' has %zu categories, trees take at most %d",
                  f->schema->features[j].name, n, (int)MAX_CATEGORIES);
        n_categories[j] = (uint32_t)n;
        any |= n > 0;
    }
    if (any)
        data->n_categories = n_categories;
done:
    return st;
}

static ml_status set_outputs(ml__fit *f, ml__tree_data *data)
{
    uint8_t *has;
    bool complete = true;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, has, f->n_outputs * f->n);
    ML__TRY(data->classify ? read_labels(f, data, has, &complete) : read_targets(f, data, has, &complete));
    if (!complete)
        data->has = has;
done:
    return st;
}

static ml_status set_data(ml__fit *f, const ml__tree_params *p, bool bootstrap, ml__tree_data *data)
{
    size_t row, feature;
    ml_status st;

    *data = (ml__tree_data){.n = f->n,
                            .d = f->d,
                            .K = f->K ? ml__schema_width(f->schema) : f->n_outputs,
                            .n_outputs = f->n_outputs,
                            .classify = f->K,
                            .bootstrap = bootstrap,
                            .missing = ml__dataset_find_missing(f->data, &row, &feature)};
    ML__TRY(choose_criterion(f, p, data));
    set_rules(f, p, data);
    ML__TRY(set_monotonic(f, p, data));
    ML__TRY(set_categories(f, data));
    ML__TRY(set_outputs(f, data));
    ML__TRY(set_weights(f, data));
    if (data->has)
        ML__TRY(set_prior(f, data));
    if (data->criterion == ML__POISSON)
        ML__TRY(check_poisson(f, data));
    if (data->criterion == ML__ABSOLUTE_ERROR)
        ML__TRY(rank_targets(f, data));
done:
    return st;
}

static bool all_equal(const double *w, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (w[i] != w[0])
            return false;
    return true;
}

/* Can the trees be grown from byte codes? */
static bool fits_columns(const ml__tree_data *data, int64_t max_bins)
{
    return max_bins >= 2 && data->n_outputs == 1 && !data->missing && !data->monotonic && !data->n_categories &&
           data->n <= MAX_COLUMN_ROWS && data->K <= ML__MAX_CODES && all_equal(data->w, data->n) &&
           (data->criterion == ML__GINI || data->criterion == ML__SQUARED_ERROR) && data->min_samples_leaf == 1 &&
           data->min_impurity_decrease == 0;
}

/* ---- trees ---- */

typedef struct {
    ml__fit *f;
    ml__tree_data data;
    bool by_columns;
    ml__bins bins;
    size_t n_growers;
    ml__column_grower **growers; /* [n_growers] */
    ml__arena *arenas;           /* [n_trees] what each tree is in */
    ml__tree *trees;             /* [n_trees] */
    size_t n_trees, n_grown, n_batch;
    atomic_size_t next; /* tree of the batch */
} forest;

static uint64_t tree_key(const forest *r, size_t t)
{
    return ml__seed_mix(r->f->seed, t);
}

static ml_status grow_tree(void *argument, size_t task)
{
    forest *r = argument;
    const size_t t = r->n_grown + task;

    return ml__tree_grow(&r->arenas[t], &r->data, tree_key(r, t), &r->trees[t]);
}

/* Trees of the batch, one after the other, as long as there are any that nobody has taken. */
static ml_status grow_with(void *argument, size_t task)
{
    forest *r = argument;
    ml_status st = ML_OK;

    for (size_t i; st == ML_OK && (i = atomic_fetch_add(&r->next, 1)) < r->n_batch;) {
        const size_t t = r->n_grown + i;
        st = ml__columns_grow(r->growers[task], &r->arenas[t], tree_key(r, t), &r->trees[t]);
    }
    return st;
}

static ml_status grow_batch(forest *r)
{
    if (!r->by_columns)
        return ml__parallel_for(r->f->context, r->n_batch, grow_tree, r);
    atomic_store(&r->next, 0);
    return ml__parallel_for(r->f->context, r->n_growers < r->n_batch ? r->n_growers : r->n_batch, grow_with, r);
}

static ml_status grow_trees(forest *r)
{
    ml_status st = ML_OK;

    while (r->n_grown < r->n_trees) {
        const size_t left = r->n_trees - r->n_grown;

        r->n_batch = left < BATCH_TREES ? left : BATCH_TREES;
        ML__TRY(grow_batch(r));
        for (const size_t end = r->n_grown + r->n_batch; r->n_grown < end; r->n_grown++)
            ML__TRY(ml__fit_step(r->f, r->n_grown + 1, r->n_trees, "", NAN));
        if (r->n_grown < r->n_trees && ml__fit_late(r->f)) {
            r->f->learned->stop_reason = ML_STOP_DEADLINE;
            break;
        }
    }
done:
    return st;
}

/* Codes, and for byte codes a workspace per thread. */
static ml_status make_codes(forest *r, int64_t max_bins)
{
    ml__arena *scratch = r->f->scratch;
    const size_t n_threads = ml__n_threads(r->f->context);
    ml_status st = ML_OK;

    r->by_columns = fits_columns(&r->data, max_bins);
    if (!r->by_columns) {
        r->data.X = ml__fit_matrix_f32(r->f);
        ML__TRY(r->data.X ? ML_OK : ML_E_MEMORY);
        return ml__codes_of(scratch, r->data.X, r->data.n, r->data.d, &r->data.codes);
    }
    ML__TRY(ml__bins_make(scratch, r->f->data, &r->data, (size_t)max_bins, &r->bins));
    r->n_growers = n_threads < r->n_trees ? n_threads : r->n_trees;
    ML__NEW(scratch, r->growers, r->n_growers);
    for (size_t i = 0; i < r->n_growers; i++)
        ML__TRY(ml__column_grower_create(scratch, &r->data, &r->bins, &r->growers[i]));
done:
    return st;
}

/* ---- fit ---- */

ml_status ml__trees_fit(ml__fit *f, const ml__tree_params *params, size_t n_trees, bool in_drawn_order, bool bootstrap)
{
    forest r = {.f = f, .n_trees = n_trees};
    const ml_dataset *all = f->data;
    ml_dataset *labelled = NULL;
    ml_status st;

    if (f->n_outputs == 1)
        ML__TRY(ml__dataset_labelled(all, &labelled));
    if (labelled) { /* a row without its only label has nothing to tell */
        f->data = labelled;
        f->n = ml_dataset_n_rows(labelled);
    }
    ML__TRY(set_data(f, params, bootstrap, &r.data));
    r.data.draw_features = in_drawn_order || r.data.max_features < f->d;
    r.data.n_draws = r.data.n_rows;
    ML__TRY(make_codes(&r, params->max_bins));
    ML__NEW(f->scratch, r.trees, n_trees);
    ML__NEW(f->scratch, r.arenas, n_trees);
    for (size_t t = 0; t < n_trees; t++)
        ml__arena_init(&r.arenas[t], f->context);
    ML__TRY(grow_trees(&r));
    ML__TRY(ml__importances_publish(f, r.trees, r.n_grown));
    ML__TRY(ml__trees_publish(f, r.data.K, r.n_grown, r.trees, r.arenas));
done:
    for (size_t i = 0; i < r.n_growers && r.growers; i++)
        ml__column_grower_free(r.growers[i]);
    for (size_t t = 0; t < n_trees && r.arenas; t++)
        ml__arena_free(&r.arenas[t]);
    f->data = all;
    f->n = ml_dataset_n_rows(all);
    ml_dataset_free(labelled);
    return st;
}
