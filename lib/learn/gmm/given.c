/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What parameters say of the first mixture: weights, means, precisions P_c. Each replaces what the shares of a start give; with
 * all of them nothing is drawn. Checks and meaning are scikit-learn's.
 */
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"
#include "learn/learn.h"

/* Largest difference of two elements of a matrix that are to be the same, relative to those of the diagonal. */
static const double SYMMETRY = 1e-8;

/* How far a sum of weights may be from 1. */
static const double LARGEST_REST = 1e-5;

bool ml__gmm_all_given(const ml__gmm_given *given)
{
    return given && given->weights->n && given->means->n && given->precisions->n;
}

static ml_status check_matrix(ml__fit *f, const char *name, const char *of, const double *A)
{
    const char *kind = f->model->kind->name;
    const size_t d = f->d;
    double *L;
    ml_status st = ML_OK;

    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            const double a = A[i * d + j], b = A[j * d + i],
                         size = sqrt(fabs(A[i * (d + 1)])) * sqrt(fabs(A[j * (d + 1)]));
            ML__CHECK(fabs(a - b) <= SYMMETRY * size, ML_E_PARAMETER,
                      "%s: parameter '%s'%s is not symmetric: %g and %g", kind, name, of, a, b);
        }
    ML__NEW(f->scratch, L, d * d);
    memcpy(L, A, d * d * sizeof *L);
    ML__CHECK(!ml__cholesky(d, L, d), ML_E_PARAMETER, "%s: parameter '%s'%s is not positive definite", kind, name, of);
done:
    return st;
}

ml_status ml__gmm_check_definite(ml__fit *f, const char *name, const char *of, ml__covariance type, const double *A)
{
    ml_status st = ML_OK;

    if (type < ML__DIAG)
        return check_matrix(f, name, of, A);
    for (size_t v = 0; v < ml__covariance_size(type, f->d); v++)
        ML__CHECK(A[v] > 0, ML_E_PARAMETER, "%s: parameter '%s'%s: %g is not positive", f->model->kind->name, name, of,
                  A[v]);
done:
    return st;
}

static ml_status check_size(const ml__fit *f, const char *name, const ml__reals *given, const ml__mixture *m, size_t n)
{
    static const char *const TYPES[] = {"full", "tied", "diag", "spherical"};

    if (!given->n || given->n == n)
        return ML_OK;
    return ml__fail(ML_E_PARAMETER,
                    "%s: parameter '%s' has %zu numbers, %zu components of %zu features with %s covariances take %zu",
                    f->model->kind->name, name, given->n, m->k, m->d, TYPES[m->type], n);
}

ml_status ml__gmm_check_given(ml__fit *f, const ml__gmm_given *given, const ml__mixture *m)
{
    const size_t size = ml__covariance_size(m->type, m->d);
    char of[48] = "";
    double total = 0;
    ml_status st;

    ML__TRY(check_size(f, "weights_init", given->weights, m, m->k));
    ML__TRY(check_size(f, "means_init", given->means, m, m->k * m->d));
    ML__TRY(check_size(f, "precisions_init", given->precisions, m, ml__covariance_numbers(m)));
    for (size_t c = 0; c < given->weights->n; c++)
        total += given->weights->values[c];
    ML__CHECK(!given->weights->n || fabs(total - 1) <= LARGEST_REST, ML_E_PARAMETER,
              "%s: parameter 'weights_init': the sum of %zu numbers is %g, expected 1", f->model->kind->name,
              given->weights->n, total);
    for (size_t v = 0; v < given->precisions->n; v += size) {
        if (m->type != ML__TIED)
            ml__format(of, sizeof of, " of component %zu", v / size);
        ML__TRY(ml__gmm_check_definite(f, "precisions_init", of, m->type, given->precisions->values + v));
    }
done:
    return st;
}

/* Sigma = P^-1, which is symmetric and positive definite; L and X are workspace of a matrix. */
static void invert(ml__covariance type, size_t d, const double *P, double *L, double *X, double *Sigma)
{
    const size_t n = ml__covariance_size(type, d);

    for (size_t v = 0; v < n && type >= ML__DIAG; v++)
        Sigma[v] = 1 / P[v];
    if (type >= ML__DIAG)
        return;
    memcpy(L, P, n * sizeof *L);
    (void)ml__cholesky(d, L, d);
    ml__invert_lower(d, L, d, X, d);
    ml__kernels_best()->f64.gemm_tn(d, d, d, X, d, X, d, 0, Sigma, d);
}

/* Precisions that are definite, with inverses that are not in double precision. */
static ml_status blame_precisions(const ml__fit *f, const ml__reals *precisions, const ml__mixture *m)
{
    const size_t n = ml__covariance_size(m->type, m->d), step = m->type < ML__DIAG ? m->d + 1 : 1;
    double least = INFINITY, largest = 0;

    for (size_t v = 0; v < precisions->n; v += n)
        for (size_t i = 0; i < n; i += step) {
            least = fmin(least, precisions->values[v + i]);
            largest = fmax(largest, precisions->values[v + i]);
        }
    return ml__fail(ML_E_PARAMETER,
                    "%s: parameter 'precisions_init' has no inverse in double precision: its diagonal is from %g to %g",
                    f->model->kind->name, least, largest);
}

ml_status ml__gmm_put_given(ml__fit *f, const ml__gmm_given *given, const double *shift, ml__em *em, ml__mixture *m)
{
    const size_t n = ml__covariance_size(m->type, m->d);
    double *L, *X;
    ml_status st = ML_OK;

    if (given->weights->n)
        memcpy(m->weights, given->weights->values, m->k * sizeof *m->weights);
    for (size_t v = 0; v < given->means->n; v++)
        m->means[v] = given->means->values[v] - shift[v % m->d];
    if (given->precisions->n) {
        ML__NEW(f->scratch, L, n);
        ML__NEW(f->scratch, X, n);
        for (size_t v = 0; v < given->precisions->n; v += n)
            invert(m->type, m->d, given->precisions->values + v, L, X, m->covariances + v);
        st = ml__mixture_factor(f->context, m, em->reg_covar, false, em->work);
        if (st == ML_E_NUMERIC)
            st = blame_precisions(f, given->precisions, m);
        ML__TRY(st);
    }
    ml__mixture_prepare(m);
    ML__TRY(ml__em_begin_from(em, m));
done:
    return st;
}
