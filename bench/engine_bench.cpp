// SPDX-License-Identifier: MIT
//
// Page-table engines side by side: any shared library that exports the engine_list() of
// csrc/engine/engine_abi.h. What is printed is what the kernel's own benchmark of its page tables
// prints (drivers/iommu/generic_pt/kunit_iommu_pt.h), new against old.
// Where NEW has code for several kinds of processor, each that this one runs is measured.
//
//   engine_bench --pair NEW=OLD[,OLD…] [--csv FILE] [--rounds N] LIBRARY…
//   engine_bench --only ENGINE PAGES [--rounds N] LIBRARY…
//
// OLD may be several builds of one engine: the better one counts, case by case. An engine named
// "null", if there is one, is what the calls themselves cost, and is taken off both. To measure one
// kind alone, name it in the environment: KVMIOMMU_WIDE=avx2.

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "engine/engine_abi.h"

namespace {

constexpr std::uint64_t kAddress = std::uint64_t{1} << 42;
constexpr std::uint64_t kMostCalls = 64;  // timed together

struct Case {
    unsigned shift;       // of a page
    std::uint64_t count;  // pages in a call
};
const std::vector<Case> kCases{{12, 1}, {21, 1}, {30, 1}, {12, 256}, {21, 256}, {30, 256}};

std::string name_of(const Case& each) {
    return (each.count == 1 ? "" : std::to_string(each.count) + "*") + "2^" +
           std::to_string(each.shift);
}

struct Figures {
    double average = 0;
    double least = 0;
};
struct Times {
    Figures map;
    Figures unmap;
    std::uint64_t calls = 0;  // that were timed together
};

[[noreturn]] void fail(const std::string& what) {
    std::cerr << "engine_bench: " << what << '\n';
    std::exit(1);
}

// The mean of the lower nine tenths, and the least.
Figures figures(std::vector<double> samples) {
    std::ranges::sort(samples);
    const std::size_t kept = std::max<std::size_t>(samples.size() * 9 / 10, 1);
    double sum = 0;
    for (std::size_t at = 0; at < kept; ++at) {
        sum += samples[at];
    }
    return {sum / static_cast<double>(kept), samples.front()};
}

double since(std::chrono::steady_clock::time_point start, std::uint64_t calls) {
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / static_cast<double>(calls);
}

// A table, and ranges of it behind each other whose addresses never line up with a larger page.
struct Work {
    const engine& each;
    void* table;
    std::uint64_t page;
    std::uint64_t size;
    std::uint64_t calls;
    int wrong = 0;
};

// Nanoseconds of a call. Functions of their own, so that a profiler can be told of them.
[[gnu::noinline]] double time_maps(Work& work) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t at = 0; at < work.calls; ++at) {
        work.wrong +=
            work.each.map(work.table, work.page + at * work.size, kAddress + 2 * at * work.size,
                          work.size, ENG_READ | ENG_WRITE) != 0;
    }
    return since(start, work.calls);
}
[[gnu::noinline]] double time_unmaps(Work& work) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t at = 0; at < work.calls; ++at) {
        work.wrong +=
            work.each.unmap(work.table, work.page + at * work.size, work.size) != work.size;
    }
    return since(start, work.calls);
}

Times measure(const engine& each, const Case& what, int rounds) {
    const std::uint64_t page = std::uint64_t{1} << what.shift;
    const engine_cfg config{ENGINE_ABI, 0, each.pgsize_bitmap & (2 * page - 1)};
    void* const table = each.create(&config);
    if (table == nullptr) {
        fail(std::string(each.name) + ": no table");
    }
    const std::uint64_t size = page * what.count;
    const std::uint64_t last =
        each.ias >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << each.ias) - 1;
    const std::uint64_t calls = std::clamp((last - page) / size, std::uint64_t{1}, kMostCalls);
    const bool checked = std::string(each.name) != "null";
    Work work{each, table, page, size, calls};
    std::vector<double> maps;
    std::vector<double> unmaps;
    for (int round = -1; round < rounds; ++round) {
        const double map = time_maps(work);
        const double unmap = time_unmaps(work);
        if (checked && work.wrong != 0) {
            fail(std::string(each.name) + " " + name_of(what) + ": a call failed");
        }
        if (round >= 0) {  // the first makes tables
            maps.push_back(map);
            unmaps.push_back(unmap);
        }
    }
    each.destroy(table);
    return {figures(maps), figures(unmaps), calls};
}

