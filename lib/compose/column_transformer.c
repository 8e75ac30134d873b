/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A column transformer: every member transforms the columns that it is given, and what they give stands side by side.
 *
 * Transform   z = (f_1(x[c_1]), f_2(x[c_2]), ..., x[r]), new features named "member__feature"; r, the columns that no member has,
 *             are named "remainder__feature" and kept by remainder passthrough only
 * Columns     of a member, in the order of the table: names, positions #k (#-1 is the last), ranges #a:b (b not included),
 *             numeric, categorical, all, and rest: those that no member is given otherwise. A column is given to a member once,
 *             and may be given to several. A member that gets none is left out.
 * Fit         each member on its columns, outputs and weights of the data, and of the validation data, as it would be alone
 * Missing     and categories are accepted when some member accepts them; a member that does not and gets some is named
 *
 * Tensors     columns: c_1, c_2, ..., r one after the other; offsets: where each of them begins, and the end
 */
#include <string.h>

#include "base/number.h"
#include "compose/compose.h"
#include "compose/parts.h"

typedef struct {
    ml__columns columns;
    int64_t remainder;
} params;

enum { MAX_MEMBERS = 1000, DROP = 0, PASSTHROUGH = 1 };
static const char REMAINDER[] = "remainder";

static const ml__param PARAMS[] = {
    ML__COLUMNS(params, columns, "",
                "columns that each member gets: names, #position, #first:end, numeric, categorical, "
                "all, rest"),
    ML__CHOICE(params, remainder, "drop", "drop|passthrough", "what becomes of the columns that no member gets"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"columns", ML_INT64, "*", ML__NON_NEGATIVE},
    {"offsets", ML_INT64, "*", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

/* Whatever the table has: members are asked about the columns that they get, and columns may be left out. */
static uint32_t accepts_of(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    const bool keeps = ((const params *)model->params)->remainder == PASSTHROUGH;
    uint32_t all = ML__WEIGHTS | (keeps ? 0 : ML__FILLS_MISSING);

    for (size_t i = 0; i < members->n; i++)
        all &= ml__model_accepts(members->items[i].model);
    return all | ML__MISSING | ML__CATEGORIES | ML__MAY_FILL;
}

/* ---- the table and the members ---- */

static bool belongs_to(const ml__column_name *column, const char *member)
{
    return strlen(member) == column->member_length && !memcmp(member, column->member, column->member_length);
}

static ml_status check_entry(const ml_model *model, const ml__column_name *column)
{
    for (size_t i = 0; i < model->members.n; i++)
        if (belongs_to(column, model->members.items[i].name))
            return ML_OK;
    return ml__fail(ML_E_PARAMETER, "columns: there is no member '%.*s'", (int)column->member_length, column->member);
}

static ml_status check(const ml_model *model)
{
    const params *p = model->params;
    const ml__members *members = &model->members;
    const char *list = p->columns.table;
    ml__column_name column = {.ends_entry = true};
    ml_status st;

    ML__TRY(ml__parts_check(model));
    while (ml__columns_next(&list, &column))
        ML__TRY(check_entry(model, &column));
    for (size_t i = 0; i < members->n; i++) {
        bool found = false;

        list = p->columns.table;
        column.ends_entry = true;
        while (!found && ml__columns_next(&list, &column))
            found = belongs_to(&column, members->items[i].name);
        ML__CHECK(found, ML_E_PARAMETER, "columns: member '%s' is given none, \"%s=all\" gives it all",
                  members->items[i].name, members->items[i].name);
        ML__CHECK(p->remainder == DROP || strcmp(members->items[i].name, REMAINDER) != 0, ML_E_PARAMETER,
                  "a member cannot be named '%s' when there is a remainder", REMAINDER);
    }
done:
    return st;
}

/* ---- which columns a member gets ---- */

typedef struct {
    const ml__schema *schema;
    const char *table;
    bool *is_given; /* [d] to any member, not by "rest" */
    bool *is_taken; /* [d] by the member that is looked at */
    int64_t *columns;
    size_t n; /* columns of all members so far; only counted while `columns` is NULL */
} selection;

static void take(selection *s, size_t j)
{
    if (s->is_taken[j])
        return;
    s->is_taken[j] = true;
    if (s->columns)
        s->columns[s->n] = (int64_t)j;
    s->n++;
}

static bool is_word(const ml__column_name *column, const char *word)
{
    return !column->is_quoted && ml__column_is(column, word);
}

/* "#3", "#-1", "#2:5", "#:5", "#2:": columns [*begin, *end). False when it is none of these, or out of range. */
static bool read_range(const ml__column_name *column, size_t d, size_t *begin, size_t *end)
{
    const char *text = column->text + 1, *colon = memchr(column->text, ':', column->length);
    const size_t n = column->length - 1, n_first = colon ? (size_t)(colon - text) : n;
    int64_t first = 0, last = (int64_t)d;

    if ((n_first || !colon) && ml__parse_int(text, n_first, &first) != ML__NUMBER_OK)
        return false;
    if (colon && n > n_first + 1 && ml__parse_int(colon + 1, n - n_first - 1, &last) != ML__NUMBER_OK)
        return false;
    if (first < 0)
        first += (int64_t)d;
    if (last < 0)
        last += (int64_t)d;
    if (!colon)
        last = first < (int64_t)d ? first + 1 : first;
    *begin = (size_t)first;
    *end = (size_t)last;
    return first >= 0 && first < last && last <= (int64_t)d;
}

static ml_status take_named(selection *s, const ml__column_name *column)
{
    const ml__schema *schema = s->schema;
    size_t begin, end;

    if (!column->is_quoted && column->text[0] == '#') {
        if (!read_range(column, schema->n_features, &begin, &end))
            return ml__fail(ML_E_DATA, "columns: '%.*s' is none of the %zu columns", (int)column->length, column->text,
                            schema->n_features);
        for (size_t j = begin; j < end; j++)
            take(s, j);
        return ML_OK;
    }
    for (size_t j = 0; j < schema->n_features; j++)
        if (ml__column_is(column, schema->features[j].name)) {
            take(s, j);
            return ML_OK;
        }
    return ml__fail(ML_E_DATA, "columns: no feature is named '%.*s'", (int)column->length, column->text);
}

static ml_status take_columns(selection *s, const ml__column_name *column)
{
    const bool all = is_word(column, "all"), numeric = is_word(column, "numeric"),
               categorical = is_word(column, "categorical"), rest = is_word(column, "rest");

    if (!all && !numeric && !categorical && !rest)
        return take_named(s, column);
    for (size_t j = 0; j < s->schema->n_features; j++)
        if (all || (rest && !s->is_given[j]) || (numeric && !s->schema->features[j].n_categories) ||
            (categorical && s->schema->features[j].n_categories))
            take(s, j);
    return ML_OK;
}

/* member NULL: what all members take together, but for "rest". */
static ml_status select_for(selection *s, const char *member)
{
    const char *list = s->table;
    ml__column_name column = {.ends_entry = true};
    ml_status st = ML_OK;

    memset(s->is_taken, 0, s->schema->n_features * sizeof *s->is_taken);
    while (ml__columns_next(&list, &column))
        if (member ? belongs_to(&column, member) : !is_word(&column, "rest"))
            ML__TRY(take_columns(s, &column));
done:
    return st;
}

/* The columns that no member has taken, from the list of those taken so far. */
static void take_remainder(selection *s, const bool *is_used)
{
    memset(s->is_taken, 0, s->schema->n_features * sizeof *s->is_taken);
    for (size_t j = 0; j < s->schema->n_features; j++)
        if (!is_used[j])
            take(s, j);
}

/* For every member and the remainder; `starts` gets members + 2 positions. */
static ml_status select_all(selection *s, const ml__members *members, bool keeps, bool *is_used, size_t *starts)
{
    ml_status st = ML_OK;

    s->n = 0;
    for (size_t i = 0; i < members->n; i++) {
        starts[i] = s->n;
        ML__TRY(select_for(s, members->items[i].name));
        for (size_t j = 0; j < s->schema->n_features; j++)
            is_used[j] = is_used[j] || s->is_taken[j];
    }
    starts[members->n] = s->n;
    if (keeps)
        take_remainder(s, is_used);
    starts[members->n + 1] = s->n;
done:
    return st;
}

static ml_status find_columns(ml__fit *f, selection *s, size_t *starts)
{
    const params *p = f->params;
    const ml__members *members = &f->model->members;
    const bool keeps = p->remainder == PASSTHROUGH;
    bool *is_used;
    ml_status st = ML_OK;

    *s = (selection){.schema = f->schema, .table = p->columns.table};
    ML__NEW(f->scratch, s->is_given, f->d);
    ML__NEW(f->scratch, s->is_taken, f->d);
    ML__NEW(f->scratch, is_used, f->d);
    ML__TRY(select_for(s, NULL));
    memcpy(s->is_given, s->is_taken, f->d * sizeof *s->is_given);
    ML__TRY(select_all(s, members, keeps, is_used, starts));
    ML__CHECK(s->n, ML_E_DATA, "column_transformer: no member gets a column of the %zu, and none is kept", f->d);
    ML__NEW(f->scratch, s->columns, s->n);
    memset(is_used, 0, f->d * sizeof *is_used);
    ML__TRY(select_all(s, members, keeps, is_used, starts));
done:
    return st;
}

/* ---- fit ---- */

static ml_status fit_member(ml__fit *f, const ml__member *member, const int64_t *columns, size_t n, size_t *width)
{
    ml_dataset *train = NULL, *validation = NULL;
    ml_status st;

    ML__TRY(ml__dataset_select(f->data, columns, n, &train));
    if (f->validation)
        ML__TRY(ml__dataset_select(f->validation, columns, n, &validation));
    ML__TRY(ml__parts_fit(f, member, train, validation, width));
done:
    ml_dataset_free(train);
    ml_dataset_free(validation);
    return st;
}

/* Of the members that get columns, and the remainder. */
static ml_status publish(ml__fit *f, const selection *s, const size_t *starts)
{
    const size_t n_members = f->model->members.n;
    int64_t *columns, *offsets;
    size_t n_parts = 0, part = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < n_members; i++)
        n_parts += starts[i + 1] > starts[i];
    ML__PUBLISH(f, columns, "columns", ML_INT64, s->n);
    ML__PUBLISH(f, offsets, "offsets", ML_INT64, n_parts + 2);
    memcpy(columns, s->columns, s->n * sizeof *columns);
    for (size_t i = 0; i < n_members; i++)
        if (starts[i + 1] > starts[i])
            offsets[part++] = (int64_t)starts[i];
    offsets[part] = (int64_t)starts[n_members];
    offsets[part + 1] = (int64_t)s->n;
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const ml__members *members = &f->model->members;
    size_t *starts, width;
    selection s;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, starts, members->n + 2);
    ML__TRY(find_columns(f, &s, starts));
    width = s.n - starts[members->n];
    for (size_t i = 0; i < members->n; i++)
        if (starts[i + 1] > starts[i])
            ML__TRY(fit_member(f, &members->items[i], s.columns + starts[i], starts[i + 1] - starts[i], &width));
    ML__TRY(publish(f, &s, starts));
done:
    return st;
}

