/* SPDX-License-Identifier: Apache-2.0 */
/* Models: creating, setting, composing, copying and walking them. */
#include "model/model.h"

#include <string.h>

enum { MAX_DEPTH = 4, MAX_MEMBER_NAME = 63 };

/* ---- exclusive use ---- */

/* A composite and all its templates are changed by one call at a time: the outermost model has the mark. */
ml_status ml__model_claim(ml_model *model, ml_model **claimed)
{
    while (model->parent)
        model = model->parent;
    if (atomic_exchange(&model->busy, true))
        return ml__fail(ML_E_BUSY, "the model is in use by another call");
    *claimed = model;
    return ML_OK;
}

void ml__model_release(ml_model *claimed)
{
    atomic_store(&claimed->busy, false);
}

/* ---- life ---- */

ml_status ml__model_new(ml_context *context, const ml__kind *kind, ml_model **out)
{
    ml_status st = ML_OK;
    ml_model *model = ml__alloc_array(context, 1, sizeof *model);

    *out = NULL;
    if (!model)
        return ML_E_MEMORY;
    model->context = context;
    model->kind = kind;
    ml__context_retain(context);
    model->params = ml__alloc_array(context, 1, kind->params_size ? kind->params_size : 1);
    if (!model->params) {
        st = ML_E_MEMORY;
        goto done;
    }
    ML__TRY(ml__params_defaults(kind->params, model->params));
done:
    if (st == ML_OK)
        *out = model;
    else
        ml_model_free(model);
    return st;
}

void ml__model_forget_start(ml_model *model)
{
    ml_model_free(model->start);
    model->start = NULL;
}

void ml_model_free(ml_model *model)
{
    ml_context *context;

    if (!model || model->parent)
        return;
    context = model->context;
    ml__model_forget_start(model);
    ml__learned_free(model->learned);
    ml__members_free(&model->members);
    ml__free(model->params);
    ml__free(model);
    ml__context_release(context);
}

ml_status ml__model_blank_copy(const ml_model *model, ml_model **out)
{
    ml_status st;
    ml_model *copy = NULL, *member = NULL;

    ML__TRY(ml__model_new(model->context, model->kind, &copy));
    memcpy(copy->params, model->params, model->kind->params_size);
    if (model->start)
        ML__TRY(ml_model_clone(model->start, &copy->start));
    for (size_t i = 0; i < model->members.n; i++) {
        const ml__member *m = &model->members.items[i];
        ML__TRY(ml__model_blank_copy(m->model, &member));
        ML__TRY(ml__members_add(copy->context, &copy->members, m->name, member, m->weight));
        member->parent = copy;
        member = NULL;
    }
done:
    ml_model_free(member);
    if (st != ML_OK) {
        ml_model_free(copy);
        copy = NULL;
    }
    *out = copy;
    return st;
}

ml_status ml_model_clone(const ml_model *model, ml_model **out)
{
    ml_status st;
    ml_model *copy = NULL;

    if (out)
        *out = NULL;
    if (!model || !out)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", model ? "out" : "model");
    ML__TRY(ml__model_blank_copy(model, &copy));
    if (model->learned)
        ML__TRY(ml__learned_copy(copy, model->learned, &copy->learned));
    *out = copy;
    copy = NULL;
done:
    ml_model_free(copy);
    return st;
}

/* ---- what fits begin with ---- */

static ml_status check_start(const ml_model *model, const ml_model *from)
{
    ml_status st = ML_OK;

    ML__CHECK(model->kind->starts_from, ML_E_UNSUPPORTED, "%s cannot begin with what another model has learned",
              model->kind->name);
    ML__CHECK(from->learned, ML_E_STATE, "the %s to begin with is not fitted", from->kind->name);
    ML__TRY(model->kind->starts_from(model, from));
done:
    return st;
}

static ml_status set_start(ml_model *model, const ml_model *from)
{
    ml_model *copy = NULL;
    ml_status st = ML_OK;

    if (from) {
        ML__TRY(check_start(model, from));
        ML__TRY(ml_model_clone(from, &copy));
        ml__model_forget_start(copy);
    }
    ml__model_forget_start(model);
    model->start = copy;
done:
    return st;
}

