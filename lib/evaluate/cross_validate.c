/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k-fold cross-validation. Folds are those of ml_dataset_fold(); the model of fold i learns from all other folds with the
 * seed of ml__out_of_fold(), so that scores and out-of-fold predictions come from the same models.
 */
#include <invar/select.h>

#include "model/model.h"

enum { DEFAULT_FOLDS = 5 };

/* Defaults, checked against the data: labels are stratified unless the flags say otherwise. */
static ml_status read_options(const ml_cv_options *given, const ml_dataset *data, ml_cv_options *options)
{
    ml_status st = ML_OK;

    *options = (ml_cv_options){.struct_size = sizeof *options};
    if (given)
        ML__TRY(ml__read_options(options, sizeof *options, given, "ml_cv_options"));
    if (!options->n_folds)
        options->n_folds = DEFAULT_FOLDS;
    if (!options->flags && ml_dataset_n_outputs(data) && ml_dataset_n_classes(data, 0))
        options->flags = ML_STRATIFY;
done:
    return st;
}

static ml__run start(const ml_cv_options *options, const char *name)
{
    ml__run run = {.monitor = options->monitor, .monitor_user = options->monitor_user};

    (void)ml__run_enter(&run, name);
    return run;
}

/* `model` is a blank copy, which gets what it learns here. */
static ml_status score_fold(ml_model *model, const ml_dataset *data, const char *metric, const ml_cv_options *options,
                            size_t fold, ml__run *run, double *score)
{
    ml_dataset *train = NULL, *test = NULL;
    ml_status st;

    ML__TRY(ml_dataset_fold(data, options->n_folds, fold, options->seed, options->flags, &train, &test));
    ml__learned_free(model->learned);
    model->learned = NULL;
    ML__TRY(ml__model_train(model, train, NULL, run, ml__seed_mix(0, fold), &model->learned));
    ML__TRY(ml_model_score(model, test, metric, score));
done:
    ml_dataset_free(train);
    ml_dataset_free(test);
    return st;
}

ml_status ml_cross_validate(const ml_model *model, const ml_dataset *data, const char *metric,
                            const ml_cv_options *given, double *scores, size_t n)
{
    const ml__float_state host = ml__float_begin();
    ml_cv_options options;
    ml_model *copy = NULL;
    double *results;
    ml__run run;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, model ? model->context : NULL);
    ML__CHECK(model && data && scores, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !data ? "data" : "scores");
    ML__TRY(read_options(given, data, &options));
    ML__CHECK(n == options.n_folds, ML_E_SHAPE, "scores has %zu elements, there are %zu folds", n, options.n_folds);
    ML__NEW(&arena, results, n);
    ML__TRY(ml__model_blank_copy(model, &copy));
    run = start(&options, "cross_validate");
    for (size_t fold = 0; fold < n; fold++) {
        char name[32];

        ml__format(name, sizeof name, "fold %zu", fold + 1);
        const size_t length = ml__run_enter(&run, name);
        st = score_fold(copy, data, metric, &options, fold, &run, &results[fold]);
        ml__run_leave(&run, length);
        if (st != ML_OK)
            goto done;
    }
    for (size_t fold = 0; fold < n; fold++)
        scores[fold] = results[fold];
done:
    ml_model_free(copy);
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}

/* Values per row, known before anything is fitted. */
static ml_status predicted_width(const ml_model *model, const ml_dataset *data, int32_t what, size_t *width)
{
    const ml__schema *schema = ml__dataset_schema(data);
    const uint32_t tasks = ml__model_tasks(model);
    const bool learns_mixed = (tasks & ML__MIXED) && ml__schema_is_mixed(schema);
    ml_status st = ML_OK;

    ML__CHECK(what == ML_PREDICT || what == ML_PREDICT_PROBA, ML_E_ARGUMENT,
              "what is %d, expected ML_PREDICT or ML_PREDICT_PROBA", (int)what);
    ML__CHECK(schema->n_outputs, ML_E_DATA, "the data has no output to predict");
    ML__CHECK(learns_mixed || (tasks & (schema->outputs[0].n_classes ? ML__CLASSIFY : ML__REGRESS)), ML_E_UNSUPPORTED,
              "%s does not learn %s such as output '%s'", model->kind->name,
              schema->outputs[0].n_classes ? "labels" : "reals", schema->outputs[0].name);
    ML__CHECK(what == ML_PREDICT || learns_mixed || schema->outputs[0].n_classes, ML_E_UNSUPPORTED,
              "output '%s' is real, it has no class probabilities", schema->outputs[0].name);
    *width = what == ML_PREDICT ? schema->n_outputs : ml__schema_width(schema);
done:
    return st;
}

ml_status ml_cross_val_predict(const ml_model *model, const ml_dataset *data, int32_t what, const ml_cv_options *given,
                               double *out, size_t n)
{
    const ml__float_state host = ml__float_begin();
    ml_cv_options options;
    ml__folds folds;
    double *results;
    size_t width = 0, wanted;
    ml__run run;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, model ? model->context : NULL);
    ML__CHECK(model && data && out, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !data ? "data" : "out");
    ML__TRY(read_options(given, data, &options));
    ML__TRY(predicted_width(model, data, what, &width));
    ML__CHECK(ml__size_mul(ml_dataset_n_rows(data), width, &wanted) && wanted == n, ML_E_SHAPE,
              "out has %zu elements, %zu rows give %zu each", n, ml_dataset_n_rows(data), width);
    ML__NEW(&arena, results, n);
    folds = (ml__folds){options.n_folds, options.seed, options.flags};
    run = start(&options, "cross_val_predict");
    ML__TRY(ml__out_of_fold(&run, model, data, &folds, 0, what, results));
    for (size_t i = 0; i < n; i++)
        out[i] = results[i];
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}
