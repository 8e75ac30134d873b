/* SPDX-License-Identifier: Apache-2.0 */
/* min_max_scaler, max_abs_scaler, robust_scaler, quantile_transformer. */
#include "helpers.h"
#include "learn/normal.h"
#include "learn/weighted.h"
#include "model/model.h"

typedef struct {
    const char *kind;
    const char *settings[6]; /* names and values in turn */
} scaler_case;

static ml_model *model_of(const scaler_case *c)
{
    ml_model *model = new_model(NULL, c->kind);

    for (int s = 0; s + 1 < 6 && c->settings[s]; s += 2)
        CHECK_OK(ml_model_set_text(model, c->settings[s], c->settings[s + 1]));
    return model;
}

/* `n` rows of z as make_preparation.py's probe() has them, times `factor`, plus `offset`. */
static void make_probe(double *z, size_t n, double factor, double offset)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 13; j++)
            z[i * 13 + j] = (0.25 * (double)j - 1.5 * (double)i) * factor + offset;
}

/* Rows as they are and times `factor`; then back from the probe. */
static const double *check_rows(const ml_model *model, const ml_dataset *data, size_t n, double factor, const double *e,
                                const double *z, double tolerance)
{
    double row[13], out[39];

    for (size_t i = 0; i < 2 * n; i++, e += 13) {
        CHECK_OK(ml_dataset_row(data, i % n, row, 13));
        for (size_t j = 0; j < 13 && i >= n; j++)
            row[j] *= factor;
        CHECK_OK(ml_model_predict_row(model, ML_TRANSFORM, row, 13, out, 13, NULL, 0));
        for (size_t j = 0; j < 13; j++)
            CHECK_CLOSE(out[j], e[j], tolerance);
    }
    CHECK_OK(ml_model_inverse_transform(model, z, 3, 13, out, 39));
    for (size_t j = 0; j < 39; j++)
        CHECK_CLOSE(out[j], e[j], tolerance);
    return e + 39;
}

TEST(scalers, agree_with_scikit_learn)
{
    static const scaler_case CASES[] = {
        {"min_max_scaler", {NULL}},
        {"min_max_scaler", {"feature_range", "-1,2.5", "clip", "true"}},
        {"max_abs_scaler", {NULL}},
        {"robust_scaler", {NULL}},
        {"robust_scaler", {"quantile_range", "10,80", "unit_variance", "true"}},
        {"robust_scaler", {"with_centering", "false"}},
        {"robust_scaler", {"with_scaling", "false"}},
    };
    const size_t n_cases = sizeof CASES / sizeof *CASES;
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("scalers.txt"), &n_expected), z[39];
    const double *e = expected;
    ml_dataset *boston = test_table(NULL, "boston"), *holes = with_holes(boston);

    CHECK(n_expected == n_cases * 2 * 9 * 13);
    make_probe(z, 3, 1, 0);
    for (size_t c = 0; c < n_cases; c++)
        for (int h = 0; h < 2; h++) {
            const ml_dataset *data = h ? holes : boston;
            ml_model *model = model_of(&CASES[c]);

            CHECK_OK(ml_model_fit(model, data, NULL));
            e = check_rows(model, data, 3, 10, e, z, 1e-13);
            ml_model_free(model);
        }
    free(expected);
    ml_dataset_free(boston);
    ml_dataset_free(holes);
}

TEST(scalers, quantiles_agree_with_scikit_learn)
{
    static const scaler_case CASES[] = {
        {"quantile_transformer", {NULL}},
        {"quantile_transformer", {"output_distribution", "normal"}},
        {"quantile_transformer", {"n_quantiles", "10"}},
        {"quantile_transformer", {"n_quantiles", "10", "output_distribution", "normal"}},
        {"quantile_transformer", {"n_quantiles", "1"}},
    };
    const size_t n_cases = sizeof CASES / sizeof *CASES;
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("quantiles.txt"), &n_expected), z[39];
    const double *e = expected;
    ml_dataset *boston = test_table(NULL, "boston"), *holes = with_holes(boston);

    CHECK(n_expected == n_cases * 15 * 13);
    make_probe(z, 3, 1.0 / 3, 0.5);
    for (size_t c = 0; c < n_cases; c++) {
        ml_model *model = model_of(&CASES[c]);
        const double *quantiles;
        size_t q;

        CHECK_OK(ml_model_fit(model, holes, NULL));
        quantiles = reals_of(model, "quantiles");
        q = (size_t)ml__learned_find(model->learned, "references")->shape[0];
        CHECK(q == (c < 2 ? 506 : c < 4 ? 10 : 1));
        for (size_t j = 0; j < 13; j++) {
            CHECK_CLOSE(quantiles[j], e[j], 1e-15);
            CHECK_CLOSE(quantiles[(q - 1) * 13 + j], e[13 + j], 1e-15);
        }
        e = check_rows(model, holes, 5, 1.1, e + 26, z, 1e-12);
        ml_model_free(model);
    }
    free(expected);
    ml_dataset_free(boston);
    ml_dataset_free(holes);
}

