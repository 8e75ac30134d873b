/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of one table in one precision. No include guard: check_ops.c includes this twice with
 *     R                  the element type
 *     NAME(f)            the name of f in this precision
 *     TABLE, MEMBER      the table's type and its member in ml__kernels
 *     PRECISION          for messages
 *     FMA                fused multiply-add of R
 *     EPS, LARGEST, SMALLEST, MIN_EXP, MAX_EXP    of R
 *     EXP_RANGE          exp(+-EXP_RANGE) is inf or 0
 *
 * CHECKS, at the end, has one row per operation in the order of the table.
 */

/* ---- matrices with guards ---- */

/* Rows of `columns` elements, ld apart, from `at`. Everything else in `all` is guard or padding, NaN from the start: a read
 * shows in the result, a write against `copy`. Inputs end with their last element, for the address sanitizer. */
typedef struct {
    size_t rows, columns, ld, n_all;
    R *all, *copy, *at;
} NAME(matrix);

static NAME(matrix) NAME(make_matrix)(size_t rows, size_t columns, size_t layout, bool output)
{
    NAME(matrix) M = {.rows = rows, .columns = columns, .ld = columns + LAYOUTS[layout].padding};
    const size_t front = GUARD + LAYOUTS[layout].offset;

    M.n_all = front + (rows ? (rows - 1) * M.ld + columns : 0) + (output ? GUARD : 0);
    M.all = check_alloc(M.n_all, sizeof(R));
    M.copy = check_alloc(M.n_all, sizeof(R));
    M.at = M.all + front;
    for (size_t i = 0; i < M.n_all; i++)
        M.all[i] = NAN;
    return M;
}

static void NAME(free_matrix)(NAME(matrix) * M)
{
    free(M->all);
    free(M->copy);
}

static void NAME(remember)(NAME(matrix) * M)
{
    memcpy(M->copy, M->all, M->n_all * sizeof(R));
}

static R NAME(value)(fill what, uint64_t *state)
{
    const double u = check_uniform(state);

    switch (what) {
    case INTEGER:
        return (R)floor(u * 5);
    case MIXED:
        return (R)ldexp(u, (int)(check_random(state) % 41) - 20);
    case HUGE_VALUES:
        return (R)ldexp(u, MAX_EXP / 2 - 12);
    case TINY_VALUES:
        return (R)ldexp(u, MIN_EXP / 2 - 4);
    case MANY_ZEROS:
        return check_random(state) % 3 ? 0 : (R)u;
    default:
        return (R)u;
    }
}

static void NAME(fill_matrix)(NAME(matrix) * M, fill what, uint64_t *state)
{
    for (size_t i = 0; i < M->rows; i++)
        for (size_t j = 0; j < M->columns; j++)
            M->at[i * M->ld + j] = NAME(value)(what, state);
}

static void NAME(poison_matrix)(NAME(matrix) * M, R with, uint64_t *state)
{
    if (M->rows && M->columns)
        M->at[check_random(state) % M->rows * M->ld + check_random(state) % M->columns] = with;
}

static void NAME(poison_factors)(NAME(matrix) * A, NAME(matrix) * B, poison which, uint64_t *state)
{
    if (which == NAN_IN_A || which == INF_IN_A)
        NAME(poison_matrix)(A, which == NAN_IN_A ? NAN : INFINITY, state);
    if (which == NAN_IN_B || which == INF_IN_B)
        NAME(poison_matrix)(B, which == NAN_IN_B ? NAN : -INFINITY, state);
}

static bool NAME(same_bits)(R a, R b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Nothing changed but the matrix's own elements; of those, only the lower triangle for `lower`, none for `input`. */
static void NAME(check_untouched)(const NAME(matrix) * M, const char *name, bool lower, bool input)
{
    const size_t front = (size_t)(M->at - M->all);

    for (size_t q = 0; q < M->n_all; q++) {
        const size_t i = q < front || M->ld == 0 ? M->rows : (q - front) / M->ld;
        const size_t j = q < front || M->ld == 0 ? 0 : (q - front) % M->ld;

        if (!input && i < M->rows && j < (lower ? i + 1 : M->columns))
            continue;
        check_that(NAME(same_bits)(M->all[q], M->copy[q]), "%s was written %td elements from its start", name,
                   (ptrdiff_t)q - (ptrdiff_t)front);
    }
}

static void NAME(digest_matrix)(const NAME(matrix) * M)
{
    check_digest(M->all, M->n_all * sizeof(R));
}

/* ---- one value against its reference ---- */

/* NaN for NaN, inf for the same inf (also where R rounds the reference to it), else within the bound. */
static bool NAME(close)(R got, long double want, long double bound)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf((R)want) || isinf(got))
        return got == (R)want;
    return fabsl(got - want) <= bound;
}

