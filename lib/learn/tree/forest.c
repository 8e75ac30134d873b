/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many trees from the same data: parameters to rules, trees in parallel, tensors.
 *
 * Each tree has a key made from the fit's seed and its number, so neither threads nor batches show in the result. Trees are
 * grown by a thread each as long as there is one for every thread; those that are left of a batch are grown by all threads
 * together. Before each tree but the first the deadline is looked at, between batches the monitor is told of each tree. A
 * context's memory limit ends growth too: what publishing the trees so far will take is held back, and trees beyond that are
 * dropped.
 */
#include <stdatomic.h>
#include <string.h>

#include "learn/tree/tree.h"

enum {
    BATCH_TREES = 16,              /* at least, unless a monitor waits for them */
    MAX_CATEGORIES = 1 << 24,      /* single precision holds their numbers */
    MAX_COLUMN_ROWS = 1 << 26,     /* squares of weights are whole numbers in double */
    MAX_TARGET_ROWS = 1 << 22,     /* targets of the root keep 15 bits */
    MAX_COLUMN_FEATURES = 1 << 14, /* each has tables of 3 KiB */
    /* bytes at most: order of a node; offsets, depth and a line begun by a tree; small things; what arenas waste, which is not
     * more than what is in them either */
    PUBLISHED_NODE = 4,
    PUBLISHED_TREE = 272,
    PUBLISHED_REST = 1 << 16,
    PUBLISHED_REST_OF_THREAD = 1 << 13,
    MOST_WASTED = 3 << 19
};

