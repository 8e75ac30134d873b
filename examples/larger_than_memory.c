/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table that stays in its file: clusters of 100 000 rows of 64 features, 25.6 MB, found with 12 MB of memory.
 *     larger_than_memory [file.npy]
 * writes the file, learns from it, tells what it found and removes the file. docs/larger-than-memory.md says what each kind takes.
 */
#include <inttypes.h>
#include <invar/ml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROWS = 100000, N_FEATURES = 64, N_BLOBS = 4, MEMORY = 12000000 };

/* ---- the file, as numpy.save() writes it ---- */

static int write_header(FILE *file)
{
    char header[128];
    int n;

    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* version 1.0, 118 bytes of text */
    n = snprintf(header + 10, sizeof header - 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }",
                 N_ROWS, N_FEATURES);
    header[10 + n] = ' ';
    header[127] = '\n';
    return fwrite(header, sizeof header, 1, file) == 1;
}

/* Row i belongs to blob i % N_BLOBS; features have scales of their own. */
static float value_at(int i, int j, uint32_t *state)
{
    const int centre = (i % N_BLOBS * 7 + j * 3) % 5;

    *state = *state * 1664525u + 1013904223u;
    return (float)(1 + j) * ((float)centre + (float)(*state >> 8) / 16777216.0f);
}

/* Little-endian, whatever the host is. */
static int write_float(FILE *file, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    for (int b = 0; b < 4; b++)
        if (putc((int)(bits >> 8 * b & 255), file) == EOF)
            return 0;
    return 1;
}

static int write_matrix(const char *path)
{
    FILE *file = fopen(path, "wb");
    uint32_t state = 1;
    int good = file && write_header(file);

    for (int i = 0; i < N_ROWS && good; i++)
        for (int j = 0; j < N_FEATURES && good; j++)
            good = write_float(file, value_at(i, j, &state));
    if (file && fclose(file) != 0)
        good = 0;
    return good;
}

/* ---- the model ---- */

static ml_status add_step(ml_context *context, ml_model *pipe, const char *name, const char *kind)
{
    ml_model *step;
    ml_status st = ml_model_create(context, kind, &step);

    if (st != ML_OK)
        return st;
    st = ml_model_add_member(pipe, name, step); /* which owns it from here on */
    if (st != ML_OK)
        ml_model_free(step);
    return st;
}

static ml_status make_model(ml_context *context, ml_model **pipe)
{
    ml_status st = ml_model_create(context, "pipeline", pipe);

    if (st == ML_OK)
        st = add_step(context, *pipe, "scale", "standard_scaler");
    if (st == ML_OK)
        st = add_step(context, *pipe, "pca", "pca");
    if (st == ML_OK)
        st = ml_model_set_int(*pipe, "pca__n_components", 3);
    if (st == ML_OK)
        st = add_step(context, *pipe, "cluster", "kmeans");
    if (st == ML_OK)
        st = ml_model_set_int(*pipe, "cluster__n_clusters", N_BLOBS);
    return st;
}

/* ---- what it found ---- */

static ml_status print_variance(const ml_model *pca)
{
    ml_tensor ratio = {.struct_size = sizeof ratio};
    const ml_status st = ml_model_tensor(pca, "explained_variance_ratio", &ratio);
    double sum = 0;

    if (st != ML_OK)
        return st;
    for (uint64_t c = 0; c < ratio.shape[0]; c++)
        sum += ((const double *)ratio.data)[c];
    printf("%" PRIu64 " components explain %.1f %% of the variance\n", ratio.shape[0], 100 * sum);
    return st;
}

static ml_status print_clusters(const ml_model *pipe, const ml_dataset *data)
{
    double *cluster = malloc(N_ROWS * sizeof *cluster);
    size_t shared[N_BLOBS][N_BLOBS] = {{0}};
    ml_status st;

    if (!cluster)
        return ML_E_MEMORY;
    st = ml_model_predict(pipe, data, cluster, N_ROWS);
    for (int i = 0; i < N_ROWS && st == ML_OK; i++)
        shared[(int)cluster[i]][i % N_BLOBS]++;
    for (int c = 0; c < N_BLOBS && st == ML_OK; c++) {
        size_t n = 0, most = 0;

        for (int b = 0; b < N_BLOBS; b++) {
            n += shared[c][b];
            most = shared[c][b] > most ? shared[c][b] : most;
        }
        printf("cluster %d: %zu rows, %zu of them of one blob\n", c, n, most);
    }
    free(cluster);
    return st;
}

static ml_status learn(ml_context *context, const char *path)
{
    ml_dataset *data = NULL;
    ml_model *pipe = NULL;
    ml_status st = ml_dataset_open_matrix(context, path, NULL, &data);

    if (st == ML_OK)
        st = make_model(context, &pipe);
    if (st == ML_OK)
        st = ml_model_fit(pipe, data, NULL);
    if (st == ML_OK)
        printf("%zu rows of %zu features in %d bytes, learned within %d bytes of memory\n", ml_dataset_n_rows(data),
               ml_dataset_n_features(data), 128 + 4 * N_ROWS * N_FEATURES, (int)MEMORY);
    if (st == ML_OK)
        st = print_variance(ml_model_member(pipe, 1));
    if (st == ML_OK)
        st = print_clusters(pipe, data);
    ml_model_free(pipe);
    ml_dataset_free(data);
    return st;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "larger_than_memory.npy";
    /* each thread takes some memory for itself: how many there are is part of what fits into the limit */
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = 2, .memory_limit = MEMORY};
    ml_context *context = NULL;
    ml_status st;

    if (!write_matrix(path)) {
        fprintf(stderr, "cannot write '%s'\n", path);
        remove(path);
        return 1;
    }
    st = ml_context_create(&options, &context);
    if (st == ML_OK)
        st = learn(context, path);
    if (st != ML_OK)
        fprintf(stderr, "%s: %s\n", ml_status_text(st), ml_last_error());
    ml_context_free(context);
    remove(path);
    return st != ML_OK;
}
