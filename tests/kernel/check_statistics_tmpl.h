/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of nearest and syrk_weighted: a part of check_ops_tmpl.h, with the same definitions. */

/* ---- nearest columns ---- */

typedef struct {
    NAME(matrix) A, B, half;
    size_t m, n, k;
} NAME(points);

/* `ties`: every third column is a copy of the one before. */
static NAME(points)
    NAME(make_points)(size_t m, size_t n, size_t k, size_t layout, fill what, bool ties, uint64_t *state)
{
    NAME(points) p = {.m = m, .n = n, .k = k};

    p.A = NAME(make_matrix)(m, k, layout, false);
    p.B = NAME(make_matrix)(k, n, layout, false);
    p.half = NAME(make_matrix)(1, n, layout, false);
    NAME(fill_matrix)(&p.A, what, state);
    NAME(fill_matrix)(&p.B, what, state);
    NAME(fill_matrix)(&p.half, what, state);
    for (size_t j = 2; j < n && ties; j += 3) {
        p.half.at[j] = p.half.at[j - 1];
        for (size_t q = 0; q < k; q++)
            p.B.at[q * p.B.ld + j] = p.B.at[q * p.B.ld + j - 1];
    }
    NAME(remember)(&p.A);
    NAME(remember)(&p.B);
    NAME(remember)(&p.half);
    return p;
}

static void NAME(free_points)(NAME(points) * p)
{
    NAME(free_matrix)(&p->A);
    NAME(free_matrix)(&p->B);
    NAME(free_matrix)(&p->half);
}

/* What nearest gives, one more element behind each. */
typedef struct {
    uint32_t *index;
    R *value, *second;
} NAME(found);

static NAME(found) NAME(find_nearest)(const TABLE *t, const NAME(points) * p)
{
    NAME(found)
    f = {check_alloc(p->m + 1, sizeof(uint32_t)), check_alloc(p->m + 1, sizeof(R)), check_alloc(p->m + 1, sizeof(R))};

    f.index[p->m] = 77;
    f.value[p->m] = f.second[p->m] = 77;
    t->nearest(p->m, p->n, p->k, p->A.at, p->A.ld, p->B.at, p->B.ld, p->half.at, f.index, f.value, f.second);
    check_that(f.index[p->m] == 77 && f.value[p->m] == 77 && f.second[p->m] == 77,
               "a result was written behind the end");
    return f;
}

static void NAME(free_found)(NAME(found) * f)
{
    free(f->index);
    free(f->value);
    free(f->second);
}

/* half_j - a_i'b_j, and the largest error of any order of summation. */
static long double NAME(exact_value)(const NAME(points) * p, size_t i, size_t j, long double *bound)
{
    long double value = p->half.at[j], size = fabsl(value);

    for (size_t q = 0; q < p->k; q++) {
        const long double term = (long double)p->A.at[i * p->A.ld + q] * p->B.at[q * p->B.ld + j];
        value -= term;
        size += fabsl(term);
    }
    *bound = (p->k + 2) * (EPS * size + SMALLEST);
    return value;
}

/* Row i: the index has the least value up to rounding, and the lowest one of equals when there is none (`exact`). */
static void NAME(check_found)(const NAME(points) * p, const NAME(found) * f, size_t i, bool exact)
{
    long double least = INFINITY, second = INFINITY, most = 0, bound;
    size_t best = 0;

    check_that(f->index[i] < p->n, "row %zu: index %u", i, f->index[i]);
    if (f->index[i] >= p->n)
        return;
    for (size_t j = 0; j < p->n; j++) {
        const long double value = NAME(exact_value)(p, i, j, &bound);

        most = fmaxl(most, exact ? 0 : bound);
        if (value < least) {
            least = value;
            best = j;
        }
        if (j != f->index[i])
            second = fminl(second, value);
    }
    check_that(!exact || best == f->index[i], "row %zu: index %u, not %zu", i, f->index[i], best);
    check_that(NAME(close)(f->value[i], NAME(exact_value)(p, i, f->index[i], &bound), most), "row %zu: value %g", i,
               (double)f->value[i]);
    check_that(NAME(close)(f->value[i], least, most), "row %zu: value %g, the least is %Lg", i, (double)f->value[i],
               least);
    check_that(NAME(close)(f->second[i], second, most), "row %zu: second %g, not %Lg", i, (double)f->second[i], second);
}

/* Each row by itself, and without the second value, is what it is among others. */
static void NAME(check_alone)(const TABLE *t, const NAME(points) * p, const NAME(found) * f)
{
    for (size_t i = 0; i < p->m; i++) {
        uint32_t index;
        R value;

        t->nearest(1, p->n, p->k, p->A.at + i * p->A.ld, p->A.ld, p->B.at, p->B.ld, p->half.at, &index, &value, NULL);
        check_that(index == f->index[i] && NAME(same_bits)(value, f->value[i]), "row %zu alone differs", i);
    }
}

