/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitting: checks shared by all kinds, the services of ml__fit, and the swap.
 *
 * A fit builds a fresh ml__learned and never touches the old one; only when it is complete and valid by the same rules
 * as a loaded file does it take the old one's place.
 */
#include "model/model.h"

#include <float.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* ---- time, monitor, path ---- */

static double monotonic_seconds(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_MONOTONIC, &now) ? 0 : (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

size_t ml__run_enter(ml__run *run, const char *name)
{
    const size_t length = run->path_length, left = sizeof run->path - length;
    const size_t wanted = ml__format(run->path + length, left, "%s%s", length ? "/" : "", name);

    run->path_length += wanted < left ? wanted : left - 1;
    return length;
}

void ml__run_leave(ml__run *run, size_t length)
{
    run->path_length = length;
    run->path[length] = 0;
}

static const double POLL_SECONDS = 0.05;

static ml_status fail_cancelled(const ml__run *run, uint64_t done, uint64_t total)
{
    return ml__fail(ML_E_CANCELLED, "the monitor stopped the fit at %s, step %llu of %llu", run->path,
                    (unsigned long long)done, (unsigned long long)total);
}

static ml_status report(ml__run *run, uint64_t done, uint64_t total, const char *metric, double value)
{
    const ml_progress progress = {.struct_size = sizeof progress,
                                  .stage = run->path,
                                  .done = done,
                                  .total = total,
                                  .metric = metric,
                                  .value = value};
    const int32_t answer = run->monitor ? run->monitor(run->monitor_user, &progress) : ML_MONITOR_CONTINUE;

    if (answer == ML_MONITOR_CONTINUE)
        return ML_OK;
    if (answer != ML_MONITOR_STOP || !run->can_stop)
        return fail_cancelled(run, done, total);
    run->is_stopped = true;
    return ML_OK;
}

ml_status ml__fit_step(ml__fit *f, uint64_t done, uint64_t total, const char *metric, double value)
{
    f->run->done = done;
    f->run->total = total;
    return report(f->run, done, total, metric, value);
}

static ml_status poll(ml__run *run, uint64_t done, uint64_t total)
{
    double now;

    if (!run->monitor)
        return ML_OK;
    now = monotonic_seconds();
    if (now < run->next_poll)
        return ML_OK;
    run->next_poll = now + POLL_SECONDS;
    return report(run, done, total, "", NAN);
}

ml_status ml__fit_poll(ml__fit *f, uint64_t done, uint64_t total)
{
    return poll(f->run, done, total);
}

/* ---- rows that are read from a file ---- */

/* A fit that goes over such rows, whatever its kind, can take long between its steps. */
typedef struct reading {
    ml__run *run;
    pthread_t caller;
    atomic_bool is_cancelled; /* then what other threads read ends, too */
    ml__watch watch;
    ml_dataset *data, *validation; /* watched, or NULL */
} reading;

static ml_status look(void *argument)
{
    reading *r = argument;
    ml_status st;

    if (atomic_load(&r->is_cancelled))
        return fail_cancelled(r->run, r->run->done, r->run->total);
    if (!pthread_equal(r->caller, pthread_self()))
        return ML_OK;
    st = poll(r->run, r->run->done, r->run->total);
    if (st != ML_OK)
        atomic_store(&r->is_cancelled, true);
    return st;
}

/* *data and *validation become what is watched, where there is a monitor and something to watch. */
static ml_status begin_reading(reading *r, ml__run *run, const ml_dataset **data, const ml_dataset **validation)
{
    ml_status st;

    r->run = run;
    r->caller = pthread_self();
    r->watch = (ml__watch){look, r};
    atomic_init(&r->is_cancelled, false);
    ML__TRY(ml__dataset_unchanged(*data));
    if (*validation)
        ML__TRY(ml__dataset_unchanged(*validation));
    if (!run->monitor)
        return ML_OK;
    ML__TRY(ml__dataset_watched(*data, &r->watch, &r->data));
    *data = r->data ? r->data : *data;
    if (*validation)
        ML__TRY(ml__dataset_watched(*validation, &r->watch, &r->validation));
    *validation = r->validation ? r->validation : *validation;
    if (r->data || r->validation) /* before other threads read */
        ML__TRY(look(r));
done:
    return st;
}

static ml_status end_reading(const ml_dataset *data, const ml_dataset *validation)
{
    const ml_status st = ml__dataset_unchanged(data);

    return st == ML_OK && validation ? ml__dataset_unchanged(validation) : st;
}

bool ml__fit_late(const ml__fit *f)
{
    return f->run->is_stopped || (f->run->deadline > 0 && monotonic_seconds() >= f->run->deadline);
}

/* ---- data for learners ---- */

ml_status ml__fit_blame_copy(const ml__fit *f, ml_status st)
{
    return st == ML_E_MEMORY
               ? ml__blame(st, "%s keeps %zu x %zu features in memory: ", f->model->kind->name, f->n, f->d)
               : st;
}

enum { COPIED_VALUES = 1 << 20 }; /* read at a time */

/* All rows, in pieces, as the monitor is asked before each. */
static ml_status copy_rows(const ml__fit *f, ml_dtype dtype, char *to)
{
    const size_t row_bytes = f->d * ml__dtype_size(dtype), most = COPIED_VALUES / f->d + 1;
    ml_status st = ML_OK;

    for (size_t i = 0; i < f->n && st == ML_OK; i += most)
        st = ml__dataset_read(f->data, i, f->n - i < most ? f->n - i : most, dtype, to + i * row_bytes);
    return st;
}

static ml_status fit_matrix(ml__fit *f, ml_dtype dtype, const void **out)
{
    size_t count;
    void *copy;
    ml_status st = ML_OK;

    *out = ml__dataset_dense(f->data, dtype);
    if (*out)
        return ML_OK;
    ML__CHECK(ml__size_mul(f->n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", f->n, f->d);
    copy = ml__arena_take(f->scratch, count, ml__dtype_size(dtype));
    ML__TRY(copy ? ML_OK : ml__fit_blame_copy(f, ML_E_MEMORY));
    ML__TRY(copy_rows(f, dtype, copy));
    *out = copy;
done:
    return st;
}

ml_status ml__fit_matrix_f64(ml__fit *f, const double **out)
{
    const void *X;
    const ml_status st = fit_matrix(f, ML_FLOAT64, &X);

    *out = X;
    return st;
}

ml_status ml__fit_matrix_f32(ml__fit *f, const float **out)
{
    const void *X;
    const ml_status st = fit_matrix(f, ML_FLOAT32, &X);

    *out = X;
    return st;
}

const int32_t *ml__fit_labels(ml__fit *f, size_t o)
{
    int32_t *labels = ml__arena_take(f->scratch, f->n, sizeof *labels);

    if (labels)
        ml__dataset_read_labels(f->data, o, labels);
    return labels;
}

const double *ml__fit_targets(ml__fit *f)
{
    double *targets = ml__arena_take(f->scratch, f->n * f->n_outputs, sizeof *targets);
    double *column = ml__arena_take(f->scratch, f->n, sizeof *column);

    if (!targets || !column)
        return NULL;
    for (size_t o = 0; o < f->n_outputs; o++) {
        (void)ml_dataset_output(f->data, o, column, f->n);
        for (size_t i = 0; i < f->n; i++)
            targets[i * f->n_outputs + o] = column[i];
    }
    return targets;
}

const double *ml__fit_weights(ml__fit *f)
{
    double *weights = ml__arena_take(f->scratch, f->n, sizeof *weights);

    if (weights)
        ml__dataset_read_weights(f->data, weights);
    return weights;
}

/* ---- checks before a fit ---- */

/* Members in the right number and parameters that go together, through all levels. */
static ml_status check_model(const ml_model *model)
{
    const ml__kind *kind = model->kind;
    ml_status st = ML_OK;

    ML__CHECK(model->members.n >= kind->min_members, ML_E_PARAMETER, "%s needs at least %zu member%s, it has %zu",
              kind->name, kind->min_members, kind->min_members == 1 ? "" : "s", model->members.n);
    if (kind->check)
        ML__TRY(kind->check(model));
    if (model->start)
        ML__TRY(kind->starts_from(model, model->start));
    for (size_t i = 0; i < model->members.n; i++) {
        st = check_model(model->members.items[i].model);
        if (st != ML_OK)
            return ml__blame(st, "member '%s': ", model->members.items[i].name);
    }
done:
    return st;
}

static ml_status check_outputs(const ml_model *model, const ml__schema *schema, int32_t task, uint32_t accepts)
{
    if (task == ML__UNSUPERVISED)
        return ML_OK;
    if (schema->n_outputs > 1 && !(accepts & ML__MULTI_OUTPUT))
        return ml__fail(ML_E_UNSUPPORTED, "%s learns one output, the data has %zu", model->kind->name,
                        schema->n_outputs);
    for (size_t o = 1; o < schema->n_outputs && task != ML__MIXED; o++)
        if (!schema->outputs[o].n_classes != !schema->outputs[0].n_classes)
            return ml__fail(ML_E_UNSUPPORTED,
                            "%s does not learn labels and reals at once: outputs '%s' and '%s' mix labels and reals",
                            model->kind->name, schema->outputs[0].name, schema->outputs[o].name);
    return ML_OK;
}

static ml_status choose_task(const ml_model *model, const ml__schema *schema, int32_t *task)
{
    const uint32_t tasks = ml__model_tasks(model);
    const int32_t wanted = !schema->n_outputs             ? ML__UNSUPERVISED
                           : schema->outputs[0].n_classes ? ML__CLASSIFY
                                                          : ML__REGRESS;

    if ((tasks & ML__MIXED) && ml__schema_is_mixed(schema))
        *task = ML__MIXED;
    else if (tasks & (uint32_t)wanted)
        *task = wanted;
    else if (tasks & ML__UNSUPERVISED)
        *task = ML__UNSUPERVISED;
    else if (!schema->n_outputs)
        return ml__fail(ML_E_DATA, "%s needs an output to learn, the data has none", model->kind->name);
    else
        return ml__fail(ML_E_UNSUPPORTED, "%s does not learn %s such as output '%s'", model->kind->name,
                        wanted == ML__CLASSIFY ? "labels" : "reals", schema->outputs[0].name);
    return ML_OK;
}

static ml_status check_cells(const ml_model *model, const ml_dataset *data, uint32_t accepts)
{
    const ml__schema *schema = ml__dataset_schema(data);
    size_t row, feature;
    bool is_missing = false;
    ml_status st = ML_OK;

    for (size_t j = 0; j < schema->n_features; j++)
        ML__CHECK(!schema->features[j].n_categories || (accepts & ML__CATEGORIES), ML_E_DATA,
                  "%s takes numbers only, feature '%s' is categorical (a one_hot_encoder before it helps)",
                  model->kind->name, schema->features[j].name);
    if (!(accepts & ML__MISSING))
        ML__TRY(ml__dataset_find_missing(data, &is_missing, &row, &feature));
    if (is_missing)
        st = ml__refuse_missing(model, row, schema->features[feature].name);
done:
    return st;
}

/* Kinds that work in single precision cannot see larger values. */
static ml_status check_single_precision(const ml_model *model, const ml_dataset *data)
{
    enum { CHECKED_ROWS = 16 }; /* at a time */
    const ml__schema *schema = ml__dataset_schema(data);
    const size_t n = ml_dataset_n_rows(data), d = schema->n_features;
    ml__arena arena;
    double *x;
    ml_status st = ML_OK;

    if (model->kind->real != ML_FLOAT32 || ml__dataset_dtype(data) == ML_FLOAT32)
        return ML_OK;
    ml__arena_init(&arena, model->context);
    ML__NEW(&arena, x, CHECKED_ROWS * d);
    for (size_t i = 0; i < n; i += CHECKED_ROWS) {
        const size_t n_rows = n - i < CHECKED_ROWS ? n - i : CHECKED_ROWS;

        ML__TRY(ml__dataset_read(data, i, n_rows, ML_FLOAT64, x));
        for (size_t v = 0; v < n_rows * d; v++)
            ML__CHECK(!(fabs(x[v]) > FLT_MAX), ML_E_DATA,
                      "%s works in single precision, %g in row %zu of feature '%s' is too large", model->kind->name,
                      x[v], i + v / d, schema->features[v % d].name);
    }
done:
    ml__arena_free(&arena);
    return st;
}

static ml_status check_data(const ml_model *model, const ml_dataset *data, int32_t *task)
{
    const uint32_t accepts = ml__model_accepts(model);
    ml_status st;

    ML__TRY(choose_task(model, ml__dataset_schema(data), task));
    ML__TRY(check_outputs(model, ml__dataset_schema(data), *task, accepts));
    ML__CHECK((accepts & ML__WEIGHTS) || !ml__dataset_has_weights(data), ML_E_UNSUPPORTED,
              "%s does not use sample weights, the data has them", model->kind->name);
    ML__TRY(check_cells(model, data, accepts));
    ML__TRY(check_single_precision(model, data));
done:
    return st;
}

/* Outputs are of no concern to what learns without them. */
static ml_status check_validation(const ml_model *model, const ml_dataset *data, const ml_dataset *validation,
                                  int32_t task)
{
    const ml__schema *a = ml__dataset_schema(data), *b = ml__dataset_schema(validation);
    ml_status st;

    ML__TRY(ml__schema_match(a, b));
    if (task != ML__UNSUPERVISED)
        ML__TRY(ml__schema_match_outputs(a, b));
    ML__TRY(check_cells(model, validation, ml__model_accepts(model)));
    ML__TRY(check_single_precision(model, validation));
done:
    return st == ML_OK ? st : ml__blame(st, "%s: validation data: ", model->kind->name);
}

/* Of the rows that are left: some row, and some weight. */
static ml_status check_rows(const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    ml__arena arena;
    double *weights, sum = 0;
    ml_status st = ML_OK;

    if (!n)
        return ml__fail(ML_E_DATA, "no row has a label");
    if (!ml__dataset_has_weights(data))
        return ML_OK;
    ml__arena_init(&arena, ml__dataset_context(data));
    ML__NEW(&arena, weights, n);
    ml__dataset_read_weights(data, weights);
    for (size_t i = 0; i < n; i++)
        sum += weights[i];
    ML__CHECK(sum > 0 && isfinite(sum), ML_E_DATA, "the weights of the %zu rows sum to %g", n, sum);
done:
    ml__arena_free(&arena);
    return st;
}

/* ---- the fit ---- */

/* random_state and what the composite gave make the seed. */
static uint64_t make_seed(const ml_model *model, uint64_t seed)
{
    const ml__param *p = ml__params_find(model->kind->params, "random_state");

    return p ? ml__seed_mix(seed, (uint64_t) * (const int64_t *)((const char *)model->params + p->offset)) : seed;
}

static void fill(ml__fit *f, const ml_model *model, int32_t task, uint64_t seed)
{
    f->schema = ml__dataset_schema(f->data);
    f->model = model;
    f->params = model->params;
    f->context = model->context;
    f->n = ml_dataset_n_rows(f->data);
    f->d = f->schema->n_features;
    f->n_outputs = f->schema->n_outputs;
    f->K = f->n_outputs ? f->schema->outputs[0].n_classes : 0;
    f->task = task;
    f->seed = make_seed(model, seed);
    f->seed_above = seed;
}

/* What the fit will fill; the caller owns it. */
static ml_status create_learned(ml__fit *f, const ml__schema *schema, ml__learned **out)
{
    ml_status st;

    ML__TRY(ml__learned_create(f->context, out));
    f->learned = *out;
    f->learned->task = f->task;
    ML__TRY(ml__schema_copy(&f->learned->arena, schema, &f->learned->schema));
done:
    return st;
}

/* Data to learn on from: features of what was learned before, and outputs where it learns any. */
static ml_status check_continues(const char *kind, const ml__learned *before, const ml__schema *schema, int32_t task)
{
    ml_status st;

    ML__TRY(ml__schema_match(&before->schema, schema));
    if (before->task != ML__UNSUPERVISED)
        ML__TRY(ml__schema_match_outputs(&before->schema, schema));
    else
        ML__CHECK(task == ML__UNSUPERVISED, ML_E_SHAPE, "%zu outputs, it has learned without any", schema->n_outputs);
done:
    return st == ML_OK ? st : ml__blame(st, "%s: to learn on from, the data must be as before: ", kind);
}

/* The kind's part: `before` is what it learns on from, or NULL. */
static ml_status learn(ml__fit *f, ml_status (*of_kind)(ml__fit *f), const ml__learned *before, ml__learned **out)
{
    ml_status st;

    /* names that a plain matrix does not bring are kept */
    ML__TRY(create_learned(f, before ? &before->schema : f->schema, out));
    ML__TRY(of_kind(f));
    if (f->run->is_stopped && f->learned->stop_reason == ML_STOP_DEADLINE)
        f->learned->stop_reason = ML_STOP_MONITOR;
    ML__TRY(ml__learned_validate(f->model, f->learned, true));
done:
    return st;
}

/* As it was put together: what a composite can learn is said by its members, not by those that an earlier fit left. */
static ml_model without_learned(const ml_model *model)
{
    return (ml_model){
        .context = model->context, .kind = model->kind, .params = model->params, .members = model->members};
}

static ml_status train(const ml_model *model, ml_status (*of_kind)(ml__fit *f), const ml__learned *before,
                       const ml_dataset *data, const ml_dataset *validation, ml__run *run, uint64_t seed,
                       ml__learned **out)
{
    ml_status st;
    ml__arena scratch;
    ml__learned *learned = NULL;
    ml_dataset *labelled = NULL;
    const uint64_t done_around = run->done, total_around = run->total;
    reading rows = {0};
    ml__fit f = {.scratch = &scratch, .run = run};
    const ml_model template = without_learned(model);
    int32_t task;

    *out = NULL;
    run->done = 0;
    run->total = 1;
    ml__arena_init(&scratch, model->context);
    ML__TRY(check_model(model));
    ML__TRY(begin_reading(&rows, run, &data, &validation));
    f.data = data;
    f.validation = validation;
    ML__TRY(check_data(&template, data, &task));
    if (before)
        ML__TRY(check_continues(model->kind->name, before, ml__dataset_schema(data), task));
    if (validation)
        ML__TRY(check_validation(&template, data, validation, task));
    if (task != ML__UNSUPERVISED && !(ml__model_accepts(&template) & ML__MISSING_LABELS)) {
        ML__TRY(ml__dataset_labelled(data, &labelled));
        f.data = labelled ? labelled : data;
    }
    ML__TRY(check_rows(f.data));
    fill(&f, model, task, seed);
    if (task != ML__UNSUPERVISED && f.K == 1)
        ml__log(f.context, ML_LOG_WARNING, "%s: output '%s' has one class only, '%s': every prediction will be it",
                run->path, f.schema->outputs[0].name, f.schema->outputs[0].classes[0]);
    ML__TRY(learn(&f, of_kind, before, &learned));
    ML__TRY(end_reading(data, validation));
    *out = learned;
    learned = NULL;
done:
    run->done = done_around;
    run->total = total_around;
    ml__learned_free(learned);
    ml_dataset_free(labelled);
    ml_dataset_free(rows.data);
    ml_dataset_free(rows.validation);
    ml__arena_free(&scratch);
    return st;
}

ml_status ml__model_train(const ml_model *model, const ml_dataset *data, const ml_dataset *validation, ml__run *run,
                          uint64_t seed, ml__learned **out)
{
    return train(model, model->kind->fit, NULL, data, validation, run, seed, out);
}

ml_status ml__fit_member_validated(ml__fit *f, const ml_model *member, const char *name, uint64_t label,
                                   const ml_dataset *data, const ml_dataset *validation, ml_model **fitted)
{
    ml_status st;
    ml_model *copy = NULL;
    const size_t length = ml__run_enter(f->run, name);
    const uint64_t seed = label == ML__AS_IF_ALONE ? f->seed_above : ml__seed_mix(f->seed, label);

    ML__TRY(ml__model_blank_copy(member, &copy));
    st = ml__model_train(copy, data, validation, f->run, seed, &copy->learned);
    if (st != ML_OK && st != ML_E_CANCELLED)
        (void)ml__blame(st, "%s: ", name);
done:
    ml__run_leave(f->run, length);
    if (st != ML_OK) {
        ml_model_free(copy);
        copy = NULL;
    }
    *fitted = copy;
    return st;
}

ml_status ml__fit_member(ml__fit *f, const ml_model *member, const char *name, uint64_t label, const ml_dataset *data,
                         ml_model **fitted)
{
    return ml__fit_member_validated(f, member, name, label, data, NULL, fitted);
}

ml_status ml__fit_check_member(ml__fit *f, const ml_model *member, const char *name)
{
    int32_t task;
    const ml_status st = check_data(member, f->data, &task);

    return st == ML_OK ? st : ml__blame(st, "%s: ", name);
}

ml_status ml__fit_member_by(ml__fit *f, const ml_model *member, ml_status (*publish)(ml__fit *f, void *argument),
                            void *argument, ml_model **fitted)
{
    ml__arena scratch;
    ml__fit g = {.data = f->data, .scratch = &scratch, .run = f->run};
    ml_model *copy = NULL;
    ml_status st;

    ml__arena_init(&scratch, f->context);
    ML__TRY(ml__model_blank_copy(member, &copy));
    fill(&g, copy, f->task, f->seed);
    ML__TRY(create_learned(&g, g.schema, &copy->learned));
    ML__TRY(publish(&g, argument));
    ML__TRY(ml__learned_validate(copy, copy->learned, true));
done:
    if (st != ML_OK) {
        ml_model_free(copy);
        copy = NULL;
    }
    *fitted = copy;
    ml__arena_free(&scratch);
    return st;
}

ml_status ml__fit_adopt(ml__fit *f, const char *name, ml_model *fitted, double weight)
{
    const ml_status st = ml__members_add(f->context, &f->learned->members, name, fitted, weight);

    ml__model_forget_start(fitted);
    if (st != ML_OK)
        ml_model_free(fitted);
    return st;
}

static ml_status fit_and_swap(ml_model *model, const ml_dataset *data, const ml_fit_options *options, bool partial)
{
    const ml__kind *kind = model->kind;
    ml__run run = {.monitor = options->monitor, .monitor_user = options->monitor_user, .can_stop = true};
    ml__learned *learned;
    ml_status st = ML_OK;

    ML__CHECK(!partial || kind->partial_fit, ML_E_UNSUPPORTED, "%s cannot learn on from what it has learned",
              kind->name);
    if (options->deadline_seconds > 0)
        run.deadline = monotonic_seconds() + options->deadline_seconds;
    (void)ml__run_enter(&run, kind->name);
    ML__TRY(train(model, partial ? kind->partial_fit : kind->fit, partial ? model->learned : NULL, data,
                  options->validation, &run, 0, &learned));
    ml__learned_free(model->learned);
    model->learned = learned;
done:
    return st;
}

static ml_status fit(ml_model *model, const ml_dataset *data, const ml_fit_options *options, bool partial)
{
    ml_fit_options o = {.struct_size = sizeof o};
    ml__float_state host;
    ml_model *claimed;
    ml_status st;

    if (!model || !data)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", model ? "data" : "model");
    if (options) {
        st = ml__read_options(&o, sizeof o, options, "ml_fit_options");
        if (st != ML_OK)
            return st;
    }
    if (!(o.deadline_seconds >= 0))
        return ml__fail(ML_E_ARGUMENT, "deadline_seconds is %g, it cannot be negative", o.deadline_seconds);
    st = ml__model_claim(model, &claimed);
    if (st != ML_OK)
        return st;
    host = ml__float_begin();
    st = ml__float_end(host, fit_and_swap(model, data, &o, partial));
    ml__model_release(claimed);
    return st;
}

ml_status ml_model_fit(ml_model *model, const ml_dataset *data, const ml_fit_options *options)
{
    return fit(model, data, options, false);
}

ml_status ml_model_partial_fit(ml_model *model, const ml_dataset *data, const ml_fit_options *options)
{
    return fit(model, data, options, true);
}
