/* SPDX-License-Identifier: Apache-2.0 */
#include "model_cases.h"

#include "kinds.h"

/* ---- building ---- */

/* Parameters that keep fits short, where a kind has them. */
static void shorten(ml_model *model)
{
    static const char *const SETTINGS[][2] = {{"n_estimators", "4"},         {"max_depth", "4"},    {"max_iter", "20"},
                                              {"hidden_layer_sizes", "6,5"}, {"n_components", "3"}, {"n_init", "1"}};

    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++)
        (void)ml_model_set_text(model, SETTINGS[i][0], SETTINGS[i][1]);
}

static ml_model *create(ml_context *context, const char *kind)
{
    ml_model *model;

    CHECK_OK(ml_model_create(context, kind, &model));
    shorten(model);
    return model;
}

static void add(ml_model *owner, const char *name, ml_model *member)
{
    CHECK_OK(ml_model_add_member(owner, name, member));
}

static ml_model *pair(ml_context *context, const char *kind, const char *first, const char *second)
{
    ml_model *model = create(context, kind);

    add(model, "first", create(context, first));
    if (ml__kind_find(kind)->max_members > 1)
        add(model, "second", create(context, second));
    (void)ml_model_set_text(model, "columns", "first=all;second=categorical");
    (void)ml_model_set_text(model, "remainder", "passthrough");
    return model;
}

enum { N_COMPOSITIONS = 6 };

/* The kind without members, or with some; NULL when it cannot be composed so. */
static ml_model *compose(ml_context *context, const char *kind, size_t composition, bool reals)
{
    const ml__kind *k = ml__kind_find(kind);
    const char *linear = reals ? "linear_regression" : "logistic_regression";
    ml_model *model;

    if (composition == 0)
        return k->min_members ? NULL : create(context, kind);
    if (!k->max_members)
        return NULL;
    if (composition == 1)
        return pair(context, kind, "decision_tree", "decision_tree");
    if (composition == 2)
        return pair(context, kind, "standard_scaler", linear);
    if (composition == 5)
        return pair(context, kind, "simple_imputer", "one_hot_encoder");
    model = create(context, kind);
    if (composition == 3) {
        add(model, "first", pair(context, "weighted_average", "decision_tree", linear));
    } else if (k->max_members > 2) {
        add(model, "fill", create(context, "simple_imputer"));
        add(model, "encode", create(context, "one_hot_encoder"));
        add(model, "predict", create(context, linear));
    }
    return model;
}

/* A table with numeric, categorical and missing cells. */
static ml_dataset *mixed_table(ml_context *context)
{
    static const char *const COLOURS[] = {"red", "green", "blue \"dark\""};
    const ml_csv_options options = {.struct_size = sizeof options, .target = "y", .task = ML_TASK_CLASSIFY};
    ml_dataset *table;
    ml__text text;

    ml__text_init(&text, NULL);
    ml__text_add(&text, "size,colour,y\n");
    for (int i = 0; i < 60; i++) {
        if (i % 7 != 3)
            ml__text_add(&text, "%d", i * 37 % 60);
        ml__text_add(&text, i % 3 == 2 ? ",\"blue \"\"dark\"\"\",%s\n" : ",%s", COLOURS[i % 3]);
        if (i % 3 != 2)
            ml__text_add(&text, ",%s\n", i % 2 ? "yes" : "no");
    }
    CHECK_OK(ml_dataset_from_csv_memory(context, text.data, text.n_bytes, NULL, &options, &table));
    ml__text_free(&text);
    return table;
}

enum { N_TABLES = 3 };

static ml_dataset *table_number(ml_context *context, size_t table)
{
    return table == 0   ? test_table(context, "iris")
           : table == 1 ? test_table(context, "diabetes")
                        : mixed_table(context);
}

void cases_for_each(ml_context *context, void (*use)(const char *name, const ml_model *model, const ml_dataset *data))
{
    static const char *const TABLES[] = {"iris", "diabetes", "mixed"};
    bool fitted[256] = {false};
    char name[128];

    for (size_t table = 0; table < N_TABLES; table++) {
        ml_dataset *data = table_number(context, table);

        for (size_t kind = 0; kind < ml_kind_count(); kind++)
            for (size_t composition = 0; composition < N_COMPOSITIONS; composition++) {
                ml_model *model = compose(context, ml_kind_name(kind), composition, table == 1);

                snprintf(name, sizeof name, "%s %zu on %s", ml_kind_name(kind), composition, TABLES[table]);
                if (model && ml_model_fit(model, data, NULL) == ML_OK) {
                    fitted[kind] = true;
                    use(name, model, data);
                }
                ml_model_free(model);
            }
        ml_dataset_free(data);
    }
    for (size_t kind = 0; kind < ml_kind_count(); kind++)
        CHECK_MSG(fitted[kind], "no case fits %s", ml_kind_name(kind));
}