ml_status ml_model_start_from(ml_model *model, const ml_model *from)
{
    ml_model *claimed;
    ml_status st;

    if (!model)
        return ml__fail(ML_E_ARGUMENT, "model is NULL");
    if (from == model)
        return ml__fail(ML_E_ARGUMENT, "%s: a model cannot begin with itself", model->kind->name);
    st = ml__model_claim(model, &claimed);
    if (st != ML_OK)
        return st;
    st = set_start(model, from);
    ml__model_release(claimed);
    return st;
}

/* ---- members ---- */

ml_status ml__members_add(ml_context *context, ml__members *members, const char *name, ml_model *model, double weight)
{
    const size_t length = strlen(name) + 1;
    char *copy;

    if (members->n == members->capacity) {
        const size_t capacity = members->capacity ? 2 * members->capacity : 4;
        ml__member *items = ml__alloc_array(context, capacity, sizeof *items);
        if (!items)
            return ML_E_MEMORY;
        if (members->n)
            memcpy(items, members->items, members->n * sizeof *items);
        ml__free(members->items);
        members->items = items;
        members->capacity = capacity;
    }
    copy = ml__alloc(context, length);
    if (!copy)
        return ML_E_MEMORY;
    memcpy(copy, name, length);
    members->items[members->n++] = (ml__member){copy, model, weight};
    return ML_OK;
}

void ml__members_free(ml__members *members)
{
    for (size_t i = 0; i < members->n; i++) {
        ml__free(members->items[i].name);
        members->items[i].model->parent = NULL;
        ml_model_free(members->items[i].model);
    }
    ml__free(members->items);
    *members = (ml__members){0};
}

const ml__member *ml__members_find(const ml__members *members, const char *name)
{
    for (size_t i = 0; i < members->n; i++)
        if (!strcmp(members->items[i].name, name))
            return &members->items[i];
    return NULL;
}

size_t ml__model_depth(const ml_model *model)
{
    size_t deepest = 0;

    if (!model->kind->max_members)
        return 0;
    for (size_t i = 0; i < model->members.n; i++) {
        const size_t depth = ml__model_depth(model->members.items[i].model);
        if (depth > deepest)
            deepest = depth;
    }
    return 1 + deepest;
}

static ml_status check_member_name(const ml_model *model, const char *name)
{
    const size_t length = strlen(name);

    if (!length || length > MAX_MEMBER_NAME)
        return ml__fail(ML_E_ARGUMENT, "a member's name has 1 to %d bytes, '%s' has %zu", (int)MAX_MEMBER_NAME, name,
                        length);
    for (const char *c = name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
              *c == '_'))
            return ml__fail(ML_E_ARGUMENT, "member name '%s': letters, digits, '-' and '_' only", name);
    if (strstr(name, "__"))
        return ml__fail(ML_E_ARGUMENT, "member name '%s' contains '__', which separates names in a path", name);
    if (ml__members_find(&model->members, name))
        return ml__fail(ML_E_ARGUMENT, "there is a member '%s' already", name);
    return ML_OK;
}

static ml_status check_member(const ml_model *model, const char *name, const ml_model *member)
{
    size_t level = 1;

    if (member->parent)
        return ml__fail(ML_E_ARGUMENT, "model '%s' is a member of another model already", name);
    for (const ml_model *m = model; m; m = m->parent, level++)
        if (m == member)
            return ml__fail(ML_E_ARGUMENT, "model '%s' cannot be a member of itself", name);
    if (!model->kind->max_members)
        return ml__fail(ML_E_UNSUPPORTED, "%s takes no members", model->kind->name);
    if (model->members.n >= model->kind->max_members)
        return ml__fail(ML_E_UNSUPPORTED, "%s takes at most %zu members", model->kind->name, model->kind->max_members);
    if (level - 1 + ml__model_depth(member) > MAX_DEPTH)
        return ml__fail(ML_E_LIMIT, "member '%s' would be nested deeper than %d", name, (int)MAX_DEPTH);
    return check_member_name(model, name);
}

ml_status ml__model_attach(ml_model *model, const char *name, ml_model *member, double weight)
{
    ml_model *claimed, *claimed_member = NULL;
    ml_status st;

    if (!model || !name || !member)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !name ? "name" : "member");
    st = ml__model_claim(model, &claimed);
    if (st != ML_OK)
        return st;
    ML__TRY(check_member(model, name, member));
    ML__TRY(ml__model_claim(member, &claimed_member));
    ML__TRY(ml__members_add(model->context, &model->members, name, member, weight));
    member->parent = model;
