/* SPDX-License-Identifier: Apache-2.0 */
/* Models survive files bit by bit; no bytes at all make the loader misbehave; no failure leaves anything behind. */
#define _XOPEN_SOURCE 700
#include "base/random.h"
#include "model_cases.h"
#include "store/model_file.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- round trips ---- */

static void check_round_trip(const char *name, const ml_model *model, const ml_dataset *data)
{
    size_t n, n_again;
    unsigned char *bytes = test_saved(model, &n), *again;
    const char *path = test_temporary_path("round_trip.invar");
    ml_model *loaded;

    CHECK_OK(ml_model_load_memory(ml__dataset_context(data), bytes, n, NULL, &loaded));
    check_same_predictions(name, model, loaded, data);
    again = test_saved(loaded, &n_again);
    CHECK_MSG(n == n_again && !memcmp(bytes, again, n), "%s: saved again it has other bytes", name);
    ml_model_free(loaded);

    CHECK_OK(ml_model_save(model, path));
    CHECK_OK(ml_model_load(ml__dataset_context(data), path, NULL, &loaded));
    check_same_predictions(name, model, loaded, data);
    CHECK(ml_model_stop_reason(loaded) == ml_model_stop_reason(model));
    CHECK(ml_model_tensor_count(loaded) == ml_model_tensor_count(model));
    CHECK(ml_model_member_count(loaded) == ml_model_member_count(model));
    ml_model_free(loaded);
    free(bytes);
    free(again);
}

TEST(model_file, every_kind_survives_memory_and_file)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    cases_for_each(context, check_round_trip);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(model_file, file_and_memory_have_the_same_bytes)
{
    const char *path = test_temporary_path("same.invar");
    ml_model *model = case_nested(NULL);
    size_t n;
    unsigned char *bytes = test_saved(model, &n), *file;
    ml__source source;

    CHECK_OK(ml_model_save(model, path));
    CHECK_OK(ml__source_open(path, UINT64_MAX, &source));
    CHECK(source.n_bytes == n);
    file = malloc(n);
    CHECK_OK(source.read(&source, 0, file, n));
    CHECK_SAME_BYTES(bytes, n, file, n);
    ml__source_close(&source);
    free(bytes);
    free(file);
    ml_model_free(model);
}

TEST(model_file, a_refit_gives_the_same_bytes)
{
    ml_model *a = case_nested(NULL), *b = case_nested(NULL);
    size_t n_a, n_b;
    void *bytes_a = test_saved(a, &n_a), *bytes_b = test_saved(b, &n_b);

    CHECK_SAME_BYTES(bytes_a, n_a, bytes_b, n_b);
    free(bytes_a);
    free(bytes_b);
    ml_model_free(a);
    ml_model_free(b);
}

TEST(model_file, names_classes_and_parameters_come_back)
{
    ml_model *model = case_nested(NULL), *loaded;
    size_t n;
    void *bytes;
    char a[64], b[64];

    CHECK_OK(ml_model_set_text(model, "fused__second__max_depth", "7"));
    bytes = test_saved(model, &n);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n, NULL, &loaded));
    CHECK(!strcmp(ml_model_kind(loaded), "pipeline"));
    CHECK(ml_model_n_features(loaded) == 4 && ml_model_n_classes(loaded, 0) == 3);
    CHECK(!strcmp(ml_model_class_name(loaded, 0, 2), ml_model_class_name(model, 0, 2)));
    CHECK(!strcmp(ml_model_feature_name(loaded, 3), ml_model_feature_name(model, 3)));
    CHECK(!strcmp(ml_model_member_name(loaded, 1), "fused"));
    CHECK_OK(ml_model_get_text(model, "fused__second__max_depth", a, sizeof a, NULL));
    CHECK_OK(ml_model_get_text(loaded, "fused__second__max_depth", b, sizeof b, NULL));
    CHECK(!strcmp(a, b) && !strcmp(a, "7"));
    ml_model_free(loaded);
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, a_loaded_model_can_be_fitted_cloned_and_used_as_a_member)
{
    ml_dataset *data = test_table(NULL, "iris");
    ml_model *model = case_nested(NULL), *loaded, *clone, *owner;
    size_t n, n_again;
    void *bytes = test_saved(model, &n), *again;

    CHECK_OK(ml_model_load_memory(NULL, bytes, n, NULL, &loaded));
    CHECK_OK(ml_model_clone(loaded, &clone));
    CHECK_OK(ml_model_fit(loaded, data, NULL));
    again = test_saved(loaded, &n_again);
    CHECK_SAME_BYTES(bytes, n, again, n_again);
    CHECK_OK(ml_model_create(NULL, "weighted_average", &owner));
    CHECK_OK(ml_model_add_member(owner, "loaded", loaded));
    ml_model_free(owner);
    check_same_predictions("clone", model, clone, data);
    ml_model_free(clone);
    ml_model_free(model);
    ml_dataset_free(data);
    free(bytes);
    free(again);
}