TEST(scalers, normal_quantiles_agree_with_scipy)
{
    size_t n;
    double *expected = test_read_numbers(test_expected_path("normal_quantiles.txt"), &n);

    CHECK(n == 26);
    for (size_t i = 0; i < n; i += 2) {
        CHECK_CLOSE(ml__normal_quantile(expected[i]), expected[i + 1], 1e-14);
        CHECK_CLOSE(ml__normal_probability(expected[i + 1]) / expected[i], 1, 1e-11);
    }
    CHECK(ml__normal_quantile(0) == -INFINITY && ml__normal_quantile(1) == INFINITY && ml__normal_quantile(0.5) == 0);
    free(expected);
}

/* All features of a table and back: what was not cut off returns. */
TEST(scalers, go_back_to_where_they_came_from)
{
    static const scaler_case CASES[] = {{"min_max_scaler", {"feature_range", "-3,7"}},
                                        {"max_abs_scaler", {NULL}},
                                        {"robust_scaler", {"unit_variance", "true"}},
                                        {"quantile_transformer", {NULL}},
                                        {"passthrough", {NULL}}};
    ml_dataset *wine = test_table(NULL, "wine"), *holes = with_holes(wine);
    double *x = rows_of(holes), *back = malloc(178 * 13 * sizeof *back);

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_model *model = model_of(&CASES[c]);
        double *z;
        size_t n;

        CHECK_OK(ml_model_fit(model, holes, NULL));
        z = outputs_of(model, holes, ML_TRANSFORM, &n);
        CHECK_OK(ml_model_inverse_transform(model, z, 178, 13, back, n));
        for (size_t i = 0; i < n; i++)
            CHECK_CLOSE(back[i], x[i], 1e-12); /* NaN, too */
        free(z);
        ml_model_free(model);
    }
    free(x);
    free(back);
    ml_dataset_free(wine);
    ml_dataset_free(holes);
}

