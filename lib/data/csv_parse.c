/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of CSV (RFC 4180, read with some patience):
 *
 *     file    = [byte order mark] record*
 *     record  = cell (delimiter cell)* (LF | CR LF | CR | end)     all records have the same number of cells
 *     cell    = blanks (plain | quoted) blanks                     blanks: spaces and tabs that are not the delimiter
 *     plain   = any bytes but delimiter, CR and LF; a quote inside is just a character
 *     quoted  = '"' (any byte but '"' | '""')* '"'
 *
 * Lines of blanks only are skipped. The text is scanned twice: first to check everything and to count, then to write
 * the cells, so that nothing grows. Line numbers are not kept: an error counts the line ends before it.
 */
#include "data/csv.h"

#include <invar/dataset.h>
#include <string.h>

#include "base/text.h"

enum { MAX_CELL_BYTES = 1 << 20 };

typedef struct scanner {
    ml__csv *csv;
    char *at, *end;
    char *record; /* where the current one begins */
    size_t n_records;
    size_t n_cells; /* of the current record */
    ml__cell *next; /* NULL while counting */
} scanner;

size_t ml__csv_line(const ml__csv *csv, const char *at)
{
    size_t line = 1;

    for (const char *c = csv->text; c < at; c++)
        line += *c == '\n' || (*c == '\r' && c[1] != '\n');
    return line;
}