static void NAME(check_nearest_shape)(const ml__kernels *table, size_t m, size_t n, size_t k, fill what,
                                      uint64_t *state)
{
    const size_t layout = check_random(state) % N_LAYOUTS;
    const bool ties = check_random(state) % 2;
    NAME(points) p = NAME(make_points)(m, n, k, layout, what, ties, state);

    check_begin("%s " PRECISION " nearest %zu x %zu x %zu, %s, %s%s", table->name, m, n, k, LAYOUTS[layout].name,
                FILL_NAMES[what], ties ? ", ties" : "");
    NAME(found) f = NAME(find_nearest)(&table->MEMBER, &p);
    for (size_t i = 0; i < m; i++)
        NAME(check_found)(&p, &f, i, what == INTEGER);
    NAME(check_alone)(&table->MEMBER, &p, &f);
    NAME(check_untouched)(&p.A, "A", false, true);
    NAME(check_untouched)(&p.B, "B", false, true);
    check_digest(f.index, m * sizeof *f.index);
    check_digest(f.value, m * sizeof *f.value);
    check_end();
    NAME(free_found)(&f);
    NAME(free_points)(&p);
}

/* Columns that are NaN, +inf or -inf in one of their rows or in half, and rows that are NaN. */
static void NAME(check_nearest_values)(const ml__kernels *table, size_t m, size_t n, size_t k, uint64_t *state)
{
    NAME(points) p = NAME(make_points)(m, n, k, 1, INTEGER, false, state);

    check_begin("%s " PRECISION " nearest %zu x %zu x %zu with NaN and inf", table->name, m, n, k);
    for (size_t j = 0; j < n; j++)
        if (j % 4 < 2)
            p.half.at[j] = j % 4 ? NAN : INFINITY;
    p.B.at[check_random(state) % k * p.B.ld + n - 1] = NAN;
    for (size_t i = 0; i < m; i += 3)
        p.A.at[i * p.A.ld + check_random(state) % k] = NAN;
    NAME(found) f = NAME(find_nearest)(&table->MEMBER, &p);
    for (size_t i = 0; i < m; i++) {
        if (i % 3 == 0)
            check_that(f.index[i] == 0 && isnan(f.value[i]) && f.second[i] == (R)INFINITY, "row %zu of NaN: %u, %g", i,
                       f.index[i], (double)f.value[i]);
        else
            NAME(check_found)(&p, &f, i, true);
    }
    NAME(free_found)(&f);
    p.half.at[n / 2] = -INFINITY;
    f = NAME(find_nearest)(&table->MEMBER, &p);
    for (size_t i = 1; i < m; i += 3)
        check_that(f.index[i] == n / 2 && f.value[i] == -(R)INFINITY, "row %zu: -inf does not win", i);
    check_end();
    NAME(free_found)(&f);
    NAME(free_points)(&p);
}

/* Without columns there is no least one; without terms it is that of half. */
static void NAME(check_nearest_of_nothing)(const ml__kernels *table)
{
    const R half[] = {3, 1, 1, 2};
    uint32_t index[2];
    R value[2], second[2];

    check_begin("%s " PRECISION " nearest of nothing", table->name);
    table->MEMBER.nearest(0, 4, 3, NULL, 3, NULL, 4, half, NULL, NULL, NULL);
    table->MEMBER.nearest(2, 0, 0, half, 0, half, 0, half, index, value, second);
    check_that(index[1] == 0 && isnan(value[1]) && second[1] == (R)INFINITY, "without columns: %u", index[1]);
    table->MEMBER.nearest(2, 4, 0, half, 0, half, 4, half, index, value, second);
    check_that(index[1] == 1 && value[1] == 1 && second[1] == 1, "without terms: %u", index[1]);
    check_end();
}

static void NAME(check_nearest)(const ml__kernels *table)
{
    static const size_t ROWS[] = {1, 3, 15, 16, 17, 24, 47, 48, 49, 100}, TERMS[] = {1, 2, 5, 16, 31, 32, 33, 70, 200};
    static const size_t COLUMNS[] = {1, 2, 3, 7, 8, 9, 13, 16, 47, 48, 49, 64, 100};
    static const fill FILLS[] = {UNIT, INTEGER, MIXED};
    uint64_t state = 17;

    NAME(check_nearest_of_nothing)(table);
    for (size_t a = 0; a < sizeof ROWS / sizeof ROWS[0]; a++)
        for (size_t b = 0; b < sizeof COLUMNS / sizeof COLUMNS[0]; b++)
            for (size_t c = 0; c < sizeof TERMS / sizeof TERMS[0]; c++)
                NAME(check_nearest_shape)
    (table, ROWS[a], COLUMNS[b], TERMS[c], FILLS[check_random(&state) % 3], &state);
    for (size_t a = 0; a < sizeof ROWS / sizeof ROWS[0]; a++)
        for (size_t b = 3; b < sizeof COLUMNS / sizeof COLUMNS[0]; b++)
            NAME(check_nearest_values)(table, ROWS[a], COLUMNS[b], TERMS[(a + b) % 9], &state);
}

