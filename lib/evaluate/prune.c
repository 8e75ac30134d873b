/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning of forests: what the rows say is read here, and the score is taken before and after (see learn/tree/prune.c). */
#include <invar/tree.h>

#include "evaluate/score.h"
#include "learn/tree/tree.h"

static ml_status read_outputs(ml__arena *arena, const ml_model *forest, const ml_dataset *data, double *y)
{
    size_t n_classes;

    if (forest->learned->task == ML__CLASSIFY)
        return ml__true_classes(arena, forest, data, 0, y, 1, &n_classes);
    ml__dataset_read_targets(data, 0, y);
    return ML_OK;
}

static size_t count_nodes(const ml_model *forest)
{
    size_t n = 0;

    for (size_t t = 0; t < ml_model_tree_count(forest); t++)
        n += ml_model_tree_size(forest, t);
    return n;
}

static ml_status prune(const ml_model *forest, size_t max_nodes, const ml_dataset *data, ml_prune_report *report,
                       ml_model **out)
{
    const size_t n = ml_dataset_n_rows(data);
    double *y, *w;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, forest->context);
    ML__CHECK(ml_model_n_outputs(forest) == 1, ML_E_UNSUPPORTED, "the forest has %zu outputs, pruning takes one",
              ml_model_n_outputs(forest));
    report->nodes_before = count_nodes(forest);
    ML__TRY(ml_model_score(forest, data, NULL, &report->score_before)); /* which checks that forest and data fit */
    ML__NEW(&arena, y, n);
    ML__NEW(&arena, w, n);
    ML__TRY(read_outputs(&arena, forest, data, y));
    ml__dataset_read_weights(data, w);
    ML__TRY(ml__forest_cut(forest, max_nodes, &(const ml__prune_data){data, y, w}, out));
    report->nodes_after = count_nodes(*out);
    ML__TRY(ml_model_score(*out, data, NULL, &report->score_after));
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml_forest_prune(const ml_model *forest, size_t max_nodes, const ml_dataset *data, ml_prune_report *report,
                          ml_model **out)
{
    const ml__float_state host = ml__float_begin();
    ml_prune_report result = {0};
    ml_model *pruned = NULL;
    ml_status st;

    if (out)
        *out = NULL;
    ML__CHECK(data && out, ML_E_ARGUMENT, "%s is NULL", data ? "out" : "data");
    ML__TRY(ml__forest_check(forest));
    ML__TRY(prune(forest, max_nodes, data, &result, &pruned));
    if (report)
        ML__TRY(ml__write_result(report, &result, sizeof result, "ml_prune_report"));
    *out = pruned;
    pruned = NULL;
done:
    ml_model_free(pruned);
    return ml__float_end(host, st);
}
