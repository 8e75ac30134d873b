/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cycles of this core per row of a node, or per byte moved, for the kernels of trees of every table, by rows of the node.
 *
 *     bench-trees [word..]       only the lines that contain each word: a table, an operation
 *
 * Nodes are like those of a bootstrap: weights are 1, now and then 2 or 3, and calls go round different columns, masks and
 * best cuts so far. The clock is measured in the same run. Times are the least of many: neighbours can only make them longer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/tables.h"
#include "machine.h"
#include "numbers.h"
#include "protocol.h"

enum { N_COLUMNS = 16, N_MASKS = 8, N_REPEATS = 40, MAX_CLASSES = 26, BEST_LASTS = 8, LINE = 160 };
static const double SECONDS_PER_REPEAT = 1e-4;
static const size_t ROWS[] = {16, 64, 128, 256, 1000, 10000, 60000};
enum { N_ROWS = sizeof ROWS / sizeof ROWS[0], MOST_ROWS = 60000, STRIDE = MOST_ROWS + 2 * ML__COLUMN_PADDING };

/* One node with N_COLUMNS features, and results. */
typedef struct {
    const ml__tree_kernels *kernels;
    size_t n, n_codes;
    ml__tree_rows rows;
    ml__tree_cut best;
    uint8_t *columns, *weight, *label, *bytes;
    uint64_t *masks, *mask; /* [N_MASKS x MOST_ROWS / 64], [MOST_ROWS / 64] */
    uint32_t *ids, *spare_ids, *class_weight, *class_end;
    float *x, *cuts;
    double *t;
    int32_t *products, *weights;
    int64_t *packed;
} node;

