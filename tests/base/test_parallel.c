/* SPDX-License-Identifier: Apache-2.0 */
/* parallel_for: with threads of our own, on a host's executor, nested, shared, across a fork. */
#include "test.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/random.h"
#include "sanitizers.h"

static ml_context *threads(uint32_t n_threads)
{
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = n_threads};
    ml_context *context;

    CHECK_OK(ml_context_create(&options, &context));
    return context;
}

/* ---- tasks ---- */

enum { N_TASKS_MOST = 2000 };

typedef struct {
    atomic_int n_runs[N_TASKS_MOST];
    uint64_t result[N_TASKS_MOST];
} work;

static ml_status count_and_draw(void *argument, size_t index)
{
    work *w = argument;
    ml__rng rng = ml__rng_make(1, index);

    atomic_fetch_add(&w->n_runs[index], 1);
    for (int i = 0; i < 50; i++)
        w->result[index] += ml__rng_u64(&rng);
    return ML_OK;
}

/* Every task ran `n_runs` times and computed what it computes alone. */
static bool is_done(const work *w, size_t n_tasks, int n_runs)
{
    static work alone;

    for (size_t i = 0; i < N_TASKS_MOST; i++) {
        if (atomic_load(&w->n_runs[i]) != (i < n_tasks ? n_runs : 0))
            return false;
        if (i >= n_tasks)
            continue;
        alone.result[i] = 0;
        count_and_draw(&alone, i);
        if (w->result[i] != alone.result[i] * (uint64_t)n_runs)
            return false;
    }
    return true;
}

static ml_status fail_some(void *argument, size_t index)
{
    const size_t lowest = *(const size_t *)argument;

    if (index < lowest || (index - lowest) % 7)
        return ML_OK;
    return ml__fail(index == lowest ? ML_E_NUMERIC : ML_E_DATA, "task %zu failed", index);
}

static void check_lowest_failure(ml_context *context)
{
    char message[64];

    for (size_t lowest = 0; lowest < 100; lowest += 3) {
        snprintf(message, sizeof message, "task %zu failed", lowest);
        CHECK_FAILS(ml__parallel_for(context, 100, fail_some, &lowest), ML_E_NUMERIC, message);
        CHECK(!strcmp(ml_last_error(), message));
    }
}

/* ---- threads of our own ---- */

TEST(parallel, every_task_runs_once_for_any_number_of_threads)
{
    static const uint32_t n_threads[] = {0, 1, 2, 3, 7, 64};
    static const size_t n_tasks[] = {0, 1, 2, 3, 5, 100, N_TASKS_MOST};
    work *w = malloc(sizeof *w);

    for (size_t t = 0; t < 6; t++) {
        ml_context *context = threads(n_threads[t]);
        for (size_t i = 0; i < 7; i++) {
            memset(w, 0, sizeof *w);
            CHECK_OK(ml__parallel_for(context, n_tasks[i], count_and_draw, w));
            CHECK_MSG(is_done(w, n_tasks[i], 1), "%u threads, %zu tasks", n_threads[t], n_tasks[i]);
        }
        ml_context_free(context);
    }
    memset(w, 0, sizeof *w);
    CHECK_OK(ml__parallel_for(NULL, 10, count_and_draw, w));
    CHECK(is_done(w, 10, 1));
    free(w);
}

TEST(parallel, the_lowest_failure_is_reported)
{
    ml_context *context;

    check_lowest_failure(NULL);
    for (uint32_t n_threads = 1; n_threads <= 7; n_threads += 2) {
        context = threads(n_threads);
        check_lowest_failure(context);
        ml_context_free(context);
    }
}

static ml_status count_and_fail(void *argument, size_t index)
{
    count_and_draw(argument, index);
    return ml__fail(ML_E_LIMIT, "%zu", index);
}

