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
 * the cells, so that nothing grows. Line numbers are not kept: an error counts the line ends before it. A text may be a
 * part of a file: then the scanner stops before a cell or blank line that the end of the part may have cut.
 */
#include "data/csv.h"

#include <invar/dataset.h>
#include <string.h>

#include "base/text.h"

enum { MAX_CELL_BYTES = 1 << 20 };

typedef ml__csv_scanner scanner;

uint64_t ml__csv_place(const ml__csv *csv, const char *at)
{
    return csv->offset + (uint64_t)(at - csv->text);
}

/* CR LF is one line end. */
static size_t count_line_ends(const char *text, size_t n, bool *is_after_cr)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count += text[i] == '\r' || (text[i] == '\n' && !*is_after_cr);
        *is_after_cr = text[i] == '\r';
    }
    return count;
}

/* Of a file that can no longer be read: as far as that goes. */
size_t ml__csv_line(const ml__csv *csv, uint64_t place)
{
    bool is_after_cr = false;
    char bytes[4096];
    size_t line = 1;

    if (!csv->input)
        return line + count_line_ends(csv->text, (size_t)place, &is_after_cr);
    for (uint64_t at = 0; at < place; at += sizeof bytes) {
        const size_t n = place - at < sizeof bytes ? (size_t)(place - at) : sizeof bytes;
        if (ml__input_read(csv->input, at, bytes, n) != ML_OK)
            break;
        line += count_line_ends(bytes, n, &is_after_cr);
    }
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

static void skip_blanks(scanner *s)
{
    while (s->at < s->end && ml__csv_is_blank(s->csv, *s->at))
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

ml_status ml__csv_fail(const scanner *s, uint64_t place, ml_status code, const char *reason)
{
    return ml__fail(code, "%s, line %zu, column %zu: %s", s->csv->name, ml__csv_line(s->csv, place), s->n_cells + 1,
                    reason);
}

ml_status ml__csv_fail_overlong(const scanner *s, uint64_t place)
{
    return ml__csv_fail(s, place, ML_E_LIMIT, "the cell is longer than 1 MiB");
}

static ml_status fail_at(const scanner *s, const char *at, ml_status code, const char *reason)
{
    return ml__csv_fail(s, ml__csv_place(s->csv, at), code, reason);
}

static ml_status check_bytes(const scanner *s, const char *text, size_t n)
{
    unsigned char high = 0;
    size_t n_zeros = 0;

    if (n > MAX_CELL_BYTES)
        return ml__csv_fail_overlong(s, ml__csv_place(s->csv, text));
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

/* What follows a cell is a delimiter or line end of up to two bytes. */
static bool is_cut(const scanner *s)
{
    return !s->is_last && s->end - s->at < 2;
}

static ml_status scan_plain(scanner *s, ml__cell *cell)
{
    const char delimiter = s->csv->delimiter;
    const char *first = s->at, *const end = s->end, *last;
    char *at = s->at;

    while (at < end && *at != delimiter && !is_line_end(*at))
        at++;
    s->at = at;
    for (last = at; last > first && ml__csv_is_blank(s->csv, last[-1]);)
        last--;
    *cell = (ml__cell){first, (size_t)(last - first)};
    if (s->is_checked || (is_cut(s) && cell->length <= MAX_CELL_BYTES))
        return ML_OK;
    return check_bytes(s, cell->text, cell->length);
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
    ml_status st = ML_OK;

    for (;; close += 2) {
        close = close < s->end ? memchr(close, '"', (size_t)(s->end - close)) : NULL;
        if (!close && !s->is_last) {
            s->at = s->end;
            s->is_overlong = s->end - first > MAX_CELL_BYTES;
            return ML_OK;
        }
        if (!close)
            return fail_at(s, open, ML_E_FORMAT, ML__CSV_NEVER_CLOSED);
        if (s->end - close < 2 || close[1] != '"')
            break;
        has_doubled = true;
    }
    s->at = close + 1;
    skip_blanks(s);
    if (is_cut(s))
        return ML_OK;
    if (s->at < s->end && *s->at != s->csv->delimiter && !is_line_end(*s->at))
        return fail_at(s, s->at, ML_E_FORMAT, ML__CSV_TEXT_BEHIND);
    *cell = (ml__cell){first, (size_t)(close - first)};
    if (!s->is_checked)
        ML__TRY(check_bytes(s, cell->text, cell->length));
    if (has_doubled && s->next)
        cell->length = undouble(first, cell->length);
done:
    return st;
}

/* The next cell, and false in *is_whole when it is left for later. */
static ml_status scan_cell(scanner *s, bool *is_whole)
{
    ml__cell cell = {0};
    char *first;
    ml_status st;

    skip_blanks(s);
    first = s->at;
    if (first < s->end && *first == '"')
        ML__TRY(scan_quoted(s, &cell));
    else
        ML__TRY(scan_plain(s, &cell));
    *is_whole = !is_cut(s);
    if (!*is_whole) {
        s->at = first;
        return ML_OK;
    }
    if (s->next && s->n_cells < s->csv->n_columns)
        *s->next++ = cell;
    s->n_cells++;
done:
    return st;
}

/* ---- records ---- */

static ml_status check_record(scanner *s)
{
    ml__csv *csv = s->csv;
    ml_status st = ML_OK;

    if (!csv->n_columns)
        csv->n_columns = s->n_cells;
    ML__CHECK(s->n_cells <= ML_MAX_FEATURES, ML_E_LIMIT, "%s, line %zu: %zu columns, at most %zu are allowed",
              csv->name, ml__csv_line(csv, s->record), s->n_cells, ML_MAX_FEATURES);
    ML__CHECK(s->n_cells == csv->n_columns, ML_E_DATA, "%s, line %zu: %zu columns, the first line has %zu", csv->name,
              ml__csv_line(csv, s->record), s->n_cells, csv->n_columns);
done:
    return st;
}

/* Go to the next record; false at the end of the text. */
static bool find_record(scanner *s)
{
    while (s->at < s->end) {
        char *first = s->at;
        skip_blanks(s);
        if (is_cut(s))
            return false;
        if (s->at < s->end && !is_line_end(*s->at)) {
            s->at = first;
            s->record = ml__csv_place(s->csv, first);
            return true;
        }
        skip_line_end(s);
    }
    return false;
}

static ml_status begin_record(scanner *s)
{
    ml_status st = ML_OK;

    ML__CHECK(!s->next || s->n_records < s->n_wanted, ML_E_DATA, "%s, line %zu: a line that was not there before",
              s->csv->name, ml__csv_line(s->csv, s->record));
    if (s->found)
        ML__TRY(s->found(s->argument, s));
    s->n_cells = 0;
    s->is_in_record = true;
done:
    return st;
}

ml_status ml__csv_scan(scanner *s)
{
    bool is_whole;
    ml_status st = ML_OK;

    while (s->is_in_record || find_record(s)) {
        if (!s->is_in_record)
            ML__TRY(begin_record(s));
        ML__TRY(scan_cell(s, &is_whole));
        if (!is_whole)
            return ML_OK;
        if (s->at < s->end && *s->at == s->csv->delimiter) {
            s->at++;
            continue;
        }
        skip_line_end(s);
        ML__TRY(check_record(s));
        s->n_records++;
        s->is_in_record = false;
        s->behind = ml__csv_place(s->csv, s->at);
    }
done:
    return st;
}

/* ---- the beginning ---- */

static const char CANDIDATES[] = {',', ';', '\t'};

/* Counts what stands outside quotes. Blank lines before the first record count for nothing. */
bool ml__csv_sniff(ml__csv_sniffer *s, const char *text, size_t n)
{
    for (const char *c = text; c < text + n; c++) {
        const char *candidate = memchr(CANDIDATES, *c, sizeof CANDIDATES);
        if (!s->is_quoted && is_line_end(*c)) {
            if (s->is_started)
                return false;
            *s = (ml__csv_sniffer){0};
            continue;
        }
        s->is_started |= *c != ' ' && *c != '\t';
        if (!s->is_quoted && candidate)
            s->counts[candidate - CANDIDATES]++;
        if (*c == '"' && (s->is_quoted || !s->is_inside))
            s->is_quoted = !s->is_quoted;
        s->is_inside = s->is_quoted || !(candidate || *c == '"' || (!s->is_inside && *c == ' '));
    }
    return true;
}

/* Whichever the first record has most of; the first of equals. */
char ml__csv_sniffed(const ml__csv_sniffer *s)
{
    size_t best = 0;

    for (size_t i = 1; s->is_started && i < sizeof CANDIDATES; i++)
        if (s->counts[i] > s->counts[best])
            best = i;
    return CANDIDATES[best];
}

ml_status ml__csv_check_mark(const ml__csv *csv, size_t *n_bytes)
{
    ml_status st = ML_OK;

    *n_bytes = csv->n_bytes >= 3 && !memcmp(csv->text, "\xEF\xBB\xBF", 3) ? 3 : 0;
    ML__CHECK(csv->n_bytes < 2 || (memcmp(csv->text, "\xFF\xFE", 2) && memcmp(csv->text, "\xFE\xFF", 2)), ML_E_FORMAT,
              "%s, line 1, column 1: UTF-16, expected UTF-8", csv->name);
done:
    return st;
}

/* ---- the whole ---- */

ml_status ml__csv_parse(ml__csv *csv, ml_context *context)
{
    ml__csv_sniffer sniffer = {0};
    size_t n_cells, n_mark;
    scanner s;
    ml_status st;

    ML__TRY(ml__csv_check_mark(csv, &n_mark));
    s = (scanner){.csv = csv, .at = csv->text + n_mark, .end = csv->text + csv->n_bytes, .is_last = true};
    if (!csv->delimiter) {
        ml__csv_sniff(&sniffer, s.at, csv->n_bytes - n_mark);
        csv->delimiter = ml__csv_sniffed(&sniffer);
    }
    ML__TRY(ml__csv_scan(&s));
    ML__CHECK(s.n_records, ML_E_DATA, "%s, line 1: the file is empty", csv->name);
    csv->n_records = s.n_records;

    ML__CHECK(ml__size_mul(csv->n_records, csv->n_columns, &n_cells), ML_E_MEMORY, "%s has too many cells", csv->name);
    csv->cells = ml__alloc_array(context, n_cells, sizeof *csv->cells);
    ML__TRY(csv->cells ? ML_OK : ML_E_MEMORY);
    s.at = csv->text + n_mark;
    s.n_records = 0;
    s.is_checked = true;
    s.next = csv->cells;
    s.n_wanted = csv->n_records;
    ML__TRY(ml__csv_scan(&s));
done:
    return st;
}
