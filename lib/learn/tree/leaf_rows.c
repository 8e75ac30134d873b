/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves that keep the rows they were grown from, so that a forest knows the distribution of its target and not only the
 * mean (Meinshausen 2006, "Quantile regression forests"); quantiles.c asks for it.
 *
 * Rows        the sample of a tree is drawn again from its key and walked through the finished tree, whichever builder grew it
 *             and whatever was pruned; a row is in the list of its leaf as often as it was drawn
 * Tensors     trees.leaf_size [leaves]       draws in the leaf with this row of trees.value
 *             trees.leaf_rows [draws]        row numbers, leaf after leaf, ascending in each
 *             trees.targets [O x n]          of the rows of the fit; NaN where a row lacks one of several outputs
 *             trees.weights [n]              only where they differ
 *             4 bytes for each draw and leaf of every tree, 8 for each target: a forest of T full trees takes about 4 to 7 T n
 * Symbols     n rows of the fit, O outputs;  i row, o output, v row of values, which is a leaf
 */
#include <string.h>

#include "learn/tree/tree.h"

/* ---- samples ---- */

ml_status ml__tree_sample(const ml__tree_data *data, const ml__bins *bins, uint64_t key, ml__arena *scratch,
                          uint32_t *count)
{
    uint8_t *few;
    ml_status st = ML_OK;

    if (!bins) {
        ml__tree_draw(data, key, count);
        return ML_OK;
    }
    ML__NEW(scratch, few, data->n);
    ml__columns_draw(data, key, few);
    for (size_t i = 0; i < data->n; i++)
        count[bins->row[i]] = few[i];
done:
    return st;
}

/* ---- lists of rows ---- */

/* Size and place of the lists, whose sizes are known. */
static ml_status make_lists(ml__arena *arena, ml__arena *scratch, size_t n_values, ml__leaf_rows *rows, size_t **place)
{
    ml_status st = ML_OK;

    ML__NEW(scratch, *place, n_values);
    rows->n = 0;
    for (size_t v = 0; v < n_values; v++) {
        (*place)[v] = rows->n;
        rows->n += rows->size[v];
    }
    ML__NEW(arena, rows->row, rows->n);
done:
    return st;
}

ml_status ml__leaf_rows_collect(ml__arena *arena, const ml__tree_data *data, const ml__bins *bins, uint64_t key,
                                ml__tree *tree)
{
    ml__leaf_rows *rows = &tree->rows;
    uint32_t *count, *leaf;
    size_t *place;
    ml__arena scratch;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, arena->context);
    ML__NEW(&scratch, count, data->n);
    ML__NEW(&scratch, leaf, data->n);
    ML__TRY(ml__tree_sample(data, bins, key, &scratch, count));
    ML__NEW(arena, rows->size, tree->n_values);
    for (size_t i = 0; i < data->n; i++)
        if (count[i]) {
            leaf[i] = ml__tree_leaf(tree, data->X + i * data->d)->next;
            rows->size[leaf[i]] += count[i];
        }
    ML__TRY(make_lists(arena, &scratch, tree->n_values, rows, &place));
    for (size_t i = 0; i < data->n; i++)
        for (uint32_t c = 0; c < count[i]; c++)
            rows->row[place[leaf[i]]++] = (uint32_t)i;
done:
    ml__arena_free(&scratch);
    return st;
}

ml_status ml__leaf_rows_copy(ml__arena *arena, const ml__leaf_targets *kept, size_t first_value, const uint32_t *from,
                             size_t n_values, ml__leaf_rows *out)
{
    const size_t *first = kept->first + first_value;
    size_t at = 0;
    ml_status st = ML_OK;

    *out = (ml__leaf_rows){0};
    ML__NEW(arena, out->size, n_values);
    for (size_t v = 0; v < n_values; v++) {
        out->size[v] = (uint32_t)(first[from[v] + 1] - first[from[v]]);
        out->n += out->size[v];
    }
    ML__NEW(arena, out->row, out->n);
    for (size_t v = 0; v < n_values; at += out->size[v++])
        memcpy(out->row + at, kept->row + first[from[v]], out->size[v] * sizeof *out->row);
done:
    return st;
}

/* By row, so that lists stay ascending: a row is in one leaf of a tree only. */
ml_status ml__leaf_rows_regroup(ml__arena *arena, const ml__leaf_rows *from, size_t n_from, const uint32_t *to,
                                size_t n_to, ml__leaf_rows *out)
{
    uint64_t *keys, *other;
    size_t *place, at = 0;
    ml__arena scratch;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, arena->context);
    ML__NEW(&scratch, keys, from->n);
    ML__NEW(&scratch, other, from->n);
    ML__NEW(arena, out->size, n_to);
    for (size_t v = 0; v < n_from; v++) {
        out->size[to[v]] += from->size[v];
        for (uint32_t k = 0; k < from->size[v]; k++, at++)
            keys[at] = (uint64_t)from->row[at] << 32 | to[v];
    }
    ml__sort_keys(keys, other, from->n, 32);
    ML__TRY(make_lists(arena, &scratch, n_to, out, &place));
    for (size_t k = 0; k < from->n; k++)
        out->row[place[(uint32_t)keys[k]]++] = (uint32_t)(keys[k] >> 32);