TEST(parallel, all_tasks_run_even_when_each_fails)
{
    work *w = malloc(sizeof *w);

    for (uint32_t n_threads = 1; n_threads <= 4; n_threads++) {
        ml_context *context = threads(n_threads);
        memset(w, 0, sizeof *w);
        CHECK_FAILS(ml__parallel_for(context, 500, count_and_fail, w), ML_E_LIMIT, "0");
        CHECK(is_done(w, 500, 1));
        ml_context_free(context);
    }
    free(w);
}

TEST(parallel, a_thousand_calls)
{
    ml_context *context = threads(3);
    work *w = calloc(1, sizeof *w);

    for (int call = 0; call < 1000; call++)
        CHECK_OK(ml__parallel_for(context, 5, count_and_draw, w));
    CHECK(is_done(w, 5, 1000));
    free(w);
    ml_context_free(context);
}

TEST(parallel, workers_that_fell_asleep_come_back)
{
    for (uint32_t n_threads = 2; n_threads <= 5; n_threads++) {
        ml_context *context = threads(n_threads);
        work *w = calloc(1, sizeof *w);
        for (int call = 0; call < 20; call++) {
            nanosleep(&(struct timespec){0, 1000000}, NULL);
            CHECK_OK(ml__parallel_for(context, 1 + (size_t)call, count_and_draw, w));
        }
        for (size_t i = 0; i < 20; i++)
            CHECK(w->n_runs[i] == 20 - (int)i);
        free(w);
        ml_context_free(context);
    }
}

/* Every task waits until all have begun: on fewer threads none would end. */
typedef struct {
    atomic_int n_begun;
    int n_tasks;
    time_t deadline;
} meeting;

static ml_status meet(void *argument, size_t index)
{
    meeting *m = argument;

    (void)index;
    atomic_fetch_add(&m->n_begun, 1);
    while (atomic_load(&m->n_begun) < m->n_tasks)
        if (time(NULL) > m->deadline)
            return ml__fail(ML_E_BUSY, "nobody came");
        else
            sched_yield();
    return ML_OK;
}

TEST(parallel, tasks_run_at_the_same_time)
{
    for (int n_threads = 2; n_threads <= 5; n_threads++) {
        ml_context *context = threads((uint32_t)n_threads);
        for (int i = 0; i < 50; i++) {
            meeting m = {.n_tasks = n_threads, .deadline = time(NULL) + 60};
            if (i % 5 == 0) /* from sleep */
                nanosleep(&(struct timespec){0, 1000000}, NULL);
            CHECK_OK(ml__parallel_for(context, (size_t)n_threads, meet, &m));
        }
        ml_context_free(context);
    }
}

typedef struct {
    pthread_t caller;
    atomic_int n_elsewhere, n_open; /* tasks on other threads; signals not blocked there */
    meeting meeting;
} place;

static ml_status look_around(void *argument, size_t index)
{
    place *p = argument;
    sigset_t blocked;

    if (!pthread_equal(pthread_self(), p->caller)) {
        atomic_fetch_add(&p->n_elsewhere, 1);
        pthread_sigmask(SIG_BLOCK, NULL, &blocked);
        for (int s = 1; s < 32; s++)
            if (s != SIGKILL && s != SIGSTOP)
                atomic_fetch_add(&p->n_open, !sigismember(&blocked, s));
    }
    return index < 2 ? meet(&p->meeting, index) : ML_OK;
}

TEST(parallel, signals_go_to_the_threads_of_the_host)
{
    place p = {.caller = pthread_self(), .meeting = {.n_tasks = 2, .deadline = time(NULL) + 60}};
    ml_context *context = threads(2);
    sigset_t before, after;

    pthread_sigmask(SIG_BLOCK, NULL, &before);
    CHECK_OK(ml__parallel_for(context, 2, look_around, &p));
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    CHECK(p.n_elsewhere == 1 && p.n_open == 0);
    for (int s = 1; s < 32; s++)
        CHECK(sigismember(&before, s) == sigismember(&after, s));
    ml_context_free(context);
}

