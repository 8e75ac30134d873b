/* SPDX-License-Identifier: Apache-2.0 */
/* Parameter tables: parsing, checking and printing of values. */
#include "model/params.h"

#include <string.h>

#include "base/number.h"
#include "base/processor.h"

const ml__param *ml__params_find(const ml__param *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name))
            return table;
    return NULL;
}

/* ---- messages ---- */

enum { LIST_BYTES = 384 };

static const char *list_names(const ml__param *table, char out[LIST_BYTES])
{
    size_t n = 0;

    out[0] = 0;
    for (const ml__param *p = table; p->name && n < LIST_BYTES; p++)
        n += ml__format(out + n, LIST_BYTES - n, "%s%s", p == table ? "" : ", ", p->name);
    return out;
}

ml_status ml__params_unknown(const char *kind, const ml__param *table, const char *name)
{
    char names[LIST_BYTES];

    return ml__fail(ML_E_PARAMETER, "%s has no parameter '%s'; it has: %s", kind, name, list_names(table, names));
}

/* "a whole number in [1, 100]": what a parameter takes, in words */
static const char *describe_type(const ml__param *p, char out[LIST_BYTES])
{
    static const char *const NOUNS[] = {"",
                                        "a whole number",
                                        "a number",
                                        "true or false",
                                        "one of",
                                        "a comma-separated list of whole numbers",
                                        "a whole number",
                                        "a table name:weight,name:weight or one of",
                                        "a comma-separated list of numbers",
                                        "a table member=column,column;member=column"};
    const char *either = p->is_count ? " or " : ", or ";
    char range[96] = "";

    if (p->type == ML_PARAM_CHOICE || p->type == ML_PARAM_WEIGHTS) {
        ml__format(out, LIST_BYTES, "%s %s", NOUNS[p->type], p->choices);
        return out;
    }
    if (p->type != ML_PARAM_BOOL && p->type != ML_PARAM_COLUMNS)
        ml__format(range, sizeof range, " in %c%g, %g%c", p->min_open ? '(' : '[', p->min, p->max,
                   p->max_open ? ')' : ']');
    if (p->type == ML_PARAM_SIZE)
        ml__format(out, LIST_BYTES, "%s%s%s%s%s%s", NOUNS[p->type], range, p->is_count ? "" : ", a fraction in (0, 1]",
                   p->choices[0] ? either : "", strchr(p->choices, '|') ? "one of " : "", p->choices);
    else
        ml__format(out, LIST_BYTES, "%s%s", NOUNS[p->type], range);
    return out;
}

static ml_status wrong_value(const char *kind, const ml__param *p, const char *got)
{
    char type[LIST_BYTES];

    return ml__fail(ML_E_PARAMETER, "%s: parameter '%s' takes %s, got '%s'", kind, p->name, describe_type(p, type),
                    got);
}

static ml_status wrong_number(const char *kind, const ml__param *p, double got)
{
    char text[ML__NUMBER_BYTES];

    ml__print_real(got, text);
    return wrong_value(kind, p, text);
}

/* ---- values ---- */

static bool in_range(const ml__param *p, double value)
{
    return (p->min_open ? value > p->min : value >= p->min) && (p->max_open ? value < p->max : value <= p->max);
}

/* Numbers with a fraction, one or a list of them. */
static bool takes_reals(const ml__param *p)
{
    return p->type == ML_PARAM_REAL || p->type == ML_PARAM_REALS;
}

static void *field(const ml__param *p, void *params)
{
    return (char *)params + p->offset;
}

/* Position of text[0, n) among "a|b|c", or -1. */
static int64_t find_choice(const char *choices, const char *text, size_t n)
{
    int64_t position = 0;

    for (const char *c = choices; *c; position++) {
        const size_t length = strcspn(c, "|");
        if (length == n && !memcmp(c, text, n))
            return position;
        c += length;
        c += *c == '|';
    }
    return -1;
}