/* The distance in units in the last place of R at the reference. */
static long double NAME(ulps)(R got, long double want)
{
    int exponent;

    if (NAME(close)(got, want, 0))
        return 0;
    if (isnan(got) || isinf(got) || isnan(want) || isinf(want))
        return INFINITY;
    frexpl(want, &exponent);
    return fabsl(got - want) / fmaxl(ldexpl(EPS, exponent - 1), SMALLEST);
}

/* ---- products ---- */

/* Term q of element (i, j) is a[i a_row + q a_term] b[q b_term + j b_column]. */
typedef struct {
    NAME(matrix) A, B, C;
    const R *a, *b;
    size_t a_row, a_term, b_term, b_column;
} NAME(operands);

static NAME(operands) NAME(make_operands)(const product_case *p, uint64_t *state)
{
    NAME(operands) o;
    const bool a_by_terms = p->op == TN || p->op == SYRK;

    o.A = NAME(make_matrix)(a_by_terms ? p->k : p->m, a_by_terms ? p->m : p->k, p->layout, false);
    o.B = NAME(make_matrix)(p->op == NT ? p->n : p->k, p->op == NT ? p->k : p->n, p->layout, false);
    o.C = NAME(make_matrix)(p->m, p->n, p->layout, true);
    o.a = o.A.at;
    o.a_row = a_by_terms ? 1 : o.A.ld;
    o.a_term = a_by_terms ? o.A.ld : 1;
    o.b = p->op == SYRK ? o.A.at : o.B.at;
    o.b_term = p->op == NT ? 1 : p->op == SYRK ? o.A.ld : o.B.ld;
    o.b_column = p->op == NT ? o.B.ld : 1;
    NAME(fill_matrix)(&o.A, p->fill, state);
    NAME(fill_matrix)(&o.B, p->fill, state);
    if (p->beta != 0) /* otherwise C stays NaN */
        NAME(fill_matrix)(&o.C, p->fill, state);
    NAME(poison_factors)(&o.A, &o.B, p->poison, state);
    NAME(remember)(&o.A);
    NAME(remember)(&o.B);
    NAME(remember)(&o.C);
    return o;
}

static void NAME(free_operands)(NAME(operands) * o)
{
    NAME(free_matrix)(&o->A);
    NAME(free_matrix)(&o->B);
    NAME(free_matrix)(&o->C);
}

static void NAME(call_product)(const TABLE *t, const product_case *p, const NAME(operands) * o, R *C)
{
    const R beta = (R)p->beta;

    switch (p->op) {
    case NN:
        t->gemm_nn(p->m, p->n, p->k, o->A.at, o->A.ld, o->B.at, o->B.ld, beta, C, o->C.ld);
        break;
    case NT:
        t->gemm_nt(p->m, p->n, p->k, o->A.at, o->A.ld, o->B.at, o->B.ld, beta, C, o->C.ld);
        break;
    case TN:
        t->gemm_tn(p->m, p->n, p->k, o->A.at, o->A.ld, o->B.at, o->B.ld, beta, C, o->C.ld);
        break;
    case SYRK:
        t->syrk_tn(p->n, p->k, o->A.at, o->A.ld, beta, C, o->C.ld);
        break;
    }
}

/* Every sum order has |error| <= γ_{k+1} Σ|a b|, and half a smallest number per product that underflows. */
static void NAME(check_element)(const product_case *p, const NAME(operands) * o, size_t i, size_t j)
{
    const size_t at = (size_t)(o->C.at - o->C.all) + i * o->C.ld + j;
    const R got = o->C.all[at];
    const long double start = p->beta == 0 ? 0 : (R)p->beta * (long double)o->C.copy[at];
    const R *a = o->a + i * o->a_row, *b = o->b + j * o->b_column;
    long double want = start, size = fabsl(start), bound;

    for (size_t q = 0; q < p->k; q++) {
        const long double term = (long double)a[q * o->a_term] * b[q * o->b_term];
        want += term;
        size += fabsl(term);
    }
    bound = p->fill == INTEGER ? 0 : (p->k + 2) * (EPS * size + SMALLEST);
    check_that(NAME(close)(got, want, bound), "element (%zu, %zu) is %g, not %Lg +- %Lg", i, j, (double)got, want,
               bound);
    if (isfinite(want) && size > 0 && p->fill == UNIT)
        check_measure(PRECISION " products: error / (k eps sum|ab|)",
                      (double)(fabsl(got - want) / ((p->k + 1) * EPS * size)));
}

