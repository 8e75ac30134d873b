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
    const size_t n_classes = ml_dataset_n_classes(data, 0);

    printf("\n== %s: %zu rows, %zu features, ", path, ml_dataset_n_rows(data), ml_dataset_n_features(data));
    if (n_classes)
        printf("%zu classes of '%s'\n\n", n_classes, ml_dataset_output_name(data, 0));
    else
        printf("real target '%s'\n\n", ml_dataset_output_name(data, 0));
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

static void usage(const char *problem)
{
    fprintf(stderr,
            "%s\n"
            "usage: quickstart [file.csv …] [--target column] [--classification | --regression] [--splits n]\n",
            problem);
    exit(2);
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
        if (!strcmp(argv[i], "--target") && i + 1 < argc)
            a.target = argv[++i];
        else if (!strcmp(argv[i], "--splits") && i + 1 < argc)
            a.n_splits = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--classification"))
            a.task = ML_TASK_CLASSIFY;
        else if (!strcmp(argv[i], "--regression"))
            a.task = ML_TASK_REGRESS;
        else if (argv[i][0] == '-')
            usage(argv[i]);
        else if (a.n_files < MAX_FILES)
            a.files[a.n_files++] = argv[i];
    }
    if (!a.n_files)
        shipped_tables(&a);
    if (!a.target)
        usage("which column is to be predicted? --target column");
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

char *temporary_path(const char *file_name)
{
    const char *directory = getenv("TMPDIR");
    char *path = malloc(4096);

    if (!path)
        exit(1);
    snprintf(path, 4096, "%s/%ld-%s", directory ? directory : "/tmp", (long)getpid(), file_name);
    return path;
}
