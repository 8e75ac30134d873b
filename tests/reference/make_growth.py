#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference for the growth rules of trees and forests: what scikit-learn makes of the shipped tables.

tests/expected/growth_trees.txt   for each case of CASES (the test has the same list): number of nodes, predictions of all
                                  rows (share of the second class, or value); they are the same for 10 orders of features,
                                  so nothing hangs on a tie
tests/expected/growth_paths.txt   for each case of PATHS: length of the pruning path, its alphas, its impurities
tests/expected/growth_scores.txt  for each shipped table: mean and standard deviation over seeds of the test accuracy (or R2) of
                                  extra trees, of a tree with splitter "random", and of the out-of-bag score of a forest
tests/expected/growth_outputs.txt for each case of OUTPUT_CASES: number of nodes, shares of the classes of both outputs of all rows
                                  of the wine table, whose second output is that of second_labels()
"""
import os

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from common import EXPECTED, numbers, read_table

N_SEEDS = 10
N_TREE_SEEDS = 100  # one tree varies more
TABLES = ("iris", "wine", "breast_cancer", "digits", "boston", "diabetes")

# table, weighted, parameters
CASES = [
    ("breast_cancer", True, dict(min_weight_fraction_leaf=0.05)),
    ("breast_cancer", True, dict(class_weight="balanced", min_samples_leaf=10, max_depth=3)),
    ("breast_cancer", True, dict(class_weight={0: 1, 1: 5}, min_samples_leaf=10)),
    ("breast_cancer", True, dict(max_leaf_nodes=6)),
    ("breast_cancer", True, dict(max_leaf_nodes=9, min_samples_leaf=4)),
    ("breast_cancer", True, dict(max_leaf_nodes=8, min_impurity_decrease=0.01, criterion="entropy")),
    ("breast_cancer", True, dict(ccp_alpha=0.01, min_samples_leaf=4)),
    ("breast_cancer", True, dict(ccp_alpha=0.004, criterion="entropy", min_samples_leaf=5)),
    ("breast_cancer", True, dict(ccp_alpha=0.005, max_leaf_nodes=7)),
    ("diabetes", True, dict(min_weight_fraction_leaf=0.03)),
    ("diabetes", False, dict(max_leaf_nodes=15)),
    ("diabetes", True, dict(max_leaf_nodes=40, min_samples_leaf=3)),
    ("diabetes", False, dict(ccp_alpha=30, min_samples_leaf=3)),
    ("diabetes", True, dict(ccp_alpha=100, min_samples_leaf=5)),
]
PATHS = [
    ("breast_cancer", True, dict(min_samples_leaf=6)),
    ("diabetes", False, dict(min_samples_leaf=6)),
    ("diabetes", True, dict(max_leaf_nodes=30)),
]


SECOND_WEIGHTS = [{0: 1, 1: 5, 2: 2}, {0: 3, 1: 1, 2: 0.5, 3: 1}]
OUTPUT_CASES = [
    (False, dict(min_samples_leaf=12)),
    (False, dict(class_weight="balanced", min_samples_leaf=12)),
    (True, dict(class_weight="balanced", min_samples_leaf=9, max_depth=4)),
    (True, dict(class_weight=SECOND_WEIGHTS, min_samples_leaf=12)),
    (True, dict(class_weight=SECOND_WEIGHTS, min_samples_leaf=7, criterion="entropy")),
]


def weights(n, weighted):
    return 1 + (37 * np.arange(n) % 64) / 64 if weighted else None


def make_trees():
    text = "# per case: nodes; predictions\n"
    for table, weighted, parameters in CASES:
        X, y, real = read_table(table)
        w = weights(len(X), weighted)
        kind = DecisionTreeRegressor if real else DecisionTreeClassifier
        results = []
        for seed in range(N_SEEDS):
            tree = kind(random_state=seed, **parameters).fit(X, y, sample_weight=w)
            results.append((tree.tree_.node_count, tree.predict(X) if real else tree.predict_proba(X)[:, 1]))
        for n_nodes, predictions in results:
            if n_nodes != results[0][0] or not np.allclose(predictions, results[0][1], rtol=1e-12, atol=1e-12):
                print("not unique:", table, weighted, parameters)
                break
        text += numbers([results[0][0]]) + numbers(np.round(results[0][1], 12))
    with open(os.path.join(EXPECTED, "growth_trees.txt"), "w") as file:
        file.write(text)


def second_labels(y):
    return (37 * np.arange(len(y)) % 64 + 16 * y) // 24


def make_outputs():
    text = "# per case: nodes; shares of the classes of the first output and of the second, row by row\n"
    X, first, _ = read_table("wine")
    y = np.column_stack([first, second_labels(first)])
    for weighted, parameters in OUTPUT_CASES:
        w = weights(len(X), weighted)
        results = []
        for seed in range(N_SEEDS):
            tree = DecisionTreeClassifier(random_state=seed, **parameters).fit(X, y, sample_weight=w)
            results.append((tree.tree_.node_count, np.column_stack(tree.predict_proba(X))))
        for n_nodes, shares in results:
            if n_nodes != results[0][0] or not np.allclose(shares, results[0][1], rtol=1e-12, atol=1e-12):
                print("not unique:", weighted, parameters)
                break
        text += numbers([results[0][0]]) + numbers(np.round(results[0][1], 12))
    with open(os.path.join(EXPECTED, "growth_outputs.txt"), "w") as file:
        file.write(text)


def make_paths():
    text = "# per case: steps; alphas; impurities\n"
    for table, weighted, parameters in PATHS:
        X, y, real = read_table(table)
        kind = DecisionTreeRegressor if real else DecisionTreeClassifier
        paths = [
            kind(random_state=seed, **parameters).cost_complexity_pruning_path(X, y, weights(len(X), weighted))
            for seed in range(N_SEEDS)
        ]
        if not all(len(paths[0].ccp_alphas) == len(p.ccp_alphas) for p in paths) or not all(
            np.allclose(paths[0].ccp_alphas, p.ccp_alphas) and np.allclose(paths[0].impurities, p.impurities) for p in paths
        ):
            print("not unique:", table, weighted, parameters)
        text += numbers([len(paths[0].ccp_alphas)]) + numbers(paths[0].ccp_alphas) + numbers(paths[0].impurities)
    with open(os.path.join(EXPECTED, "growth_paths.txt"), "w") as file:
        file.write(text)


def make_scores():
    text = "# per table (%s): mean and standard deviation of extra trees, of a tree with splitter\n" % ", ".join(TABLES)
    text += "# random, of the out-of-bag score of a forest; rows of a test as for trees_scores.txt\n"
    for name in TABLES:
        X, y, real = read_table(name)
        test = np.array([(2654435761 * i) % 2**32 < 2**30 for i in range(len(X))])
        extra = ExtraTreesRegressor if real else ExtraTreesClassifier
        tree = DecisionTreeRegressor if real else DecisionTreeClassifier
        forest = RandomForestRegressor if real else RandomForestClassifier
        line = []
        for kind, n, parameters in ((extra, N_SEEDS, {}), (tree, N_TREE_SEEDS, dict(splitter="random"))):
            scores = [
                kind(random_state=seed, **parameters).fit(X[~test], y[~test]).score(X[test], y[test]) for seed in range(n)
            ]
            line += [np.mean(scores), np.std(scores)]
        scores = [forest(random_state=seed, oob_score=True).fit(X, y).oob_score_ for seed in range(N_SEEDS)]
        line += [np.mean(scores), np.std(scores)]
        text += numbers(line)
    with open(os.path.join(EXPECTED, "growth_scores.txt"), "w") as file:
        file.write(text)


if __name__ == "__main__":
    make_trees()
    make_outputs()
    make_paths()
    make_scores()
