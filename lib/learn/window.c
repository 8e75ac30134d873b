/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows from memory or from a streamed dataset.
 *
 * Window      some 64 KiB of rows, at least what is asked for at once; rows that are asked for again move to its front
 * Memory      a window for each task that runs; nothing for rows in memory
 */
#include "learn/window.h"

#include <math.h>
#include <string.h>

enum {
    WINDOW_VALUES = 1 << 13,
    MOST_APART = 32 /* rows: reading that many costs about as much as another read */
};

/* ---- reading ---- */

/* How many of n rows are read at once: they follow each other closely, and with those between them there is room for them. */
static size_t count_near(const size_t *rows, size_t n)
{
    size_t count = 1;

    while (count < n && rows[count] > rows[count - 1] && rows[count] - rows[count - 1] <= MOST_APART &&
           rows[count] - rows[0] < n)
        count++;
    return count;
}

/* Rows that lie near each other are read with those between them, and closed up. */
static ml_status read_rows(const ml__stream *s, size_t first, size_t n, double *out)
{
    const size_t d = s->d;
    ml_status st = ML_OK;

    if (!s->rows)
        return ml__dataset_read(s->data, first, n, ML_FLOAT64, out);
    for (size_t n_read; n; n -= n_read, first += n_read, out += n_read * d) {
        const size_t *rows = s->rows + first;

        n_read = count_near(rows, n);
        ML__TRY(ml__dataset_read(s->data, rows[0], rows[n_read - 1] - rows[0] + 1, ML_FLOAT64, out));
        for (size_t r = 1; r < n_read; r++)
            if (rows[r] - rows[0] > r)
                memcpy(out + r * d, out + (rows[r] - rows[0]) * d, d * sizeof *out);
    }
done:
    return st;
}

/* out[n x d] = X - shift */
static void shift_rows(size_t n, size_t d, const double *restrict X, const double *restrict shift, double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            out[i * d + j] = X[i * d + j] - shift[j];
}

ml_status ml__stream_read(const ml__stream *s, size_t first, size_t n, double *out)
{
    const size_t d = s->d;
    const double *dense = s->shift && !s->rows ? ml__dataset_dense(s->data, ML_FLOAT64) : NULL;
    const ml_status st = dense ? ML_OK : read_rows(s, first, n, out);

    if (st != ML_OK)
        return st;
    if (dense)
        shift_rows(n, d, dense + first * d, s->shift, out);
    for (size_t i = 0; i < n && s->shift && !dense; i++)
        for (size_t j = 0; j < d; j++)
            out[i * d + j] -= s->shift[j];
    for (size_t v = 0; v < n * d && s->fills; v++)
        out[v] = isnan(out[v]) ? 0 : out[v];
    return ML_OK;
}

ml_status ml__points_row(const ml__points *p, size_t i, double *x)
{
    if (!p->X)
        return ml__stream_read(p->stream, i, 1, x);
    memcpy(x, p->X + i * p->d, p->d * sizeof *x);
    return ML_OK;
}

/* ---- windows ---- */

/* Rows of a window: whole blocks where there are several, so that reading begins where blocks do. */
static size_t capacity_of(size_t d, size_t n_most)
{
    const size_t n = WINDOW_VALUES / d / ML__SLOT_BLOCK * ML__SLOT_BLOCK;

    return n > n_most ? n : n_most;
}

ml_status ml__window_open(ml__window *w, const ml__points *p, size_t n_most, size_t limit)
{
    ml_context *context;
    size_t n_values;
    ml_status st = ML_OK;

    *w = (ml__window){.X = p->X, .stream = p->stream, .d = p->d, .limit = limit, .end = p->X ? limit : 0};
    if (p->X)
        return ML_OK;
    context = ml__dataset_context(p->stream->data);
    w->capacity = capacity_of(p->d, n_most);
    w->capacity = w->capacity < limit ? w->capacity : limit;
    ML__CHECK(ml__size_mul(w->capacity, p->d, &n_values), ML_E_MEMORY, "%zu x %zu values do not fit in memory",
              w->capacity, p->d);
    w->buffer = ml__alloc_array(context, n_values, sizeof *w->buffer);
    st = w->buffer ? ML_OK : ML_E_MEMORY;
done:
    return st;
}

void ml__window_close(ml__window *w)
{
    ml__free(w->buffer);
}

ml_status ml__window_move(ml__window *w, size_t first)
{
    const size_t d = w->d, n_kept = first < w->end ? w->end - first : 0;
    const size_t n_new = (w->limit - first < w->capacity ? w->limit - first : w->capacity) - n_kept;

    if (n_kept)
        memmove(w->buffer, w->buffer + (first - w->first) * d, n_kept * d * sizeof *w->buffer);
    w->first = first;
    w->end = first + n_kept + n_new;
    return ml__stream_read(w->stream, first + n_kept, n_new, w->buffer + n_kept * d);
}