static ml_status store_number(const char *kind, const ml__param *p, void *params, double value, bool whole)
{
    void *at = field(p, params);

    if (p->type == ML_PARAM_SIZE && !whole) {
        if (p->is_count || !(value > 0 && value <= 1))
            return wrong_number(kind, p, value);
        *(ml__size *)at = (ml__size){.form = ML__SIZE_FRACTION, .fraction = value};
        return ML_OK;
    }
    if (!in_range(p, value) || (!takes_reals(p) && !whole))
        return wrong_number(kind, p, value);
    switch (p->type) {
    case ML_PARAM_REAL:
        *(double *)at = value;
        return ML_OK;
    case ML_PARAM_INT:
    case ML_PARAM_BOOL:
        *(int64_t *)at = (int64_t)value;
        return ML_OK;
    case ML_PARAM_SIZE:
        *(ml__size *)at = (ml__size){.form = ML__SIZE_COUNT, .count = (int64_t)value};
        return ML_OK;
    case ML_PARAM_INTS:
        *(ml__ints *)at = (ml__ints){.n = 1, .values = {(int64_t)value}};
        return ML_OK;
    case ML_PARAM_REALS:
        *(ml__reals *)at = (ml__reals){.n = 1, .values = {value}};
        return ML_OK;
    default:
        return wrong_number(kind, p, value);
    }
}

static ml_status set_number(const char *kind, const ml__param *p, void *params, double value, bool whole)
{
    const ml__float_state host = ml__float_begin();

    return ml__float_end(host, store_number(kind, p, params, value, whole));
}

/* Ranges are doubles, which hold no whole number beyond 2^53 for certain; no parameter goes further. */
static ml_status set_whole(const char *kind, const ml__param *p, void *params, int64_t value)
{
    const int64_t largest = (int64_t)1 << 53;
    char text[ML__NUMBER_BYTES];

    if (takes_reals(p) || (value >= -largest && value <= largest))
        return set_number(kind, p, params, (double)value, true);
    ml__print_int(value, text);
    return wrong_value(kind, p, text);
}

ml_status ml__params_set_int(const char *kind, const ml__param *table, void *params, const char *name, int64_t value)
{
    const ml__param *p = ml__params_find(table, name);

    if (!p)
        return ml__params_unknown(kind, table, name);
    return set_whole(kind, p, params, value);
}

ml_status ml__params_set_real(const char *kind, const ml__param *table, void *params, const char *name, double value)
{
    const ml__param *p = ml__params_find(table, name);

    if (!p)
        return ml__params_unknown(kind, table, name);
    if (!takes_reals(p) && p->type != ML_PARAM_SIZE)
        return wrong_number(kind, p, value);
    return set_number(kind, p, params, value, false);
}

/* The next item of a comma-separated list, without spaces behind it; *list is moved to the item after it. False when there
 * is a comma and none. */
static bool next_item(const char **list, const char **item, size_t *length)
{
    const size_t n = strcspn(*list, ",");
    const bool more = (*list)[n] == ',';

    *item = *list;
    for (*length = n; *length && (*item)[*length - 1] == ' ';)
        --*length;
    *list += n + more;
    *list += strspn(*list, " ");
    return !more || **list;
}

static bool parse_real(const char *text, size_t n, double *real)
{
    if (n == 3 && !memcmp(text, "inf", n)) {
        *real = INFINITY;
        return true;
    }
    return ml__parse_real(text, n, real) == ML__NUMBER_OK;
}

/* A list of one of the two types; `n` stands first in both. */
typedef union {
    ml__ints ints;
    ml__reals reals;
} number_list;

static bool parse_item(const ml__param *p, const char *item, size_t length, size_t i, number_list *list)
{
    if (p->type == ML_PARAM_REALS)
        return parse_real(item, length, &list->reals.values[i]) && in_range(p, list->reals.values[i]);
    return ml__parse_int(item, length, &list->ints.values[i]) == ML__NUMBER_OK &&
           in_range(p, (double)list->ints.values[i]);
}

