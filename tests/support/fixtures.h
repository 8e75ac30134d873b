/* SPDX-License-Identifier: Apache-2.0 */
/* A small model of every kind and task, with data it can learn, for the tests that hold for all kinds. */
#ifndef INVAR_TEST_FIXTURES_H
#define INVAR_TEST_FIXTURES_H

#include "test.h"

typedef struct test_fixture {
    const char *name; /* "adaboost/reals" */
    const char *kind;
    enum { WITH_LABELS, WITH_REALS, WITH_GAPS_AND_CATEGORIES } data;
    const char *settings; /* "name=value name=value", paths allowed */
    const char *members;  /* "name=kind name=kind", or "" */
} test_fixture;

extern const test_fixture TEST_FIXTURES[];
extern const size_t N_TEST_FIXTURES;

/* By how much a row of ml_model_predict_row() may differ from the same row in a batch: 0 but for the kinds that say so. */
double test_fixture_row_tolerance(const test_fixture *fixture);
ml_model *test_fixture_model(ml_context *context, const test_fixture *fixture);
/* 48 rows, 3 features, 3 classes or reals; `variant` gives other values of the same shape. */
ml_dataset *test_fixture_data(ml_context *context, const test_fixture *fixture, uint32_t variant);
/* Every call the fitted model offers on `data`, one after the other; malloc'ed. */
double *test_all_predictions(const ml_model *model, const ml_dataset *data, size_t *n);

#endif