done:
    if (claimed_member)
        ml__model_release(claimed_member);
    ml__model_release(claimed);
    return st;
}

ml_status ml_model_add_member(ml_model *model, const char *name, ml_model *member)
{
    return ml__model_attach(model, name, member, ML_AUTO_WEIGHT);
}

const ml__members *ml__model_members(const ml_model *model)
{
    return model->learned && model->learned->members.n ? &model->learned->members : &model->members;
}

size_t ml_model_member_count(const ml_model *model)
{
    return model ? ml__model_members(model)->n : 0;
}

const char *ml_model_member_name(const ml_model *model, size_t i)
{
    return i < ml_model_member_count(model) ? ml__model_members(model)->items[i].name : NULL;
}

const ml_model *ml_model_member(const ml_model *model, size_t i)
{
    return i < ml_model_member_count(model) ? ml__model_members(model)->items[i].model : NULL;
}

/* ---- what a model can do ---- */

uint32_t ml__model_tasks(const ml_model *model)
{
    return model->kind->tasks_of ? model->kind->tasks_of(model) : model->kind->tasks;
}

uint32_t ml__model_accepts(const ml_model *model)
{
    return model->kind->accepts_of ? model->kind->accepts_of(model) : model->kind->accepts;
}

const char *ml_model_kind(const ml_model *model)
{
    return model ? model->kind->name : NULL;
}

/* ---- parameters by path ---- */

static ml_status no_such_member(const ml_model *model, const char *name, size_t length)
{
    char names[256] = "";
    size_t n = 0;

    for (size_t i = 0; i < model->members.n && n < sizeof names; i++)
        n += ml__format(names + n, sizeof names - n, "%s%s", i ? ", " : "", model->members.items[i].name);
    return ml__fail(ML_E_PARAMETER, "%s has no member '%.*s'; %s%s", model->kind->name,
                    (int)(length <= MAX_MEMBER_NAME ? length : MAX_MEMBER_NAME), name,
                    model->members.n ? "it has: " : "it has none", names);
}

/* Follow "member__member__name" to the model that has the parameter; *name becomes the last part. */
static ml_status follow_path(const ml_model *model, const char **name, const ml_model **out)
{
    const char *separator;

    while ((separator = strstr(*name, "__")) != NULL) {
        const size_t length = (size_t)(separator - *name);
        const ml_model *next = NULL;

        for (size_t i = 0; i < model->members.n && !next; i++)
            if (!strncmp(model->members.items[i].name, *name, length) && !model->members.items[i].name[length])
                next = model->members.items[i].model;
        if (!next)
            return no_such_member(model, *name, length);
        model = next;
        *name = separator + 2;
    }
    *out = model;
    return ML_OK;
}

/* One of the setters below: the model that has the parameter, under the mark of the outermost one. */
typedef struct setting {
    ml_model *claimed, *target;
    const char *name; /* the last part of the path */
} setting;

static ml_status begin_set(ml_model *model, const char *name, setting *s)
{
    const ml_model *found = NULL;
    ml_status st;

    *s = (setting){.name = name};
    if (!model || !name)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", model ? "name" : "model");
    st = ml__model_claim(model, &s->claimed);
    if (st != ML_OK)
        return st;
    st = follow_path(model, &s->name, &found);
    s->target = (ml_model *)found; /* a member of the model that is being set, so its constness is ours to drop */
    if (st != ML_OK)
        ml__model_release(s->claimed);
    return st;
}

ml_status ml_model_set_int(ml_model *model, const char *name, int64_t value)
{
    setting s;
    ml_status st = begin_set(model, name, &s);

    if (st != ML_OK)
        return st;
    st = ml__params_set_int(s.target->kind->name, s.target->kind->params, s.target->params, s.name, value);
    ml__model_release(s.claimed);
    return st;
}

ml_status ml_model_set_real(ml_model *model, const char *name, double value)
{
    setting s;
    ml_status st = begin_set(model, name, &s);

    if (st != ML_OK)
        return st;
    st = ml__params_set_real(s.target->kind->name, s.target->kind->params, s.target->params, s.name, value);
    ml__model_release(s.claimed);
    return st;
}

