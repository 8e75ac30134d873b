/* SPDX-License-Identifier: Apache-2.0 */
#include "fixtures.h"

#define TREE_PIPELINE "scale=standard_scaler tree=decision_tree"

const test_fixture TEST_FIXTURES[] = {
    {"standard_scaler", "standard_scaler", WITH_LABELS, "", ""},
    {"min_max_scaler", "min_max_scaler", WITH_LABELS, "feature_range=-1,2.5 clip=true", ""},
    {"max_abs_scaler", "max_abs_scaler", WITH_LABELS, "", ""},
    {"robust_scaler", "robust_scaler", WITH_LABELS, "", ""},
    {"quantile_transformer", "quantile_transformer", WITH_LABELS, "n_quantiles=9 subsample=40", ""},
    {"quantile_transformer/normal", "quantile_transformer", WITH_REALS, "output_distribution=normal", ""},
    {"one_hot_encoder/infrequent", "one_hot_encoder", WITH_GAPS_AND_CATEGORIES,
     "max_categories=2 handle_unknown=infrequent_if_exist", ""},
    {"one_hot_encoder/drop", "one_hot_encoder", WITH_GAPS_AND_CATEGORIES, "drop=first handle_unknown=error", ""},
    {"ordinal_encoder", "ordinal_encoder", WITH_GAPS_AND_CATEGORIES, "handle_unknown=use_encoded_value", ""},
    {"polynomial_features", "polynomial_features", WITH_LABELS, "degree=3", ""},
    {"simple_imputer", "simple_imputer", WITH_GAPS_AND_CATEGORIES, "", ""},
    {"simple_imputer/indicator", "simple_imputer", WITH_GAPS_AND_CATEGORIES, "strategy=median add_indicator=true", ""},
    {"one_hot_encoder", "one_hot_encoder", WITH_GAPS_AND_CATEGORIES, "", ""},
    {"passthrough", "passthrough", WITH_GAPS_AND_CATEGORIES, "", ""},
    {"gmm", "gmm", WITH_LABELS, "n_components=2 max_iter=5 passthrough=true", ""},
    {"gmm/tied", "gmm", WITH_LABELS, "n_components=3 max_iter=5 covariance_type=tied", ""},
    {"gmm/diag", "gmm", WITH_LABELS, "n_components=2 max_iter=5 covariance_type=diag features=labels", ""},
    {"gmm/spherical", "gmm", WITH_LABELS, "n_components=2 max_iter=5 covariance_type=spherical", ""},
    {"bayesian_gmm", "bayesian_gmm", WITH_LABELS, "n_components=4 max_iter=5 passthrough=true mean_prior=0,1,0.5", ""},
    {"bayesian_gmm/tied", "bayesian_gmm", WITH_LABELS,
     "n_components=3 max_iter=5 covariance_type=tied weight_concentration_prior_type=dirichlet_distribution", ""},
    {"bayesian_gmm/diag", "bayesian_gmm", WITH_LABELS,
     "n_components=2 max_iter=5 covariance_type=diag features=labels covariance_prior=0.5,1,2", ""},
    {"bayesian_gmm/spherical", "bayesian_gmm", WITH_LABELS,
     "n_components=3 max_iter=5 covariance_type=spherical features=log_densities", ""},
    {"gmm_classifier", "gmm_classifier", WITH_LABELS, "max_iter=5", ""},
    {"gmm_classifier/diag", "gmm_classifier", WITH_LABELS,
     "n_components=2 max_iter=5 covariance_type=diag priors=uniform", ""},
    {"kmeans", "kmeans", WITH_LABELS, "n_clusters=5 max_iter=6", ""},
    {"kmeans/random", "kmeans", WITH_LABELS, "n_clusters=3 init=random n_init=2", ""},
    {"mini_batch_kmeans", "mini_batch_kmeans", WITH_LABELS, "n_clusters=5 batch_size=16 max_iter=6", ""},
    {"mini_batch_kmeans/random", "mini_batch_kmeans", WITH_LABELS,
     "n_clusters=3 init=random batch_size=10 tol=0.001 max_no_improvement=none", ""},
    {"pca", "pca", WITH_LABELS, "n_components=2 whiten=true incremental=true", ""},
    {"pca/randomized", "pca", WITH_LABELS, "n_components=2 svd_solver=randomized iterated_power=2 n_oversamples=1", ""},
    {"decision_tree/labels", "decision_tree", WITH_LABELS, "", ""},
    {"decision_tree/reals", "decision_tree", WITH_REALS, "", ""},
    {"decision_tree/pruned", "decision_tree", WITH_LABELS, "pruning_path=true ccp_alpha=0.01 class_weight=0:1,2:3", ""},
    {"random_forest/labels", "random_forest", WITH_LABELS, "n_estimators=5", ""},
    {"random_forest/reals", "random_forest", WITH_REALS, "n_estimators=5", ""},
    {"random_forest/oob", "random_forest", WITH_LABELS, "n_estimators=5 oob_score=true", ""},
    {"random_forest/best_first", "random_forest", WITH_REALS, "n_estimators=5 oob_score=true max_leaf_nodes=6", ""},
    {"extra_trees/labels", "extra_trees", WITH_LABELS, "n_estimators=5", ""},
    {"extra_trees/reals", "extra_trees", WITH_REALS, "n_estimators=5 bootstrap=true max_samples=0.7", ""},
    {"adaboost/labels", "adaboost", WITH_LABELS, "n_estimators=4", ""},
    {"adaboost/reals", "adaboost", WITH_REALS, "n_estimators=4", ""},
    {"adaboost/base", "adaboost", WITH_LABELS, "n_estimators=3", "base=logistic_regression"},
    {"mlp/labels", "mlp", WITH_LABELS, "hidden_layer_sizes=5,4 max_iter=4", ""},
    {"mlp/reals", "mlp", WITH_REALS, "hidden_layer_sizes=5 max_iter=4 solver=sgd early_stopping=true", ""},
    {"autoencoder", "autoencoder", WITH_LABELS,
     "encoder_layer_sizes=5 code_size=2 max_iter=4 noise=0.1 dropout=0.1,0.1,0", ""},
    {"autoencoder/tied", "autoencoder", WITH_REALS,
     "encoder_layer_sizes=4 code_size=2 max_iter=4 tied_weights=true complexity_weight=0.01 noise=0.2 "
     "noise_kind=masking "
     "early_stopping=true",
     ""},
    {"linear_regression", "linear_regression", WITH_REALS, "", ""},
    {"logistic_regression", "logistic_regression", WITH_LABELS, "", ""},
    {"pipeline/tree", "pipeline", WITH_LABELS, "", TREE_PIPELINE},
    {"pipeline/gaps", "pipeline", WITH_GAPS_AND_CATEGORIES, "",
     "impute=simple_imputer encode=one_hot_encoder net=logistic_regression"},
    {"pipeline/transformers", "pipeline", WITH_LABELS, "mix__n_components=2", "scale=standard_scaler mix=gmm"},
    {"pipeline/code", "pipeline", WITH_LABELS, "code__code_size=2 code__max_iter=4 net__max_iter=4",
     "scale=standard_scaler code=autoencoder net=mlp"},
    {"column_transformer", "column_transformer", WITH_LABELS, "columns=a=#0,x2;b=rest a__n_components=2",
     "a=gmm b=standard_scaler"},
    {"column_transformer/gaps", "column_transformer", WITH_GAPS_AND_CATEGORIES,
     "columns=num=numeric;cat=categorical;more=#0:1 remainder=passthrough",
     "num=simple_imputer cat=one_hot_encoder more=standard_scaler"},
    {"feature_union", "feature_union", WITH_LABELS, "mix__n_components=2 mix__max_iter=5",
     "mix=gmm raw=passthrough scale=standard_scaler"},
    {"weighted_average/labels", "weighted_average", WITH_LABELS, "n_folds=2 b__max_depth=2",
     "a=logistic_regression b=decision_tree"},
    {"weighted_average/reals", "weighted_average", WITH_REALS, "n_folds=2 b__max_depth=2",
     "a=linear_regression b=decision_tree"},
};
const size_t N_TEST_FIXTURES = sizeof TEST_FIXTURES / sizeof *TEST_FIXTURES;

