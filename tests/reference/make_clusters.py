#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""k-means, principal components and metrics of clusters of scikit-learn 1.2: python3 tests/reference/make_clusters.py

tests/expected/kmeans.txt           inertia, n_iter, centres and labels from given starts, which tests/learn/test_kmeans_kind.c
                                    repeats
tests/expected/mini_batch_kmeans.txt
                                    centres, counts and the inertia of the last batch after partial fits, and medians of the inertia
                                    of fits, for tests/learn/test_mini_batch_kmeans.c
tests/expected/pca.txt              what PCA(svd_solver="full") learns from the shipped tables, signs as in the tests, and what
                                    it makes of some rows
tests/expected/pca_spread.txt       variances and noise of tables whose variances span many digits, which tests/learn/test_pca_spread.c
                                    repeats
tests/expected/pca_likeliest.txt    numbers of rows and of features, variances, and how many are components by Minka's evidence
tests/expected/metrics_clusters.txt metrics on random tables, which tests/evaluate/test_clusters.c repeats
"""
import os
import warnings

import numpy as np
from sklearn import metrics as M
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.decomposition._pca import _infer_dimension

from common import EXPECTED, Lcg, features


def write(name, lines):
    with open(os.path.join(EXPECTED, name), "w") as f:
        f.write("# scikit-learn 1.2, tests/reference/make_clusters.py\n")
        f.writelines(" ".join("%.17g" % v for v in line) + "\n" for line in lines)


def make_kmeans():
    lines = []
    for name, k, weighted, tol, max_iter, far in [
            ("iris", 3, False, 1e-4, 300, 0), ("iris", 5, True, 0, 300, 0), ("wine", 4, False, 0, 300, 0),
            ("digits", 10, False, 0, 300, 0), ("digits", 10, True, 1e-4, 300, 0), ("boston", 6, False, 0, 3, 0),
            ("iris", 4, False, 0, 300, 1000)]:
        X = features(name)
        start = X[np.arange(k) * (len(X) // k)]
        start[k - 1] += far
        w = np.array([i % 4 * 0.5 + 0.5 for i in range(len(X))]) if weighted else None
        m = KMeans(k, init=start, n_init=1, tol=tol, max_iter=max_iter, algorithm="lloyd").fit(X, sample_weight=w)
        lines.append([m.inertia_, m.n_iter_, *m.cluster_centers_.ravel(), *m.labels_])
    write("kmeans.txt", lines)


def blobs():
    """26 groups in 16 dimensions; what a draw adds is whole eighths, so that both sides have the same numbers"""
    g = Lcg(5)
    centres = np.array([[g.below(64) for _ in range(16)] for _ in range(26)])
    return np.array([[centres[i % 26, j] + (g.below(81) + g.below(81) + g.below(81) - 120) / 8 for j in range(16)]
                     for i in range(5200)])


def make_mini_batch_kmeans():
    lines = []
    for name, k, batch, weighted in [("iris", 3, 30, False), ("wine", 5, 50, True), ("digits", 10, 200, False),
                                     ("digits", 10, 1797, True)]:
        X = features(name)
        w = np.array([i % 4 * 0.5 + 0.5 for i in range(len(X))]) if weighted else np.ones(len(X))
        start = X[np.arange(k) * (len(X) // k)] + (np.arange(k * X.shape[1]) % 7).reshape(k, -1) / 100
        m = MiniBatchKMeans(k, init=start, n_init=1, reassignment_ratio=0)
        for b in range(0, len(X), batch):
            m.partial_fit(X[b:b + batch], sample_weight=w[b:b + batch])
        lines.append([m.n_steps_, m.inertia_, *m._counts, *m.cluster_centers_.ravel()])
    for X, k, batch in [(features("digits"), 10, 1024), (features("digits"), 10, 100), (blobs(), 26, 256)]:
        lines.append([np.median([MiniBatchKMeans(k, batch_size=batch, n_init=3, random_state=s).fit(X).inertia_
                                 for s in range(30)])])
    write("mini_batch_kmeans.txt", lines)


def make_pca():
    lines = []
    for name, rows, k, whiten in [("iris", None, None, False), ("wine", None, 3, False), ("boston", None, 5, True),
                                  ("digits", None, 0.9, False), ("digits", 40, 10, True),
                                  ("diabetes", None, "mle", False), ("iris", 20, "mle", False)]:
        X = features(name)[:rows]
        m = PCA(k, whiten=whiten, svd_solver="full").fit(X)
        largest = np.argmax(np.abs(m.components_), axis=1)
        signs = np.sign(m.components_[np.arange(len(largest)), largest])
        m.components_ *= signs[:, None]
        z = m.transform(X[5:8])
        lines.append([m.n_components_, *m.components_.ravel(), *m.mean_, *m.explained_variance_,
                      *m.explained_variance_ratio_, *m.singular_values_, m.noise_variance_, *z.ravel(),
                      *m.inverse_transform(z).ravel(),
                      # with whiten, its covariance takes the variances twice
                      *PCA(k, svd_solver="full").fit(X).score_samples(X[5:8])])
    write("pca.txt", lines)


def make_pca_spread():
    """Whole numbers, so that both sides have the same rows: features mix latent ones, the first of which is `scale` times larger."""
    lines = []
    for n, d, m, scale, k in [(60, 3, 3, 1000, 3), (60, 3, 3, 10**6, 3), (60, 3, 3, 10**6, 1), (200, 5, 5, 10**8, 5),
                              (200, 5, 5, 10**9, 2), (200, 5, 5, 10**9, 1), (8, 12, 6, 10**6, 5), (8, 12, 6, 10**8, 2),
                              (400, 300, 6, 10**7, 4)]:
        g = Lcg(n + d + k)
        mix = np.array([[g.below(7) - 3 for _ in range(m)] for _ in range(d)])
        z = np.array([[g.below(2001) - 1000 for _ in range(m)] for _ in range(n)])
        z[:, 0] *= scale
        p = PCA(k, svd_solver="full").fit((z @ mix.T).astype(float))
        lines.append([n, d, m, scale, k, *p.explained_variance_, p.noise_variance_])
    write("pca_spread.txt", lines)


def make_likeliest():
    lines = []
    for seed in range(40):
        g = Lcg(seed)
        d, n = 2 + g.below(30), 40 + g.below(2000)
        of_signal = g.below(d)
        variances = [1 + g.below(1000003) / (4e5 if i < of_signal else 1e7) for i in range(d)]
        variances = np.array(sorted(variances, reverse=True))
        lines.append([n, d, *variances, _infer_dimension(variances, n)])
    write("pca_likeliest.txt", lines)


def make_metrics():
    lines = []
    for seed in range(60):
        g = Lcg(seed)
        n, d, K = 6 + g.below(60), 1 + g.below(5), 2 + g.below(4)
        labels = np.array([i if i < K else g.below(K) for i in range(n)])
        other = np.array([labels[i] if g.below(2) else g.below(3) for i in range(n)])
        X = np.array([[100 + g.below(40) / 8 + labels[i] * (j == 0) for j in range(d)] for i in range(n)])
        samples = M.silhouette_samples(X, labels)
        lines.append([samples.mean(), samples[0], samples[n - 1], M.davies_bouldin_score(X, labels),
                      M.calinski_harabasz_score(X, labels), M.adjusted_rand_score(labels, other),
                      M.normalized_mutual_info_score(labels, other)])
    write("metrics_clusters.txt", lines)


warnings.simplefilter("ignore")
make_kmeans()
make_mini_batch_kmeans()
make_pca()
make_pca_spread()
make_likeliest()
make_metrics()