static pthread_t host_thread;
static atomic_int n_signals, n_signals_elsewhere;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(pthread_equal(pthread_self(), host_thread) ? &n_signals : &n_signals_elsewhere, 1);
}

/* Signals for the process, sent by every thread that works. */
static ml_status signal_process(void *argument, size_t index)
{
    const ml_status st = meet(argument, index);

    kill(getpid(), index % 2 ? SIGUSR1 : SIGPROF);
    return st;
}

TEST(parallel, signals_for_the_process_never_reach_a_worker)
{
    struct sigaction action = {.sa_handler = on_signal}, before_usr1, before_prof;
    ml_context *context = threads(3);

    host_thread = pthread_self();
    atomic_store(&n_signals, 0);
    atomic_store(&n_signals_elsewhere, 0);
    sigaction(SIGUSR1, &action, &before_usr1);
    sigaction(SIGPROF, &action, &before_prof);
    for (int i = 0; i < 200; i++) {
        meeting m = {.n_tasks = 3, .deadline = time(NULL) + 60};
        CHECK_OK(ml__parallel_for(context, 3, signal_process, &m));
    }
    sigaction(SIGUSR1, &before_usr1, NULL);
    sigaction(SIGPROF, &before_prof, NULL);
    CHECK_MSG(n_signals >= 200 && n_signals_elsewhere == 0, "%d signals, %d of them in workers",
              n_signals + n_signals_elsewhere, n_signals_elsewhere);
    ml_context_free(context);
}

static ml_status stay(void *argument, size_t index)
{
    place *p = argument;

    (void)index;
    atomic_fetch_add(&p->n_elsewhere, !pthread_equal(pthread_self(), p->caller));
    return ML_OK;
}

TEST(parallel, one_thread_or_one_task_stays_with_the_caller)
{
    place p = {.caller = pthread_self()};
    ml_context *one = threads(1), *four = threads(4);

    CHECK_OK(ml__parallel_for(NULL, 100, stay, &p));
    CHECK_OK(ml__parallel_for(one, 100, stay, &p));
    CHECK_OK(ml__parallel_for(four, 1, stay, &p));
    CHECK(p.n_elsewhere == 0);
    ml_context_free(one);
    ml_context_free(four);
}

TEST(parallel, little_work_stays_with_the_caller)
{
    place p = {.caller = pthread_self()};
    meeting m = {.n_tasks = 2, .deadline = time(NULL) + 60};
    ml_context *context = threads(2);

    CHECK_OK(ml__parallel_for_cost(context, 1000, 29, stay, &p));
    CHECK_OK(ml__parallel_for_cost(NULL, 1000, 1e9, stay, &p));
    CHECK(p.n_elsewhere == 0);
    CHECK_OK(ml__parallel_for_cost(context, 2, 15000, meet, &m));
    CHECK_FAILS(ml__parallel_for_cost(context, 100, 1, fail_some, &(size_t){3}), ML_E_NUMERIC, "task 3 failed");
    ml_context_free(context);
}

/* ---- floating-point state ---- */

static bool rounds_upward(void)
{
    volatile double one = 1, three = 3, quotient;

    quotient = one / three;
    return quotient > 1.0 / 3;
}

typedef struct {
    pthread_t caller;
    meeting meeting;
    atomic_int n_upward; /* tasks on other threads that round upward */
} rounding;

static ml_status look_at_rounding(void *argument, size_t index)
{
    rounding *r = argument;

    if (!pthread_equal(pthread_self(), r->caller))
        atomic_fetch_add(&r->n_upward, rounds_upward());
    return index < 2 ? meet(&r->meeting, index) : ML_OK;
}

