// SPDX-License-Identifier: Apache-2.0
// Armadillo: mixtures with full and diagonal covariances, k-means. Its columns are our rows.
#include "server.hpp"

#include <armadillo>
#include <limits>
#include <memory>

template <typename T> static arma::Mat<T> read_rows(const Words &w)
{
    if ((w.text("dtype") == "f4") != (sizeof(T) == 4))
        throw std::runtime_error("another dtype is wanted");
    arma::Mat<T> X(w.number("d"), w.number("n"));
    read_file(w.text("x"), X.memptr(), X.n_elem * sizeof(T));
    arma::arma_rng::set_seed(1);
    return X;
}

static void must(bool right)
{
    if (!right)
        throw std::runtime_error("it did not succeed");
}

// Starts, as ours and scikit-learn, from random rows, not from k-means.
template <typename Model> static Prepared mixture_of(const Words &w)
{
    const auto X = std::make_shared<arma::mat>(read_rows<double>(w));
    const auto model = std::make_shared<Model>();
    const int k = w.number("k"), n_iterations = w.number("iterations");
    return {[=] { must(model->learn(*X, k, arma::eucl_dist, arma::random_subset, 0, n_iterations, 1e-6, false)); },
            [=] { return model->avg_log_p(*X); }};
}

static Prepared mixture(const Words &w)
{
    if (w.text("covariance") == "full")
        return mixture_of<arma::gmm_full>(w);
    must(w.text("covariance") == "diag");
    return mixture_of<arma::gmm_diag>(w);
}

static Prepared kmeans(const Words &w)
{
    const auto X = std::make_shared<arma::fmat>(read_rows<float>(w));
    const auto means = std::make_shared<arma::fmat>();
    const int k = w.number("k"), n_iterations = w.number("iterations");
    return {[=] { must(arma::kmeans(*means, *X, k, arma::random_subset, n_iterations, false)); },
            [=] {
                double inertia = 0;
                for (arma::uword i = 0; i < X->n_cols; i++) {
                    float least = std::numeric_limits<float>::infinity();
                    for (arma::uword c = 0; c < means->n_cols; c++)
                        least = std::min(least, arma::accu(arma::square(X->col(i) - means->col(c))));
                    inertia += double(least);
                }
                return -inertia / double(X->n_cols);
            }};
}

int main()
{
    const arma::arma_version version;
    return serve(version.as_string().substr(0, version.as_string().find(' ')), {{"gmm", mixture}, {"kmeans", kmeans}});
}