TEST(model_file, bytes_may_lie_anywhere)
{
    ml_model *model = case_nested(NULL), *loaded;
    ml_dataset *data = test_table(NULL, "iris");
    size_t n;
    unsigned char *bytes = test_saved(model, &n), *room = malloc(n + 16);

    for (size_t shift = 1; shift < 16; shift++) {
        memcpy(room + shift, bytes, n);
        CHECK_OK(ml_model_load_memory(NULL, room + shift, n, NULL, &loaded));
        memset(room, 0xA5, n + 16); /* and may go after the call */
        check_same_predictions("unaligned", model, loaded, data);
        ml_model_free(loaded);
    }
    free(bytes);
    free(room);
    ml_dataset_free(data);
    ml_model_free(model);
}

/* ---- arguments ---- */

TEST(model_file, arguments_are_checked)
{
    const ml_load_options small = {.struct_size = sizeof small, .max_bytes = 100};
    const ml_load_options short_header = {.struct_size = sizeof small, .max_header_bytes = 100};
    const ml_load_options huge_header = {.struct_size = sizeof small, .max_header_bytes = 100000001};
    const ml_load_options no_size = {.struct_size = 0};
    const char *path = test_temporary_path("arguments.invar");
    ml_model *model = case_linear(NULL), *unfitted, *loaded = model;
    size_t n = 0, needed = 0;
    unsigned char *bytes = test_saved(model, &n);

    CHECK_OK(ml_model_create(NULL, "linear_regression", &unfitted));
    CHECK_FAILS(ml_model_save(NULL, path), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_save(model, NULL), ML_E_ARGUMENT, "path is NULL");
    CHECK_FAILS(ml_model_save(unfitted, path), ML_E_STATE, "linear_regression is not fitted");
    CHECK(access(path, F_OK) != 0);
    CHECK_FAILS(ml_model_save_memory(NULL, bytes, n, NULL), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_save_memory(model, NULL, 0, NULL), ML_E_ARGUMENT, "both NULL");
    CHECK_FAILS(ml_model_save_memory(unfitted, bytes, n, NULL), ML_E_STATE, "is not fitted");
    memset(bytes, 1, n);
    CHECK_FAILS(ml_model_save_memory(model, bytes, n - 1, &needed), ML_E_SHAPE, "bytes, the model needs");
    CHECK(needed == n && bytes[0] == 1 && bytes[n - 2] == 1);
    CHECK_OK(ml_model_save_memory(model, bytes, n, NULL));
    CHECK_FAILS(ml_model_load(NULL, NULL, NULL, &loaded), ML_E_ARGUMENT, "path is NULL");
    CHECK(loaded == NULL);
    CHECK_FAILS(ml_model_load(NULL, path, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_model_load(NULL, path, NULL, &loaded), ML_E_IO, "no such file");
    CHECK_OK(ml_model_save(model, path));
    CHECK_FAILS(ml_model_load(NULL, path, &small, &loaded), ML_E_LIMIT, "more than max_bytes = 100");
    CHECK_FAILS(ml_model_load_memory(NULL, NULL, n, NULL, &loaded), ML_E_ARGUMENT, "bytes is NULL");
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, n, &small, &loaded), ML_E_LIMIT, "more than max_bytes = 100");
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, n, &short_header, &loaded), ML_E_LIMIT,
                "more than max_header_bytes = 100");
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, n, &huge_header, &loaded), ML_E_ARGUMENT, "more than 100000000");
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, n, &no_size, &loaded), ML_E_ARGUMENT, "ml_load_options");
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, 0, NULL, &loaded), ML_E_FORMAT, "it has only 0 bytes");
    CHECK(loaded == NULL);
    free(bytes);
    ml_model_free(unfitted);
    ml_model_free(model);
}

