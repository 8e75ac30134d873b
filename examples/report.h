/* SPDX-License-Identifier: Apache-2.0 */
/* What the example needs besides Invar: arguments, a clock, a progress bar, tables on the terminal. */
#ifndef INVAR_EXAMPLE_REPORT_H
#define INVAR_EXAMPLE_REPORT_H

#include <invar/ml.h>
#include <stdbool.h>

enum { MAX_METRICS = 6, MAX_FILES = 32 };

/* NULL-terminated names as ml_model_score() takes them. */
extern const char *const CLASS_METRICS[MAX_METRICS + 1], *const REAL_METRICS[MAX_METRICS + 1];

typedef struct report_row {
    const char *name;
    double weight, metrics[MAX_METRICS], fit_seconds, microseconds;
} report_row;

void print_heading(const char *path, const ml_dataset *data);
void print_rows(const report_row *rows, size_t n_rows, bool labels);
/* rows: n_splits runs of n_rows; prints mean ± standard error of each metric. */
void print_averages(const report_row *rows, size_t n_rows, size_t n_splits, bool labels);

typedef struct arguments {
    const char *files[MAX_FILES];
    size_t n_files, n_splits;
    const char *target;
    uint32_t task;
} arguments;

/* Ends the program with a usage text when it cannot make sense of them. */
arguments read_arguments(int argc, char **argv);

/* A bar on standard error while a model is fitted, drawn only when that is a terminal. */
typedef struct progress_bar {
    const char *label;
    double last_drawn, done, total, fraction;
    bool drawn;
} progress_bar;

int32_t show_progress(void *bar, const ml_progress *progress); /* an ml_monitor */
void clear_progress(progress_bar *bar);

double seconds(void);
uint32_t processors(void);
long file_size(const char *path);
void *allocate(size_t n, size_t size);       /* zeros, to be freed; ends the program when there is no memory */
char *temporary_path(const char *file_name); /* to be freed */

#endif
