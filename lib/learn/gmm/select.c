/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Number of components and covariance type by an information criterion (Fraley & Raftery 2002, "Model-based clustering,
 * discriminant analysis, and density estimation"): every combination is fitted, the least criterion wins, and of equals the
 * one that comes first.
 */
#include <invar/mixture.h>
#include <math.h>

#include "learn/gmm/mixture.h"
#include "learn/learn.h"

enum { N_TYPES = 4, ALL_TYPES = 15, MAX_COMPONENTS = 9 };

static ml_status read_options(const ml_mixture_options *given, ml_mixture_options *options)
{
    ml_status st = ML_OK;

    *options = (ml_mixture_options){.struct_size = sizeof *options};
    if (given)
        ML__TRY(ml__read_options(options, sizeof *options, given, "ml_mixture_options"));
    if (!options->min_components)
        options->min_components = 1;
    if (!options->max_components)
        options->max_components = MAX_COMPONENTS;
    if (!options->types)
        options->types = ALL_TYPES;
    ML__CHECK(options->min_components <= options->max_components, ML_E_ARGUMENT,
              "max_components is %zu, min_components %zu", options->max_components, options->min_components);
    ML__CHECK(!(options->types & ~(uint32_t)ALL_TYPES), ML_E_ARGUMENT, "types is %u, expected a sum of 1, 2, 4, 8",
              (unsigned)options->types);
    ML__CHECK(options->criterion == ML_MIXTURE_BIC || options->criterion == ML_MIXTURE_AIC, ML_E_ARGUMENT,
              "criterion is %d, expected ML_MIXTURE_BIC or ML_MIXTURE_AIC", (int)options->criterion);
done:
    return st;
}

static size_t count_types(uint32_t types)
{
    size_t n = 0;

    for (; types; types >>= 1)
        n += types & 1;
    return n;
}

/* What decides whether data can train a mixture at all. */
typedef struct rows {
    const ml_dataset *data;
    size_t n; /* of positive weight */
    bool has_missing;
} rows;

static ml_status count_rows(ml__arena *arena, const ml_dataset *data, rows *out)
{
    const size_t n = ml_dataset_n_rows(data);
    size_t row, feature;
    double *w;
    ml_status st = ML_OK;

    *out = (rows){.data = data};
    ML__TRY(ml__dataset_find_missing(data, &out->has_missing, &row, &feature));
    ML__NEW(arena, w, n);
    ml__dataset_read_weights(data, w);
    for (size_t i = 0; i < n; i++)
        out->n += w[i] > 0;
done:
    return st;
}

/* One candidate; what the data cannot train has *score NaN. The caller owns *fitted, which may be NULL. */
static ml_status try_one(const ml_model *model, const rows *r, const ml_mixture_options *options, size_t k,
                         int64_t type, ml_model **fitted, double *score)
{
    const ml_fit_options fit = {
        .struct_size = sizeof fit, .monitor = options->monitor, .monitor_user = options->monitor_user};
    ml_model *copy;
    ml_status st;

    *fitted = NULL;
    *score = NAN;
    ML__TRY(ml__model_blank_copy(model, &copy));
    *fitted = copy;
    ml__model_forget_start(copy);
    ML__TRY(ml_model_set_int(copy, "n_components", (int64_t)k));
    ((ml__gmm_params *)copy->params)->covariance_type = type;
    if (r->has_missing && !(ml__model_accepts(copy) & ML__MISSING))
        return ML_OK;
    st = ml_model_fit(copy, r->data, &fit);
    if (st == ML_OK && ml_model_stop_reason(copy) == ML_STOP_MONITOR)
        st = ml__fail(ML_E_CANCELLED, "the monitor stopped the selection at %zu components", k);
    if (st == ML_OK)
        st = options->criterion == ML_MIXTURE_BIC ? ml_mixture_bic(copy, r->data, score)
                                                  : ml_mixture_aic(copy, r->data, score);
done:
    return st == ML_E_NUMERIC ? ML_OK : st;
}

ml_status ml_mixture_select(const ml_model *model, const ml_dataset *data, const ml_mixture_options *options,
                            double *scores, size_t n, ml_model **best)
{
    ml_mixture_options o;
    ml_model *candidate = NULL, *winner = NULL;
    double least = INFINITY, *table, *row;
    size_t n_sizes, last, wanted = SIZE_MAX;
    ml__arena arena;
    rows r;
    ml_status st;

    if (best)
        *best = NULL;
    ml__arena_init(&arena, model ? model->context : NULL);
    ML__CHECK(model && data && best, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !data ? "data" : "best");
    ML__CHECK(model->kind == &ml__gmm, ML_E_UNSUPPORTED, "a %s is not a gmm", model->kind->name);
    ML__TRY(read_options(options, &o));
    n_sizes = o.max_components - o.min_components + 1;
    ML__CHECK((!scores && !n) || (ml__size_mul(n_sizes, count_types(o.types), &wanted) && wanted == n), ML_E_SHAPE,
              "scores has %zu elements, %zu types with %zu numbers of components are %zu", n, count_types(o.types),
              n_sizes, wanted);
    ML__NEW(&arena, table, n);
    for (size_t i = 0; i < n; i++)
        table[i] = NAN;
    ML__TRY(count_rows(&arena, data, &r));
    last = o.max_components < r.n ? o.max_components : r.n; /* no more components than rows */
    row = table;
    for (int64_t type = 0; type < N_TYPES; type++) {
        for (size_t k = o.min_components; (o.types >> type & 1) && k <= last; k++) {
            double score;
            ML__TRY(try_one(model, &r, &o, k, type, &candidate, &score));
            if (scores)
                row[k - o.min_components] = score;
            if (score < least) {
                least = score;
                ml_model_free(winner);
                winner = candidate;
                candidate = NULL;
            }
            ml_model_free(candidate);
            candidate = NULL;
        }
        row += scores && (o.types >> type & 1) ? n_sizes : 0;
    }
    ML__CHECK(winner, ML_E_NUMERIC, "no mixture of %zu to %zu components could be fitted", o.min_components,
              o.max_components);
    for (size_t i = 0; i < n; i++)
        scores[i] = table[i];
    *best = winner;
    winner = NULL;
done:
    ml_model_free(candidate);
    ml_model_free(winner);
    ml__arena_free(&arena);
    return st;
}