static void NAME(begin_product)(const char *table, const product_case *p, const char *what)
{
    check_begin("%s " PRECISION " %s%s %zu x %zu x %zu, beta %g, %s, %s%s", table, PRODUCT_NAMES[p->op], what, p->m,
                p->n, p->k, p->beta, LAYOUTS[p->layout].name, FILL_NAMES[p->fill], POISON_NAMES[p->poison]);
}

static void NAME(check_product)(const ml__kernels *table, const product_case *p, uint64_t *state)
{
    NAME(operands) o = NAME(make_operands)(p, state);

    NAME(begin_product)(table->name, p, "");
    NAME(call_product)(&table->MEMBER, p, &o, o.C.at);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < (p->op == SYRK ? i + 1 : p->n); j++)
            NAME(check_element)(p, &o, i, j);
    NAME(check_untouched)(&o.A, "A", false, true);
    NAME(check_untouched)(&o.B, "B", false, true);
    NAME(check_untouched)(&o.C, "C", p->op == SYRK, false);
    NAME(digest_matrix)(&o.C);
    check_end();
    NAME(free_operands)(&o);
}

/* Element (i, j) as the chain of additions that the table promises. */
static R NAME(chain)(ml__chain chain, const product_case *p, const NAME(operands) * o, size_t i, size_t j)
{
    const R before = o->C.copy[(size_t)(o->C.at - o->C.all) + i * o->C.ld + j];
    const R *a = o->a + i * o->a_row, *b = o->b + j * o->b_column;
    volatile R product, sum = p->beta == 0 ? 0 : (R)p->beta * before;

    for (size_t q = 0; q < p->k; q++) {
        if (chain == ML__CHAIN_FUSED) {
            sum = FMA(a[q * o->a_term], b[q * o->b_term], sum);
        } else {
            product = a[q * o->a_term] * b[q * o->b_term];
            sum += product;
        }
    }
    return sum;
}

/* Each element is that chain to the last bit, and a row alone is what it is among others, in any order. */
static void NAME(check_chains)(const ml__kernels *table, const product_case *p, uint64_t *state)
{
    NAME(operands) o = NAME(make_operands)(p, state), row;
    product_case alone = *p;

    NAME(begin_product)(table->name, p, " as chains");
    NAME(call_product)(&table->MEMBER, p, &o, o.C.at);
    for (size_t i = 0; i < p->m && !has_own_order(table, p); i++)
        for (size_t j = 0; j < (p->op == SYRK ? i + 1 : p->n); j++)
            check_that(NAME(same_bits)(NAME(chain)(table->chain, p, &o, i, j), o.C.at[i * o.C.ld + j]),
                       "element (%zu, %zu) is not a chain", i, j);
    for (size_t i = 0; i < p->m && p->op != SYRK; i++) {
        row = o;
        row.A.at = o.A.at + i * o.a_row;
        row.C.at = o.C.copy + (o.C.at - o.C.all) + i * o.C.ld;
        alone.m = 1;
        NAME(call_product)(&table->MEMBER, &alone, &row, row.C.at);
        check_that(memcmp(row.C.at, o.C.at + i * o.C.ld, p->n * sizeof(R)) == 0, "row %zu alone differs", i);
    }
    check_end();
    NAME(free_operands)(&o);
}

/* Layouts, fills and poisons are drawn anew for each shape and beta. */
static void NAME(check_shape)(const ml__kernels *table, product_op op, size_t m, size_t n, size_t k, double beta,
                              uint64_t *state)
{
    const uint64_t z = check_random(state);
    const size_t n_fills = m * n * k > 40000 ? TINY_VALUES : N_FILLS; /* subnormal results are slow */
    product_case p = {op, m, n, k, beta, z % N_LAYOUTS, z / 8 % n_fills, CLEAN};

    NAME(check_product)(table, &p, state);
    if (table->chain != ML__CHAIN_NONE)
        NAME(check_chains)(table, &p, state);
    p.fill = z & 64 ? MANY_ZEROS : UNIT;
    p.poison = 1 + z / 128 % (op == SYRK ? INF_IN_A : N_POISONS - 1);
    NAME(check_product)(table, &p, state);
}

