/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invar from end to end, and its tutorial: load a table, train four kinds of model, fuse them by weighted averaging
 * with cross-validated weights, judge them, save, load, predict.
 *
 *     quickstart                               the tables in examples/data
 *     quickstart my.csv --target column        your own file (--regression or --classification when in doubt)
 *     quickstart --splits 20                   averages over 20 random splits of each table
 *
 * Everything about machine learning is in this file; tables, clock and progress bar are in report.c.
 */
#include <invar/ml.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* Every call can fail, and says why. A host would pass the status on; a program may stop. */
#define OK(call)                                                                  \
    do {                                                                          \
        const ml_status status = (call);                                          \
        if (status != ML_OK) {                                                    \
            fprintf(stderr, "%s: %s\n", ml_status_text(status), ml_last_error()); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

/*
 * ---- 1. Load: CSV in, features and a target out ----
 *
 * A structure of options says its own size, so that later versions can append to it; what is left 0 takes its default.
 * The context carries threads, allocator and limits. Where the defaults will do, it can be NULL.
 */

static ml_dataset *load(ml_context *context, const char *path, const char *target, uint32_t task)
{
    const ml_csv_options options = {.struct_size = sizeof options, .target = target, .task = task};
    ml_dataset *data;

    OK(ml_dataset_from_csv(context, path, &options, &data));
    return data;
}

/*
 * ---- 2. Models: a kind, parameters by scikit-learn's names, and members for those that are made of others ----
 *
 * A member that was added belongs to the model around it and is freed with it.
 */

static ml_model *model(ml_context *context, const char *kind)
{
    ml_model *m;

    OK(ml_model_create(context, kind, &m));
    return m;
}

static bool has_categories(const ml_dataset *data)
{
    for (size_t j = 0; j < ml_dataset_n_features(data); j++)
        if (ml_dataset_n_categories(data, j))
            return true;
    return false;
}

static bool has_missing(const ml_dataset *data)
{
    const size_t d = ml_dataset_n_features(data);
    double *row = allocate(d, sizeof *row);
    bool found = false;

    for (size_t i = 0; i < ml_dataset_n_rows(data) && !found; i++) {
        OK(ml_dataset_row(data, i, row, d));
        for (size_t j = 0; j < d; j++)
            found = found || isnan(row[j]);
    }
    free(row);
    return found;
}

/* A pipeline with what the table needs before any learner: missing values filled, categories as 0/1 columns. */
static ml_model *prepared(ml_context *context, const ml_dataset *data)
{
    ml_model *pipeline = model(context, "pipeline");

    if (has_missing(data))
        OK(ml_model_add_member(pipeline, "impute", model(context, "simple_imputer")));
    if (has_categories(data))
        OK(ml_model_add_member(pipeline, "encode", model(context, "one_hot_encoder")));
    return pipeline;
}

/* Where rows are plenty, some can be spared to notice when training no longer helps. */
static ml_model *network(ml_context *context, const ml_dataset *data)
{
    ml_model *mlp = model(context, "mlp");

    OK(ml_model_set_text(mlp, "hidden_layer_sizes", "64,32"));
    OK(ml_model_set_int(mlp, "batch_size", 32));
    OK(ml_model_set_real(mlp, "alpha", 1e-3));
    OK(ml_model_set_text(mlp, "early_stopping", ml_dataset_n_rows(data) > 5000 ? "true" : "false"));
    return mlp;
}

static ml_model *scaled_network(ml_context *context, const ml_dataset *data)
{
    ml_model *pipeline = prepared(context, data);

    OK(ml_model_add_member(pipeline, "scale", model(context, "standard_scaler")));
    OK(ml_model_add_member(pipeline, "net", network(context, data)));
    return pipeline;
}

static ml_model *forest(ml_context *context, const ml_dataset *data)
{
    ml_model *pipeline = prepared(context, data);

    OK(ml_model_add_member(pipeline, "forest", model(context, "random_forest"))); /* 100 trees by default */
    return pipeline;
}

static ml_model *boosted_trees(ml_context *context, const ml_dataset *data)
{
    ml_model *pipeline = prepared(context, data), *boost = model(context, "adaboost");

    OK(ml_model_set_int(boost, "n_estimators", 100));
    OK(ml_model_add_member(boost, "tree", model(context, "decision_tree")));
    OK(ml_model_add_member(pipeline, "boost", boost));
    OK(ml_model_set_int(pipeline, "boost__tree__max_depth", 3)); /* a member's parameter by its path */
    return pipeline;
}

/* The mixture appends to each row the posterior probability of each of its components: unsupervised features. */
static ml_model *mixture_network(ml_context *context, const ml_dataset *data)
{
    ml_model *pipeline = prepared(context, data), *gmm = model(context, "gmm");

    OK(ml_model_set_int(gmm, "n_components", 4));
    OK(ml_model_set_real(gmm, "reg_covar", 1e-3));
    OK(ml_model_set_text(gmm, "passthrough", "true"));
    OK(ml_model_add_member(pipeline, "scale", model(context, "standard_scaler")));
    OK(ml_model_add_member(pipeline, "gmm", gmm));
    OK(ml_model_add_member(pipeline, "net", network(context, data)));
    return pipeline;
}

enum { N_MEMBERS = 4 };
static const char *const NAMES[N_MEMBERS + 1] = {"mlp", "forest", "adaboost", "gmm-mlp", "ensemble"};

/*
 * The ensemble owns its members from here on. Fitting it trains each of them again: once per fold, to find the weights
 * from predictions of rows the member has not seen, and once on all rows.
 */
static ml_ensemble *fuse(ml_context *context, ml_model *const members[N_MEMBERS])
{
    ml_ensemble *ensemble;

    OK(ml_ensemble_create(context, &ensemble));
    for (size_t i = 0; i < N_MEMBERS; i++)
        OK(ml_ensemble_add(ensemble, NAMES[i], members[i], ML_AUTO_WEIGHT));
    return ensemble;
}

/* ---- 3. Fit, predict, judge ---- */

static double fit(ml_model *m, const ml_dataset *train, const char *label)
{
    progress_bar bar = {.label = label};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = show_progress, .monitor_user = &bar};
    const double start = seconds();

    OK(ml_model_fit(m, train, &options));
    clear_progress(&bar);
    return seconds() - start;
}

static double score(const ml_model *m, const ml_dataset *data, const char *metric)
{
    double value;

    OK(ml_model_score(m, data, metric, &value));
    return value;
}

/* The caller provides the memory: a row of a prediction has as many values as the model's width says. */
static double *predictions(const ml_model *m, const ml_dataset *data, size_t *n)
{
    const bool labels = ml_dataset_n_classes(data, 0) > 0;
    const int32_t what = labels ? ML_PREDICT_PROBA : ML_PREDICT;
    double *out;

    *n = ml_dataset_n_rows(data) * ml_model_width(m, what);
    out = allocate(*n, sizeof *out);
    OK(labels ? ml_model_predict_proba(m, data, out, *n) : ml_model_predict(m, data, out, *n));
    return out;
}

static double microseconds_per_row(const ml_model *m, const ml_dataset *data)
{
    const double start = seconds();
    size_t n, n_rows = 0;

    do {
        free(predictions(m, data, &n));
        n_rows += ml_dataset_n_rows(data);
    } while (seconds() - start < 0.02);
    return 1e6 * (seconds() - start) / (double)n_rows;
}

static void judge(const ml_model *m, const ml_dataset *test, report_row *row)
{
    const char *const *metrics = ml_dataset_n_classes(test, 0) ? CLASS_METRICS : REAL_METRICS;

    for (size_t i = 0; metrics[i]; i++)
        row->metrics[i] = score(m, test, metrics[i]);
    row->microseconds = microseconds_per_row(m, test);
}

/*
 * Split off a quarter of the rows for testing, with each class in proportion; the same seed gives the same split. Fit the
 * four members alone and the ensemble of them, fill one row for each. The ensemble is returned.
 */
static ml_ensemble *experiment(ml_context *context, const ml_dataset *data, uint64_t seed, report_row rows[],
                               ml_dataset **test)
{
    const bool labels = ml_dataset_n_classes(data, 0) > 0;
    ml_model *const members[N_MEMBERS] = {scaled_network(context, data), forest(context, data),
                                          boosted_trees(context, data), mixture_network(context, data)};
    ml_dataset *train;
    ml_ensemble *ensemble;
    double weights[N_MEMBERS];

    OK(ml_dataset_split(data, 0.25, seed, labels ? ML_STRATIFY : 0, &train, test));
    for (size_t i = 0; i < N_MEMBERS; i++) {
        rows[i] = (report_row){.name = NAMES[i]};
        rows[i].fit_seconds = fit(members[i], train, NAMES[i]);
        judge(members[i], *test, &rows[i]);
    }
    ensemble = fuse(context, members);
    rows[N_MEMBERS] = (report_row){.name = NAMES[N_MEMBERS], .weight = 1};
    rows[N_MEMBERS].fit_seconds = fit(ml_ensemble_model(ensemble), train, NAMES[N_MEMBERS]);
    judge(ml_ensemble_model(ensemble), *test, &rows[N_MEMBERS]);
    OK(ml_ensemble_weights(ensemble, weights, N_MEMBERS));
    for (size_t i = 0; i < N_MEMBERS; i++)
        rows[i].weight = weights[i];
    ml_dataset_free(train);
    return ensemble;
}

/* ---- 4. Save, load into a fresh handle, compare ---- */

static void save_and_load(ml_context *context, const ml_model *m, const ml_dataset *test, const char *path)
{
    size_t n, n_again;
    double *before = predictions(m, test, &n), *after;
    char *text;
    size_t needed;
    ml_model *loaded;

    OK(ml_model_save(m, path));
    OK(ml_model_load(context, path, NULL, &loaded));
    after = predictions(loaded, test, &n_again);
    if (n != n_again || memcmp(before, after, n * sizeof *before)) {
        fprintf(stderr, "the loaded model predicts differently\n");
        exit(1);
    }
    printf("\nsaved and loaded again: %ld bytes, all %zu predicted values are bit-equal\n\n", file_size(path), n);

    OK(ml_model_describe(loaded, NULL, 0, &needed)); /* asks for the size */
    text = allocate(needed, 1);
    OK(ml_model_describe(loaded, text, needed, NULL));
    fputs(text, stdout);
    free(text);
    ml_model_free(loaded);
    free(before);
    free(after);
}

static void run_table(ml_context *context, const char *path, const char *target, uint32_t task)
{
    ml_dataset *data = load(context, path, target, task), *test;
    report_row rows[N_MEMBERS + 1];
    ml_ensemble *ensemble;
    char *model_path = temporary_path("invar-quickstart.invar");

    print_heading(path, data);
    ensemble = experiment(context, data, 42, rows, &test);
    print_rows(rows, N_MEMBERS + 1, ml_dataset_n_classes(data, 0) > 0);
    save_and_load(context, ml_ensemble_model(ensemble), test, model_path);
    remove(model_path);
    free(model_path);
    ml_ensemble_free(ensemble);
    ml_dataset_free(test);
    ml_dataset_free(data);
}

/* ---- averages over many splits ---- */

static void run_splits(ml_context *context, const char *path, const char *target, uint32_t task, size_t n_splits)
{
    ml_dataset *data = load(context, path, target, task), *test;
    report_row *rows = allocate(n_splits * (N_MEMBERS + 1), sizeof *rows);

    for (size_t s = 0; s < n_splits; s++) {
        ml_ensemble_free(experiment(context, data, s, rows + s * (N_MEMBERS + 1), &test));
        ml_dataset_free(test);
    }
    print_heading(path, data);
    print_averages(rows, N_MEMBERS + 1, n_splits, ml_dataset_n_classes(data, 0) > 0);
    free(rows);
    ml_dataset_free(data);
}

int main(int argc, char **argv)
{
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = processors()};
    const arguments a = read_arguments(argc, argv);
    ml_context *context;

    OK(ml_context_create(&options, &context));
    if (!a.n_splits)
        printf("%s\n", ml_build_info());
    for (size_t i = 0; i < a.n_files; i++) {
        if (a.n_splits)
            run_splits(context, a.files[i], a.target, a.task, a.n_splits);
        else
            run_table(context, a.files[i], a.target, a.task);
    }
    ml_context_free(context);
    return 0;
}
