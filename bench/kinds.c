/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seconds to fit and microseconds per predicted row of every kind that learns labels or no output at all, on a synthetic
 * table: median of five after a warm-up.
 *
 *     bench-kinds [n_threads [n_samples [n_features]]]
 */
#include <invar/ml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_REPEATS = 5 };

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double times[N_REPEATS])
{
    qsort(times, N_REPEATS, sizeof *times, ascending);
    return times[N_REPEATS / 2];
}

static ml_status predict(const ml_model *model, const ml_dataset *data, double *out)
{
    const size_t n = ml_dataset_n_rows(data);

    if (ml_model_width(model, ML_PREDICT))
        return ml_model_predict(model, data, out, n * ml_model_width(model, ML_PREDICT));
    return ml_model_transform(model, data, out, n * ml_model_width(model, ML_TRANSFORM));
}

/* Refused kinds (composites without members, kinds for reals) are left out with the reason. */
static void time_kind(ml_context *context, const char *kind, const ml_dataset *data, double *out)
{
    double fit[N_REPEATS], use[N_REPEATS];
    ml_model *model;
    ml_status st = ml_model_create(context, kind, &model);

    for (int r = -1; r < N_REPEATS && st == ML_OK; r++) {
        const double start = seconds();
        double fitted;

        st = ml_model_fit(model, data, NULL);
        fitted = seconds();
        if (st == ML_OK)
            st = predict(model, data, out);
        if (r >= 0) {
            fit[r] = fitted - start;
            use[r] = 1e6 * (seconds() - fitted) / (double)ml_dataset_n_rows(data);
        }
    }
    if (st == ML_OK)
        printf("%-20s %10.4f %10.3f\n", kind, median(fit), median(use));
    else
        printf("%-20s left out: %s\n", kind, ml_last_error());
    ml_model_free(model);
}

int main(int argc, char **argv)
{
    const char *n_samples = argc > 2 ? argv[2] : "10000", *n_features = argc > 3 ? argv[3] : "20";
    const ml_context_options options = {.struct_size = sizeof options,
                                        .n_threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1};
    char params[128];
    ml_context *context;
    ml_dataset *data;
    double *out;

    snprintf(params, sizeof params, "n_samples=%s,n_features=%s,n_informative=8,n_classes=3", n_samples, n_features);
    if (ml_context_create(&options, &context) != ML_OK ||
        ml_dataset_make(context, "classification", params, &data) != ML_OK) {
        fprintf(stderr, "%s\n", ml_last_error());
        return 1;
    }
    out = malloc(ml_dataset_n_rows(data) * 2 * ml_dataset_n_features(data) * sizeof *out);
    if (!out)
        return 1;
    printf("%s, %u threads, %s rows x %s features\n", ml_build_info(), options.n_threads, n_samples, n_features);
    printf("%-20s %10s %10s\n", "kind", "fit s", "us/row");
    for (size_t k = 0; k < ml_kind_count(); k++)
        time_kind(context, ml_kind_name(k), data, out);
    free(out);
    ml_dataset_free(data);
    ml_context_free(context);
    return 0;
}
