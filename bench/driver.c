/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our side of the benchmark: reads one command per line, answers each with one line of key=value, so that an orchestrator
 * can run it and its peers in turn. Every peer in bench/peers speaks the same language.
 *
 *   constants threads=2          what the machine can do
 *   probe threads=2              hertz=…: what it lets us do now
 *   prepare verb=fit key=value…  read the data, make the model; fit it when the verb only predicts
 *   run loops=3                  seconds=…: of one run, averaged over so many in a row
 *   score                        score=… and what there is to know about the fitted model
 *   quit
 *
 * kernels=avx2 keeps the process to that instruction set.
 * model=PATH keeps the fitted model in a file when it is scored.
 * Of the verb row, callers=8 makes so many threads predict at once, each `loops` rows of the same model.
 *
 * A run starts from the caller's matrix: making a dataset of it (checks included) is inside the time, as it is for peers.
 * Files: x, y raw row-major numbers, dtype f4 or f8, rows n x d; y always f8, n x outputs; xt, yt the same for testing.
 */
#include "kernel/kernel.h"
#include "machine.h"
#include "protocol.h"

#include <invar/ml.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_ROWS = 1000, MAX_CLASSES = 64, MAX_CALLERS = 64 };

/* ---- the prepared job ---- */

typedef struct {
    void *x;
    double *y;
    int64_t *labels;
    size_t n;
} table;

typedef struct job job;
struct job {
    words words;
    ml_status (*run)(job *, size_t loops);
    ml_context *context;
    ml_model *model;
    table train, test;
    size_t d, n_outputs, n_classes;
    ml_dtype dtype;
    double *out; /* predictions, metrics per class, … */
    double score;
    uint64_t n_steps; /* trees, epochs, iterations, as the fit reported them */
};

static void job_clear(job *j)
{
    table *tables[] = {&j->train, &j->test};

    for (int i = 0; i < 2; i++) {
        free(tables[i]->x);
        free(tables[i]->y);
        free(tables[i]->labels);
    }
    free(j->out);
    ml_model_free(j->model);
    ml_context_free(j->context);
    memset(j, 0, sizeof *j);
}

static void *read_file(const char *path, size_t n_bytes)
{
    FILE *file = fopen(path, "rb");
    void *bytes = file ? malloc(n_bytes ? n_bytes : 1) : NULL;

    if (bytes && fread(bytes, 1, n_bytes, file) != n_bytes) {
        free(bytes);
        bytes = NULL;
    }
    if (file)
        fclose(file);
    if (!bytes)
        printf("error=cannot read %zu bytes of %s\n", n_bytes, path);
    return bytes;
}

static double value_at(const job *j, const table *t, size_t i)
{
    return j->dtype == ML_FLOAT32 ? ((const float *)t->x)[i] : ((const double *)t->x)[i];
}

/* Reads what the words name; the rest stays NULL. */
static int table_read(job *j, const char *x_key, const char *y_key, const char *n_key, table *t)
{
    const char *x = text_of(&j->words, x_key, NULL), *y = text_of(&j->words, y_key, NULL);
    const size_t item = j->dtype == ML_FLOAT32 ? sizeof(float) : sizeof(double);

    t->n = number_of(&j->words, n_key, 0);
    if (x && !(t->x = read_file(x, t->n * j->d * item)))
        return 0;
    if (y && !(t->y = read_file(y, t->n * j->n_outputs * sizeof *t->y)))
        return 0;
    if (y && j->n_classes) {
        if (!(t->labels = malloc(t->n * sizeof *t->labels)))
            return 0;
        for (size_t i = 0; i < t->n; i++)
            t->labels[i] = (int64_t)t->y[i];
    }
    return 1;
}

