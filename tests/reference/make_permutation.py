#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference permutation importances: scikit-learn's, of a linear regression on the diabetes table.

tests/expected/permutation.txt   for r2 and for mse: the mean and the standard deviation of each feature over N_REPEATS
"""
import os

import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression

from common import EXPECTED, cells

N_REPEATS = 2000


def numbers(values):
    return " ".join(repr(float(v)) for v in np.ravel(values)) + "\n"


def main():
    table = np.array(cells("diabetes"), dtype=float)
    X, y = table[:, :-1], table[:, -1]
    model = LinearRegression().fit(X, y)
    text = "# number of repeats; r2: means, standard deviations; mse: means, standard deviations\n" + numbers(N_REPEATS)
    for scoring in ("r2", "neg_mean_squared_error"):
        result = permutation_importance(model, X, y, scoring=scoring, n_repeats=N_REPEATS, random_state=0)
        text += numbers(result.importances_mean) + numbers(result.importances_std)
    with open(os.path.join(EXPECTED, "permutation.txt"), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
