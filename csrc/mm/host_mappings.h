// SPDX-License-Identifier: MIT
//
// The host's mappings of all machines in this program. The host limits them for the program as a
// whole (vm.max_map_count), so they are counted here together, and a call is refused before the
// host would fail in the middle of it. A part of the limit is reserved for the mappings of the rest
// of the program, which are not counted.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/base.h"

namespace kvmiommu::mm {

class HostMappings {
  public:
    /// The count of this program.
    static HostMappings& of_program();

    /// False: `mappings` more would pass the limit.
    bool charge(std::uint64_t mappings);
    void uncharge(std::uint64_t mappings);

    std::uint64_t charged() const { return charged_.load(std::memory_order_relaxed); }
    std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
    /// Sets the limit, for tests. Returns the old one.
    std::uint64_t set_limit(std::uint64_t limit) { return limit_.exchange(limit); }
    /// A fault point at each change of the host's mappings that the host could refuse, for tests.
    FaultPoints& faults() { return faults_; }

  private:
    HostMappings();

    std::atomic<std::uint64_t> charged_{0};
    std::atomic<std::uint64_t> limit_;
    FaultPoints faults_;
};

/// Mappings that are charged until the object is destroyed.
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
    /// ENOMEM the host's limit would be passed
    Result<> grow(std::uint64_t mappings);
    void shrink_to(std::uint64_t mappings);

  private:
    std::uint64_t mappings_ = 0;
};

/// A file of the host, closed when the object is destroyed.
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

/// A charged mapping of the host, unmapped when the object is destroyed.
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

    /// Reserves addresses without memory.
    /// ENOMEM the limit of mappings or of addresses would be passed
    static Result<HostMapping> reserve(std::uint64_t bytes);
    /// Maps a file from its start, shared, for reading and writing.
    /// ENOMEM the limit of mappings would be passed
    /// and the errno of the host's mmap()
    static Result<HostMapping> of_file(const HostFile& file, std::uint64_t bytes);

    std::byte* base() const { return base_; }
    std::uint64_t bytes() const { return bytes_; }
    /// Unmaps now. False: the host refuses, and the addresses stay mapped until the program ends.
    bool unmap();

  private:
    std::byte* base_ = nullptr;
    std::uint64_t bytes_ = 0;
    HostCharge charge_;
};

/// Map a file, or nothing, within reserved addresses. False: the host refuses; nothing has changed.
bool host_show(std::uint64_t address, std::uint64_t bytes, int protection, int file,
               std::uint64_t offset);
bool host_hide(std::uint64_t address, std::uint64_t bytes);
/// False: the host refuses; a part may have changed.
bool host_protect(std::uint64_t address, std::uint64_t bytes, int protection);

}  // namespace kvmiommu::mm