TEST(parallel_state, workers_are_in_the_default_state_whoever_starts_them)
{
    rounding r = {.caller = pthread_self(), .meeting = {.n_tasks = 2, .deadline = time(NULL) + 60}};
    ml_context *context = threads(2);
    bool after;

    fesetround(FE_UPWARD);
    const ml_status st = ml__parallel_for(context, 50, look_at_rounding, &r);
    after = rounds_upward();
    fesetround(FE_TONEAREST);
    CHECK_OK(st);
    CHECK(after && r.n_upward == 0);
    ml_context_free(context);
}

/* ---- nested ---- */

enum { N_OUTER = 20, N_INNER = 10 };

typedef struct {
    ml_context *context;
    atomic_int n_runs[N_OUTER][N_INNER];
    atomic_int n_elsewhere;
} nest;

typedef struct {
    nest *nest;
    size_t outer;
    pthread_t caller;
} inner_argument;

static ml_status inner(void *argument, size_t index)
{
    const inner_argument *a = argument;

    atomic_fetch_add(&a->nest->n_runs[a->outer][index], 1);
    atomic_fetch_add(&a->nest->n_elsewhere, !pthread_equal(pthread_self(), a->caller));
    return a->outer >= 5 && index >= 3 ? ml__fail(ML_E_DATA, "inner %zu", index) : ML_OK;
}

static ml_status outer(void *argument, size_t index)
{
    nest *n = argument;
    inner_argument a = {n, index, pthread_self()};
    const ml_status st = ml__parallel_for(n->context, N_INNER, inner, &a);

    return st == ML_OK ? ML_OK : ml__blame(st, "outer %zu: ", index);
}

static void check_nested(ml_context *context)
{
    nest n = {.context = context};

    CHECK_FAILS(ml__parallel_for(context, N_OUTER, outer, &n), ML_E_DATA, "outer 5: inner 3");
    CHECK(!strcmp(ml_last_error(), "outer 5: inner 3"));
    for (int i = 0; i < N_OUTER; i++)
        for (int j = 0; j < N_INNER; j++)
            CHECK(n.n_runs[i][j] == 1);
    CHECK(n.n_elsewhere == 0);
}

TEST(parallel, nested_calls_stay_on_their_thread)
{
    for (uint32_t n_threads = 1; n_threads <= 7; n_threads += 3) {
        ml_context *context = threads(n_threads);
        check_nested(context);
        ml_context_free(context);
    }
}

static ml_status meet_inside(void *argument, size_t index)
{
    meeting m = {.n_tasks = 2, .deadline = time(NULL) + 60};

    (void)index;
    return ml__parallel_for(argument, 2, meet, &m);
}

TEST(parallel, a_single_task_leaves_the_threads_to_those_inside_it)
{
    ml_context *context = threads(2);

    CHECK_OK(ml__parallel_for(context, 1, meet_inside, context));
    ml_context_free(context);
}

/* ---- several callers ---- */

typedef struct {
    ml_context *context;
    bool is_good;
} caller;

static void *call_often(void *argument)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* is_done has a static table */
    caller *c = argument;
    work *w = calloc(1, sizeof *w);

    c->is_good = true;
    for (int call = 0; call < 300; call++) {
        size_t lowest = (size_t)call % 20;
        c->is_good = c->is_good && ml__parallel_for(c->context, 20, count_and_draw, w) == ML_OK;
        c->is_good = c->is_good && ml__parallel_for(c->context, 20, fail_some, &lowest) == ML_E_NUMERIC;
    }
    pthread_mutex_lock(&one_at_a_time);
    c->is_good = c->is_good && is_done(w, 20, 300);
    pthread_mutex_unlock(&one_at_a_time);
    free(w);
    return NULL;
}