/* The words train_csv and test_csv stand for the arrays where there are categories; the last column is the output. */
static ml_status read_csv(job *j, const table *t, ml_dataset **out)
{
    ml_csv_options options = {.struct_size = sizeof options, .target = "#-1"};
    const char *train = text_of(&j->words, "train_csv", "");
    ml_dataset *schema = NULL;
    ml_status st;

    if (t == &j->train)
        return ml_dataset_from_csv(j->context, train, &options, out);
    st = ml_dataset_from_csv(j->context, train, &options, &schema);
    options.schema = schema;
    if (st == ML_OK)
        st = ml_dataset_from_csv(j->context, text_of(&j->words, "test_csv", ""), &options, out);
    ml_dataset_free(schema);
    return st;
}

static ml_status make_dataset(job *j, const table *t, int with_outputs, ml_dataset **out)
{
    if (text_of(&j->words, "train_csv", NULL))
        return read_csv(j, t, out);

    ml_status st = ml_dataset_from_matrix(j->context, t->x, j->dtype, t->n, j->d, 0, 0, ML_BORROW, out);

    if (st == ML_OK && with_outputs && t->labels)
        st = ml_dataset_set_labels(*out, NULL, t->labels, t->n, -1);
    else if (st == ML_OK && with_outputs && t->y)
        st = ml_dataset_set_targets(*out, NULL, t->y, t->n);
    return st;
}

/* The words "key=name:value" in turn, each of which `use` gets as name and value. */
static ml_status each_pair(const job *j, const char *key,
                           ml_status (*use)(const job *j, const char *name, const char *value))
{
    const words *o = &j->words;
    ml_status st = ML_OK;

    for (int i = 0; i < o->n && st == ML_OK; i++) {
        char name[64];
        const char *colon = strchr(o->value[i], ':');
        if (strcmp(o->key[i], key) || !colon)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(colon - o->value[i]), o->value[i]);
        st = use(j, name, colon + 1);
    }
    return st;
}

static ml_status add_member(const job *j, const char *name, const char *kind)
{
    ml_model *member = NULL;
    ml_status st = ml_model_create(j->context, kind, &member);

    if (st == ML_OK)
        st = ml_model_add_member(j->model, name, member);
    if (st != ML_OK)
        ml_model_free(member);
    return st;
}

static ml_status set_param(const job *j, const char *name, const char *value)
{
    return ml_model_set_text(j->model, name, value);
}

/* "member=name:kind" makes members, in this order; "param=name:value" sets parameters, theirs as name__parameter. */
static ml_status make_model(job *j)
{
    ml_status st = ml_model_create(j->context, text_of(&j->words, "kind", ""), &j->model);

    if (st == ML_OK)
        st = each_pair(j, "member", add_member);
    if (st == ML_OK)
        st = each_pair(j, "param", set_param);
    return st;
}

/* "start_rows=k": the fit begins with k rows, evenly spread over the table, as centres. */
static ml_status set_start(job *j)
{
    const size_t k = number_of(&j->words, "start_rows", 0);
    ml_dataset *all = NULL, *some = NULL;
    ml_model *from = NULL;
    size_t *rows;
    ml_status st;

    if (!k)
        return ML_OK;
    rows = malloc(k * sizeof *rows);
    for (size_t i = 0; rows && i < k; i++)
        rows[i] = i * (j->train.n / k);
    st = rows ? make_dataset(j, &j->train, 0, &all) : ML_E_MEMORY;
    if (st == ML_OK)
        st = ml_dataset_subset(all, rows, k, &some);
    if (st == ML_OK)
        st = ml_model_clone(j->model, &from);
    if (st == ML_OK)
        st = ml_model_set_text(from, "init", "random"); /* all of the rows, in their order */
    if (st == ML_OK)
        st = ml_model_fit(from, some, NULL);
    if (st == ML_OK)
        st = ml_model_start_from(j->model, from);
    ml_model_free(from);
    ml_dataset_free(some);
    ml_dataset_free(all);
    free(rows);
    return st;
}

/* ---- what is timed ---- */

static int32_t count_steps(void *user, const ml_progress *progress)
{
    *(uint64_t *)user = progress->done;
    return 0;
}