/* ---- crafted files ---- */

static ml_status load_joined(parts *p)
{
    size_t n;
    void *bytes = parts_join(p, &n);
    ml_model *model;
    const ml_status st = ml_model_load_memory(NULL, bytes, n, NULL, &model);

    CHECK((st == ML_OK) == (model != NULL));
    ml_model_free(model);
    free(bytes);
    return st;
}

typedef struct edit {
    const char *from, *to;
    ml_status code;
    const char *message;
} edit;

static void check_edits(ml_model *model, const edit *edits, size_t n_edits)
{
    size_t n;
    void *bytes = test_saved(model, &n);
    parts p;

    for (size_t i = 0; i < n_edits; i++) {
        parts_take(&p, bytes, n);
        CHECK_OK(load_joined(&p));
        parts_edit(&p, edits[i].from, edits[i].to);
        if (edits[i].code == ML_OK)
            CHECK_OK(load_joined(&p));
        else
            CHECK_FAILS(load_joined(&p), edits[i].code, edits[i].message);
        parts_free(&p);
    }
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, grammar_of_the_manifest)
{
    static const edit EDITS[] = {
        {"{\"kind\"", " {\"kind\"", ML_E_FORMAT, "expected an object"},
        {"{\"kind\":\"linear_regression\",", "{", ML_E_FORMAT, "key 'kind' is missing"},
        {"\"kind\":\"linear_regression\"", "\"kind\":1", ML_E_FORMAT, "expected a text"},
        {"\"kind\":\"linear_regression\"", "\"kind\":\"quantum\"", ML_E_UNSUPPORTED,
         "this build has no kind 'quantum'"},
        {"\"kind\":\"linear_regression\"", "\"kind\":\"\"", ML_E_UNSUPPORTED, "this build has no kind ''"},
        {"\"kind\":\"linear_regression\"", "\"kind\":\"standard_scaler\"", ML_E_FORMAT, "standard_scaler"},
        {"\"kind\"", "\"extra\":0,\"kind\"", ML_E_FORMAT, "unknown key 'extra'"},
        {"\"kind\"", "\"kind\":\"x\",\"kind\"", ML_E_FORMAT, "key 'kind' occurs twice"},
        {"\"kind\"", "\"\\u006bind\":\"x\",\"kind\"", ML_E_FORMAT, "key 'kind' occurs twice"},
        {"\"params\":{", "\"params\":{\"nothing\":\"1\",", ML_E_FORMAT, "nothing"},
        {"\"fit_intercept\":\"true\"", "\"fit_intercept\":\"perhaps\"", ML_E_FORMAT, "manifest, byte "},
        {"\"fit_intercept\":\"true\"", "\"fit_intercept\":1", ML_E_FORMAT, "expected a text"},
        {"\"params\":{", "\"params\":[{", ML_E_FORMAT, "expected"},
        {",\"members\":[],\"learned\"", ",\"learned\"", ML_E_FORMAT, "key 'members' is missing"},
        {"\"members\":[],\"learned\"", "\"members\":[0],\"learned\"", ML_E_FORMAT, "of a kind that takes none"},
        {"\"learned\":{", "\"learnt\":{", ML_E_FORMAT, "unknown key 'learnt'"},
        {"\"task\":\"regress\"", "\"task\":\"classify\"", ML_E_FORMAT, "task"},
        {"\"task\":\"regress\"", "\"task\":\"mixed\"", ML_E_FORMAT, "its task is none that it can learn"},
        {"\"task\":\"regress\"", "\"task\":\"dream\"", ML_E_FORMAT, "a task is 'classify'"},
        {"\"task\":\"regress\",", "", ML_E_FORMAT, "key 'task' is missing"},
        {"\"stop_reason\":\"complete\"", "\"stop_reason\":\"bored\"", ML_E_FORMAT, "a stop reason is"},
        {"\"stop_reason\":\"complete\"", "\"stop_reason\":\"deadline\"", ML_OK, ""},
        {"\"stop_reason\":\"complete\"", "\"stop_reason\":\"monitor\"", ML_OK, ""},
        {"\"features\":[", "\"features\":[\"more\",", ML_E_FORMAT, "tensor 'coef"},
        {"\"features\":[\"x0\",\"x1\",\"x2\",\"x3\"]", "\"features\":[]", ML_E_FORMAT, "features"},
        {"\"features\":[\"x0\",\"x1\",\"x2\",\"x3\"],", "", ML_E_FORMAT, "'features' and 'outputs' are missing"},
        {"\"features\":[\"x0\"", "\"features\":[0", ML_E_FORMAT, "expected an object, not a whole number"},
        {"\"features\":[\"x0\"", "\"features\":[{\"name\":\"x0\",\"categories\":[]}", ML_E_FORMAT,
         "a table without entries"},
        {"\"features\":[\"x0\"", "\"features\":[{\"name\":\"x0\",\"categories\":[\"a\",\"b\",\"a\"]}", ML_E_FORMAT,
         "a class or category occurs twice"},
        {"\"features\":[\"x0\"", "\"features\":[{\"name\":\"x0\",\"categories\":[1]}", ML_E_FORMAT, "expected a text"},
        {"\"features\":[\"x0\"", "\"features\":[{\"name\":\"x0\"}", ML_E_FORMAT, "key 'categories' is missing"},
        {"\"outputs\":[\"y\"]", "\"outputs\":[]", ML_E_FORMAT, "task does not fit its outputs"},
        {"\"outputs\":[\"y\"]", "\"outputs\":[{\"name\":\"y\",\"classes\":[\"a\"]}]", ML_E_FORMAT,
         "task does not fit its outputs"},
        {"\"outputs\":[\"y\"]", "\"outputs\":[\"y\",{\"name\":\"z\",\"classes\":[\"a\"]}]", ML_E_FORMAT,
         "its task does not fit its outputs"},
        {"\"outputs\":[\"y\"]", "\"outputs\":[\"\\u0000\"]", ML_E_FORMAT, "NUL in a text"},
        {"\"tensors\":[\"", "\"tensors\":[\"nothing\",\"", ML_E_FORMAT, "tensor 'nothing' is missing"},
        {"\"tensors\":[\"", "\"tensors\":[\"manifest\",\"", ML_E_FORMAT, "tensor 'manifest' is named twice"},
        {"\"tensors\":[\"", "\"tensors\":[1,\"", ML_E_FORMAT, "expected a text"},
        {"\"tensors\":[\"coef\"", "\"tensors\":[\"coef\",\"coef\"", ML_E_FORMAT, "tensor 'coef' is named twice"},
        {"\"tensors\":[\"coef\",", "\"tensors\":[", ML_E_FORMAT, "tensor 'coef' is missing"},
        {"],\"members\":[]}", "],\"members\":[{}]}", ML_E_FORMAT, "of a kind that takes none"},
    };

    check_edits(case_linear(NULL), EDITS, sizeof EDITS / sizeof *EDITS);
}

