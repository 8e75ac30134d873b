/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parallel_for.
 *
 * A job is n tasks. Its owner, the thread that asked for it, hangs it into the pool; owner and workers then claim tasks by
 * counting `n_left` down, and what was done counts `n_unreported` down. The owner returns when that is 0. So completion is
 * counted in tasks, not in threads: a worker that sleeps, wakes late or waits for a processor holds no task and keeps
 * nobody waiting.
 *
 * Why a worker never touches a job that is over, although jobs lie on their owners' stacks: a task is claimed before
 * pool->job is read, and reported after the last use of the job. In between n_unreported is not 0, so the owner is still
 * there, and the job in the pool is the one that the task belongs to. Nothing else in the pool refers to a job.
 *
 * Between jobs a worker looks at n_left for some tens of microseconds, then it sleeps; the owner waits for the last tasks
 * in the same way. Looking is for those who have a processor each: with more threads than processors they sleep at once.
 * The counters are atomic, but all data passes from owner to worker and back through the pool's lock, which a worker takes
 * for its first task of a job and for its report. It is held for a few instructions.
 *
 * One job at a time has the pool; whoever finds it taken works alone. The pool is marked with the process that uses it:
 * after a fork the mark, the lock and the threads are the parent's, and the child sets the pool up anew.
 */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/processor.h"

enum {
    LEAST_NANOSECONDS = 30000, /* of work that is handed out: a worker that sleeps comes after 5 to 30 microseconds */
    SPIN_PAUSES = 2000,        /* of some ten nanoseconds: about what it takes to fall asleep and wake up */
    YIELD_PAUSES = 32          /* of these, the last lets others have the processor */
};

typedef struct {
    ml__task task;
    void *argument;
    size_t n_tasks;

    pthread_mutex_t lock; /* guards what follows */
    ml_status status;     /* of the failed task with the lowest index */
    size_t failed;
    char message[ML__MESSAGE_BYTES];

    atomic_bool *is_taken; /* host executor only: [n_tasks] */
    atomic_bool is_misused;
} job;

struct ml__pool {
    ml_allocator allocator;
    uint32_t n_workers;
    atomic_long user;  /* process whose caller has the pool, 0: none */
    atomic_long owner; /* process that the threads belong to */
    uint32_t n_pauses; /* before sleeping */

    alignas(64) atomic_size_t n_left;       /* tasks that nobody has claimed */
    alignas(64) atomic_size_t n_unreported; /* tasks that are not known to be done */

    alignas(64) pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake, idle;
    job *job;
    uint32_t n_started, n_asleep;
    bool stop;

    pthread_t threads[]; /* [n_workers] */
};

/* Set while this thread runs a task that others may run beside it. */
static _Thread_local bool is_in_task;

/* ---- a job ---- */

static void run_task(job *j, size_t index)
{
    const ml_status st = j->task(j->argument, index);

    if (st == ML_OK)
        return;
    pthread_mutex_lock(&j->lock);
    if (j->status == ML_OK || index < j->failed) {
        j->status = st;
        j->failed = index;
        memcpy(j->message, ml_last_error(), strlen(ml_last_error()) + 1);
    }
    pthread_mutex_unlock(&j->lock);
}

static void run_all(job *j)
{
    for (size_t i = 0; i < j->n_tasks; i++)
        run_task(j, i);
}

static ml_status job_status(const job *j)
{
    if (j->status != ML_OK)
        ml__set_error(j->message);
    return j->status;
}

/* ---- threads of our own ---- */

/* Pause number i. On a busy machine the thread that is waited for may be the one that waits for this processor. */
static void rest(uint32_t i)
{
    if (i % YIELD_PAUSES == YIELD_PAUSES - 1)
        sched_yield();
    else
        ml__pause();
}

/* True as soon as a counter is 0, or is not; false when it is time to sleep. */
static bool spin_until(const ml__pool *pool, atomic_size_t *counter, bool zero)
{
    for (uint32_t i = 0; i < pool->n_pauses; i++) {
        if ((atomic_load(counter) == 0) == zero)
            return true;
        rest(i);
    }
    return false;
}

/* Whoever holds the lock is about to give it back: going to sleep for it would take longer. */
static void lock_pool(ml__pool *pool)
{
    for (uint32_t i = 0; i < pool->n_pauses; i++) {
        if (pthread_mutex_trylock(&pool->lock) == 0)
            return;
        rest(i);
    }
    pthread_mutex_lock(&pool->lock);
}

