/* SPDX-License-Identifier: Apache-2.0 */
#include "model/params.h"
#include "test.h"

static ml_model *model(const char *kind)
{
    ml_model *m;

    CHECK_OK(ml_model_create(NULL, kind, &m));
    return m;
}

static void check_text(const ml_model *m, const char *name, const char *expected)
{
    char text[128];

    CHECK_OK(ml_model_get_text(m, name, text, sizeof text, NULL));
    CHECK_MSG(!strcmp(text, expected), "%s is '%s', expected '%s'", name, text, expected);
}

TEST(params, every_default_reads_back_and_can_be_set_again)
{
    for (size_t k = 0; k < ml_kind_count(); k++) {
        const char *kind = ml_kind_name(k);
        ml_model *m = model(kind);

        for (size_t i = 0; i < ml_kind_param_count(kind); i++) {
            ml_param_info p = {.struct_size = sizeof p};
            char text[128];

            CHECK_OK(ml_kind_param(kind, i, &p));
            CHECK_MSG(p.doc[0] && p.since[0] && p.name[0], "%s.%s is not documented", kind, p.name);
            CHECK_OK(ml_model_get_text(m, p.name, text, sizeof text, NULL));
            CHECK_OK(ml_model_set_text(m, p.name, text));
            CHECK_OK(ml_model_set_text(m, p.name, p.default_value));
            check_text(m, p.name, text);
        }
        ml_model_free(m);
    }
}

TEST(params, values_out_of_range_are_refused_and_change_nothing)
{
    for (size_t k = 0; k < ml_kind_count(); k++) {
        const char *kind = ml_kind_name(k);
        ml_model *m = model(kind);

        for (size_t i = 0; i < ml_kind_param_count(kind); i++) {
            ml_param_info p = {.struct_size = sizeof p};
            char before[128];

            CHECK_OK(ml_kind_param(kind, i, &p));
            CHECK_OK(ml_model_get_text(m, p.name, before, sizeof before, NULL));
            CHECK_FAILS(ml_model_set_text(m, p.name, "no such value"), ML_E_PARAMETER, p.name);
            CHECK_FAILS(ml_model_set_real(m, p.name, NAN), ML_E_PARAMETER, p.name);
            if (p.type == ML_PARAM_INT && p.min > -1e15)
                CHECK_FAILS(ml_model_set_int(m, p.name, (int64_t)p.min - 1), ML_E_PARAMETER, p.name);
            if (p.type == ML_PARAM_REAL && isfinite(p.min))
                CHECK_FAILS(ml_model_set_real(m, p.name, p.min_open ? p.min : p.min - 1), ML_E_PARAMETER, p.name);
            if (p.type == ML_PARAM_REAL && isfinite(p.max))
                CHECK_FAILS(ml_model_set_real(m, p.name, p.max_open ? p.max : p.max + 1), ML_E_PARAMETER, p.name);
            if (p.type == ML_PARAM_BOOL)
                CHECK_FAILS(ml_model_set_int(m, p.name, 2), ML_E_PARAMETER, "true or false");
            if (p.is_count) {
                CHECK(p.type == ML_PARAM_SIZE);
                CHECK_FAILS(ml_model_set_real(m, p.name, 0.5), ML_E_PARAMETER, p.name);
                CHECK(!strstr(ml_last_error(), "fraction"));
            }
            check_text(m, p.name, before);
        }
        ml_model_free(m);
    }
}

TEST(params, messages_list_what_is_allowed)
{
    ml_model *forest = model("random_forest"), *unset;

    CHECK_FAILS(ml_model_set_int(forest, "n_trees", 3), ML_E_PARAMETER, "random_forest has no parameter 'n_trees'");
    CHECK(strstr(ml_last_error(), "n_estimators"));
    CHECK_FAILS(ml_model_set_text(forest, "criterion", "ginni"), ML_E_PARAMETER, "entropy");
    CHECK_FAILS(ml_model_set_int(forest, "n_estimators", 0), ML_E_PARAMETER, "a whole number in [1, ");
    CHECK_FAILS(ml_model_set_real(forest, "n_estimators", 2.5), ML_E_PARAMETER, "got '2.5'");
    CHECK_FAILS(ml_model_set_int(forest, "tree__max_depth", 3), ML_E_PARAMETER, "no member 'tree'");
    CHECK_FAILS(ml_model_create(NULL, "randomforest", &unset), ML_E_ARGUMENT, "random_forest");
    CHECK(unset == NULL);
    ml_model_free(forest);
}