done:
    ml__arena_free(&scratch);
    return st;
}

/* ---- publishing ---- */

size_t ml__leaf_rows_bytes(const ml__tree *tree)
{
    const size_t per_leaf = sizeof *tree->rows.size + sizeof(size_t) + sizeof(bool);

    return tree->rows.size ? tree->rows.n * sizeof *tree->rows.row + tree->n_values * per_leaf + sizeof(size_t) : 0;
}

size_t ml__leaf_targets_bytes(size_t n, size_t n_outputs)
{
    const size_t sorting = 2 * sizeof(uint64_t), weight = sizeof(double);

    return n * (n_outputs * (sizeof(double) + 2 * sizeof(uint32_t)) + weight + sorting);
}

ml_status ml__leaf_targets_publish(ml__fit *f, const ml__tree_data *data)
{
    const size_t n = data->n;
    double *t, *w;
    bool equal = true;
    ml_status st = ML_OK;

    ML__PUBLISH(f, t, "trees.targets", ML_FLOAT64, data->n_outputs, n);
    for (size_t at = 0; at < data->n_outputs * n; at++)
        t[at] = !data->has || data->has[at] ? data->t[at] : NAN;
    for (size_t i = 1; i < n; i++)
        equal = equal && data->w[i] == data->w[0];
    if (equal)
        return ML_OK;
    ML__PUBLISH(f, w, "trees.weights", ML_FLOAT64, n);
    memcpy(w, data->w, n * sizeof *w);
done:
    return st;
}

ml_status ml__leaf_targets_publish_again(ml__fit *f, const ml__learned *from)
{
    const ml__named_tensor *targets = ml__learned_find(from, "trees.targets");
    const ml__named_tensor *weights = ml__learned_find(from, "trees.weights");
    double *t, *w;
    ml_status st = ML_OK;

    if (!targets)
        return ML_OK;
    ML__PUBLISH(f, t, "trees.targets", ML_FLOAT64, targets->shape[0], targets->shape[1]);
    memcpy(t, targets->data, (size_t)(targets->shape[0] * targets->shape[1]) * sizeof *t);
    if (!weights)
        return ML_OK;
    ML__PUBLISH(f, w, "trees.weights", ML_FLOAT64, weights->shape[0]);
    memcpy(w, weights->data, (size_t)weights->shape[0] * sizeof *w);
done:
    return st;
}

bool ml__leaf_targets_equal(const ml__leaf_targets *a, const ml__leaf_targets *b)
{
    if (!a || !b)
        return !a && !b;
    return a->n == b->n && !memcmp(a->t, b->t, a->n_outputs * a->n * sizeof *a->t) && !a->w == !b->w &&
           (!a->w || !memcmp(a->w, b->w, a->n * sizeof *a->w));
}

/* ---- validation ---- */

/* Every row of values is that of one leaf, which then has the rows listed with it. */
static ml_status check_leaves(const ml__trees *trees, size_t n_values, ml__arena *scratch)
{
    bool *taken;
    size_t n_taken = 0;
    ml_status st = ML_OK;

    ML__NEW(scratch, taken, n_values);
    for (size_t t = 0; t < trees->n_trees; t++)
        for (size_t i = 0; i < ml__tree_size(trees, t); i++) {
            const ml__tree_node node = ml__tree_node_at(trees, t, i);
            const size_t v = (size_t)trees->first_value[t] + node.next;

            if (node.feature >= 0)
                continue;
            ML__CHECK(!taken[v], ML_E_FORMAT, "tree %zu, leaf %zu: its rows are those of another leaf", t, i);
            taken[v] = true;
            n_taken++;
        }
    ML__CHECK(n_taken == n_values, ML_E_FORMAT, "tensor 'trees.leaf_size' has %zu elements for %zu leaves", n_values,
              n_taken);
done:
    return st;
}

/* Targets are finite; of several some may be missing, which is NaN. Weights have been divided by what makes them at most 1. */
static ml_status check_targets(const ml__leaf_targets *k)
{
    ml_status st = ML_OK;

    for (size_t at = 0; at < k->n_outputs * k->n; at++)
        ML__CHECK(isfinite(k->t[at]) || (isnan(k->t[at]) && k->n_outputs > 1), ML_E_FORMAT,
                  "tensor 'trees.targets': element %zu is %g, not finite", at, k->t[at]);
    for (size_t i = 0; i < k->n && k->w; i++)
        ML__CHECK(k->w[i] <= 1, ML_E_FORMAT, "tensor 'trees.weights': element %zu is %g, more than 1", i, k->w[i]);
done:
    return st;
}

