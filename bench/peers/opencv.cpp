// SPDX-License-Identifier: Apache-2.0
// OpenCV's ml module: forests, networks, mixtures.
#include "server.hpp"

#include <cmath>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/ml.hpp>
#include <vector>

using namespace cv;

struct Table {
    Mat X, y;
};

static Table read_table(const Words &w, const char *x, const char *y, const char *n)
{
    const int rows = w.number(n);
    Table t{Mat(rows, w.number("d"), w.text("dtype") == "f4" ? CV_32F : CV_64F), {}};
    read_file(w.text(x), t.X.data, t.X.total() * t.X.elemSize());
    if (w.has(y)) {
        t.y.create(rows, 1, CV_64F);
        read_file(w.text(y), t.y.data, t.y.total() * t.y.elemSize());
    }
    return t;
}

static Table in_floats(Table t)
{
    t.X.convertTo(t.X, CV_32F);
    return t;
}

static void set_up(const Words &w)
{
    setNumThreads(w.number("threads"));
    theRNG().state = 1;
}

static double accuracy(const Mat &truth, const Mat &predicted)
{
    int right = 0;
    for (int i = 0; i < truth.rows; i++)
        right += std::lround(truth.at<double>(i)) == std::lround(predicted.at<float>(i));
    return double(right) / truth.rows;
}

static Prepared forest(const Words &w)
{
    set_up(w);
    const Table train = in_floats(read_table(w, "x", "y", "n")), test = in_floats(read_table(w, "xt", "yt", "nt"));
    const int n_trees = w.number("trees");
    const auto model = std::make_shared<Ptr<ml::RTrees>>();
    Mat labels;
    train.y.convertTo(labels, CV_32S);
    return {[=] {
                auto m = ml::RTrees::create();
                m->setMaxDepth(25); // as deep as it allows
                m->setMinSampleCount(2);
                m->setActiveVarCount(0); // the square root of the features
                m->setTermCriteria(TermCriteria(TermCriteria::MAX_ITER, n_trees, 0));
                m->train(train.X, ml::ROW_SAMPLE, labels);
                *model = m;
            },
            [=] {
                Mat out;
                (*model)->predict(test.X, out);
                return accuracy(test.y, out);
            }};
}

static Prepared network(const Words &w)
{
    set_up(w);
    const Table train = read_table(w, "x", "y", "n"), test = read_table(w, "xt", "yt", "nt");
    const int n_classes = w.number("classes"), n_epochs = w.number("epochs");
    const auto model = std::make_shared<Ptr<ml::ANN_MLP>>();
    Mat targets = Mat::zeros(train.y.rows, n_classes, CV_32F);
    std::vector<int> widths{train.X.cols};
    std::istringstream hidden(w.text("hidden"));
    for (std::string h; std::getline(hidden, h, ',');)
        widths.push_back(std::stoi(h));
    widths.push_back(n_classes);
    for (int i = 0; i < targets.rows; i++)
        targets.at<float>(i, int(std::lround(train.y.at<double>(i)))) = 1;
    return {[=] {
                auto m = ml::ANN_MLP::create();
                m->setLayerSizes(widths);
                m->setActivationFunction(ml::ANN_MLP::SIGMOID_SYM, 1, 1);
                m->setTrainMethod(ml::ANN_MLP::BACKPROP, 0.001, 0.1);
                m->setTermCriteria(TermCriteria(TermCriteria::MAX_ITER, n_epochs, 0));
                m->train(train.X, ml::ROW_SAMPLE, targets);
                *model = m;
            },
            [=] {
                Mat out, best(test.X.rows, 1, CV_32F);
                (*model)->predict(test.X, out);
                for (int i = 0; i < out.rows; i++) {
                    Point at;
                    minMaxLoc(out.row(i), nullptr, nullptr, nullptr, &at);
                    best.at<float>(i) = float(at.x);
                }
                return accuracy(test.y, best);
            }};
}

// Starts, as ours and scikit-learn, from random rows, not from k-means.
static Prepared mixture(const Words &w)
{
    set_up(w);
    const Mat X = read_table(w, "x", "", "n").X;
    const int k = w.number("k"), n_iterations = w.number("iterations");
    if (w.text("covariance") != "full")
        throw std::runtime_error("covariance=full is wanted");
    const auto model = std::make_shared<Ptr<ml::EM>>();
    return {[=] {
                auto m = ml::EM::create();
                RNG random(1);
                Mat means(k, X.cols, X.type());
                for (int c = 0; c < k; c++)
                    X.row(random.uniform(0, X.rows)).copyTo(means.row(c));
                m->setClustersNumber(k);
                m->setCovarianceMatrixType(ml::EM::COV_MAT_GENERIC);
                m->setTermCriteria(TermCriteria(TermCriteria::COUNT + TermCriteria::EPS, n_iterations, 1e-300));
                m->trainE(X, means);
                *model = m;
            },
            [=] {
                const int step = X.rows / 10000 + 1;
                double sum = 0;
                for (int i = 0; i < X.rows; i += step)
                    sum += (*model)->predict2(X.row(i), noArray())[0];
                return sum / ((X.rows + step - 1) / step);
            }};
}

int main()
{
    return serve(CV_VERSION, {{"forest", forest}, {"mlp", network}, {"gmm", mixture}});
}