TEST(params, sizes_are_choice_count_or_fraction)
{
    ml_model *forest = model("random_forest");

    CHECK_OK(ml_model_set_text(forest, "max_features", "log2"));
    check_text(forest, "max_features", "log2");
    CHECK_OK(ml_model_set_int(forest, "max_features", 1));
    check_text(forest, "max_features", "1");
    CHECK_OK(ml_model_set_real(forest, "max_features", 1));
    check_text(forest, "max_features", "1.0");
    CHECK_OK(ml_model_set_text(forest, "max_features", "0.3"));
    check_text(forest, "max_features", "0.3");
    CHECK_FAILS(ml_model_set_real(forest, "max_features", 1.5), ML_E_PARAMETER, "fraction in (0, 1]");
    CHECK_FAILS(ml_model_set_text(forest, "max_features", "0.0"), ML_E_PARAMETER, "fraction in (0, 1]");
    ml_model_free(forest);
}

TEST(params, lists)
{
    ml_model *mlp = model("mlp");

    CHECK_OK(ml_model_set_text(mlp, "hidden_layer_sizes", " 64, 32 ,16"));
    check_text(mlp, "hidden_layer_sizes", "64,32,16");
    CHECK_OK(ml_model_set_int(mlp, "hidden_layer_sizes", 7));
    check_text(mlp, "hidden_layer_sizes", "7");
    CHECK_FAILS(ml_model_set_text(mlp, "hidden_layer_sizes", "64,,32"), ML_E_PARAMETER, "hidden_layer_sizes");
    CHECK_FAILS(ml_model_set_text(mlp, "hidden_layer_sizes", "64,"), ML_E_PARAMETER, "hidden_layer_sizes");
    CHECK_FAILS(ml_model_set_text(mlp, "hidden_layer_sizes", "0"), ML_E_PARAMETER, "hidden_layer_sizes");
    CHECK_FAILS(ml_model_set_text(mlp, "hidden_layer_sizes",
                                  "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"),
                ML_E_PARAMETER, "at most 32");
    check_text(mlp, "hidden_layer_sizes", "7");
    ml_model_free(mlp);
}

typedef struct {
    ml__reals betas, shares;
} real_lists;

static const ml__param REAL_LISTS[] = {
    ML__REALS(real_lists, betas, "0.9,0.999", ML__RANGE_OPEN_HIGH(0, 1), "two rates"),
    ML__REALS(real_lists, shares, "1", ML__RANGE(0, INFINITY), "any numbers"),
    ML__PARAMS_END,
};

static void check_printed(const real_lists *p, const char *name, const char *expected)
{
    ml__text text;

    ml__text_init(&text, NULL);
    ml__param_print(ml__params_find(REAL_LISTS, name), p, &text);
    CHECK_OK(text.status);
    CHECK_MSG(!strcmp(text.data, expected), "%s is '%s', expected '%s'", name, text.data, expected);
    ml__text_free(&text);
}

TEST(params, lists_of_real_numbers)
{
    real_lists p;

    CHECK_OK(ml__params_defaults(REAL_LISTS, &p));
    CHECK(p.betas.n == 2 && p.betas.values[0] == 0.9 && p.betas.values[1] == 0.999 && p.shares.n == 1);
    CHECK_OK(ml__params_set_text("toy", REAL_LISTS, &p, "shares", " 0.2, 5 ,1e-300,inf"));
    CHECK(p.shares.n == 4 && p.shares.values[1] == 5 && p.shares.values[3] == INFINITY);
    check_printed(&p, "shares", "0.2,5,1e-300,inf");
    CHECK_OK(ml__params_set_int("toy", REAL_LISTS, &p, "shares", 3));
    check_printed(&p, "shares", "3");
    CHECK_OK(ml__params_set_real("toy", REAL_LISTS, &p, "betas", 0.25));
    check_printed(&p, "betas", "0.25");
    CHECK_FAILS(ml__params_set_real("toy", REAL_LISTS, &p, "betas", 1), ML_E_PARAMETER,
                "takes a comma-separated list of numbers in [0, 1), got '1'");
    CHECK_FAILS(ml__params_set_text("toy", REAL_LISTS, &p, "betas", "0.5,1"), ML_E_PARAMETER, "got '0.5,1'");
    CHECK_FAILS(ml__params_set_text("toy", REAL_LISTS, &p, "betas", "0.5,"), ML_E_PARAMETER, "got '0.5,'");
    CHECK_FAILS(ml__params_set_text("toy", REAL_LISTS, &p, "betas", "0.5,,0.6"), ML_E_PARAMETER, "'betas'");
    CHECK_FAILS(ml__params_set_text("toy", REAL_LISTS, &p, "betas", "half"), ML_E_PARAMETER, "got 'half'");
    check_printed(&p, "betas", "0.25");
}

TEST(params, lists_of_real_numbers_have_a_largest_length)
{
    char ones[2 * ML__MAX_REALS + 2];
    real_lists p;

    CHECK_OK(ml__params_defaults(REAL_LISTS, &p));
    for (size_t i = 0; i < sizeof ones; i++)
        ones[i] = i % 2 ? ',' : '1';
    ones[sizeof ones - 1] = 0; /* one too many */
    CHECK_FAILS(ml__params_set_text("toy", REAL_LISTS, &p, "shares", ones), ML_E_PARAMETER, "at most 1024");
    check_printed(&p, "shares", "1");
    ones[sizeof ones - 3] = 0;
    CHECK_OK(ml__params_set_text("toy", REAL_LISTS, &p, "shares", ones));
    CHECK(p.shares.n == ML__MAX_REALS);
    check_printed(&p, "shares", ones);
}

