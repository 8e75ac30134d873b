/* SPDX-License-Identifier: Apache-2.0 */
/* Trees from byte codes: random tables on every instruction set, against the exact way, and row by row. */
#include "kernel/kernel.h"
#include "tree_toys.h"

enum { N_CASES = 120, N_LARGE_CASES = 6, N_NEW_ROWS = 300, MAX_SETTINGS = 16 };

/* A random table and how a forest is to be grown from it. */
typedef struct {
    size_t n, d, n_values, n_classes; /* n_values of a feature, 0: all different; n_classes 0: reals */
    ml_dataset *data, *new_rows;      /* the latter without outputs, some of them beyond the values of the former */
    const char *settings[MAX_SETTINGS];
} random_case;

static size_t below(toy_random *r, size_t n)
{
    return (size_t)(toy_uniform(r) * (double)n);
}

static double value(toy_random *r, size_t n_values)
{
    return n_values ? ((double)below(r, n_values) - (double)(n_values / 2)) * 0.37 : 10 * toy_uniform(r) - 5;
}

/* Outputs follow the first two features, with noise and equal ones. */
static ml_dataset *make_data(const random_case *c, toy_random *r)
{
    double *x = malloc(c->n * c->d * sizeof *x), *t = malloc(c->n * sizeof *t);
    int64_t *y = malloc(c->n * sizeof *y);
    ml_dataset *data;

    for (size_t i = 0; i < c->n; i++) {
        for (size_t j = 0; j < c->d; j++)
            x[i * c->d + j] = value(r, c->n_values);
        t[i] = x[i * c->d] + 2 * sin(x[i * c->d + c->d / 2]) + 3 * toy_uniform(r);
        t[i] = below(r, 4) ? t[i] : rint(t[i]);
        y[i] = c->n_classes ? 3 * ((int64_t)floor(fabs(t[i]) * 4) % (int64_t)c->n_classes) - 5 : 0;
    }
    data = c->n_classes ? toy_labels(NULL, x, c->n, c->d, y) : toy_reals(NULL, x, c->n, c->d, t);
    free(x);
    free(t);
    free(y);
    return data;
}

static ml_dataset *make_new_rows(const random_case *c, toy_random *r)
{
    double *x = malloc(N_NEW_ROWS * c->d * sizeof *x);
    ml_dataset *data;

    for (size_t i = 0; i < N_NEW_ROWS * c->d; i++)
        x[i] = below(r, 10) ? value(r, c->n_values) : 1000 * toy_uniform(r) - 500;
    data = toy_matrix(NULL, x, N_NEW_ROWS, c->d);
    free(x);
    return data;
}

#define PICK(list, r) ((list)[below(r, sizeof(list) / sizeof *(list))])

/* Forty features of which one is looked at: codes are gathered, not moved. */
static random_case make_case(size_t index, toy_random *r)
{
    static const size_t VALUES[] = {2, 5, 16, 17, 100, 255, 0, 0}, CLASSES[] = {0, 0, 2, 2, 3, 7, 30};
    static const size_t LARGE[] = {1000, 2047, 2100, 3000, 5000};
    static const char *const FEATURES[] = {"all", "sqrt", "1", "0.5"}, *const DEPTHS[] = {"0", "0", "1", "3", "8"};
    static const char *const SPLITS[] = {"2", "2", "2", "5"}, *const BINS[] = {"255", "255", "16", "2", "40"};
    random_case c = {.n = index < N_CASES ? 2 + below(r, 399) : PICK(LARGE, r), .d = 1 + below(r, 12)};
    const bool gathers = index % 8 == 7;
    size_t s = 0;

    if (gathers)
        c.d = 40;
    c.n_values = PICK(VALUES, r);
    c.n_classes = PICK(CLASSES, r);
    c.data = make_data(&c, r);
    c.new_rows = make_new_rows(&c, r);
    c.settings[s++] = "n_estimators", c.settings[s++] = "5";
    c.settings[s++] = "bootstrap", c.settings[s++] = below(r, 3) ? "true" : "false";
    c.settings[s++] = "max_features", c.settings[s++] = gathers ? "1" : PICK(FEATURES, r);
    c.settings[s++] = "max_depth", c.settings[s++] = PICK(DEPTHS, r);
    c.settings[s++] = "min_samples_split", c.settings[s++] = PICK(SPLITS, r);
    c.settings[s++] = "max_bins", c.settings[s++] = PICK(BINS, r);
    return c;
}

static void free_case(random_case *c)
{
    ml_dataset_free(c->data);
    ml_dataset_free(c->new_rows);
}

/* ---- instruction sets ---- */

/* Bytes of the forest that is grown with this table of kernels; the one in use is so again afterwards. */
static void *bytes_on(const char *table, const random_case *c, size_t *n_bytes)
{
    const char *in_use = ml__kernels_best()->name;
    ml_model *model = toy_model(NULL, "random_forest");
    ml_status st;
    void *bytes;

    for (const char *const *s = c->settings; *s; s += 2)
        CHECK_OK(ml_model_set_text(model, s[0], s[1]));
    CHECK(ml__kernels_limit(table));
    st = ml_model_fit(model, c->data, NULL);
    CHECK(ml__kernels_limit(in_use));
    CHECK_OK(st);
    bytes = test_saved(model, n_bytes);
    ml_model_free(model);
    return bytes;
}

