#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference trees and forests: what scikit-learn makes of the same data.

tests/expected/trees_nodes.txt    data, then for each of several parameter sets all nodes of scikit-learn's tree; the
                                  trees are the same for 10 orders of features, so no split hangs on a tie
tests/expected/trees_leaves.txt   for each of these trees: the node that each row ends in, and how many nodes it passes
tests/expected/trees_rules.txt    the same for other criteria and several outputs, on a small table and on shipped ones
tests/expected/trees_scores.txt   for each shipped table: mean test accuracy (or R2) over seeds of a tree and of a forest of
                                  100 trees, and the standard deviation of each; row i is a test row when
                                  (2654435761 i mod 2^32) < 2^30
"""
import os

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from common import EXPECTED, numbers, read_table

N_SEEDS = 10
N_TREE_SEEDS = 100  # one tree varies more


def same_tree(a, b):
    a, b = a.tree_, b.tree_
    return (
        np.array_equal(a.feature, b.feature)
        and np.array_equal(a.threshold, b.threshold)
        and np.array_equal(a.children_left, b.children_left)
        and np.allclose(a.value, b.value, rtol=1e-13)
    )


# ---- nodes ----

# criterion (1 gini, 2 entropy, 4 squared error, as the library counts), max_depth, min_samples_split,
# min_samples_leaf, min_impurity_decrease, weighted
CASES = [
    (1, 3, 2, 1, 0, 0),
    (1, 5, 2, 4, 0, 1),
    (1, 8, 25, 10, 0, 1),
    (1, 12, 2, 1, 0.01, 1),
    (2, 3, 2, 1, 0, 0),
    (2, 5, 2, 7, 0.01, 1),
    (4, 5, 2, 5, 0, 0),
    (4, 5, 20, 3, 0, 1),
    (4, 12, 30, 9, 0, 0),
    (4, 12, 2, 1, 0.05, 1),
]


def make_nodes():
    rng = np.random.RandomState(7)
    n, d, K = 400, 6, 3
    X = np.round(rng.normal(size=(n, d)) * 1024) / 1024
    score = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=n)
    y = np.digitize(score, [-0.6, 0.7])
    t = np.round(score * 64) / 64 + 1000
    w = rng.randint(1, 65, size=n) / 32
    names = {1: "gini", 2: "entropy", 4: "squared_error"}
    text = "# n, d, K, number of cases; X; labels; targets; weights\n"
    text += numbers([n, d, K, len(CASES)])
    text += "".join(numbers(row) for row in X) + numbers(y) + numbers(t) + numbers(w)
    text += "# each case: criterion, max_depth, min_samples_split, min_samples_leaf, min_impurity_decrease, weighted,\n"
    text += "# nodes; the importances; then per node feature (-2: leaf), threshold, left, right, shares or mean\n"
    leaves = "# per case of trees_nodes.txt: the leaf of each row; the length of each row's path\n"
    for criterion, depth, split, leaf, decrease, weighted in CASES:
        trees = []
        for seed in range(N_SEEDS):
            kind = DecisionTreeRegressor if criterion == 4 else DecisionTreeClassifier
            tree = kind(
                criterion=names[criterion],
                max_depth=depth,
                min_samples_split=split,
                min_samples_leaf=leaf,
                min_impurity_decrease=decrease,
                random_state=seed,
            )
            trees.append(tree.fit(X, t if criterion == 4 else y, sample_weight=w if weighted else None))
        assert all(same_tree(trees[0], other) for other in trees), (criterion, depth, split, leaf, decrease)
        tree = trees[0].tree_
        values = tree.value[:, 0, :]
        if criterion != 4:
            values = values / values.sum(axis=1, keepdims=True)
        text += numbers([criterion, depth, split, leaf, decrease, weighted, tree.node_count])
        text += numbers(trees[0].feature_importances_)
        leaves += numbers(trees[0].apply(X)) + numbers(trees[0].decision_path(X).sum(axis=1))
        for i in range(tree.node_count):
            text += numbers([tree.feature[i], tree.threshold[i], tree.children_left[i], tree.children_right[i]])
            text += numbers(values[i])
    with open(os.path.join(EXPECTED, "trees_nodes.txt"), "w") as file:
        file.write(text)
    with open(os.path.join(EXPECTED, "trees_leaves.txt"), "w") as file:
        file.write(leaves)


# ---- other rules ----

# criterion, max_depth, min_samples_leaf, weighted; for labels gini and entropy
CRITERIA = {1: "gini", 2: "entropy", 4: "squared_error", 5: "friedman_mse", 6: "absolute_error", 7: "poisson"}
TABLE_CASES = [(c, depth, leaf, weighted) for c in (5, 7) for depth, leaf in ((3, 5), (5, 8)) for weighted in (0, 1)]
# Medians tie often, and only sums of whole numbers show it, as those of the diabetes targets. scikit-learn's weighted
# medians depend on the order of features, so that none of those cases is used.
MEDIAN_CASES = [(6, depth, leaf, 0) for depth, leaf in ((3, 5), (4, 20), (5, 15), (8, 30))]
TOY_CASES = [(c, depth, leaf, weighted) for c in (1, 2, 4, 5, 6, 7) for depth, leaf in ((3, 3), (5, 5)) for weighted in (0, 1)]


def case_weights(n):
    return (np.arange(n) * 29 % 64 + 1) / 32


def case_nodes(source, X, y, criterion, depth, leaf, weighted):
    """Header, then the nodes; empty where orders of features disagree, so that a split hangs on a tie."""
    kind = DecisionTreeClassifier if criterion < 4 else DecisionTreeRegressor
    rules = dict(criterion=CRITERIA[criterion], max_depth=depth, min_samples_leaf=leaf)
    w = case_weights(len(X)) if weighted else None
    trees = [kind(random_state=seed, **rules).fit(X, y, sample_weight=w) for seed in range(N_SEEDS)]
    if not all(same_tree(trees[0], other) for other in trees):
        return ""
    tree = trees[0].tree_
    values = tree.value
    if criterion < 4:  # of classes that an output does not have there are zeros
        values = values / values.sum(axis=2, keepdims=True)
        widths = np.atleast_1d(trees[0].n_classes_)
        values = np.concatenate([values[:, o, :width] for o, width in enumerate(widths)], axis=1)
    values = values.reshape(tree.node_count, -1)
    text = numbers([source, criterion, depth, leaf, weighted, tree.node_count, values.shape[1]])
    text += numbers(trees[0].feature_importances_)
    for i in range(tree.node_count):
        text += numbers([tree.feature[i], tree.threshold[i], tree.children_left[i], tree.children_right[i]])
        text += numbers(values[i])
    return text


def make_rules():
    rng = np.random.RandomState(11)
    n, d = 200, 4
    X = np.round(rng.normal(size=(n, d)) * 256) / 256
    score = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=n)
    y = np.column_stack([np.digitize(score, [-0.6, 0.7]), X[:, 1] + rng.normal(size=n) > 0]).astype(int)
    t = np.column_stack([np.round(np.exp(score) * 64) / 64, np.round(1000 * np.exp(X[:, 3] + rng.normal(size=n)))])
    text = "# n, d; X; two label outputs; two real outputs; weights of row i are (29 i mod 64 + 1) / 32\n"
    text += numbers([n, d]) + "".join(numbers(row) for row in X)
    text += "".join(numbers(column) for column in [*y.T, *t.T])
    text += "# each case: data (0 both outputs of that table, 1 diabetes, 2 boston), criterion (as the library counts),\n"
    text += "# max_depth, min_samples_leaf, weighted, nodes, values of a node; the importances; then per node feature\n"
    text += "# (-2: leaf), threshold, left, right, values\n"
    for case in TOY_CASES:
        text += case_nodes(0, X, y if case[0] < 4 else t, *case)
    for source, name in ((1, "diabetes"), (2, "boston")):
        X, t, _ = read_table(name)
        for case in TABLE_CASES + (MEDIAN_CASES if name == "diabetes" else []):
            text += case_nodes(source, X, t, *case)
    with open(os.path.join(EXPECTED, "trees_rules.txt"), "w") as file:
        file.write(text)


# ---- scores ----


def make_scores():
    text = "# per table (iris, wine, breast_cancer, digits, boston, diabetes): rows, test rows, tree mean and standard\n"
    text += "# deviation, forest mean and standard deviation\n"
    for name in ("iris", "wine", "breast_cancer", "digits", "boston", "diabetes"):
        X, y, real = read_table(name)
        test = np.array([(2654435761 * i) % 2**32 < 2**30 for i in range(len(X))])
        line = [len(X), test.sum()]
        kinds = (DecisionTreeRegressor, RandomForestRegressor) if real else (DecisionTreeClassifier, RandomForestClassifier)
        for kind in kinds:
            seeds = range(N_TREE_SEEDS if kind in (DecisionTreeClassifier, DecisionTreeRegressor) else N_SEEDS)
            scores = [kind(random_state=seed).fit(X[~test], y[~test]).score(X[test], y[test]) for seed in seeds]
            line += [np.mean(scores), np.std(scores)]
        text += numbers(line)
    with open(os.path.join(EXPECTED, "trees_scores.txt"), "w") as file:
        file.write(text)


if __name__ == "__main__":
    make_nodes()
    make_rules()
    make_scores()