/* Sizes of 0 need no memory. */
static void NAME(check_no_memory)(const ml__kernels *table, product_op op)
{
    const NAME(operands) nothing = {0};
    const product_case shapes[] = {{.op = op}, {.op = op, .k = 5}, {.op = op, .m = 5}, {.op = op, .n = 5}};

    check_begin("%s " PRECISION " %s on NULL", table->name, PRODUCT_NAMES[op]);
    for (size_t s = 0; s < (op == SYRK ? 2 : 4); s++)
        NAME(call_product)(&table->MEMBER, &shapes[s], &nothing, NULL);
    check_end();
}

static void NAME(check_products)(const ml__kernels *table, product_op op)
{
    uint64_t state = op;
    size_t turn = 0;

    NAME(check_no_memory)(table, op);
    for (size_t a = 0; a < N_SMALL; a++)
        for (size_t b = 0; b < N_SMALL; b++)
            for (size_t c = 0; c < N_SMALL; c++)
                for (size_t beta = 0; beta < N_BETAS && (op != SYRK || a == b); beta++)
                    NAME(check_shape)(table, op, SMALL[a], SMALL[b], SMALL[c], BETAS[beta], &state);
    for (size_t a = 0; a < N_LARGE; a++)
        for (size_t b = 0; b < N_LARGE; b++)
            for (size_t c = 0; c < N_LARGE && (op != SYRK || a == b); c++)
                NAME(check_shape)(table, op, LARGE[a], LARGE[b], LARGE[c], BETAS[turn++ % N_BETAS], &state);
    for (size_t s = 0; s < N_BLOCKS; s++) {
        const size_t n = BLOCKS[s][1], m = op == SYRK ? n : BLOCKS[s][0], k = op == SYRK && n > 600 ? 20 : BLOCKS[s][2];
        NAME(check_shape)(table, op, m, n, k, BETAS[turn++ % N_BETAS], &state);
    }
}

static void NAME(check_gemm_nn)(const ml__kernels *table)
{
    NAME(check_products)(table, NN);
}

static void NAME(check_gemm_nt)(const ml__kernels *table)
{
    NAME(check_products)(table, NT);
}

static void NAME(check_gemm_tn)(const ml__kernels *table)
{
    NAME(check_products)(table, TN);
}

static void NAME(check_syrk_tn)(const ml__kernels *table)
{
    NAME(check_products)(table, SYRK);
}

#include "check_fused_tmpl.h"

/* ---- vector maths ---- */

typedef struct {
    const char *name; /* with the precision */
    void (*function)(size_t n, const R *x, R *y);
    long double (*reference)(long double x);
    long double bound; /* in ulps */
    long double low, high;
} NAME(vector_op);

/* Evenly spaced over [low, high], then logarithmically over all magnitudes of both signs, then the special values. */
static size_t NAME(make_samples)(const NAME(vector_op) * op, R *x)
{
    static const R SPECIAL[] = {
        0,    (R)-0.0, 1,       -1, INFINITY, -INFINITY,    NAN, LARGEST, -LARGEST,        SMALLEST, -SMALLEST, EPS,
        -EPS, 1 + EPS, 1 - EPS, 2,  0.5,      (R)0.6931472, 10,  -10,     SMALLEST * 1000, 1 / EPS};
    uint64_t state = 7;
    size_t n = 0;

    for (int i = 0; i <= 100000; i++)
        x[n++] = (R)(op->low + (op->high - op->low) * i / 100000);
    for (int e = MIN_EXP - 52; e <= MAX_EXP; e++)
        for (int i = 0; i < 8; i++)
            x[n++] = (R)ldexp(0.75 + 0.25 * check_uniform(&state), e) * (i % 2 ? -1 : 1);
    for (int i = 0; i < 2000; i++) /* around 1, where a logarithm vanishes */
        x[n++] = (R)(1 + check_uniform(&state) * ldexp(1, -(i % 20)));
    memcpy(x + n, SPECIAL, sizeof SPECIAL);
    return n + sizeof SPECIAL / sizeof SPECIAL[0];
}

