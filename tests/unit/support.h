// SPDX-License-Identifier: MIT
//
// What several of these tests need: a small machine that must be empty in the end, a process, and
// a call's answer as a word that reads well in a test.

#pragma once

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/base.h"
#include "fs/fs.h"
#include "mm/mm.h"
#include "mm/owned_address_space.h"
#include "mm/shmem.h"

template <>
struct doctest::StringMaker<std::vector<std::string>> {
    static String convert(const std::vector<std::string>& lines) {
        std::string text;
        for (const std::string& line : lines) {
            text += "[" + line + "] ";
        }
        return text.c_str();
    }
};

template <>
struct doctest::StringMaker<kvmiommu::mm::Signal> {
    static String convert(kvmiommu::mm::Signal signal) {
        switch (signal) {
            case kvmiommu::mm::Signal::none:
                return "no signal";
            case kvmiommu::mm::Signal::segv:
                return "SIGSEGV";
            case kvmiommu::mm::Signal::bus:
                return "SIGBUS";
        }
        return "?";
    }
};

namespace kvmiommu::test {

/// Of calls whose allocations do not fail.
inline FaultPoints& no_faults() {
    thread_local FaultPoints none;
    return none;
}

/// "ok", or the name of the errno.
template <class Value>
std::string outcome(const Result<Value>& result) {
    return result ? "ok" : errno_name(result.error().error());
}

/// The value of a call that must not be refused.
template <class Value>
    requires(!std::is_void_v<Value>)
Value value(Result<Value> result) {
    const std::string refusal = result ? "" : result.error().text();
    REQUIRE_MESSAGE(result.has_value(), refusal);
    return *std::move(result);
}

/// value() of a call that answers nothing.
inline void value(const Result<>& result) {
    const std::string refusal = result ? "" : result.error().text();
    REQUIRE_MESSAGE(result.has_value(), refusal);
}

/// The same numbers for the same seed on every machine (xorshift64*).
class Numbers {
  public:
    explicit Numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}

    std::uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1d;
    }
    /// From 0 up to, not including, `end`.
    std::uint64_t below(std::uint64_t end) { return (next() >> 16) % end; }

  private:
    std::uint64_t state_;
};

struct MachineSettings {
    std::uint64_t ram = 64 << 20;
    std::uint64_t fragment = 0;
    std::uint64_t page_size = 4096;
    fs::Arch arch = fs::Arch::x86_64;
    fs::Interfaces interfaces = fs::Interfaces::v6_12;
    mm::PhysAddr start = mm::kRamStart;
};

/// A machine. Whatever a test did, nothing may be left of it when the machine goes.
class Machine {
  public:
    explicit Machine(const MachineSettings& settings = {})
        : kernel(value(mm::PhysicalMemory::create(settings.ram, settings.fragment, settings.start)),
                 settings.page_size, settings.arch, {}, settings.interfaces) {}
    ~Machine() {
        CHECK(kernel.census().report() == std::vector<std::string>{});
        CHECK(kernel.memory().used_frames() == 0);
        CHECK(kernel.memory().total_pins() == 0);
    }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    mm::PhysicalMemory& memory() { return kernel.memory(); }
    Census& census() { return kernel.census(); }

    fs::Kernel kernel;
};

/// A process with memory of its own.
class Process {
  public:
    explicit Process(Machine& machine)
        : mm(make<mm::OwnedAddressSpace>(machine.census(), machine.memory(),
                                         machine.kernel.page_size())),
          task(machine.kernel, mm) {}

    /// Private anonymous memory.
    std::uint64_t map(std::uint64_t bytes, int protection = PROT_READ | PROT_WRITE) {
        mm::MapRequest request;
        request.length = bytes;
        request.protection = protection;
        return value(mm->map(request));
    }
    /// A mapping of `bytes` whose second half is a hole: where the hole begins.
    std::uint64_t border(std::uint64_t bytes) {
        const std::uint64_t address = map(2 * bytes);
        value(mm->unmap(address + bytes, bytes));
        return address + bytes;
    }

    template <class T>
    void store(std::uint64_t address, const T& what) {
        REQUIRE(mm->poke(address, &what, sizeof what) == mm::Signal::none);
    }
    template <class T = std::uint64_t>
    T load(std::uint64_t address) {
        T what{};
        REQUIRE(mm->peek(&what, address, sizeof what) == mm::Signal::none);
        return what;
    }
    void store_text(std::uint64_t address, const std::string& text) {
        REQUIRE(mm->poke(address, text.data(), text.size()) == mm::Signal::none);
    }
    std::string load_text(std::uint64_t address, std::size_t bytes) {
        std::string text(bytes, '?');
        REQUIRE(mm->peek(text.data(), address, bytes) == mm::Signal::none);
        return text;
    }
    /// How a load or a store of one byte would end.
    mm::Signal load_signal(std::uint64_t address) {
        char byte = 0;
        return mm->peek(&byte, address, 1);
    }
    mm::Signal store_signal(std::uint64_t address) {
        const char byte = 1;
        return mm->poke(address, &byte, 1);
    }

    Ref<mm::OwnedAddressSpace> mm;
    fs::Task task;
};

}  // namespace kvmiommu::test
