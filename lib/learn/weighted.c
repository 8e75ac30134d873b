/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/weighted.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"

enum { SMALL = 16 };

static bool comes_before(const ml__weighted *a, const ml__weighted *b)
{
    return a->value < b->value || (a->value == b->value && a->weight < b->weight);
}

static void sift_down(ml__weighted *heap, size_t root, size_t n)
{
    const ml__weighted moved = heap[root];
    size_t child;

    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && comes_before(&heap[child], &heap[child + 1]))
            child++;
        if (!comes_before(&moved, &heap[child]))
            break;
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = moved;
}

static void heap_sort(ml__weighted *items, size_t n)
{
    for (size_t root = n / 2; root-- > 0;)
        sift_down(items, root, n);
    for (size_t end = n; end-- > 1;) {
        const ml__weighted largest = items[0];
        items[0] = items[end];
        items[end] = largest;
        sift_down(items, 0, end);
    }
}

static void insertion_sort(ml__weighted *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const ml__weighted item = items[i];
        size_t at = i;

        for (; at && comes_before(&item, &items[at - 1]); at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static ml__weighted middle_of(ml__weighted a, ml__weighted b, ml__weighted c)
{
    if (comes_before(&b, &a))
        return comes_before(&c, &b) ? b : comes_before(&c, &a) ? c : a;
    return comes_before(&c, &a) ? a : comes_before(&c, &b) ? c : b;
}

/* Hoare's partition: no item of the first part comes behind one of the rest; both have some. */
static size_t partition(ml__weighted *items, size_t n)
{
    const ml__weighted pivot = middle_of(items[0], items[n / 2], items[n - 1]);
    size_t low = 0, high = n - 1;

    for (;; low++, high--) {
        while (comes_before(&items[low], &pivot))
            low++;
        while (comes_before(&pivot, &items[high]))
            high--;
        if (low >= high)
            return low == high ? low + 1 : low;
        const ml__weighted item = items[low];
        items[low] = items[high];
        items[high] = item;
    }
}

/* Quicksort, until parts are small or it has divided too often for its good. */
static void sort(ml__weighted *items, size_t n, size_t n_divisions)
{
    while (n > SMALL) {
        size_t n_first;

        if (!n_divisions--) {
            heap_sort(items, n);
            return;
        }
        n_first = partition(items, n);
        sort(items + n_first, n - n_first, n_divisions);
        n = n_first;
    }
    insertion_sort(items, n);
}

void ml__weighted_sort(ml__weighted *items, size_t n)
{
    size_t n_divisions = 0;

    for (size_t left = n; left; left /= 2)
        n_divisions += 2;
    sort(items, n, n_divisions);
}

/* ---- many items: by digits of their bits, the lowest first ---- */

enum { DIGIT_BITS = 10, N_DIGITS = 7, N_BUCKETS = 1 << DIGIT_BITS, FEW = 512 };

/* Whole numbers in the order of the values; both zeros are one. */
static uint64_t key_of(double value)
{
    const double number = value + 0.0;
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static size_t digit_of(const ml__weighted *item, bool by_weight, int digit)
{
    return key_of(by_weight ? item->weight : item->value) >> (digit * DIGIT_BITS) & (N_BUCKETS - 1);
}

/* Distribute by one digit, in order; false when all items have the same, and nothing was done. */
static bool distribute(const ml__weighted *from, ml__weighted *to, size_t n, bool by_weight, int digit)
{
    size_t start[N_BUCKETS] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        start[digit_of(&from[i], by_weight, digit)]++;
    if (start[digit_of(&from[0], by_weight, digit)] == n)
        return false;
    for (size_t b = 0; b < N_BUCKETS; b++) {
        const size_t count = start[b];

        start[b] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[start[digit_of(&from[i], by_weight, digit)]++] = from[i];
    return true;
}

void ml__weighted_sort_many(ml__weighted *items, ml__weighted *spare, size_t n)
{
    ml__weighted *from = items, *to = spare;

    if (n < FEW) {
        ml__weighted_sort(items, n);
        return;
    }
    for (int pass = 0; pass < 2 * N_DIGITS; pass++)
        if (distribute(from, to, n, pass < N_DIGITS, pass % N_DIGITS)) {
            ml__weighted *const sorted = to;

            to = from;
            from = sorted;
        }
    if (from != items)
        memcpy(items, from, n * sizeof *items);
}

/* ---- statistics of items in order ---- */

double ml__weighted_median(const ml__weighted *items, size_t n)
{
    double W = 0, below = 0;
    size_t i = 0;

    for (size_t r = 0; r < n; r++)
        W += items[r].weight;
    while (i + 1 < n && below + items[i].weight < W / 2)
        below += items[i++].weight;
    if (i + 1 < n && below + items[i].weight == W / 2)
        return items[i].value / 2 + items[i + 1].value / 2;
    return items[i].value;
}

/* ---- quantiles ---- */

void ml__weighted_place(ml__weighted *items, size_t n)
{
    double position = 0, before = items[0].weight;

    items[0].weight = 0;
    for (size_t k = 1; k < n; k++) {
        const double weight = items[k].weight;

        position += before / 2 + weight / 2;
        before = weight;
        items[k].weight = position;
    }
}

double ml__placed_quantile(const ml__weighted *items, size_t n, double q)
{
    const double at = q * items[n - 1].weight;
    size_t low = 0, high = n;
    double t, difference;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (items[middle].weight <= at)
            low = middle;
        else
            high = middle;
    }
    if (high == n)
        return items[n - 1].value;
    t = (at - items[low].weight) / (items[high].weight - items[low].weight);
    difference = items[high].value - items[low].value;
    if (!isfinite(difference))
        return items[low].value * (1 - t) + items[high].value * t;
    return t < 0.5 ? items[low].value + difference * t : items[high].value - difference * (1 - t);
}

/* ---- columns ---- */

enum { GATHERED_ROWS = 64, GATHERED_VALUES = 1 << 20 /* 8 MiB */ };

typedef struct columns {
    ml_context *context;
    const double *X, *w; /* n x stride, n or NULL */
    size_t n, stride;
    const size_t *numbers; /* of the columns to visit */
    bool is_gathered;      /* X has only these, in this order */
    ml__column_visitor visit;
    void *argument;
} columns;

static ml_status visit_column(void *argument, size_t k)
{
    const columns *c = argument;
    const double *x = c->X + (c->is_gathered ? k : c->numbers[k]);
    ml__weighted *values, *spare;
    size_t n_values = 0, n_bytes;
    ml_status st;

    if (!ml__size_mul(c->n, 2 * sizeof *values, &n_bytes))
        return ml__fail(ML_E_MEMORY, "%zu values to sort exceed the address space", c->n);
    values = ml__alloc(c->context, n_bytes);
    if (!values)
        return ML_E_MEMORY;
    spare = values + c->n;
    for (size_t i = 0; i < c->n; i++)
        if (!isnan(x[i * c->stride]) && ml__weight_at(c->w, i) > 0)
            values[n_values++] = (ml__weighted){x[i * c->stride], ml__weight_at(c->w, i)};
    ml__weighted_sort_many(values, spare, n_values);
    st = c->visit(c->argument, c->numbers[k], values, n_values);
    ml__free(values);
    return st;
}

static ml_status visit_columns(columns *c, size_t n_columns)
{
    const double nanoseconds = 40 * (double)c->n; /* about, from what was measured */

    return ml__parallel_for_cost(c->context, n_columns, nanoseconds, visit_column, c);
}

/* Some columns of the rows of positive weight, and these weights, if there are any. */
static ml_status gather(const columns *c, const ml__rows *rows, const double *w, size_t n_columns, double *X,
                        double *weights)
{
    double *block;
    size_t to = 0;
    ml_status st;

    ML__TRY(ml__rows_room(rows, c->context, GATHERED_ROWS, &block));
    for (size_t i = 0; i < rows->n; i += GATHERED_ROWS) {
        const size_t n = rows->n - i < GATHERED_ROWS ? rows->n - i : GATHERED_ROWS;
        const double *x;

        ML__TRY(ml__rows_take(rows, i, n, block, &x));
        for (size_t r = 0; r < n; r++) {
            if (!(ml__weight_at(w, i + r) > 0))
                continue;
            for (size_t k = 0; k < n_columns; k++)
                X[to * n_columns + k] = x[r * rows->d + c->numbers[k]];
            if (w)
                weights[to] = w[i + r];
            to++;
        }
    }
done:
    ml__free(block);
    return st;
}

/* Columns that are not in memory: as many at a time as there are threads for, or as fit into GATHERED_VALUES. */
static ml_status visit_gathered(ml__arena *arena, columns *c, const ml__rows *rows, const double *w, size_t n_columns)
{
    const size_t n_threads = ml__n_threads(c->context);
    size_t at_once, n_values;
    double *X, *weights = NULL;
    ml_status st = ML_OK;

    c->is_gathered = true;
    for (size_t i = 0; i < rows->n; i++)
        c->n += ml__weight_at(w, i) > 0;
    at_once = GATHERED_VALUES / c->n;
    at_once = at_once < n_threads ? n_threads : at_once;
    at_once = at_once < n_columns ? at_once : n_columns;
    ML__CHECK(ml__size_mul(c->n, at_once, &n_values), ML_E_MEMORY, "%zu columns of %zu values exceed the address space",
              at_once, c->n);
    ML__NEW(arena, X, n_values);
    if (w)
        ML__NEW(arena, weights, c->n);
    c->X = X;
    c->w = weights;
    for (size_t n; n_columns; n_columns -= n, c->numbers += n) {
        n = c->stride = at_once < n_columns ? at_once : n_columns;
        ML__TRY(gather(c, rows, w, n, X, weights));
        ML__TRY(visit_columns(c, n));
    }
done:
    return st;
}

ml_status ml__visit_columns(ml_context *context, const ml__rows *rows, const double *w, const bool *wanted,
                            ml__column_visitor visit, void *argument)
{
    columns c = {.context = context, .visit = visit, .argument = argument};
    ml__arena arena;
    size_t *numbers, n = 0;
    ml_status st = ML_OK;

    ml__arena_init(&arena, context);
    ML__NEW(&arena, numbers, rows->d);
    for (size_t j = 0; j < rows->d; j++)
        if (!wanted || wanted[j])
            numbers[n++] = j;
    c.numbers = numbers;
    if (!rows->X) {
        ML__TRY(n ? visit_gathered(&arena, &c, rows, w, n) : ML_OK);
        goto done;
    }
    c.X = rows->X;
    c.w = w;
    c.n = rows->n;
    c.stride = rows->d;
    ML__TRY(visit_columns(&c, n));
done:
    ml__arena_free(&arena);
    return st;
}
