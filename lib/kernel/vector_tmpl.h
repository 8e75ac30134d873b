/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector maths and reductions, written once. No include guard: each unit of an instruction set includes this for each
 * precision, double first, after its own primitives, with
 *     R            the element type
 *     NAME(f)      the file-local name of f in this precision: primitives, constants of vector.h and coefficients.h
 *     PUBLIC(f)    the cross-file name of operation f in this precision
 *
 * A value is the same wherever it stands: vectors and tails run the same code, a tail's missing lanes hold zeros and are
 * not stored. Instruction sets differ only in how they do the same thing: they give the same bits.
 *
 * exp       n = round(x log2(e)), r = x - n ln(2) in two steps (n times the high part is exact), |r| <= ln(2)/2,
 *           2^n (1 + r (1 + r Q(r))); 2^n is applied last, so that results round into the subnormals once more at most.
 *           Where the result is 0 nothing underflows: that would take a processor's slow path, and logits far below the
 *           largest are common.
 * log       x = 2^k m, 3/4 <= m < 3/2, f = m - 1. h = k ln2_high + f, its rounding error l is exact (k ln2_high is,
 *           and is 0 or above f), log(x) = h + (l + k ln2_low + f^2 Q(f)).
 * tanh      |x| < 1: x + x z Q(z), z = x^2; above: 1 - 2 / (exp(2|x|) + 1).
 * logistic  e = exp(-|x|) cannot overflow, q = e / (1 + e); e - e q for negative x, 1 - q for the others. Rounding 1 + e
 *           spoils q, but q is the smaller part of both; as the whole result it would be 2.4 units off.
 * softmax   e_j = exp(x_j - max), their sum in double, e_j times its inverse. Many rows of few columns are transposed, so
 *           that lanes are rows (by_columns); lanes are columns otherwise (by_rows). Either way, e_j is added to sum
 *           j mod LANES_f64 in the order of j and those sums as a balanced tree: a row's bits do not show which.
 * sums      four vectors of doubles side by side, added as a balanced tree.
 */

/* Sum of c[j] x^(j / step) for j = first, first + step, .. < n; n and step literal. */
INLINE NAME(vec) NAME(horner)(NAME(vec) x, const R *c, int n, int first, int step)
{
    const int top = n - 1 - (n - 1 - first) % step;
    NAME(vec) sum = NAME(set)(c[top]);

#pragma GCC unroll 8
    for (int j = top - step; j >= 0; j -= step)
        sum = NAME(fma)(sum, x, NAME(set)(c[j]));
    return sum;
}

/* Sum of c[j] x^j for j < n, n literal. Long ones as four chains in x^4, which wait less for each other. */
INLINE NAME(vec) NAME(polynomial)(NAME(vec) x, const R *c, int n)
{
    if (n < 8)
        return NAME(horner)(x, c, n, 0, 1);
    const NAME(vec) x2 = x * x, x4 = x2 * x2;
    const NAME(vec) low = NAME(fma)(NAME(horner)(x4, c, n, 1, 4), x, NAME(horner)(x4, c, n, 0, 4));
    const NAME(vec) high = NAME(fma)(NAME(horner)(x4, c, n, 3, 4), x, NAME(horner)(x4, c, n, 2, 4));

    return NAME(fma)(high, x2, low);
}
#define POLYNOMIAL(x, c) NAME(polynomial)(x, c, (int)(sizeof(c) / sizeof(R)))

INLINE NAME(vec) NAME(exp)(NAME(vec) x)
{
    const NAME(vec) magic = NAME(set)(NAME(ROUND)), one = NAME(set)(1);
    const NAME(mask) is_low = NAME(less)(x, NAME(set)(NAME(LOWEST_EXP)));

    x = NAME(zero_where)(is_low, NAME(min)(NAME(set)(NAME(HIGHEST_EXP)), x));
    const NAME(vec) n = NAME(fma)(x, NAME(set)(NAME(LOG2_E)), magic) - magic;
    const NAME(vec) r = NAME(fma)(n, NAME(set)(-NAME(LN2_LOW)), NAME(fma)(n, NAME(set)(-NAME(LN2_HIGH)), x));
    const NAME(vec) q = NAME(fma)(r, POLYNOMIAL(r, NAME(EXP)), one);
    return NAME(zero_where)(is_low, NAME(scale)(NAME(fma)(r, q, one), n));
}