const ml__tensor_rule ml__forest_tensors[] = {
    ML__TREES_TENSORS,
    {"trees.importance", ML_FLOAT64, "ud", ML__FINITE | ML__NON_NEGATIVE | ML__OPTIONAL},
    {"trees.draws", ML_INT64, "w", ML__OPTIONAL},
    {"oob_score", ML_FLOAT64, "1", ML__OPTIONAL},
    {"oob_error_curve", ML_FLOAT64, "uo", ML__OPTIONAL},
    {"oob_decision_function", ML_FLOAT64, "nC", ML__OPTIONAL},
    {"oob_prediction", ML_FLOAT64, "no", ML__OPTIONAL},
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

static void set_rules(const ml__fit *f, const ml__forest_plan *plan, ml__tree_data *data)
{
    const ml__tree_params *p = plan->rules;
    const size_t two_leaves = 2 * count_of(&p->min_samples_leaf, f->n);
    const size_t split = count_of(&p->min_samples_split, f->n);

    data->max_depth = p->max_depth ? (size_t)p->max_depth : ML__TREE_MAX_DEPTH;
    data->min_samples_leaf = two_leaves / 2;
    data->min_samples_split = split > two_leaves ? split : two_leaves;
    data->max_features = count_features(&p->max_features, f->d, data->classify);
    data->min_weight_fraction_leaf = p->min_weight_fraction_leaf;
    data->min_impurity_decrease = p->min_impurity_decrease;
    data->max_leaf_nodes = (size_t)p->max_leaf_nodes;
    data->ccp_alpha = p->ccp_alpha;
    data->pruning_path = plan->pruning_path;
    data->random_thresholds = plan->random_thresholds;
    data->bootstrap = plan->bootstrap;
    data->draw_features = plan->in_drawn_order || data->max_features < f->d;
}

static ml_status count_samples(const ml__fit *f, const ml__size *size, ml__tree_data *data)
{
    const size_t n = data->n_rows;
    ml_status st = ML_OK;

    data->n_draws = n;
    if (size->form == ML__SIZE_FRACTION)
        data->n_draws = (size_t)fmax(rint(size->fraction * (double)n), 1);
    if (size->form != ML__SIZE_COUNT)
        return ML_OK;
    ML__CHECK((uint64_t)size->count <= n, ML_E_PARAMETER,
              "%s: parameter 'max_samples' is %lld, there are %zu rows of positive weight", f->model->kind->name,
              (long long)size->count, n);
    data->n_draws = (size_t)size->count;
done:
    return st;
}

/* ---- data ---- */

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
            data->largest_target = fmax(data->largest_target, fabs(t[at]));
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
                prior[o] = prior[o] * (1 - data->w[i] / sum) + data->t[at] * (data->w[i] / sum);
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

static ml_status set_data(ml__fit *f, const ml__forest_plan *plan, ml__tree_data *data)
{
    size_t row, feature;
    ml_status st;

    *data = (ml__tree_data){.n = f->n,
                            .d = f->d,
                            .K = f->K ? ml__schema_width(f->schema) : f->n_outputs,
                            .n_outputs = f->n_outputs,
                            .classify = f->K};
    ML__TRY(ml__dataset_find_missing(f->data, &data->missing, &row, &feature));
    ML__CHECK(!plan->keep_leaf_targets || !f->K, ML_E_PARAMETER,
              "%s: parameter 'keep_leaf_targets' is for reals, output '%s' is labels", f->model->kind->name,
              f->schema->outputs[0].name);
    ML__TRY(choose_criterion(f, plan->rules, data));
    set_rules(f, plan, data);
    ML__TRY(set_monotonic(f, plan->rules, data));
    ML__TRY(set_categories(f, data));
    ML__TRY(set_outputs(f, data));
    ML__TRY(ml__tree_weights(f, &plan->rules->class_weight, data));
    ML__TRY(count_samples(f, &plan->max_samples, data));
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
           data->n <= (data->classify ? MAX_COLUMN_ROWS : MAX_TARGET_ROWS) && data->d <= MAX_COLUMN_FEATURES &&
           data->K <= ML__MAX_CODES && all_equal(data->w, data->n) &&
           (data->criterion == ML__GINI || data->criterion == ML__SQUARED_ERROR) && data->min_samples_leaf == 1 &&
           data->min_weight_fraction_leaf == 0 && data->min_impurity_decrease == 0 && !data->balance_draws &&
           !ml__keeps_worth(data);
}

/* ---- trees ---- */

typedef struct {
    ml__fit *f;
    ml__tree_data data;
    bool by_columns, keep_leaf_targets;
    ml__bins bins;
    ml__draws draws;  /* of a forest that may be grown on */
    ml__arena growth; /* holds codes and workspaces: given back before the trees are published */
    size_t n_growers;
    ml__column_grower **growers; /* [n_growers] */
    ml__arena *arenas;           /* [n_trees] what each tree is in */
    ml__tree *trees;             /* [n_trees] */
    bool *is_grown;              /* [n_trees] */
    ml__reserve reserve;
    size_t n_wasted;        /* bytes that are held back for what arenas waste */
    size_t n_trees, n_kept; /* of an earlier fit, which come first */
    size_t n_grown, n_batch, most_batch;
    size_t n_apart;     /* trees of the batch that one thread grows */
    bool shares;        /* is a tree worth several threads? */
    atomic_size_t next; /* tree of the batch */
} forest;

static const ml__bins *bins_of(const forest *r)
{
    return r->by_columns ? &r->bins : NULL;
}

static ml_status collect_rows(const forest *r, size_t t)
{
    if (!r->keep_leaf_targets)
        return ML_OK;
    return ml__leaf_rows_collect(&r->arenas[t], &r->data, bins_of(r), ml__tree_key(r->f, t), &r->trees[t]);
}

/* Of a tree from an earlier fit, which may have kept them. */
static ml_status collect_kept(void *argument, size_t t)
{
    const forest *r = argument;

    return r->trees[t].rows.size ? ML_OK : collect_rows(r, t);
}

/* A late fit does without the trees that are not begun, except for its first. */
static ml_status grow_tree(forest *r, size_t t, ml__column_grower *grower, size_t n_workers)
{
    const uint64_t key = ml__tree_key(r->f, t);
    ml_status st = ML_OK;

    if (t > r->n_kept && ml__fit_late(r->f))
        return ML_OK;
    if (r->by_columns)
        ML__TRY(ml__columns_grow(grower, &r->arenas[t], key, &r->trees[t]));
    else
        ML__TRY(ml__tree_grow(&r->arenas[t], &r->data, key, n_workers, &r->trees[t]));
    ML__TRY(collect_rows(r, t));
    r->is_grown[t] = true;
done:
    return st;
}

/* Trees of the batch, one after the other, as long as there are any that nobody has taken. */
static ml_status grow_apart(void *argument, size_t task)
{
    forest *r = argument;
    ml__column_grower *grower = r->by_columns ? r->growers[task] : NULL;
    ml_status st = ML_OK;

    for (size_t i; st == ML_OK && (i = atomic_fetch_add(&r->next, 1)) < r->n_apart;)
        st = grow_tree(r, r->n_grown + i, grower, 1);
    return st;
}

/* As many trees at a time as there are threads; those that are left would keep some waiting. */
static size_t trees_apart(const forest *r, size_t n)
{
    return r->shares ? n - n % ml__n_threads(r->f->context) : n;
}

static ml_status grow_batch(forest *r)
{
    const size_t n_threads = ml__n_threads(r->f->context), end = r->n_grown + r->n_batch;
    ml_status st;

    r->n_apart = trees_apart(r, r->n_batch);
    atomic_store(&r->next, 0);
    memset(r->is_grown + r->n_grown, 0, r->n_batch * sizeof *r->is_grown);
    ML__TRY(ml__parallel_for(r->f->context, n_threads < r->n_apart ? n_threads : r->n_apart, grow_apart, r));
    for (size_t t = r->n_grown + r->n_apart; t < end; t++) /* one after the other, each by all threads */
        ML__TRY(grow_tree(r, t, r->by_columns ? r->growers[0] : NULL, n_threads));
done:
    return st;
}

/* ---- memory ---- */

/* At most, for one row of values: the tensor, the table of equal rows with what it has outgrown, and what is known of it. */
static size_t row_bytes(const forest *r)
{
    return r->data.classify ? 5 * r->data.K * sizeof(double) + 40 : r->data.K * sizeof(double);
}

/* Rows of shares of one class are equal to others most of the time. */
static size_t count_rows(const forest *r, const ml__tree *tree)
{
    const size_t K = r->data.K;
    size_t n_rows = tree->n_values;

    if (r->data.classify && r->data.n_outputs == 1)
        for (size_t at = 0; at < tree->n_values * K; at++)
            n_rows -= tree->value[at] == 1;
    return n_rows;
}

/* What publishing `count` trees will take, beyond what was opened with. */
static size_t bytes_to_publish(const forest *r, size_t first, size_t count)
{
    size_t n_bytes = 0;

    for (size_t t = first; t < first + count && r->reserve.is_on; t++)
        n_bytes += (PUBLISHED_NODE + ml__node_bytes(r->data.d, r->trees[t].n_nodes)) * r->trees[t].n_nodes +
                   count_rows(r, &r->trees[t]) * row_bytes(r) + r->trees[t].n_set_words * sizeof(uint32_t) +
                   (r->data.d + r->data.n_outputs) * sizeof(double) + 2 * r->trees[t].path.n * sizeof(double) +
                   ml__leaf_rows_bytes(&r->trees[t]) + PUBLISHED_TREE;
    return n_bytes;
}

static void open_reserve(forest *r, bool oob_score)
{
    const size_t n = r->data.n, d = r->data.d, K = r->data.K, n_outputs = r->data.n_outputs;
    const size_t n_threads = ml__n_threads(r->f->context);
    const size_t per_row = BATCH_TREES + (2 * K + n_outputs) * sizeof(double) + 4 + 5 * n_threads;
    const size_t targets = r->keep_leaf_targets ? ml__leaf_targets_bytes(n, n_outputs) : 0;

    ml__reserve_open(&r->reserve, r->f->context,
                     PUBLISHED_REST + n_threads * PUBLISHED_REST_OF_THREAD + ml__coded_workspace(d, n_threads) +
                         2 * d * sizeof(double) + (K + 64) * row_bytes(r) + (oob_score ? n * per_row : 0) + targets);
}

/* Hold back what publishing these trees will take; false when the limit does not allow it. */
static bool hold_back(forest *r, size_t first, size_t count)
{
    const size_t n_bytes = bytes_to_publish(r, first, count), left = MOST_WASTED - r->n_wasted;
    const size_t n_wasted = n_bytes < left ? n_bytes : left;

    if (!ml__reserve_add(&r->reserve, n_bytes + n_wasted))
        return false;
    r->n_wasted += n_wasted;
    return true;
}

static void drop_trees(forest *r, size_t first, size_t end)
{
    for (size_t t = first; t < end; t++)
        ml__arena_free(&r->arenas[t]);
}

/* Trees of the batch before the first that is not grown; the others are dropped. */
static size_t keep_grown(forest *r)
{
    size_t n = 0;

    while (n < r->n_batch && r->is_grown[r->n_grown + n])
        n++;
    drop_trees(r, r->n_grown + n, r->n_grown + r->n_batch);
    return n;
}

/* Grow a batch; where the limit does not allow all of it, the first trees that can be published are what is left. When that
 * is none at all there is no sense in holding memory back. */
static ml_status grow_what_fits(forest *r)
{
    ml_status st = grow_batch(r);
    size_t n_grown, n;

    if (st != ML_OK && !(st == ML_E_MEMORY && ml__reserve_was_needed(&r->reserve)))
        return st;
    n = n_grown = keep_grown(r);
    while (n && !hold_back(r, r->n_grown, n)) {
        n -= (n + 7) / 8;
        drop_trees(r, r->n_grown + n, r->n_grown + n_grown);
    }
    if (!r->n_grown && !n) {
        ml__reserve_free(&r->reserve);
        ML__TRY(grow_batch(r));
        n = n_grown = keep_grown(r);
    }
    if (st != ML_OK || n < n_grown)
        r->f->learned->stop_reason = ML_STOP_MEMORY;
    r->n_batch = n;
    return ML_OK;
done:
    return st;
}

static ml_status grow_trees(forest *r)
{
    ml_status st = ML_OK;

    while (r->n_grown < r->n_trees && r->f->learned->stop_reason != ML_STOP_MEMORY) {
        const size_t left = r->n_trees - r->n_grown;

        r->n_batch = left < r->most_batch ? left : r->most_batch;
        ML__TRY(grow_what_fits(r));
        for (const size_t end = r->n_grown + r->n_batch; r->n_grown < end; r->n_grown++)
            ML__TRY(ml__fit_step(r->f, r->n_grown + 1, r->n_trees, "", NAN));
        if (r->f->learned->stop_reason == ML_STOP_COMPLETE && r->n_grown < r->n_trees && ml__fit_late(r->f)) {
            r->f->learned->stop_reason = ML_STOP_DEADLINE;
            break;
        }
    }
done:
    return st;
}

/* How many threads grow one tree together, if there is such a tree among n_new. */
static size_t workers_of_tree(const forest *r, size_t n_new)
{
    const size_t n_threads = ml__n_threads(r->f->context);

    return r->shares && n_new % n_threads ? n_threads : 1;
}

/* Workspaces for the trees that are grown at the same time. */
static ml_status make_growers(forest *r, size_t n_new)
{
    const size_t n_threads = ml__n_threads(r->f->context);
    const size_t n_apart = trees_apart(r, n_new < r->most_batch ? n_new : r->most_batch);
    ml_status st = ML_OK;

    r->n_growers = !n_apart ? 1 : n_apart < n_threads ? n_apart : n_threads;
    ML__NEW(&r->growth, r->growers, r->n_growers);
    for (size_t i = 0; i < r->n_growers; i++)
        ML__TRY(ml__column_grower_create(&r->growth, &r->data, &r->bins, i ? 1 : workers_of_tree(r, n_new),
                                         &r->growers[i]));
done:
    return st;
}

static void free_growers(forest *r)
{
    for (size_t i = 0; i < r->n_growers && r->growers; i++)
        ml__column_grower_free(r->growers[i]);
    r->growers = NULL;
}

static ml_status make_codes(forest *r, int64_t max_bins)
{
    const size_t n_threads = ml__n_threads(r->f->context), n_new = r->n_trees > r->n_kept ? r->n_trees - r->n_kept : 0;
    ml_status st = ML_OK;

    r->by_columns = fits_columns(&r->data, max_bins);
    r->shares = n_threads > 1 && ml__subtree_rows(&r->data, r->data.n) < r->data.n;
    /* a multiple of n_threads, so that only the last may have trees that are grown together */
    r->most_batch = r->f->run->monitor ? n_threads : (BATCH_TREES + n_threads - 1) / n_threads * n_threads;
    if (!r->by_columns) {
        ML__TRY(ml__fit_matrix_f32(r->f, &r->data.X));
        return ml__codes_of(&r->growth, r->data.X, r->data.n, r->data.d, &r->data.codes);
    }
    st = ml__bins_make(&r->growth, r->f->data, &r->data, (size_t)max_bins, &r->bins);
    ML__TRY(ml__fit_blame_copy(r->f, st));
    ML__TRY(make_growers(r, n_new));
done:
    return st;
}

/* ---- fit ---- */

static ml_status publish_path(const forest *r)
{
    const ml__pruning_path *path = &r->trees[0].path;
    double *alphas, *impurities;
    ml_status st = ML_OK;

    if (!r->data.pruning_path)
        return ML_OK;
    for (size_t i = 0; i < path->n; i++)
        ML__CHECK(isfinite(path->ccp_alpha[i]) && isfinite(path->impurity[i]), ML_E_NUMERIC,
                  "%s: parameter 'pruning_path': with a target of %g in size, impurities are larger than any double",
                  r->f->model->kind->name, r->data.largest_target);
    ML__PUBLISH(r->f, alphas, "pruning_path.ccp_alphas", ML_FLOAT64, path->n);
    ML__PUBLISH(r->f, impurities, "pruning_path.impurities", ML_FLOAT64, path->n);
    memcpy(alphas, path->ccp_alpha, path->n * sizeof *alphas);
    memcpy(impurities, path->impurity, path->n * sizeof *impurities);
done:
    return st;
}

static ml_status publish(forest *r, const ml__forest_plan *plan)
{
    ml_status st;

    ML__TRY(ml__importances_publish(r->f, r->trees, r->n_grown));
    ML__TRY(publish_path(r));
    if (plan->oob_score)
        ML__TRY(ml__out_of_bag(r->f, &r->data, bins_of(r), r->n_grown, r->trees));
    ml__arena_free(&r->growth);
    if (plan->warm_start)
        ML__TRY(ml__publish_for_growing_on(r->f, &r->draws, r->n_grown, r->trees));
    if (plan->keep_leaf_targets)
        ML__TRY(ml__leaf_targets_publish(r->f, &r->data));
    ML__TRY(ml__trees_publish(r->f, r->data.K, r->n_grown, r->trees, r->arenas));
done:
    return st;
}

static ml_status make_trees(forest *r)
{
    ml_status st = ML_OK;

    ML__NEW(r->f->scratch, r->trees, r->n_trees);
    ML__NEW(r->f->scratch, r->is_grown, r->n_trees);
    ML__NEW(r->f->scratch, r->arenas, r->n_trees);
    for (size_t t = 0; t < r->n_trees; t++)
        ml__arena_init(&r->arenas[t], r->f->context);
done:
    return st;
}

static ml_status grow_and_publish(forest *r, const ml__forest_plan *plan)
{
    ml__fit *f = r->f;
    ml_status st;

    r->n_kept = plan->warm_start ? ml__kept_trees(f) : 0;
    ML__TRY(set_data(f, plan, &r->data));
    ML__TRY(make_codes(r, plan->rules->max_bins));
    if ((plan->oob_score || plan->keep_leaf_targets) && !r->data.X)
        ML__TRY(ml__fit_matrix_f32(f, &r->data.X));
    ML__TRY(make_trees(r));
    if (plan->warm_start)
        ML__TRY(ml__describe_draws(f, &r->data, r->by_columns, &r->draws));
    if (r->n_kept) {
        ML__TRY(ml__keep_trees(f, plan, &r->draws, r->trees, r->arenas));
        r->n_grown = r->n_kept;
        ML__TRY(ml__parallel_for(f->context, r->n_grown, collect_kept, r));
    }
    open_reserve(r, plan->oob_score);
    if (!hold_back(r, 0, r->n_grown))
        ml__reserve_free(&r->reserve);
    ML__TRY(grow_trees(r));
    free_growers(r);
    ml__reserve_free(&r->reserve);
    ML__TRY(publish(r, plan));
done:
    return st;
}

ml_status ml__trees_fit(ml__fit *f, const ml__forest_plan *plan)
{
    forest r = {.f = f, .n_trees = plan->n_trees, .keep_leaf_targets = plan->keep_leaf_targets};
    const ml_dataset *all = f->data;
    ml_dataset *labelled = NULL;
    ml_status st;

    ml__arena_init(&r.growth, f->context);
    if (f->n_outputs == 1)
        ML__TRY(ml__dataset_labelled(all, &labelled));
    ML__CHECK(!labelled || !plan->oob_score, ML_E_UNSUPPORTED,
              "%s: parameter 'oob_score' needs a label in every row, %zu of %zu have one", f->model->kind->name,
              ml_dataset_n_rows(labelled), ml_dataset_n_rows(all));
    if (labelled) { /* a row without its only label has nothing to tell */
        f->data = labelled;
        f->n = ml_dataset_n_rows(labelled);
    }
    ML__TRY(grow_and_publish(&r, plan));
done:
    free_growers(&r);
    ml__arena_free(&r.growth);
    for (size_t t = 0; t < r.n_trees && r.arenas; t++)
        ml__arena_free(&r.arenas[t]);
    ml__reserve_free(&r.reserve);
    f->data = all;
    f->n = ml_dataset_n_rows(all);
    ml_dataset_free(labelled);
    return st;
}

/* ---- the kinds of forests ---- */

ml_status ml__forest_check_params(const ml_model *model)
{
    const ml__forest_params *p = model->params;

    if (p->bootstrap || (p->max_samples.form == ML__SIZE_CHOICE && !p->oob_score))
        return ML_OK;
    return ml__fail(ML_E_PARAMETER, "%s: parameter '%s' needs 'bootstrap', which is false", model->kind->name,
                    p->oob_score ? "oob_score" : "max_samples");
}

ml_status ml__forest_fit(ml__fit *f, bool random_thresholds)
{
    const ml__forest_params *p = f->params;
    const ml__forest_plan plan = {.rules = &p->tree,
                                  .n_trees = (size_t)p->n_estimators,
                                  .in_drawn_order = true,
                                  .random_thresholds = random_thresholds,
                                  .bootstrap = p->bootstrap,
                                  .oob_score = p->oob_score,
                                  .warm_start = p->warm_start,
                                  .keep_leaf_targets = p->tree.keep_leaf_targets,
                                  .max_samples = p->max_samples};

    return ml__trees_fit(f, &plan);
}
