# SPDX-License-Identifier: Apache-2.0
"""scikit-learn with the same sizes, counts and tolerances as ours."""
import numpy as np
import sklearn
from server import Job, Run, Score, fit_or_predict, serve
from sklearn import (cluster, decomposition, ensemble, linear_model, metrics, mixture, naive_bayes, neural_network, svm,
                     tree)


def forest(job: Job) -> tuple[Run, Score]:
    kind = ensemble.RandomForestClassifier if job.classes else ensemble.RandomForestRegressor
    return fit_or_predict(job, lambda: kind(
        job.integer("trees"), max_features="sqrt" if job.classes else 1.0, n_jobs=job.threads,
        random_state=int(job.number("seed", 0))))


def decision_tree(job: Job) -> tuple[Run, Score]:
    kind = tree.DecisionTreeClassifier if job.classes else tree.DecisionTreeRegressor
    return fit_or_predict(job, lambda: kind(random_state=0))


def adaboost(job: Job) -> tuple[Run, Score]:
    if not job.classes:
        return fit_or_predict(job, lambda: ensemble.AdaBoostRegressor(
            linear_model.LinearRegression(), n_estimators=job.integer("rounds"), random_state=0))
    return fit_or_predict(job, lambda: ensemble.AdaBoostClassifier(
        tree.DecisionTreeClassifier(max_depth=job.integer("depth")), n_estimators=job.integer("rounds"),
        algorithm=job.words.get("algorithm", "SAMME"), random_state=0))


def mlp(job: Job) -> tuple[Run, Score]:
    kind = neural_network.MLPClassifier if job.classes else neural_network.MLPRegressor
    epochs = job.integer("epochs")
    return fit_or_predict(job, lambda: kind(
        tuple(int(h) for h in job.words["hidden"].split(",")), batch_size=job.integer("batch"), max_iter=epochs, tol=0,
        n_iter_no_change=epochs, random_state=int(job.number("seed", 0))))


def autoencoder(job: Job) -> tuple[Run, Score]:
    """A regressor of the features themselves; with noise one epoch at a time, each with noise of its own."""
    X, Xt = job.train[0], job.test[0]
    epochs, noise, seed = job.integer("epochs"), job.number("noise", 0), int(job.number("seed", 0))

    def run():
        net = neural_network.MLPRegressor(
            tuple(int(h) for h in job.words["hidden"].split(",")), batch_size=job.integer("batch"), max_iter=epochs, tol=0,
            n_iter_no_change=epochs, random_state=seed)
        if not noise:
            return net.fit(X, X)
        draw = np.random.RandomState(seed)
        for _ in range(epochs):
            net.partial_fit((X + noise * draw.standard_normal(X.shape)).astype(X.dtype), X)
        return net

    return run, lambda net: -np.mean((net.predict(Xt) - Xt) ** 2)


def gmm(job: Job) -> tuple[Run, Score]:
    X = job.train[0]

    def run():
        return mixture.GaussianMixture(
            job.integer("k"), covariance_type=job.words["covariance"], init_params="random_from_data", tol=0,
            max_iter=job.integer("iterations"), random_state=0).fit(X)

    return run, lambda model: model.score(X)


def kmeans(job: Job) -> tuple[Run, Score]:
    X = job.train[0]
    start = X[np.arange(job.integer("k")) * (len(X) // job.integer("k"))]  # as our driver takes them

    def run():
        return cluster.KMeans(job.integer("k"), init=start, n_init=1, max_iter=job.integer("iterations"), tol=0,
                              algorithm="lloyd").fit(X)

    return run, lambda model: -model.inertia_ / len(X)


def pca(job: Job) -> tuple[Run, Score]:
    X = job.train[0]
    return (lambda: decomposition.PCA(job.integer("components"), random_state=0).fit(X),
            lambda model: model.explained_variance_ratio_.sum())


def linear(job: Job) -> tuple[Run, Score]:
    alpha = job.number("alpha", 0)
    return fit_or_predict(job, lambda: linear_model.Ridge(alpha) if alpha else linear_model.LinearRegression())


def logistic(job: Job) -> tuple[Run, Score]:
    return fit_or_predict(job, lambda: linear_model.LogisticRegression(max_iter=1000, tol=1e-4))


def classification_metrics(job: Job) -> tuple[Run, Score]:
    predicted, true = job.train[0].ravel().astype(np.int64), job.train[1]

    def run():
        micro = metrics.precision_recall_fscore_support(true, predicted, average="micro")
        metrics.confusion_matrix(true, predicted)
        metrics.classification_report(true, predicted, output_dict=True)
        return micro[2]

    return run, lambda f: f


def auc(job: Job) -> tuple[Run, Score]:
    scores, true = job.train[0].ravel(), job.train[1]
    return lambda: metrics.roc_auc_score(true, scores), lambda value: value


if __name__ == "__main__":
    serve(sklearn.__version__, {
        "forest": forest, "tree": decision_tree, "adaboost": adaboost, "mlp": mlp, "autoencoder": autoencoder, "gmm": gmm,
        "kmeans": kmeans, "pca": pca, "linear": linear, "logistic": logistic, "metrics": classification_metrics,
        "auc": auc,
        "naive_bayes": lambda job: fit_or_predict(job, naive_bayes.GaussianNB),
        "svm_rbf": lambda job: fit_or_predict(job, lambda: svm.SVC(C=1.0, gamma="scale")),
        "svm_linear": lambda job: fit_or_predict(job, lambda: svm.LinearSVC(C=1.0, dual=False, random_state=0))})
