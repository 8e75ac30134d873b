/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers to and from text. Reference: the C library's strtod and printf, which are exact, over random and hard cases; and
 * the definition of rounding itself for the middles between two doubles, written out exactly.
 */
#include "test.h"

#include <float.h>
#include <stdint.h>

#include "base/number.h"
#include "base/random.h"

enum { N_RANDOM = 200000, LONG_TEXT = 1 << 13 };

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* every exponent alike, both signs; no infinity, no NaN */
static double random_double(ml__rng *rng)
{
    double value;
    do
        value = of_bits(ml__rng_u64(rng));
    while (!isfinite(value));
    return value;
}

static void check_parse(const char *text, double want)
{
    double got = -12345;
    const ml__number_status st = ml__parse_real(text, strlen(text), &got);

    if (isinf(want))
        CHECK_MSG(st == ML__NUMBER_RANGE && got == -12345, "'%.60s' gives %d, %a, expected out of range", text, st,
                  got);
    else
        CHECK_MSG(st == ML__NUMBER_OK && bits_of(got) == bits_of(want), "'%.60s' gives %d, %a, expected %a", text, st,
                  got, want);
}

static void check_parse_as_strtod(const char *text)
{
    check_parse(text, strtod(text, NULL));
}

/* ---- reading ---- */

TEST(number, parse_reads_17_digits_of_random_doubles)
{
    ml__rng rng = ml__rng_make(1, 0);
    char text[64];

    for (int i = 0; i < N_RANDOM; i++) {
        const double value = random_double(&rng);
        snprintf(text, sizeof text, "%.17g", value);
        check_parse(text, value);
    }
}

TEST(number, parse_reads_doubles_rounded_to_any_number_of_digits)
{
    ml__rng rng = ml__rng_make(2, 0);
    char text[64];

    for (int i = 0; i < N_RANDOM; i++) {
        snprintf(text, sizeof text, "%.*E", (int)ml__rng_below(&rng, 24), random_double(&rng));
        check_parse_as_strtod(text);
    }
}

/* [sign] up to 9, 24 or 80 digits around a point, often an exponent */
static void random_decimal(ml__rng *rng, char *text)
{
    static const uint64_t lengths[] = {9, 24, 80};
    static const char *const signs[] = {"", "-", "+"};
    const size_t n = 1 + ml__rng_below(rng, lengths[ml__rng_below(rng, 3)]), point = ml__rng_below(rng, n + 8);

    text += sprintf(text, "%s", signs[ml__rng_below(rng, 3)]);
    for (size_t i = 0; i < n; i++) {
        if (i == point)
            *text++ = '.';
        *text++ = (char)('0' + ml__rng_below(rng, 10) * (ml__rng_below(rng, 4) != 0));
    }
    *text = 0;
    if (ml__rng_below(rng, 3))
        sprintf(text, "%c%+d", "eE"[ml__rng_below(rng, 2)], (int)ml__rng_below(rng, 700) - 350);
}

TEST(number, parse_agrees_with_strtod_on_random_decimals)
{
    ml__rng rng = ml__rng_make(3, 0);
    char text[128];

    for (int i = 0; i < N_RANDOM; i++) {
        random_decimal(&rng, text);
        check_parse_as_strtod(text);
    }
}

TEST(number, parse_agrees_with_strtod_on_known_hard_cases)
{
    static const char *const hard[] = {
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "2.2250738585072014e-308",
        "2.225073858507201e-308",
        "4.9e-324",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "7.4e-324",
        "1e-323",
        "1e-324",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9007199254740994.99999",
        "9007199254740995",
        "9007199254740993.00000000000000000000000000000000000000000000000000000000000000000000000000000001",
        "6929495644600919.5",
        "3.3074536447504215e-291",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "0.500000000000000166533453693773481063544750213623046875",
        "3.518437208883201171875e13",
        "62.5364939768271845828",
        "8.10109172351e-10",
        "1.50000000000000011102230246251565",
        "8.5e22",
        "1e22",
        "1e23",
        "1e-22",
        "9007199254740992e22",
        "9007199254740992e-22",
        "9007199254740993e22",
        "1e22000",
        "1e-22000",
        "123456789012345678901234567890",
        "0.1",
        ".1",
        "1.",
        "000001.50000",
        "-0",
        "-0.0e5",
        "0e400",
        "0e-400",
        "0.000000e99999999999999999999999",
    };

    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++)
        check_parse_as_strtod(hard[i]);
}

