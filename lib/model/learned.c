/* SPDX-License-Identifier: Apache-2.0 */
/* What a fit produced: named tensors, checked by the kind's rules after every fit and every load. */
#include "model/model.h"

#include <string.h>

ml_status ml__learned_create(ml_context *context, ml__learned **out)
{
    ml__learned *learned = ml__alloc_array(context, 1, sizeof *learned);

    *out = learned;
    if (!learned)
        return ML_E_MEMORY;
    learned->context = context;
    learned->stop_reason = ML_STOP_COMPLETE;
    ml__arena_init(&learned->arena, context);
    return ML_OK;
}

void ml__learned_free(ml__learned *learned)
{
    if (!learned)
        return;
    ml__members_free(&learned->members);
    ml__arena_free(&learned->arena);
    ml__free(learned);
}

const ml__named_tensor *ml__learned_find(const ml__learned *learned, const char *name)
{
    for (size_t i = 0; i < learned->n_tensors; i++)
        if (!strcmp(learned->tensors[i].name, name))
            return &learned->tensors[i];
    return NULL;
}

/* Room for one more entry; old tables stay in the arena, which at doubling costs as much again. */
static bool grow_table(ml__learned *learned)
{
    const size_t capacity = learned->tensor_capacity ? 2 * learned->tensor_capacity : 8;
    ml__named_tensor *tensors;

    if (learned->n_tensors < learned->tensor_capacity)
        return true;
    tensors = ml__arena_take(&learned->arena, capacity, sizeof *tensors);
    if (!tensors)
        return false;
    if (learned->n_tensors)
        memcpy(tensors, learned->tensors, learned->n_tensors * sizeof *tensors);
    learned->tensors = tensors;
    learned->tensor_capacity = capacity;
    return true;
}

void *ml__learned_add(ml__learned *learned, const char *name, ml_dtype dtype, uint32_t rank, const uint64_t *shape)
{
    ml__named_tensor tensor = {.dtype = dtype, .rank = rank};
    size_t count = 1;

    for (uint32_t r = 0; r < rank; r++) {
        tensor.shape[r] = shape[r];
        if (shape[r] > SIZE_MAX || !ml__size_mul(count, (size_t)shape[r], &count)) {
            (void)ml__fail(ML_E_MEMORY, "tensor '%s' is too large", name);
            return NULL;
        }
    }
    if (!grow_table(learned))
        return NULL;
    tensor.name = ml__arena_text(&learned->arena, name);
    tensor.data = ml__arena_take(&learned->arena, count, ml__dtype_size(dtype));
    if (!tensor.name || !tensor.data)
        return NULL;
    learned->tensors[learned->n_tensors++] = tensor;
    return tensor.data;
}

static size_t tensor_count(const ml__named_tensor *t)
{
    size_t count = 1;

    for (uint32_t r = 0; r < t->rank; r++)
        count *= (size_t)t->shape[r];
    return count;
}

ml_status ml__learned_copy(const ml_model *model, const ml__learned *from, ml__learned **out)
{
    ml_status st;
    ml__learned *copy;
    ml_model *member = NULL;

    ML__TRY(ml__learned_create(model->context, &copy));
    copy->task = from->task;
    copy->stop_reason = from->stop_reason;
    ML__TRY(ml__schema_copy(&copy->arena, &from->schema, &copy->schema));
    for (size_t i = 0; i < from->n_tensors; i++) {
        const ml__named_tensor *t = &from->tensors[i];
        void *data = ml__learned_add(copy, t->name, t->dtype, t->rank, t->shape);
        if (!data) {
            st = ML_E_MEMORY;
            goto done;
        }
        memcpy(data, t->data, tensor_count(t) * ml__dtype_size(t->dtype));
    }
    for (size_t i = 0; i < from->members.n; i++) {
        const ml__member *m = &from->members.items[i];
        ML__TRY(ml_model_clone(m->model, &member));
        ML__TRY(ml__members_add(model->context, &copy->members, m->name, member, m->weight));
        member = NULL;
    }
    ML__TRY(ml__learned_validate(model, copy, false));
done:
    ml_model_free(member);
    if (st != ML_OK) {
        ml__learned_free(copy);
        copy = NULL;
    }
    *out = copy;
    return st;
}

