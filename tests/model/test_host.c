/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's process may be like: any floating-point state, forks in between. */
#ifdef __linux__
#define _GNU_SOURCE /* feenableexcept */
#endif
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixtures.h"
#include "sanitizers.h"
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

/* ---- floating-point state ---- */

enum { FLUSH = 1 << 15 | 1 << 6, N_STATES = 5 }; /* FTZ and DAZ of MXCSR */

/* A host's state number s; 0 is the default. */
static void set_state(int s)
{
    static const int ROUNDING[N_STATES] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO, FE_TONEAREST};

    fesetenv(FE_DFL_ENV);
    fesetround(ROUNDING[s]);
#ifdef __x86_64__
    if (s == 2 || s == 4)
        _mm_setcsr(_mm_getcsr() | FLUSH);
#endif
    if (s == 3)
        feraiseexcept(FE_INEXACT | FE_UNDERFLOW);
#ifdef __GLIBC__
    if (s == 4)
        feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
#endif
}

typedef struct {
    int rounding, flags, traps;
    unsigned control;
} state;

static state get_state(void)
{
    state s = {.rounding = fegetround(), .flags = fetestexcept(FE_ALL_EXCEPT)};

#ifdef __GLIBC__
    s.traps = fegetexcept();
#endif
#ifdef __x86_64__
    s.control = _mm_getcsr();
#endif
    return s;
}

static bool is_same(state a, state b)
{
    return a.rounding == b.rounding && a.flags == b.flags && a.traps == b.traps && a.control == b.control;
}

/* Something that is done in a host's state: what it computes, and whether the state was kept. */
typedef struct {
    const test_fixture *fixture;
    ml_context *context;
    const ml_dataset *data;
    ml_model *model;
    void *bytes;
    double *predictions, *row, score;
    size_t n_bytes, n_predictions;
} outcome;