Figures without(Figures figures, Figures cost) {
    return {std::max(figures.average - cost.average, 0.01),
            std::max(figures.least - cost.least, 0.01)};
}

// An engine, and the kinds of processor that its library has code for; one without a name if it
// does not say.
struct Engine {
    const engine* table;
    std::vector<std::string> kinds;
    engine_use_kind_fn use_kind;
};

struct Pair {
    std::string fresh;
    std::vector<std::string> old;
};

class Report {
  public:
    Report(std::map<std::string, Engine> engines, int rounds)
        : engines_(std::move(engines)), rounds_(rounds) {}

    void run(const Pair& pair, std::ostream* csv) {
        const Engine& fresh = at(pair.fresh);
        std::vector<std::string> names;
        std::map<std::string, std::vector<Times>> news;  // of each kind
        std::vector<Times> olds;
        for (const Case& each : kCases) {
            const std::uint64_t page = std::uint64_t{1} << each.shift;
            if ((fresh.table->pgsize_bitmap & page) == 0 ||
                (find(pair.old[0]).pgsize_bitmap & page) == 0) {
                continue;
            }
            std::cerr << pair.fresh << ' ' << name_of(each) << "        \r";
            const Times cost = null(each);
            const auto measured = [&](const engine& which) {
                const Times times = measure(which, each, rounds_);
                return Times{without(times.map, cost.map), without(times.unmap, cost.unmap),
                             times.calls};
            };
            // Interleaved, so that a busy moment of the machine does not meet one of them alone.
            std::map<std::string, Times> best;
            Times old = kNever;
            for (int again = 0; again < 5; ++again) {
                for (const std::string& kind : fresh.kinds) {
                    use(fresh, kind);
                    lower(best.try_emplace(kind, kNever).first->second, measured(*fresh.table));
                }
                use(fresh, fresh.kinds[0]);
                for (const std::string& name : pair.old) {
                    lower(old, measured(find(name)));
                }
            }
            names.push_back(name_of(each));
            for (const std::string& kind : fresh.kinds) {
                news[kind].push_back(best.at(kind));
            }
            olds.push_back(old);
        }
        for (const std::string& kind : fresh.kinds) {
            std::printf("\n%s%s against %s%s\n", pair.fresh.c_str(),
                        kind.empty() ? "" : (", " + kind).c_str(), pair.old[0].c_str(),
                        pair.old.size() > 1 ? " (the better of its builds)" : "");
            print("map", names, news[kind], olds, &Times::map, pair.fresh, kind, csv);
            print("unmap", names, news[kind], olds, &Times::unmap, pair.fresh, kind, csv);
        }
    }

    // One engine and one case, for a program that counts instead of timing.
    void only(const std::string& name, const std::string& pages) {
        const auto each = std::ranges::find(kCases, pages, name_of);
        if (each == kCases.end()) {
            fail("--only " + name + " " + pages + ": the cases are those that --pair prints");
        }
        const Times times = measure(find(name), *each, rounds_);
        std::cout << name << ' ' << pages << ": map " << times.map.least << " ns, unmap "
                  << times.unmap.least << " ns, " << times.calls << " calls a round\n";
    }

  private:
    static constexpr Times kNever{{1e9, 1e9}, {1e9, 1e9}, 0};

