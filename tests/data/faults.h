/* SPDX-License-Identifier: Apache-2.0 */
/* Failing every allocation of a call in turn: once, and that one with all later ones. */
#ifndef INVAR_TEST_FAULTS_H
#define INVAR_TEST_FAULTS_H

#include "test.h"

/* Makes what it is asked for; what it makes, it frees when it succeeds. */
typedef ml_status (*test_attempt)(ml_context *context, void *argument);

/* The attempt fails with ML_E_MEMORY and leaves no block behind, until nothing fails any more. */
static inline void check_faults(test_allocator *allocator, ml_context *context, test_attempt attempt, void *argument)
{
    for (int all_later = 0; all_later < 2; all_later++) {
        ml_status st = ML_E_MEMORY;
        for (size_t k = 1; st != ML_OK; k++) {
            const size_t n_live = allocator->n_live;
            allocator->fail_all_later = all_later;
            allocator->fail_at = allocator->n_allocations + k;
            st = attempt(context, argument);
            CHECK_MSG(st == ML_OK || st == ML_E_MEMORY, "allocation %zu: %s", k, ml_last_error());
            CHECK_MSG(allocator->n_live == n_live, "allocation %zu leaks %zu blocks", k, allocator->n_live - n_live);
            CHECK(k < 10000);
        }
    }
    allocator->fail_at = 0;
}

#endif