static void check_callers(ml_context *context)
{
    enum { N_CALLERS = 4 };
    pthread_t thread[N_CALLERS];
    caller callers[N_CALLERS];

    for (int i = 0; i < N_CALLERS; i++) {
        callers[i].context = context;
        CHECK(pthread_create(&thread[i], NULL, call_often, &callers[i]) == 0);
    }
    for (int i = 0; i < N_CALLERS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (int i = 0; i < N_CALLERS; i++)
        CHECK(callers[i].is_good);
}

TEST(parallel, several_threads_share_a_context)
{
    ml_context *context = threads(3);

    check_callers(context);
    ml_context_free(context);
}

/* ---- the host's executor ---- */

typedef void (*host_task)(void *argument, size_t index);

static int32_t run_forward(void *user, size_t n_tasks, host_task task, void *argument)
{
    (void)user;
    for (size_t i = 0; i < n_tasks; i++)
        task(argument, i);
    return 0;
}

static int32_t run_backward(void *user, size_t n_tasks, host_task task, void *argument)
{
    (void)user;
    for (size_t i = n_tasks; i-- > 0;)
        task(argument, i);
    return 0;
}

typedef struct {
    size_t first, step, n_tasks;
    host_task task;
    void *argument;
} share;

static void *run_share(void *argument)
{
    const share *s = argument;

    for (size_t i = s->first; i < s->n_tasks; i += s->step)
        s->task(s->argument, i);
    return NULL;
}

static int32_t run_on_threads(void *user, size_t n_tasks, host_task task, void *argument)
{
    enum { N_THREADS = 3 };
    pthread_t thread[N_THREADS];
    share shares[N_THREADS];
    int32_t code = 0;

    (void)user;
    for (size_t t = 0; t < N_THREADS; t++) {
        shares[t] = (share){t, N_THREADS, n_tasks, task, argument};
        code |= pthread_create(&thread[t], NULL, run_share, &shares[t]);
    }
    for (size_t t = 0; t < N_THREADS; t++)
        code |= pthread_join(thread[t], NULL);
    return code;
}

static int32_t drop_one(void *user, size_t n_tasks, host_task task, void *argument)
{
    for (size_t i = 0; i < n_tasks; i++)
        if (i != *(const size_t *)user)
            task(argument, i);
    return 0;
}

static int32_t repeat_one(void *user, size_t n_tasks, host_task task, void *argument)
{
    run_forward(NULL, n_tasks, task, argument);
    task(argument, *(const size_t *)user);
    return 0;
}

static int32_t give_up(void *user, size_t n_tasks, host_task task, void *argument)
{
    run_forward(NULL, n_tasks / 2, task, argument);
    return *(const int32_t *)user;
}

static ml_context *executor(int32_t (*run)(void *, size_t, host_task, void *), void *user, test_allocator *allocator)
{
    ml_context *context = test_context(allocator, 3);

    ml__pool_free(context->pool);
    context->pool = NULL;
    context->options.executor = (ml_executor){run, user};
    return context;
}

TEST(executor, a_host_executor_is_used_and_owns_no_threads)
{
    const ml_context_options options = {
        .struct_size = sizeof options, .n_threads = 4, .executor = {run_backward, NULL}};
    ml_context *context;
    work *w = calloc(1, sizeof *w);

    CHECK_OK(ml_context_create(&options, &context));
    CHECK(!context->pool && ml__n_threads(context) == 4);
    CHECK_OK(ml__parallel_for(context, 100, count_and_draw, w));
    CHECK(is_done(w, 100, 1) && ml_context_memory(context) == 0);
    ml_context_free(context);
    free(w);
}

TEST(executor, host_executors_in_any_order)
{
    int32_t (*const runs[])(void *, size_t, host_task, void *) = {run_forward, run_backward, run_on_threads};
    work *w = malloc(sizeof *w);

    for (size_t r = 0; r < 3; r++) {
        test_allocator allocator = {0};
        ml_context *context = executor(runs[r], NULL, &allocator);
        memset(w, 0, sizeof *w);
        CHECK_OK(ml__parallel_for(context, 500, count_and_draw, w));
        CHECK(is_done(w, 500, 1));
        check_lowest_failure(context);
        check_nested(context);
        check_callers(context);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
    free(w);
}

typedef struct {
    int n_runs, n_kept; /* tasks after which the thread's rounding was what it had been */
} upward;

static int32_t run_upward(void *user, size_t n_tasks, host_task task, void *argument)
{
    upward *u = user;

    u->n_runs++;
    fesetround(FE_UPWARD);
    for (size_t i = 0; i < n_tasks; i++) {
        task(argument, i);
        u->n_kept += rounds_upward();
    }
    fesetround(FE_TONEAREST);
    return 0;
}

static ml_status want_nearest(void *argument, size_t index)
{
    (void)argument;
    return rounds_upward() ? ml__fail(ML_E_STATE, "task %zu", index) : ML_OK;
}

TEST(executor, threads_of_a_host_keep_their_floating_point_state)
{
    test_allocator allocator = {0};
    upward u = {0, 0};
    ml_context *context = executor(run_upward, &u, &allocator);

    CHECK_OK(ml__parallel_for(context, 10, want_nearest, NULL));
    CHECK(u.n_runs == 1 && u.n_kept == 10);
    CHECK_OK(ml__parallel_for_cost(context, 10, 1, want_nearest, NULL));
    CHECK(u.n_runs == 1); /* too little for the host */
    ml_context_free(context);
}

TEST(executor, a_host_executor_that_drops_a_task_is_found_out)
{
    static const size_t dropped[] = {0, 4, 9};
    work *w = malloc(sizeof *w);
    char message[64];

    for (size_t i = 0; i < 3; i++) {
        test_allocator allocator = {0};
        size_t which = dropped[i];
        ml_context *context = executor(drop_one, &which, &allocator);
        memset(w, 0, sizeof *w);
        snprintf(message, sizeof message, "the executor did not run task %zu of 10", which);
        CHECK_FAILS(ml__parallel_for(context, 10, count_and_draw, w), ML_E_EXECUTOR, message);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
    free(w);
}

TEST(executor, a_host_executor_that_repeats_a_task_is_found_out_and_does_no_harm)
{
    static const size_t repeated[] = {0, 9, 10, SIZE_MAX};
    work *w = malloc(sizeof *w);

    for (size_t i = 0; i < 4; i++) {
        test_allocator allocator = {0};
        size_t which = repeated[i];
        ml_context *context = executor(repeat_one, &which, &allocator);
        memset(w, 0, sizeof *w);
        CHECK_FAILS(ml__parallel_for(context, 10, count_and_draw, w), ML_E_EXECUTOR,
                    "the executor ran one of 10 tasks twice, or one beyond them");
        CHECK(is_done(w, 10, 1));
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
    free(w);
}

TEST(executor, what_a_host_executor_returns_is_reported)
{
    test_allocator allocator = {0};
    int32_t code = -17;
    ml_context *context = executor(give_up, &code, &allocator);
    work *w = calloc(1, sizeof *w);

    CHECK_FAILS(ml__parallel_for(context, 10, count_and_draw, w), ML_E_EXECUTOR, "the executor returned -17");
    allocator.fail_at = allocator.n_allocations + 1;
    CHECK_FAILS(ml__parallel_for(context, 10, count_and_draw, w), ML_E_MEMORY, "out of memory: ");
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    free(w);
}

/* ---- memory ---- */

TEST(parallel, threads_of_our_own_allocate_nothing)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 5);
    const size_t n_before = allocator.n_allocations;
    work *w = calloc(1, sizeof *w);

    allocator.fail_at = n_before + 1;
    allocator.fail_all_later = true;
    CHECK_OK(ml__parallel_for(context, 100, count_and_draw, w));
    CHECK(is_done(w, 100, 1) && allocator.n_allocations == n_before);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    free(w);
}

/* ---- fork ---- */

/* The thread sanitizer does not know that a forked child has none of its parent's threads. */
#if !HAS_THREAD_SANITIZER

/* 0 when a context of three threads works, in a child as here. Afterwards all threads have really begun: the sanitizers'
 * own locks, which a starting thread takes, are free when the next fork comes. */
static int use_all_threads(ml_context *context, bool ends)
{
    work *w = calloc(1, sizeof *w);
    meeting m = {.n_tasks = 3, .deadline = time(NULL) + 60};
    int code = 0;

    code |= ml__parallel_for(context, 50, count_and_draw, w) != ML_OK;
    code |= is_done(w, 50, 1) ? 0 : 2;
    code |= ml__parallel_for(context, 3, meet, &m) == ML_OK ? 0 : 4; /* has threads of its own */
    if (ends)
        ml_context_free(context);
    free(w);
    return code;
}

static void check_child(pid_t child)
{
    int status = -1;

    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status 0x%x", (unsigned)status);
}

TEST(parallel_fork, a_context_works_on_after_fork_in_child_and_parent)
{
    for (int has_threads = 0; has_threads < 2; has_threads++) {
        for (int ends = 0; ends < 2; ends++) {
            ml_context *context = threads(3);
            if (has_threads)
                CHECK(use_all_threads(context, false) == 0);
            const pid_t child = fork();
            if (child == 0)
                _exit(use_all_threads(context, ends));
            check_child(child);
            CHECK(use_all_threads(context, true) == 0);
        }
    }
}

typedef struct {
    ml_context *context;
    atomic_int n_begun;
    atomic_bool is_over;
} long_work;

static ml_status wait_until_over(void *argument, size_t index)
{
    long_work *l = argument;

    (void)index;
    atomic_fetch_add(&l->n_begun, 1);
    while (!atomic_load(&l->is_over))
        sched_yield();
    return ML_OK;
}

static void *start_long_work(void *argument)
{
    long_work *l = argument;
    return ml__parallel_for(l->context, 3, wait_until_over, l) == ML_OK ? NULL : argument;
}

TEST(parallel_fork, a_fork_while_another_thread_works)
{
    long_work l = {.context = threads(3)};
    pthread_t thread;
    void *failed;
    int status = -1;

    CHECK(pthread_create(&thread, NULL, start_long_work, &l) == 0);
    while (atomic_load(&l.n_begun) < 3)
        sched_yield();
    const pid_t child = fork();
    if (child == 0)
        _exit(use_all_threads(l.context, true));
    const pid_t ended = waitpid(child, &status, 0);
    atomic_store(&l.is_over, true);
    CHECK(pthread_join(thread, &failed) == 0 && !failed);
    CHECK_MSG(ended == child && status == 0, "the child ended with status 0x%x", (unsigned)status);
    CHECK(use_all_threads(l.context, true) == 0);
}

#endif

#if !HAS_SANITIZER /* which cannot go on without new memory */

static void *do_nothing(void *argument)
{
    return argument;
}

/* In a child that may have no more memory, so no stacks: 0 when the caller does all the work. */
static int use_without_threads(ml_context *context)
{
    const struct rlimit nothing = {0, 0};
    work *w = calloc(1, sizeof *w);
    pthread_t thread;

    if (setrlimit(RLIMIT_AS, &nothing) != 0 || ml__parallel_for(context, 500, count_and_draw, w) != ML_OK)
        return 1;
    if (!is_done(w, 500, 1))
        return 2;
    for (int i = 0; i < 100; i++) /* some stacks were kept from earlier threads */
        if (pthread_create(&thread, NULL, do_nothing, NULL) != 0)
            return 0;
    return 4;
}

TEST(parallel_fork, threads_that_cannot_be_started_are_done_without)
{
    ml_context *context = threads(200);
    const pid_t child = fork();

    if (child == 0)
        _exit(use_without_threads(context));
    check_child(child);
    ml_context_free(context);
}

#endif