TEST(scalers, constant_and_empty_features_are_no_trouble)
{
    static const char *const KINDS[] = {"min_max_scaler", "max_abs_scaler", "robust_scaler", "quantile_transformer"};
    static const double X[] = {3, NAN, 0, 3, NAN, 0},
                        WANTED[][3] = {{0, NAN, 0}, {1, NAN, 0}, {0, NAN, 0}, {0, NAN, 0}};
    ml_dataset *data = matrix(NULL, X, 2, 3);

    for (int k = 0; k < 4; k++) {
        ml_model *model = fitted_model(NULL, KINDS[k], data);
        double out[6];

        CHECK_OK(ml_model_transform(model, data, out, 6));
        for (int j = 0; j < 6; j++)
            CHECK_CLOSE(out[j], WANTED[k][j % 3], 0);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

/* ---- weights ---- */

/* Rows without weight are not there; one weight for all rows is none. */
TEST(scalers, weights_leave_out_rows_and_have_no_unit)
{
    static const scaler_case CASES[] = {{"min_max_scaler", {NULL}},
                                        {"max_abs_scaler", {NULL}},
                                        {"robust_scaler", {NULL}},
                                        {"quantile_transformer", {"n_quantiles", "25"}}};
    ml_dataset *wine = test_table(NULL, "wine"), *weighted = test_table(NULL, "wine"), *part;
    size_t rows[178], n_rows = 0;
    double w[178];

    for (size_t i = 0; i < 178; i++) {
        w[i] = i % 3 ? 0.125 : 0;
        if (i % 3)
            rows[n_rows++] = i;
    }
    CHECK_OK(ml_dataset_set_weights(weighted, w, 178));
    CHECK_OK(ml_dataset_subset(wine, rows, n_rows, &part));
    for (size_t c = 0; c < 4; c++) {
        ml_model *a = model_of(&CASES[c]), *b = model_of(&CASES[c]);
        double *p, *q;
        size_t n, m;

        CHECK_OK(ml_model_fit(a, part, NULL));
        p = outputs_of(a, wine, ML_TRANSFORM, &n);
        CHECK_OK(ml_model_fit(b, weighted, NULL));
        q = outputs_of(b, wine, ML_TRANSFORM, &m);
        for (size_t i = 0; i < n; i++)
            CHECK_CLOSE(q[i], p[i], 1e-13);
        free(p);
        free(q);
        ml_model_free(a);
        ml_model_free(b);
    }
    ml_dataset_free(part);
    ml_dataset_free(weighted);
    ml_dataset_free(wine);
}

static int compare(const void *a, const void *b)
{
    const ml__weighted *p = a, *q = b;

    if (p->value != q->value)
        return p->value < q->value ? -1 : 1;
    return (p->weight > q->weight) - (p->weight < q->weight);
}

/* Random, few values, ascending, descending, constant, up and down, of all sizes and signs. */
static double pattern(int which, size_t i, size_t n, uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    switch (which) {
    case 0:
        return *state >> 8;
    case 1:
        return *state >> 30;
    case 2:
        return (double)i;
    case 3:
        return -(double)i;
    case 4:
        return 7;
    case 5:
        return (double)(i < n / 2 ? i : n - i);
    default:
        return (i % 2 ? -1 : 1) * ldexp((double)i - (double)n / 3, (int)(i % 40) - 20);
    }
}

TEST(scalers, values_are_put_in_order)
{
    static const size_t SIZES[] = {0, 1, 2, 15, 16, 17, 18, 33, 100, 1000, 5000};
    ml__weighted *a = malloc(5000 * sizeof *a), *b = malloc(5000 * sizeof *b), *c = malloc(10000 * sizeof *c);
    uint32_t state = 5;

    for (int which = 0; which < 7; which++)
        for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
            const size_t n = SIZES[s];

            for (size_t i = 0; i < n; i++)
                a[i] = b[i] = (ml__weighted){pattern(which, i, n, &state), (double)(state >> 29)};
            memcpy(c, a, n * sizeof *c);
            ml__weighted_sort(a, n);
            ml__weighted_sort_many(c, c + n, n);
            qsort(b, n, sizeof *b, compare);
            CHECK_SAME_BYTES(a, n * sizeof *a, b, n * sizeof *b);
            CHECK_SAME_BYTES(c, n * sizeof *c, b, n * sizeof *b);
        }
    free(a);
    free(b);
    free(c);
}

TEST(scalers, weighted_quantiles_are_linear_between_the_middles_of_weights)
{
    ml__weighted items[] = {{1, 2}, {3, 4}, {4, 2}}; /* at 0, 3 and 6 */

    CHECK(ml__weighted_median(items, 3) == 3);
    ml__weighted_place(items, 3);
    CHECK(ml__placed_quantile(items, 3, 0) == 1 && ml__placed_quantile(items, 3, 1) == 4);
    CHECK_CLOSE(ml__placed_quantile(items, 3, 0.25), 2, 1e-15);
    CHECK_CLOSE(ml__placed_quantile(items, 3, 0.5), 3, 0);
    CHECK_CLOSE(ml__placed_quantile(items, 3, 0.75), 3.5, 1e-15);
    ml__weighted_place(items, 1);
    CHECK(ml__placed_quantile(items, 1, 0.3) == 1);
}

/* ---- drawn rows ---- */

TEST(scalers, a_subsample_is_drawn_by_the_seed)
{
    ml_dataset *digits = test_table(NULL, "digits");
    ml_model *model = new_model(NULL, "quantile_transformer");
    double first[64 * 50];
    size_t n_same = 0;

    CHECK_OK(ml_model_set_int(model, "n_quantiles", 50));
    CHECK_OK(ml_model_set_int(model, "subsample", 100));
    CHECK_OK(ml_model_fit(model, digits, NULL));
    memcpy(first, reals_of(model, "quantiles"), sizeof first);
    CHECK_OK(ml_model_fit(model, digits, NULL));
    CHECK_SAME_BYTES(first, sizeof first, reals_of(model, "quantiles"), sizeof first);
    CHECK_OK(ml_model_set_int(model, "random_state", 1));
    CHECK_OK(ml_model_fit(model, digits, NULL));
    for (size_t i = 0; i < 64 * 50; i++)
        n_same += first[i] == reals_of(model, "quantiles")[i];
    CHECK(n_same < 64 * 50);
    for (size_t i = 0; i < 64 * 50; i++)
        CHECK(first[i] >= 0 && first[i] <= 16);
    ml_model_free(model);
    ml_dataset_free(digits);
}

TEST(scalers, many_rows_and_threads_give_the_same_bytes)
{
    check_threads("robust_scaler", "digits", NULL);
    check_threads("quantile_transformer", "digits", SETTINGS("subsample=1200"));
    check_threads("min_max_scaler", "digits", NULL);
}

/* ---- errors ---- */

TEST(scalers, parameters_that_do_not_go_together)
{
    static const struct {
        scaler_case c;
        const char *message;
    } CASES[] = {
        {{"min_max_scaler", {"feature_range", "1"}}, "feature_range takes low,high, got 1 numbers"},
        {{"min_max_scaler", {"feature_range", "2,2"}}, "feature_range: 2 is not less than 2"},
        {{"robust_scaler", {"quantile_range", "75,25"}}, "quantile_range: 75 is larger than 25"},
        {{"robust_scaler", {"quantile_range", "1,2,3"}}, "quantile_range takes low,high, got 3 numbers"},
        {{"robust_scaler", {"quantile_range", "0,75", "unit_variance", "true"}},
         "unit_variance needs a quantile_range"},
        {{"quantile_transformer", {"subsample", "10"}}, "n_quantiles is 1000, subsample only 10"},
    };
    ml_dataset *iris = test_table(NULL, "iris");

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_model *model = model_of(&CASES[c].c);

        CHECK_FAILS(ml_model_fit(model, iris, NULL), ML_E_PARAMETER, CASES[c].message);
        ml_model_free(model);
    }
    ml_dataset_free(iris);
}

