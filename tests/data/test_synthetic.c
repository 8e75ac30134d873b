/* SPDX-License-Identifier: Apache-2.0 */
#include "data/dataset.h"
#include "test.h"

static ml_dataset *made(const char *what, const char *params)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_make(NULL, what, params, &data));
    return data;
}

/* All features, row by row, then the outputs; malloc'ed. */
static double *everything(const ml_dataset *data, size_t *n)
{
    const size_t n_rows = ml_dataset_n_rows(data), d = ml_dataset_n_features(data), k = ml_dataset_n_outputs(data);
    double *out = malloc(n_rows * (d + k) * sizeof *out);

    CHECK_OK(ml__dataset_read(data, 0, n_rows, ML_FLOAT64, out));
    for (size_t o = 0; o < k; o++)
        CHECK_OK(ml_dataset_output(data, o, out + n_rows * (d + o), n_rows));
    *n = n_rows * (d + k) * sizeof *out;
    return out;
}

TEST(synthetic, defaults_are_those_documented)
{
    ml_dataset *classes = made("classification", NULL), *reals = made("regression", ""), *blobs = made("blobs", NULL);

    CHECK(ml_dataset_n_rows(classes) == 100 && ml_dataset_n_features(classes) == 20);
    CHECK(ml_dataset_n_classes(classes, 0) == 2 && !strcmp(ml_dataset_class_name(classes, 0, 1), "1"));
    CHECK(ml_dataset_n_rows(reals) == 100 && ml_dataset_n_features(reals) == 100);
    CHECK(ml_dataset_n_outputs(reals) == 1 && ml_dataset_n_classes(reals, 0) == 0);
    CHECK(!strcmp(ml_dataset_output_name(reals, 0), "y"));
    CHECK(ml_dataset_n_rows(blobs) == 100 && ml_dataset_n_features(blobs) == 2 && ml_dataset_n_classes(blobs, 0) == 3);
    ml_dataset_free(classes);
    ml_dataset_free(reals);
    ml_dataset_free(blobs);
}

TEST(synthetic, the_random_state_decides_every_bit)
{
    static const char *const KINDS[] = {"classification", "regression", "blobs"};

    for (size_t i = 0; i < 3; i++) {
        ml_dataset *a = made(KINDS[i], "n_samples=50,random_state=7"),
                   *b = made(KINDS[i], "random_state=7,n_samples=50");
        ml_dataset *c = made(KINDS[i], "n_samples=50,random_state=8");
        size_t n_a, n_b, n_c;
        double *of_a = everything(a, &n_a), *of_b = everything(b, &n_b), *of_c = everything(c, &n_c);
        CHECK_SAME_BYTES(of_a, n_a, of_b, n_b);
        CHECK(n_c == n_a && memcmp(of_a, of_c, n_a) != 0);
        free(of_a);
        free(of_b);
        free(of_c);
        ml_dataset_free(a);
        ml_dataset_free(b);
        ml_dataset_free(c);
    }
}

/* Mean of |correlation| would be near 1 for a redundant feature; here we solve for it: redundant = informative B. */
TEST(synthetic, redundant_features_are_combinations_of_informative_ones)
{
    ml_dataset *data = made("classification", "n_samples=40,n_features=6,n_informative=2,n_redundant=2,flip_y=0");
    double x[6], base[2][6], B[2];

    CHECK_OK(ml_dataset_row(data, 0, base[0], 6));
    CHECK_OK(ml_dataset_row(data, 1, base[1], 6));
    for (size_t r = 2; r < 4; r++) { /* two rows give B, all others must agree */
        const double determinant = base[0][0] * base[1][1] - base[0][1] * base[1][0];
        B[0] = (base[0][r] * base[1][1] - base[0][1] * base[1][r]) / determinant;
        B[1] = (base[0][0] * base[1][r] - base[0][r] * base[1][0]) / determinant;
        CHECK(fabs(B[0]) < 1 && fabs(B[1]) < 1);
        for (size_t i = 2; i < 40; i++) {
            CHECK_OK(ml_dataset_row(data, i, x, 6));
            CHECK_CLOSE(x[r], x[0] * B[0] + x[1] * B[1], 1e-10);
        }
    }
    ml_dataset_free(data);
}