static uint32_t draw(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* ---- nodes ---- */

static void allocate_node(node *a)
{
    a->columns = allocate(N_COLUMNS * STRIDE, 1);
    a->weight = allocate(STRIDE, 1);
    a->label = allocate(STRIDE, 1);
    a->bytes = allocate(STRIDE, 1);
    a->masks = allocate(N_MASKS * (MOST_ROWS / 64 + 1), sizeof *a->masks);
    a->mask = allocate(MOST_ROWS / 64 + 1, sizeof *a->mask);
    a->ids = allocate(MOST_ROWS, sizeof *a->ids);
    a->spare_ids = allocate(STRIDE, sizeof *a->spare_ids);
    a->class_weight = allocate(MAX_CLASSES, sizeof *a->class_weight);
    a->class_end = allocate(MAX_CLASSES, sizeof *a->class_end);
    a->rows.order = allocate(MOST_ROWS + ML__TREE_ORDER_MORE, sizeof *a->rows.order);
    a->rows.class_left = allocate(MAX_CLASSES, sizeof *a->rows.class_left);
    a->x = numbers(MOST_ROWS, false, -1);
    a->cuts = allocate(ML__MAX_CODES, sizeof *a->cuts);
    a->t = numbers(MOST_ROWS, true, -1);
    a->products = allocate(ML__SMALL_TARGETS, sizeof *a->products);
    a->weights = allocate(ML__SMALL_TARGETS, sizeof *a->weights);
    a->packed = allocate(MOST_ROWS, sizeof *a->packed);
}

static void free_node(node *a)
{
    void *const blocks[] = {
        a->columns,   a->weight,       a->label,     a->bytes,      a->masks,           a->mask, a->ids,
        a->spare_ids, a->class_weight, a->class_end, a->rows.order, a->rows.class_left, a->x,    a->cuts,
        a->t,         a->products,     a->weights,   a->packed};

    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        free(blocks[i]);
}

static void describe_classes(node *a, size_t K)
{
    a->rows.label = a->label;
    a->rows.class_weight = a->class_weight;
    a->rows.class_end = a->class_end;
    a->rows.n_classes_here = a->rows.heaviest_class = 0;
    a->rows.sum_squares = 0;
    memset(a->class_weight, 0, K * sizeof *a->class_weight);
    for (size_t i = 0; i < a->n; i++) {
        a->label[i] = (uint8_t)(i * K / a->n);
        a->rows.n_classes_here += i == 0 || a->label[i] != a->label[i - 1];
        a->class_end[a->rows.n_classes_here - 1] = (uint32_t)(i + 1);
        a->class_weight[a->label[i]] += a->weight[i];
    }
    for (size_t k = 0; k < K; k++) {
        const uint32_t weight = a->class_weight[k];

        a->rows.sum_squares += (uint64_t)weight * weight;
        a->rows.heaviest_class = weight > a->rows.heaviest_class ? weight : a->rows.heaviest_class;
    }
}

static void describe_targets(node *a)
{
    const bool small = a->n <= ML__SMALL_TARGETS;

    a->rows.products = small ? a->products : NULL;
    a->rows.weights = small ? a->weights : NULL;
    a->rows.packed = small ? NULL : a->packed;
    for (a->rows.shift = 0; a->rows.W >> a->rows.shift;)
        a->rows.shift++;
    a->rows.S = small ? a->kernels->tree_products(a->n, a->ids, a->t, a->weight, 0, 1 << 16, a->products, a->weights)
                      : a->kernels->tree_pack(a->n, a->ids, a->t, a->weight, 0, 1 << 24, a->rows.shift, a->packed);
}

/* Codes follow the order of the rows in part, as they follow classes and targets in data worth learning from. */
static void fill_node(node *a, size_t K)
{
    a->rows.n = a->n;
    a->rows.n_first = a->n / 2;
    a->rows.weight = a->weight;
    a->rows.W = a->rows.W_first = 0;
    for (size_t i = 0; i < a->n; i++) {
        const uint32_t w = draw() % 16;

        a->weight[i] = (uint8_t)(1 + (w < 4) + (w == 0));
        a->rows.W += a->weight[i];
        a->rows.W_first += i < a->rows.n_first ? a->weight[i] : 0;
        a->ids[i] = (uint32_t)i;
        for (size_t j = 0; j < N_COLUMNS; j++)
            a->columns[j * STRIDE + i] =
                (uint8_t)(draw() % 4 ? draw() % a->n_codes : (i + draw() % a->n) / 2 * a->n_codes / a->n);
    }
    for (size_t i = 0; i < N_MASKS * (MOST_ROWS / 64 + 1); i++)
        a->masks[i] = (uint64_t)draw() << 40 ^ (uint64_t)draw() << 20 ^ draw();
    for (size_t c = 0; c < ML__MAX_CODES; c++)
        a->cuts[c] = c + 1 < a->n_codes ? (float)(c + 1) * 2 / (float)a->n_codes - 1 : (float)INFINITY;
    if (K > 2)
        describe_classes(a, K);
    else if (K == 0)
        describe_targets(a);
}

/* ---- operations: call number `call` ---- */

static uint8_t *column(const node *a, size_t call)
{
    return a->columns + call % N_COLUMNS * STRIDE;
}

/* The first bits of it, 0 from n on. */
static const uint64_t *mask(node *a, size_t call)
{
    uint64_t *m = a->masks + call % N_MASKS * (MOST_ROWS / 64 + 1);

    if (a->n % 64)
        m[a->n / 64] &= ((uint64_t)1 << a->n % 64) - 1;
    return m;
}

static ml__tree_cut *best(node *a, size_t call)
{
    if (call % BEST_LASTS == 0)
        a->best.gain = -1;
    return &a->best;
}

static void encode(node *a, size_t call)
{
    (void)call;
    a->kernels->tree_encode(a->n, a->x, a->cuts, a->bytes);
}

static void compare(node *a, size_t call)
{
    (void)a->kernels->tree_compare(a->n, column(a, call), (uint32_t)(a->n_codes / 2), a->mask);
}

static void next(node *a, size_t call)
{
    (void)a->kernels->tree_next(a->n, column(a, call), (uint32_t)(a->n_codes / 2));
}

static void choose(node *a, size_t call)
{
    (void)a->kernels->tree_choose(a->n, column(a, call), mask(a, call), a->bytes);
}

static void sum(node *a, size_t call)
{
    (void)call;
    (void)a->kernels->tree_sum(a->n, a->weight);
}

static void move(node *a, size_t call)
{
    a->kernels->tree_move(a->n, N_COLUMNS, a->columns, STRIDE, mask(a, call), a->bytes);
}

static void move_ids(node *a, size_t call)
{
    a->kernels->tree_move_ids(a->n, a->ids, mask(a, call), a->spare_ids);
}

static void targets(node *a, size_t call)
{
    (void)call;
    describe_targets(a);
}

enum { N_SEARCHED = 4 }; /* features at a time */
typedef bool search_of(const ml__tree_rows *, size_t, const uint8_t *const *, const uint32_t *, ml__tree_cut *);

static void cut(node *a, size_t call, search_of *search)
{
    const uint8_t *code[N_SEARCHED];
    uint32_t n_codes[N_SEARCHED];

    for (size_t f = 0; f < N_SEARCHED; f++) {
        code[f] = column(a, call + f);
        n_codes[f] = (uint32_t)a->n_codes;
    }
    (void)search(&a->rows, N_SEARCHED, code, n_codes, best(a, call));
}

static void cut_two(node *a, size_t call)
{
    cut(a, call, a->kernels->tree_cut_two);
}

static void cut_classes(node *a, size_t call)
{
    cut(a, call, a->kernels->tree_cut_classes);
}

static void cut_targets(node *a, size_t call)
{
    cut(a, call, a->kernels->tree_cut_targets);
}

static const struct {
    const char *name;
    void (*call)(node *a, size_t call);
    size_t n_codes, K, bytes_per_row; /* K = 0: targets */
} JOBS[] = {
    {"encode, 16 codes", encode, 16, 2, 1},
    {"encode, 255 codes", encode, 255, 2, 1},
    {"compare", compare, 255, 2, 1},
    {"next", next, 255, 2, 1},
    {"choose", choose, 255, 2, 1},
    {"sum", sum, 255, 2, 1},
    {"move 16 columns, a byte", move, 255, 2, N_COLUMNS},
    {"move_ids, a byte", move_ids, 255, 2, 4},
    {"products to 48, then pack", targets, 255, 0, 1},
    {"cut_two, 16 codes", cut_two, 16, 2, N_SEARCHED},
    {"cut_two, 255 codes", cut_two, 255, 2, N_SEARCHED},
    {"cut_classes, 3, 16 codes", cut_classes, 16, 3, N_SEARCHED},
    {"cut_classes, 3, 255 codes", cut_classes, 255, 3, N_SEARCHED},
    {"cut_classes, 26, 16 codes", cut_classes, 16, 26, N_SEARCHED},
    {"cut_classes, 26, 255 codes", cut_classes, 255, 26, N_SEARCHED},
    {"cut_targets, 16 codes", cut_targets, 16, 0, N_SEARCHED},
    {"cut_targets, 255 codes", cut_targets, 255, 0, N_SEARCHED},
};
enum { N_JOBS = sizeof JOBS / sizeof JOBS[0] };

/* ---- times ---- */

static double seconds_of_calls(node *a, size_t job, size_t n_calls)
{
    const double start = seconds();

    for (size_t i = 0; i < n_calls; i++)
        JOBS[job].call(a, i);
    return seconds() - start;
}

static double seconds_of_one(node *a, size_t job)
{
    const double first = seconds_of_calls(a, job, N_COLUMNS) / N_COLUMNS;
    const size_t n_calls = N_COLUMNS * (1 + (size_t)(SECONDS_PER_REPEAT / (first + 1e-9) / N_COLUMNS));
    double least = first;

    for (int r = 0; r < N_REPEATS; r++) {
        const double time = seconds_of_calls(a, job, n_calls) / (double)n_calls;
        least = time < least ? time : least;
    }
    return least;
}

/* ---- listing ---- */

/* A table with the kernels of trees of the one before. */
static bool is_repeated(const ml__kernels *const *tables, size_t t)
{
    return t && tables[t]->tree.tree_move == tables[t - 1]->tree.tree_move;
}

int main(int argc, char **argv)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    const double hertz = machine_measure(1).clock;
    node a = {0};

    (void)argc;
    allocate_node(&a);
    printf("cycles at %.2f GHz a row, of n =              ", 1e-9 * hertz);
    for (size_t i = 0; i < N_ROWS; i++)
        printf(" %7zu", ROWS[i]);
    putchar('\n');
    for (size_t j = 0; j < N_JOBS; j++)
        for (size_t t = 0; t < n_tables; t++) {
            char line[LINE];

            snprintf(line, sizeof line, "%-28s %-12s", JOBS[j].name, tables[t]->name);
            if (!has_words(line, argv + 1) || is_repeated(tables, t))
                continue;
            printf("%-46s", line);
            for (size_t i = 0; i < N_ROWS; i++) {
                a.kernels = &tables[t]->tree;
                a.n = ROWS[i];
                a.n_codes = JOBS[j].n_codes;
                fill_node(&a, JOBS[j].K);
                printf(" %7.2f", hertz * seconds_of_one(&a, j) / (double)(a.n * JOBS[j].bytes_per_row));
                fflush(stdout);
            }
            putchar('\n');
        }
    free_node(&a);
    return 0;
}