/* The calls stand between set_state() and get_state(), the checks after. */
#define IN_STATE(s, call)                                                                                         \
    do {                                                                                                          \
        set_state(s);                                                                                             \
        const state before = get_state();                                                                         \
        const ml_status status = (call);                                                                          \
        const state after = get_state();                                                                          \
        set_state(0);                                                                                             \
        CHECK_MSG(status == ML_OK, "%s in state %d: %s", #call, s, ml_last_error());                              \
        CHECK_MSG(is_same(before, after), "%s in state %d leaves control %x flags %x instead of %x %x", #call, s, \
                  after.control, (unsigned)after.flags, before.control, (unsigned)before.flags);                  \
    } while (0)

static ml_status predict_rows(const ml_model *model, const ml_dataset *data, double *out)
{
    const size_t d = ml_dataset_n_features(data), width = ml_model_width(model, ML_PREDICT);
    double x[8];
    ml_status st = ML_OK;

    for (size_t i = 0; width && st == ML_OK && i < ml_dataset_n_rows(data); i++) {
        st = ml_dataset_row(data, i, x, d);
        if (st == ML_OK)
            st = ml_model_predict_row(model, ML_PREDICT, x, d, out + i * width, width, NULL, 0);
    }
    return st;
}

static void run(outcome *o, int s)
{
    ml_model *loaded;

    o->model = test_fixture_model(o->context, o->fixture);
    IN_STATE(s, ml_model_fit(o->model, o->data, NULL));
    o->bytes = test_saved(o->model, &o->n_bytes);
    IN_STATE(s, ml_model_load_memory(o->context, o->bytes, o->n_bytes, NULL, &loaded));
    o->n_predictions = ml_dataset_n_rows(o->data) * ml_model_width(loaded, ML_PREDICT);
    o->predictions = calloc(o->n_predictions + 1, sizeof *o->predictions);
    o->row = calloc(o->n_predictions + 1, sizeof *o->row);
    if (o->n_predictions) {
        IN_STATE(s, ml_model_predict(loaded, o->data, o->predictions, o->n_predictions));
        IN_STATE(s, predict_rows(loaded, o->data, o->row));
        if (test_fixture_row_tolerance(o->fixture) == 0)
            CHECK_SAME_BYTES(o->row, o->n_predictions * sizeof *o->row, o->predictions,
                             o->n_predictions * sizeof *o->predictions);
    }
    if (o->n_predictions && ml_dataset_n_outputs(o->data))
        IN_STATE(s, ml_model_score(loaded, o->data, NULL, &o->score));
    ml_model_free(loaded);
}

static void release(outcome *o)
{
    ml_model_free(o->model);
    free(o->bytes);
    free(o->predictions);
    free(o->row);
}

static void check_fixture(const test_fixture *f, uint32_t n_threads)
{
    test_allocator a = {0};
    ml_context *context = test_context(&a, n_threads);
    ml_dataset *data = test_fixture_data(context, f, 0);
    outcome standard = {.fixture = f, .context = context, .data = data};

    run(&standard, 0);
    for (int s = 1; s < N_STATES; s++) {
        outcome o = {.fixture = f, .context = context, .data = data};
        run(&o, s);
        CHECK_MSG(o.n_bytes == standard.n_bytes && !memcmp(o.bytes, standard.bytes, o.n_bytes),
                  "%s: state %d gives another model", f->name, s);
        CHECK_MSG(!memcmp(o.predictions, standard.predictions, o.n_predictions * sizeof *o.predictions),
                  "%s: state %d gives other predictions", f->name, s);
        CHECK_MSG(!memcmp(o.row, standard.row, o.n_predictions * sizeof *o.row),
                  "%s: state %d gives other predictions of single rows", f->name, s);
        CHECK_MSG(o.score == standard.score, "%s: state %d gives another score", f->name, s);
        release(&o);
    }
    release(&standard);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(a.n_live == 0);
}

TEST(host, its_floating_point_state_neither_shows_nor_changes)
{
    for (const test_fixture *f = TEST_FIXTURES; f < TEST_FIXTURES + N_TEST_FIXTURES; f++) {
        check_fixture(f, 1);
        check_fixture(f, 3);
    }
}

/* Data, cross-validation and metrics, and calls that fail. */
TEST(host, its_floating_point_state_does_not_show_in_data_and_scores)
{
    const ml_csv_options csv = {.struct_size = sizeof csv};
    const double cells[] = {NAN, 1e-310, 3, -1}, targets[] = {NAN, 1};
    const char *text = "a,b\n0.1,1e-310\n12345.6789,-3e22\n7e-5,1\n";
    double scores[N_STATES][5], values[N_STATES][6], losses[N_STATES];
    ml_model *forest;

    CHECK_OK(ml_model_create(NULL, "decision_tree", &forest));
    for (int s = 0; s < N_STATES; s++) {
        const double labels[] = {0, 1, 1}, proba[] = {0.7, 0.3, 0.1, 0.9, 0.6, 0.4};
        const ml_cv_options folds = {.struct_size = sizeof folds, .n_folds = 5};
        ml_dataset *made, *train, *test, *read, *matrix;
        ml_model *unfitted = forest;
        double out[1];

        IN_STATE(s, ml_dataset_make(NULL, "classification", "n_samples=200,n_features=6,n_informative=3", &made));
        IN_STATE(s, ml_dataset_split(made, 0.1, 1, ML_STRATIFY, &train, &test));
        CHECK(ml_dataset_n_rows(test) == 20);
        IN_STATE(s, ml_cross_validate(forest, made, NULL, &folds, scores[s], 5));
        IN_STATE(s, ml_dataset_from_csv_memory(NULL, text, strlen(text), NULL, &csv, &read));
        IN_STATE(s, ml_metrics_log_loss(labels, proba, NULL, 3, 2, &losses[s]));
        IN_STATE(s, ml_dataset_from_matrix(NULL, cells, ML_FLOAT64, 2, 2, 0, 0, ML_COPY, &matrix));
        IN_STATE(s, ml_dataset_set_targets(matrix, "y", targets, 2));
        IN_STATE(s, ml_dataset_set_weights(matrix, &cells[1], 2));
        IN_STATE(s, ml_model_set_text(forest, "min_impurity_decrease", "1e-310"));
        set_state(s);
        const state before = get_state();
        const ml_status status = ml_model_predict(unfitted, made, out, 1);
        const state after = get_state();
        set_state(0);
        CHECK(status == ML_E_STATE && is_same(before, after));
        for (size_t i = 0; i < 3; i++)
            CHECK_OK(ml_dataset_row(read, i, values[s] + 2 * i, 2));
        CHECK_SAME_BYTES(values[s], sizeof values[s], values[0], sizeof values[0]);
        CHECK_SAME_BYTES(scores[s], sizeof scores[s], scores[0], sizeof scores[0]);
        CHECK(losses[s] == losses[0]);
        ml_dataset_free(made);
        ml_dataset_free(train);
        ml_dataset_free(test);
        ml_dataset_free(read);
        ml_dataset_free(matrix);
    }
    CHECK(values[0][0] == 0.1 && values[0][1] == 1e-310 && values[0][3] == -3e22);
    ml_model_free(forest);
}

/* ---- forks ---- */

#if !HAS_THREAD_SANITIZER /* it does not know that a forked child has none of its parent's threads */

enum { N_ROUNDS = 30 };

typedef struct {
    ml_context *context;
    const ml_dataset *data;
    const void *bytes;
    size_t n_bytes;
} training;

/* 0 when a fit learns what it always does. */
static int train(const training *t)
{
    ml_model *model;
    size_t n_bytes;
    void *bytes;
    int code = 1;

    if (ml_model_create(t->context, "random_forest", &model) != ML_OK)
        return 2;
    if (ml_model_set_int(model, "n_estimators", 8) == ML_OK && ml_model_fit(model, t->data, NULL) == ML_OK) {
        bytes = test_saved(model, &n_bytes);
        code = t->bytes && (n_bytes != t->n_bytes || memcmp(bytes, t->bytes, n_bytes)) ? 4 : 0;
        free(bytes);
    }
    ml_model_free(model);
    return code;
}

static int wait_for(pid_t child)
{
    int status = -1;

    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static training start(uint32_t n_threads)
{
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = n_threads};
    training t = {.n_bytes = 0};
    ml_model *model;
    ml_dataset *data;

    CHECK_OK(ml_context_create(&options, &t.context));
    CHECK_OK(ml_dataset_make(t.context, "classification", "n_samples=100,n_features=5,n_informative=3", &data));
    CHECK_OK(ml_model_create(t.context, "random_forest", &model));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 8));
    CHECK_OK(ml_model_fit(model, data, NULL));
    t.bytes = test_saved(model, &t.n_bytes);
    t.data = data;
    ml_model_free(model);
    return t;
}

