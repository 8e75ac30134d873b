/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of columns, "num=age,#3:6;cat=categorical,\"a, b\"": for each member the columns that it gets.
 *
 * table   entry ; entry ...       spaces around anything are left out, and an entry may be empty
 * entry   member = column , column ...
 * column  text without , ; "      or any text in double quotes, a double quote in it twice
 */
#include <string.h>

#include "model/params.h"

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " ");
}

static size_t without_spaces(const char *text, size_t n)
{
    while (n && text[n - 1] == ' ')
        n--;
    return n;
}

/* Behind "member ="; NULL where there is none. */
static const char *read_member(const char *at, ml__column_name *column)
{
    const size_t n = strcspn(at, "=,;\"");

    column->member = at;
    column->member_length = without_spaces(at, n);
    return at[n] == '=' && column->member_length ? skip_spaces(at + n + 1) : NULL;
}

static const char *read_quoted(const char *at, ml__column_name *column)
{
    const char *end = at + 1;

    while (*end && (*end != '"' || end[1] == '"'))
        end += *end == '"' ? 2 : 1;
    column->text = at + 1;
    column->length = (size_t)(end - at - 1);
    return *end ? skip_spaces(end + 1) : NULL;
}

static const char *read_plain(const char *at, ml__column_name *column)
{
    const size_t n = strcspn(at, ",;\"");

    column->text = at;
    column->length = without_spaces(at, n);
    return at + n;
}

bool ml__columns_next(const char **list, ml__column_name *column)
{
    const char *at = skip_spaces(*list);

    if (column->ends_entry) {
        while (*at == ';')
            at = skip_spaces(at + 1);
        *list = at;
        if (!*at || !(at = read_member(at, column)))
            return false;
    }
    column->ends_entry = false;
    column->is_quoted = *at == '"';
    at = column->is_quoted ? read_quoted(at, column) : read_plain(at, column);
    if (!at || !column->length || (*at && *at != ',' && *at != ';'))
        return false;
    column->ends_entry = *at != ',';
    *list = at + (*at != 0);
    return true;
}

bool ml__column_is(const ml__column_name *column, const char *name)
{
    size_t i = 0;

    for (; i < column->length && *name && column->text[i] == *name; name++)
        i += column->is_quoted && *name == '"' ? 2 : 1;
    return i == column->length && !*name;
}
