/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For larger_than_memory.sh, which caps its memory:
 *
 *     larger-than-memory write FILE ROWS COLUMNS        a .npy file of clusters, without holding it
 *     larger-than-memory file FILE KIND MODEL           open it, fit, save
 *     larger-than-memory memory FILE KIND MODEL         the same from a copy in memory
 */
#include <invar/ml.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
    printf("%s: %s\n", what, ml_last_error());
    return 1;
}

/* Eight clusters in noise. */
static void make_row(uint64_t *state, size_t n_cols, double *row)
{
    uint64_t corner;

    *state = *state * 6364136223846793005u + 1442695040888963407u;
    corner = *state >> 61;
    for (size_t j = 0; j < n_cols; j++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        row[j] = (double)(*state >> 40) / 16777216.0 + 2 * (double)(corner >> j % 3 & 1) + (double)(j % 5);
    }
}

static int write_file(const char *path, size_t n_rows, size_t n_cols)
{
    char header[128];
    double *row = malloc(n_cols * sizeof *row);
    FILE *file = fopen(path, "wb");
    uint64_t state = 1;
    int failed = !row || !file;

    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\1\0\x76\0", 10);
    snprintf(header + 10, sizeof header - 10, "{'descr': '<f8', 'fortran_order': False, 'shape': (%zu, %zu), }", n_rows,
             n_cols);
    header[10 + strlen(header + 10)] = ' ';
    header[127] = '\n';
    failed = failed || fwrite(header, 1, sizeof header, file) != sizeof header;
    for (size_t i = 0; i < n_rows && !failed; i++) {
        make_row(&state, n_cols, row);
        failed = fwrite(row, sizeof *row, n_cols, file) != n_cols;
    }
    if (file && fclose(file) != 0)
        failed = 1;
    free(row);
    if (failed)
        printf("cannot write %s\n", path);
    return failed;
}

/* All rows in memory: what the file is to be as good as. */
static ml_status load(const ml_dataset *streamed, ml_dataset **out)
{
    const size_t n = ml_dataset_n_rows(streamed), d = ml_dataset_n_features(streamed);
    double *x = malloc(n * d * sizeof *x);
    ml_status st = x ? ML_OK : ML_E_MEMORY;

    for (size_t i = 0; i < n && st == ML_OK; i++)
        st = ml_dataset_row(streamed, i, x + i * d, d);
    if (st == ML_OK)
        st = ml_dataset_from_matrix(NULL, x, ML_FLOAT64, n, d, 0, 0, ML_COPY, out);
    free(x);
    return st;
}

/* "kind" or "step+step+kind", a pipeline. */
static ml_status make_model(char *kinds, ml_model **model)
{
    static const struct {
        const char *name, *value;
    } SETTINGS[] = {{"n_components", "8"}, {"n_clusters", "8"}, {"max_iter", "5"}, {"n_init", "1"}};
    ml_model *step;
    ml_status st = ml_model_create(NULL, strchr(kinds, '+') ? "pipeline" : kinds, model);
    char name[16];

    if (strchr(kinds, '+')) {
        for (char *kind = strtok(kinds, "+"); kind && st == ML_OK; kind = strtok(NULL, "+")) {
            snprintf(name, sizeof name, "step%zu", ml_model_member_count(*model));
            st = ml_model_create(NULL, kind, &step);
            for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS && st == ML_OK; s++)
                (void)ml_model_set_text(step, SETTINGS[s].name, SETTINGS[s].value);
            if (st == ML_OK)
                st = ml_model_add_member(*model, name, step);
        }
        return st;
    }
    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS && st == ML_OK; s++)
        (void)ml_model_set_text(*model, SETTINGS[s].name, SETTINGS[s].value);
    return st;
}

static int train(const char *path, char *kinds, const char *model_path, int in_memory)
{
    ml_dataset *data = NULL, *copy = NULL;
    ml_model *model = NULL;
    ml_status st = ml_dataset_open_matrix(NULL, path, NULL, &data);

    if (st == ML_OK && in_memory)
        st = load(data, &copy);
    if (st == ML_OK)
        st = make_model(kinds, &model);
    if (st == ML_OK)
        st = ml_model_fit(model, copy ? copy : data, NULL);
    if (st == ML_OK)
        st = ml_model_save(model, model_path);
    ml_model_free(model);
    ml_dataset_free(copy);
    ml_dataset_free(data);
    return st == ML_OK ? 0 : fail(path);
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "write"))
        return write_file(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    if (argc == 5 && (!strcmp(argv[1], "file") || !strcmp(argv[1], "memory")))
        return train(argv[2], argv[3], argv[4], argv[1][0] == 'm');
    printf("usage: %s write FILE ROWS COLUMNS | file FILE KIND MODEL | memory FILE KIND MODEL\n", argv[0]);
    return 2;
}