    static void use(const Engine& which, const std::string& kind) {
        if (!kind.empty() && which.use_kind(kind.c_str()) != 0) {
            fail(std::string(which.table->name) + ": does not take the kind " + kind);
        }
    }
    static void lower(Times& times, const Times& other) {
        for (auto part : {&Times::map, &Times::unmap}) {
            (times.*part).average = std::min((times.*part).average, (other.*part).average);
            (times.*part).least = std::min((times.*part).least, (other.*part).least);
        }
    }
    const Engine& at(const std::string& name) const {
        const auto found = engines_.find(name);
        if (found == engines_.end()) {
            fail("no library has an engine named " + name);
        }
        return found->second;
    }
    const engine& find(const std::string& name) const { return *at(name).table; }
    Times null(const Case& each) {
        const auto found = engines_.find("null");
        return found == engines_.end() ? Times{} : measure(*found->second.table, each, rounds_);
    }
    static void print(const char* what, const std::vector<std::string>& names,
                      const std::vector<Times>& news, const std::vector<Times>& olds,
                      Figures Times::* part, const std::string& engine, const std::string& kind,
                      std::ostream* csv) {
        std::printf("  %s\n  pgsz  ,avg new,old ns, min new,old ns  , min %% (+ve is better)\n",
                    what);
        for (std::size_t at = 0; at < names.size(); ++at) {
            const Figures fresh = news[at].*part;
            const Figures old = olds[at].*part;
            std::printf("%8s,%7.1f,%-7.1f,%9.1f,%-9.1f,%6.0f\n", names[at].c_str(), fresh.average,
                        old.average, fresh.least, old.least,
                        (old.least - fresh.least) / old.least * 100);
            if (csv != nullptr) {
                *csv << engine << ',' << kind << ',' << names[at] << ',' << what << ','
                     << fresh.average << ',' << old.average << ',' << fresh.least << ','
                     << old.least << '\n';
            }
        }
    }

    const std::map<std::string, Engine> engines_;
    const int rounds_;
};

void load(const std::string& path, std::map<std::string, Engine>& engines) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        fail(dlerror());
    }
    const auto list = reinterpret_cast<engine_list_fn>(dlsym(library, "engine_list"));
    if (list == nullptr) {
        fail(path + ": exports no engine_list()");
    }
    std::vector<std::string> kinds;
    if (const auto of = reinterpret_cast<engine_kinds_fn>(dlsym(library, "engine_kinds"))) {
        for (const char* const* each = of(); *each != nullptr; ++each) {
            kinds.emplace_back(*each);
        }
    } else {
        kinds.emplace_back();
    }
    const auto use = reinterpret_cast<engine_use_kind_fn>(dlsym(library, "engine_use_kind"));
    for (const engine* const* each = list(); *each != nullptr; ++each) {
        engines[(*each)->name] = {*each, kinds, use};
    }
}

Pair pair_of(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
        fail("--pair " + text + ": write NEW=OLD");
    }
    Pair pair{text.substr(0, equals), {}};
    std::istringstream rest(text.substr(equals + 1));
    for (std::string each; std::getline(rest, each, ',');) {
        pair.old.push_back(each);
    }
    if (pair.old.empty()) {
        fail("--pair " + text + ": write NEW=OLD");
    }
    return pair;
}

}  // namespace

int main(int argc, char** argv) {
    std::map<std::string, Engine> engines;
    std::vector<Pair> pairs;
    std::ofstream csv;
    std::string only;
    std::string only_pages;
    int rounds = 200;
    for (int at = 1; at < argc; ++at) {
        const std::string argument = argv[at];
        const auto value = [&]() -> std::string {
            if (at + 1 == argc) {
                fail(argument + " needs a value");
            }
            return argv[++at];
        };
        if (argument == "--help") {
            std::puts(
                "engine_bench --pair NEW=OLD[,OLD...] [--csv FILE] [--rounds N] LIBRARY...\n"
                "engine_bench --only ENGINE PAGES [--rounds N] LIBRARY...\n\n"
                "Times engines of libraries that export engine_list(), new against old, and "
                "prints\n"
                "what the kernel's own benchmark prints. The library of this package:\n"
                "  python -m kvmiommu.engine");
            return 0;
        }
        if (argument == "--pair") {
            pairs.push_back(pair_of(value()));
        } else if (argument == "--only") {
            only = value();
            only_pages = value();
        } else if (argument == "--csv") {
            csv.open(value());
            csv << "engine,kind,pages,call,avg_new,avg_old,min_new,min_old\n";
        } else if (argument == "--rounds") {
            rounds = std::max(std::atoi(value().c_str()), 1);
        } else {
            load(argument, engines);
        }
    }
    if (pairs.empty() && only.empty()) {
        fail("nothing to compare: --help says how");
    }
    Report report(engines, rounds);
    if (!only.empty()) {
        report.only(only, only_pages);
    }
    for (const Pair& pair : pairs) {
        report.run(pair, csv.is_open() ? &csv : nullptr);
    }
}
