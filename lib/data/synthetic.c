/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Synthetic datasets, after scikit-learn's make_classification, make_regression and make_blobs. The distributions are
 * theirs; the numbers are our own generator's, and columns are not shuffled: informative ones come first.
 *
 * classification (Guyon 2003, "Design of experiments for the NIPS 2003 variable selection benchmark")
 *     Cluster k of C = n_classes * n_clusters_per_class belongs to class k mod n_classes and sits on a vertex v_k of the
 *     hypercube {-class_sep, +class_sep}^m, m = n_informative. No two clusters share a vertex.
 *         informative  x = z A_k + v_k,   z ~ N(0, 1)^m,   A_k [m x m] uniform in [-1, 1), one for each cluster
 *         redundant    x B,               B [m x r] uniform in [-1, 1)
 *         noise        N(0, 1)
 *     A share flip_y of the labels is drawn anew, uniformly. Rows are in random order.
 * regression
 *     y = X w + bias + noise * N(0, 1);  X ~ N(0, 1);  w of n_informative features uniform in [0, 100), the others 0
 * blobs
 *     x ~ N(c_k, cluster_std^2);  centers c_k uniform in [-10, 10)^d;  rows in random order
 *
 * Symbols     n rows, d features, m informative, r redundant, C clusters;  i row, j feature, k cluster
 */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/processor.h"
#include "base/random.h"
#include "data/table.h"

/* Everything random has a stream of its own; matrices A_k are streams MIX, MIX + 1, … */
enum { STREAM_ORDER, STREAM_CENTERS, STREAM_POINTS, STREAM_REDUNDANT, STREAM_NOISE, STREAM_LABELS, STREAM_MIX };

/* ---- parameters ---- */

typedef struct settings {
    double n_samples, n_features, n_informative, n_redundant, n_classes, n_clusters_per_class, flip_y, class_sep;
    double n_targets, bias, noise, centers, cluster_std, random_state;
} settings;

typedef struct setting {
    const char *name;
    size_t offset;
    bool is_whole;
    double value, min, max;
} setting;

#define AT(name) #name, offsetof(settings, name)
enum { REAL = false, WHOLE = true };
/* 2^53: all whole numbers up to it are doubles */
#define MOST 9007199254740992.0

static const setting CLASSIFICATION[] = {
    {AT(n_samples), WHOLE, 100, 1, MOST},   {AT(n_features), WHOLE, 20, 1, MOST},
    {AT(n_informative), WHOLE, 2, 1, MOST}, {AT(n_redundant), WHOLE, 2, 0, MOST},
    {AT(n_classes), WHOLE, 2, 1, MOST},     {AT(n_clusters_per_class), WHOLE, 2, 1, MOST},
    {AT(flip_y), REAL, 0.01, 0, 1},         {AT(class_sep), REAL, 1, 0, 1e100},
    {AT(random_state), WHOLE, 0, 0, MOST},  {NULL, 0, false, 0, 0, 0},
};

static const setting REGRESSION[] = {
    {AT(n_samples), WHOLE, 100, 1, MOST},    {AT(n_features), WHOLE, 100, 1, MOST},
    {AT(n_informative), WHOLE, 10, 1, MOST}, {AT(n_targets), WHOLE, 1, 1, MOST},
    {AT(bias), REAL, 0, -1e100, 1e100},      {AT(noise), REAL, 0, 0, 1e100},
    {AT(random_state), WHOLE, 0, 0, MOST},   {NULL, 0, false, 0, 0, 0},
};

static const setting BLOBS[] = {
    {AT(n_samples), WHOLE, 100, 1, MOST}, {AT(n_features), WHOLE, 2, 1, MOST},   {AT(centers), WHOLE, 3, 1, MOST},
    {AT(cluster_std), REAL, 1, 0, 1e100}, {AT(random_state), WHOLE, 0, 0, MOST}, {NULL, 0, false, 0, 0, 0},
};

static double *field(settings *s, const setting *of)
{
    return (double *)((char *)s + of->offset);
}

