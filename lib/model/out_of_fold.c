/* SPDX-License-Identifier: Apache-2.0 */
/* Out-of-fold predictions: each row is predicted by a model that was fitted without the row's fold. */
#include "model/model.h"

#include <string.h>

typedef struct fold_rows {
    size_t *train, *test;
    size_t n_train, n_test;
} fold_rows;

static void gather_rows(const uint32_t *fold_of_row, size_t n, uint32_t fold, fold_rows *rows)
{
    rows->n_train = rows->n_test = 0;
    for (size_t i = 0; i < n; i++) {
        if (fold_of_row[i] == fold)
            rows->test[rows->n_test++] = i;
        else
            rows->train[rows->n_train++] = i;
    }
}

/* Fit on the other folds, predict this one, and scatter to the rows' places. */
static ml_status predict_fold(ml__run *run, ml_model *model, const ml_dataset *data, const fold_rows *rows,
                              uint64_t seed, int32_t what, double *block, double *out)
{
    ml_dataset *train = NULL, *test = NULL;
    size_t width;
    ml_status st;

    ML__TRY(ml_dataset_subset(data, rows->train, rows->n_train, &train));
    ML__TRY(ml_dataset_subset(data, rows->test, rows->n_test, &test));
    ml__learned_free(model->learned);
    model->learned = NULL;
    ML__TRY(ml__model_train(model, train, NULL, run, seed, &model->learned));
    width = ml_model_width(model, what);
    ML__TRY(ml__model_apply(model, what, test, block, rows->n_test * width));
    for (size_t i = 0; i < rows->n_test; i++)
        memcpy(out + rows->test[i] * width, block + i * width, width * sizeof *out);
done:
    ml_dataset_free(train);
    ml_dataset_free(test);
    return st;
}

ml_status ml__out_of_fold(ml__run *run, const ml_model *model, const ml_dataset *data, const ml__folds *folds,
                          uint64_t seed, int32_t what, double *out)
{
    const ml__schema *schema = ml__dataset_schema(data);
    const size_t n = ml_dataset_n_rows(data);
    const size_t width = what == ML_PREDICT ? schema->n_outputs : ml__schema_width(schema);
    ml_model *copy = NULL;
    uint32_t *fold_of_row;
    size_t n_values;
    double *block;
    fold_rows rows;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, model->context);
    ML__CHECK(ml__size_mul(n, width, &n_values), ML_E_MEMORY, "%zu x %zu predictions do not fit in memory", n, width);
    ML__NEW(&arena, fold_of_row, n);
    ML__NEW(&arena, rows.train, n);
    ML__NEW(&arena, rows.test, n);
    ML__NEW(&arena, block, n_values);
    ML__TRY(ml__dataset_assign_folds(data, folds->n_folds, folds->seed, folds->flags, fold_of_row));
    ML__TRY(ml__model_blank_copy(model, &copy));
    for (size_t fold = 0; fold < folds->n_folds; fold++) {
        char name[32];
        size_t length;

        ml__format(name, sizeof name, "fold %zu", fold + 1);
        length = ml__run_enter(run, name);
        gather_rows(fold_of_row, n, (uint32_t)fold, &rows);
        st = predict_fold(run, copy, data, &rows, ml__seed_mix(seed, fold), what, block, out);
        ml__run_leave(run, length);
        if (st != ML_OK)
            goto done;
    }
done:
    ml_model_free(copy);
    ml__arena_free(&arena);
    return st;
}
