# SPDX-License-Identifier: Apache-2.0
"""The jobs of the benchmark: data, what we run, what peers run, the physical limit, the goal.

limit is a Python expression: the least seconds the arithmetic or the memory traffic of the job can take. Its names are the
machine's constants (f clock, F32 and F64 multiply-add peaks of all threads, F1 fp32 peak of one, B bandwidth, t threads), the
sizes (n, n_test, d, K classes, s bytes per number), the job's own words (trees, rounds, k, epochs, …), what our model
reported (D mean depth of a row, steps), and two costs of a core: C_H cycles per histogram update, C_W cycles per level of a
walk through a tree.
"""
from dataclasses import dataclass

C_H, C_W = 1.2, 2.5


@dataclass
class Job:
    name: str
    title: str
    data: tuple  # of a function in tables.py and its arguments
    task: str  # words for us and for peers
    ours: str  # words for us alone; None when there is no function for it
    peers: list  # name, then words for this peer alone
    goal: str
    limit: str = ""
    score: str = "accuracy"
    verb: str = "fit"
    blas: bool = False  # peers spend their time in a BLAS


LETTER, LETTER_Z = ("letter", "f8", False), ("letter", "f8", True)
MNIST, MNIST_X = ("mnist", True), ("mnist", False)
F100K = ("classification", 100000, 28, 2, 14, 20000, "f8")
SMALL3 = ("classification", 1000, 20, 3, 10, 1000, "f8")
TINY = ("classification", 800, 20, 3, 10, 200, "f4")
MIX16 = ("blobs", 100000, 16, 8, "f8")
SK, SK1, TORCH = "scikit-learn", "scikit-learn threads=1", ["torch", "torch threads=1"]

FOREST = "T*0.632*n*sqrt(d)*D*C_H/(f*t)"
NET = "(6*MAC-2*MAC1)*n*epochs/F32 + 7*W/16*updates/(f*t)"
GMM = "max({}/F64, s*n*d/B)*iterations"


def mlp(hidden, epochs, batch):
    words = f"hidden={hidden} epochs={epochs} batch={batch}"
    ours = (f"kind=mlp param=hidden_layer_sizes:{hidden} param=max_iter:{epochs} param=batch_size:{batch} param=tol:0 "
            f"param=n_iter_no_change:{epochs}")
    return f"task=mlp {words}", ours


def gmm(name, title, data, k, covariance, flops, peers, goal):
    ours = (f"kind=gmm metric=log_likelihood param=n_components:{k} param=max_iter:20 param=tol:0 "
            "param=init_params:random_from_data")
    if covariance != "full":
        ours += f" param=covariance_type:{covariance}"
    return Job(name, title, data, f"task=gmm k={k} covariance={covariance} iterations=20", ours, peers, goal,
               GMM.format(flops), "log-likelihood", blas=True)


def forest(name, title, data, peers, goal, limit=FOREST, score="accuracy", verb="fit"):
    return Job(name, title, data, "task=forest trees=100", "kind=random_forest param=n_estimators:100", peers, goal, limit,
               score, verb)


def adaboost(name, title, data, rounds, depth, peers, goal):
    ours = f"kind=adaboost param=n_estimators:{rounds} base=decision_tree baseparam=max_depth:{depth}"
    return Job(name, title, data, f"task=adaboost rounds={rounds} depth={depth}", ours, peers, goal,
               "rounds*n*d*depth*C_H/(f*t)")