static ml_status unknown_name(const setting *table, const char *what, const char *text, size_t n)
{
    char list[256];
    size_t length = 0;

    for (const setting *of = table; of->name && length < sizeof list; of++)
        length += ml__format(list + length, sizeof list - length, "%s%s", of == table ? "" : ", ", of->name);
    return ml__fail(ML_E_ARGUMENT, "\"%s\" has no parameter '%.*s', only %s", what, (int)(n < 60 ? n : 60), text, list);
}

/* "name=value" in text[0, n). */
static ml_status read_setting(const setting *table, const char *what, const char *text, size_t n, settings *s)
{
    const char *equals = memchr(text, '=', n);
    const size_t n_name = equals ? (size_t)(equals - text) : n, n_value = equals ? n - n_name - 1 : 0;
    const setting *of = table;
    double value;
    ml_status st = ML_OK;

    while (of->name && !(strlen(of->name) == n_name && !memcmp(of->name, text, n_name)))
        of++;
    if (!of->name)
        return unknown_name(table, what, text, n_name);
    ML__CHECK(equals && ml__parse_real(equals + 1, n_value, &value) == ML__NUMBER_OK, ML_E_ARGUMENT,
              "\"%s\": parameter %s has no number, expected %s=<number>", what, of->name, of->name);
    ML__CHECK(value >= of->min && value <= of->max && (!of->is_whole || value == floor(value)), ML_E_ARGUMENT,
              "\"%s\": %s is %g, expected a%s number from %g to %g", what, of->name, value,
              of->is_whole ? " whole" : "", of->min, of->max);
    *field(s, of) = value;
done:
    return st;
}

static ml_status read_settings(const setting *table, const char *what, const char *text, settings *s)
{
    ml_status st = ML_OK;

    for (const setting *of = table; of->name; of++)
        *field(s, of) = of->value;
    while (text && *text) {
        const size_t n = strcspn(text, ",");
        ML__TRY(read_setting(table, what, text, n, s));
        ML__CHECK(text[n] != ',' || text[n + 1], ML_E_ARGUMENT, "\"%s\": the parameters end with a comma", what);
        text += n + (text[n] == ',');
    }
    ML__CHECK(s->n_features <= (double)ML_MAX_FEATURES, ML_E_LIMIT, "n_features is %g, at most %zu are allowed",
              s->n_features, ML_MAX_FEATURES);
    ML__CHECK(s->n_classes <= (double)ML_MAX_CLASSES && s->centers <= (double)ML_MAX_CLASSES, ML_E_LIMIT,
              "%g classes, at most %zu are allowed", fmax(s->n_classes, s->centers), ML_MAX_CLASSES);
    ML__CHECK(s->n_targets <= (double)ML_MAX_OUTPUTS, ML_E_LIMIT, "n_targets is %g, at most %zu are allowed",
              s->n_targets, ML_MAX_OUTPUTS);
done:
    return st;
}

/* ---- what all three need ---- */

typedef struct maker {
    ml_context *context;
    ml__arena arena;
    settings s;
    uint64_t seed;
    size_t n, d;
    double *X;     /* n x d, of ml__alloc until a dataset takes it over */
    size_t *order; /* a random order of the rows: clusters are runs of it */
    ml__schema features;
} maker;

static ml_status maker_init(maker *m)
{
    size_t n_cells;
    ml_status st = ML_OK;

    m->seed = (uint64_t)m->s.random_state;
    m->n = (size_t)m->s.n_samples;
    m->d = m->features.n_features = (size_t)m->s.n_features;
    ML__CHECK((double)m->n == m->s.n_samples && ml__size_mul(m->n, m->d, &n_cells), ML_E_MEMORY,
              "%g x %g cells exceed the address space", m->s.n_samples, m->s.n_features);
    m->X = ml__alloc_array(m->context, n_cells, sizeof *m->X);
    ML__TRY(m->X ? ML_OK : ML_E_MEMORY);
    ML__NEW(&m->arena, m->order, m->n);
    for (size_t i = 0; i < m->n; i++)
        m->order[i] = i;
    ml__rng rng = ml__rng_make(m->seed, STREAM_ORDER);
    ml__rng_shuffle(&rng, m->order, m->n);
done:
    return st;
}