/* Sizes are positive by the rule of their tensor. */
static ml_status find_lists(const int32_t *size, size_t n_values, uint64_t n_rows, size_t *first)
{
    ml_status st = ML_OK;

    for (size_t v = 0; v < n_values; v++) {
        ML__CHECK((uint64_t)size[v] <= n_rows - first[v], ML_E_FORMAT,
                  "tensor 'trees.leaf_size': the first %zu leaves have more than the %llu rows that there are", v + 1,
                  (unsigned long long)n_rows);
        first[v + 1] = first[v] + (size_t)size[v];
    }
    ML__CHECK(first[n_values] == n_rows, ML_E_FORMAT,
              "tensor 'trees.leaf_rows' has %llu elements, leaves have %zu rows", (unsigned long long)n_rows,
              first[n_values]);
done:
    return st;
}

static ml_status check_rows(const ml__leaf_targets *k, size_t n_values)
{
    ml_status st = ML_OK;

    for (size_t v = 0; v < n_values; v++)
        for (size_t at = k->first[v]; at < k->first[v + 1]; at++) {
            const int32_t i = k->row[at];

            ML__CHECK(i >= 0 && (size_t)i < k->n, ML_E_FORMAT, "tensor 'trees.leaf_rows': element %zu is row %d of %zu",
                      at, (int)i, k->n);
            ML__CHECK(at == k->first[v] || i >= k->row[at - 1], ML_E_FORMAT,
                      "tensor 'trees.leaf_rows': element %zu is %d after %d", at, (int)i, (int)k->row[at - 1]);
            ML__CHECK(!k->w || k->w[i] > 0, ML_E_FORMAT, "tensor 'trees.leaf_rows': element %zu is row %d, of weight 0",
                      at, (int)i);
        }
done:
    return st;
}

static ml_status sort_targets(ml__arena *arena, ml__arena *scratch, ml__leaf_targets *k)
{
    const size_t n = k->n;
    uint32_t *sorted, *place;
    uint64_t *keys, *other;
    ml_status st = ML_OK;

    ML__NEW(arena, sorted, k->n_outputs * n);
    ML__NEW(arena, place, k->n_outputs * n);
    ML__NEW(scratch, keys, n);
    ML__NEW(scratch, other, n);
    for (size_t o = 0; o < k->n_outputs; o++) {
        ml__order_reals(k->t + o * n, n, sorted + o * n, keys, other);
        for (size_t r = 0; r < n; r++)
            place[o * n + sorted[o * n + r]] = (uint32_t)r;
    }
    k->sorted = sorted;
    k->place = place;
done:
    return st;
}

ml_status ml__leaf_targets_prepare(ml__learned *learned, const ml__trees *trees, size_t n_values,
                                   const ml__leaf_targets **out)
{
    const ml__named_tensor *size = ml__learned_find(learned, "trees.leaf_size");
    const ml__named_tensor *row = ml__learned_find(learned, "trees.leaf_rows");
    const ml__named_tensor *targets = ml__learned_find(learned, "trees.targets");
    const ml__named_tensor *weights = ml__learned_find(learned, "trees.weights");
    ml__leaf_targets *k;
    size_t *first;
    ml__arena scratch;
    ml_status st = ML_OK;

    *out = NULL;
    if (!size && !row && !targets && !weights)
        return ML_OK;
    ml__arena_init(&scratch, learned->context);
    ML__CHECK(size && row && targets && learned->task == ML__REGRESS, ML_E_FORMAT,
              "tensors 'trees.leaf_size', 'trees.leaf_rows' and 'trees.targets' belong together, with reals");
    ML__CHECK(targets->shape[1] <= INT32_MAX, ML_E_FORMAT,
              "tensor 'trees.targets' has %llu rows, rows are numbered to %d", (unsigned long long)targets->shape[1],
              (int)INT32_MAX);
    ML__NEW(&learned->arena, k, 1);
    ML__NEW(&learned->arena, first, n_values + 1);
    *k = (ml__leaf_targets){.n = (size_t)targets->shape[1],
                            .n_outputs = (size_t)targets->shape[0],
                            .row = row->data,
                            .first = first,
                            .t = targets->data,
                            .w = weights ? weights->data : NULL};
    ML__TRY(check_leaves(trees, n_values, &scratch));
    ML__TRY(check_targets(k));
    ML__TRY(find_lists(size->data, n_values, row->shape[0], first));
    ML__TRY(check_rows(k, n_values));
    ML__TRY(sort_targets(&learned->arena, &scratch, k));
    *out = k;
done:
    ml__arena_free(&scratch);
    return st;
}
