# SPDX-License-Identifier: Apache-2.0
"""The jobs: data, what we run, what peers run, the physical limit, the goal.

A limit is a Python expression: the least seconds that the arithmetic or the memory traffic of the job can take. Its names are
the machine's constants (f clock, F32 and F64 multiply-add peaks of all threads, F1 fp32 peak of one, B bandwidth, t threads),
the sizes (n, n_test, d, K classes, s bytes per number), the job's own words (trees T, rounds, k, epochs, …), what our model
reported (D mean depth of a row, steps), and two costs of a core: C_H cycles per histogram update, C_W cycles per level of a
walk through a tree.
"""
import math
from dataclasses import dataclass, field
from typing import Optional

C_H, C_W = 1.2, 2.5


@dataclass(frozen=True)
class Job:
    name: str
    title: str
    data: tuple  # name of a function in tables.py and its arguments
    task: str  # words for us and for peers
    ours: Optional[str]  # words for us alone; None when we have no function for it
    peers: list[str]  # name, then words for this peer alone
    goal: float  # seconds
    goal_score: Optional[float] = None
    limit: str = ""
    score: str = "accuracy"
    verb: str = "fit"
    blas: bool = False  # peers spend their time in a BLAS
    elsewhere: list[str] = field(default_factory=list)  # peers worth comparing with that Debian has no package of
    floor: float = -math.inf  # a right answer of ours scores at least so much, on a twentieth of the table too
    variants: list[str] = field(default_factory=list)  # ours again, with words of its own


LETTER, LETTER_Z = ("letter", "f8", False), ("letter", "f8", True)
MNIST, MNIST_X = ("mnist", True), ("mnist", False)
WIDE = ("classification", 100000, 28, 2, 14, 20000, "f8")
BROAD = ("classification", 2000, 5000, 2, 50, 500, "f8")
BROAD_REALS = ("regression", 2000, 5000, 500, 50)
MANY_CLASSES = ("clusters", 20000, 20, 200, 5000, "f8")
SMALL = ("classification", 1000, 20, 3, 5, 1000, "f8")
TINY = ("classification", 800, 20, 3, 10, 200, "f4")
BOSTON_NET = ("boston", "f4")
MIX16 = ("blobs", 100000, 16, 8, "f8")
SK, SK1, TORCH = "scikit-learn", "scikit-learn threads=1", ["torch", "torch threads=1"]
ONE, AVX2, CALLERS = "threads=1", "kernels=avx2", ["callers=2", "callers=8"]
ADABOOST_PEERS = [SK, SK + " algorithm=SAMME.R"]
LIGHTGBM, KANN = ["LightGBM"], ["KANN"]

FOREST = "T*0.632*n*sqrt(d)*D*C_H/(f*t)"
NET = "(6*MAC-2*MAC1)*n*epochs/F32 + 7*W/16*updates/(f*t)"
GMM_FULL = "2*n*k*d*d"
SUMS_OF_PRODUCTS = "max(n*d*d/F64, s*n*d/B)"


def forest(name: str, title: str, data: tuple, peers: list[str], goal: float, goal_score: Optional[float] = None,
           limit: str = FOREST, score: str = "accuracy", verb: str = "fit", floor: float = -math.inf) -> Job:
    one_too = [SK1] if verb == "fit" else []
    return Job(name, title, data, "task=forest trees=100", "kind=random_forest param=n_estimators:100", peers + one_too, goal,
               goal_score, limit, score, verb, elsewhere=LIGHTGBM if verb == "fit" else [], floor=floor,
               variants=[*CALLERS, AVX2] if verb == "row" else [ONE, AVX2])


def adaboost(name: str, title: str, data: tuple, rounds: int, depth: int, goal: float, floor: float) -> Job:
    ours = f"kind=adaboost param=n_estimators:{rounds} member=base:decision_tree param=base__max_depth:{depth}"
    return Job(name, title, data, f"task=adaboost rounds={rounds} depth={depth}", ours, ADABOOST_PEERS, goal,
               limit="rounds*n*d*depth*C_H/(f*t)", floor=floor, variants=[ONE, AVX2])


def mlp(name: str, title: str, data: tuple, hidden: str, epochs: int, batch: int, peers: list[str], goal: float,
        goal_score: Optional[float] = None, score: str = "accuracy", verb: str = "fit",
        elsewhere: Optional[list[str]] = None, floor: float = -math.inf) -> Job:
    ours = (f"kind=mlp param=hidden_layer_sizes:{hidden} param=max_iter:{epochs} param=batch_size:{batch} param=tol:0 "
            f"param=n_iter_no_change:{epochs}")
    return Job(name, title, data, f"task=mlp hidden={hidden} epochs={epochs} batch={batch}", ours, peers, goal, goal_score,
               "2*MAC/F1" if verb == "row" else NET, score, verb, verb == "fit", elsewhere or [], floor)