/* The middle between two neighbours, exactly, and the same a little below and a little above. */
static void check_middle(double low)
{
    static char text[LONG_TEXT];
    const uint64_t bits = bits_of(low);
    const double high = of_bits(bits + 1);
    const int n = snprintf(text, 2048, "%.800Le", ((long double)low + high) / 2);
    char *exponent = strchr(text, 'e'), tail[16], *last = exponent - 1;

    CHECK(n > 0 && n < 2048);
    strcpy(tail, exponent);
    check_parse(text, bits & 1 ? high : low);
    memset(exponent, '0', 4000);
    exponent[4000] = '1';
    strcpy(exponent + 4001, tail);
    check_parse(text, high);
    while (*last == '0')
        last--;
    --*last;
    memset(last + 1, '9', 3000);
    strcpy(last + 3001, tail);
    check_parse(text, low);
}

TEST(number, parse_rounds_middles_to_even_and_everything_beside_them_to_the_nearer)
{
    static const double hard[] = {
        0,    DBL_TRUE_MIN, 3 * DBL_TRUE_MIN, 0x1.ffffffffffffep-1023, DBL_MIN, 1, 0.5, 0x1.fffffffffffffp0, 0x1p53,
        1e22, 1e300,
    };
    ml__rng rng = ml__rng_make(4, 0);

    if (LDBL_MANT_DIG < 54)
        return; /* long double cannot hold the middle */
    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++)
        check_middle(hard[i]);
    for (int i = 0; i < 400; i++)
        check_middle(fabs(random_double(&rng)));
}

TEST(number, parse_limits)
{
    /* 2^1024 - 2^970: the middle between the largest double and what would be the next */
    static const char middle[] =
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
        "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
        "342711559699508093042880177904174497792";
    char text[400];

    check_parse("1.7976931348623157e308", DBL_MAX);
    check_parse("-1.7976931348623158e308", -DBL_MAX);
    check_parse("1.7976931348623159e308", INFINITY);
    check_parse("1e309", INFINITY);
    check_parse("-1e310", INFINITY);
    check_parse("1e99999999999999999999999999", INFINITY);
    check_parse("1e-99999999999999999999999999", 0);
    check_parse(middle, INFINITY);
    strcpy(text, middle);
    text[strlen(text) - 1] = '1'; /* one less */
    check_parse(text, DBL_MAX);
    snprintf(text, sizeof text, "%s.0001", middle);
    check_parse(text, INFINITY);
}

TEST(number, parse_reads_texts_of_any_length)
{
    static char text[LONG_TEXT];

    memset(text, '0', 5000); /* 0.000...1 with an exponent that brings it back */
    text[1] = '.';
    strcpy(text + 5000, "125e5001");
    check_parse(text, 125);
    memset(text, '0', 5000); /* 1000...0 the same way */
    text[0] = '1';
    strcpy(text + 5000, "e-4999");
    check_parse(text, 1);
    memset(text, '9', 5000);
    text[1] = '.';
    text[5000] = 0;
    check_parse(text, 10);
    strcpy(text + 5000, "e-330");
    check_parse(text, 0);
    memset(text, '7', 900);
    text[900] = 0;
    check_parse(text, INFINITY);
    for (int e = -1300; e <= 400; e += 7) {
        snprintf(text + 900, 16, "e%d", e);
        check_parse_as_strtod(text);
    }
}

TEST(number, parse_rejects_everything_else)
{
    static const char *const wrong[] = {
        "",     "+",        "-",   ".",   "-.",    "e5",       ".e5",   "1e",    "1e+", "1e-",   "1 ",  " 1", "1e 5",
        "0x10", "inf",      "nan", "1,5", "1.2.3", "--1",      "+-1",   "1e5.0", "1_0", "1e5e5", "1d5", "1f", "1e--5",
        "1..",  "INFINITY", "\t1", "1\n", "1e5 ",  "\xD9\xA1", "0x1p3", "1'000", "(1)", "1-",    "5%",
    };
    double untouched = 7;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_MSG(ml__parse_real(wrong[i], strlen(wrong[i]), &untouched) == ML__NUMBER_NONE, "'%s' was read", wrong[i]);
    CHECK(ml__parse_real("1\0", 2, &untouched) == ML__NUMBER_NONE);
    CHECK(untouched == 7);
}