/* With class_sep far above the spread, each cluster shows its vertex: all are corners, no two of them the same. */
TEST(synthetic, clusters_sit_on_distinct_vertices)
{
    ml_dataset *data = made("classification", "n_samples=320,n_features=4,n_informative=4,n_redundant=0,n_classes=8,"
                                              "class_sep=1000,flip_y=0");
    double x[4], label[320];
    size_t rows_at[16] = {0}, class_at[16] = {0};

    CHECK_OK(ml_dataset_output(data, 0, label, 320));
    for (size_t i = 0; i < 320; i++) {
        size_t vertex = 0;
        CHECK_OK(ml_dataset_row(data, i, x, 4));
        for (size_t j = 0; j < 4; j++) {
            CHECK(fabs(fabs(x[j]) - 1000) < 50);
            vertex |= (size_t)(x[j] > 0) << j;
        }
        CHECK(rows_at[vertex] == 0 || class_at[vertex] == (size_t)label[i]);
        class_at[vertex] = (size_t)label[i];
        rows_at[vertex]++;
    }
    for (size_t v = 0; v < 16; v++)
        CHECK(rows_at[v] == 20);
    ml_dataset_free(data);
}

TEST(synthetic, flip_y_draws_labels_anew)
{
    ml_dataset *pure = made("classification", "n_samples=4000,flip_y=0"),
               *flipped = made("classification", "n_samples=4000,flip_y=0.5");
    static double a[4000], b[4000];
    size_t n_different = 0;

    CHECK_OK(ml_dataset_output(pure, 0, a, 4000));
    CHECK_OK(ml_dataset_output(flipped, 0, b, 4000));
    for (size_t i = 0; i < 4000; i++)
        n_different += a[i] != b[i];
    CHECK(n_different > 900 && n_different < 1100); /* half of a half */
    ml_dataset_free(pure);
    ml_dataset_free(flipped);
}

TEST(synthetic, noise_features_are_standard_normal)
{
    enum { N = 5000 };
    ml_dataset *data = made("classification", "n_samples=5000,n_features=5");
    double x[5], sum = 0, squares = 0;

    for (size_t i = 0; i < N; i++) {
        CHECK_OK(ml_dataset_row(data, i, x, 5));
        sum += x[4];
        squares += x[4] * x[4];
    }
    CHECK(fabs(sum / N) < 0.07 && fabs(squares / N - 1) < 0.1);
    ml_dataset_free(data);
}

TEST(synthetic, regression_is_linear_in_the_informative_features)
{
    ml_dataset *data = made("regression", "n_samples=30,n_features=5,n_informative=1,n_targets=2,bias=3");
    double x[5], first[30], second[30], w[2] = {0};

    CHECK(ml_dataset_n_outputs(data) == 2 && !strcmp(ml_dataset_output_name(data, 1), "y1"));
    CHECK_OK(ml_dataset_output(data, 0, first, 30));
    CHECK_OK(ml_dataset_output(data, 1, second, 30));
    for (size_t i = 0; i < 30; i++) {
        CHECK_OK(ml_dataset_row(data, i, x, 5));
        if (i == 0) {
            w[0] = (first[0] - 3) / x[0];
            w[1] = (second[0] - 3) / x[0];
        }
        CHECK_CLOSE(first[i], 3 + w[0] * x[0], 1e-10);
        CHECK_CLOSE(second[i], 3 + w[1] * x[0], 1e-10);
    }
    CHECK(w[0] >= 0 && w[0] < 100 && w[1] >= 0 && w[1] < 100 && w[0] != w[1]);
    ml_dataset_free(data);
}

TEST(synthetic, blobs_are_even_and_as_wide_as_asked)
{
    enum { N = 3001 };
    ml_dataset *data = made("blobs", "n_samples=3001,n_features=1,centers=3,cluster_std=0.5");
    static double label[N];
    double x, count[3] = {0}, sum[3] = {0}, squares[3] = {0};

    CHECK_OK(ml_dataset_output(data, 0, label, N));
    for (size_t i = 0; i < N; i++) {
        const size_t k = (size_t)label[i];
        CHECK_OK(ml_dataset_row(data, i, &x, 1));
        count[k]++;
        sum[k] += x;
        squares[k] += x * x;
    }
    CHECK(count[0] == 1001 && count[1] == 1000 && count[2] == 1000);
    for (size_t k = 0; k < 3; k++) {
        const double mean = sum[k] / count[k];
        CHECK(fabs(mean) < 10.1);
        CHECK(fabs(sqrt(squares[k] / count[k] - mean * mean) - 0.5) < 0.05);
    }
    ml_dataset_free(data);
}

