/* SPDX-License-Identifier: Apache-2.0 */
/* Writes docs/parameters.md from the parameter tables. */
#include <invar/ml.h>
#include <stdio.h>

static const char *type_name(int32_t type)
{
    static const char *const NAMES[] = {"",     "int",  "real",    "bool",  "choice",
                                        "ints", "size", "weights", "reals", "columns"};

    return type >= ML_PARAM_INT && type <= ML_PARAM_COLUMNS ? NAMES[type] : "?";
}

static void print_range(const ml_param_info *p)
{
    if (p->type == ML_PARAM_CHOICE || p->type == ML_PARAM_SIZE || p->type == ML_PARAM_WEIGHTS)
        for (const char *c = p->choices; *c; c++)
            printf(*c == '|' ? ", " : "%c", *c);
    if (p->type == ML_PARAM_SIZE)
        printf("%scount ", p->choices[0] ? ", or " : "");
    if (p->type == ML_PARAM_WEIGHTS)
        printf(", or name:weight,name:weight");
    else if (p->type == ML_PARAM_COLUMNS)
        printf("member=column,column;member=column");
    else if (p->type != ML_PARAM_CHOICE && p->type != ML_PARAM_BOOL)
        printf("%c%.16g, %.16g%c", p->min_open ? '(' : '[', p->min, p->max, p->max_open ? ')' : ']');
    if (p->type == ML_PARAM_SIZE && !p->is_count)
        printf(", or fraction (0, 1]");
}

int main(void)
{
    printf("# Kinds and their parameters\n\nWritten by `tests/checks/print_parameters.c` from the parameter tables in "
           "`lib/`; do not edit.\n");
    for (size_t k = 0; k < ml_kind_count(); k++) {
        const char *kind = ml_kind_name(k);

        printf("\n## %s\n\n%s.\n\n", kind, ml_kind_doc(kind));
        if (!ml_kind_param_count(kind)) {
            printf("No parameters.\n");
            continue;
        }
        printf("| name | type | default | range | meaning |\n|---|---|---|---|---|\n");
        for (size_t i = 0; i < ml_kind_param_count(kind); i++) {
            ml_param_info p = {.struct_size = sizeof p};

            if (ml_kind_param(kind, i, &p) != ML_OK)
                return 1;
            printf("| `%s` | %s | `%s` | ", p.name, type_name(p.type), p.default_value);
            print_range(&p);
            printf(" | %s |\n", p.doc);
        }
    }
    return 0;
}
