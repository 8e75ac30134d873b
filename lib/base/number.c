/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal text to double and back, exact in every case.
 *
 * Parse   D digits, value D 10^e. With D <= 2^53 and |e| <= 22 both are doubles and one operation rounds (Clinger 1990).
 *         Else the quotient num / den of two big integers gives 64 bits and whether anything is left, and one rounding
 *         makes the double. A double, or the middle between two, has at most 767 significant digits; of longer texts only
 *         "is there a nonzero digit behind" matters.
 * Print   Free-format digit generation (Steele & White 1990; Burger & Dybvig 1996, figure 1): the shortest digits in the
 *         interval that rounds to the value, of those the nearest.
 */
#include "base/number.h"

#include <float.h>
#include <string.h>

#include "base/processor.h"

/* ---- big integers: 32-bit words, the lowest first, the highest not 0 ---- */

enum {
    N_WORDS = 96 /* 3072 bits; parsing has 10^769 and 5^1093, shifted to the same length (2556 bits), printing 2^1080 */
};

typedef struct {
    uint32_t n, words[N_WORDS];
} big;

static void big_set(big *a, uint64_t value)
{
    a->words[0] = (uint32_t)value;
    a->words[1] = (uint32_t)(value >> 32);
    a->n = a->words[1] ? 2 : a->words[0] ? 1 : 0;
}