/* ---- weighted sums of products ---- */

/* C[n x n] with rows `ld` apart, some of its own values in the lower triangle and marks elsewhere. */
static double *NAME(make_sums)(size_t n, size_t ld, fill what, uint64_t *state)
{
    double *C = check_alloc(n * ld + 1, sizeof(double));

    for (size_t i = 0; i <= n * ld; i++)
        C[i] = -123;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            C[i * ld + j] = (double)NAME(value)(what, state);
    return C;
}

static void NAME(check_sums)(const NAME(matrix) * A, const R *w, const double *before, const double *C, size_t ld,
                             bool exact)
{
    const size_t n = A->columns, k = A->rows;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < ld; j++) {
            long double want = before[i * ld + j], size = fabsl(want);

            for (size_t p = 0; p < k && j <= i; p++) {
                const long double term = (w ? w[p] : 1.0L) * A->at[p * A->ld + i] * A->at[p * A->ld + j];
                want += term;
                size += fabsl(term);
            }
            const long double bound = exact || j > i ? 0 : (k + 3) * (DBL_EPSILON * size + DBL_TRUE_MIN);
            check_that(fabsl(C[i * ld + j] - want) <= bound, "element (%zu, %zu) is %.17g, not %.17Lg", i, j,
                       C[i * ld + j], want);
            if (size > 0 && j <= i)
                check_measure(PRECISION " syrk_weighted: error / (k eps sum|w a b|)",
                              (double)(fabsl(C[i * ld + j] - want) / ((k + 1) * DBL_EPSILON * size)));
        }
    check_that(C[n * ld] == -123, "C was written behind its end");
}

static void NAME(check_weighted_shape)(const ml__kernels *table, size_t n, size_t k, bool weighted, fill what,
                                       uint64_t *state)
{
    const size_t layout = check_random(state) % N_LAYOUTS, ld = n + check_random(state) % 3;
    NAME(matrix) A = NAME(make_matrix)(k, n, layout, false), w = NAME(make_matrix)(1, k, layout, false);
    NAME(matrix) moved = NAME(make_matrix)(k, n, (layout + 1) % N_LAYOUTS, false);
    double *before = NAME(make_sums)(n, ld, what, state), *C = check_alloc(n * ld + 1, sizeof *C);
    double *again = check_alloc(n * ld + 1, sizeof *again);
    const R *weights = weighted ? w.at : NULL;

    check_begin("%s " PRECISION " syrk_weighted %zu x %zu, %s, %s%s", table->name, n, k, LAYOUTS[layout].name,
                FILL_NAMES[what], weighted ? "" : ", no weights");
    NAME(fill_matrix)(&A, what, state);
    NAME(fill_matrix)(&w, what, state);
    for (size_t p = 0; p < k && n > 0; p++)
        memcpy(moved.at + p * moved.ld, A.at + p * A.ld, n * sizeof(R));
    memcpy(C, before, (n * ld + 1) * sizeof *C);
    memcpy(again, before, (n * ld + 1) * sizeof *C);
    table->MEMBER.syrk_weighted(n, k, A.at, A.ld, weights, C, ld);
    NAME(check_sums)(&A, weights, before, C, ld, what == INTEGER);
    table->MEMBER.syrk_weighted(n, k, moved.at, moved.ld, weights, again, ld);
    check_that(memcmp(C, again, (n * ld + 1) * sizeof *C) == 0, "depends on where A lies");
    check_digest(C, n * ld * sizeof *C);
    if (n > 0 && k > 0) { /* a NaN must show */
        const size_t p = check_random(state) % k, j = check_random(state) % n;
        A.at[p * A.ld + j] = NAN;
        table->MEMBER.syrk_weighted(n, k, A.at, A.ld, weights, C, ld);
        check_that(isnan(C[j * ld]) && isnan(C[(n - 1) * ld + j]), "NaN in column %zu is lost", j);
    }
    check_end();
    NAME(free_matrix)(&A);
    NAME(free_matrix)(&w);
    NAME(free_matrix)(&moved);
    free(before);
    free(C);
    free(again);
}

static void NAME(check_syrk_weighted)(const ml__kernels *table)
{
    static const size_t COLUMNS[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 28, 33, 64, 70};
    static const size_t ROWS[] = {0, 1, 2, 3, 5, 16, 63, 64, 65, 128, 200, 1000};
    static const fill FILLS[] = {UNIT, INTEGER, MIXED, MANY_ZEROS};
    uint64_t state = 19;

    for (size_t a = 0; a < sizeof COLUMNS / sizeof COLUMNS[0]; a++)
        for (size_t b = 0; b < sizeof ROWS / sizeof ROWS[0]; b++)
            for (size_t weighted = 0; weighted < 2; weighted++)
                NAME(check_weighted_shape)
    (table, COLUMNS[a], ROWS[b], weighted, FILLS[check_random(&state) % 4], &state);
}