/* log(x 2^k0) for normal positive x */
INLINE NAME(vec) NAME(log_normal)(NAME(vec) x, NAME(vec) k0)
{
    NAME(vec) k;
    const NAME(vec) f = NAME(split)(x, &k) - NAME(set)(1);

    k += k0;
    const NAME(vec) a = k * NAME(set)(NAME(LN2_HIGH)), h = a + f, l = f - (h - a);
    const NAME(vec) rest = NAME(fma)(k, NAME(set)(NAME(LN2_LOW)), l);
    return h + NAME(fma)(f * f, POLYNOMIAL(f, NAME(LOG)), rest);
}

static __attribute__((noinline)) NAME(vec) NAME(log_any)(NAME(vec) x)
{
    const NAME(vec) zero = NAME(set)(0), up = NAME(set)(NAME(SHIFTED));
    const NAME(mask) is_subnormal = NAME(less)(x, NAME(set)(NAME(SMALLEST_NORMAL)));
    NAME(vec)
    y = NAME(log_normal)(NAME(select)(is_subnormal, x * up, x),
                         NAME(select)(is_subnormal, NAME(set)(-NAME(SHIFT)), zero));

    y = NAME(select)(NAME(less)(zero, x), y, NAME(set)(-INFINITY));
    y = NAME(select)(NAME(less)(x, zero), NAME(set)(NAN), y);
    return NAME(select)(NAME(less)(x, NAME(set)(INFINITY)), y, x);
}

INLINE NAME(vec) NAME(log)(NAME(vec) x)
{
    if (NAME(all_within)(x, NAME(set)(NAME(SMALLEST_NORMAL)), NAME(set)(INFINITY)))
        return NAME(log_normal)(x, NAME(set)(0));
    return NAME(log_any)(x);
}

INLINE NAME(vec) NAME(tanh)(NAME(vec) x)
{
    const NAME(vec) a = NAME(abs)(x), z = a * a, one = NAME(set)(1);
    const NAME(vec) near = NAME(fma)(a * z, POLYNOMIAL(z, NAME(TANH)), a);
    const NAME(vec) far = one - NAME(set)(2) / (NAME(exp)(a + a) + one);

    return NAME(copy_sign)(NAME(select)(NAME(less)(a, one), near, far), x);
}

INLINE NAME(vec) NAME(logistic)(NAME(vec) x)
{
    const NAME(vec) one = NAME(set)(1), e = NAME(exp)(-NAME(abs)(x)), q = e / (one + e);
    const NAME(vec) whole = NAME(select)(NAME(less)(x, NAME(set)(0)), e, one);

    return NAME(fma)(-whole, q, whole);
}

