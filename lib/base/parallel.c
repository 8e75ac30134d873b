/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parallel_for.
 *
 * A job lies on the stack of the thread that asked for it. Whoever works on it takes the next index from an atomic counter
 * until none is left. The caller hangs the job into the pool, works, takes the job out again, and waits until no worker is
 * in it any more; a worker that wakes late finds nothing. So a job waits for work in progress only, never for a wake-up.
 *
 * One job at a time has the pool; whoever finds it taken works alone. The pool is marked with the process that uses it:
 * after a fork the mark, the lock and the threads are the parent's, and the child sets the pool up anew.
 */
#include "base/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/memory.h"

typedef struct {
    ml__task task;
    void *argument;
    size_t n_tasks;
    atomic_size_t next;

    pthread_mutex_t lock; /* guards what follows */
    ml_status status;     /* of the failed task with the lowest index */
    size_t failed;
    char message[ML__MESSAGE_BYTES];

    atomic_bool *is_taken; /* host executor only: [n_tasks] */
    atomic_bool is_misused;
} job;

struct ml__pool {
    ml_allocator allocator;
    atomic_long user; /* process whose caller has the pool, 0: none */

    /* touched only by who has the pool */
    pid_t owner; /* process that the threads belong to */
    uint32_t n_workers, n_started;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake, idle;
    job *job;
    uint64_t n_jobs; /* ever: a worker enters each job once */
    uint32_t n_inside;
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

static void run_tasks(job *j)
{
    size_t index;

    while ((index = atomic_fetch_add(&j->next, 1)) < j->n_tasks)
        run_task(j, index);
}

static void run_tasks_beside_others(job *j)
{
    is_in_task = true;
    run_tasks(j);
    is_in_task = false;
}

static ml_status job_status(const job *j)
{
    if (j->status != ML_OK)
        ml__set_error(j->message);
    return j->status;
}

/* ---- threads of our own ---- */

static void *work(void *argument)
{
    ml__pool *pool = argument;
    uint64_t n_seen = 0;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        if (!pool->job || pool->n_jobs == n_seen) {
            pthread_cond_wait(&pool->wake, &pool->lock);
            continue;
        }
        job *j = pool->job;
        n_seen = pool->n_jobs;
        pool->n_inside++;
        pthread_mutex_unlock(&pool->lock);
        run_tasks_beside_others(j);
        pthread_mutex_lock(&pool->lock);
        if (--pool->n_inside == 0)
            pthread_cond_signal(&pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Up to n_wanted workers; with fewer the caller has more to do, and the result is the same. Signals are for the host. */
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

/* A pool without threads that belongs to this process; after a fork the old lock may be held by a thread that is gone. */
static bool set_up(ml__pool *pool)
{
    pool->n_started = 0;
    pool->job = NULL;
    pool->n_jobs = 0;
    pool->n_inside = 0;
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
    pool->owner = getpid();
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
    if (pool->owner == getpid()) {
        pthread_mutex_lock(&pool->lock);
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
    if (pool->owner == self || set_up(pool))
        return true;
    atomic_store(&pool->user, 0);
    return false;
}

static void run_on_pool(ml__pool *pool, job *j)
{
    start_workers(pool, j->n_tasks - 1);
    pthread_mutex_lock(&pool->lock);
    pool->job = j;
    pool->n_jobs++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);

    run_tasks_beside_others(j);

    pthread_mutex_lock(&pool->lock);
    pool->job = NULL;
    while (pool->n_inside)
        pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    atomic_store(&pool->user, 0);
}

/* ---- the host's executor ---- */

static void run_host_task(void *argument, size_t index)
{
    job *j = argument;
    const bool was_in_task = is_in_task;

    if (index >= j->n_tasks || atomic_exchange(&j->is_taken[index], true)) {
        atomic_store(&j->is_misused, true);
        return;
    }
    is_in_task = true;
    run_task(j, index);
    is_in_task = was_in_task;
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
        run_tasks(&j);
    st = job_status(&j);
done:
    pthread_mutex_destroy(&j.lock);
    return st;
}
