/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Metrics: how good predictions are. Definitions, averages and the zero-division rule are scikit-learn's.
 *
 * Labels are class indices 0 .. n_classes-1 in doubles, as ml_model_predict() gives them. Weights may be NULL (all 1).
 * All functions: any thread; ML_E_ARGUMENT (NULL, n = 0, unknown option), ML_E_DATA (a label outside the classes, NaN, a
 * negative weight or none positive: the row is named), ML_E_MEMORY.
 */
#ifndef INVAR_METRICS_H
#define INVAR_METRICS_H

#include "context.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Precision, recall and F of one class or average; support is the weight of the true labels. */
typedef struct ml_prf {
    double precision, recall, f_score, support;
} ml_prf;

typedef struct ml_classification_options {
    size_t struct_size;    /**< sizeof(ml_classification_options) */
    double beta;           /**< of F-beta, > 0; 0 means 1 */
    double zero_division;  /**< value of 0/0: 0 or 1 */
    const double *weights; /**< n sample weights, or NULL */
} ml_classification_options;

typedef struct ml_classification_metrics {
    size_t struct_size;  /**< sizeof(ml_classification_metrics), set by the caller */
    double accuracy;     /**< for multilabel: share of rows with every decision right */
    double hamming_loss; /**< share of single label decisions that are wrong */
    ml_prf micro;        /**< from the sums of true positives, false positives and false negatives over classes */
    ml_prf macro;        /**< unweighted mean over classes that occur in y_true or y_pred */
    ml_prf weighted;     /**< mean over classes weighted by support */
} ml_classification_metrics;

/**
 * Metrics of single-label predictions.
 *
 * @param y_true, y_pred  n class indices
 * @param options         NULL: beta 1, zero_division 0, no weights
 * @param out             filled; as much as out->struct_size says
 * @param per_class       NULL, or n_classes entries, classes that never occur included
 * Cost: O(n + n_classes). @since 0.1
 */
ML_API ml_status ml_metrics_classification(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                                           size_t n_classes, const ml_classification_options *options,
                                           ml_classification_metrics *out, ml_prf *per_class);

/**
 * Metrics of multilabel decisions: y_true and y_pred are n x n_labels of 0 and 1. Every (row, label) is one decision;
 * micro averages run over all of them. NaN in y_true: that decision is missing and left out. Macro and weighted
 * averages are over all labels.
 *
 * @param per_label  NULL, or n_labels entries
 * @param samples    NULL, or one entry: the mean over rows of each row's own P, R, F
 * Cost: O(n n_labels). @since 0.1
 */
ML_API ml_status ml_metrics_multilabel(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                                       size_t n_labels, const ml_classification_options *options,
                                       ml_classification_metrics *out, ml_prf *per_label, ml_prf *samples);

/**
 * Micro-averaged metrics over several class outputs: y_true and y_pred are n x n_outputs class indices, n_classes one
 * number per output. True positives, false positives and false negatives of all classes of all outputs are summed;
 * NaN in y_true is a missing label. accuracy is over label decisions; macro is the mean of the outputs' macro averages.
 * Cost: O(n n_outputs + the sum of n_classes). @since 0.1
 */
ML_API ml_status ml_metrics_multioutput(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                                        size_t n_outputs, const size_t *n_classes,
                                        const ml_classification_options *options, ml_classification_metrics *out);

/** Confusion matrix: out[t * n_classes + p] = weight of rows of class t predicted as p. @since 0.1 */
ML_API ml_status ml_metrics_confusion(const double *y_true, const double *y_pred, const double *weights, size_t n,
                                      size_t n_classes, double *out);

/**
 * Log-loss −Σ w_i ln p(i, y_i) / Σ w_i; `proba` is n x n_classes, values are clipped to [2.2e-16, 1 − 2.2e-16] and
 * rows then divided by their sums, as scikit-learn does. ML_E_DATA for a probability outside [0, 1]. @since 0.1
 */