static ml_status take_over(maker *m, ml_dataset **out)
{
    double *X = m->X;

    m->X = NULL;
    return ml__dataset_own(m->context, X, m->n, &m->features, out);
}

/* Labels named by their digits; classes without a row are classes too. */
static ml_status put_labels(maker *m, const int32_t *codes, size_t n_classes, ml_dataset *dataset)
{
    ml__column column;
    char name[ML__NUMBER_BYTES];
    ml_status st;

    ML__TRY(ml__column_init(&column, m->context, "y", m->n, true));
    ML__NEW(&column.arena, column.output.classes, n_classes);
    column.output.n_classes = n_classes;
    for (size_t k = 0; k < n_classes; k++) {
        column.output.classes[k] = ml__arena_text_n(&column.arena, name, ml__print_int((int64_t)k, name));
        ML__TRY(column.output.classes[k] ? ML_OK : ML_E_MEMORY);
    }
    memcpy(column.codes, codes, m->n * sizeof *codes);
    return ml__dataset_put(dataset, &column, true);
done:
    ml__column_free(&column);
    return st;
}

static void fill_uniform(ml__rng *rng, double *out, size_t n, double low, double high)
{
    for (size_t i = 0; i < n; i++)
        out[i] = low + (high - low) * ml__rng_uniform(rng);
}

static void fill_normal(ml__rng *rng, double *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ml__rng_normal(rng);
}

/* out[n_out] = in[n_in] M[n_in x n_out] */
static void multiply(const double *in, size_t n_in, const double *M, size_t n_out, double *out)
{
    for (size_t b = 0; b < n_out; b++)
        out[b] = 0;
    for (size_t a = 0; a < n_in; a++)
        for (size_t b = 0; b < n_out; b++)
            out[b] += in[a] * M[a * n_out + b];
}

/* ---- classification ---- */

/* Bits of a vertex that are distinct for distinct clusters; the others are drawn. */
enum { MAX_VERTEX_BITS = 62 };

/* Distinct numbers below 2^bits for distinct k: every step is a bijection of them. */
static uint64_t permute(uint64_t k, unsigned bits, const uint64_t key[4])
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;

    for (unsigned round = 0; round < 4; round++) {
        k = (k * (key[round] | 1) + (key[round] >> 1)) & mask;
        k ^= k >> (bits + 1) / 2;
    }
    return k;
}

static void make_vertex(const maker *m, size_t k, size_t n_informative, double *v)
{
    const unsigned bits = n_informative < MAX_VERTEX_BITS ? (unsigned)n_informative : MAX_VERTEX_BITS;
    ml__rng keys = ml__rng_make(m->seed, STREAM_CENTERS),
            others = ml__rng_make(ml__seed_mix(m->seed, k), STREAM_CENTERS);
    uint64_t key[4], vertex;

    for (size_t i = 0; i < 4; i++)
        key[i] = ml__rng_u64(&keys);
    vertex = permute(k, bits, key);
    for (size_t j = 0; j < n_informative; j++) {
        const bool up = j < bits ? vertex >> j & 1 : ml__rng_u32(&others) & 1;
        v[j] = up ? m->s.class_sep : -m->s.class_sep;
    }
}

static ml_status check_classification(const settings *s)
{
    const double n_clusters = s->n_classes * s->n_clusters_per_class;
    ml_status st = ML_OK;

    ML__CHECK(s->n_informative + s->n_redundant <= s->n_features, ML_E_ARGUMENT,
              "n_informative %g and n_redundant %g exceed n_features %g", s->n_informative, s->n_redundant,
              s->n_features);
    ML__CHECK(log2(n_clusters) <= fmin(s->n_informative, MAX_VERTEX_BITS), ML_E_ARGUMENT,
              "n_classes %g times n_clusters_per_class %g exceeds the 2^%g vertices of n_informative", s->n_classes,
              s->n_clusters_per_class, s->n_informative);
done:
    return st;
}

