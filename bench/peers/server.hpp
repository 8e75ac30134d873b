// SPDX-License-Identifier: Apache-2.0
// What the peers in C++ share: the language of bench/driver.c, and reading its files.
#ifndef INVAR_BENCH_SERVER_HPP
#define INVAR_BENCH_SERVER_HPP

#include <chrono>
#include <cstddef>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

class Words
{
    std::map<std::string, std::string> words;

  public:
    explicit Words(std::istream &line)
    {
        for (std::string part; line >> part;) {
            const auto equal = part.find('=');
            if (equal != std::string::npos)
                words[part.substr(0, equal)] = part.substr(equal + 1);
        }
    }
    bool has(const std::string &key) const
    {
        return words.count(key) > 0;
    }
    const std::string &text(const std::string &key) const
    {
        if (!has(key))
            throw std::runtime_error("no word " + key);
        return words.at(key);
    }
    int number(const std::string &key) const
    {
        return std::stoi(text(key));
    }
};

inline void read_file(const std::string &path, void *out, std::size_t n_bytes)
{
    if (!std::ifstream(path, std::ios::binary).read(static_cast<char *>(out), std::streamsize(n_bytes)))
        throw std::runtime_error("cannot read " + std::to_string(n_bytes) + " bytes of " + path);
}

// What a peer makes of the words of "prepare": what is timed, and one number that says how good its last result is.
struct Prepared {
    std::function<void()> run;
    std::function<double()> score;
};

using Tasks = std::map<std::string, std::function<Prepared(const Words &)>>;

inline std::string answer(const std::string &verb, const Words &words, const std::string &version, const Tasks &tasks,
                          Prepared &prepared)
{
    std::ostringstream out;
    out.precision(12);
    if (verb == "prepare") {
        const auto task = tasks.find(words.text("task"));
        if (task == tasks.end())
            throw std::runtime_error("no task " + words.text("task"));
        prepared = task->second(words);
        out << "ok=1 version=" << version;
    } else if (verb == "run") {
        const int loops = words.number("loops");
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < loops; i++)
            prepared.run();
        out << "seconds=" << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / loops;
    } else {
        out << "score=" << prepared.score();
    }
    return out.str();
}

inline int serve(const std::string &version, const Tasks &tasks)
{
    Prepared prepared;
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
        std::istringstream parts(line);
        std::string verb;
        parts >> verb;
        try {
            std::cout << answer(verb, Words(parts), version, tasks, prepared) << std::endl;
        } catch (const std::exception &e) {
            const std::string what = e.what();
            std::cout << "error=" << what.substr(0, what.find('\n')) << std::endl;
        }
    }
    return 0;
}

#endif