static void NAME(check_values)(const char *table, const NAME(vector_op) * op, const R *x, size_t n)
{
    R *y = check_alloc(n, sizeof(R));

    check_begin("%s %s on %zu values", table, op->name, n);
    op->function(n, x, y);
    for (size_t i = 0; i < n; i++) {
        const long double want = op->reference(x[i]), ulps = NAME(ulps)(y[i], want);

        check_that(ulps <= op->bound, "of %.17g is %.17g: %Lg ulps off", (double)x[i], (double)y[i], ulps);
        check_that(want != 0 || !signbit(want) == !signbit(y[i]), "of %.17g is a zero of the wrong sign", (double)x[i]);
        check_measure(op->name, isfinite(ulps) ? (double)ulps : 1e9);
    }
    check_digest(y, n * sizeof(R));
    check_end();
    free(y);
}

/* Lengths and positions: guards, in place, and the same bits wherever a value stands. */
static void NAME(check_lengths)(const ml__kernels *table, const NAME(vector_op) * op, const R *x)
{
    for (size_t n = 0; n <= 70; n++)
        for (size_t layout = 0; layout < N_LAYOUTS; layout += 2) {
            NAME(matrix) X = NAME(make_matrix)(1, n, layout, false), Y = NAME(make_matrix)(1, n, layout, true);

            check_begin("%s %s of length %zu, %s", table->name, op->name, n, LAYOUTS[layout].name);
            for (size_t i = 0; i < n; i++)
                X.at[i] = x[i * 331];
            NAME(remember)(&X);
            NAME(remember)(&Y);
            op->function(n, X.at, Y.at);
            NAME(check_untouched)(&X, "x", false, true);
            NAME(check_untouched)(&Y, "y", false, false);
            for (size_t i = 0; i < n; i++) {
                R alone;
                op->function(1, X.at + i, &alone);
                check_that(NAME(ulps)(Y.at[i], op->reference(X.at[i])) <= op->bound, "element %zu is %g", i,
                           (double)Y.at[i]);
                check_that(NAME(same_bits)(alone, Y.at[i]), "element %zu alone differs", i);
            }
            op->function(n, X.at, X.at);
            check_that(memcmp(X.at, Y.at, n * sizeof(R)) == 0, "in place differs");
            NAME(free_matrix)(&X);
            NAME(free_matrix)(&Y);
            check_end();
        }
}

static void NAME(check_vector)(const ml__kernels *table, const NAME(vector_op) * op)
{
    R *x = check_alloc(MAX_LENGTH, sizeof(R));
    const size_t n = NAME(make_samples)(op, x);

    NAME(check_values)(table->name, op, x, n);
    NAME(check_lengths)(table, op, x);
    free(x);
}