def gmm(name: str, title: str, data: tuple, k: int, covariance: str, flops: str, peers: list[str], goal: float,
        floor: float = -math.inf) -> Job:
    ours = (f"kind=gmm metric=log_likelihood param=n_components:{k} param=max_iter:20 param=tol:0 "
            "param=init_params:random_from_data")
    if covariance != "full":
        ours += f" param=covariance_type:{covariance}"
    return Job(name, title, data, f"task=gmm k={k} covariance={covariance} iterations=20", ours, peers, goal,
               limit=f"max({flops}/F64, s*n*d/B)*iterations", score="log-likelihood", blas=True, floor=floor)


JOBS = [
    forest("forest-1000", "forest, train: 1000×20, 3 classes", SMALL, [SK, "ranger", "opencv", "xgboost"], 0.004,
           floor=0.75),
    forest("forest-letter", "forest, train: letter 16000×16, 26 classes", LETTER, ["ranger", SK, "opencv", "xgboost"], 0.045,
           0.960, floor=0.7),
    forest("forest-100k", "forest, train: 100000×28, 2 classes", WIDE, ["xgboost", SK, "ranger"], 0.32, 0.9640,
           floor=0.85),
    forest("forest-california", "forest, train: California housing 16000×8, all features", ("california",),
           ["ranger", SK, "xgboost"], 0.12, 0.805, FOREST.replace("sqrt(d)", "d"), "R²",
           floor=0.6),
    forest("forest-wide", "forest, train: 2000×5000, 2 classes", BROAD, [SK, "ranger", "xgboost"], 1.2, floor=0.5),
    Job("forest-wide-reals", "forest of 10 trees, train: 2000×5000, all features", BROAD_REALS, "task=forest trees=10",
        "kind=random_forest param=n_estimators:10", [SK], 5, limit=FOREST.replace("sqrt(d)", "d"), score="R²",
        variants=[ONE, AVX2]),
    forest("forest-classes", "forest, train: 20000×20, 200 classes", MANY_CLASSES, [SK], 2.0, floor=0.3),
    Job("tree-100k", "decision tree, exact: 100000×28, 2 classes", WIDE, "task=tree", "kind=decision_tree", [SK], 0.5,
        limit="n*d*D*C_H/(f*t)", floor=0.7, variants=[ONE, AVX2]),
    forest("forest-predict", "forest, predict: the 100000×28 forest, 20000 rows", WIDE, [SK, "ranger"], 0.017,
           limit="n_test*T*D*C_W/(f*t)", verb="predict", floor=0.85),
    forest("forest-row", "forest, one row: the letter forest", LETTER, [SK], 2e-6, limit="T*D*C_W/f", verb="row",
           floor=0.7),
    adaboost("adaboost-1000", "AdaBoost stumps: 1000×20, 3 classes, 100 rounds", SMALL, 100, 1, 0.002, 0.6),
    adaboost("adaboost-100k", "AdaBoost stumps: 100000×28, 50 rounds", WIDE, 50, 1, 0.03, 0.7),
    adaboost("adaboost-letter", "AdaBoost depth 8: letter, 50 rounds", LETTER, 50, 8, 0.15, 0.65),
    Job("adaboost-r2", "AdaBoost.R2: Boston 506×13, linear regression, 100 rounds", ("boston", "f8"),
        "task=adaboost rounds=100", "kind=adaboost param=n_estimators:100 member=base:linear_regression", [SK, SK1], 0.001,
        limit="rounds*n*d*d/F64", score="R²", floor=0.6, variants=[ONE, AVX2]),
    mlp("mlp-train", "MLP, train: 800×20, 64-32-3, batch 32, 10 epochs", TINY, "64,32", 10, 32,
        ["fann algorithm=rprop", "fann algorithm=incremental", SK, SK1, "opencv", *TORCH], 0.0012, elsewhere=KANN,
        floor=0.65),
    mlp("mlp-row", "MLP, one row: the same net", TINY, "64,32", 10, 32, ["fann", "torch threads=1", SK1], 8e-8, verb="row",
        elsewhere=KANN, floor=0.65),
    mlp("mlp-boston", "MLP, train: Boston 506×13, 64-64-1, batch 32, 100 epochs", BOSTON_NET, "64,64", 100, 32, [SK, SK1],
        0.010, score="R²", floor=0.9),
    mlp("mlp-mnist", "MLP, train: MNIST 8000×784, 512-512-10, batch 128, 5 epochs", MNIST, "512,512", 5, 128,
        [*TORCH, SK, SK1], 0.32, 0.95, elsewhere=KANN, floor=0.8),
    Job("autoencoder", "autoencoder: MNIST 8000×784, 784-64-784, batch 128, 5 epochs", MNIST_X,
        "task=autoencoder hidden=64 epochs=5 batch=128",
        "kind=autoencoder scale=2 param=encoder_layer_sizes: param=code_size:64 param=max_iter:5 param=batch_size:128 "
        "param=tol:0", TORCH, 0.065, limit=NET,
        score="−MSE", blas=True, floor=-0.09),
    gmm("gmm-1000", "GMM full: 1000×2, k=2, 20 iterations", ("blobs", 1000, 2, 2, "f8"), 2, "full", GMM_FULL,
        [SK, SK1, "armadillo", "opencv"], 0.00006, floor=-5.75),
    gmm("gmm-16", "GMM full: 100000×16, k=8, 20 iterations", MIX16, 8, "full", GMM_FULL, ["armadillo", SK, SK1, "opencv"],
        0.065, floor=-42.9),
    gmm("gmm-64", "GMM full: 20000×64, k=16, 20 iterations", ("blobs", 20000, 64, 16, "f8"), 16, "full", GMM_FULL,
        [SK], 0.31, floor=-170),
    gmm("gmm-tied", "GMM tied: 100000×16, k=8, 20 iterations", MIX16, 8, "tied", "4*n*k*d", [SK], 0.016),
    gmm("gmm-diag", "GMM diag: 100000×16, k=32, 20 iterations", MIX16, 32, "diag", "8*n*k*d", ["armadillo", SK], 0.06),
    gmm("gmm-spherical", "GMM spherical: 100000×16, k=8, 20 iterations", MIX16, 8, "spherical", "4*n*k*d", [SK], 0.016),
    Job("kmeans", "k-means: 100000×16 float32, k=64, 20 iterations", ("blobs", 100000, 16, 64, "f4"),
        "task=kmeans k=64 iterations=20", "kind=kmeans start_rows=64 param=n_clusters:64 param=max_iter:20 param=tol:0",
        [SK, "armadillo"], 0.013, limit="max(2*n*k*d/F32, s*n*d/B)*iterations", score="−inertia/n", blas=True),
    Job("pca-64", "PCA: 100000×64 → 16", ("blobs", 100000, 64, 8, "f8"), "task=pca components=16",
        "kind=pca metric=explained param=n_components:16", [SK], 0.02, limit=SUMS_OF_PRODUCTS, score="explained", blas=True),
    Job("pca-mnist", "PCA: MNIST 8000×784 → 50", MNIST_X, "task=pca components=50", "kind=pca metric=explained param=n_components:50", [SK],
        0.07, limit="n*d*d/F64", score="explained", blas=True),
    Job("linear", "linear regression: 1000000×28", ("regression", 1000000, 28), "task=linear", "kind=linear_regression",
        [SK], 0.015, limit=SUMS_OF_PRODUCTS, score="R²", blas=True, floor=0.95),
    Job("ridge", "ridge: 1000000×28", ("regression", 1000000, 28), "task=linear alpha=1",
        "kind=linear_regression param=alpha:1", [SK], 0.015, limit=SUMS_OF_PRODUCTS, score="R²", blas=True, floor=0.95),
    Job("logistic", "logistic regression: letter, standardised, to convergence", LETTER_Z, "task=logistic",
        "kind=logistic_regression param=max_iter:1000", [SK, SK1], 0.06, limit="steps*4*n*d*K/F64", blas=True,
        floor=0.65),
    Job("naive-bayes", "naive Bayes: letter", LETTER, "task=naive_bayes", "kind=gaussian_nb", [SK], 0.0005, limit="s*n*d/B"),
    Job("svm-rbf", "SVM RBF: letter, standardised", LETTER_Z, "task=svm_rbf", "kind=svm param=kernel:rbf", [SK], 0.35,
        limit="n*n*d/F32"),
    Job("svm-linear", "SVM linear: letter, standardised", LETTER_Z, "task=svm_linear", "kind=svm param=kernel:linear", [SK],
        0.08),
    Job("metrics", "metrics: 1000000 labels, 10 classes: micro P/R/F, confusion, report", ("labels", 1000000, 10),
        "task=metrics", "", [SK], 0.002, limit="16*n/B", score="micro F1", verb="metrics",
        floor=0.72),
    Job("auc", "AUC: 1000000 scores", ("labels", 1000000, 2), "task=auc", None, [SK], 0.012, limit="48*n/B", score="AUC",
        verb="auc"),
    Job("csv", "CSV: 500000×20 numbers", ("csv", 500000, 20), "task=csv", "", ["pandas", "numpy"], 0.09,
        limit="bytes*(1/5.4e9+1/1.04e9)/t", score="sum of a sample", verb="csv"),
]


@dataclass(frozen=True)
class Growth:
    """Our time as the table grows; `data` is that of the largest size, the others are parts of it."""
    name: str
    data: tuple
    ours: str
    parts: tuple = (16, 4, 1)


GROWTH = [
    Growth("forest", ("classification", 64000, 20, 3, 10, 16, "f8"), "kind=random_forest param=n_estimators:20"),
    Growth("forest of 100 trees", ("classification", 1000000, 28, 2, 14, 16, "f4"), "kind=random_forest param=n_estimators:100",
           parts=(100, 10, 1)),
    Growth("gmm", ("blobs", 160000, 16, 8, "f8"),
           "kind=gmm param=n_components:8 param=max_iter:10 param=tol:0 param=init_params:random_from_data"),
    Growth("mlp", ("classification", 32000, 20, 3, 10, 16, "f4"),
           "kind=mlp param=hidden_layer_sizes:64,32 param=max_iter:3 param=batch_size:32 param=tol:0"),
    Growth("linear", ("regression", 1600000, 28), "kind=linear_regression"),
]
GROWTH_THREADS = (1, 2)