/* One more task: the one with *n_left tasks from it to the end. */
static bool claim(ml__pool *pool, size_t *n_left)
{
    *n_left = atomic_load(&pool->n_left);
    while (*n_left && !atomic_compare_exchange_weak(&pool->n_left, n_left, *n_left - 1))
        ;
    return *n_left != 0;
}

/* The task that was claimed and all that can be claimed after it: returns how many. */
static size_t run_claimed(ml__pool *pool, job *j, size_t n_left)
{
    size_t n_done = 0;

    is_in_task = true;
    do {
        run_task(j, j->n_tasks - n_left);
        n_done++;
    } while (claim(pool, &n_left));
    is_in_task = false;
    return n_done;
}

/* With the lock: n_done tasks are done, and their job is not touched any more. */
static void report(ml__pool *pool, size_t n_done)
{
    if (atomic_fetch_sub(&pool->n_unreported, n_done) == n_done)
        pthread_cond_signal(&pool->idle);
}

/* With the lock, which is given up in between: until there is a job, or the end. */
static void sleep_until_woken(ml__pool *pool)
{
    pool->n_asleep++;
    while (!atomic_load(&pool->n_left) && !pool->stop)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->n_asleep--;
}

/* With the lock, as above: a task of whatever job there is next; false at the end. */
static bool wait_for_task(ml__pool *pool, size_t *n_left)
{
    while (!claim(pool, n_left)) {
        if (pool->stop)
            return false;
        pthread_mutex_unlock(&pool->lock);
        const bool is_there = spin_until(pool, &pool->n_left, false);
        lock_pool(pool);
        if (!is_there)
            sleep_until_woken(pool);
    }
    return true;
}