/* ---- the rules ---- */

/* Sizes that the letters of shape rules stand for; UNBOUND until first met. */
#define UNBOUND UINT64_MAX
typedef struct bindings {
    uint64_t size[128];
} bindings;

static bindings bind_schema(const ml__schema *schema)
{
    bindings b;

    for (size_t i = 0; i < 128; i++)
        b.size[i] = UNBOUND;
    b.size['d'] = schema->n_features;
    b.size['o'] = schema->n_outputs;
    b.size['K'] = schema->n_outputs && schema->outputs[0].n_classes ? schema->outputs[0].n_classes : 1;
    b.size['C'] = ml__schema_width(schema);
    return b;
}

/* Of the shapes "kdd|dd|k" of a rule the first that has as many dimensions and no size that is known to differ; else the
 * first with as many dimensions, or the first of all, which the message is about. */
static const char *choose_shape(const ml__named_tensor *t, const char *shapes, const bindings *b, size_t *rank)
{
    const char *chosen = shapes;
    bool has_rank = false;

    for (const char *shape = shapes; shape; shape = strchr(shape, '|') ? strchr(shape, '|') + 1 : NULL) {
        const size_t n = strcspn(shape, "|");
        bool agrees = n == t->rank;

        if (!has_rank && agrees)
            chosen = shape;
        has_rank = has_rank || agrees;
        for (size_t r = 0; r < n && agrees; r++) {
            const uint64_t size = b->size[(unsigned char)shape[r] & 127];
            agrees = size == UNBOUND || size == t->shape[r];
        }
        if (agrees) {
            chosen = shape;
            break;
        }
    }
    *rank = strcspn(chosen, "|");
    return chosen;
}

static ml_status check_shape(const ml__named_tensor *t, const ml__tensor_rule *rule, bindings *b, bool bind)
{
    size_t rank;
    const char *shape = choose_shape(t, rule->shape, b, &rank);

    if (t->dtype != rule->dtype)
        return ml__fail(ML_E_FORMAT, "tensor '%s' has the wrong element type", t->name);
    if (t->rank != rank)
        return ml__fail(ML_E_FORMAT, "tensor '%s' has %u dimensions, expected %zu", t->name, t->rank, rank);
    for (size_t r = 0; r < rank; r++) {
        const char letter = shape[r];
        uint64_t *size = &b->size[(unsigned char)letter & 127];

        if (letter == '*' || (*size == UNBOUND && !bind))
            continue;
        if (letter == '1' ? t->shape[r] != 1 : *size != UNBOUND && t->shape[r] != *size)
            return ml__fail(ML_E_FORMAT, "tensor '%s': dimension %zu is %llu, expected %llu", t->name, r,
                            (unsigned long long)t->shape[r], (unsigned long long)(letter == '1' ? 1 : *size));
        if (bind)
            *size = t->shape[r];
    }
    return ML_OK;
}

static double element(const ml__named_tensor *t, size_t i)
{
    switch (t->dtype) {
    case ML_FLOAT32:
        return ((const float *)t->data)[i];
    case ML_FLOAT64:
        return ((const double *)t->data)[i];
    case ML_INT32:
        return ((const int32_t *)t->data)[i];
    case ML_INT64:
        return (double)((const int64_t *)t->data)[i];
    default:
        return ((const uint8_t *)t->data)[i];
    }
}