TEST(model_file, members_in_the_manifest)
{
    static const edit EDITS[] = {
        {"{\"name\":\"scale\",", "{", ML_E_FORMAT, "key 'name' is missing"},
        {"\"name\":\"scale\"", "\"name\":\"a__b\"", ML_E_FORMAT, "member name 'a__b' contains '__'"},
        {"\"name\":\"scale\"", "\"name\":\"fused\"", ML_E_FORMAT, "there is a member 'fused' already"},
        {"\"name\":\"scale\"", "\"name\":\"\"", ML_E_FORMAT, "a member's name has 1 to 63 bytes"},
        {"\"weight\":\"auto\"", "\"weight\":\"heavy\"", ML_E_FORMAT, "a weight is a number or 'auto'"},
        {"\"weight\":\"auto\"", "\"weight\":\"1e999\"", ML_E_FORMAT, "a weight is a number or 'auto'"},
        {"\"weight\":\"auto\"", "\"weight\":\"nan\"", ML_E_FORMAT, "a weight is a number or 'auto'"},
        {"\"weight\":\"auto\"", "\"weight\":1", ML_E_FORMAT, "expected a text"},
        {"\"kind\":\"standard_scaler\"", "\"kind\":\"quantum\"", ML_E_UNSUPPORTED, "member 'scale': this build has no"},
        {"\"members\":[]}},{\"name\":\"fused\"", "\"members\":[],\"learned\":{}}},{\"name\":\"fused\"", ML_E_FORMAT,
         "key 'learned' in a member that is not fitted"},
        {"\"learned\":{\"task\":\"unsupervised\"", "\"members_\":{\"task\":\"unsupervised\"", ML_E_FORMAT,
         "unknown key 'members_'"},
        {",\"learned\":{\"task\":\"unsupervised\",\"stop_reason\":\"complete\",\"tensors\":[\"mean\",\"scale\",\"var\"]"
         ","
         "\"members\":[]}",
         "", ML_E_FORMAT, "key 'learned' is missing"},
    };

    check_edits(case_nested(NULL), EDITS, sizeof EDITS / sizeof *EDITS);
}