ml_status ml_model_set_text(ml_model *model, const char *name, const char *value)
{
    setting s;
    ml_status st;

    if (!value)
        return ml__fail(ML_E_ARGUMENT, "value is NULL");
    st = begin_set(model, name, &s);
    if (st != ML_OK)
        return st;
    st = ml__params_set_text(s.target->kind->name, s.target->kind->params, s.target->params, s.name, value);
    ml__model_release(s.claimed);
    return st;
}

ml_status ml_model_get_text(const ml_model *model, const char *name, char *buffer, size_t n_bytes, size_t *needed)
{
    const ml_model *target;
    const ml__param *param;
    ml__text text;
    ml_status st;

    if (!model || !name)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", model ? "name" : "model");
    ml__text_init(&text, model->context);
    ML__TRY(follow_path(model, &name, &target));
    param = ml__params_find(target->kind->params, name);
    if (!param) {
        st = ml__params_unknown(target->kind->name, target->kind->params, name);
        goto done;
    }
    ml__param_print(param, target->params, &text);
    ML__TRY(ml__text_deliver(&text, buffer, n_bytes, needed));
done:
    ml__text_free(&text);
    return st;
}

/* ---- what a fitted model knows ---- */

int32_t ml_model_is_fitted(const ml_model *model)
{
    return model && model->learned;
}

int32_t ml_model_stop_reason(const ml_model *model)
{
    return ml_model_is_fitted(model) ? model->learned->stop_reason : ML_STOP_NONE;
}

size_t ml_model_n_features(const ml_model *model)
{
    return ml_model_is_fitted(model) ? model->learned->schema.n_features : 0;
}

const char *ml_model_feature_name(const ml_model *model, size_t feature)
{
    return feature < ml_model_n_features(model) ? model->learned->schema.features[feature].name : NULL;
}

size_t ml_model_n_outputs(const ml_model *model)
{
    return ml_model_is_fitted(model) && model->learned->task != ML__UNSUPERVISED ? model->learned->schema.n_outputs : 0;
}

const char *ml_model_output_name(const ml_model *model, size_t output)
{
    return output < ml_model_n_outputs(model) ? model->learned->schema.outputs[output].name : NULL;
}

size_t ml_model_n_classes(const ml_model *model, size_t output)
{
    if (output < ml_model_n_outputs(model))
        return model->learned->schema.outputs[output].n_classes;
    if (output == 0 && ml_model_is_fitted(model) && model->learned->task == ML__UNSUPERVISED)
        return ml_model_width(model, ML_PREDICT_PROBA);
    return 0;
}

const char *ml_model_class_name(const ml_model *model, size_t output, size_t class_index)
{
    if (output >= ml_model_n_outputs(model) || class_index >= model->learned->schema.outputs[output].n_classes)
        return NULL;
    return model->learned->schema.outputs[output].classes[class_index];
}

/* ---- tensors ---- */

size_t ml_model_tensor_count(const ml_model *model)
{
    return ml_model_is_fitted(model) ? model->learned->n_tensors : 0;
}

static ml_status deliver_tensor(const ml__named_tensor *t, ml_tensor *out)
{
    const ml_tensor tensor = {.name = t->name,
                              .dtype = t->dtype,
                              .rank = t->rank,
                              .shape = {t->shape[0], t->shape[1], t->shape[2], t->shape[3]},
                              .data = t->data};

    return ml__write_result(out, &tensor, sizeof tensor, "ml_tensor");
}

ml_status ml_model_tensor_at(const ml_model *model, size_t i, ml_tensor *out)
{
    if (!model || !out)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", model ? "out" : "model");
    if (!model->learned)
        return ml__fail(ML_E_STATE, "%s is not fitted", model->kind->name);
    if (i >= model->learned->n_tensors)
        return ml__fail(ML_E_ARGUMENT, "tensor %zu of %zu", i, model->learned->n_tensors);
    return deliver_tensor(&model->learned->tensors[i], out);
}

ml_status ml_model_tensor(const ml_model *model, const char *name, ml_tensor *out)
{
    const ml__named_tensor *t;

    if (!model || !name || !out)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !name ? "name" : "out");
    if (!model->learned)
        return ml__fail(ML_E_STATE, "%s is not fitted", model->kind->name);
    t = ml__learned_find(model->learned, name);
    if (!t)
        return ml__fail(ML_E_ARGUMENT, "%s has no tensor '%s'", model->kind->name, name);
    return deliver_tensor(t, out);
}