static void end(training *t)
{
    free((void *)t->bytes);
    ml_dataset_free((ml_dataset *)t->data);
    ml_context_free(t->context);
}

/* In a child: a fit, the same in a child of its own, and another. */
static int train_and_fork(const training *t)
{
    const int before = train(t);
    const pid_t child = fork();

    if (child == 0)
        _exit(train(t));
    return before || wait_for(child) || train(t);
}

TEST(host, may_fork_between_fits)
{
    training t = start(3);

    for (int round = 0; round < N_ROUNDS; round++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(train_and_fork(&t));
        }
        const int here = train(&t), there = wait_for(child); /* at the same time */
        CHECK_MSG(here == 0 && there == 0, "round %d: %d here, status 0x%x there", round, here, (unsigned)there);
    }
    end(&t);
}

#if !HAS_SANITIZER /* whose own locks another thread may hold when the fork comes */

typedef struct {
    const training *training;
    atomic_bool is_over;
    int code;
    atomic_int n_fits;
} background;

static void *train_on_and_on(void *argument)
{
    background *b = argument;

    while (!atomic_load(&b->is_over)) {
        b->code |= train(b->training);
        atomic_fetch_add(&b->n_fits, 1);
    }
    return NULL;
}

TEST(host, may_fork_while_another_thread_fits)
{
    training t = start(3);
    background b = {.training = &t};
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, train_on_and_on, &b) == 0);
    int status = 0;
    for (int round = 0; round < N_ROUNDS && status == 0; round++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(train(&t));
        }
        status = wait_for(child);
    }
    atomic_store(&b.is_over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_MSG(status == 0, "a child ended with status 0x%x", (unsigned)status);
    CHECK(b.code == 0 && b.n_fits > 0);
    end(&t);
}

#endif
#endif