TEST(model_file, nesting_is_limited)
{
    char manifest[4096], *at = manifest;
    ml_model *model = case_linear(NULL), *loaded;
    size_t n;
    void *bytes = test_saved(model, &n), *joined;
    parts p;

    parts_take(&p, bytes, n);
    p.metadata[2][1] = "pipeline";
    for (int level = 0; level < 6; level++)
        at += sprintf(at, "{\"kind\":\"pipeline\",\"params\":{},\"members\":[{\"name\":\"a\",\"weight\":\"auto\","
                          "\"model\":");
    at += sprintf(at, "{}");
    for (int level = 0; level < 6; level++)
        at += sprintf(at, "}]%s}", level == 5 ? ",\"learned\":{}" : "");
    p.manifest = manifest;
    joined = parts_join(&p, &n);
    CHECK_FAILS(ml_model_load_memory(NULL, joined, n, NULL, &loaded), ML_E_LIMIT, "models nested deeper than 4");
    free(joined);
    parts_free(&p);
    free(bytes);
    ml_model_free(model);
}

/* `text` and n - 1 further copies of it, with a number in each: "t0","t1",... */
static char *repeated(const char *before, const char *text, size_t n, const char *after)
{
    char *all = malloc(strlen(before) + n * (strlen(text) + 12) + strlen(after) + 1), *at = all;

    at += sprintf(at, "%s", before);
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s\"%s%zu\"", i ? "," : "", text, i);
    sprintf(at, "%s", after);
    return all;
}

