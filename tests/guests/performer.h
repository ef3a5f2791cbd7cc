// SPDX-License-Identifier: MIT
//
// Makes the calls of a random program as a process of a machine, as the player of transcripts does
// (python/kvmiommu/transcript/player.py): same names, same argument blocks, same answers.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "guests/operation.h"
#include "machine/process.h"

namespace kvmiommu::guests {

/// What names stand for. The threads of one process share them.
class Names {
  public:
    Names();
    std::uint64_t value(const Number& number) const;
    void set(Name name, std::uint64_t value, std::uint64_t bytes = 0);
    /// Of a buffer or a mapping; 0 for what is none.
    std::uint64_t bytes(Name name) const;

  private:
    static constexpr std::size_t kCount = kNames.size();
    std::atomic<std::uint64_t> values_[kCount];
    std::atomic<std::uint64_t> bytes_[kCount];
};

struct Outcome {
    enum class Kind : std::uint8_t { number, ok, error, signal, exit };

    Kind kind = Kind::ok;
    std::int64_t value = 0;  // a number, an errno or a mm::Signal
    bool has_r4 = false;     // of a hypercall
    std::uint64_t r4 = 0;
    bool has_bytes = false;            // what was read
    bool bound = false;                // the field that the operation binds
    std::vector<std::uint64_t> given;  // what each field of a block went in with
    std::vector<std::byte> bytes;      // what was read, or the block afterwards
};

class Performer {
  public:
    /// Its memory for arguments is its own; `names` may be another's too.
    Performer(machine::Process& process, Names& names);
    Performer(const Performer&) = delete;
    Performer& operator=(const Performer&) = delete;

    Outcome perform(const Operation& operation);

  private:
    static constexpr std::uint64_t kArguments = 64 << 10;
    static constexpr std::uint64_t kZeros = 4096;
    static constexpr std::uint64_t kLongestBlock = kArguments - kZeros;

    int file(const Operation& operation) const;
    std::uint64_t number(const Operation& operation, unsigned at) const;
    std::vector<std::byte> encode(const std::vector<Token>& tokens,
                                  std::vector<std::uint64_t>* values = nullptr) const;
    Result<std::int64_t> put_block(const std::vector<std::byte>& block);
    Outcome ioctl(const Operation& operation);
    Outcome read(const Operation& operation);
    Outcome write(const Operation& operation);
    Outcome memory(const Operation& operation);
    Outcome open_one(const Operation& operation);
    Outcome guest(const Operation& operation);
    Outcome hypercall(const Operation& operation);
    Result<> start_guest(std::uint64_t kvm, std::uint64_t vm, std::uint64_t ram,
                         std::uint64_t bytes, mm::Signal& signal);
    Outcome task(const Operation& operation);

    machine::Process& process_;
    Names& names_;
    std::uint64_t arguments_ = 0;
    int vcpu_ = -1;
    Ref<fs::File> vcpu_file_;
    std::uint64_t run_ = 0;  // what the vcpu shares
};

}  // namespace kvmiommu::guests