#define MAP(function)                                                                        \
    void PUBLIC(v##function)(size_t n, const R *x, R *y)                                     \
    {                                                                                        \
        size_t i = 0;                                                                        \
                                                                                             \
        for (; i + NAME(LANES) <= n; i += NAME(LANES))                                       \
            NAME(store)(y + i, NAME(function)(NAME(load)(x + i)));                           \
        if (i < n)                                                                           \
            NAME(store_first)(y + i, n - i, NAME(function)(NAME(load_first)(x + i, n - i))); \
    }
MAP(exp)
MAP(log)
MAP(tanh)
MAP(logistic)
#undef MAP

/* ---- reductions ---- */

/* s + x y for the LANES_f64 elements at x, or the first n of them; without y s + x. */
INLINE vec_f64 NAME(add_terms)(vec_f64 s, const R *x, const R *y)
{
    if (y)
        return fma_f64(NAME(load_wide)(x), NAME(load_wide)(y), s);
    return s + NAME(load_wide)(x);
}

INLINE vec_f64 NAME(add_first_terms)(vec_f64 s, const R *x, const R *y, size_t n)
{
    if (y)
        return fma_f64(NAME(load_wide_first)(x, n), NAME(load_wide_first)(y, n), s);
    return s + NAME(load_wide_first)(x, n);
}

/* Sum of x y; of x alone when y is NULL, which the caller says by a literal. */
INLINE double NAME(reduce)(size_t n, const R *x, const R *y)
{
    vec_f64 s0 = set_f64(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 4 * LANES_f64 <= n; i += 4 * LANES_f64) {
        s0 = NAME(add_terms)(s0, x + i, y ? y + i : NULL);
        s1 = NAME(add_terms)(s1, x + i + LANES_f64, y ? y + i + LANES_f64 : NULL);
        s2 = NAME(add_terms)(s2, x + i + 2 * LANES_f64, y ? y + i + 2 * LANES_f64 : NULL);
        s3 = NAME(add_terms)(s3, x + i + 3 * LANES_f64, y ? y + i + 3 * LANES_f64 : NULL);
    }
    for (; i + LANES_f64 <= n; i += LANES_f64)
        s0 = NAME(add_terms)(s0, x + i, y ? y + i : NULL);
    if (i < n)
        s1 = NAME(add_first_terms)(s1, x + i, y ? y + i : NULL, n - i);
    return add_lanes((s0 + s1) + (s2 + s3));
}

double PUBLIC(sum)(size_t n, const R *x)
{
    return NAME(reduce)(n, x, NULL);
}

double PUBLIC(dot)(size_t n, const R *x, const R *y)
{
    if (x == y) /* its elements are widened once */
        return NAME(reduce)(n, x, x);
    return NAME(reduce)(n, x, y);
}

/* ---- softmax, logsumexp ---- */

/* Rows that are treated together. With rows as lanes (by_columns), LANES rows, `step` rows apart, are a set; with columns
 * as lanes (by_rows) n_sets is 0 and step 1. */
typedef struct {
    size_t m, n;
    size_t n_sets, step;
    const R *X;
    R *E; /* X again, or NULL where only the totals are wanted */
    size_t ldx;
    bool some_empty;                       /* there may be rows whose exponentials are all 0 */
    R shifts[MAX_SETS * NAME(LANES)];      /* subtracted from the rows, which are found by NAME(place) */
    double totals[MAX_SETS * NAME(LANES)]; /* of the exponentials */
} NAME(together);

/* Sets follow each other; `step` of them make a block of rows next to each other. */
INLINE size_t NAME(place)(const NAME(together) * t, size_t i)
{
    const size_t block = t->step * NAME(LANES);

    return t->step == 1 ? i : i / block * block + i % t->step * NAME(LANES) + i / t->step % NAME(LANES);
}

/* The largest element, NaN left aside; 0 when there is none above -inf: nothing to shift by. */
INLINE R NAME(row_shift)(size_t n, const R *x)
{
    NAME(vec) largest = NAME(set)(-INFINITY);
    size_t j = 0;
    R shift;

    for (; j + NAME(LANES) <= n; j += NAME(LANES))
        largest = NAME(max)(NAME(load)(x + j), largest);
    shift = NAME(largest_lane)(NAME(max)(NAME(load_first_or)(x + j, n - j, -INFINITY), largest));
    return shift == -INFINITY ? 0 : shift;
}

/* exp(x - shift), put to e unless that is NULL, and its sum. The tail is stored first, far from the next row's first
 * vector: a load behind a masked store to the same bytes waits for it, even where the masks have nothing in common. */
INLINE double NAME(row_total)(size_t n, const R *x, R shift, R *e)
{
    const size_t n_tail = n % NAME(LANES), n_full = n - n_tail;
    const NAME(vec) tail = NAME(exp)(NAME(load_first_or)(x + n_full, n_tail, -INFINITY) - NAME(set)(shift));
    vec_f64 sum = set_f64(0);

    if (e)
        NAME(store_first)(e + n_full, n_tail, tail);
    for (size_t j = 0; j < n_full; j += NAME(LANES)) {
        const NAME(vec) v = NAME(exp)(NAME(load)(x + j) - NAME(set)(shift));

        if (e)
            NAME(store)(e + j, v);
        sum = NAME(add_wide)(sum, v);
    }
    return add_lanes(NAME(add_wide)(sum, tail));
}

INLINE void NAME(scale_row)(size_t n, R *x, R factor)
{
    const size_t n_tail = n % NAME(LANES), n_full = n - n_tail;

    NAME(store_first)(x + n_full, n_tail, NAME(load_first)(x + n_full, n_tail) * NAME(set)(factor));
    for (size_t j = 0; j < n_full; j += NAME(LANES))
        NAME(store)(x + j, NAME(load)(x + j) * NAME(set)(factor));
}

/* Step by step for all rows: each step of a row would wait for the one before. */
static void NAME(by_rows)(NAME(together) * t)
{
    for (size_t i = 0; i < t->m; i++)
        t->shifts[i] = NAME(row_shift)(t->n, t->X + i * t->ldx);
    for (size_t i = 0; i < t->m; i++) {
        t->totals[i] = NAME(row_total)(t->n, t->X + i * t->ldx, t->shifts[i], t->E ? t->E + i * t->ldx : NULL);
        t->some_empty |= t->totals[i] == 0;
    }
    for (size_t i = 0; i < t->m && t->E; i++)
        NAME(scale_row)(t->n, t->E + i * t->ldx, (R)(1 / t->totals[i]));
}

/* The sums of LANES_f64 rows over n columns of T, LANES elements apart; `width`, a literal, is LANES_f64 or at least n: what
 * it leaves out would be sums of nothing. */
INLINE vec_f64 NAME(add_columns)(size_t n, const R *T, size_t width)
{
    vec_f64 sums[LANES_f64];

#pragma GCC unroll 8
    for (size_t l = 0; l < width; l++)
        sums[l] = l < n ? NAME(load_wide)(T + l * NAME(LANES)) : set_f64(0);
    for (size_t j = width; j < n; j += width)
#pragma GCC unroll 8
        for (size_t l = 0; l < width; l++)
            if (j + l < n)
                sums[l] += NAME(load_wide)(T + (j + l) * NAME(LANES));
#pragma GCC unroll 8
    for (size_t half = width / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (size_t l = 0; l < half; l++)
            sums[l] += sums[l + half];
    return sums[0];
}

INLINE vec_f64 NAME(column_total)(size_t n, const R *T)
{
    if (n <= 2)
        return NAME(add_columns)(n, T, 2);
    if (n <= 4 && LANES_f64 > 4)
        return NAME(add_columns)(n, T, 4);
    return NAME(add_columns)(n, T, LANES_f64);
}

/* The largest of LANES rows, as row_shift has it. */
INLINE NAME(vec) NAME(column_shift)(size_t n, const R *T)
{
    NAME(vec) largest = NAME(set)(-INFINITY);

    for (size_t j = 0; j < n; j++)
        largest = NAME(max)(NAME(load)(T + j * NAME(LANES)), largest);
    return NAME(select)(NAME(less)(NAME(set)(-INFINITY), largest), largest, NAME(set)(0));
}

/* The sets whose columns T has become shares, step by step again. */
INLINE void NAME(share_columns)(NAME(together) * t, R *T)
{
    const size_t n = t->n, size = n * NAME(LANES), n_rows = t->n_sets * NAME(LANES);
    R inverses[MAX_SETS * NAME(LANES)];

    for (size_t set = 0; set < t->n_sets; set++)
        NAME(store)(t->shifts + set * NAME(LANES), NAME(column_shift)(n, T + set * size));
    for (size_t set = 0; set < t->n_sets; set++) {
        const NAME(vec) shift = NAME(load)(t->shifts + set * NAME(LANES));
        for (R *x = T + set * size; x < T + (set + 1) * size; x += NAME(LANES))
            NAME(store)(x, NAME(exp)(NAME(load)(x) - shift));
    }
    for (size_t set = 0; set < t->n_sets; set++)
        for (size_t r = 0; r < NAME(LANES); r += LANES_f64)
            store_f64(t->totals + set * NAME(LANES) + r, NAME(column_total)(n, T + set * size + r));
    if (!t->E)
        return;
    for (size_t r = 0; r < n_rows; r += LANES_f64) {
        const vec_f64 total = load_f64(t->totals + r);

        t->some_empty |= !all_within_f64(total, set_f64(1), set_f64(INFINITY));
        NAME(store_narrow)(inverses + r, set_f64(1) / total);
    }
    for (size_t set = 0; set < t->n_sets; set++) {
        const NAME(vec) inverse = NAME(load)(inverses + set * NAME(LANES));
        for (R *x = T + set * size; x < T + (set + 1) * size; x += NAME(LANES))
            NAME(store)(x, NAME(load)(x) * inverse);
    }
}

/* The last group of columns overlaps the one before. */
INLINE size_t NAME(group_start)(size_t j, size_t n)
{
    return j + NAME(GROUP) <= n ? j : n - NAME(GROUP);
}

/* All sets whole. With fewer columns than a group has, `step` rows without gaps make one row of so many sets. */
static void NAME(by_columns)(NAME(together) * t)
{
    const size_t n = t->step * t->n, ld = t->step * t->ldx, n_blocks = t->n_sets / t->step;
    _Alignas(64) R T[ALL_COLUMNS * NAME(LANES)];

    for (size_t b = 0; b < n_blocks; b++)
        for (size_t j = 0; j < n; j += NAME(GROUP)) {
            const size_t from = NAME(group_start)(j, n);
            NAME(transpose_group)
            (t->X + b * NAME(LANES) * ld + from, ld, T + (b * n + from) * NAME(LANES), NAME(LANES));
        }
    NAME(share_columns)(t, T);
    for (size_t b = 0; b < n_blocks && t->E; b++)
        for (size_t j = 0; j < n; j += NAME(GROUP)) {
            const size_t from = NAME(group_start)(j, n);
            NAME(transpose_back)
            (T + (b * n + from) * NAME(LANES), NAME(LANES), t->E + b * NAME(LANES) * ld + from, ld);
        }
}

static void NAME(copy_rows)(size_t m, size_t n, const R *from, size_t ld_from, R *to, size_t ld_to)
{
    if (ld_from == n && ld_to == n)
        memcpy(to, from, m * n * sizeof(R));
    else
        for (size_t i = 0; i < m; i++)
            memcpy(to + i * ld_to, from + i * ld_from, n * sizeof(R));
}

/* Sets that are not whole, or of rows with gaps where they may not be, in a place of their own; zeros below them. */
static void NAME(by_columns_apart)(NAME(together) * t)
{
    const R *X = t->X;
    R *E = t->E;
    const size_t ldx = t->ldx;
    R rows[ALL_COLUMNS * NAME(LANES)];

    NAME(copy_rows)(t->m, t->n, t->X, t->ldx, rows, t->n);
    memset(rows + t->m * t->n, 0, (t->n_sets * NAME(LANES) - t->m) * t->n * sizeof(R));
    t->X = rows;
    t->E = E ? rows : NULL;
    t->ldx = t->n;
    NAME(by_columns)(t);
    t->X = X;
    t->E = E;
    t->ldx = ldx;
    if (t->E)
        NAME(copy_rows)(t->m, t->n, rows, t->n, t->E, t->ldx);
}

/* Rows whose exponentials are all 0 get equal shares. */
static void NAME(share_equally)(const NAME(together) * t)
{
    for (size_t i = 0; i < t->m; i++)
        if (t->totals[NAME(place)(t, i)] == 0)
            for (size_t j = 0; j < t->n; j++)
                t->E[i * t->ldx + j] = (R)(1.0 / (double)t->n);
}

/* totals become their logarithms */
static void NAME(give_lse)(NAME(together) * t, R *lse)
{
    LOG_F64(t->step == 1 ? t->m : t->n_sets * NAME(LANES), t->totals, t->totals);
    if (t->step == 1) {
        for (size_t i = 0; i < t->m; i++)
            lse[i] = (R)(t->shifts[i] + t->totals[i]);
        return;
    }
    for (size_t first = 0, i = 0; i < t->m; first += t->step * NAME(LANES)) /* in the order of NAME(place) */
        for (size_t lane = first; lane < first + NAME(LANES); lane++)
            for (size_t at = lane; at < lane + t->step * NAME(LANES) && i < t->m; at += NAME(LANES), i++)
                lse[i] = (R)(t->shifts[at] + t->totals[at]);
}

/* Rows of n columns that are best treated together, a multiple of `block`. */
static size_t NAME(best_height)(size_t n, size_t block)
{
    if (n <= MAX_COLUMNS) {
        const size_t n_sets = ALL_COLUMNS / n < MAX_SETS ? ALL_COLUMNS / n : MAX_SETS;
        return n_sets * NAME(LANES) / block * block;
    }
    return n >= MAX_SIZE ? 1 : MAX_SIZE / n < MAX_ROWS ? MAX_SIZE / n : MAX_ROWS;
}

/* Lanes are rows or columns, see above; a single row, or one in four, would leave too many lanes idle. */
INLINE void NAME(normalise)(size_t m, size_t n, const R *X, R *E, size_t ldx, R *lse)
{
    const size_t step = n == 0 || n >= NAME(GROUP) ? 1 : (NAME(GROUP) + n - 1) / n, block = step * NAME(LANES);
    const size_t height = n == 0 ? 1 : NAME(best_height)(n, block);
    NAME(together) t;

    t.n = n;
    t.ldx = ldx;
    for (size_t i = 0; i < m && n > 0; i += t.m) {
        t.X = X + i * ldx;
        t.E = E ? E + i * ldx : NULL;
        t.m = m - i < height ? m - i : height;
        t.some_empty = false;
        if (n > MAX_COLUMNS || t.m <= block / 4) {
            t.n_sets = 0;
            t.step = 1;
            NAME(by_rows)(&t);
        } else {
            if (t.m > block)
                t.m -= t.m % block;
            t.n_sets = (t.m + block - 1) / block * step;
            t.step = step;
            if (t.m % block == 0 && (step == 1 || ldx == n))
                NAME(by_columns)(&t);
            else
                NAME(by_columns_apart)(&t);
        }
        if (E && t.some_empty)
            NAME(share_equally)(&t);
        if (lse)
            NAME(give_lse)(&t, lse + i);
    }
}

/* The shares of a single row of one vector, as by_rows has them, without a way through memory; -inf behind its n columns. */
INLINE NAME(vec) NAME(share)(size_t n, NAME(vec) x)
{
    const R largest = NAME(largest_lane)(NAME(max)(x, NAME(set)(-INFINITY)));
    const NAME(vec) e = NAME(exp)(x - NAME(set)(largest == -INFINITY ? 0 : largest));
    const double total = add_lanes(NAME(add_wide)(set_f64(0), e));

    if (total == 0)
        return NAME(set)((R)(1.0 / (double)n));
    return e * NAME(set)((R)(1 / total));
}

void PUBLIC(softmax)(size_t m, size_t n, R *X, size_t ldx, R *lse)
{
    if (m == 1 && n > 0 && n <= NAME(LANES) && !lse) {
        NAME(store_first)(X, n, NAME(share)(n, NAME(load_first_or)(X, n, -INFINITY)));
        return;
    }
    NAME(normalise)(m, n, X, X, ldx, lse);
}

void PUBLIC(shares)(size_t n, const R *x, double *p)
{
    if (n > 0 && n <= LANES_f64) {
        store_first_f64(p, n, share_f64(n, NAME(widen)(NAME(load_first_or)(x, n, -INFINITY))));
        return;
    }
    for (size_t j = 0; j < n; j++)
        p[j] = (double)x[j];
    SOFTMAX_F64(1, n, p, n, NULL);
}

void PUBLIC(logsumexp)(size_t m, size_t n, const R *X, size_t ldx, R *lse)
{
    NAME(normalise)(m, n, X, NULL, ldx, lse);
}
#undef POLYNOMIAL
