/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest useful program; README shows it. */
#include <invar/ml.h>
#include <stdio.h>

int main(void)
{
    ml_csv_options csv = {.struct_size = sizeof csv, .target = "target"};
    ml_dataset *all, *train, *test;
    ml_model *forest;
    double f1 = 0;
    int bad = ml_dataset_from_csv(NULL, "examples/data/iris.csv", &csv, &all) ||
              ml_dataset_split(all, 0.25, 42, ML_STRATIFY, &train, &test) ||
              ml_model_create(NULL, "random_forest", &forest) || ml_model_fit(forest, train, NULL) ||
              ml_model_score(forest, test, "f1_micro", &f1) || ml_model_save(forest, "iris.invar");
    return printf("%s %.3f\n", bad ? ml_last_error() : "micro F1", f1) < 0 || bad;
}