/* The first fit, a warm-up, also learns how many steps there are. */
static ml_status fit_once(job *j)
{
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = count_steps, .monitor_user = &j->n_steps};
    ml_dataset *data = NULL;
    ml_status st = make_dataset(j, &j->train, 1, &data);

    if (st == ML_OK)
        st = ml_model_fit(j->model, data, j->n_steps ? NULL : &options);
    ml_dataset_free(data);
    return st;
}

static ml_status run_fit(job *j, size_t loops)
{
    ml_status st = ML_OK;

    for (size_t i = 0; i < loops && st == ML_OK; i++)
        st = fit_once(j);
    return st;
}

static ml_status run_predict(job *j, size_t loops)
{
    ml_status st = ML_OK;

    for (size_t i = 0; i < loops && st == ML_OK; i++) {
        ml_dataset *data = NULL;
        st = make_dataset(j, &j->test, 0, &data);
        if (st == ML_OK)
            st = ml_model_predict(j->model, data, j->out, j->test.n);
        ml_dataset_free(data);
    }
    return st;
}

/* One of those who ask for single rows of one model at the same time. */
typedef struct {
    const job *job;
    const double *x; /* [n_values] */
    size_t loops, n_values, first;
    ml_status st;
} caller;

/* One row after the other, as they come to an application: numbers in, probabilities out. */
static void *call_rows(void *argument)
{
    caller *c = argument;
    const job *j = c->job;
    const size_t width = ml_model_width(j->model, ML_PREDICT_PROBA), n_scratch = ml_model_scratch_size(j->model);
    double *out = malloc(width * sizeof *out), *scratch = malloc(n_scratch + 1);

    c->st = out && scratch ? ML_OK : ML_E_MEMORY;
    for (size_t i = 0, at = c->first; i < c->loops && c->st == ML_OK; i++) {
        c->st = ml_model_predict_row(j->model, ML_PREDICT_PROBA, c->x + at, j->d, out, width, scratch, n_scratch);
        at = at + j->d < c->n_values ? at + j->d : 0;
    }
    free(out);
    free(scratch);
    return NULL;
}

/* Seconds until all have their rows, per row of one of them. */
static ml_status run_row(job *j, size_t loops)
{
    const size_t n_callers = number_of(&j->words, "callers", 1), n_values = j->d * j->test.n;
    double *x = malloc(n_values * sizeof *x), start;
    pthread_t threads[MAX_CALLERS];
    caller callers[MAX_CALLERS];
    size_t n_started = 0;
    ml_status st = x && n_callers >= 1 && n_callers <= MAX_CALLERS ? ML_OK : ML_E_MEMORY;

    for (size_t i = 0; x && i < n_values; i++)
        x[i] = value_at(j, &j->test, i);
    start = seconds();
    for (size_t c = 0; c < n_callers && st == ML_OK; c++) {
        callers[c] = (caller){j, x, loops, n_values, c * j->test.n / n_callers * j->d, ML_OK};
        if (c + 1 == n_callers)
            (void)call_rows(&callers[c]);
        else if (pthread_create(&threads[c], NULL, call_rows, &callers[c]))
            st = ML_E_MEMORY;
        else
            n_started++;
    }
    for (size_t c = 0; c < n_started; c++)
        pthread_join(threads[c], NULL);
    for (size_t c = 0; c < n_callers && st == ML_OK; c++)
        st = callers[c].st;
    if (st == ML_OK)
        printf("seconds=%.9g\n", (seconds() - start) / (double)loops);
    free(x);
    return st;
}

/* Accuracy, all averages of P, R and F, the same of each class, and the confusion matrix. x holds the predictions. */
static ml_status run_metrics(job *j, size_t loops)
{
    const size_t K = j->n_classes;
    ml_classification_metrics m = {.struct_size = sizeof m};
    ml_prf per_class[MAX_CLASSES];
    ml_status st = K <= MAX_CLASSES ? ML_OK : ML_E_LIMIT;

    for (size_t i = 0; i < loops && st == ML_OK; i++) {
        st = ml_metrics_classification(j->context, j->train.y, j->train.x, j->train.n, K, NULL, &m, per_class);
        if (st == ML_OK)
            st = ml_metrics_confusion(j->train.y, j->train.x, NULL, j->train.n, K, j->out);
    }
    j->score = m.micro.f_score;
    return st;
}