static ml_status set_list(const char *kind, const ml__param *p, void *params, const char *text)
{
    const bool is_real = p->type == ML_PARAM_REALS;
    const size_t most = is_real ? ML__MAX_REALS : ML__MAX_INTS;
    const size_t n_bytes = is_real ? sizeof(ml__reals) : sizeof(ml__ints);
    const char *rest = text + strspn(text, " "), *item;
    number_list list;
    size_t n, length;

    memset(&list, 0, n_bytes);
    for (n = 0; *rest; n++) {
        const bool well_formed = next_item(&rest, &item, &length);

        if (n == most)
            return ml__fail(ML_E_PARAMETER, "%s: parameter '%s' takes at most %zu numbers", kind, p->name, most);
        if (!well_formed || !parse_item(p, item, length, n, &list))
            return wrong_value(kind, p, text);
    }
    list.ints.n = n;
    memcpy(field(p, params), &list, n_bytes);
    return ML_OK;
}

bool ml__weights_next(const char **list, const char **name, size_t *name_length, double *weight)
{
    const char *entry = *list, *colon = NULL;
    const size_t length = strcspn(entry, ",");

    for (const char *c = entry; c < entry + length; c++)
        if (*c == ':')
            colon = c;
    if (!colon || colon == entry ||
        ml__parse_real(colon + 1, (size_t)(entry + length - colon - 1), weight) != ML__NUMBER_OK ||
        !(*weight >= 0 && isfinite(*weight)))
        return false;
    *name = entry;
    *name_length = (size_t)(colon - entry);
    *list = entry + length + (entry[length] == ',');
    return true;
}

static ml_status set_weights(const char *kind, const ml__param *p, void *params, const char *text, int64_t choice)
{
    const char *list = text, *name;
    size_t n;
    double weight;
    ml__weights weights = {.form = choice};

    if (choice < 0) {
        while (ml__weights_next(&list, &name, &n, &weight))
            ;
        if (*list || !*text)
            return wrong_value(kind, p, text);
        if (strlen(text) >= sizeof weights.table)
            return ml__fail(ML_E_PARAMETER, "%s: parameter '%s' takes at most %zu characters, got %zu", kind, p->name,
                            sizeof weights.table - 1, strlen(text));
        weights.form = ML__WEIGHTS_TABLE;
        memcpy(weights.table, text, strlen(text) + 1);
    }
    *(ml__weights *)field(p, params) = weights;
    return ML_OK;
}

static ml_status set_columns(const char *kind, const ml__param *p, void *params, const char *text)
{
    const char *list = text;
    ml__column_name column = {.ends_entry = true};

    while (ml__columns_next(&list, &column))
        ;
    if (*list || !column.ends_entry || !ml__utf8_valid(text, strlen(text)))
        return wrong_value(kind, p, text);
    if (strlen(text) >= ML__COLUMNS_BYTES)
        return ml__fail(ML_E_PARAMETER, "%s: parameter '%s' takes at most %d characters, got %zu", kind, p->name,
                        (int)ML__COLUMNS_BYTES - 1, strlen(text));
    memcpy(((ml__columns *)field(p, params))->table, text, strlen(text) + 1);
    return ML_OK;
}

