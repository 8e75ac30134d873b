/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector maths and reductions, written once. No include guard: each unit of an instruction set includes this for each
 * precision, after its own primitives, with
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
 * logistic  e = exp(-|x|) cannot overflow; e / (1 + e) or 1 / (1 + e).
 * softmax   e_j = exp(x_j - max), sum in double, quotients; SOFTMAX_ROWS rows side by side, each on its own.
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
    const NAME(vec) one = NAME(set)(1), e = NAME(exp)(-NAME(abs)(x));

    return NAME(select)(NAME(less)(x, NAME(set)(0)), e, one) / (one + e);
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
    return NAME(reduce)(n, x, y);
}

/* ---- softmax ---- */

/* The largest element, NaN left aside; 0 when there is none above -inf: nothing to shift by. */
INLINE R NAME(find_shift)(NAME(vec) largest)
{
    const R shift = NAME(largest_lane)(largest);

    return shift == -INFINITY ? 0 : shift;
}

/* The first n lanes of e divided by their total. */
INLINE NAME(vec) NAME(shares)(NAME(vec) e, size_t n, double total)
{
    if (total == 0)
        return NAME(set)((R)(1.0 / (double)n));
    return e / NAME(set)((R)total);
}

/* Rows of at most one vector. All are read before any is written: a load behind a masked store to the same bytes would
 * wait for it, even where the masks have nothing in common. */
static void NAME(softmax_short)(size_t m, size_t n, R *X, size_t ldx, R *shifts, double *totals)
{
    NAME(vec) x[SOFTMAX_ROWS];

    for (size_t i = 0; i < m; i++)
        x[i] = NAME(load_first_or)(X + i * ldx, n, -INFINITY);
    for (size_t i = 0; i < m; i++) {
        shifts[i] = NAME(find_shift)(NAME(max)(x[i], NAME(set)(-INFINITY)));
        const NAME(vec) e = NAME(exp)(x[i] - NAME(set)(shifts[i]));
        totals[i] = add_lanes(NAME(fold_wide)(e));
        x[i] = NAME(shares)(e, n, totals[i]);
    }
    for (size_t i = 0; i < m; i++)
        NAME(store_first)(X + i * ldx, n, x[i]);
}

static R NAME(row_shift)(size_t n, const R *x)
{
    NAME(vec) largest = NAME(set)(-INFINITY);
    size_t j = 0;

    for (; j + NAME(LANES) <= n; j += NAME(LANES))
        largest = NAME(max)(NAME(load)(x + j), largest);
    return NAME(find_shift)(NAME(max)(NAME(load_first_or)(x + j, n - j, -INFINITY), largest));
}

/* x := exp(x - shift); the tail comes first, far from the next row's first vector, for the same reason as above. */
static void NAME(exp_row)(size_t n, R *x, R shift)
{
    const size_t n_tail = n % NAME(LANES), n_full = n - n_tail;

    NAME(store_first)(x + n_full, n_tail, NAME(exp)(NAME(load_first)(x + n_full, n_tail) - NAME(set)(shift)));
    for (size_t j = 0; j < n_full; j += NAME(LANES))
        NAME(store)(x + j, NAME(exp)(NAME(load)(x + j) - NAME(set)(shift)));
}

static void NAME(share_row)(size_t n, R *x, double total)
{
    const size_t n_tail = n % NAME(LANES), n_full = n - n_tail;

    NAME(store_first)(x + n_full, n_tail, NAME(shares)(NAME(load_first)(x + n_full, n_tail), n, total));
    for (size_t j = 0; j < n_full; j += NAME(LANES))
        NAME(store)(x + j, NAME(shares)(NAME(load)(x + j), n, total));
}

/* Rows of any length, step by step for all of them: each step of a row would wait for the one before. */
static void NAME(softmax_long)(size_t m, size_t n, R *X, size_t ldx, R *shifts, double *totals)
{
    for (size_t i = 0; i < m; i++)
        shifts[i] = NAME(row_shift)(n, X + i * ldx);
    for (size_t i = 0; i < m; i++)
        NAME(exp_row)(n, X + i * ldx, shifts[i]);
    for (size_t i = 0; i < m; i++)
        totals[i] = PUBLIC(sum)(n, X + i * ldx);
    for (size_t i = 0; i < m; i++)
        NAME(share_row)(n, X + i * ldx, totals[i]);
}

void PUBLIC(softmax)(size_t m, size_t n, R *X, size_t ldx, R *lse)
{
    const size_t n_together = n > SOFTMAX_SIZE ? 1 : n * SOFTMAX_ROWS > SOFTMAX_SIZE ? SOFTMAX_SIZE / n : SOFTMAX_ROWS;
    double totals[SOFTMAX_ROWS];
    R shifts[SOFTMAX_ROWS];

    for (size_t i = 0; i < m && n > 0; i += n_together) {
        const size_t rows = m - i < n_together ? m - i : n_together;

        if (n <= NAME(LANES))
            NAME(softmax_short)(rows, n, X + i * ldx, ldx, shifts, totals);
        else
            NAME(softmax_long)(rows, n, X + i * ldx, ldx, shifts, totals);
        if (!lse)
            continue;
        LOG_F64(rows, totals, totals);
        for (size_t r = 0; r < rows; r++)
            lse[i + r] = (R)(shifts[r] + totals[r]);
    }
}
#undef POLYNOMIAL
