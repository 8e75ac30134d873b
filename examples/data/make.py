#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the shipped tables from Debian's python3-sklearn (1.2): python3 examples/data/make.py"""
import csv
import os

import sklearn
from sklearn import datasets

HERE = os.path.dirname(os.path.abspath(__file__))


def text(value):
    value = float(value)
    return str(int(value)) if value == int(value) else repr(value)


def write(name, features, X, y, classes=None):
    features = [f.replace(" (cm)", "_cm").replace(" ", "_").replace("/", "_per_").lower() for f in features]
    with open(os.path.join(HERE, name + ".csv"), "w", newline="\n") as f:
        f.write(",".join(features + ["target"]) + "\n")
        for row, target in zip(X, y):
            label = classes[int(target)] if classes is not None else text(target)
            f.write(",".join([text(v) for v in row] + [str(label)]) + "\n")


for name in ("iris", "wine", "breast_cancer"):
    d = getattr(datasets, "load_" + name)()
    write(name, list(d.feature_names), d.data, d.target, d.target_names)
d = datasets.load_digits()
write("digits", d.feature_names, d.data, d.target)
d = datasets.load_diabetes(scaled=False)
write("diabetes", d.feature_names, d.data, d.target)

# scikit-learn 1.2 no longer loads the Boston table but still carries the file.
path = os.path.join(os.path.dirname(sklearn.__file__), "datasets", "data", "boston_house_prices.csv")
with open(path) as f:
    rows = list(csv.reader(f))
write("boston", rows[1][:-1], [r[:-1] for r in rows[2:]], [r[-1] for r in rows[2:]])