TEST(synthetic, extremes_work)
{
    ml_dataset *one =
        made("classification", "n_samples=1,n_features=1,n_informative=1,n_redundant=0,n_clusters_per_class=1");
    ml_dataset *wide = made("classification", "n_samples=3,n_features=100,n_informative=100,n_redundant=0,n_classes=5");
    ml_dataset *few = made("blobs", "n_samples=2,centers=5");
    ml_dataset *all = made("regression", "n_features=3,n_informative=10");

    CHECK(ml_dataset_n_rows(one) == 1 && ml_dataset_n_classes(one, 0) == 2);
    CHECK(ml_dataset_n_classes(wide, 0) == 5 && ml_dataset_n_classes(few, 0) == 5);
    CHECK(ml_dataset_n_features(all) == 3);
    ml_dataset_free(one);
    ml_dataset_free(wide);
    ml_dataset_free(few);
    ml_dataset_free(all);
}

TEST(synthetic, bad_parameters_are_refused_by_name)
{
    static const struct {
        const char *what, *params;
        ml_status code;
        const char *message;
    } CASES[] = {
        {"moons", NULL, ML_E_ARGUMENT,
         "there is no synthetic dataset 'moons', only classification, regression and blobs"},
        {"blobs", "n_sample=3", ML_E_ARGUMENT,
         "\"blobs\" has no parameter 'n_sample', only n_samples, n_features, centers, cluster_std, random_state"},
        {"blobs", "centers", ML_E_ARGUMENT, "\"blobs\": parameter centers has no number, expected centers=<number>"},
        {"blobs", "centers=", ML_E_ARGUMENT, "parameter centers has no number"},
        {"blobs", "centers=3x", ML_E_ARGUMENT, "parameter centers has no number"},
        {"blobs", "centers=0x3", ML_E_ARGUMENT, "parameter centers has no number"},
        {"blobs", "centers=2.5", ML_E_ARGUMENT, "\"blobs\": centers is 2.5, expected a whole number from 1 to "},
        {"blobs", "cluster_std=-1", ML_E_ARGUMENT, "\"blobs\": cluster_std is -1, expected a number from 0 to 1e100"},
        {"blobs", "n_samples=0", ML_E_ARGUMENT, "n_samples is 0"},
        {"blobs", "n_samples=5,", ML_E_ARGUMENT, "the parameters end with a comma"},
        {"blobs", ",n_samples=5", ML_E_ARGUMENT, "\"blobs\" has no parameter ''"},
        {"blobs", " n_samples=5", ML_E_ARGUMENT, "no parameter ' n_samples'"},
        {"blobs", "centers=65537", ML_E_LIMIT, "65537 classes, at most 65536 are allowed"},
        {"blobs", "n_features=16777217", ML_E_LIMIT, "n_features is 16777217, at most 16777216 are allowed"},
        {"blobs", "n_samples=1e15,n_features=100000", ML_E_MEMORY, ""},
        {"regression", "n_targets=5000", ML_E_LIMIT, "n_targets is 5000, at most 4096 are allowed"},
        {"regression", "centers=3", ML_E_ARGUMENT, "\"regression\" has no parameter 'centers'"},
        {"classification", "n_informative=19", ML_E_ARGUMENT,
         "n_informative 19 and n_redundant 2 exceed n_features 20"},
        {"classification", "n_classes=3", ML_E_ARGUMENT,
         "n_classes 3 times n_clusters_per_class 2 exceeds the 2^2 vertices of n_informative"},
        {"classification", "flip_y=1.5", ML_E_ARGUMENT, "flip_y is 1.5, expected a number from 0 to 1"},
    };
    ml_dataset *data;

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        CHECK_FAILS(ml_dataset_make(NULL, CASES[i].what, CASES[i].params, &data), CASES[i].code, CASES[i].message);
        CHECK(data == NULL);
    }
    CHECK_FAILS(ml_dataset_make(NULL, NULL, NULL, &data), ML_E_ARGUMENT, "what is NULL");
    CHECK_FAILS(ml_dataset_make(NULL, "blobs", NULL, NULL), ML_E_ARGUMENT, "out is NULL");
}

static ml_status try_make(ml_context *context, void *what)
{
    ml_dataset *data;
    const ml_status st = ml_dataset_make(context, what, "n_samples=30", &data);

    CHECK((st == ML_OK) == (data != NULL));
    ml_dataset_free(data);
    return st;
}

TEST(synthetic, every_failing_allocation_is_survived)
{
    char *const KINDS[] = {(char[]){"classification"}, (char[]){"regression"}, (char[]){"blobs"}};
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    for (size_t i = 0; i < 3; i++)
        CHECK(test_failing_allocations(&allocator, context, KINDS[i], try_make, KINDS[i]) > 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
