// SPDX-License-Identifier: MIT
//
// libFuzzer's target: an input is a machine and a program of calls (guests/random_program.h), which
// runs on a machine of its own. With --transcript FILE the program prints an input as a transcript
// instead, so that whatever the fuzzer finds can be played and read.

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "guests/machine_in_use.h"
#include "guests/performer.h"
#include "guests/random_program.h"
#include "guests/transcript.h"

namespace kvmiommu::guests {
namespace {

// How much was done, in the time of the processor: printed now and then, because a report ends the
// program, and in the end.
class Figures {
  public:
    void count_input() {
        if (++inputs_ % kInputsALine == 0) {
            print();
        }
    }
    void count_call() { ++calls_; }
    void print() const {
        timespec used{};
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        const double seconds =
            static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
        std::fprintf(stderr, "random_fuzz: %llu calls in %llu inputs, %.0f calls a second\n",
                     calls_, inputs_, static_cast<double>(calls_) / seconds);
    }

  private:
    static constexpr unsigned long long kInputsALine = 10000;
    unsigned long long inputs_ = 0;
    unsigned long long calls_ = 0;
};
Figures figures;

void run(const Program& program, int answers) {
    MachineInUse machine(*program.board);
    Names names;
    Performer performer(machine.create_process(), names);
    for (const Operation& operation : program.operations) {
        const Outcome outcome = performer.perform(operation);
        figures.count_call();
        if (answers >= 0) {
            const std::string text = lines(operation, outcome) + '\0';
            if (write(answers, text.data(), text.size()) < 0) {
                std::abort();
            }
        }
    }
    if (const auto left = machine.close(); !left.empty()) {
        for (const std::string& line : left) {
            std::cerr << "left over: " << line << '\n';
        }
        std::abort();
    }
}

// A child makes the calls, so that the call which ends it gets its line, too.
int print(const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        std::cerr << path << " cannot be read\n";
        return 2;
    }
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const Program program =
        decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    int ends[2];
    if (pipe(ends) != 0) {
        std::perror("pipe");
        return 2;
    }
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        run(program, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    std::string answers;
    char part[4096];
    for (ssize_t got = 0; (got = read(ends[0], part, sizeof part)) > 0;) {
        answers.append(part, static_cast<std::size_t>(got));
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::cout << "# title: a random program on tests/fuzz/machines/" << program.board->name()
              << ".toml\n";
    std::size_t at = 0;
    for (const Operation& operation : program.operations) {
        const std::size_t end = answers.find('\0', at);
        if (end == std::string::npos) {
            std::cout << "# The machine ends in this call; its answer is made up.\n"
                      << line(operation) << "\n  = ok\n";
            return 1;
        }
        std::cout << line(operation) << '\n' << answers.substr(at, end - at);
        at = end + 1;
    }
    if (status != 0) {
        std::cout << "# The machine ends as everything is closed.\n";
    }
    return status != 0 ? 1 : 0;
}

}  // namespace
}  // namespace kvmiommu::guests

// A trace is kept for each allocation, and to keep it costs more the longer it is. What
// ASAN_OPTIONS say comes on top.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
    return "malloc_context_size=6";
}

extern "C" __attribute__((visibility("default"))) const char* __ubsan_default_options() {
    return "print_stacktrace=1";
}

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    for (int at = 1; at < *count; ++at) {
        if (std::strcmp((*arguments)[at], "--transcript") == 0) {
            if (at + 1 == *count) {
                std::cerr << "--transcript FILE\n";
                std::exit(2);
            }
            const int status = kvmiommu::guests::print((*arguments)[at + 1]);
            std::cout.flush();
            std::_Exit(status);
        }
    }
    std::atexit([] { kvmiommu::guests::figures.print(); });
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    kvmiommu::guests::run(kvmiommu::guests::decode({bytes, count}), -1);
    kvmiommu::guests::figures.count_input();
    return 0;
}
