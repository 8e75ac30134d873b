# SPDX-License-Identifier: Apache-2.0
"""What a mixture's features are worth: sh bench/run.sh features [table…] [--model NAME] [--seeds N]. Each of the shipped tables is
parted N times in three quarters and one, by seeds 0 to N - 1. A model learns from the same rows four times: from the
standardised features, from posteriors of a mixture alone, and from the features with posteriors or log-densities beside them,
which are standardised again. Printed is the score on the rest (accuracy, or R²) from the features alone, and of the others the
difference to it, each with its standard error over the seeds; a difference beyond two standard errors is bold.

Nothing is tuned: one mixture and one recipe for each model are taken for all tables. Only the rows to learn from are seen by
the mixture and by scaling, as it is in a pipeline."""
import argparse
import os
import tempfile

import numpy as np
import pandas as pd
from accuracy import HERE, Table, labels_of, mean_and_error, score
from systems import US
from tables import Tables

CLASSES = ["iris", "wine", "breast_cancer", "digits"]
REALS = ["diabetes", "boston"]
MODELS = {
    "mlp": "member=model:mlp param=model__hidden_layer_sizes:64,32 param=model__max_iter:100 param=model__batch_size:32 "
           "param=model__tol:0 param=model__n_iter_no_change:100",
    "random_forest": "member=model:random_forest param=model__n_estimators:100",
}
MIXTURE = ("member=mix:gmm param=mix__n_components:8 param=mix__covariance_type:diag param=mix__reg_covar:0.01 "
           "param=mix__random_state:{seed} ")
AGAIN = "member=again:standard_scaler "
FEATURES = {
    "features": "",
    "posteriors": MIXTURE,
    "features and posteriors": MIXTURE + "param=mix__passthrough:true " + AGAIN,
    "features and log-densities": MIXTURE + "param=mix__passthrough:true param=mix__features:log_densities " + AGAIN,
}


def shipped(name: str) -> Table:
    frame = pd.read_csv(os.path.join(HERE, "../examples/data", name + ".csv"))
    X = frame.iloc[:, :-1].to_numpy(float)
    if name in REALS:
        y = frame.iloc[:, -1].to_numpy(float)
        return X, (y - y.mean()) / y.std(), 0
    y, classes = labels_of(frame.iloc[:, -1])
    return X, y, classes


def compare(name: str, model: str, a: argparse.Namespace, tables: Tables) -> None:
    X, y, classes = shipped(name)
    n = len(X) * 3 // 4
    scores: dict[str, list[float]] = {features: [] for features in FEATURES}
    for seed in range(a.seeds):
        rows = np.random.RandomState(seed).permutation(len(X))
        words = tables._split("features", classes, X[rows], y[rows], n)
        for features, members in FEATURES.items():
            pipe = f"kind=pipeline member=scale:standard_scaler {members.format(seed=seed)}{MODELS[model]} param=model__random_state:{seed}"
            scores[features].append(score(US, f"{words} verb=fit {pipe}", a.threads, a.build))
    raw, *others = (np.array(s) for s in scores.values())
    cells = ["%.4f ± %.4f" % mean_and_error(raw)]
    for made in others:
        difference, error = mean_and_error(made - raw)
        cell = f"{difference:+.4f} ± {error:.4f}"
        cells.append(f"**{cell}**" if abs(difference) > 2 * error else cell)
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="tables; all of them")
    parser.add_argument("--model", choices=MODELS, help="one model; both")
    parser.add_argument("--build", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        tables = Tables(directory, None, False)
        for model in [a.model] if a.model else MODELS:
            print(f"| {model} | {' | '.join(FEATURES)} |")
            print("|---" * (1 + len(FEATURES)) + "|")
            for name in a.names or CLASSES + REALS:
                compare(name, model, a, tables)


if __name__ == "__main__":
    main()