static ml_status check_values(const ml__named_tensor *t, uint32_t rules, bool after_fit)
{
    const ml_status code = after_fit ? ML_E_NUMERIC : ML_E_FORMAT;
    const size_t count = tensor_count(t);

    if (!(rules & (ML__FINITE | ML__POSITIVE | ML__NON_NEGATIVE)))
        return ML_OK;
    for (size_t i = 0; i < count; i++) {
        const double value = element(t, i);

        if ((rules & ML__FINITE) && !isfinite(value))
            return ml__fail(code, "tensor '%s': element %zu is %g, not finite", t->name, i, value);
        if ((rules & ML__POSITIVE) && !(value > 0))
            return ml__fail(code, "tensor '%s': element %zu is %g, not positive", t->name, i, value);
        if ((rules & ML__NON_NEGATIVE) && !(value >= 0))
            return ml__fail(code, "tensor '%s': element %zu is %g, negative", t->name, i, value);
    }
    return ML_OK;
}

/* "weights.*": weights.0, weights.1, … until one is absent. */
static ml_status check_numbered(const ml__learned *learned, const ml__tensor_rule *rule, bindings *b, bool after_fit,
                                size_t *n_matched)
{
    const int stem = (int)strlen(rule->name) - 1;
    char name[96];
    ml_status st = ML_OK;

    for (size_t i = 0; st == ML_OK; i++) {
        const ml__named_tensor *t;

        ml__format(name, sizeof name, "%.*s%zu", stem, rule->name, i);
        t = ml__learned_find(learned, name);
        if (!t)
            break;
        ++*n_matched;
        st = check_shape(t, rule, b, false);
        if (st == ML_OK)
            st = check_values(t, rule->values, after_fit);
    }
    return st;
}

static ml_status check_rules(const ml_model *model, const ml__learned *learned, bool after_fit)
{
    bindings b = bind_schema(&learned->schema);
    size_t n_matched = 0;
    ml_status st = ML_OK;

    for (const ml__tensor_rule *rule = model->kind->tensors; rule->name; rule++) {
        const ml__named_tensor *t = ml__learned_find(learned, rule->name);

        if (rule->name[strlen(rule->name) - 1] == '*') {
            ML__TRY(check_numbered(learned, rule, &b, after_fit, &n_matched));
            continue;
        }
        if (!t && (rule->values & ML__OPTIONAL))
            continue;
        ML__CHECK(t, ML_E_FORMAT, "%s: tensor '%s' is missing", model->kind->name, rule->name);
        ML__TRY(check_shape(t, rule, &b, true));
        ML__TRY(check_values(t, rule->values, after_fit));
        n_matched++;
    }
    ML__CHECK(n_matched == learned->n_tensors, ML_E_FORMAT, "%s: %zu tensors, of which %zu are known",
              model->kind->name, learned->n_tensors, n_matched);
done:
    return st;
}

static bool fits_outputs(int32_t task, const ml__schema *schema)
{
    const bool mixed = ml__schema_is_mixed(schema);

    if (task == ML__UNSUPERVISED || task == ML__MIXED)
        return task == ML__UNSUPERVISED || mixed;
    return schema->n_outputs && !mixed && !schema->outputs[0].n_classes == (task == ML__REGRESS);
}

static ml_status check_task(const ml_model *model, const ml__learned *learned)
{
    const ml__kind *kind = model->kind;
    const ml__schema *schema = &learned->schema;

    /* what a composite has learned may be other than what its present members can, but no composite mixes outputs unless
     * its members do */
    if (!(ml__model_tasks(model) & (uint32_t)learned->task) && (!kind->tasks_of || learned->task == ML__MIXED))
        return ml__fail(ML_E_FORMAT, "%s: its task is none that it can learn", kind->name);
    if (!fits_outputs(learned->task, schema))
        return ml__fail(ML_E_FORMAT, "%s: its task does not fit its outputs", kind->name);
    if (!schema->n_features)
        return ml__fail(ML_E_FORMAT, "%s: it has no features", kind->name);
    return ML_OK;
}

ml_status ml__learned_validate(const ml_model *model, ml__learned *learned, bool after_fit)
{
    const ml__float_state host = ml__float_begin();
    ml_status st;

    ML__TRY(check_task(model, learned));
    ML__TRY(check_rules(model, learned, after_fit));
    if (model->kind->prepare)
        ML__TRY(model->kind->prepare(model, learned));
done:
    return ml__float_end(host, st);
}