TEST(params, lists_of_real_numbers_read_back_to_the_same_bits)
{
    real_lists p, q;
    ml__text text;

    CHECK_OK(ml__params_defaults(REAL_LISTS, &p));
    CHECK_OK(ml__params_defaults(REAL_LISTS, &q));
    p.shares.n = ML__MAX_REALS;
    for (size_t i = 0; i < ML__MAX_REALS; i++)
        p.shares.values[i] = ldexp(1.0 / (double)(3 + i), (int)(i * 60) - 1020);
    ml__text_init(&text, NULL);
    ml__param_print(&REAL_LISTS[1], &p, &text);
    CHECK_OK(ml__params_set_text("toy", REAL_LISTS, &q, "shares", text.data));
    CHECK_SAME_BYTES(&p, sizeof p, &q, sizeof q);
    ml__text_free(&text);
}

TEST(params, paths_reach_members_of_members)
{
    ml_model *outer = model("pipeline"), *inner = model("pipeline"), *net = model("mlp");

    CHECK_OK(ml_model_add_member(inner, "net", net));
    CHECK_OK(ml_model_add_member(outer, "in_ner", inner));
    CHECK_OK(ml_model_set_real(outer, "in_ner__net__alpha", 0.25));
    check_text(outer, "in_ner__net__alpha", "0.25");
    check_text(net, "alpha", "0.25");
    CHECK_FAILS(ml_model_set_real(outer, "in_ner__nut__alpha", 0.25), ML_E_PARAMETER,
                "pipeline has no member 'nut'; it has: net");
    CHECK_FAILS(ml_model_set_int(net, "a__b", 1), ML_E_PARAMETER, "mlp has no member 'a'; it has none");
    ml_model_free(outer);
}

TEST(params, whole_numbers_are_exact_or_refused)
{
    ml_model *forest = model("random_forest");
    const int64_t largest = (int64_t)1 << 53;

    CHECK_OK(ml_model_set_int(forest, "random_state", largest));
    check_text(forest, "random_state", "9007199254740992");
    CHECK_OK(ml_model_set_int(forest, "random_state", largest - 1));
    CHECK_FAILS(ml_model_set_int(forest, "random_state", largest + 1), ML_E_PARAMETER, "got '9007199254740993'");
    CHECK_FAILS(ml_model_set_text(forest, "random_state", "9007199254740993"), ML_E_PARAMETER, "'random_state'");
    CHECK_FAILS(ml_model_set_int(forest, "random_state", INT64_MAX), ML_E_PARAMETER, "got '9223372036854775807'");
    CHECK_FAILS(ml_model_set_int(forest, "n_estimators", INT64_MIN), ML_E_PARAMETER, "got '-9223372036854775808'");
    check_text(forest, "random_state", "9007199254740991");
    ml_model_free(forest);
}

TEST(params, real_numbers_read_back_to_the_same_bits)
{
    static const double VALUES[] = {0.1, 1e-300, 1.0 / 3, 123456789.123456789, 5e-324, 1e22};
    ml_model *mlp = model("mlp");

    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++) {
        char text[64];

        CHECK_OK(ml_model_set_real(mlp, "alpha", VALUES[i]));
        CHECK_OK(ml_model_get_text(mlp, "alpha", text, sizeof text, NULL));
        CHECK(strtod(text, NULL) == VALUES[i]);
    }
    ml_model_free(mlp);
}

TEST(params, zero_keeps_its_sign)
{
    ml_model *imputer = model("simple_imputer");

    for (int sign = 0; sign < 2; sign++) {
        const char *zero = sign ? "-0" : "0";
        char text[64];

        CHECK_OK(ml_model_set_text(imputer, "fill_value", zero));
        CHECK_OK(ml_model_get_text(imputer, "fill_value", text, sizeof text, NULL));
        CHECK(!strcmp(text, zero));
    }
    ml_model_free(imputer);
}

TEST(params, text_buffers_tell_the_size_they_need)
{
    ml_model *forest = model("random_forest");
    char text[4] = "abc";
    size_t needed = 0;

    CHECK_OK(ml_model_get_text(forest, "n_estimators", NULL, 0, &needed));
    CHECK(needed == 4);
    CHECK_OK(ml_model_get_text(forest, "n_estimators", text, 4, NULL));
    CHECK(!strcmp(text, "100"));
    CHECK_FAILS(ml_model_get_text(forest, "n_estimators", text, 3, &needed), ML_E_SHAPE, "4");
    CHECK(!strcmp(text, "100"));
    CHECK_FAILS(ml_model_get_text(forest, "estimators", text, 3, &needed), ML_E_PARAMETER, "n_estimators");
    ml_model_free(forest);
}
