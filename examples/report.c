/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *const CLASS_METRICS[] = {"accuracy", "precision_micro", "recall_micro", "f1_micro", "f1_macro", "log_loss",
                                     NULL};
const char *const REAL_METRICS[] = {"rmse", "mae", "r2", NULL, NULL, NULL, NULL};

static const char *const CLASS_TITLES[] = {"accuracy", "P micro", "R micro", "F1 micro", "F1 macro", "log-loss"};
static const char *const REAL_TITLES[] = {"RMSE", "MAE", "R2"};

/* ---- tables ---- */

void print_heading(const char *path, const ml_dataset *data)
{
    const size_t n_classes = ml_dataset_n_classes(data, 0), d = ml_dataset_n_features(data);
    size_t n_text = 0;

    for (size_t j = 0; j < d; j++)
        n_text += ml_dataset_n_categories(data, j) > 0;
    printf("\n== %s: %zu rows, %zu feature%s", path, ml_dataset_n_rows(data), d, d == 1 ? "" : "s");
    if (n_text)
        printf(" (%zu of them text)", n_text);
    if (n_classes)
        printf(", %zu class%s of '%s'\n\n", n_classes, n_classes == 1 ? "" : "es", ml_dataset_output_name(data, 0));
    else
        printf(", real target '%s'\n\n", ml_dataset_output_name(data, 0));
}

static size_t print_header(bool labels, int width)
{
    const char *const *titles = labels ? CLASS_TITLES : REAL_TITLES;
    const size_t n = labels ? sizeof CLASS_TITLES / sizeof *CLASS_TITLES : sizeof REAL_TITLES / sizeof *REAL_TITLES;

    printf("%-10s %s", "member", "weight");
    for (size_t i = 0; i < n; i++)
        printf(" %*s", width, titles[i]);
    return n;
}

void print_rows(const report_row *rows, size_t n_rows, bool labels)
{
    const size_t n_metrics = print_header(labels, 9);

    printf(" %9s %7s\n", "fit s", "us/row");
    for (size_t r = 0; r < n_rows; r++) {
        printf("%-10s %6.3f", rows[r].name, rows[r].weight);
        for (size_t i = 0; i < n_metrics; i++)
            printf(" %9.4f", rows[r].metrics[i]);
        printf(" %9.3f %7.2f\n", rows[r].fit_seconds, rows[r].microseconds);
    }
}

static void print_mean(const report_row *row, size_t stride, size_t n, size_t metric)
{
    double mean = 0, squares = 0;

    for (size_t s = 0; s < n; s++)
        mean += row[s * stride].metrics[metric] / (double)n;
    for (size_t s = 0; s < n; s++)
        squares += pow(row[s * stride].metrics[metric] - mean, 2);
    printf(" %8.4f ±%6.4f", mean, n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : 0.0);
}

void print_averages(const report_row *rows, size_t n_rows, size_t n_splits, bool labels)
{
    const size_t n_metrics = print_header(labels, 16);

    printf("   (mean ± standard error over %zu splits)\n", n_splits);
    for (size_t r = 0; r < n_rows; r++) {
        double weight = 0;

        for (size_t s = 0; s < n_splits; s++)
            weight += rows[s * n_rows + r].weight / (double)n_splits;
        printf("%-10s %6.3f", rows[r].name, weight);
        for (size_t i = 0; i < n_metrics; i++)
            print_mean(rows + r, n_rows, n_splits, i);
        printf("\n");
    }
    fflush(stdout);
}

/* ---- progress ---- */

/* Steps of the outermost model; the running step of a pipeline or other model of models counts in part. */
static double fraction_done(progress_bar *bar, const ml_progress *p)
{
    const char *slash = strchr(p->stage, '/');
    const double part = p->total ? (double)p->done / (double)p->total : 0;

    if (!slash) {
        bar->done = (double)p->done;
        bar->total = (double)p->total;
        return part;
    }
    return bar->total > 0 ? (bar->done + (strchr(slash + 1, '/') ? 0 : part)) / bar->total : 0;
}