TEST(model_file, counts_are_limited)
{
    static const struct {
        const char *from, *before, *text;
        size_t n;
        const char *after, *message;
    } LIMITS[] = {
        {"\"outputs\":[\"y\"]", "\"outputs\":[", "y", 4097, "]", "more than 4096 outputs"},
        {"\"outputs\":[\"y\"]", "\"outputs\":[{\"name\":\"y\",\"classes\":[", "c", 65537, "]}]",
         "more than 65536 classes"},
        {"\"tensors\":[", "\"tensors\":[", "t", 4097, ",", "more than 4096 tensors in one model"},
        {"\"tensors\":[", "\"tensors\":[",
         "a-name-of-more-than-256-bytes-which-begins-with-a-longer-part-and-goes-on-and-on-and-on-after-all-these-"
         "letters-are-counted-one-by-one-"
         "and-another-name-of-more-than-256-bytes-after-all-these-letters-are-counted-one-by-one-"
         "and-another-name-of-more-than-256-bytes-after-all-these-letters-are-counted-one-by-one-",
         1, ",", "name of more than 256 bytes"},
    };
    ml_model *model = case_linear(NULL);
    size_t n;
    void *bytes = test_saved(model, &n);
    parts p;

    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        char *to = repeated(LIMITS[i].before, LIMITS[i].text, LIMITS[i].n, LIMITS[i].after);

        parts_take(&p, bytes, n);
        parts_edit(&p, LIMITS[i].from, to);
        CHECK_FAILS(load_joined(&p), ML_E_LIMIT, LIMITS[i].message);
        parts_free(&p);
        free(to);
    }
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, number_of_members_is_the_kinds)
{
    ml__text text;
    ml_model *model = case_nested(NULL);
    size_t n;
    void *bytes = test_saved(model, &n);
    parts p;

    ml__text_init(&text, NULL);
    ml__text_add(&text, "\"members\":[");
    for (size_t i = 0; i < 1000; i++)
        ml__text_add(&text,
                     "{\"name\":\"m%zu\",\"weight\":\"auto\",\"model\":"
                     "{\"kind\":\"standard_scaler\",\"params\":{},\"members\":[]}},",
                     i);
    parts_take(&p, bytes, n);
    parts_edit(&p, "\"members\":[", text.data);
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "pipeline takes at most 1000 members");
    parts_free(&p);
    ml__text_free(&text);
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, marker_and_version)
{
    ml_model *model = case_linear(NULL);
    size_t n;
    void *bytes = test_saved(model, &n);
    parts p;

    parts_take(&p, bytes, n);
    CHECK(p.n_metadata == 4 && !strcmp(p.metadata[0][0], "format") && !strcmp(p.metadata[1][0], "format_version"));
    p.metadata[0][1] = "pt";
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "not a model file: __metadata__ has no format 'invar'");
    p.metadata[0][1] = "invar";
    p.metadata[1][1] = "2";
    p.metadata[3][0] = "something_new"; /* what a newer version may have does not hide that it is newer */
    CHECK_FAILS(load_joined(&p), ML_E_VERSION, "the file has format version 2, this library reads versions up to 1");
    p.metadata[1][1] = "1";
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "unknown key 'something_new'");
    p.metadata[3][0] = "library_version";
    for (size_t i = 0; i < 5; i++) {
        static const char *const BAD[] = {"", "0", "-1", "one", "1.0"};
        p.metadata[1][1] = BAD[i];
        CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "no valid format_version");
    }
    p.metadata[1][1] = "1";
    p.metadata[2][1] = "mlp";
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "__metadata__ says kind 'mlp', the manifest 'linear_regression'");
    p.metadata[2][1] = "linear_regression";
    p.n_metadata = 3;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "key 'library_version' is missing");
    p.n_metadata = 1;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "no valid format_version");
    p.n_metadata = 0;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "no format 'invar'");
    parts_free(&p);
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, tensors_have_one_role_each)
{
    static const double NOT_FINITE[4] = {1, 2, INFINITY, 3};
    ml_model *model = case_linear(NULL);
    size_t n;
    void *bytes = test_saved(model, &n);
    ml__stored_tensor kept, *coef;
    char *manifest;
    parts p;

    parts_take(&p, bytes, n);
    coef = parts_tensor(&p, "coef");
    kept = *coef;
    coef->name = "cofe";
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'coef' is missing");
    *coef = kept;
    p.tensors[p.n_tensors++] = (ml__stored_tensor){.name = "spare", .dtype = ML_FLOAT64, .rank = 0, .data = NOT_FINITE};
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'spare' belongs to no model");
    p.tensors[p.n_tensors - 1].name = "manifest";
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "key 'manifest' occurs twice");
    p.n_tensors--;
    coef->dtype = ML_INT64;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'coef' has the wrong element type");
    *coef = kept;
    coef->rank = 5;
    coef->shape[2] = coef->shape[3] = coef->shape[4] = 1;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'coef': 5 dimensions, more than 4");
    *coef = kept;
    coef->rank = kept.rank + 1;
    coef->shape[kept.rank] = 1;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'coef' has ");
    *coef = kept;
    coef->data = NOT_FINITE;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'coef': element 2 is inf, not finite");
    *coef = kept;
    manifest = p.manifest;
    p.manifest = NULL;
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'manifest' is missing");
    p.tensors[p.n_tensors++] = (ml__stored_tensor){.name = "manifest", .dtype = ML_INT32, .rank = 0, .data = "1234"};
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "tensor 'manifest' is not a row of U8");
    p.n_tensors--;
    p.manifest = manifest;
    CHECK_OK(load_joined(&p));
    parts_free(&p);
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, element_types_that_no_model_has)
{
    ml_model *model = case_linear(NULL), *loaded;
    size_t n, at = 0;
    char *bytes = test_saved(model, &n);

    while (memcmp(bytes + at, "\"F64\"", 5) != 0)
        at++;
    memcpy(bytes + at, "\"U64\"", 5);
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, n, NULL, &loaded), ML_E_FORMAT, "no model has elements of type U64");
    memcpy(bytes + at, "\"C64\"", 5);
    CHECK_FAILS(ml_model_load_memory(NULL, bytes, n, NULL, &loaded), ML_E_UNSUPPORTED, "unknown element type 'C64'");
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, prediction_that_is_not_finite_is_refused)
{
    static const double HUGE_ROW[4] = {1e308, 1e308, 1e308, 1e308};
    ml_model *model = case_linear(NULL);
    size_t n;
    void *bytes = test_saved(model, &n);
    parts p;

    parts_take(&p, bytes, n);
    parts_tensor(&p, "coef")->data = HUGE_ROW; /* finite, so that only the probe can see it */
    CHECK_FAILS(load_joined(&p), ML_E_FORMAT, "prediction 0 for a row of 1 is not finite");
    parts_free(&p);
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, what_could_not_be_loaded_is_not_saved)
{
    const char *path = test_temporary_path("unsaved.invar");
    ml_model *model = case_linear(NULL);
    ml_tensor coef = {.struct_size = sizeof coef};
    unsigned char *bytes;
    size_t n;

    CHECK_OK(ml_model_save(model, path));
    bytes = test_saved(model, &n);
    CHECK_OK(ml_model_tensor(model, "coef", &coef));
    ((double *)(uintptr_t)coef.data)[1] = NAN;
    CHECK_FAILS(ml_model_save(model, path), ML_E_FORMAT, "the model cannot be saved: tensor 'coef': element 1 is nan");
    CHECK_FAILS(ml_model_save_memory(model, bytes, n, NULL), ML_E_FORMAT, "the model cannot be saved");
    ml_model_free(model);
    CHECK_OK(ml_model_load(NULL, path, NULL, &model)); /* the old file is intact */
    ml_model_free(model);
    free(bytes);
}

