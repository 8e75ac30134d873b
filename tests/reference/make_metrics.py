#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Metrics of scikit-learn 1.2 on random predictions: python3 tests/reference/make_metrics.py

Inputs come from a 64-bit linear congruential generator that tests/evaluate/test_metrics.c repeats, so that only results
are stored.
"""
import os
import warnings

import numpy as np
from sklearn import metrics as M

from common import EXPECTED, Lcg

N_SETS = 200


def weights(g, n):
    """Multiples of a quarter, some 0, the first not."""
    w = np.array([g.below(8) / 4 for _ in range(n)])
    w[0] = 1.25
    return w


def prf(y, p, average, beta, zero, w, labels=None):
    r = M.precision_recall_fscore_support(y, p, beta=beta, average=average, sample_weight=w, zero_division=zero,
                                          labels=labels)
    return [float(v) for v in r[:3]] if average else [float(v) for c in zip(*r) for v in c]


def options(g, n):
    beta, zero = [0.5, 1, 2][g.below(3)], g.below(2)
    return beta, zero, weights(g, n) if g.below(2) else None


def single(seed):
    g = Lcg(seed)
    n, K = 1 + g.below(60), 2 + g.below(6)
    K_true, K_pred = 1 + g.below(K), 1 + g.below(K)
    beta, zero, w = options(g, n)
    y = np.array([g.below(K_true) for _ in range(n)])
    p = np.array([y[i] if g.below(3) else g.below(K_pred) for i in range(n)])
    proba = np.array([[g.below(1001) / 1000 for _ in range(K)] for _ in range(n)])
    out = [M.accuracy_score(y, p, sample_weight=w), M.hamming_loss(y, p, sample_weight=w)]
    for average in ("micro", "macro", "weighted"):
        out += prf(y, p, average, beta, zero, w)
    out += prf(y, p, None, beta, zero, w, labels=range(K))
    out.append(M.confusion_matrix(y, p, sample_weight=w, labels=range(K))[0, K - 1])
    out.append(M.log_loss(y, proba, sample_weight=w, labels=range(K)))
    return out


def multilabel(seed):
    g = Lcg(seed)
    n, L = 2 + g.below(40), 2 + g.below(5)
    beta, zero, w = options(g, n)
    share = [g.below(3) for _ in range(L)]
    y = np.array([[int(g.below(3) < share[l]) for l in range(L)] for _ in range(n)])
    p = np.array([[y[i, l] if g.below(2) else int(g.below(3) < share[L - 1 - l]) for l in range(L)] for i in range(n)])
    out = [M.accuracy_score(y, p, sample_weight=w), M.hamming_loss(y, p, sample_weight=w)]
    for average in ("micro", "macro", "weighted", "samples"):
        out += prf(y, p, average, beta, zero, w)
    return out


def multioutput(seed):
    g = Lcg(seed)
    n, O = 2 + g.below(40), 1 + g.below(3)
    K = [2 + g.below(4) for _ in range(O)]
    beta, zero, w = options(g, n)
    y = np.array([[g.below(K[o]) for o in range(O)] for _ in range(n)])
    p = np.array([[y[i, o] if g.below(2) else g.below(K[o]) for o in range(O)] for i in range(n)])
    one_hot = [np.hstack([np.eye(K[o], dtype=int)[a[:, o]] for o in range(O)]) for a in (y, p)]
    out = prf(*one_hot, "micro", beta, zero, w)
    out += list(np.mean([prf(y[:, o], p[:, o], "macro", beta, zero, w) for o in range(O)], axis=0))
    out += prf(*one_hot, "weighted", beta, zero, w)
    return out


def regression(seed):
    g = Lcg(seed)
    n, O = 2 + g.below(50), 1 + g.below(3)
    w = weights(g, n) if g.below(2) else None
    constant = g.below(4) == 0
    y = np.array([[0.25 if constant else (g.below(2001) - 1000) / 100 for _ in range(O)] for _ in range(n)])
    p = np.array([[y[i, o] + (g.below(201) - 100) / 100 for o in range(O)] for i in range(n)])
    return [M.mean_squared_error(y, p, sample_weight=w), M.mean_squared_error(y, p, sample_weight=w, squared=False),
            M.mean_absolute_error(y, p, sample_weight=w), M.r2_score(y, p, sample_weight=w)]


def main():
    warnings.simplefilter("ignore")
    for name, function in (("single", single), ("multilabel", multilabel), ("multioutput", multioutput),
                           ("regression", regression)):
        path = os.path.join(EXPECTED, "metrics_" + name + ".txt")
        with open(path, "w", newline="\n") as f:
            f.write("# scikit-learn 1.2, tests/reference/make_metrics.py\n")
            for seed in range(N_SETS):
                f.write(" ".join("%.15g" % v for v in function(seed)) + "\n")


main()