int32_t show_progress(void *user, const ml_progress *p)
{
    enum { WIDTH = 30 };
    progress_bar *bar = user;
    const double now = seconds(), fraction = fraction_done(bar, p);
    int filled;

    if (fraction > bar->fraction)
        bar->fraction = fraction;
    if (!isatty(STDERR_FILENO) || now - bar->last_drawn < 0.05)
        return 0;
    bar->last_drawn = now;
    bar->drawn = true;
    filled = (int)(WIDTH * bar->fraction);
    fprintf(stderr, "\r\033[K%-10s [%.*s%*s] %.60s", bar->label, filled, "##############################",
            WIDTH - filled, "", p->stage);
    if (p->metric[0])
        fprintf(stderr, " %s %.4g", p->metric, p->value);
    return 0; /* anything else would cancel the fit */
}

void clear_progress(progress_bar *bar)
{
    if (bar->drawn)
        fprintf(stderr, "\r\033[K");
}

/* ---- arguments ---- */

static const char USAGE[] =
    "usage: quickstart [file.csv … --target column [--classification | --regression]] [--splits n]\n"
    "       column: its name, or #2 for the third, #-1 for the last; without files: the tables in examples/data\n";

static void refuse(const char *problem, const char *argument)
{
    fprintf(stderr, "%s%s\n%s", problem, argument, USAGE);
    exit(2);
}

static size_t number_of_splits(const char *text)
{
    enum { MOST = 10000 };
    char *end;
    const long n = strtol(text, &end, 10);

    if (end == text || *end || n < 1 || n > MOST)
        refuse("--splits takes a whole number from 1 to 10000, got ", text);
    return (size_t)n;
}

static const char *value_of(int argc, char **argv, int i)
{
    if (i + 1 >= argc)
        refuse("a value is missing after ", argv[i]);
    return argv[i + 1];
}

static void shipped_tables(arguments *a)
{
    static const char *const TABLES[] = {"breast_cancer", "digits", "iris", "wine", "boston", "diabetes"};
    static char paths[sizeof TABLES / sizeof *TABLES][512];
    const char *source = getenv("INVAR_SOURCE");

    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        snprintf(paths[i], sizeof paths[i], "%s%sexamples/data/%s.csv", source ? source : "", source ? "/" : "",
                 TABLES[i]);
        a->files[a->n_files++] = paths[i];
    }
    a->target = "target";
}

arguments read_arguments(int argc, char **argv)
{
    arguments a = {.task = ML_TASK_DETECT};

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            fputs(USAGE, stdout);
            exit(0);
        } else if (!strcmp(argv[i], "--target"))
            a.target = value_of(argc, argv, i++);
        else if (!strcmp(argv[i], "--splits"))
            a.n_splits = number_of_splits(value_of(argc, argv, i++));
        else if (!strcmp(argv[i], "--classification"))
            a.task = ML_TASK_CLASSIFY;
        else if (!strcmp(argv[i], "--regression"))
            a.task = ML_TASK_REGRESS;
        else if (argv[i][0] == '-')
            refuse("unknown option ", argv[i]);
        else if (a.n_files < MAX_FILES)
            a.files[a.n_files++] = argv[i];
        else
            refuse("too many files, from ", argv[i]);
    }
    if (!a.n_files && (a.target || a.task != ML_TASK_DETECT))
        refuse("no file was given", "");
    if (!a.n_files)
        shipped_tables(&a);
    if (!a.target)
        refuse("which column is to be predicted? --target is missing", "");
    return a;
}

/* ---- the system ---- */

double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

uint32_t processors(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > 64 ? 64 : (uint32_t)n;
}

long file_size(const char *path)
{
    struct stat status;

    return stat(path, &status) ? -1 : (long)status.st_size;
}

void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);

    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

char *temporary_path(const char *file_name)
{
    const char *directory = getenv("TMPDIR");
    char *path = allocate(1, 4096);

    snprintf(path, 4096, "%s/%ld-%s", directory ? directory : "/tmp", (long)getpid(), file_name);
    return path;
}
