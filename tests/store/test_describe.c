/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions say what is there, of a model in memory and of a file alike, and never trust a name. */
#include "model_cases.h"
#include "store/model_file.h"

#include <stdarg.h>

static char *described(const ml_model *model)
{
    size_t n;
    char *text;

    CHECK_OK(ml_model_describe(model, NULL, 0, &n));
    text = malloc(n);
    CHECK_OK(ml_model_describe(model, text, n, NULL));
    CHECK(strlen(text) + 1 == n);
    return text;
}

static char *file_described(const char *path)
{
    size_t n;
    char *text;

    CHECK_OK(ml_file_describe(path, NULL, 0, &n));
    text = malloc(n);
    CHECK_OK(ml_file_describe(path, text, n, NULL));
    return text;
}

static void check_contains(const char *text, const char *part)
{
    CHECK_MSG(strstr(text, part), "'%s' is not in:\n%s", part, text);
}

TEST(describe, a_model_of_one_kind)
{
    ml_model *model = case_linear(NULL);
    char *text;

    CHECK_OK(ml_model_set_text(model, "fit_intercept", "true"));
    text = described(model);
    check_contains(text, "linear_regression: ");
    check_contains(text, "\n  parameters: 2 at their defaults\n");
    check_contains(text, "\n  fitted to predict values: 4 features (x0, x1, x2, x3); y: real; stopped: complete\n");
    check_contains(text, "\n  tensors: coef float64 1 x 4, intercept float64 1");
    check_contains(text, " learned values, ");
    free(text);
    CHECK_OK(ml_model_set_text(model, "fit_intercept", "false"));
    text = described(model);
    check_contains(text, "\n  parameters: fit_intercept = false; 1 at its default\n");
    free(text);
    ml_model_free(model);
}

TEST(describe, members_are_indented)
{
    ml_model *model = case_nested(NULL);
    char *text = described(model);

    check_contains(text, "pipeline: ");
    check_contains(text, "4 features (");
    check_contains(text, ": 3 classes (");
    check_contains(text, "\n  members\n    scale = standard_scaler: ");
    check_contains(text, "\n      fitted to describe data: 4 features; stopped: complete\n");
    check_contains(text, "\n    fused = weighted_average: ");
    check_contains(text, "\n      members\n        first (weight ");
    check_contains(text, "\n        second (weight ");
    free(text);
    ml_model_free(model);
}

TEST(describe, an_unfitted_model)
{
    ml_model *model, *member;
    char *text;

    CHECK_OK(ml_model_create(NULL, "pipeline", &model));
    CHECK_OK(ml_model_create(NULL, "standard_scaler", &member));
    CHECK_OK(ml_model_add_member(model, "scale", member));
    text = described(model);
    check_contains(text, "\n  not fitted\n  members\n    scale = standard_scaler: ");
    CHECK(!strstr(text, "learned values"));
    free(text);
    ml_model_free(model);
}

TEST(describe, long_lists_and_runs_of_members_are_cut)
{
    ml_dataset *data = test_table(NULL, "digits");
    ml_model *model, *member;
    char *text, name[16];

    CHECK_OK(ml_model_create(NULL, "weighted_average", &model));
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "tree%d", i);
        CHECK_OK(ml_model_create(NULL, "decision_tree", &member));
        CHECK_OK(ml_model_set_int(member, "max_depth", 2));
        CHECK_OK(ml_model_add_member(model, name, member));
    }
    text = described(model);
    check_contains(text, "tree0 = decision_tree");
    check_contains(text, "\n    … and 8 more decision_tree\n");
    CHECK(!strstr(text, "tree1"));
    free(text);
    ml_model_free(model);
    CHECK_OK(ml_model_create(NULL, "decision_tree", &model));
    CHECK_OK(ml_model_set_int(model, "max_depth", 2));
    CHECK_OK(ml_model_fit(model, data, NULL));
    text = described(model);
    check_contains(text, "64 features (");
    check_contains(text, ", … and 56 more); ");
    check_contains(text, ": 10 classes (0, 1, 2, 3, 4, 5, 6, 7, … and 2 more); stopped: complete\n");
    free(text);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(describe, many_outputs)
{
    double x[20], y[20];
    ml_dataset *data;
    ml_model *model;
    char *text, name[16];

    for (int i = 0; i < 20; i++) {
        x[i] = i;
        y[i] = 2 * i;
    }
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 20, 1, 0, 0, ML_COPY, &data));
    for (int o = 0; o < 10; o++) {
        snprintf(name, sizeof name, "out%d", o);
        CHECK_OK(ml_dataset_add_targets(data, name, y, 20));
    }
    CHECK_OK(ml_model_create(NULL, "linear_regression", &model));
    CHECK_OK(ml_model_fit(model, data, NULL));
    text = described(model);
    check_contains(text, "1 feature (x0); out0: real; out1: real; ");
    check_contains(text, "; out7: real; … and 2 more; stopped: complete\n");
    free(text);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* A file is described as the model in it is, and one line more. */
