# SPDX-License-Identifier: Apache-2.0
# Hierarchical starts of mclust 6: Rscript tests/reference/make_hierarchical.R, in the directory of the sources
#
# Each line is one table and one covariance type: for each of 2 to 6 components the log-likelihood under the mixture that an
# M-step makes of hclass(hc(X, "VVV", use = "SVD"), k), and the BIC (less is better) where EM ends from there with 3 components.
suppressMessages(library(mclust))

SIZES <- 2:6
MODELS <- c("VVV", "EEE", "VVI", "VII")

table_of <- function(name, columns = NULL, standardise = FALSE) {
  X <- as.matrix(read.csv(file.path("examples", "data", paste0(name, ".csv"))))
  X <- X[, if (is.null(columns)) seq_len(ncol(X) - 1) else columns]
  mode(X) <- "numeric"
  if (standardise) apply(X, 2, function(x) (x - mean(x)) / sqrt(mean((x - mean(x))^2))) else X
}

expected <- function(X, model) {
  tree <- hc(X, modelName = "VVV", use = "SVD")
  first <- sapply(SIZES, function(k) {
    m <- mstep(X, modelName = model, z = unmap(hclass(tree, k)))
    estep(X, modelName = model, parameters = m$parameters)$loglik
  })
  m <- me(X, modelName = model, z = unmap(hclass(tree, 3)), control = emControl(tol = 1e-10))
  c(first, -bic(model, m$loglik, nrow(X), ncol(X), 3))
}

sets <- list(
  table_of("iris"),
  table_of("wine", standardise = TRUE),
  table_of("breast_cancer", 1:8, TRUE),
  table_of("diabetes", c(1, 3:10), TRUE)
)
out <- file(file.path("tests", "expected", "gmm_hierarchical.txt"), "wb")
writeLines("# mclust 6, tests/reference/make_hierarchical.R", out)
for (X in sets) for (model in MODELS) writeLines(paste(sprintf("%.17g", expected(X, model)), collapse = " "), out)
close(out)