/* ---- damage ---- */

/* Load; a model that comes out must predict without misbehaving. True when one came out. */
static bool load_and_use(const unsigned char *bytes, size_t n)
{
    unsigned char *exact = malloc(n ? n : 1);
    ml_model *model;
    ml_status st;

    memcpy(exact, bytes, n);
    st = ml_model_load_memory(NULL, exact, n, NULL, &model);
    free(exact);
    CHECK(st == ML_OK || ml_last_error()[0]);
    if (st != ML_OK)
        return false;
    for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++) {
        const size_t d = ml_model_n_features(model), width = ml_model_width(model, what);
        double *x = malloc((d + 1) * sizeof *x), *out = malloc((width + 1) * sizeof *out);
        void *scratch = malloc(ml_model_scratch_size(model) + 1);

        for (int row = 0; width && row < 3; row++) {
            for (size_t j = 0; j < d; j++)
                x[j] = row * 3.5 - (double)(j % 5);
            (void)ml_model_predict_row(model, what, x, d, out, width, scratch, ml_model_scratch_size(model));
        }
        free(x);
        free(out);
        free(scratch);
    }
    ml_model_free(model);
    return true;
}

static void check_truncations(ml_model *model)
{
    size_t n;
    unsigned char *bytes = test_saved(model, &n);

    for (size_t k = 0; k < n; k++)
        CHECK_MSG(!load_and_use(bytes, k), "the first %zu of %zu bytes were accepted", k, n);
    CHECK(load_and_use(bytes, n));
    bytes = realloc(bytes, n + 1);
    bytes[n] = 0;
    CHECK(!load_and_use(bytes, n + 1));
    free(bytes);
    ml_model_free(model);
}

TEST(model_file, every_truncation_is_an_error)
{
    check_truncations(case_linear(NULL));
    check_truncations(case_nested(NULL));
}

TEST(model_file, every_flipped_bit_gives_an_error_or_a_valid_model)
{
    ml_model *model = case_linear(NULL);
    size_t n, n_accepted = 0;
    unsigned char *bytes = test_saved(model, &n);

    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        n_accepted += load_and_use(bytes, n);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    CHECK(n_accepted > 0 && n_accepted < 8 * n / 2); /* coefficients, names and parameters may be others */
    free(bytes);
    ml_model_free(model);
}