/* The next "name=value" of a list; false at its end. */
static bool next_pair(const char **list, char name[64], char value[64])
{
    int length;

    if (sscanf(*list, " %63[^=]=%63[^ ]%n", name, value, &length) != 2)
        return false;
    *list += length;
    return true;
}

double test_fixture_row_tolerance(const test_fixture *fixture)
{
    static const char *const ROUND_OTHERWISE[] = {"mlp"}; /* not composites of these */

    for (size_t k = 0; k < sizeof ROUND_OTHERWISE / sizeof *ROUND_OTHERWISE; k++)
        if (!strcmp(fixture->kind, ROUND_OTHERWISE[k]))
            return 1e-5;
    return 0;
}

ml_model *test_fixture_model(ml_context *context, const test_fixture *fixture)
{
    char name[64], value[64];
    ml_model *model, *member;

    CHECK_OK(ml_model_create(context, fixture->kind, &model));
    for (const char *list = fixture->members; next_pair(&list, name, value);) {
        CHECK_OK(ml_model_create(context, value, &member));
        CHECK_OK(ml_model_add_member(model, name, member));
    }
    for (const char *list = fixture->settings; next_pair(&list, name, value);)
        CHECK_OK(ml_model_set_text(model, name, value));
    return model;
}

/* A small congruential generator: values in [0, 1). */
static double draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) / 16777216.0;
}

