// SPDX-License-Identifier: MIT
//
// The host's mappings under this program's machines. The host limits their number for the program
// as a whole (vm.max_map_count), so they are counted here for all machines together, and a call is
// refused before the host would refuse it half-way. What the rest of the program maps is not
// counted: a part of the host's limit stays reserved for it.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/base.h"

namespace kvmiommu::mm {

class HostMappings {
  public:
    /// The one count of this program.
    static HostMappings& of_program();

    /// False: that many more would pass the limit.
    bool charge(std::uint64_t mappings);
    void uncharge(std::uint64_t mappings);

    std::uint64_t charged() const { return charged_.load(std::memory_order_relaxed); }
    std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
    /// Another limit, for tests. Returns what it was.
    std::uint64_t set_limit(std::uint64_t limit) { return limit_.exchange(limit); }
    /// Each change of the host's mappings that the host could refuse is a point that tests can
    /// fail.
    FaultPoints& faults() { return faults_; }

  private:
    HostMappings();

    std::atomic<std::uint64_t> charged_{0};
    std::atomic<std::uint64_t> limit_;
    FaultPoints faults_;
};

/// Mappings charged until it is destroyed.
class HostCharge {
  public:
    HostCharge() = default;
    HostCharge(HostCharge&& other) noexcept : mappings_(std::exchange(other.mappings_, 0)) {}
    HostCharge& operator=(HostCharge&& other) noexcept {
        std::swap(mappings_, other.mappings_);
        return *this;
    }
    ~HostCharge() { shrink_to(0); }

    std::uint64_t mappings() const { return mappings_; }
    /// ENOMEM: too many mappings.
    Result<> grow(std::uint64_t mappings);
    void shrink_to(std::uint64_t mappings);

  private:
    std::uint64_t mappings_ = 0;
};

/// A file of the host's, closed when it is destroyed.
class HostFile {
  public:
    explicit HostFile(int descriptor) : descriptor_(descriptor) {}
    HostFile(HostFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    HostFile& operator=(HostFile&&) = delete;
    ~HostFile();
    int get() const { return descriptor_; }

  private:
    int descriptor_;
};

/// A mapping of the host's, charged, unmapped when it is destroyed.
class HostMapping {
  public:
    HostMapping() = default;
    HostMapping(HostMapping&& other) noexcept
        : base_(std::exchange(other.base_, nullptr)),
          bytes_(other.bytes_),
          charge_(std::move(other.charge_)) {}
    HostMapping& operator=(HostMapping&& other) noexcept {
        std::swap(base_, other.base_);
        std::swap(bytes_, other.bytes_);
        charge_ = std::move(other.charge_);
        return *this;
    }
    ~HostMapping() { unmap(); }

    /// Addresses with nothing behind them. ENOMEM.
    static Result<HostMapping> reserve(std::uint64_t bytes);
    /// A file from its start, shared, to read and write. ENOMEM, and what the host says.
    static Result<HostMapping> of_file(const HostFile& file, std::uint64_t bytes);

    std::byte* base() const { return base_; }
    std::uint64_t bytes() const { return bytes_; }
    /// Now. False: the host refuses, and the addresses stay as they are for as long as the program
    /// lives.
    bool unmap();

  private:
    std::byte* base_ = nullptr;
    std::uint64_t bytes_ = 0;
    HostCharge charge_;
};

/// Changes within addresses that are reserved. False: the host refuses, nothing has changed.
bool host_show(std::uint64_t address, std::uint64_t bytes, int protection, int file,
               std::uint64_t offset);
bool host_hide(std::uint64_t address, std::uint64_t bytes);
/// False: the host refuses; a part may have changed.
bool host_protect(std::uint64_t address, std::uint64_t bytes, int protection);

}  // namespace kvmiommu::mm
