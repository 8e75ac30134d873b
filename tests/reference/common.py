# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: the shipped tables, the text of expected files, and draws that the C tests make too."""
import csv
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "..", "examples", "data")
EXPECTED = os.path.join(HERE, "..", "expected")


def cells(name):
    """The rows of a shipped table as text, without its header."""
    with open(os.path.join(DATA, name + ".csv")) as f:
        return list(csv.reader(f))[1:]


def features(name, columns=None, standardise=False):
    X = np.array([row[:-1] for row in cells(name)], dtype=float)
    X = X[:, columns] if columns else X
    return (X - X.mean(axis=0)) / X.std(axis=0) if standardise else X


def read_table(name):
    """Features, class numbers or reals, and whether it is the latter."""
    y = [row[-1] for row in cells(name)]
    if name in ("boston", "diabetes"):
        return features(name), np.array([float(v) for v in y]), True
    return features(name), np.unique(y, return_inverse=True)[1], False


def numbers(values):
    return " ".join(repr(float(v)).removesuffix(".0") for v in np.ravel(values)) + "\n"


def write(name, text):
    with open(os.path.join(EXPECTED, name), "w", newline="\n") as f:
        f.write(text)


# The C tests make the same holes.
def with_holes(X):
    X = X.copy()
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            if (i * 7 + j * 3) % 11 == 0:
                X[i, j] = np.nan
    return X


class Lcg:
    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 32) % bound