enum { N_ROWS = 48, N_FEATURES = 3 };

static ml_dataset *numeric_data(ml_context *context, bool labels, uint32_t variant)
{
    double x[N_ROWS * N_FEATURES], y[N_ROWS];
    int64_t classes[N_ROWS];
    uint32_t state = 77 + variant;
    ml_dataset *data;

    for (int i = 0; i < N_ROWS; i++) {
        classes[i] = i % 3;
        for (int j = 0; j < N_FEATURES; j++)
            x[i * N_FEATURES + j] = draw(&state) + 0.7 * (double)((i % 3) == j);
        y[i] = 2 * x[i * N_FEATURES] - x[i * N_FEATURES + 1] + 0.1 * draw(&state);
    }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, N_ROWS, N_FEATURES, 0, 0, ML_COPY, &data));
    if (labels)
        CHECK_OK(ml_dataset_set_labels(data, "class", classes, N_ROWS, -1));
    else
        CHECK_OK(ml_dataset_set_targets(data, "y", y, N_ROWS));
    return data;
}

static ml_dataset *gappy_data(ml_context *context, uint32_t variant)
{
    static const char *const COLOURS[] = {"red", "green", "blue"};
    const ml_csv_options options = {.struct_size = sizeof options, .target = "class"};
    uint32_t state = 99 + variant;
    char text[4096];
    size_t n = (size_t)sprintf(text, "size,colour,length,class\n");
    ml_dataset *data;

    for (int i = 0; i < N_ROWS; i++) {
        n += (size_t)sprintf(text + n, "%.3f,%s,", draw(&state) + i % 2, i % 7 == 3 ? "" : COLOURS[i % 3]);
        if (i % 5 == 1)
            n += (size_t)sprintf(text + n, ",%s\n", i % 2 ? "odd" : "even");
        else
            n += (size_t)sprintf(text + n, "%.3f,%s\n", draw(&state), i % 2 ? "odd" : "even");
    }
    CHECK_OK(ml_dataset_from_csv_memory(context, text, n, NULL, &options, &data));
    return data;
}

ml_dataset *test_fixture_data(ml_context *context, const test_fixture *fixture, uint32_t variant)
{
    if (fixture->data == WITH_GAPS_AND_CATEGORIES)
        return gappy_data(context, variant);
    return numeric_data(context, fixture->data == WITH_LABELS, variant);
}

double *test_all_predictions(const ml_model *model, const ml_dataset *data, size_t *n)
{
    typedef ml_status (*call)(const ml_model *, const ml_dataset *, double *, size_t);
    static const call CALLS[] = {ml_model_predict, ml_model_predict_proba, ml_model_decision, ml_model_transform,
                                 ml_model_score_samples};
    const size_t n_rows = ml_dataset_n_rows(data);
    size_t width = 0, at = 0;
    double *out;

    for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++)
        width += ml_model_width(model, what);
    CHECK(width > 0);
    *n = n_rows * width;
    out = malloc(*n * sizeof *out);
    for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++) {
        const size_t size = n_rows * ml_model_width(model, what);

        if (size)
            CHECK_OK(CALLS[what - ML_PREDICT](model, data, out + at, size));
        at += size;
    }
    return out;
}
