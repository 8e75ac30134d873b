/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters: one table per kind drives setting, validation, defaults, documentation, files and bindings.
 *
 * A kind's parameters are a plain struct that can be copied with memcpy; the table says where each field lies. Field
 * types: INT, BOOL int64_t; REAL double; CHOICE int64_t (position in `choices`); INTS ml__ints; REALS ml__reals; SIZE
 * ml__size; WEIGHTS ml__weights; COLUMNS ml__columns.
 */
#ifndef ML__MODEL_PARAMS_H
#define ML__MODEL_PARAMS_H

#include <invar/model.h>
#include <math.h>
#include <stdbool.h>

#include "base/text.h"

enum { ML__MAX_INTS = 32 };
typedef struct ml__ints {
    size_t n;
    int64_t values[ML__MAX_INTS];
} ml__ints;

enum { ML__MAX_REALS = 1024 };
typedef struct ml__reals {
    size_t n;
    double values[ML__MAX_REALS];
} ml__reals;

enum { ML__SIZE_CHOICE = 0, ML__SIZE_COUNT = 1, ML__SIZE_FRACTION = 2 };
typedef struct ml__size {
    int64_t form;  /* ML__SIZE_… */
    int64_t count; /* the count, or the position in `choices` */
    double fraction;
} ml__size;

/* Weights of classes: a choice, or a table "name:weight,name:weight". */
enum { ML__WEIGHTS_TABLE = -1, ML__WEIGHTS_BYTES = 512 };
typedef struct ml__weights {
    int64_t form; /* position in `choices`, or ML__WEIGHTS_TABLE */
    char table[ML__WEIGHTS_BYTES];
} ml__weights;

/* Columns of members, "member=column,column;member=column"; see columns.c. */
enum { ML__COLUMNS_BYTES = 4096 };
typedef struct ml__columns {
    char table[ML__COLUMNS_BYTES];
} ml__columns;

typedef struct ml__param {
    const char *name;
    int32_t type;
    size_t offset;
    const char *default_value;
    double min, max;
    int32_t min_open, max_open;
    const char *choices; /* "gini|entropy", "" when there are none */
    const char *doc;
    int32_t is_count; /* a SIZE that takes no fractions */
} ml__param;

/* Ranges: closed, open below, open above, open on both sides. Items of INTS and REALS and counts of SIZE are checked against
 * them too; SIZE fractions, where it takes them, are in (0, 1]. */
#define ML__RANGE(low, high) low, high, 0, 0
#define ML__RANGE_OPEN_LOW(low, high) low, high, 1, 0
#define ML__RANGE_OPEN_HIGH(low, high) low, high, 0, 1
#define ML__RANGE_OPEN(low, high) low, high, 1, 1

/* ML__INT(params, max_iter, "100", ML__RANGE(1, 1e9), "doc") and so on; the field has the parameter's name. */
#define ML__INT(S, field, value, range, doc)                               \
    {                                                                      \
#field, ML_PARAM_INT, offsetof(S, field), value, range, "", doc, 0 \
    }
#define ML__REAL(S, field, value, range, doc)                               \
    {                                                                       \
#field, ML_PARAM_REAL, offsetof(S, field), value, range, "", doc, 0 \
    }
#define ML__BOOL(S, field, value, doc)                                           \
    {                                                                            \
#field, ML_PARAM_BOOL, offsetof(S, field), value, 0, 1, 0, 0, "", doc, 0 \
    }
#define ML__CHOICE(S, field, value, choices, doc)                                       \
    {                                                                                   \
#field, ML_PARAM_CHOICE, offsetof(S, field), value, 0, 0, 0, 0, choices, doc, 0 \
    }
#define ML__INTS(S, field, value, range, doc)                               \
    {                                                                       \
#field, ML_PARAM_INTS, offsetof(S, field), value, range, "", doc, 0 \
    }
#define ML__REALS(S, field, value, range, doc)                               \
    {                                                                        \
#field, ML_PARAM_REALS, offsetof(S, field), value, range, "", doc, 0 \
    }
#define ML__SIZE(S, field, value, range, choices, doc)                           \
    {                                                                            \
#field, ML_PARAM_SIZE, offsetof(S, field), value, range, choices, doc, 0 \
    }
/* A SIZE that takes no fractions. */
#define ML__SIZE_COUNTS(S, field, value, range, choices, doc)                    \
    {                                                                            \
#field, ML_PARAM_SIZE, offsetof(S, field), value, range, choices, doc, 1 \
    }
#define ML__WEIGHTS_OF_CLASSES(S, field, value, choices, doc)                            \
    {                                                                                    \
#field, ML_PARAM_WEIGHTS, offsetof(S, field), value, 0, 0, 0, 0, choices, doc, 0 \
    }
#define ML__COLUMNS(S, field, value, doc)                                           \
    {                                                                               \
#field, ML_PARAM_COLUMNS, offsetof(S, field), value, 0, 0, 0, 0, "", doc, 0 \
    }
/* Every kind that draws random numbers has this one; f->seed is made from it. */
#define ML__RANDOM_STATE(S) \
    ML__INT(S, random_state, "0", ML__RANGE(0, 9007199254740992.0), "seed of every random choice")
#define ML__PARAMS_END                              \
    {                                               \
        NULL, 0, 0, NULL, 0, 0, 0, 0, NULL, NULL, 0 \
    }

/* All take the table and the struct; `kind` is for messages. */
ml_status ml__params_defaults(const ml__param *table, void *params);
const ml__param *ml__params_find(const ml__param *table, const char *name);
/* ML_E_PARAMETER, with the names that there are. */
ml_status ml__params_unknown(const char *kind, const ml__param *table, const char *name);
ml_status ml__params_set_int(const char *kind, const ml__param *table, void *params, const char *name, int64_t value);
ml_status ml__params_set_real(const char *kind, const ml__param *table, void *params, const char *name, double value);
ml_status ml__params_set_text(const char *kind, const ml__param *table, void *params, const char *name,
                              const char *value);
/* The next entry of a table of weights, *list is moved behind it; false at its end and where it is not well-formed (then
 * **list is not 0). Weights are finite and not negative; a name may contain colons, but no comma. */
bool ml__weights_next(const char **list, const char **name, size_t *name_length, double *weight);
/* The next column of such a table, *list is moved behind it; `column` starts as { .ends_entry = true } and is passed on from
 * call to call. False at the end and where the table is not well-formed: only at its end **list is 0 and ends_entry true. */
typedef struct ml__column_name {
    const char *member, *text; /* neither ends with 0 */
    size_t member_length, length;
    bool is_quoted, ends_entry;
} ml__column_name;
bool ml__columns_next(const char **list, ml__column_name *column);
/* Is this its name? */
bool ml__column_is(const ml__column_name *column, const char *name);
/* Appends the value as ml_model_set_text() would take it. */
void ml__param_print(const ml__param *param, const void *params, ml__text *out);

#endif