/* Informative features of the rows of cluster k. */
static void make_cluster(const maker *m, size_t k, const size_t *rows, size_t n_rows, size_t n_informative, double *A,
                         double *v, double *z, ml__rng *points)
{
    ml__rng mix = ml__rng_make(m->seed, STREAM_MIX + (uint64_t)k);

    fill_uniform(&mix, A, n_informative * n_informative, -1, 1);
    make_vertex(m, k, n_informative, v);
    for (size_t i = 0; i < n_rows; i++) {
        double *x = m->X + rows[i] * m->d;
        fill_normal(points, z, n_informative);
        multiply(z, n_informative, A, n_informative, x);
        for (size_t j = 0; j < n_informative; j++)
            x[j] += v[j];
    }
}

static ml_status make_informative(maker *m, size_t n_informative, size_t n_classes, int32_t *codes)
{
    const double n_clusters = m->s.n_classes * m->s.n_clusters_per_class;
    const size_t C = n_clusters < (double)m->n ? (size_t)n_clusters : m->n; /* the others have no row */
    double *A, *v, *z;
    size_t n_cells;
    ml__rng points = ml__rng_make(m->seed, STREAM_POINTS);
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(n_informative, n_informative, &n_cells), ML_E_MEMORY, "n_informative %zu is too large",
              n_informative);
    ML__NEW(&m->arena, A, n_cells);
    ML__NEW(&m->arena, v, n_informative);
    ML__NEW(&m->arena, z, n_informative);
    for (size_t k = 0, first = 0; k < C; k++) {
        const size_t n_rows = m->n / C + (k < m->n % C);
        make_cluster(m, k, m->order + first, n_rows, n_informative, A, v, z, &points);
        for (size_t i = first; i < first + n_rows; i++)
            codes[m->order[i]] = (int32_t)(k % n_classes);
        first += n_rows;
    }
done:
    return st;
}

static ml_status make_others(maker *m, size_t n_informative, size_t n_redundant)
{
    ml__rng redundant = ml__rng_make(m->seed, STREAM_REDUNDANT), noise = ml__rng_make(m->seed, STREAM_NOISE);
    const size_t n_used = n_informative + n_redundant;
    double *B;
    size_t n_cells;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(n_informative, n_redundant, &n_cells), ML_E_MEMORY, "n_redundant %zu is too large",
              n_redundant);
    ML__NEW(&m->arena, B, n_cells);
    fill_uniform(&redundant, B, n_cells, -1, 1);
    for (size_t i = 0; i < m->n; i++) {
        double *x = m->X + i * m->d;
        multiply(x, n_informative, B, n_redundant, x + n_informative);
        fill_normal(&noise, x + n_used, m->d - n_used);
    }
done:
    return st;
}

static ml_status make_classification(maker *m, ml_dataset **out)
{
    const size_t n_informative = (size_t)m->s.n_informative, n_classes = (size_t)m->s.n_classes;
    ml__rng rng = ml__rng_make(m->seed, STREAM_LABELS);
    int32_t *codes;
    ml_status st;

    ML__NEW(&m->arena, codes, m->n);
    ML__TRY(make_informative(m, n_informative, n_classes, codes));
    ML__TRY(make_others(m, n_informative, (size_t)m->s.n_redundant));
    for (size_t i = 0; i < m->n; i++)
        if (ml__rng_uniform(&rng) < m->s.flip_y)
            codes[i] = (int32_t)ml__rng_below(&rng, n_classes);
    ML__TRY(take_over(m, out));
    ML__TRY(put_labels(m, codes, n_classes, *out));
done:
    return st;
}

/* ---- regression ---- */

static ml_status make_target(maker *m, size_t t, const double *y, ml_dataset *dataset)
{
    char name[ML__NUMBER_BYTES + 1] = "y";
    ml__column column;
    ml_status st;

    if (m->s.n_targets > 1)
        ml__format(name, sizeof name, "y%zu", t);
    ML__TRY(ml__column_init(&column, m->context, name, m->n, false));
    memcpy(column.values, y, m->n * sizeof *y);
    return ml__dataset_put(dataset, &column, true);
done:
    ml__column_free(&column);
    return st;
}

