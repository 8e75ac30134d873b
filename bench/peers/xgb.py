# SPDX-License-Identifier: Apache-2.0
"""XGBoost's random forest: histograms, deep enough that depth does not limit it."""
import xgboost
from server import Job, Run, Score, fit_or_predict, serve


def forest(job: Job) -> tuple[Run, Score]:
    kind = xgboost.XGBRFClassifier if job.classes else xgboost.XGBRFRegressor
    share = job.train[0].shape[1] ** -0.5 if job.classes else 1.0
    return fit_or_predict(job, lambda: kind(
        n_estimators=job.integer("trees"), tree_method="hist", max_depth=20, subsample=0.632, colsample_bynode=share,
        min_child_weight=0, reg_lambda=1e-6, n_jobs=job.threads, random_state=0))


if __name__ == "__main__":
    serve(xgboost.__version__, {"forest": forest})