TEST(number, parse_reads_no_further_than_it_is_told)
{
    char *text = malloc(3); /* exactly: the address sanitizer sees one byte more */
    double value;
    int64_t integer;

    memcpy(text, "1.5", 3);
    CHECK(ml__parse_real(text, 3, &value) == ML__NUMBER_OK && value == 1.5);
    CHECK(ml__parse_real(text, 2, &value) == ML__NUMBER_OK && value == 1);
    CHECK(ml__parse_real(text, 0, &value) == ML__NUMBER_NONE);
    memcpy(text, "1e5", 3);
    CHECK(ml__parse_real(text, 3, &value) == ML__NUMBER_OK && value == 1e5);
    CHECK(ml__parse_real(text, 2, &value) == ML__NUMBER_NONE);
    memcpy(text, "-12", 3);
    CHECK(ml__parse_int(text, 3, &integer) == ML__NUMBER_OK && integer == -12);
    CHECK(ml__parse_int(text, 2, &integer) == ML__NUMBER_OK && integer == -1);
    CHECK(ml__parse_int(text, 1, &integer) == ML__NUMBER_NONE);
    free(text);
}

TEST(number, parse_int)
{
    static const struct {
        const char *text;
        ml__number_status status;
        int64_t value;
    } cases[] = {
        {"0", ML__NUMBER_OK, 0},
        {"-0", ML__NUMBER_OK, 0},
        {"+7", ML__NUMBER_OK, 7},
        {"00000000000000000000000000000012", ML__NUMBER_OK, 12},
        {"9223372036854775807", ML__NUMBER_OK, INT64_MAX},
        {"-9223372036854775808", ML__NUMBER_OK, INT64_MIN},
        {"-9223372036854775807", ML__NUMBER_OK, -INT64_MAX},
        {"9223372036854775808", ML__NUMBER_RANGE, 0},
        {"-9223372036854775809", ML__NUMBER_RANGE, 0},
        {"18446744073709551617", ML__NUMBER_RANGE, 0},
        {"99999999999999999999999999999", ML__NUMBER_RANGE, 0},
        {"99999999999999999999999999999x", ML__NUMBER_NONE, 0},
        {"", ML__NUMBER_NONE, 0},
        {"+", ML__NUMBER_NONE, 0},
        {"1.0", ML__NUMBER_NONE, 0},
        {"1e3", ML__NUMBER_NONE, 0},
        {" 1", ML__NUMBER_NONE, 0},
        {"0x1", ML__NUMBER_NONE, 0},
        {"--1", ML__NUMBER_NONE, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 4711;
        const ml__number_status st = ml__parse_int(cases[i].text, strlen(cases[i].text), &value);
        CHECK_MSG(st == cases[i].status && value == (st == ML__NUMBER_OK ? cases[i].value : 4711), "'%s': %d, %lld",
                  cases[i].text, st, (long long)value);
    }
}

/* ---- writing ---- */

static void check_print(double value, const char *want)
{
    char text[ML__NUMBER_BYTES];
    const size_t n = ml__print_real(value, text);
    CHECK_MSG(!strcmp(text, want) && n == strlen(want), "%.17g is printed '%s', expected '%s'", value, text, want);
}

TEST(number, print_examples)
{
    check_print(0, "0");
    check_print(-0.0, "-0");
    check_print(INFINITY, "inf");
    check_print(-INFINITY, "-inf");
    check_print(NAN, "nan");
    check_print(-NAN, "nan");
    check_print(3, "3");
    check_print(-42, "-42");
    check_print(0.1, "0.1");
    check_print(-0.1, "-0.1");
    check_print(0.3, "0.3");
    check_print(0.1 + 0.2, "0.30000000000000004");
    check_print(100.5, "100.5");
    check_print(120, "120");
    check_print(1e15, "1000000000000000");
    check_print(123456789012345, "123456789012345");
    check_print(9007199254740992, "9007199254740992");
    check_print(1e16, "1e16");
    check_print(1.5e16, "1.5e16");
    check_print(1e22, "1e22");
    check_print(1e23, "1e23");
    check_print(0.0001, "0.0001");
    check_print(0.000123, "0.000123");
    check_print(1e-5, "1e-5");
    check_print(1.25e-5, "1.25e-5");
    check_print(1e-300, "1e-300");
    check_print(1.0 / 3, "0.3333333333333333");
    check_print(2.0 / 3, "0.6666666666666666");
    check_print(5e-324, "5e-324");
    check_print(2.2250738585072014e-308, "2.2250738585072014e-308");
    check_print(2.225073858507201e-308, "2.225073858507201e-308");
    check_print(-1.7976931348623157e308, "-1.7976931348623157e308");
    check_print(9.5367431640625e-07, "9.5367431640625e-7");
}

/* Significant digits of a printed number: "-0.0120" has "120", "1e5" has "1". */
static size_t significant(const char *text, char *digits)
{
    size_t n = 0;

    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n || *text != '0'))
            digits[n++] = *text;
    while (n && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return n;
}