static ml_status run_csv(job *j, size_t loops)
{
    ml_status st = ML_OK;

    for (size_t i = 0; i < loops && st == ML_OK; i++) {
        ml_dataset *data = NULL;
        st = ml_dataset_from_csv(j->context, text_of(&j->words, "csv", ""), NULL, &data);
        j->score = 0;
        if (st == ML_OK && i + 1 == loops)
            for (size_t r = 0; r < ml_dataset_n_rows(data) && st == ML_OK; r += ml_dataset_n_rows(data) / 100 + 1) {
                st = ml_dataset_row(data, r, j->out, j->d);
                for (size_t c = 0; c < j->d; c++)
                    j->score += j->out[c];
            }
        ml_dataset_free(data);
    }
    return st;
}

/* ---- commands ---- */

static void answer_failure(const char *key, ml_status st)
{
    printf("%s=%s\n", key, *ml_last_error() ? ml_last_error() : ml_status_text(st));
}

static void do_prepare(job *j, const char *line)
{
    static const struct {
        const char *verb;
        ml_status (*run)(job *, size_t);
    } VERBS[] = {
        {"fit", run_fit}, {"predict", run_predict}, {"row", run_row}, {"metrics", run_metrics}, {"csv", run_csv}};
    ml_context_options c = {.struct_size = sizeof c};
    const char *verb, *kernels;
    ml_status st;

    job_clear(j);
    words_parse(&j->words, line);
    verb = text_of(&j->words, "verb", "");
    kernels = text_of(&j->words, "kernels", NULL);
    for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
        if (!strcmp(verb, VERBS[i].verb))
            j->run = VERBS[i].run;
    j->d = number_of(&j->words, "d", 1);
    j->n_classes = number_of(&j->words, "classes", 0);
    j->n_outputs = number_of(&j->words, "outputs", 1);
    j->dtype = strcmp(text_of(&j->words, "dtype", "f8"), "f4") ? ML_FLOAT64 : ML_FLOAT32;
    c.n_threads = (uint32_t)number_of(&j->words, "threads", 1);
    if (kernels && !ml__kernels_limit(kernels)) {
        printf("missing=no kernels called %s here\n", kernels);
        return;
    }
    if (!j->run) {
        printf("missing=no such verb: %s\n", verb);
        return;
    }
    if (!table_read(j, "x", "y", "n", &j->train) || !table_read(j, "xt", "yt", "nt", &j->test))
        return;
    st = ml_context_create(&c, &j->context);
    if (st == ML_OK && text_of(&j->words, "kind", NULL) && make_model(j) != ML_OK) {
        answer_failure("missing", ML_E_UNSUPPORTED); /* no such kind or parameter */
        return;
    }
    if (st == ML_OK && j->model)
        st = set_start(j);
    if (st == ML_OK && (j->run == run_predict || j->run == run_row))
        st = fit_once(j);
    j->out = malloc((j->test.n + j->d + (j->n_classes + 1) * (j->n_classes + 1)) * sizeof *j->out);
    if (st == ML_OK && !j->out)
        st = ML_E_MEMORY;
    if (st == ML_OK)
        printf("ok=1\n");
    else
        answer_failure("error", st);
}

static void do_run(job *j, size_t loops)
{
    const double start = seconds();
    ml_status st;

    if (!j->run) {
        printf("error=nothing prepared\n");
        return;
    }
    st = j->run(j, loops);
    if (st != ML_OK)
        answer_failure("error", st);
    else if (j->run != run_row)
        printf("seconds=%.9g\n", (seconds() - start) / (double)loops);
}

