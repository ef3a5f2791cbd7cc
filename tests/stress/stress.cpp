// SPDX-License-Identifier: MIT
//
// Threads of several processes run random programs over one machine, and in the end nothing may be
// left of them. What is looked for is what sanitizers, assertions and the machine's own census
// report; which errno a call gets is not.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fs/syscalls.h"
#include "guests/board.h"
#include "guests/machine_in_use.h"
#include "guests/performer.h"
#include "guests/random_program.h"

namespace kvmiommu::guests {
namespace {

constexpr const char* kHelp =
    R"(stress: threads run random programs over one machine; in the end nothing may be left of them.

  --seed N        the first round's seed (1); each round after it takes the next one
  --rounds N      so many rounds on each board (1)
  --forever       rounds without an end
  --operations N  calls of each thread in a round (2000)
  --threads N     threads (4), dealt out over the processes
  --processes N   processes of the machine (2)
  --board NAME    one board instead of all: intel, unlike, power, power-guest, power-2013, arm,
                  virt, shared
  --fork-every N  the host process forks after every N calls of the first thread: the child makes
                  calls that the machine must refuse, and ends. Not under TSan. (0: never)

One line is printed before each round. To play a round again: --rounds 1 --seed SEED --board NAME,
and the same numbers; threads may meet in another order. Exit status 1 when something is left over.
)";

struct Settings {
    std::uint64_t seed = 1;
    std::uint64_t rounds = 1;
    std::uint64_t operations = 2000;
    std::uint64_t threads = 4;
    std::uint64_t processes = 2;
    std::uint64_t fork_every = 0;
    bool forever = false;
    std::string board;
};

[[noreturn]] void wrong(const std::string& what) {
    std::cerr << "stress: " << what << "; --help says what there is\n";
    std::exit(2);
}

std::uint64_t number(std::string_view option, const char* text) {
    if (text == nullptr) {
        wrong(std::string(option) + " without its value");
    }
    std::uint64_t value = 0;
    const char* const end = text + std::strlen(text);
    if (const auto read = std::from_chars(text, end, value); read.ptr != end || read.ptr == text) {
        wrong(std::string(option) + " " + text + " is no number");
    }
    return value;
}

Settings parse(char** arguments) {
    Settings settings;
    while (*++arguments != nullptr) {
        const std::string_view option = *arguments;
        const auto take = [&](std::uint64_t& into) { into = number(option, *++arguments); };
        if (option == "--help") {
            std::cout << kHelp;
            std::exit(0);
        } else if (option == "--seed") {
            take(settings.seed);
        } else if (option == "--rounds") {
            take(settings.rounds);
        } else if (option == "--operations") {
            take(settings.operations);
        } else if (option == "--threads") {
            take(settings.threads);
        } else if (option == "--processes") {
            take(settings.processes);
        } else if (option == "--fork-every") {
            take(settings.fork_every);
        } else if (option == "--forever") {
            settings.forever = true;
        } else if (option == "--board" && arguments[1] != nullptr) {
            settings.board = *++arguments;
        } else {
            wrong("what is " + std::string(option) + "?");
        }
    }
    if (settings.threads == 0 || settings.processes == 0) {
        wrong("no threads or no processes");
    }
    return settings;
}

// In the child of a host fork the machine is the parent's: every call must be refused with EIO. A
// child that hangs on a mutex that another thread held is ended by its alarm.
//
// A core without fork's rule would let the child at the RAM of its parent, so that the child only
// ends there; the rule is known by System::inherited().
template <class System>
int child(System& system, machine::Process& process) {
    if constexpr (requires { system.inherited(); }) {
        alarm(60);
        fs::Task& task = process.task();
        const auto refused = [](const auto& result) {
            return !result && result.error().error() == EIO;
        };
        return system.inherited() && refused(fs::sys_open(task, "/dev/vfio/vfio", 2)) &&
                       refused(fs::sys_ioctl(task, 3, 0, 0)) && refused(fs::sys_close(task, 3)) &&
                       refused(fs::sys_munmap(task, process.mm(), 0x10000, 0x10000))
                   ? 0
                   : 1;
    }
    static_cast<void>(process);
    return 0;
}

void fork_once(machine::System& system, machine::Process& process) {
    const pid_t pid = fork();
    if (pid == 0) {
        _exit(child(system, process));
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        std::cerr << "stress: the child of a fork ended with status " << status << '\n';
        std::abort();
    }
}

// After so many steps a thread sets up again what the calls since then have closed.
constexpr unsigned kStepsOfAScene = 100;

struct Figures {
    std::atomic<std::uint64_t> calls = 0;
    std::atomic<std::uint64_t> refused = 0;
};

struct Round {
    const Settings& settings;
    const Board& board;
    MachineInUse machine;
    Figures figures = {};
};

void run_thread(Round& round, machine::Process& process, Performer& performer, std::uint64_t seed,
                bool forks) {
    const std::uint64_t fork_every = forks ? round.settings.fork_every : 0;
    RandomProgram program(round.board, Choices(seed));
    std::vector<Operation> operations;
    std::uint64_t refused = 0;
    std::uint64_t made = 0;
    for (unsigned step = 0; made < round.settings.operations; ++step) {
        operations.clear();
        if (step % kStepsOfAScene == 0) {
            program.begin(operations);
        } else {
            program.step(operations);
        }
        for (const Operation& operation : operations) {
            const Outcome outcome = performer.perform(operation);
            refused += outcome.kind == Outcome::Kind::error ? 1 : 0;
            ++made;
            if (fork_every != 0 && made % fork_every == 0) {
                fork_once(round.machine.system(), process);
            }
        }
    }
    round.figures.calls += made;
    round.figures.refused += refused;
}

bool run_round(const Settings& settings, const Board& board, std::uint64_t seed) {
    std::cout << "stress: board " << board.name() << ", seed " << seed << ", " << settings.threads
              << " threads of " << settings.processes << " processes" << std::flush;
    Round round{settings, board, MachineInUse(board)};
    std::vector<machine::Process*> processes;
    std::vector<std::unique_ptr<Names>> names;
    for (std::uint64_t at = 0; at < settings.processes; ++at) {
        processes.push_back(&round.machine.create_process());
        names.push_back(std::make_unique<Names>());
    }
    std::vector<std::unique_ptr<Performer>> performers;  // While there is memory for arguments.
    for (std::uint64_t at = 0; at < settings.threads; ++at) {
        const std::uint64_t which = at % settings.processes;
        performers.push_back(std::make_unique<Performer>(*processes[which], *names[which]));
    }
    std::vector<std::thread> threads;
    for (std::uint64_t at = 0; at < settings.threads; ++at) {
        threads.emplace_back(run_thread, std::ref(round),
                             std::ref(*processes[at % settings.processes]),
                             std::ref(*performers[at]), seed * 1000 + at, at == 0);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    const auto left = round.machine.close();
    std::cout << ": " << round.figures.calls << " calls, "
              << round.figures.refused * 100 / round.figures.calls << " % refused" << std::endl;
    for (const std::string& line : left) {
        std::cerr << "stress: left over: " << line << '\n';
    }
    return left.empty();
}

bool run(const Settings& settings) {
    bool known = false;
    bool clean = true;
    for (std::uint64_t round = 0; settings.forever || round < settings.rounds; ++round) {
        for (const Board& board : boards()) {
            if (settings.board.empty() || settings.board == board.name()) {
                known = true;
                clean = run_round(settings, board, settings.seed + round) && clean;
            }
        }
        if (!known) {
            wrong("there is no board " + settings.board);
        }
        if (!clean) {
            return false;
        }
    }
    return true;
}

}  // namespace
}  // namespace kvmiommu::guests

extern "C" __attribute__((visibility("default"))) const char* __ubsan_default_options() {
    return "print_stacktrace=1";
}

int main(int, char** arguments) {
    return kvmiommu::guests::run(kvmiommu::guests::parse(arguments)) ? 0 : 1;
}
