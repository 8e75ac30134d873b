/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of .npy files.
 *
 *     offset 0    "\x93NUMPY", major, minor
 *     offset 8    length of the text: 2 bytes in version 1.0, 4 bytes later, little-endian
 *     then        the text, a Python dictionary: {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
 *
 * What NumPy writes is read, with its freedoms (order of the keys, either quote, spaces); every key once and no other.
 */
#include "data/npy.h"

#include <string.h>

/* MAX_BYTES: of the text; one of a matrix has about 118 */
enum { MAGIC_BYTES = 8, MAX_BYTES = 4096, SHOWN_BYTES = 40 };

typedef struct parser {
    const char *path, *text, *at, *end;
} parser;

static ml_status fail_at(const parser *p, const char *expected)
{
    return ml__fail(ML_E_FORMAT, "'%.*s': the .npy header has no %s at byte %zu of its text", ML__SHOWN_PATH, p->path,
                    expected, (size_t)(p->at - p->text));
}

static void skip_spaces(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n'))
        p->at++;
}

/* The word, after spaces; false and nothing taken when something else comes. */
static bool take(parser *p, const char *word)
{
    const size_t n = strlen(word);

    skip_spaces(p);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

static ml_status take_text(parser *p, const char **text, size_t *n)
{
    ml_status st = ML_OK;
    char quote;

    skip_spaces(p);
    if (p->at == p->end || (*p->at != '\'' && *p->at != '"'))
        return fail_at(p, "text in quotes");
    quote = *p->at++;
    *text = p->at;
    while (p->at < p->end && *p->at != quote && *p->at != '\\' && *p->at != '\n')
        p->at++;
    *n = (size_t)(p->at - *text);
    if (p->at == p->end || *p->at != quote)
        return fail_at(p, "closing quote");
    p->at++;
    return st;
}

static ml_status take_number(parser *p, uint64_t *out)
{
    const char *first;

    skip_spaces(p);
    first = p->at;
    for (*out = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        const uint64_t digit = (uint64_t)(*p->at - '0');

        if (*out > (UINT64_MAX - digit) / 10)
            return fail_at(p, "length below 2^64");
        *out = *out * 10 + digit;
    }
    return p->at > first ? ML_OK : fail_at(p, "length");
}

/* ---- the three values ---- */

static ml_status take_dtype(parser *p, ml__npy *out)
{
    static const struct {
        const char *name;
        ml_dtype dtype;
    } KNOWN[] = {
        {"<f4", ML_FLOAT32}, {"<f8", ML_FLOAT64}, {"<i4", ML_INT32},
        {"<i8", ML_INT64},   {"|u1", ML_UINT8},   {"<u1", ML_UINT8},
    };
    const char *text;
    size_t n;
    ml_status st = ML_OK;

    skip_spaces(p);
    ML__CHECK(p->at == p->end || *p->at != '[', ML_E_UNSUPPORTED,
              "'%.*s' has elements of several fields, not of numbers", ML__SHOWN_PATH, p->path);
    ML__TRY(take_text(p, &text, &n));
    for (size_t k = 0; k < sizeof KNOWN / sizeof *KNOWN; k++)
        if (n == strlen(KNOWN[k].name) && !memcmp(text, KNOWN[k].name, n)) {
            out->dtype = KNOWN[k].dtype;
            return ML_OK;
        }
    ML__CHECK(!n || *text != '>', ML_E_UNSUPPORTED, "'%.*s' has big-endian elements, descr '%.*s'", ML__SHOWN_PATH,
              p->path, (int)(n < SHOWN_BYTES ? n : SHOWN_BYTES), text);
    st = ml__fail(ML_E_UNSUPPORTED, "'%.*s' has descr '%.*s', expected '<f4', '<f8', '<i4', '<i8' or '|u1'",
                  ML__SHOWN_PATH, p->path, (int)(n < SHOWN_BYTES ? n : SHOWN_BYTES), text);
done:
    return st;
}

static ml_status take_order(parser *p, bool *is_by_columns)
{
    *is_by_columns = take(p, "True");
    return *is_by_columns || take(p, "False") ? ML_OK : fail_at(p, "True or False");
}

static ml_status take_shape(parser *p, ml__npy *out)
{
    uint64_t length[2] = {0};
    size_t n = 0;
    ml_status st = ML_OK;

    if (!take(p, "("))
        return fail_at(p, "shape");
    while (!take(p, ")")) {
        uint64_t any;

        ML__TRY(take_number(p, n < 2 ? &length[n] : &any));
        n++;
        if (take(p, ","))
            continue;
        if (n < 2 || !take(p, ")"))
            return fail_at(p, "comma");
        break;
    }
    ML__CHECK(n == 2, ML_E_UNSUPPORTED, "'%.*s' has an array of %zu dimensions, expected 2", ML__SHOWN_PATH, p->path,
              n);
    out->n_rows = length[0];
    out->n_cols = length[1];
done:
    return st;
}

/* ---- the dictionary ---- */

static ml_status take_entry(parser *p, bool seen[3], bool *is_by_columns, ml__npy *out)
{
    static const char *const KEYS[] = {"descr", "fortran_order", "shape"};
    const char *text;
    size_t n, key = 0;
    ml_status st;

    ML__TRY(take_text(p, &text, &n));
    while (key < 3 && (n != strlen(KEYS[key]) || memcmp(text, KEYS[key], n) != 0))
        key++;
    ML__CHECK(key < 3 && !seen[key], ML_E_FORMAT, "'%.*s': the .npy header has the key '%.*s'%s", ML__SHOWN_PATH,
              p->path, (int)(n < SHOWN_BYTES ? n : SHOWN_BYTES), text, key < 3 ? " twice" : "");
    seen[key] = true;
    if (!take(p, ":"))
        return fail_at(p, "colon");
    st = key == 0 ? take_dtype(p, out) : key == 1 ? take_order(p, is_by_columns) : take_shape(p, out);
done:
    return st;
}

static ml_status parse(parser *p, ml__npy *out)
{
    bool seen[3] = {false}, is_by_columns = false;
    ml_status st = ML_OK;

    if (!take(p, "{"))
        return fail_at(p, "dictionary");
    while (!take(p, "}")) {
        ML__TRY(take_entry(p, seen, &is_by_columns, out));
        if (take(p, ","))
            continue;
        if (!take(p, "}"))
            return fail_at(p, "comma");
        break;
    }
    skip_spaces(p);
    if (p->at != p->end)
        return fail_at(p, "end");
    ML__CHECK(seen[0] && seen[1] && seen[2], ML_E_FORMAT, "'%.*s': the .npy header has no '%s'", ML__SHOWN_PATH,
              p->path,
              !seen[0]   ? "descr"
              : !seen[1] ? "fortran_order"
                         : "shape");
    /* One row or one column is the same in either order, and NumPy may say either. */
    ML__CHECK(!is_by_columns || out->n_rows <= 1 || out->n_cols <= 1, ML_E_UNSUPPORTED,
              "'%.*s' is stored column by column (fortran_order): rows are needed, as numpy.ascontiguousarray() gives",
              ML__SHOWN_PATH, p->path);
done:
    return st;
}

ml_status ml__npy_read_header(const ml__input *input, ml__npy *out)
{
    unsigned char start[MAGIC_BYTES + 4] = {0};
    char text[MAX_BYTES];
    size_t n_length, n_text = 0;
    parser p = {.path = input->path, .text = text, .at = text};
    ml_status st = ML_OK;

    *out = (ml__npy){0};
    ML__CHECK(input->n_bytes >= sizeof start, ML_E_FORMAT, "'%.*s' has %llu bytes, which is no .npy file",
              ML__SHOWN_PATH, input->path, (unsigned long long)input->n_bytes);
    ML__TRY(ml__input_read(input, 0, start, sizeof start));
    ML__CHECK(!memcmp(start, "\x93NUMPY", 6), ML_E_FORMAT,
              "'%.*s' is no .npy file (for a file of nothing but elements set options dtype and n_cols)",
              ML__SHOWN_PATH, input->path);
    ML__CHECK(start[6] >= 1 && start[6] <= 3 && start[7] == 0, ML_E_UNSUPPORTED,
              "'%.*s' has version %d.%d of the .npy format, expected 1.0, 2.0 or 3.0", ML__SHOWN_PATH, input->path,
              start[6], start[7]);
    n_length = start[6] == 1 ? 2 : 4;
    for (size_t b = n_length; b-- > 0;)
        n_text = n_text << 8 | start[MAGIC_BYTES + b];
    out->offset = MAGIC_BYTES + n_length + n_text;
    ML__CHECK(n_text <= sizeof text && out->offset <= input->n_bytes, ML_E_FORMAT,
              "'%.*s': a .npy header of %zu bytes, expected at most %zu and no more than the file has", ML__SHOWN_PATH,
              input->path, n_text, sizeof text);
    ML__TRY(ml__input_read(input, MAGIC_BYTES + n_length, text, n_text));
    p.end = text + n_text;
    ML__TRY(parse(&p, out));
done:
    return st;
}