static void damage(const char *name, const ml_model *model, const ml_dataset *data)
{
    enum { ROUNDS = 800 };
    ml__rng rng = ml__rng_make(5, strlen(name));
    size_t n, first;
    unsigned char *bytes = test_saved(model, &n), *damaged = malloc(n);

    (void)data;
    first = 8 + ((size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16);
    for (size_t round = 0; round < ROUNDS; round++) {
        memcpy(damaged, bytes, n);
        for (uint64_t flips = 1 + ml__rng_below(&rng, 3); flips > 0; flips--) {
            const size_t at = first + (size_t)ml__rng_below(&rng, n - first);
            damaged[at] = round % 2 ? (unsigned char)ml__rng_u32(&rng) : damaged[at] ^ (unsigned char)(1 << round % 8);
        }
        (void)load_and_use(damaged, n);
    }
    free(bytes);
    free(damaged);
}

TEST(model_file, random_damage_of_every_kind)
{
    cases_for_each(NULL, damage);
}

/* Whole numbers of 4 bytes in the data become 0, -1, 1 and the extremes, one at a time. */
static void set_extremes(const char *name, const ml_model *model, const ml_dataset *data)
{
    static const int32_t EXTREMES[] = {0, 1, -1, 2, INT32_MAX, INT32_MIN, 1000};
    size_t n, first, n_tried = 0;
    unsigned char *bytes = test_saved(model, &n);

    (void)name;
    (void)data;
    first = 8 + ((size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16);
    for (size_t at = first; at + 4 <= n && n_tried < 1500; at += 4 * (1 + (n - first) / 2000))
        for (size_t e = 0; e < 7; e++, n_tried++) {
            unsigned char kept[4];

            memcpy(kept, bytes + at, 4);
            memcpy(bytes + at, &EXTREMES[e], 4);
            (void)load_and_use(bytes, n);
            memcpy(bytes + at, kept, 4);
        }
    free(bytes);
}

TEST(model_file, extreme_values_in_every_kind)
{
    cases_for_each(NULL, set_extremes);
}

/* ---- allocations ---- */

typedef enum { SAVE_MEMORY, LOAD_MEMORY, SAVE, LOAD, DESCRIBE, N_OPERATIONS } operation;

typedef struct operation_case {
    operation o;
    const ml_model *model;
    unsigned char *bytes;
    size_t n;
    const char *path;
} operation_case;

static ml_status operate(ml_context *context, void *argument)
{
    const operation_case *c = argument;
    ml_model *loaded = NULL;
    size_t needed;
    ml_status st;

    switch (c->o) {
    case SAVE_MEMORY:
        return ml_model_save_memory(c->model, c->bytes, c->n, NULL);
    case LOAD_MEMORY:
        st = ml_model_load_memory(context, c->bytes, c->n, NULL, &loaded);
        break;
    case SAVE:
        return ml_model_save(c->model, c->path);
    case LOAD:
        st = ml_model_load(context, c->path, NULL, &loaded);
        break;
    default:
        return ml_model_describe(c->model, NULL, 0, &needed);
    }
    CHECK((st == ML_OK) == (loaded != NULL));
    ml_model_free(loaded);
    return st;
}

TEST(model_file, every_allocation_may_fail)
{
    static const char *const NAMES[] = {"save to memory", "load from memory", "save", "load", "describe"};
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_model *model = case_nested(context);
    operation_case c = {.model = model, .path = test_temporary_path("allocations.invar")};

    c.bytes = test_saved(model, &c.n);
    CHECK_OK(ml_model_save(model, c.path));
    for (c.o = 0; c.o < N_OPERATIONS; c.o++)
        CHECK(test_failing_allocations(&allocator, context, NAMES[c.o], operate, &c) > 0);
    ml_model_free(model);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    free(c.bytes);
}

TEST(model_file, memory_of_loading_is_in_proportion_to_the_file)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data = test_table(NULL, "digits");
    ml_model *model, *loaded;
    size_t n;
    unsigned char *bytes;

    CHECK_OK(ml_model_create(NULL, "random_forest", &model));
    CHECK_OK(ml_model_fit(model, data, NULL));
    bytes = test_saved(model, &n);
    CHECK_OK(ml_model_load_memory(context, bytes, n, NULL, &loaded));
    CHECK_MSG(ml_context_memory_peak(context) <= 4 * (uint64_t)n + (4 << 20), "%llu bytes for a file of %zu",
              (unsigned long long)ml_context_memory_peak(context), n);
    ml_model_free(loaded);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    free(bytes);
}