static void check_file(const char *name, const ml_model *model, const ml_dataset *data)
{
    const char *path = test_temporary_path("described.invar");
    char *text, *file, line[96];
    size_t n;
    void *bytes = test_saved(model, &n);

    (void)data;
    CHECK_OK(ml_model_save(model, path));
    text = described(model);
    file = file_described(path);
    CHECK_MSG(!strncmp(text, file, strlen(text)), "%s: the file is described as\n%s\nthe model as\n%s", name, file,
              text);
    snprintf(line, sizeof line, "file of %zu bytes, format version 1\n", n);
    CHECK(!strcmp(file + strlen(text), line));
    free(bytes);
    free(text);
    free(file);
}

TEST(describe, files_of_every_kind)
{
    cases_for_each(NULL, check_file);
}

TEST(describe, totals_count_all_levels)
{
    ml_model *model = case_nested(NULL);
    char *text = described(model), expected[96];
    size_t n;
    void *bytes = test_saved(model, &n);
    uint64_t n_bytes = 0, n_values = 0;
    parts p;

    parts_take(&p, bytes, n);
    for (size_t i = 0; i < p.n_tensors; i++) {
        n_bytes += p.tensors[i].end - p.tensors[i].begin;
        n_values += (p.tensors[i].end - p.tensors[i].begin) / p.tensors[i].element_bytes;
    }
    snprintf(expected, sizeof expected, "\n%llu learned values, %llu bytes\n", (unsigned long long)n_values,
             (unsigned long long)n_bytes);
    check_contains(text, expected);
    parts_free(&p);
    free(bytes);
    free(text);
    ml_model_free(model);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    CHECK(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
}

TEST(describe, names_from_a_file_cannot_reach_a_terminal)
{
    const char *path = test_temporary_path("escape.invar");
    ml_model *model = case_linear(NULL);
    size_t n;
    void *bytes = test_saved(model, &n), *joined;
    char *text;
    parts p;

    parts_take(&p, bytes, n);
    parts_edit(&p, "\"x0\"", "\"a\\u001b[2Jb\\u009b\\u007fc\\u00e9%s\"");
    joined = parts_join(&p, &n);
    write_file(path, joined, n);
    text = file_described(path);
    check_contains(text, "(a\\x1B[2Jb\\u009B\\x7Fc\xC3\xA9%s, x1");
    free(text);
    free(joined);
    parts_free(&p);
    free(bytes);
    ml_model_free(model);
}

TEST(describe, damaged_files_are_refused)
{
    const char *path = test_temporary_path("damaged.invar");
    ml_model *model = case_linear(NULL);
    size_t n, needed;
    unsigned char *bytes = test_saved(model, &n);

    CHECK_FAILS(ml_file_describe(NULL, NULL, 0, &needed), ML_E_ARGUMENT, "path is NULL");
    CHECK_FAILS(ml_model_describe(NULL, NULL, 0, &needed), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_file_describe(test_temporary_path("none"), NULL, 0, &needed), ML_E_IO, "no such file");
    write_file(path, bytes, n - 1);
    CHECK_FAILS(ml_file_describe(path, NULL, 0, &needed), ML_E_FORMAT, "beyond the");
    write_file(path, "\x80\x04\x95 this is a pickle", 20);
    CHECK_FAILS(ml_file_describe(path, NULL, 0, &needed), ML_E_FORMAT, "it looks like a Python pickle");
    for (size_t bit = 0; bit < 8 * n; bit += 5) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        write_file(path, bytes, n);
        (void)ml_file_describe(path, NULL, 0, &needed);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(bytes);
    ml_model_free(model);
}

TEST(describe, buffer_that_is_too_small)
{
    ml_model *model = case_linear(NULL);
    char small[8] = "same";
    size_t needed = 0;

    CHECK_FAILS(ml_model_describe(model, small, sizeof small, &needed), ML_E_SHAPE, "the buffer has 8 bytes");
    CHECK(needed > sizeof small && !strcmp(small, "same"));
    ml_model_free(model);
}
