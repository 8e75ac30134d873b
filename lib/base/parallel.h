/* SPDX-License-Identifier: Apache-2.0 */
/* parallel_for over the context's threads or the host's executor. */
#ifndef ML__BASE_PARALLEL_H
#define ML__BASE_PARALLEL_H

#include "base/context.h"

typedef ml_status (*ml__task)(void *argument, size_t index);

/*
 * Run task(argument, i) for each i < n_tasks; the caller takes part. Inside a task it runs serially. All tasks run even
 * when one fails; the failure of the lowest index is reported, with its message. What a task computes must depend on its
 * index only, never on which thread ran it: then results are the same for any number of threads. Threads other than the
 * caller's run tasks in the default floating-point state (base/processor.h), in which the caller is too.
 */
ml_status ml__parallel_for(ml_context *context, size_t n_tasks, ml__task task, void *argument);
/* The same by a caller who can tell about how long one task takes: little work stays on the caller's thread. */
ml_status ml__parallel_for_cost(ml_context *context, size_t n_tasks, double task_nanoseconds, ml__task task,
                                void *argument);
/* Is it so little? */
bool ml__is_little(size_t n_tasks, double task_nanoseconds);

ml__pool *ml__pool_create(ml_context *context, uint32_t n_threads);
void ml__pool_free(ml__pool *pool);

#endif