TEST(scalers, tensors_that_contradict_each_other_are_refused)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *ranks = fitted_model(NULL, "quantile_transformer", iris), *range = new_model(NULL, "min_max_scaler");

    CHECK_OK(ml_model_set_text(range, "clip", "true"));
    CHECK_OK(ml_model_fit(range, iris, NULL));
    CHECK_REFUSED_VALUE(ranks, "quantiles", 4, -95.6, "row 1 of feature 0 is -95.6 after 4.3");
    CHECK_REFUSED_VALUE(ranks, "references", 1, 0, "element 1 is 0 after 0");
    CHECK_REFUSED_VALUE(range, "clip_range", 1, -1, "0 is not less than -1");
    ml_model_free(ranks);
    ml_model_free(range);
    ml_dataset_free(iris);
}

TEST(scalers, quantiles_whose_distance_is_beyond_double)
{
    static const double X[] = {-1.7e308, 1.7e308}, AT[] = {0, 8.5e307, -8.5e307, 1.7e308, -1.7e308};
    static const double WANT[] = {0.5, 0.75, 0.25, 1, 0};
    ml_dataset *data = matrix(NULL, X, 2, 1), *at = matrix(NULL, AT, 5, 1);
    ml_model *model = new_model(NULL, "quantile_transformer");
    double out[5], back[5];

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_transform(model, at, out, 5));
    CHECK_OK(ml_model_inverse_transform(model, out, 5, 1, back, 5));
    for (size_t i = 0; i < 5; i++) {
        CHECK_CLOSE(out[i], WANT[i], 1e-15);
        CHECK_CLOSE(back[i] / 1e308, AT[i] / 1e308, 1e-15);
    }
    ml_model_free(model);
    ml_dataset_free(at);
    ml_dataset_free(data);
}
