/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows for passes over data: from memory, or read block by block from a streamed dataset. What computes asks a window for the
 * rows it needs next and does not know the difference, so that the results are the same bits.
 */
#ifndef ML__LEARN_WINDOW_H
#define ML__LEARN_WINDOW_H

#include "data/dataset.h"
#include "learn/slots.h"

/* Rows of a dataset, as they are or changed on reading. */
typedef struct ml__stream {
    const ml_dataset *data;
    size_t d;
    const size_t *rows;  /* which ones, in this order; NULL: all */
    const double *shift; /* taken off [d], or NULL */
    bool may_miss;       /* some entries are NaN, unless */
    bool fills;          /* they become 0 */
} ml__stream;

/* n x d values of rows [first, first + n). */
ml_status ml__stream_read(const ml__stream *stream, size_t first, size_t n, double *out);

/* Rows with positive weights; row-major. */
typedef struct ml__points {
    const double *X; /* n x d, or NULL: */
    size_t n, d;
    const double *w; /* n */
    const ml__stream *stream;
} ml__points;

/* Row i. */
ml_status ml__points_row(const ml__points *points, size_t i, double *x);

/* Rows that are at hand; it moves towards the end. One for each task. */
typedef struct ml__window {
    const double *X; /* all rows, or NULL: */
    const ml__stream *stream;
    size_t d, first, end, limit, capacity; /* rows [first, end) are in the buffer */
    double *buffer;
} ml__window;

/* For rows below `limit`, up to n_most of them at once. The caller closes it, also after a failure. */
ml_status ml__window_open(ml__window *window, const ml__points *points, size_t n_most, size_t limit);
void ml__window_close(ml__window *window);
ml_status ml__window_move(ml__window *window, size_t first);

/* Rows [first, first + n), and all others below window->end, until the next call. `first` never falls. */
static inline ml_status ml__window_at(ml__window *window, size_t first, size_t n, const double **X)
{
    const ml_status st = first + n > window->end ? ml__window_move(window, first) : ML_OK;

    *X = window->X ? window->X + first * window->d : window->buffer + (first - window->first) * window->d;
    return st;
}

#endif