static void big_mul_add(big *a, uint32_t factor, uint32_t summand)
{
    uint64_t carry = summand;

    for (uint32_t i = 0; i < a->n; i++) {
        carry += (uint64_t)a->words[i] * factor;
        a->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        a->words[a->n++] = (uint32_t)carry;
}

static void big_mul_power(big *a, uint32_t base, uint32_t exponent)
{
    for (; exponent >= 9; exponent -= 9) { /* 10^9 fits a word */
        uint32_t chunk = 1;
        for (int i = 0; i < 9; i++)
            chunk *= base;
        big_mul_add(a, chunk, 0);
    }
    for (; exponent; exponent--)
        big_mul_add(a, base, 0);
}

static void big_shift_left(big *a, uint32_t n_bits)
{
    const uint32_t n_words = n_bits / 32;

    if (!a->n)
        return;
    memmove(a->words + n_words, a->words, a->n * sizeof a->words[0]);
    memset(a->words, 0, n_words * sizeof a->words[0]);
    a->n += n_words;
    big_mul_add(a, 1u << n_bits % 32, 0);
}

static int big_compare(const big *a, const big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (uint32_t i = a->n; i-- > 0;)
        if (a->words[i] != b->words[i])
            return a->words[i] < b->words[i] ? -1 : 1;
    return 0;
}

static void big_add(big *sum, const big *a, const big *b)
{
    uint64_t carry = 0;

    sum->n = a->n > b->n ? a->n : b->n;
    for (uint32_t i = 0; i < sum->n; i++) {
        carry += (uint64_t)(i < a->n ? a->words[i] : 0) + (i < b->n ? b->words[i] : 0);
        sum->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        sum->words[sum->n++] = (uint32_t)carry;
}

/* a -= b, for a >= b */
static void big_subtract(big *a, const big *b)
{
    uint64_t borrow = 0;

    for (uint32_t i = 0; i < a->n; i++) {
        const uint64_t difference = (uint64_t)a->words[i] - (i < b->n ? b->words[i] : 0) - borrow;
        a->words[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    while (a->n && !a->words[a->n - 1])
        a->n--;
}

static int bit_length(uint64_t value)
{
    int n = 0;
    for (; value; value >>= 1)
        n++;
    return n;
}

static int big_bit_length(const big *a)
{
    return a->n ? 32 * (int)(a->n - 1) + bit_length(a->words[a->n - 1]) : 0;
}

/* ---- reading: the text ---- */

enum {
    N_DIGITS = 768,      /* kept; then one more that is 1 when any other digit follows */
    POINT_HIGHEST = 309, /* 10^309 is above every double */
    POINT_LOWEST = -324  /* 10^-324 is below half of the smallest */
};

/* 0.d1 d2 ... dn times 10^point, d1 and dn not 0 */
typedef struct {
    bool is_negative;
    int64_t point;
    size_t n;
    uint8_t digits[N_DIGITS + 1];
} decimal;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void add_digit(decimal *d, char c)
{
    const uint8_t digit = (uint8_t)(c - '0');

    if (d->n < N_DIGITS && (d->n || digit))
        d->digits[d->n++] = digit;
    else if (digit && d->n == N_DIGITS)
        d->digits[d->n++] = 1;
}

/* Exponents beyond any text's length make no difference any more. */
static bool read_exponent(const char *text, size_t n, int64_t *out)
{
    const int64_t enough = INT64_C(1) << 60;
    const bool is_negative = n && text[0] == '-';
    int64_t exponent = 0;
    size_t i = n && (text[0] == '-' || text[0] == '+');

    if (i == n)
        return false;
    for (; i < n; i++) {
        if (!is_digit(text[i]))
            return false;
        if (exponent < enough / 10)
            exponent = 10 * exponent + (text[i] - '0');
    }
    *out = is_negative ? -exponent : exponent;
    return true;
}

static bool read_decimal(const char *text, size_t n, decimal *d)
{
    size_t i = n && (text[0] == '-' || text[0] == '+');
    bool has_digits = false, behind_point = false;
    int64_t exponent = 0;

    d->is_negative = n && text[0] == '-';
    d->point = 0;
    d->n = 0;
    for (; i < n; i++) {
        if (text[i] == '.' && !behind_point) {
            behind_point = true;
            continue;
        }
        if (!is_digit(text[i]))
            break;
        has_digits = true;
        add_digit(d, text[i]);
        d->point += d->n ? !behind_point : -(int64_t)behind_point;
    }
    if (!has_digits)
        return false;
    if (i < n && (text[i] != 'e' && text[i] != 'E'))
        return false;
    if (i < n && !read_exponent(text + i + 1, n - i - 1, &exponent))
        return false;
    while (d->n && !d->digits[d->n - 1])
        d->n--;
    d->point += exponent;
    return true;
}

/* ---- reading: the double ---- */

enum { FRACTION_BITS = 52, EXPONENT_BIAS = 1023, EXPONENT_LOWEST = -1022 };

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Few digits and a small power of ten: both are doubles, and one operation rounds right. */
static bool read_exactly(const decimal *d, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const int64_t e = d->point - (int64_t)d->n;
    uint64_t D = 0;

    if (FLT_EVAL_METHOD != 0 || d->n > 16 || e < -22 || e > 22)
        return false;
    for (size_t i = 0; i < d->n; i++)
        D = 10 * D + d->digits[i];
    if (D > UINT64_C(1) << 53)
        return false;
    *out = e < 0 ? (double)D / powers[-e] : (double)D * powers[e];
    return true;
}

/* (q + a part below 1, not 0 if is_more) 2^exponent, q >= 2^63, rounded to a double's bits; above the largest: infinity */
static uint64_t round_to_bits(uint64_t q, bool is_more, int exponent)
{
    const int highest = exponent + 63; /* exponent of the first bit */
    const int lowest = highest >= EXPONENT_LOWEST ? highest - FRACTION_BITS : EXPONENT_LOWEST - FRACTION_BITS;
    const int n_dropped = lowest - exponent;

    if (highest > EXPONENT_BIAS)
        return (uint64_t)(2 * EXPONENT_BIAS + 1) << FRACTION_BITS;
    if (n_dropped > 64)
        return 0;
    const uint64_t kept = n_dropped == 64 ? 0 : q >> n_dropped;
    const uint64_t dropped = n_dropped == 64 ? q : q & ((UINT64_C(1) << n_dropped) - 1);
    const uint64_t half = UINT64_C(1) << (n_dropped - 1);
    const bool is_up = dropped > half || (dropped == half && (is_more || kept & 1));
    /* The first bit of a normal number is the 1 that its exponent field lacks; a carry moves on to the next exponent. */
    const uint64_t field = highest >= EXPONENT_LOWEST ? (uint64_t)(highest + EXPONENT_BIAS - 1) : 0;
    return (field << FRACTION_BITS) + kept + is_up;
}

/* num / den = q 2^exponent with q in [2^63, 2^64); false: nothing is left */
static bool divide(big *num, big *den, uint64_t *q, int *exponent)
{
    const int shift = big_bit_length(den) - big_bit_length(num);

    big_shift_left(shift > 0 ? num : den, (uint32_t)(shift > 0 ? shift : -shift));
    *exponent = -shift - 63;
    if (big_compare(num, den) < 0) {
        big_shift_left(num, 1);
        (*exponent)--;
    }
    *q = 0;
    for (int i = 0; i < 64; i++) {
        const bool bit = big_compare(num, den) >= 0;
        if (bit)
            big_subtract(num, den);
        *q = *q << 1 | bit;
        big_mul_add(num, 2, 0);
    }
    return num->n > 0;
}

static uint64_t read_by_division(const decimal *d)
{
    const int e = (int)(d->point - (int64_t)d->n);
    big num, den;
    uint64_t q;
    int exponent;

    big_set(&num, 0);
    big_set(&den, 1);
    for (size_t i = 0; i < d->n; i++)
        big_mul_add(&num, 10, d->digits[i]);
    big_mul_power(e < 0 ? &den : &num, 5, (uint32_t)(e < 0 ? -e : e));
    const bool is_more = divide(&num, &den, &q, &exponent);
    return round_to_bits(q, is_more, exponent + e);
}

static ml__number_status parse_real(const char *text, size_t n, double *out)
{
    decimal d;
    double value = 0;

    if (!read_decimal(text, n, &d))
        return ML__NUMBER_NONE;
    if (d.n && d.point > POINT_HIGHEST)
        return ML__NUMBER_RANGE;
    if (d.n && d.point > POINT_LOWEST && !read_exactly(&d, &value))
        value = from_bits(read_by_division(&d));
    if (value > DBL_MAX)
        return ML__NUMBER_RANGE;
    *out = d.is_negative ? -value : value;
    return ML__NUMBER_OK;
}

ml__number_status ml__parse_real(const char *text, size_t n, double *out)
{
    const ml__float_state host = ml__float_begin();
    const ml__number_status status = parse_real(text, n, out);

    (void)ml__float_end(host, ML_OK);
    return status;
}

ml__number_status ml__parse_int(const char *text, size_t n, int64_t *out)
{
    const bool is_negative = n && text[0] == '-';
    const uint64_t largest = is_negative ? UINT64_C(1) << 63 : INT64_MAX;
    size_t i = n && (text[0] == '-' || text[0] == '+');
    uint64_t value = 0;
    bool is_in_range = true;

    if (i == n)
        return ML__NUMBER_NONE;
    for (; i < n; i++) {
        if (!is_digit(text[i]))
            return ML__NUMBER_NONE;
        const uint64_t digit = (uint64_t)(text[i] - '0');
        is_in_range = is_in_range && value <= (largest - digit) / 10;
        value = is_in_range ? 10 * value + digit : 0;
    }
    if (!is_in_range)
        return ML__NUMBER_RANGE;
    *out = !is_negative ? (int64_t)value : value ? -(int64_t)(value - 1) - 1 : 0;
    return ML__NUMBER_OK;
}

/* ---- writing: digits ---- */

enum { N_DIGITS_SHORTEST = 17 }; /* always enough */

/* value = r / s, and everything less than m_down / s below or m_up / s above it reads back as the value;
 * the limits themselves do if its last bit is 0 (is_even) */
typedef struct {
    big r, s, m_up, m_down;
    bool is_even;
} interval;

static void interval_set(interval *v, uint64_t fraction, int e, bool is_lowest_of_binade)
{
    const uint32_t wider = is_lowest_of_binade; /* the next double below is only half as far away */
    const uint32_t up = e > 0 ? (uint32_t)e : 0, down = e < 0 ? (uint32_t)-e : 0;

    big_set(&v->r, fraction);
    big_set(&v->s, 1);
    big_set(&v->m_up, 1);
    big_set(&v->m_down, 1);
    big_shift_left(&v->r, up + 1 + wider);
    big_shift_left(&v->s, down + 1 + wider);
    big_shift_left(&v->m_up, up + wider);
    big_shift_left(&v->m_down, up);
    v->is_even = !(fraction & 1);
}

static bool reaches_up(const interval *v) /* value + m_up is s or more: the upper limit is beyond */
{
    big sum;

    big_add(&sum, &v->r, &v->m_up);
    const int order = big_compare(&sum, &v->s);
    return v->is_even ? order >= 0 : order > 0;
}

static bool reaches_down(const interval *v)
{
    const int order = big_compare(&v->r, &v->m_down);
    return v->is_even ? order <= 0 : order < 0;
}

static void times_ten(interval *v)
{
    big_mul_add(&v->r, 10, 0);
    big_mul_add(&v->m_up, 10, 0);
    big_mul_add(&v->m_down, 10, 0);
}

/* Bring r / s into [0.1, 1): returns the power of ten that was taken out. `log2` is that of the value, rounded down. */
static int scale(interval *v, int log2)
{
    const int64_t log10_of_2 = 1292913986; /* times 2^32, rounded down */
    const int64_t offset = 400;            /* keeps what is shifted positive */
    int point = (int)((log2 * log10_of_2 + (offset << 32)) >> 32) - (int)offset + 1; /* right, or one too low */

    if (point > 0) {
        big_mul_power(&v->s, 10, (uint32_t)point);
    } else {
        big_mul_power(&v->r, 10, (uint32_t)-point);
        big_mul_power(&v->m_up, 10, (uint32_t)-point);
        big_mul_power(&v->m_down, 10, (uint32_t)-point);
    }
    if (reaches_up(v)) {
        big_mul_add(&v->s, 10, 0);
        point++;
    }
    return point;
}

static char next_digit(interval *v)
{
    char digit = '0';

    times_ten(v);
    while (big_compare(&v->r, &v->s) >= 0) {
        big_subtract(&v->r, &v->s);
        digit++;
    }
    return digit;
}

/* Digits of value = 0.d1 d2 ... dn times 10^point; value > 0 and finite. Returns n. */
static size_t shortest_digits(double value, char digits[N_DIGITS_SHORTEST], int *point)
{
    const uint64_t one = UINT64_C(1) << FRACTION_BITS;
    const uint64_t bits = to_bits(value), field = bits >> FRACTION_BITS;
    const uint64_t fraction = (bits & (one - 1)) + (field ? one : 0);
    const int e = (int)(field ? field : 1) - EXPONENT_BIAS - FRACTION_BITS;
    bool is_last_down, is_last_up;
    size_t n = 0;
    interval v;

    interval_set(&v, fraction, e, fraction == one && field > 1);
    *point = scale(&v, e + bit_length(fraction) - 1);
    do {
        digits[n++] = next_digit(&v);
        is_last_down = reaches_down(&v);
        is_last_up = reaches_up(&v);
    } while (!is_last_down && !is_last_up);
    big_shift_left(&v.r, 1);
    const int order = big_compare(&v.r, &v.s); /* of what is left and half a digit; a tie goes to the even digit */
    if (is_last_up && (!is_last_down || order > 0 || (order == 0 && digits[n - 1] & 1)))
        digits[n - 1]++;
    return n;
}

/* ---- writing: text ---- */

enum {
    POINT_FIRST = -3, /* 0.0001 is the smallest, */
    POINT_LAST = 16   /* 9999999999999998 the largest number without an exponent */
};

static size_t put_zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return (size_t)n;
}

static size_t put_plain(char *out, const char *digits, size_t n, int point)
{
    const size_t n_before = point <= 0 ? 0 : (size_t)point < n ? (size_t)point : n;
    size_t length = 0;

    memcpy(out, digits, n_before);
    length += n_before;
    length += put_zeros(out + length, point <= 0 ? 1 : point - (int)n_before);
    if (n_before == n)
        return length;
    out[length++] = '.';
    length += put_zeros(out + length, point < 0 ? -point : 0);
    memcpy(out + length, digits + n_before, n - n_before);
    return length + n - n_before;
}

static size_t put_exponential(char *out, const char *digits, size_t n, int point)
{
    char exponent[ML__NUMBER_BYTES];
    const size_t n_exponent = ml__print_int(point - 1, exponent);
    size_t length = 0;

    out[length++] = digits[0];
    if (n > 1)
        out[length++] = '.';
    memcpy(out + length, digits + 1, n - 1);
    length += n - 1;
    out[length++] = 'e';
    memcpy(out + length, exponent, n_exponent);
    return length + n_exponent;
}

size_t ml__print_real(double value, char out[ML__NUMBER_BYTES])
{
    char digits[N_DIGITS_SHORTEST];
    const bool is_nan = value != value;
    const bool is_negative = !is_nan && to_bits(value) >> 63;
    const double size = is_negative ? -value : value;
    size_t length = 0, n;
    int point;

    if (is_negative)
        out[length++] = '-';
    if (is_nan || size > DBL_MAX) {
        memcpy(out + length, is_nan ? "nan" : "inf", 3);
        length += 3;
    } else if (!to_bits(size)) {
        out[length++] = '0';
    } else {
        n = shortest_digits(size, digits, &point);
        length +=
            (point < POINT_FIRST || point > POINT_LAST ? put_exponential : put_plain)(out + length, digits, n, point);
    }
    out[length] = 0;
    return length;
}

size_t ml__print_uint(uint64_t value, char out[ML__NUMBER_BYTES])
{
    size_t n = 1;

    for (uint64_t rest = value / 10; rest; rest /= 10)
        n++;
    out[n] = 0;
    for (size_t i = n; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    return n;
}

size_t ml__print_int(int64_t value, char out[ML__NUMBER_BYTES])
{
    if (value >= 0)
        return ml__print_uint((uint64_t)value, out);
    out[0] = '-';
    char digits[ML__NUMBER_BYTES];
    const size_t n = ml__print_uint(0 - (uint64_t)value, digits);
    memcpy(out + 1, digits, n + 1);
    return n + 1;
}