JOBS = [
    forest("forest-1000", "forest, train: 1000×20, 3 classes", SMALL3, [SK, "xgboost"], "≤ 0.004 s"),
    forest("forest-letter", "forest, train: letter", LETTER, ["ranger", SK, "opencv", "xgboost"],
           "≤ 0.045 s, accuracy ≥ .960"),
    forest("forest-100k", "forest, train: 100000×28, 2 classes", F100K, ["xgboost", SK, "ranger"],
           "≤ 0.32 s, accuracy ≥ .9640"),
    forest("forest-california", "forest, train: California housing, all features", ("california",),
           ["ranger", SK, "xgboost"], "≤ 0.12 s, R² ≥ .805", FOREST.replace("sqrt(d)", "d"), "R²"),
    forest("forest-predict", "forest, predict: the 100000×28 forest, 20000 rows", F100K, [SK, "ranger"], "≤ 0.017 s",
           "n_test*T*D*C_W/(f*t)", verb="predict"),
    forest("forest-row", "forest, one row: letter", LETTER, [SK], "≤ 2 µs", "T*D*C_W/f", verb="row"),
    adaboost("adaboost-1000", "AdaBoost stumps: 1000×20, 3 classes, 100 rounds", SMALL3, 100, 1,
             [SK, SK + " algorithm=SAMME.R"], "≤ 0.002 s"),
    adaboost("adaboost-100k", "AdaBoost stumps: 100000×28, 50 rounds",
             ("classification", 100000, 28, 2, 2, 20000, "f8"), 50, 1, [SK, SK + " algorithm=SAMME.R"], "≤ 0.03 s"),
    adaboost("adaboost-letter", "AdaBoost depth 8: letter, 50 rounds", LETTER, 50, 8, [SK, SK + " algorithm=SAMME.R"],
             "≤ 0.15 s"),
    Job("adaboost-r2", "AdaBoost.R2: Boston, linear regression, 100 rounds", ("boston", "f8"), "task=adaboost rounds=100",
        "kind=adaboost param=n_estimators:100 base=linear_regression", [SK, SK1], "≤ 0.001 s", "rounds*n*d*d/F64", "R²"),
    Job("mlp-train", "MLP: 800×20, 64-32-3, batch 32, 10 epochs", TINY, *mlp("64,32", 10, 32),
        ["fann algorithm=rprop", "fann algorithm=incremental", SK, SK1, "opencv", *TORCH], "≤ 0.0012 s", NET, blas=True),
    Job("mlp-row", "MLP, one row: the same net", TINY, *mlp("64,32", 10, 32), ["fann", "torch threads=1", SK1], "≤ 0.08 µs",
        "2*MAC/F1", verb="row"),
    Job("mlp-boston", "MLP: Boston, 64-64-1, batch 32, 100 epochs", ("boston", "f4"), *mlp("64,64", 100, 32), [SK, SK1],
        "≤ 0.010 s", NET, "R²", blas=True),
    Job("mlp-mnist", "MLP: MNIST 8000×784, 512-512-10, batch 128, 5 epochs", MNIST, *mlp("512,512", 5, 128),
        [*TORCH, SK, SK1], "≤ 0.32 s, accuracy ≥ .95", NET, blas=True),
    Job("autoencoder", "autoencoder: MNIST 8000×784, 784-64-784, batch 128, 5 epochs", MNIST_X,
        "task=autoencoder hidden=64 epochs=5 batch=128",
        "kind=autoencoder param=hidden_layer_sizes:64 param=max_iter:5 param=batch_size:128", TORCH, "≤ 0.065 s", NET,
        "−MSE", blas=True),
    gmm("gmm-1000", "GMM full: 1000×2, k=2, 20 iterations", ("blobs", 1000, 2, 2, "f8"), 2, "full", "2*n*k*d*d",
        [SK, SK1, "opencv"], "≤ 0.00006 s"),
    gmm("gmm-16", "GMM full: 100000×16, k=8, 20 iterations", MIX16, 8, "full", "2*n*k*d*d", [SK, SK1, "opencv"],
        "≤ 0.065 s"),
    gmm("gmm-64", "GMM full: 20000×64, k=16, 20 iterations", ("blobs", 20000, 64, 16, "f8"), 16, "full", "2*n*k*d*d", [SK],
        "≤ 0.31 s"),
    gmm("gmm-tied", "GMM tied: 100000×16, k=8, 20 iterations", MIX16, 8, "tied", "4*n*k*d", [SK], "≤ 0.016 s"),
    gmm("gmm-diag", "GMM diag: 100000×16, k=32, 20 iterations", MIX16, 32, "diag", "8*n*k*d", [SK, "opencv"], "≤ 0.06 s"),
    gmm("gmm-spherical", "GMM spherical: 100000×16, k=8, 20 iterations", MIX16, 8, "spherical", "4*n*k*d", [SK, "opencv"],
        "≤ 0.016 s"),
    Job("kmeans", "k-means: 100000×16 float32, k=64, 20 iterations", ("blobs", 100000, 16, 64, "f4"),
        "task=kmeans k=64 iterations=20", "kind=kmeans param=n_clusters:64 param=max_iter:20 param=tol:0", [SK],
        "≤ 0.013 s", "max(2*n*k*d/F32, s*n*d/B)*iterations", "−inertia/n", blas=True),
    Job("pca-64", "PCA: 100000×64 → 16", ("blobs", 100000, 64, 8, "f8"), "task=pca components=16",
        "kind=pca param=n_components:16", [SK], "≤ 0.02 s", "max(n*d*d/F64, s*n*d/B)", "explained", blas=True),
    Job("pca-mnist", "PCA: MNIST 8000×784 → 50", MNIST_X, "task=pca components=50", "kind=pca param=n_components:50", [SK],
        "≤ 0.07 s", "n*d*d/F64", "explained", blas=True),
    Job("linear", "linear: 1000000×28", ("regression", 1000000, 28), "task=linear", "kind=linear_regression", [SK],
        "≤ 0.015 s", "max(n*d*d/F64, s*n*d/B)", "R²", blas=True),
    Job("ridge", "ridge: 1000000×28", ("regression", 1000000, 28), "task=linear alpha=1",
        "kind=linear_regression param=alpha:1", [SK], "≤ 0.015 s", "max(n*d*d/F64, s*n*d/B)", "R²", blas=True),
    Job("logistic", "logistic: letter, to convergence", LETTER, "task=logistic",
        "kind=logistic_regression param=max_iter:1000", [SK, SK1], "≤ 0.06 s", "steps*4*n*d*K/F64", blas=True),
    Job("naive-bayes", "naive Bayes: letter", LETTER, "task=naive_bayes", "kind=gaussian_nb", [SK], "≤ 0.0005 s",
        "s*n*d/B"),
    Job("svm-rbf", "SVM RBF: letter, standardised", LETTER_Z, "task=svm_rbf", "kind=svm param=kernel:rbf", [SK],
        "≤ 0.35 s", "n*n*d/F32"),
    Job("svm-linear", "SVM linear: letter, standardised", LETTER_Z, "task=svm_linear", "kind=svm param=kernel:linear", [SK],
        "≤ 0.08 s"),
    Job("metrics", "metrics: 1000000 labels, 10 classes; all P/R/F, confusion, report", ("labels", 1000000, 10),
        "task=metrics", "", [SK], "≤ 0.002 s", "16*n/B", "micro F1", "metrics"),
    Job("auc", "AUC: 1000000 scores", ("labels", 1000000, 2), "task=auc", None, [SK], "≤ 0.012 s", "48*n/B", "AUC", "auc"),
    Job("csv", "CSV: 500000×20 numbers", ("csv", 500000, 20), "task=csv", "",
        ["pandas", "numpy"], "≤ 0.09 s", "bytes*(1/5.4e9+1/1.04e9)/t", "sum of a sample", "csv"),
]

# growth: data of the largest size (rows ×16), words
SCALING = {
    "forest": (("classification", 64000, 20, 3, 10, 16, "f8"), "kind=random_forest param=n_estimators:20"),
    "gmm": (("blobs", 160000, 16, 8, "f8"),
            "kind=gmm param=n_components:8 param=max_iter:10 param=tol:0 param=init_params:random_from_data"),
    "mlp": (("classification", 32000, 20, 3, 10, 16, "f4"), mlp("64,32", 3, 32)[1]),
    "linear": (("regression", 1600000, 28), "kind=linear_regression"),
}