static long double NAME(logistic)(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static void NAME(check_vexp)(const ml__kernels *table)
{
    const NAME(vector_op) op = {PRECISION " vexp", table->MEMBER.vexp, expl, 1.2L, -EXP_RANGE, EXP_RANGE};

    NAME(check_vector)(table, &op);
}

static void NAME(check_vlog)(const ml__kernels *table)
{
    const NAME(vector_op) op = {PRECISION " vlog", table->MEMBER.vlog, logl, 1.5L, 0, 100};

    NAME(check_vector)(table, &op);
}

static void NAME(check_vtanh)(const ml__kernels *table)
{
    const NAME(vector_op) op = {PRECISION " vtanh", table->MEMBER.vtanh, tanhl, 2.5L, -22, 22};

    NAME(check_vector)(table, &op);
}

static void NAME(check_vlogistic)(const ml__kernels *table)
{
    const NAME(vector_op)
        op = {PRECISION " vlogistic", table->MEMBER.vlogistic, NAME(logistic), 2, -EXP_RANGE, EXP_RANGE};

    NAME(check_vector)(table, &op);
}

/* ---- softmax ---- */

static void NAME(fill_logits)(R *x, size_t n, row_kind kind, uint64_t *state)
{
    for (size_t j = 0; j < n; j++) {
        x[j] = (R)(check_uniform(state) * (kind == FAR_LOGITS ? 1e4 : 5));
        if (kind == ALL_MINUS_INF || (kind == SOME_MINUS_INF && check_random(state) % 2))
            x[j] = -INFINITY;
    }
    if (n && (kind == ONE_NAN || kind == ONE_INF))
        x[check_random(state) % n] = kind == ONE_NAN ? NAN : INFINITY;
}

/* One row of shares and its lse against long double; a NaN or +inf makes the row NaN. */
static void NAME(check_row_shares)(size_t n, const R *x, const R *share, R lse)
{
    long double shift = -INFINITY, total = 0, sum = 0, want_lse;

    for (size_t j = 0; j < n; j++)
        shift = fmaxl(shift, x[j]);
    for (size_t j = 0; j < n; j++)
        total += expl(x[j] - (shift == -INFINITY ? 0 : shift));
    want_lse = total == 0 ? -INFINITY : (shift == -INFINITY ? 0 : shift) + logl(total);
    for (size_t j = 0; j < n; j++) {
        const long double want = total == 0 ? 1.0L / n : expl(x[j] - want_lse) + 0 * total;
        /* the rounding of x - shift is a relative error of the exponential */
        const long double bound = EPS * (8 + (isinf(x[j]) ? 0 : fabsl(shift - x[j]))) * want + 2 * SMALLEST;

        check_that(NAME(close)(share[j], isnan(total) ? NAN : want, total == 0 ? EPS * want : bound),
                   "share %zu is %g, not %Lg", j, (double)share[j], want);
        sum += share[j];
    }
    check_that(isnan(total) || fabsl(sum - 1) <= EPS + n * DBL_EPSILON / 2, "shares add up to 1 %+Lg", sum - 1);
    check_that(NAME(close)(lse, want_lse, EPS * (fabsl(want_lse) + logl(fmaxl(total, 1)) + 1) + n * DBL_EPSILON),
               "lse is %.17g, not %.17Lg", (double)lse, want_lse);
    if (isfinite(want_lse)) {
        check_measure(PRECISION " softmax: |sum - 1| / eps", (double)(fabsl(sum - 1) / EPS));
        check_measure(PRECISION " softmax: |lse - exact| / eps max(1, |lse|)",
                      (double)(fabsl(lse - want_lse) / (EPS * fmaxl(1, fabsl(want_lse)))));
    }
}

static void NAME(check_softmax_shape)(const ml__kernels *table, size_t m, size_t n, size_t layout, uint64_t *state)
{
    NAME(matrix) X = NAME(make_matrix)(m, n, layout, true), lse = NAME(make_matrix)(1, m, layout, true);
    NAME(matrix) again = NAME(make_matrix)(m, n, layout, true);

    check_begin("%s " PRECISION " softmax %zu x %zu, %s", table->name, m, n, LAYOUTS[layout].name);
    for (size_t i = 0; i < m; i++)
        NAME(fill_logits)(X.at + i * X.ld, n, (row_kind)(check_random(state) % N_ROW_KINDS), state);
    NAME(remember)(&X);
    NAME(remember)(&lse);
    memcpy(again.all, X.all, X.n_all * sizeof(R));
    table->MEMBER.softmax(m, n, X.at, X.ld, lse.at);
    for (size_t i = 0; i < m && n > 0; i++)
        NAME(check_row_shares)(n, X.copy + (X.at - X.all) + i * X.ld, X.at + i * X.ld, lse.at[i]);
    NAME(check_untouched)(&X, "X", false, false);
    NAME(check_untouched)(&lse, "lse", false, n == 0);
    table->MEMBER.softmax(m, n, again.at, again.ld, NULL);
    check_that(memcmp(again.all, X.all, X.n_all * sizeof(R)) == 0, "without lse the shares differ");
    NAME(digest_matrix)(&X);
    NAME(digest_matrix)(&lse);
    for (size_t i = 0; i < m; i++) {
        R *row = X.copy + (X.at - X.all) + i * X.ld;
        table->MEMBER.softmax(1, n, row, n, NULL);
        check_that(memcmp(row, X.at + i * X.ld, n * sizeof(R)) == 0, "row %zu alone differs", i);
    }
    check_end();
    NAME(free_matrix)(&X);
    NAME(free_matrix)(&again);
    NAME(free_matrix)(&lse);
}

/* All small shapes in all layouts, many rows of few columns, and few rows of many. */
static void NAME(check_rows)(const ml__kernels *table,
                             void (*check)(const ml__kernels *, size_t m, size_t n, size_t layout, uint64_t *state))
{
    uint64_t state = 11;

    for (size_t a = 0; a < N_SMALL; a++)
        for (size_t b = 0; b < N_SMALL; b++)
            for (size_t layout = 0; layout < N_LAYOUTS; layout++)
                check(table, SMALL[a], SMALL[b], layout, &state);
    for (size_t a = 0; a < N_LARGE; a++)
        for (size_t b = 0; b < N_LARGE; b++)
            check(table, LARGE[a], LARGE[b], 3, &state);
    for (size_t n = 1; n <= 40; n++)
        check(table, 150, n, n % N_LAYOUTS, &state);
    check(table, 7, 5000, 1, &state);
}

static void NAME(check_softmax)(const ml__kernels *table)
{
    NAME(check_rows)(table, NAME(check_softmax_shape));
}

/* What the softmax of doubles says about the same row, to the last bit. */
static void NAME(check_shares_of)(const ml__kernels *table, size_t n, row_kind kind, uint64_t *state)
{
    R *x = check_fenced(0, n, sizeof *x);
    double *p = check_fenced(1, n, sizeof *p), *want = check_fenced(2, n, sizeof *want);

    check_begin("%s " PRECISION " shares of %zu, kind %d", table->name, n, (int)kind);
    NAME(fill_logits)(x, n, kind, state);
    for (size_t j = 0; j < n; j++)
        want[j] = (double)x[j];
    table->f64.softmax(1, n, want, n, NULL);
    table->MEMBER.shares(n, x, p);
    for (size_t j = 0; j < n; j++)
        check_that(memcmp(p + j, want + j, sizeof *p) == 0 || (isnan(p[j]) && isnan(want[j])),
                   "share %zu is %.17g, not %.17g", j, p[j], want[j]);
    check_fences();
    check_digest(p, n * sizeof *p);
    check_end();
}

static void NAME(check_shares)(const ml__kernels *table)
{
    uint64_t state = 14;

    for (size_t n = 0; n <= 70; n++)
        for (size_t kind = 0; kind < N_ROW_KINDS; kind++)
            NAME(check_shares_of)(table, n, (row_kind)kind, &state);
}

/* What softmax says about the same rows, to the last bit. */
static void NAME(check_logsumexp_shape)(const ml__kernels *table, size_t m, size_t n, size_t layout, uint64_t *state)
{
    NAME(matrix) X = NAME(make_matrix)(m, n, layout, false), lse = NAME(make_matrix)(1, m, layout, true);
    NAME(matrix) want = NAME(make_matrix)(1, m, layout, true);

    check_begin("%s " PRECISION " logsumexp %zu x %zu, %s", table->name, m, n, LAYOUTS[layout].name);
    for (size_t i = 0; i < m; i++)
        NAME(fill_logits)(X.at + i * X.ld, n, (row_kind)(check_random(state) % N_ROW_KINDS), state);
    NAME(remember)(&X);
    NAME(remember)(&lse);
    table->MEMBER.logsumexp(m, n, X.at, X.ld, lse.at);
    NAME(check_untouched)(&X, "X", false, true);
    NAME(check_untouched)(&lse, "lse", false, n == 0);
    table->MEMBER.softmax(m, n, X.at, X.ld, want.at);
    check_that(memcmp(lse.at, want.at, m * sizeof(R)) == 0, "softmax gives another one");
    NAME(digest_matrix)(&lse);
    check_end();
    NAME(free_matrix)(&X);
    NAME(free_matrix)(&lse);
    NAME(free_matrix)(&want);
}

static void NAME(check_logsumexp)(const ml__kernels *table)
{
    NAME(check_rows)(table, NAME(check_logsumexp_shape));
}

/* ---- reductions ---- */

/* sum is dot with ones: y is NULL. */
static double NAME(reduce)(const TABLE *t, size_t n, const R *x, const R *y)
{
    return y ? t->dot(n, x, y) : t->sum(n, x);
}

/* A chain in index order would need a bound of n eps; blocks or lanes are promised. */
static void NAME(check_reduction)(const ml__kernels *table, size_t n, bool dot, fill what, uint64_t *state)
{
    NAME(matrix) X = NAME(make_matrix)(1, n, 0, false), Y = NAME(make_matrix)(1, n, 2, false);
    NAME(matrix) moved = NAME(make_matrix)(1, n, 2, false);
    const R *y = dot ? Y.at : NULL;
    long double want = 0, size = 0, bound;
    double got;

    check_begin("%s " PRECISION " %s of %zu, %s", table->name, dot ? "dot" : "sum", n, FILL_NAMES[what]);
    NAME(fill_matrix)(&X, what, state);
    NAME(fill_matrix)(&Y, what, state);
    for (size_t i = 0; i < n; i++) {
        moved.at[i] = X.at[i];
        want += X.at[i] * (y ? (long double)y[i] : 1);
        size += fabsl(X.at[i] * (y ? (long double)y[i] : 1));
    }
    got = NAME(reduce)(&table->MEMBER, n, X.at, y);
    bound = what == INTEGER ? 0 : (n / 4.0L + 5) * (DBL_EPSILON * size + DBL_TRUE_MIN);
    check_that(fabsl(got - want) <= bound, "is %.17g, not %.17Lg", got, want);
    check_that(got == NAME(reduce)(&table->MEMBER, n, moved.at, y), "depends on where x lies");
    check_digest(&got, sizeof got);
    check_that(!dot || table->MEMBER.dot(n, X.at, X.at) == table->MEMBER.dot(n, X.at, moved.at),
               "the dot product with itself differs from that with a copy");
    if (n > 0) { /* a NaN or inf anywhere must show */
        const size_t at = check_random(state) % n;
        moved.at[at] = NAN;
        check_that(isnan(NAME(reduce)(&table->MEMBER, n, moved.at, y)), "NaN at %zu is lost", at);
        moved.at[at] = INFINITY;
        Y.at[at] = -1;
        check_that(NAME(reduce)(&table->MEMBER, n, moved.at, y) == (dot ? -INFINITY : INFINITY), "inf at %zu is lost",
                   at);
    }
    check_end();
    NAME(free_matrix)(&X);
    NAME(free_matrix)(&Y);
    NAME(free_matrix)(&moved);
}

static void NAME(check_reductions)(const ml__kernels *table, bool dot)
{
    static const size_t LONG[] = {100, 127, 128, 129, 255, 1000, 1023, 4097, 100003};
    uint64_t state = 13;

    for (size_t n = 0; n <= 70; n++)
        for (size_t what = 0; what < N_FILLS; what++)
            NAME(check_reduction)(table, n, dot, (fill)what, &state);
    for (size_t i = 0; i < sizeof LONG / sizeof LONG[0]; i++)
        for (size_t what = 0; what < N_FILLS; what++)
            NAME(check_reduction)(table, LONG[i], dot, (fill)what, &state);
}

static void NAME(check_sum)(const ml__kernels *table)
{
    NAME(check_reductions)(table, false);
}

static void NAME(check_dot)(const ml__kernels *table)
{
    NAME(check_reductions)(table, true);
}

#include "check_layers_tmpl.h"
#include "check_statistics_tmpl.h"

/* ---- one row per operation ---- */

#define ROW(op)                                    \
    {                                              \
#op, offsetof(TABLE, op), NAME(check_##op) \
    }

static const struct {
    const char *name;
    size_t slot;
    void (*check)(const ml__kernels *table);
} NAME(CHECKS)[] = {
    ROW(gemm_nn), ROW(gemm_nt),       ROW(gemm_tn),   ROW(syrk_tn), ROW(layer), ROW(layer_row), ROW(layer_back),
    ROW(adam_tn), ROW(syrk_weighted), ROW(nearest),   ROW(vexp),    ROW(vlog),  ROW(vtanh),     ROW(vlogistic),
    ROW(softmax), ROW(shares),        ROW(logsumexp), ROW(sum),     ROW(dot),
};
#undef ROW

enum { NAME(N_CHECKS) = sizeof NAME(CHECKS) / sizeof NAME(CHECKS)[0] };
_Static_assert(NAME(N_CHECKS) * sizeof(void (*)(void)) == sizeof(TABLE), "one row for each operation of the table");

void NAME(check_table)(const ml__kernels *table)
{
    for (size_t i = 0; i < NAME(N_CHECKS); i++) {
        check_begin("%s " PRECISION " %s is row %zu", table->name, NAME(CHECKS)[i].name, i);
        check_that(NAME(CHECKS)[i].slot == i * sizeof(void (*)(void)), "its slot is another one");
        check_end();
        NAME(CHECKS)[i].check(table);
    }
}
