/* SPDX-License-Identifier: Apache-2.0 */
#include "models.h"

/* ---- settings and fits ---- */

static ml_status set_all(ml_model *model, const char *const *settings)
{
    ml_status st = ML_OK;
    char name[64];

    for (; st == ML_OK && settings && *settings; settings++) {
        const size_t length = strcspn(*settings, "=");
        const char *value = (*settings)[length] ? *settings + length + 1 : settings[1];

        snprintf(name, sizeof name, "%.*s", (int)length, *settings);
        settings += !(*settings)[length];
        st = ml_model_set_text(model, name, value);
    }
    return st;
}

ml_model *test_model(ml_context *context, const char *kind, const char *const *settings)
{
    ml_model *model;

    CHECK_OK(ml_model_create(context, kind, &model));
    CHECK_OK(set_all(model, settings));
    return model;
}

ml_status test_fit_new(ml_context *context, void *fit)
{
    const test_fit *f = fit;
    ml_model *model = NULL;
    ml_status st = ml_model_create(context, f->kind, &model);

    if (st == ML_OK)
        st = set_all(model, f->settings);
    if (st == ML_OK)
        st = ml_model_fit(model, f->data, NULL);
    CHECK(ml_model_is_fitted(model) == (st == ML_OK));
    ml_model_free(model);
    return st;
}

static void check_saved(const char *what, const ml_model *model, const void *bytes, size_t n_bytes, const char *when)
{
    size_t n;
    void *now = test_saved(model, &n);

    CHECK_MSG(n == n_bytes && !memcmp(now, bytes, n), "%s: not what it should be %s", what, when);
    free(now);
}

typedef struct {
    const char *what;
    test_allocator *allocator;
    const ml_model *before;
    ml_model *copy;
    const ml_dataset *data;
    const void *bytes; /* of `before` */
    size_t n_bytes;
} refit;

static ml_status try_refit(ml_context *context, void *argument)
{
    refit *r = argument;
    const ml_status st = ml_model_fit(r->copy, r->data, NULL);

    (void)context;
    r->allocator->fail_at = 0;
    if (st == ML_OK) {
        ml_model_free(r->copy);
        CHECK_OK(ml_model_clone(r->before, &r->copy));
    }
    check_saved(r->what, r->copy, r->bytes, r->n_bytes, "after a failed fit");
    return st;
}

size_t test_failing_refits(test_allocator *allocator, ml_context *context, const char *what, const ml_model *model,
                           const ml_dataset *data)
{
    refit r = {.what = what, .allocator = allocator, .before = model, .data = data};
    void *bytes = test_saved(model, &r.n_bytes);
    size_t n_failures;

    r.bytes = bytes;
    CHECK_OK(ml_model_clone(model, &r.copy));
    n_failures = test_failing_allocations(allocator, context, what, try_refit, &r);
    ml_model_free(r.copy);
    free(bytes);
    return n_failures;
}

void *test_fitted_bytes(ml_model *model, ml_dataset *data, size_t *n_bytes)
{
    void *bytes;

    CHECK_OK(ml_model_fit(model, data, NULL));
    bytes = test_saved(model, n_bytes);
    ml_model_free(model);
    ml_dataset_free(data);
    return bytes;
}

/* ---- monitors ---- */

int32_t test_watching(void *watch, const ml_progress *progress)
{
    test_watch *w = watch;

    CHECK(progress->done <= progress->total && progress->stage[0] && progress->metric);
    if (!w->n_seen || progress->done < w->least_done)
        w->least_done = progress->done;
    if (++w->n_seen != w->stop_at)
        return ML_MONITOR_CONTINUE;
    return w->answer ? w->answer : ML_MONITOR_CANCEL;
}

size_t test_cancelled_fits(const char *what, const ml_model *model, const ml_dataset *data)
{
    const int32_t NEITHER_STOP_NOR_CONTINUE = 7;
    test_watch watch = {0};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = test_watching, .monitor_user = &watch};
    ml_model *fresh, *copy;
    size_t n_before, n_after, n_calls;
    void *before, *after;

    CHECK_OK(ml_model_clone(model, &fresh));
    CHECK_OK(ml_model_clone(model, &copy));
    CHECK_OK(ml_model_fit(fresh, data, &options));
    n_calls = watch.n_seen;
    before = test_saved(model, &n_before);
    after = test_saved(fresh, &n_after);
    for (size_t k = 1; k <= n_calls; k++) {
        watch = (test_watch){.stop_at = k, .answer = k % 2 ? 0 : NEITHER_STOP_NOR_CONTINUE};
        CHECK_FAILS(ml_model_fit(copy, data, &options), ML_E_CANCELLED, "the monitor stopped the fit");
        check_saved(what, copy, before, n_before, "after a cancel");
    }
    CHECK_OK(ml_model_fit(copy, data, NULL));
    check_saved(what, copy, after, n_after, "fitted after cancels");
    free(before);
    free(after);
    ml_model_free(fresh);
    ml_model_free(copy);
    return n_calls;
}

/* ---- tensors ---- */

ml__named_tensor *test_tensor(const ml_model *model, const char *name)
{
    for (size_t i = 0; i < model->learned->n_tensors; i++)
        if (!strcmp(model->learned->tensors[i].name, name))
            return &model->learned->tensors[i];
    test_fail(__FILE__, __LINE__, "no tensor %s", name);
}

/* Element i becomes `value`; what it was. */
static double exchange(ml__named_tensor *tensor, size_t i, double value)
{
    double kept;

    switch (tensor->dtype) {
    case ML_FLOAT64:
        kept = ((double *)tensor->data)[i];
        ((double *)tensor->data)[i] = value;
        return kept;
    case ML_FLOAT32:
        kept = (double)((float *)tensor->data)[i];
        ((float *)tensor->data)[i] = (float)value;
        return kept;
    case ML_INT64:
        kept = (double)((int64_t *)tensor->data)[i];
        ((int64_t *)tensor->data)[i] = (int64_t)value;
        return kept;
    case ML_INT32:
        kept = ((int32_t *)tensor->data)[i];
        ((int32_t *)tensor->data)[i] = (int32_t)value;
        return kept;
    default:
        test_fail(__FILE__, __LINE__, "tensor %s: no such elements", tensor->name);
    }
}

void test_refused_value(const char *file, int line, const ml_model *model, const char *tensor, size_t element,
                        double value, const char *text)
{
    ml__named_tensor *changed = test_tensor(model, tensor);
    const double kept = exchange(changed, element, value);

    test_fails(file, line, tensor, ml__learned_validate(model, model->learned, false), ML_E_FORMAT, text);
    (void)exchange(changed, element, kept);
}

void test_refused_size(const char *file, int line, const ml_model *model, const char *tensor, uint32_t dimension,
                       uint64_t size, const char *text)
{
    uint64_t *changed = &test_tensor(model, tensor)->shape[dimension];
    const uint64_t kept = *changed;

    *changed = size;
    test_fails(file, line, tensor, ml__learned_validate(model, model->learned, false), ML_E_FORMAT, text);
    *changed = kept;
}
