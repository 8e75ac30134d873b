// SPDX-License-Identifier: Apache-2.0
// OpenCV's ml module, speaking the language of bench/driver.c: forests, networks, mixtures.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <opencv2/core.hpp>
#include <opencv2/ml.hpp>
#include <sstream>

using namespace cv;
using Words = std::map<std::string, std::string>;

static Mat read(const std::string &path, int rows, int cols, int type)
{
    Mat m(rows, cols, type);
    std::ifstream(path, std::ios::binary).read(reinterpret_cast<char *>(m.data), rows * m.step);
    return m;
}

struct Job {
    Words w;
    Mat X, Xt, y, yt;
    std::function<Ptr<ml::StatModel>()> fit;
    std::function<double(Ptr<ml::StatModel>)> score;
    Ptr<ml::StatModel> model;

    int number(const char *key)
    {
        return std::stoi(w.at(key));
    }
};

static double accuracy(const Mat &truth, const Mat &predicted)
{
    int right = 0;
    for (int i = 0; i < truth.rows; i++)
        right += std::lround(truth.at<double>(i)) == std::lround(predicted.at<float>(i));
    return double(right) / truth.rows;
}

static void prepare_forest(Job &j)
{
    Mat labels;
    j.y.convertTo(labels, CV_32S);
    j.fit = [&j, labels] {
        auto m = ml::RTrees::create();
        m->setMaxDepth(25); // as deep as it allows
        m->setMinSampleCount(2);
        m->setActiveVarCount(0); // the square root of the features
        m->setTermCriteria(TermCriteria(TermCriteria::MAX_ITER, j.number("trees"), 0));
        m->train(j.X, ml::ROW_SAMPLE, labels);
        return m;
    };
    j.score = [&j](Ptr<ml::StatModel> m) {
        Mat out;
        m->predict(j.Xt, out);
        return accuracy(j.yt, out);
    };
}

static void prepare_network(Job &j)
{
    const int K = j.number("classes");
    Mat targets = Mat::zeros(j.y.rows, K, CV_32F);
    std::vector<int> widths{j.X.cols};
    std::stringstream hidden(j.w["hidden"]);
    for (std::string h; std::getline(hidden, h, ',');)
        widths.push_back(std::stoi(h));
    widths.push_back(K);
    for (int i = 0; i < targets.rows; i++)
        targets.at<float>(i, std::lround(j.y.at<double>(i))) = 1;
    j.fit = [&j, widths, targets] {
        auto m = ml::ANN_MLP::create();
        m->setLayerSizes(widths);
        m->setActivationFunction(ml::ANN_MLP::SIGMOID_SYM, 1, 1);
        m->setTrainMethod(ml::ANN_MLP::BACKPROP, 0.001, 0.1);
        m->setTermCriteria(TermCriteria(TermCriteria::MAX_ITER, j.number("epochs"), 0));
        m->train(j.X, ml::ROW_SAMPLE, targets);
        return m;
    };
    j.score = [&j](Ptr<ml::StatModel> m) {
        Mat out, best(j.Xt.rows, 1, CV_32F);
        m->predict(j.Xt, out);
        for (int i = 0; i < out.rows; i++) {
            Point at;
            minMaxLoc(out.row(i), nullptr, nullptr, nullptr, &at);
            best.at<float>(i) = float(at.x);
        }
        return accuracy(j.yt, best);
    };
}

// Starts, as ours and scikit-learn, from random rows, not from k-means.
static void prepare_mixture(Job &j)
{
    j.fit = [&j] {
        const int k = j.number("k");
        const auto covariance = j.w["covariance"] == "full"   ? ml::EM::COV_MAT_GENERIC
                                : j.w["covariance"] == "diag" ? ml::EM::COV_MAT_DIAGONAL
                                                              : ml::EM::COV_MAT_SPHERICAL;
        auto m = ml::EM::create();
        RNG random(1);
        Mat means(k, j.X.cols, j.X.type());
        for (int c = 0; c < k; c++)
            j.X.row(random.uniform(0, j.X.rows)).copyTo(means.row(c));
        m->setClustersNumber(k);
        m->setCovarianceMatrixType(covariance);
        m->setTermCriteria(TermCriteria(TermCriteria::COUNT + TermCriteria::EPS, j.number("iterations"), 1e-300));
        m->trainE(j.X, means);
        return m;
    };
    j.score = [&j](Ptr<ml::StatModel> m) {
        double sum = 0;
        const int step = j.X.rows / 10000 + 1;
        for (int i = 0; i < j.X.rows; i += step)
            sum += m.dynamicCast<ml::EM>()->predict2(j.X.row(i), noArray())[0];
        return sum / ((j.X.rows + step - 1) / step);
    };
}

static std::string answer(Job &j, const std::string &verb, const Words &w)
{
    std::ostringstream out;
    out.precision(9);
    if (verb == "prepare") {
        j = Job();
        j.w = w;
        const int d = j.number("d"), n = j.number("n"), type = w.at("dtype") == "f4" ? CV_32F : CV_64F;
        setNumThreads(j.number("threads"));
        theRNG().state = 1;
        j.X = read(w.at("x"), n, d, type);
        if (w.count("y"))
            j.y = read(w.at("y"), n, 1, CV_64F);
        if (w.count("xt")) {
            j.Xt = read(w.at("xt"), j.number("nt"), d, type);
            j.yt = read(w.at("yt"), j.number("nt"), 1, CV_64F);
        }
        if (w.at("task") != "gmm") {
            j.X.convertTo(j.X, CV_32F);
            j.Xt.convertTo(j.Xt, CV_32F);
        }
        (w.at("task") == "forest" ? prepare_forest : w.at("task") == "mlp" ? prepare_network : prepare_mixture)(j);
        out << "ok=1 version=" << CV_VERSION;
    } else if (verb == "run") {
        const int loops = std::stoi(w.at("loops"));
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < loops; i++)
            j.model = j.fit();
        out << "seconds=" << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / loops;
    } else {
        out << "score=" << j.score(j.model);
    }
    return out.str();
}

int main()
{
    static Job job;
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
        std::istringstream parts(line);
        std::string verb, part;
        Words words;
        parts >> verb;
        while (parts >> part)
            words[part.substr(0, part.find('='))] = part.substr(part.find('=') + 1);
        try {
            std::cout << answer(job, verb, words) << std::endl;
        } catch (const std::exception &e) {
            std::cout << "error=" << std::string(e.what()).substr(0, 200) << std::endl;
        }
    }
    return 0;
}
