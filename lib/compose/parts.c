/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transformers side by side.
 *
 * Transform   z = (f_1(x[c_1]), f_2(x[c_2]), ...): columns c_p of a block are gathered, given to part p, and its output is put
 *             into its place in the wide rows
 * Symbols     n rows of d features; part p takes n_in columns and gives n_out
 * Cost        the parts' own, and two copies
 */
#include "compose/parts.h"

#include <string.h>

#include "compose/compose.h"

/* ---- fit ---- */

ml_status ml__parts_check(const ml_model *model)
{
    const ml__members *members = &model->members;
    ml_status st = ML_OK;

    for (size_t i = 0; i < members->n; i++)
        ML__CHECK(ml__transforms(members->items[i].model), ML_E_PARAMETER, "member '%s' (%s) cannot transform",
                  members->items[i].name, members->items[i].model->kind->name);
done:
    return st;
}

ml_status ml__parts_limit(const char *kind, size_t width)
{
    ml_status st = ML_OK;

    ML__CHECK(width <= ML_MAX_FEATURES, ML_E_LIMIT, "%s: %zu new features, at most %zu are allowed", kind, width,
              ML_MAX_FEATURES);
done:
    return st;
}

ml_status ml__parts_fit(ml__fit *f, const ml__member *member, const ml_dataset *data, const ml_dataset *validation,
                        size_t *width)
{
    ml_model *fitted;
    ml_status st;

    ML__TRY(ml__fit_member_validated(f, member->model, member->name, ML__AS_IF_ALONE, data, validation, &fitted));
    ML__TRY(ml__fit_adopt(f, member->name, fitted, ML_AUTO_WEIGHT));
    if (fitted->learned->stop_reason > f->learned->stop_reason)
        f->learned->stop_reason = fitted->learned->stop_reason;
    *width += ml_model_width(fitted, ML_TRANSFORM);
    ML__TRY(ml__parts_limit(f->model->kind->name, *width));
    ML__TRY(ml__fit_step(f, f->learned->members.n, f->model->members.n, "", NAN));
done:
    return st;
}

/* ---- what fits together ---- */

ml_status ml__parts_add(ml__parts *parts, const char *name, const ml_model *model, const int64_t *columns, size_t n_in)
{
    ml__part *part = &parts->parts[parts->n++];
    ml_status st = ML_OK;

    *part = (ml__part){name, model, columns, n_in, n_in, true};
    if (model) {
        ML__CHECK(model->learned, ML_E_FORMAT, "member '%s' is not fitted", name);
        ML__CHECK(model->learned->schema.n_features == n_in, ML_E_FORMAT, "member '%s' takes %zu features and gets %zu",
                  name, model->learned->schema.n_features, n_in);
        part->n_out = ml_model_width(model, ML_TRANSFORM);
        ML__CHECK(part->n_out, ML_E_FORMAT, "member '%s' cannot transform", name);
        part->takes_missing = ml__model_accepts(model) & ML__MISSING;
    }
    parts->width += part->n_out;
    ML__CHECK(part->n_out <= ML_MAX_FEATURES && parts->width <= ML_MAX_FEATURES, ML_E_FORMAT,
              "the members up to '%s' make more than %zu features", name, ML_MAX_FEATURES);
    parts->widest_in = n_in > parts->widest_in ? n_in : parts->widest_in;
    parts->widest_out = part->n_out > parts->widest_out ? part->n_out : parts->widest_out;
done:
    return st;
}

/* ---- transform ---- */

/* Its columns of n rows, and no missing value that it does not take. */
static ml_status gather(const ml__part *part, const ml__schema *schema, const ml__block *x, double *out)
{
    for (size_t i = 0; i < x->n; i++)
        for (size_t c = 0; c < part->n_in; c++) {
            const double value = x->f64[i * x->d + (size_t)part->columns[c]];

            if (isnan(value) && !part->takes_missing)
                return ml__refuse_missing_in(part->name, part->model, schema->features[part->columns[c]].name);
            out[i * part->n_in + c] = value;
        }
    return ML_OK;
}

/* Rows of one part into their place in the wide rows. */
static void place(const double *from, size_t n, size_t width, double *to, size_t stride)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * stride, from + i * width, width * sizeof *to);
}

ml_status ml__parts_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__parts *parts = model->learned->state;
    double *in = ml__scratch_take(&scratch, x->n * parts->widest_in, sizeof *in);
    double *made = ml__scratch_take(&scratch, x->n * parts->widest_out, sizeof *made);
    ml_status st = in && made ? ML_OK : ML_E_MEMORY;

    for (size_t p = 0; p < parts->n && st == ML_OK; p++) {
        const ml__part *part = &parts->parts[p];
        const double *from = x->f64;

        if (part->columns) {
            ML__TRY(gather(part, &model->learned->schema, x, in));
            from = in;
        }
        if (part->model)
            ML__TRY(ml__evaluate(part->model, ML_TRANSFORM, from, x->n, made, scratch));
        place(part->model ? made : from, x->n, part->n_out, out, parts->width);
        out += part->n_out;
    }
done:
    return st;
}

size_t ml__parts_scratch(const ml_model *model, size_t n)
{
    const ml__parts *parts = model->learned->state;

    return ml__members_scratch(&model->learned->members, n) + ml__scratch_bytes(n * parts->widest_in, sizeof(double)) +
           ml__scratch_bytes(n * parts->widest_out, sizeof(double));
}

size_t ml__parts_width(const ml_model *model, int32_t what)
{
    const ml__parts *parts = model->learned->state;

    return what == ML_TRANSFORM ? parts->width : 0;
}

/* ---- names ---- */

/* The features that a part gives, before its name is put in front. */
static ml_status features_of(const ml__part *part, const ml__schema *schema, ml__arena *arena, ml__schema *features)
{
    return part->model ? ml__name_new_features(part->model, arena, features)
                       : ml__schema_select(arena, schema, part->columns, part->n_in, features);
}

ml_status ml__parts_name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__parts *parts = model->learned->state;
    size_t at = 0;
    ml_status st = ML_OK;

    features->n_features = parts->width;
    ML__NEW(arena, features->features, parts->width);
    for (size_t p = 0; p < parts->n; p++) {
        const ml__part *part = &parts->parts[p];
        ml__schema own = {0};

        ML__TRY(features_of(part, &model->learned->schema, arena, &own));
        for (size_t k = 0; k < part->n_out; k++, at++) {
            features->features[at] = own.features[k];
            features->features[at].name = ml__joined_text(arena, part->name, "__", own.features[k].name);
            ML__TRY(features->features[at].name ? ML_OK : ML_E_MEMORY);
        }
    }
done:
    return st;
}
