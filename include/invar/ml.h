/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Invar: tabular machine learning in-process. This is the only header to include.
 *
 *     ml_dataset *all, *train, *test;
 *     ml_model *forest;
 *     double accuracy;
 *     ml_csv_options csv = {.struct_size = sizeof csv, .target = "species"};
 *
 *     ml_dataset_from_csv(NULL, "iris.csv", &csv, &all);
 *     ml_dataset_split(all, 0.25, 42, ML_STRATIFY, &train, &test);
 *     ml_model_create(NULL, "random_forest", &forest);
 *     ml_model_fit(forest, train, NULL);
 *     ml_model_score(forest, test, "accuracy", &accuracy);
 *
 * Rules that hold everywhere: functions that can fail return ml_status and leave out-parameters of constructors NULL on
 * failure; structs begin with struct_size, set by the caller to sizeof; the library never prints, exits, sets the
 * locale or keeps global state.
 */
#ifndef INVAR_ML_H
#define INVAR_ML_H

#include "context.h"
#include "dataset.h"
#include "ensemble.h"
#include "metrics.h"
#include "mixture.h"
#include "model.h"
#include "select.h"
#include "status.h"
#include "tree.h"
#include "version.h"

#endif
