/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A union of features: every member transforms all features, and what they give stands side by side.
 *
 * Transform   z = (f_1(x), f_2(x), ...), new features named "member__feature"; a member of kind passthrough keeps the old ones
 * Fit         each member on the same data, and on the same validation data, as it would be alone
 * Missing     values are accepted when every member accepts them; none is left when every member fills them
 */
#include "compose/compose.h"
#include "compose/parts.h"

static const ml__param PARAMS[] = {ML__PARAMS_END};
static const ml__tensor_rule TENSORS[] = {{NULL, 0, NULL, 0}};
enum { MAX_MEMBERS = 1000 };

static uint32_t accepts_of(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    const uint32_t of_all = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES;
    uint32_t accepts = members->n ? of_all | ML__FILLS_MISSING | ML__MAY_FILL : 0;

    for (size_t i = 0; i < members->n; i++) {
        const uint32_t member = ml__model_accepts(members->items[i].model);

        accepts &= member | (member & ML__FILLS_MISSING ? ML__MAY_FILL : 0);
    }
    return accepts;
}

static ml_status fit(ml__fit *f)
{
    const ml__members *members = &f->model->members;
    size_t width = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < members->n; i++)
        ML__TRY(ml__parts_fit(f, &members->items[i], f->data, f->validation, &width));
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__members *members = &learned->members;
    ml__parts *parts;
    ml_status st = ML_OK;

    (void)model;
    ML__CHECK(members->n, ML_E_FORMAT, "feature_union: it has no members");
    ML__NEW(&learned->arena, parts, 1);
    ML__NEW(&learned->arena, parts->parts, members->n);
    for (size_t i = 0; i < members->n; i++) {
        st = ml__parts_add(parts, members->items[i].name, members->items[i].model, NULL, learned->schema.n_features);
        if (st != ML_OK)
            return ml__blame(st, "feature_union: ");
    }
    learned->state = parts;
done:
    return st;
}

const ml__kind ml__feature_union = {
    .name = "feature_union",
    .doc = "Transformers side by side: each sees all features, and what they give is joined",
    .tasks = ML__UNSUPERVISED,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .tensors = TENSORS,
    .min_members = 1,
    .max_members = MAX_MEMBERS,
    .fit = fit,
    .check = ml__parts_check,
    .prepare = prepare,
    .transform = ml__parts_transform,
    .scratch = ml__parts_scratch,
    .width = ml__parts_width,
    .accepts_of = accepts_of,
    .name_features = ml__parts_name_features,
};