/* Target t draws its coefficients and noise from streams of its own. */
static void combine(const maker *m, size_t t, size_t n_informative, const double *X, double *w, double *y)
{
    const uint64_t seed = ml__seed_mix(m->seed, t);
    ml__rng coefficients = ml__rng_make(seed, STREAM_MIX), noise = ml__rng_make(seed, STREAM_NOISE);

    fill_uniform(&coefficients, w, n_informative, 0, 100);
    for (size_t i = 0; i < m->n; i++) {
        y[i] = m->s.bias + m->s.noise * ml__rng_normal(&noise);
        for (size_t j = 0; j < n_informative; j++)
            y[i] += X[i * m->d + j] * w[j];
    }
}

static ml_status make_regression(maker *m, ml_dataset **out)
{
    const size_t n_informative = (size_t)fmin(m->s.n_informative, m->s.n_features);
    ml__rng points = ml__rng_make(m->seed, STREAM_POINTS);
    const double *X = m->X;
    double *w, *y;
    ml_status st;

    ML__NEW(&m->arena, w, n_informative);
    ML__NEW(&m->arena, y, m->n);
    fill_normal(&points, m->X, m->n * m->d);
    ML__TRY(take_over(m, out));
    for (size_t t = 0; t < (size_t)m->s.n_targets; t++) {
        combine(m, t, n_informative, X, w, y);
        ML__TRY(make_target(m, t, y, *out));
    }
done:
    return st;
}

/* ---- blobs ---- */

static ml_status make_blobs(maker *m, ml_dataset **out)
{
    const size_t C = (size_t)m->s.centers;
    ml__rng rng = ml__rng_make(m->seed, STREAM_CENTERS), points = ml__rng_make(m->seed, STREAM_POINTS);
    double *center;
    int32_t *codes;
    ml_status st;

    ML__NEW(&m->arena, center, m->d);
    ML__NEW(&m->arena, codes, m->n);
    for (size_t k = 0, first = 0; k < C; k++) {
        const size_t n_rows = m->n / C + (k < m->n % C);
        fill_uniform(&rng, center, m->d, -10, 10);
        for (size_t i = first; i < first + n_rows; i++) {
            double *x = m->X + m->order[i] * m->d;
            for (size_t j = 0; j < m->d; j++)
                x[j] = center[j] + m->s.cluster_std * ml__rng_normal(&points);
            codes[m->order[i]] = (int32_t)k;
        }
        first += n_rows;
    }
    ML__TRY(take_over(m, out));
    ML__TRY(put_labels(m, codes, C, *out));
done:
    return st;
}

/* ---- the three together ---- */

typedef struct recipe {
    const char *what;
    const setting *table;
    ml_status (*check)(const settings *s);
    ml_status (*make)(maker *m, ml_dataset **out);
} recipe;

static const recipe RECIPES[] = {
    {"classification", CLASSIFICATION, check_classification, make_classification},
    {"regression", REGRESSION, NULL, make_regression},
    {"blobs", BLOBS, NULL, make_blobs},
};

static const recipe *find_recipe(const char *what)
{
    for (size_t i = 0; i < sizeof RECIPES / sizeof *RECIPES; i++)
        if (!strcmp(RECIPES[i].what, what))
            return &RECIPES[i];
    return NULL;
}

ml_status ml_dataset_make(ml_context *context, const char *what, const char *params, ml_dataset **out)
{
    const ml__float_state host = ml__float_begin();
    maker m = {.context = context};
    const recipe *r;
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(what, ML_E_ARGUMENT, "what is NULL");
    r = find_recipe(what);
    ML__CHECK(r, ML_E_ARGUMENT, "there is no synthetic dataset '%s', only classification, regression and blobs", what);
    ml__arena_init(&m.arena, context);
    ML__TRY(read_settings(r->table, what, params, &m.s));
    if (r->check)
        ML__TRY(r->check(&m.s));
    ML__TRY(maker_init(&m));
    ML__TRY(r->make(&m, out));
done:
    ml__arena_free(&m.arena);
    ml__free(m.X);
    if (st != ML_OK && out) {
        ml_dataset_free(*out);
        *out = NULL;
    }
    return ml__float_end(host, st);
}