ML_API ml_status ml_metrics_log_loss(const double *y_true, const double *proba, const double *weights, size_t n,
                                     size_t n_classes, double *out);

typedef struct ml_regression_metrics {
    size_t struct_size; /**< sizeof(ml_regression_metrics), set by the caller */
    double mse, rmse, mae;
    double r2; /**< 1 − Σ w (y − ŷ)² / Σ w (y − ȳ)²; when the denominator is 0: 1 if all errors are 0, else 0 */
} ml_regression_metrics;

/** Metrics of real predictions; several outputs are n x n_outputs, metrics are the mean over outputs. @since 0.1 */
ML_API ml_status ml_metrics_regression(const double *y_true, const double *y_pred, const double *weights, size_t n,
                                       size_t n_outputs, ml_regression_metrics *out);

/* ---- clusters ---- */

/**
 * Silhouette of clusters (Rousseeuw 1987): s(i) = (b - a) / max(a, b), a the mean distance of row i from the other rows of
 * its cluster, b the least mean distance from the rows of another cluster; 0 for a row that is alone in its cluster.
 *
 * @param x           n x d, row-major, finite
 * @param labels      n cluster indices 0 .. n_clusters-1, as ml_model_predict() gives them; clusters may be empty
 * @param n_clusters  >= 1
 * @param mean        the mean of all s(i)
 * @param samples     NULL, or n values: s(i)
 * @return ML_OK; ML_E_ARGUMENT; ML_E_DATA (also when rows occur in one cluster only, or each in a cluster of its own, as
 *         scikit-learn has it); ML_E_MEMORY; ML_E_EXECUTOR. Outputs are untouched on failure. The same bits for any number
 *         of threads of `context`. Cost: O(n² d). @since 0.1
 */
ML_API ml_status ml_metrics_silhouette(ml_context *context, const double *x, size_t n, size_t d, const double *labels,
                                       size_t n_clusters, double *mean, double *samples);

/**
 * Davies-Bouldin index, less is better, 0 at least: the mean over clusters of the largest (s_i + s_j) / |c_i - c_j|, s the
 * mean distance from the centroid c. 0 when every s is 0 or all centroids are the same. Arguments and failures as
 * ml_metrics_silhouette(). Cost: O(n d + K² d). @since 0.1
 */
ML_API ml_status ml_metrics_davies_bouldin(ml_context *context, const double *x, size_t n, size_t d,
                                           const double *labels, size_t n_clusters, double *out);

/**
 * Calinski-Harabasz index, more is better: the variance between clusters over that within, each by its degrees of freedom;
 * 1 when every row lies on its centroid, DBL_MAX at most. Arguments and failures as ml_metrics_silhouette(). Cost: O(n d). @since 0.1
 */
ML_API ml_status ml_metrics_calinski_harabasz(ml_context *context, const double *x, size_t n, size_t d,
                                              const double *labels, size_t n_clusters, double *out);

/**
 * Adjusted Rand index of two clusterings (Hubert & Arabie 1985): 1 when they are the same up to numbering, about 0 for
 * independent ones. 1 for one cluster, or one row per cluster, in both.
 *
 * @param labels_true, labels_pred  n cluster indices, below n_true and n_pred
 * Memory and cost: O(n + n_true + n_pred). @since 0.1
 */
ML_API ml_status ml_metrics_adjusted_rand(ml_context *context, const double *labels_true, const double *labels_pred,
                                          size_t n, size_t n_true, size_t n_pred, double *out);

/**
 * Normalised mutual information of two clusterings: their mutual information over the mean of their entropies; 1 when
 * both have one cluster. As ml_metrics_adjusted_rand(). @since 0.1
 */
ML_API ml_status ml_metrics_normalized_mutual_info(ml_context *context, const double *labels_true,
                                                   const double *labels_pred, size_t n, size_t n_true, size_t n_pred,
                                                   double *out);

#ifdef __cplusplus
}
#endif
#endif