static void *work(void *argument)
{
    ml__pool *pool = argument;
    size_t n_left, n_done;

    (void)ml__float_begin();
    lock_pool(pool);
    while (wait_for_task(pool, &n_left)) {
        job *j = pool->job;

        pthread_mutex_unlock(&pool->lock);
        n_done = run_claimed(pool, j, n_left);
        lock_pool(pool);
        report(pool, n_done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* With the lock: up to n_wanted workers; with fewer the owner has more to do, and the result is the same. Signals are for
 * the host. */
static void start_workers(ml__pool *pool, size_t n_wanted)
{
    sigset_t all, before;

    if (pool->n_started >= n_wanted)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->n_started < n_wanted && pool->n_started < pool->n_workers &&
           pthread_create(&pool->threads[pool->n_started], NULL, work, pool) == 0)
        pool->n_started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* With the lock: as many workers as there is work for, those that are awake first. */
static void wake_workers(ml__pool *pool, size_t n_wanted)
{
    for (size_t i = pool->n_started - pool->n_asleep; i < n_wanted && i < pool->n_started; i++)
        pthread_cond_signal(&pool->wake);
}

/* The first task is the owner's. */
static void hand_out(ml__pool *pool, job *j)
{
    lock_pool(pool);
    start_workers(pool, j->n_tasks - 1);
    pool->job = j;
    atomic_store(&pool->n_unreported, j->n_tasks);
    atomic_store(&pool->n_left, j->n_tasks - 1);
    wake_workers(pool, j->n_tasks - 1);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for_workers(ml__pool *pool)
{
    spin_until(pool, &pool->n_unreported, true);
    lock_pool(pool);
    while (atomic_load(&pool->n_unreported))
        pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void run_on_pool(ml__pool *pool, job *j)
{
    hand_out(pool, j);
    atomic_fetch_sub(&pool->n_unreported, run_claimed(pool, j, j->n_tasks));
    wait_for_workers(pool);
    atomic_store(&pool->user, 0);
}

/* ---- the pool ---- */

/* A pool without threads that belongs to this process; after a fork the old lock may be held by a thread that is gone. */
static bool set_up(ml__pool *pool)
{
    pool->n_pauses = ml__n_processors() > pool->n_workers ? SPIN_PAUSES : 0;
    atomic_store(&pool->n_left, 0);
    atomic_store(&pool->n_unreported, 0);
    pool->job = NULL;
    pool->n_started = 0;
    pool->n_asleep = 0;
    pool->stop = false;
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return false;
    if (pthread_cond_init(&pool->wake, NULL) != 0) {
        pthread_mutex_destroy(&pool->lock);
        return false;
    }
    if (pthread_cond_init(&pool->idle, NULL) != 0) {
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->lock);
        return false;
    }
    atomic_store(&pool->owner, getpid());
    return true;
}

ml__pool *ml__pool_create(ml_context *context, uint32_t n_threads)
{
    const ml_allocator *allocator = &context->options.allocator;
    const uint32_t n_workers = n_threads - 1;
    const size_t n_bytes = sizeof(ml__pool) + n_workers * sizeof(pthread_t);
    ml__pool *pool = ml__host_alloc(allocator, n_bytes);

    if (!pool)
        return NULL;
    memset(pool, 0, n_bytes);
    pool->allocator = *allocator;
    pool->n_workers = n_workers;
    atomic_init(&pool->user, 0);
    atomic_init(&pool->owner, 0);
    atomic_init(&pool->n_left, 0);
    atomic_init(&pool->n_unreported, 0);
    if (!set_up(pool)) {
        ml__fail(ML_E_MEMORY, "out of memory: the locks of %u threads", n_threads);
        ml__host_free(allocator, pool);
        return NULL;
    }
    return pool;
}

void ml__pool_free(ml__pool *pool)
{
    if (!pool)
        return;
    if (atomic_load(&pool->owner) == getpid()) {
        lock_pool(pool);
        pool->stop = true;
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
        for (uint32_t i = 0; i < pool->n_started; i++)
            pthread_join(pool->threads[i], NULL);
        pthread_cond_destroy(&pool->idle);
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->lock);
    }
    const ml_allocator allocator = pool->allocator;
    ml__host_free(&allocator, pool);
}

static bool take_pool(ml__pool *pool)
{
    const pid_t self = getpid();
    long user = atomic_load(&pool->user);

    if (user == self || !atomic_compare_exchange_strong(&pool->user, &user, self))
        return false;
    if (atomic_load(&pool->owner) == self || set_up(pool))
        return true;
    atomic_store(&pool->user, 0);
    return false;
}

/* ---- the host's executor ---- */

static void run_host_task(void *argument, size_t index)
{
    job *j = argument;
    const bool was_in_task = is_in_task;
    ml__float_state host;

    if (index >= j->n_tasks || atomic_exchange(&j->is_taken[index], true)) {
        atomic_store(&j->is_misused, true);
        return;
    }
    host = ml__float_begin();
    is_in_task = true;
    run_task(j, index);
    is_in_task = was_in_task;
    (void)ml__float_end(host, ML_OK);
}

static ml_status run_on_host(ml_context *context, job *j)
{
    const ml_executor *executor = &context->options.executor;
    ml_status st = ML_OK;
    int32_t code;

    j->is_taken = ml__alloc_array(context, j->n_tasks, sizeof *j->is_taken);
    if (!j->is_taken)
        return ML_E_MEMORY;
    code = executor->run(executor->user, j->n_tasks, run_host_task, j);
    ML__CHECK(code == 0, ML_E_EXECUTOR, "the executor returned %d", (int)code);
    ML__CHECK(!atomic_load(&j->is_misused), ML_E_EXECUTOR,
              "the executor ran one of %zu tasks twice, or one beyond them", j->n_tasks);
    for (size_t i = 0; i < j->n_tasks; i++)
        ML__CHECK(atomic_load(&j->is_taken[i]), ML_E_EXECUTOR, "the executor did not run task %zu of %zu", i,
                  j->n_tasks);
done:
    ml__free(j->is_taken);
    return st;
}

/* ---- all together ---- */

ml_status ml__parallel_for(ml_context *context, size_t n_tasks, ml__task task, void *argument)
{
    job j = {.task = task, .argument = argument, .n_tasks = n_tasks, .lock = PTHREAD_MUTEX_INITIALIZER};
    const bool may_share = context && n_tasks > 1 && !is_in_task;
    ml_status st = ML_OK;

    if (may_share && context->options.executor.run)
        ML__TRY(run_on_host(context, &j));
    else if (may_share && context->pool && take_pool(context->pool))
        run_on_pool(context->pool, &j);
    else
        run_all(&j);
    st = job_status(&j);
done:
    pthread_mutex_destroy(&j.lock);
    return st;
}

bool ml__is_little(size_t n_tasks, double task_nanoseconds)
{
    return (double)n_tasks * task_nanoseconds < LEAST_NANOSECONDS;
}

ml_status ml__parallel_for_cost(ml_context *context, size_t n_tasks, double task_nanoseconds, ml__task task,
                                void *argument)
{
    return ml__parallel_for(ml__is_little(n_tasks, task_nanoseconds) ? NULL : context, n_tasks, task, argument);
}