int ml__cell_compare(const ml__cell *a, const ml__cell *b)
{
    const int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_blank(const scanner *s, char c)
{
    return (c == ' ' || c == '\t') && c != s->csv->delimiter;
}

static void skip_blanks(scanner *s)
{
    while (s->at < s->end && is_blank(s, *s->at))
        s->at++;
}

static void skip_line_end(scanner *s)
{
    if (s->at < s->end && *s->at == '\r')
        s->at += s->end - s->at > 1 && s->at[1] == '\n' ? 2 : 1;
    else if (s->at < s->end)
        s->at++;
}

/* ---- cells ---- */

static ml_status fail_at(const scanner *s, const char *at, ml_status code, const char *reason)
{
    return ml__fail(code, "%s, line %zu, column %zu: %s", s->csv->name, ml__csv_line(s->csv, at), s->n_cells + 1,
                    reason);
}

static ml_status check_bytes(const scanner *s, const char *text, size_t n)
{
    unsigned char high = 0;
    size_t n_zeros = 0;

    if (n > MAX_CELL_BYTES)
        return fail_at(s, text, ML_E_LIMIT, "the cell is longer than 1 MiB");
    for (size_t i = 0; i < n; i++) {
        high |= (unsigned char)text[i];
        n_zeros += !text[i];
    }
    if (n_zeros)
        return fail_at(s, text, ML_E_FORMAT, "NUL byte: not a text file, or UTF-16 instead of UTF-8");
    if (high >= 0x80 && !ml__utf8_valid(text, n))
        return fail_at(s, text, ML_E_FORMAT, "invalid UTF-8");
    return ML_OK;
}

static ml_status scan_plain(scanner *s, ml__cell *cell)
{
    const char delimiter = s->csv->delimiter;
    const char *first = s->at, *last;

    while (s->at < s->end && *s->at != delimiter && !is_line_end(*s->at))
        s->at++;
    for (last = s->at; last > first && is_blank(s, last[-1]);)
        last--;
    *cell = (ml__cell){first, (size_t)(last - first)};
    return s->next ? ML_OK : check_bytes(s, cell->text, cell->length);
}

/* Quotes are undoubled in place. The bytes that become free are blanked, so that the count of lines stays right. */
static size_t undouble(char *text, size_t n)
{
    size_t length = 0;

    for (size_t i = 0; i < n; i++) {
        text[length++] = text[i];
        i += text[i] == '"';
    }
    memset(text + length, ' ', n - length);
    return length;
}

static ml_status scan_quoted(scanner *s, ml__cell *cell)
{
    char *open = s->at, *first = open + 1, *close = first;
    bool has_doubled = false;

    for (;; close += 2) {
        close = memchr(close, '"', (size_t)(s->end - close));
        if (!close)
            return fail_at(s, open, ML_E_FORMAT, "the quote that opens here is never closed");
        if (s->end - close < 2 || close[1] != '"')
            break;
        has_doubled = true;
    }
    s->at = close + 1;
    skip_blanks(s);
    if (s->at < s->end && *s->at != s->csv->delimiter && !is_line_end(*s->at))
        return fail_at(s, s->at, ML_E_FORMAT, "text after the closing quote");
    *cell = (ml__cell){first, (size_t)(close - first)};
    if (!s->next)
        return check_bytes(s, cell->text, cell->length);
    if (has_doubled)
        cell->length = undouble(first, cell->length);
    return ML_OK;
}

static ml_status scan_cell(scanner *s)
{
    ml__cell cell;
    ml_status st;

    skip_blanks(s);
    if (s->at < s->end && *s->at == '"')
        ML__TRY(scan_quoted(s, &cell));
    else
        ML__TRY(scan_plain(s, &cell));
    s->n_cells++;
    if (s->next)
        *s->next++ = cell;
done:
    return st;
}

/* ---- records ---- */

static ml_status check_record(scanner *s)
{
    ml__csv *csv = s->csv;
    ml_status st = ML_OK;

    if (!s->n_records)
        csv->n_columns = s->n_cells;
    ML__CHECK(s->n_cells <= ML_MAX_FEATURES, ML_E_LIMIT, "%s, line %zu: %zu columns, at most %zu are allowed",
              csv->name, ml__csv_line(csv, s->record), s->n_cells, ML_MAX_FEATURES);
    ML__CHECK(s->n_cells == csv->n_columns, ML_E_DATA, "%s, line %zu: %zu columns, the first line has %zu", csv->name,
              ml__csv_line(csv, s->record), s->n_cells, csv->n_columns);
done:
    return st;
}

static ml_status scan_record(scanner *s)
{
    ml_status st;

    s->n_cells = 0;
    for (;; s->at++) {
        ML__TRY(scan_cell(s));
        if (s->at == s->end || *s->at != s->csv->delimiter)
            break;
    }
    skip_line_end(s);
    ML__TRY(check_record(s));
    s->n_records++;
done:
    return st;
}

/* Go to the next record; false at the end of the text. */
static bool find_record(scanner *s)
{
    while (s->at < s->end) {
        s->record = s->at;
        skip_blanks(s);
        if (s->at < s->end && !is_line_end(*s->at)) {
            s->at = s->record;
            return true;
        }
        skip_line_end(s);
    }
    return false;
}

static scanner start(ml__csv *csv)
{
    const bool has_mark = csv->n_bytes >= 3 && !memcmp(csv->text, "\xEF\xBB\xBF", 3);
    return (scanner){.csv = csv, .at = csv->text + (has_mark ? 3 : 0), .end = csv->text + csv->n_bytes};
}

/* Whichever of the candidates the first record has most of outside quotes; the first of equals. */
static char find_delimiter(ml__csv *csv)
{
    static const char CANDIDATES[] = {',', ';', '\t'};
    size_t counts[sizeof CANDIDATES] = {0}, best = 0;
    scanner s = start(csv);
    bool is_quoted = false, is_start = true;

    if (!find_record(&s))
        return CANDIDATES[0];
    for (const char *c = s.at; c < s.end && (is_quoted || !is_line_end(*c)); c++) {
        bool is_delimiter = false;
        for (size_t i = 0; !is_quoted && i < sizeof CANDIDATES; i++)
            if (*c == CANDIDATES[i]) {
                counts[i]++;
                is_delimiter = true;
            }
        if (*c == '"' && (is_quoted || is_start))
            is_quoted = !is_quoted;
        is_start = is_delimiter || (is_start && *c == ' ') || (!is_quoted && *c == '"');
    }
    for (size_t i = 1; i < sizeof CANDIDATES; i++)
        if (counts[i] > counts[best])
            best = i;
    return CANDIDATES[best];
}

static ml_status scan(scanner *s)
{
    ml_status st = ML_OK;

    while (find_record(s))
        ML__TRY(scan_record(s));
done:
    return st;
}

ml_status ml__csv_parse(ml__csv *csv, ml_context *context)
{
    size_t n_cells;
    scanner s;
    ml_status st;

    ML__CHECK(csv->n_bytes < 2 || (memcmp(csv->text, "\xFF\xFE", 2) && memcmp(csv->text, "\xFE\xFF", 2)), ML_E_FORMAT,
              "%s, line 1, column 1: UTF-16, expected UTF-8", csv->name);
    if (!csv->delimiter)
        csv->delimiter = find_delimiter(csv);
    s = start(csv);
    ML__TRY(scan(&s));
    ML__CHECK(s.n_records, ML_E_DATA, "%s, line 1: the file is empty", csv->name);
    csv->n_records = s.n_records;

    ML__CHECK(ml__size_mul(csv->n_records, csv->n_columns, &n_cells), ML_E_MEMORY, "%s has too many cells", csv->name);
    csv->cells = ml__alloc_array(context, n_cells, sizeof *csv->cells);
    ML__TRY(csv->cells ? ML_OK : ML_E_MEMORY);
    s = start(csv);
    s.next = csv->cells;
    ML__TRY(scan(&s));
done:
    return st;
}
