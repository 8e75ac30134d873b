#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference values for preparing mixed tables.

tests/expected/people.csv           a table of numbers and texts with holes, made here
tests/expected/column_transformer.txt  scikit-learn's ColumnTransformer on it: rows, and probabilities of a model after it
tests/expected/scalers.txt          MinMaxScaler, MaxAbsScaler and RobustScaler on boston, with and without missing values
tests/expected/quantiles.txt        QuantileTransformer on boston with missing values
tests/expected/normal_quantiles.txt  scipy's quantiles of the normal distribution
tests/expected/imputer_indicator.txt  SimpleImputer with add_indicator
tests/expected/encoders.txt         OneHotEncoder and OrdinalEncoder on the mixed table without holes
tests/expected/polynomial.txt       PolynomialFeatures on three rows, and how many features there are
"""
import csv
import os
import warnings

import numpy as np
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from common import EXPECTED, features, numbers, with_holes, write

WORK = ["private", "public", "self"]
EDUCATION = ["basic", "doctor", "master", "school"]


# ---- mixed tables ----


def make_people():
    rng = np.random.default_rng(3)
    rows = []
    for i in range(120):
        age, hours = 20 + rng.integers(45), round(20 + 40 * rng.random(), 1)
        work, education = WORK[rng.integers(3)], EDUCATION[rng.integers(4)]
        gain = round(float(rng.exponential(900)), 2)
        z = 0.06 * (age - 42) + 0.08 * (hours - 40) + (education in ("doctor", "master")) + 0.5 * (work == "self")
        income = "high" if z + rng.logistic() > 0.7 else "low"
        rows.append(
            ["" if i % 11 == 4 else age, "" if i % 13 == 6 else work, "" if i % 17 == 8 else hours]
            + ["" if i % 19 == 2 else education, gain, income]
        )
    with open(os.path.join(EXPECTED, "people.csv"), "w") as f:
        csv.writer(f, lineterminator="\n").writerows([["age", "work", "hours", "education", "gain", "income"]] + rows)


def people():
    with open(os.path.join(EXPECTED, "people.csv")) as f:
        rows = list(csv.reader(f))[1:]
    numeric = [0, 2, 4]
    X = np.array([[float(v or "nan") if j in numeric else v or None for j, v in enumerate(r[:5])] for r in rows], object)
    return X, np.array([r[5] for r in rows])


def make_column_transformer():
    X, y = people()
    numeric = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    encode = OneHotEncoder(categories=[WORK, EDUCATION], handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("num", numeric, [0, 2]), ("cat", encode, [1, 3])], remainder="passthrough")
    text = "# median and scale of age and hours, work, education; gain passes: rows 0 to 9\n"
    text += "".join(numbers(row) for row in columns.fit_transform(X, y)[:10])
    columns = ColumnTransformer([("num", numeric, [0, 2, 4]), ("cat", encode, [1, 3])])
    model = LogisticRegression(multi_class="multinomial", solver="newton-cg", tol=1e-13, max_iter=10000)
    pipe = Pipeline([("columns", columns), ("model", model)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.fit(X, y)
    text += "# all numbers, then logistic regression: probabilities of all rows\n"
    text += "".join(numbers(row) for row in pipe.predict_proba(X))
    write("column_transformer.txt", text)


# ---- numbers ----


def probe(d):
    return np.array([[0.25 * j - 1.5 * i for j in range(d)] for i in range(3)])


def make_scalers():
    X, text = features("boston"), ""
    for title, scaler in [
        ("min_max 0,1", MinMaxScaler()),
        ("min_max -1,2.5 clip", MinMaxScaler(feature_range=(-1, 2.5), clip=True)),
        ("max_abs", MaxAbsScaler()),
        ("robust", RobustScaler()),
        ("robust 10,80 unit_variance", RobustScaler(quantile_range=(10, 80), unit_variance=True)),
        ("robust without centering", RobustScaler(with_centering=False)),
        ("robust without scaling", RobustScaler(with_scaling=False)),
    ]:
        for holes, A in [("", X), (" with holes", with_holes(X))]:
            scaler.fit(A)
            text += f"# {title}{holes}: rows 0 to 2 and those three times 10; 3 rows back\n"
            text += numbers(scaler.transform(np.vstack([A[:3], 10 * A[:3]])))
            text += numbers(scaler.inverse_transform(probe(13)))
    write("scalers.txt", text)


def make_quantiles():
    X, text = with_holes(features("boston")), ""
    for n_quantiles, distribution in [(1000, "uniform"), (1000, "normal"), (10, "uniform"), (10, "normal"), (1, "uniform")]:
        q = QuantileTransformer(n_quantiles=n_quantiles, output_distribution=distribution)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            q.fit(X)
        text += f"# {n_quantiles} {distribution}: row 0 of quantiles and the last; rows 0 to 4, and times 1.1; back from 3 rows\n"
        text += numbers(q.quantiles_[[0, -1]]) + numbers(q.transform(np.vstack([X[:5], 1.1 * X[:5]])))
        text += numbers(q.inverse_transform(probe(13) / 3 + 0.5))
    write("quantiles.txt", text)
    p = np.array([1e-300, 1e-20, 1e-7, 0.01, 0.07, 0.075, 0.2, 0.5, 0.6, 0.925, 0.93, 0.999, 1 - 1e-12])
    write("normal_quantiles.txt", "# p, Phi^-1(p)\n" + "".join(numbers(pair) for pair in zip(p, stats.norm.ppf(p))))


def make_imputer_indicator():
    X = features("boston")[:50, :6]
    for i in range(50):
        if i % 7 == 2:
            X[i, 1] = np.nan
        if i % 5 == 3:
            X[i, 4] = np.nan
    text = "# rows 0 to 9\n" + numbers(SimpleImputer(strategy="median", add_indicator=True).fit_transform(X)[:10])
    write("imputer_indicator.txt", text)


def make_encoders():
    X, _ = people()
    X = X[[None not in row for row in X[:, [1, 3]]]][:, [1, 3]]
    text = ""
    for options in [
        {"drop": "first"},
        {"drop": "if_binary", "max_categories": 2},
        {"min_frequency": 30},
        {"min_frequency": 0.25},
        {"max_categories": 3},
        {"max_categories": 2, "min_frequency": 20},
        {"max_categories": 3, "drop": "first"},
    ]:
        encoder = OneHotEncoder(sparse_output=False, **options).fit(X)
        rows = encoder.transform(X[:20])
        text += f"# {options}: width, rows 0 to 19\n{rows.shape[1]}\n" + "".join(numbers(row) for row in rows)
    text += "# ordinal: rows 0 to 19\n"
    text += "".join(numbers(row) for row in OrdinalEncoder().fit(X).transform(X[:20]))
    write("encoders.txt", text)


def make_polynomial():
    X, text = probe(3) + [[0.1, 0.2, 0.3]], ""
    for degree in range(1, 5):
        for interaction_only in [False, True]:
            for include_bias in [True, False]:
                P = PolynomialFeatures(degree, interaction_only=interaction_only, include_bias=include_bias).fit(X)
                title = f"degree {degree}, interaction_only {interaction_only}, include_bias {include_bias}"
                text += f"# {title}: {', '.join(P.get_feature_names_out())}\n{P.n_output_features_}\n"
                text += numbers(P.transform(X))
    write("polynomial.txt", text)


if __name__ == "__main__":
    make_people()
    make_column_transformer()
    make_scalers()
    make_quantiles()
    make_imputer_indicator()
    make_encoders()
    make_polynomial()