TEST(columns, every_instruction_set_grows_the_same_forest)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    toy_random r = {11};

    for (size_t i = 0; i < N_CASES + N_LARGE_CASES; i++) {
        random_case c = make_case(i, &r);
        size_t n_first, n;
        void *first = bytes_on(tables[0]->name, &c, &n_first), *bytes;

        for (size_t t = 1; t < n_tables; t++) {
            bytes = bytes_on(tables[t]->name, &c, &n);
            CHECK_MSG(n == n_first && !memcmp(bytes, first, n),
                      "case %zu (%zu x %zu, %zu values, %zu classes): %s and %s differ", i, c.n, c.d, c.n_values,
                      c.n_classes, tables[0]->name, tables[t]->name);
            free(bytes);
        }
        free(first);
        free_case(&c);
    }
}

/* ---- the exact way ---- */

/* Predictions for the data itself: shares of classes, or reals. */
static double *fitted_values(const ml_model *model, const ml_dataset *data, bool shares, size_t K)
{
    const size_t n = ml_dataset_n_rows(data) * K;
    double *out = malloc(n * sizeof *out);

    if (shares)
        CHECK_OK(ml_model_predict_proba(model, data, out, n));
    else
        CHECK_OK(ml_model_predict(model, data, out, n));
    return out;
}

/* Trees that end in rows of one class, one target, or one place give each place its own shares or mean, by whatever splits. */
TEST(columns, trees_without_limits_predict_their_rows_as_the_exact_way_does)
{
    toy_random r = {12};

    for (size_t i = 0; i < N_CASES; i++) {
        random_case c = make_case(i, &r);
        const char *const *exact = TOY_SETTINGS("n_estimators", "3", "bootstrap", "false", "max_features", "all",
                                                "max_bins", "0"),
                          *const *coded = TOY_SETTINGS("n_estimators", "3", "bootstrap", "false", "max_features", "all",
                                                       "max_bins", "255");
        ml_model *a, *b;
        double *from_a, *from_b;
        size_t K;

        if (c.n_values == 0 && c.n > 255) { /* more than there are codes */
            free_case(&c);
            continue;
        }
        a = toy_fitted(NULL, "random_forest", c.data, exact);
        b = toy_fitted(NULL, "random_forest", c.data, coded);
        K = c.n_classes ? (size_t)toy_tensor(a, "trees.value").shape[1] : 1;
        from_a = fitted_values(a, c.data, c.n_classes, K);
        from_b = fitted_values(b, c.data, c.n_classes, K);
        for (size_t p = 0; p < c.n * K; p++)
            CHECK_MSG(fabs(from_a[p] - from_b[p]) <= 1e-13 * fmax(1, fabs(from_a[p])),
                      "case %zu (%zu x %zu, %zu values, %zu classes), value %zu: %.17g, exactly %.17g", i, c.n, c.d,
                      c.n_values, c.n_classes, p, from_b[p], from_a[p]);
        free(from_a);
        free(from_b);
        ml_model_free(a);
        ml_model_free(b);
        free_case(&c);
    }
}

/* ---- walks ---- */

static void check_rows_alone(const ml_model *model, const ml_dataset *data, size_t d, bool shares)
{
    const size_t n = ml_dataset_n_rows(data);
    const size_t K = shares ? (size_t)toy_tensor(model, "trees.value").shape[1] : 1;
    double *all = fitted_values(model, data, shares, K), *x = malloc(d * sizeof *x), one[64];

    for (size_t i = 0; i < n; i++) {
        CHECK_OK(ml_dataset_row(data, i, x, d));
        CHECK_OK(ml_model_predict_row(model, shares ? ML_PREDICT_PROBA : ML_PREDICT, x, d, one, K, NULL, 0));
        CHECK_SAME_BYTES(one, K * sizeof *one, all + i * K, K * sizeof *all);
    }
    free(all);
    free(x);
}

TEST(columns, rows_are_predicted_alike_alone_and_among_others)
{
    toy_random r = {13};

    for (size_t i = 0; i < N_CASES; i++) {
        random_case c = make_case(i, &r);
        ml_model *model = toy_fitted(NULL, "random_forest", c.data, c.settings);

        check_rows_alone(model, c.data, c.d, c.n_classes);
        check_rows_alone(model, c.new_rows, c.d, c.n_classes);
        ml_model_free(model);
        free_case(&c);
    }
}

/* One target far away, or all of them far from 0: the others keep their digits. */
TEST(columns, targets_of_any_size_keep_their_digits)
{
    static const double FAR[] = {1e17, -1e30, 1e300, 12};
    enum { N = 11 };

    for (size_t f = 0; f < sizeof FAR / sizeof FAR[0]; f++) {
        double x[N], t[N], *values;
        ml_dataset *data;
        ml_model *model;

        for (size_t i = 0; i < N; i++) {
            x[i] = (double)i;
            t[i] = i + 1 < N ? 1e-3 * (double)(i / 2) : FAR[f]; /* leaves of equal targets, and of unequal ones below */
        }
        data = toy_reals(NULL, x, N, 1, t);
        model = toy_fitted(NULL, "random_forest", data,
                           TOY_SETTINGS("n_estimators", "1", "bootstrap", "false", "max_bins", "255"));
        values = toy_predictions(model, data);
        for (size_t i = 0; i < N; i++)
            CHECK(values[i] == t[i]);
        free(values);
        ml_model_free(model);
        model = toy_fitted(
            NULL, "random_forest", data,
            TOY_SETTINGS("n_estimators", "1", "bootstrap", "false", "max_bins", "255", "min_samples_split", "11"));
        values = toy_predictions(model, data);
        CHECK(fabs(values[0] - 2e-3) <= 1e-15 && values[N - 1] == FAR[f]); /* the mean of the ten */
        free(values);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}