static void check_shortest(double value)
{
    char text[ML__NUMBER_BYTES], digits[ML__NUMBER_BYTES], reference[64], reference_digits[64];
    const size_t n_text = ml__print_real(value, text), n = significant(text, digits);
    double back;

    CHECK_MSG(n_text == strlen(text) && n_text <= 24 && n <= 17, "'%s'", text);
    CHECK_MSG(ml__parse_real(text, n_text, &back) == ML__NUMBER_OK && bits_of(back) == bits_of(value), "%a: '%s'",
              value, text);
    CHECK_MSG(bits_of(strtod(text, NULL)) == bits_of(value), "%a: '%s'", value, text);
    if (n > 1) { /* one digit less does not do */
        snprintf(reference, sizeof reference, "%.*e", (int)n - 2, value);
        CHECK_MSG(strtod(reference, NULL) != value, "%a: '%s' is longer than '%s'", value, text, reference);
    }
    snprintf(reference, sizeof reference, "%.*e", (int)n - 1, value);
    if (n && strtod(reference, NULL) == value) { /* false only beside powers of two, where the nearest may be outside */
        significant(reference, reference_digits);
        CHECK_MSG(!strcmp(digits, reference_digits), "%a: '%s' is not the nearest, '%s' is", value, text, reference);
    }
}

TEST(number, print_gives_the_shortest_nearest_text_that_reads_back_to_the_same_bits)
{
    ml__rng rng = ml__rng_make(5, 0);

    for (int i = 0; i < N_RANDOM; i++)
        check_shortest(random_double(&rng));
}

TEST(number, print_ordinary_numbers)
{
    ml__rng rng = ml__rng_make(6, 0);

    for (int i = 0; i < N_RANDOM / 4; i++) {
        check_shortest(ml__rng_normal(&rng));
        check_shortest((double)ml__rng_below(&rng, 1000000) / 1000);
        check_shortest((double)(float)ml__rng_uniform(&rng));
        check_shortest(of_bits(ml__rng_below(&rng, UINT64_C(1) << (1 + ml__rng_below(&rng, 52))))); /* subnormal */
    }
}

TEST(number, print_powers_and_their_neighbours)
{
    for (int e = -1074; e <= 1023; e++) {
        const double power = ldexp(1, e);
        check_shortest(power);
        check_shortest(nextafter(power, 0));
        check_shortest(nextafter(power, INFINITY));
    }
    for (int e = -323; e <= 308; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        check_shortest(strtod(text, NULL));
        check_shortest(nextafter(strtod(text, NULL), 0));
        check_shortest(nextafter(strtod(text, NULL), INFINITY));
    }
}

TEST(number, print_integers)
{
    char text[ML__NUMBER_BYTES], want[ML__NUMBER_BYTES];
    ml__rng rng = ml__rng_make(7, 0);

    for (int i = 0; i < 10000; i++) {
        const uint64_t value = ml__rng_u64(&rng) >> ml__rng_below(&rng, 64);
        snprintf(want, sizeof want, "%llu", (unsigned long long)value);
        CHECK(ml__print_uint(value, text) == strlen(want) && !strcmp(text, want));
        snprintf(want, sizeof want, "%lld", (long long)value);
        CHECK(ml__print_int((int64_t)value, text) == strlen(want) && !strcmp(text, want));
    }
    CHECK(ml__print_int(INT64_MIN, text) == 20 && !strcmp(text, "-9223372036854775808"));
    CHECK(ml__print_int(0, text) == 1 && !strcmp(text, "0"));
    CHECK(ml__print_uint(UINT64_MAX, text) == 20 && !strcmp(text, "18446744073709551615"));
}