static ml_status set_text(const char *kind, const ml__param *p, void *params, const char *text)
{
    const size_t n = strlen(text);
    const int64_t choice = find_choice(p->choices, text, n);
    int64_t whole;
    double real;

    if (p->type == ML_PARAM_INTS || p->type == ML_PARAM_REALS)
        return set_list(kind, p, params, text);
    if (p->type == ML_PARAM_WEIGHTS)
        return set_weights(kind, p, params, text, choice);
    if (p->type == ML_PARAM_COLUMNS)
        return set_columns(kind, p, params, text);
    if (p->type == ML_PARAM_CHOICE || (p->type == ML_PARAM_SIZE && choice >= 0)) {
        if (choice < 0)
            return wrong_value(kind, p, text);
        if (p->type == ML_PARAM_SIZE)
            *(ml__size *)field(p, params) = (ml__size){.form = ML__SIZE_CHOICE, .count = choice};
        else
            *(int64_t *)field(p, params) = choice;
        return ML_OK;
    }
    if (p->type == ML_PARAM_BOOL && (!strcmp(text, "true") || !strcmp(text, "false"))) {
        *(int64_t *)field(p, params) = text[0] == 't';
        return ML_OK;
    }
    if (ml__parse_int(text, n, &whole) == ML__NUMBER_OK && (whole || !takes_reals(p))) /* "-0" is a real number */
        return set_whole(kind, p, params, whole);
    if ((p->type == ML_PARAM_REAL || p->type == ML_PARAM_SIZE) && parse_real(text, n, &real))
        return set_number(kind, p, params, real, false);
    return wrong_value(kind, p, text);
}

ml_status ml__params_set_text(const char *kind, const ml__param *table, void *params, const char *name,
                              const char *value)
{
    const ml__param *p = ml__params_find(table, name);

    if (!p)
        return ml__params_unknown(kind, table, name);
    return set_text(kind, p, params, value);
}

ml_status ml__params_defaults(const ml__param *table, void *params)
{
    ml_status st = ML_OK;

    for (const ml__param *p = table; p->name && st == ML_OK; p++)
        st = set_text("default", p, params, p->default_value);
    return st;
}

/* ---- printing ---- */

static void print_choice(const ml__param *p, int64_t position, ml__text *out)
{
    const char *c = p->choices;

    while (position-- > 0)
        c += strcspn(c, "|") + 1;
    ml__text_add_bytes(out, c, strcspn(c, "|"));
}

static void print_real(double value, ml__text *out)
{
    char text[ML__NUMBER_BYTES];

    ml__text_add_bytes(out, text, ml__print_real(value, text));
}

/* A fraction must not read back as a count: "1" becomes "1.0". */
static void print_size(const ml__param *p, const ml__size *size, ml__text *out)
{
    if (size->form == ML__SIZE_CHOICE)
        print_choice(p, size->count, out);
    else if (size->form == ML__SIZE_COUNT)
        ml__text_add(out, "%lld", (long long)size->count);
    else if (size->fraction == 1)
        ml__text_add(out, "1.0");
    else
        print_real(size->fraction, out);
}

static void print_weights(const ml__param *p, const ml__weights *weights, ml__text *out)
{
    if (weights->form == ML__WEIGHTS_TABLE)
        ml__text_add(out, "%s", weights->table);
    else
        print_choice(p, weights->form, out);
}

static void print_ints(const ml__ints *list, ml__text *out)
{
    for (size_t i = 0; i < list->n; i++)
        ml__text_add(out, "%s%lld", i ? "," : "", (long long)list->values[i]);
}

static void print_reals(const ml__reals *list, ml__text *out)
{
    for (size_t i = 0; i < list->n; i++) {
        ml__text_add(out, "%s", i ? "," : "");
        print_real(list->values[i], out);
    }
}

void ml__param_print(const ml__param *param, const void *params, ml__text *out)
{
    const void *at = (const char *)params + param->offset;

    switch (param->type) {
    case ML_PARAM_REAL:
        print_real(*(const double *)at, out);
        break;
    case ML_PARAM_INT:
        ml__text_add(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case ML_PARAM_BOOL:
        ml__text_add(out, "%s", *(const int64_t *)at ? "true" : "false");
        break;
    case ML_PARAM_CHOICE:
        print_choice(param, *(const int64_t *)at, out);
        break;
    case ML_PARAM_SIZE:
        print_size(param, at, out);
        break;
    case ML_PARAM_WEIGHTS:
        print_weights(param, at, out);
        break;
    case ML_PARAM_REALS:
        print_reals(at, out);
        break;
    case ML_PARAM_COLUMNS:
        ml__text_add(out, "%s", ((const ml__columns *)at)->table);
        break;
    default:
        print_ints(at, out);
    }
}
