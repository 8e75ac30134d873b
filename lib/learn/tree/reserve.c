/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory held back under the context's limit, so that a forest which has reached it can still be published: blocks that are
 * never touched, given back all at once. Without a limit, or when so little is allowed that nothing can be held back, reaching
 * the limit is an error as everywhere else.
 */
#include "learn/tree/tree.h"

struct ml__held {
    ml__held *next;
};

bool ml__reserve_add(ml__reserve *r, size_t n_bytes)
{
    ml__held *block;

    if (!r->is_on)
        return true;
    block = ml__alloc(r->context, n_bytes < sizeof *block ? sizeof *block : n_bytes);
    if (!block)
        return false;
    block->next = r->held;
    r->held = block;
    return true;
}

void ml__reserve_open(ml__reserve *r, ml_context *context, size_t n_bytes)
{
    *r = (ml__reserve){.context = context};
    if (!context || !context->options.memory_limit)
        return;
    r->is_on = true;
    r->is_on = ml__reserve_add(r, n_bytes);
    r->n_refused = atomic_load(&context->n_refused);
}

bool ml__reserve_was_needed(const ml__reserve *r)
{
    return r->is_on && atomic_load(&r->context->n_refused) != r->n_refused;
}

void ml__reserve_free(ml__reserve *r)
{
    for (ml__held *block = r->held, *next; block; block = next) {
        next = block->next;
        ml__free(block);
    }
    r->held = NULL;
    r->is_on = false;
}
