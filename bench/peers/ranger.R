# SPDX-License-Identifier: Apache-2.0
# ranger through R, speaking the language of bench/driver.c.
suppressMessages(library(ranger))

read_table <- function(words, x, y, n) {
    n <- as.integer(words[[n]])
    d <- as.integer(words[["d"]])
    values <- readBin(words[[x]], "double", n * d, size = if (words[["dtype"]] == "f4") 4 else 8)
    target <- readBin(words[[y]], "double", n)
    data <- as.data.frame(matrix(values, n, d, byrow = TRUE))
    data$y <- if (words[["classes"]] != "0") factor(target) else target
    data
}

fit <- function(job) {
    classify <- is.factor(job$train$y)
    ranger(dependent.variable.name = "y", data = job$train, num.trees = job$trees, num.threads = job$threads,
           mtry = if (classify) NULL else ncol(job$train) - 1, min.node.size = 1, oob.error = FALSE, seed = job$seed,
           verbose = FALSE)
}

predict_test <- function(job, model) predict(model, job$test, num.threads = job$threads, verbose = FALSE)

score <- function(job, model) {
    predicted <- predict_test(job, model)$predictions
    truth <- job$test$y
    if (is.factor(truth)) mean(predicted == truth) else 1 - sum((truth - predicted)^2) / sum((truth - mean(truth))^2)
}

input <- file("stdin", "r")
job <- model <- NULL
while (length(line <- readLines(input, 1)) && line != "quit") {
    parts <- strsplit(line, " ")[[1]]
    pairs <- strsplit(parts[-1], "=")
    words <- setNames(lapply(pairs, `[`, 2), vapply(pairs, `[`, "", 1))
    answer <- tryCatch({
        if (parts[1] == "prepare") {
            job <- list(train = read_table(words, "x", "y", "n"), test = read_table(words, "xt", "yt", "nt"),
                        trees = as.integer(words$trees), threads = as.integer(words$threads), verb = words$verb,
                        seed = 1L + if (is.null(words$seed)) 0L else as.integer(words$seed))
            model <- if (job$verb == "predict") fit(job)
            paste0("ok=1 version=", packageVersion("ranger"))
        } else if (parts[1] == "run") {
            start <- proc.time()[["elapsed"]]
            for (i in seq_len(as.integer(words$loops)))
                if (job$verb == "fit") model <- fit(job) else predict_test(job, model)
            sprintf("seconds=%.9g", (proc.time()[["elapsed"]] - start) / as.integer(words$loops))
        } else {
            sprintf("score=%.12g", score(job, model))
        }
    }, error = function(e) paste0("error=", conditionMessage(e)))
    cat(answer, "\n", sep = "")
}