/* ---- what fits together, after every fit and load ---- */

static ml_status check_tensors(const ml__learned *learned, const ml__named_tensor *columns,
                               const ml__named_tensor *offsets)
{
    const size_t n_members = learned->members.n;
    const int64_t *at = offsets->data, *column = columns->data;
    ml_status st = ML_OK;

    ML__CHECK(offsets->shape[0] == (uint64_t)n_members + 2, ML_E_FORMAT,
              "tensor 'offsets' has %llu elements for %zu members", (unsigned long long)offsets->shape[0], n_members);
    ML__CHECK(at[0] == 0 && (uint64_t)at[n_members + 1] == columns->shape[0], ML_E_FORMAT,
              "tensor 'offsets' does not span the %llu columns", (unsigned long long)columns->shape[0]);
    for (size_t i = 0; i <= n_members; i++)
        ML__CHECK(at[i] <= at[i + 1], ML_E_FORMAT, "tensor 'offsets' descends at element %zu", i + 1);
    for (size_t c = 0; c < columns->shape[0]; c++)
        ML__CHECK((uint64_t)column[c] < learned->schema.n_features, ML_E_FORMAT,
                  "tensor 'columns': element %zu is %lld, there are %zu features", c, (long long)column[c],
                  learned->schema.n_features);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *columns = ml__learned_find(learned, "columns"),
                           *offsets = ml__learned_find(learned, "offsets");
    const ml__members *members = &learned->members;
    const int64_t *column = columns->data, *at = offsets->data;
    ml__parts *parts;
    ml_status st;

    (void)model;
    ML__TRY(check_tensors(learned, columns, offsets));
    ML__NEW(&learned->arena, parts, 1);
    ML__NEW(&learned->arena, parts->parts, members->n + 1);
    for (size_t i = 0; i < members->n; i++)
        ML__TRY(ml__parts_add(parts, members->items[i].name, members->items[i].model, column + at[i],
                              (size_t)(at[i + 1] - at[i])));
    if (at[members->n + 1] > at[members->n])
        ML__TRY(ml__parts_add(parts, REMAINDER, NULL, column + at[members->n],
                              (size_t)(at[members->n + 1] - at[members->n])));
    ML__CHECK(parts->width, ML_E_FORMAT, "it has neither members nor columns");
    learned->state = parts;
done:
    return st == ML_OK || st == ML_E_MEMORY ? st : ml__blame(st, "column_transformer: ");
}

const ml__kind ml__column_transformer = {
    .name = "column_transformer",
    .doc = "Transformers side by side: each sees the columns that it is given, and what they give is joined",
    .tasks = ML__UNSUPERVISED,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .min_members = 1,
    .max_members = MAX_MEMBERS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .transform = ml__parts_transform,
    .scratch = ml__parts_scratch,
    .width = ml__parts_width,
    .accepts_of = accepts_of,
    .name_features = ml__parts_name_features,
};