ml_model *case_linear(ml_context *context)
{
    ml_dataset *data = test_table(context, "iris");
    ml_dataset *numbers;
    double x[150 * 4], y[150];
    ml_model *model = create(context, "linear_regression");

    for (size_t i = 0; i < 150; i++) {
        CHECK_OK(ml_dataset_row(data, i, x + 4 * i, 4));
        y[i] = x[4 * i] + 0.5 * x[4 * i + 2] + (double)(i % 7);
    }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, 150, 4, 0, 0, ML_COPY, &numbers));
    CHECK_OK(ml_dataset_set_targets(numbers, "y", y, 150));
    CHECK_OK(ml_model_fit(model, numbers, NULL));
    ml_dataset_free(numbers);
    ml_dataset_free(data);
    return model;
}

ml_model *case_nested(ml_context *context)
{
    ml_dataset *data = test_table(context, "iris");
    ml_model *model = create(context, "pipeline");

    add(model, "scale", create(context, "standard_scaler"));
    add(model, "fused", pair(context, "weighted_average", "decision_tree", "decision_tree"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    return model;
}

/* ---- predictions ---- */

void check_same_predictions(const char *name, const ml_model *a, const ml_model *b, const ml_dataset *data)
{
    size_t n_calls = 0;

    for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++) {
        const size_t width = ml_model_width(a, what), n = ml_dataset_n_rows(data) * width;
        double *p = calloc(n + 1, sizeof *p), *q = calloc(n + 1, sizeof *q);

        CHECK_MSG(ml_model_width(b, what) == width, "%s: call %d has another width", name, (int)what);
        if (width) {
            const ml_status st = ml__model_apply(a, what, data, p, n);
            CHECK_MSG(ml__model_apply(b, what, data, q, n) == st, "%s: call %d: %s", name, (int)what, ml_last_error());
            CHECK_MSG(!memcmp(p, q, n * sizeof *p), "%s: call %d gives other bits", name, (int)what);
            n_calls += st == ML_OK;
        }
        free(p);
        free(q);
    }
    CHECK_MSG(n_calls > 0, "%s: nothing could be predicted", name);
}

/* ---- files in parts ---- */

void parts_take(parts *p, const void *bytes, size_t n_bytes)
{
    const ml__source source = ml__source_memory(bytes, n_bytes);
    const ml__json_node *key;
    ml__safetensors layout;

    *p = (parts){0};
    ml__arena_init(&p->arena, NULL);
    CHECK_OK(ml__safetensors_read(&p->arena, &source, ML__HEADER_MAX_BYTES, &layout));
    p->tensors = ml__arena_take(&p->arena, layout.n_tensors + 8, sizeof *p->tensors);
    for (size_t i = 0; i < layout.n_tensors; i++) {
        const ml__stored_tensor *t = &layout.tensors[i];
        const char *data = (const char *)bytes + layout.data_offset + t->begin;

        if (!strcmp(t->name, "manifest")) {
            p->manifest = ml__arena_text_n(&p->arena, data, (size_t)t->shape[0]);
        } else {
            p->tensors[p->n_tensors] = *t;
            p->tensors[p->n_tensors++].data = data;
        }
    }
    key = ml__json_first(layout.metadata);
    for (; p->n_metadata < layout.metadata->n; p->n_metadata++) {
        p->metadata[p->n_metadata][0] = key->value.text;
        p->metadata[p->n_metadata][1] = ml__json_next(key)->value.text;
        key = ml__json_next(ml__json_next(key));
    }
}

void parts_free(parts *p)
{
    ml__arena_free(&p->arena);
}

ml__stored_tensor *parts_tensor(parts *p, const char *name)
{
    for (size_t i = 0; i < p->n_tensors; i++)
        if (!strcmp(p->tensors[i].name, name))
            return &p->tensors[i];
    test_fail(__FILE__, __LINE__, "no tensor %s", name);
}

void parts_edit(parts *p, const char *from, const char *to)
{
    const char *found = strstr(p->manifest, from);
    const size_t n = strlen(p->manifest) + strlen(to) + 1;
    char *edited = ml__arena_take(&p->arena, n, 1);

    CHECK_MSG(found, "'%s' is not in %s", from, p->manifest);
    snprintf(edited, n, "%.*s%s%s", (int)(found - p->manifest), p->manifest, to, found + strlen(from));
    p->manifest = edited;
}

void *parts_join(parts *p, size_t *n_bytes)
{
    const size_t n = p->n_tensors + (p->manifest ? 1 : 0);
    ml__stored_tensor *tensors = ml__arena_take(&p->arena, n, sizeof *tensors);
    ml__safetensors plan;
    void *bytes;

    memcpy(tensors, p->tensors, p->n_tensors * sizeof *tensors);
    if (p->manifest)
        tensors[n - 1] = (ml__stored_tensor){
            .name = "manifest", .dtype = ML_UINT8, .rank = 1, .shape = {strlen(p->manifest)}, .data = p->manifest};
    CHECK_OK(ml__safetensors_plan(&p->arena, tensors, n, (const char *const(*)[2])p->metadata, p->n_metadata, &plan));
    *n_bytes = (size_t)plan.source.n_bytes;
    bytes = malloc(*n_bytes);
    CHECK_OK(plan.source.read(&plan.source, 0, bytes, *n_bytes));
    return bytes;
}