/* Mean depth of the leaves that rows of the training set fall into, over all trees; 0 when the model has no trees. */
static double mean_depth(const job *j)
{
    const size_t step = j->train.n / DEPTH_ROWS + 1, n_trees = ml_model_tree_count(j->model);
    double sum = 0, n = 0;

    for (size_t t = 0; t < n_trees; t++)
        for (size_t r = 0; r < j->train.n; r += step, n++) {
            ml_tree_node node = {.struct_size = sizeof node};

            for (size_t i = 0; ml_model_tree_node(j->model, t, i, &node) == ML_OK && node.feature >= 0; sum++)
                i = (size_t)(value_at(j, &j->train, r * j->d + (size_t)node.feature) > node.threshold ? node.right
                                                                                                      : node.left);
        }
    return n > 0 ? sum / n : 0;
}

/* FNV-1a of the saved model: equal bits have equal hashes. */
static uint64_t model_hash(const ml_model *model)
{
    size_t n = 0;
    unsigned char *bytes;
    uint64_t hash = 14695981039346656037u;

    if (ml_model_save_memory(model, NULL, 0, &n) != ML_OK || !(bytes = malloc(n)))
        return 0;
    if (ml_model_save_memory(model, bytes, n, &n) == ML_OK)
        for (size_t i = 0; i < n; i++)
            hash = (hash ^ bytes[i]) * 1099511628211u;
    free(bytes);
    return hash;
}

/* Share of the variance that the components of a fitted pca explain. */
static double explained(const ml_model *model)
{
    ml_tensor ratio = {.struct_size = sizeof ratio};
    double sum = 0;

    if (ml_model_tensor(model, "explained_variance_ratio", &ratio) == ML_OK)
        for (uint64_t i = 0; i < ratio.shape[0]; i++)
            sum += ((const double *)ratio.data)[i];
    return sum;
}

/* The library's own memory first, because scoring needs some; then the score on the test set or what there is, times `scale`
 * where peers measure in other units. */
static void do_score(job *j)
{
    const table *t = j->test.x ? &j->test : &j->train;
    const uint64_t in_context = ml_context_memory_peak(j->context);
    ml_status st = ML_OK;

    if (j->model) {
        const char *path = text_of(&j->words, "model", NULL);
        ml_dataset *data = NULL;
        st = path ? ml_model_save(j->model, path) : ML_OK;
        if (st == ML_OK)
            st = make_dataset(j, t, 1, &data);
        if (st == ML_OK && !strcmp(text_of(&j->words, "metric", ""), "explained"))
            j->score = explained(j->model);
        else if (st == ML_OK)
            st = ml_model_score(j->model, data, text_of(&j->words, "metric", NULL), &j->score);
        ml_dataset_free(data);
    }
    if (st != ML_OK) {
        answer_failure("error", st);
        return;
    }
    j->score *= (double)number_of(&j->words, "scale", 1);
    printf("score=%.12g context_kb=%.0f", j->score, (double)in_context / 1024);
    if (j->model)
        printf(" steps=%llu depth=%.3f hash=%016llx", (unsigned long long)j->n_steps, mean_depth(j),
               (unsigned long long)model_hash(j->model));
    printf("\n");
}

static void do_constants(unsigned n_threads)
{
    const machine m = machine_measure(n_threads);

    printf("level=%s clock=%.4g flops32=%.4g flops64=%.4g one_flops32=%.4g one_flops64=%.4g bandwidth=%.4g build=%s\n",
           m.level, m.clock, m.flops32, m.flops64, m.one_flops32, m.one_flops64, m.bandwidth, ml_build_info());
}

int main(void)
{
    static job j;
    static char line[MAX_LINE];

    while (fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4)) {
        words o;
        words_parse(&o, line);
        if (!strncmp(line, "prepare", 7))
            do_prepare(&j, line);
        else if (!strncmp(line, "run", 3))
            do_run(&j, number_of(&o, "loops", 1));
        else if (!strncmp(line, "score", 5))
            do_score(&j);
        else if (!strncmp(line, "constants", 9))
            do_constants((unsigned)number_of(&o, "threads", 1));
        else if (!strncmp(line, "probe", 5))
            printf("hertz=%.6g\n", machine_probe((unsigned)number_of(&o, "threads", 1)));
        else
            printf("error=unknown command\n");
        fflush(stdout);
    }
    job_clear(&j);
    return 0;
}
