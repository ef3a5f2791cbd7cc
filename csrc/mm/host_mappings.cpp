// SPDX-License-Identifier: MIT

#include "mm/host_mappings.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

namespace kvmiommu::mm {

namespace {

constexpr Source kSource{"kvmiommu: mm/host_mappings.h"};
constexpr std::uint64_t kUsualLimit = 65530;  // DEFAULT_MAX_MAP_COUNT

std::uint64_t max_map_count() {
    unsigned long long count = kUsualLimit;
    if (std::FILE* const file = std::fopen("/proc/sys/vm/max_map_count", "re")) {
        if (std::fscanf(file, "%llu", &count) != 1) {
            count = kUsualLimit;
        }
        std::fclose(file);
    }
    return count;
}

}  // namespace

HostMappings& HostMappings::of_program() {
    static HostMappings mappings;
    return mappings;
}

// A quarter is reserved for the rest of the program: libraries, threads, Python's allocations.
HostMappings::HostMappings() {
    const std::uint64_t most = max_map_count();
    limit_ = most - most / 4;
}

bool HostMappings::charge(std::uint64_t mappings) {
    const std::uint64_t most = limit();
    std::uint64_t seen = charged_.load(std::memory_order_relaxed);
    do {
        if (mappings > most || seen > most - mappings) {
            return false;
        }
    } while (!charged_.compare_exchange_weak(seen, seen + mappings, std::memory_order_relaxed));
    return true;
}

void HostMappings::uncharge(std::uint64_t mappings) {
    charged_.fetch_sub(mappings, std::memory_order_relaxed);
}

Result<> HostCharge::grow(std::uint64_t mappings) {
    HostMappings& all = HostMappings::of_program();
    if (mappings != 0 && !all.charge(mappings)) {
        return refuse(ENOMEM,
                      "{} more mappings of the host's: all machines together have {} of at most {}",
                      kSource, mappings, all.charged(), all.limit());
    }
    mappings_ += mappings;
    return {};
}

void HostCharge::shrink_to(std::uint64_t mappings) {
    if (mappings_ > mappings) {
        HostMappings::of_program().uncharge(mappings_ - mappings);
        mappings_ = mappings;
    }
}

HostFile::~HostFile() {
    if (descriptor_ >= 0) {
        close(descriptor_);
    }
}

Result<HostMapping> HostMapping::reserve(std::uint64_t bytes) {
    HostMapping mapping;
    TRY(mapping.charge_.grow(1));
    void* const base =
        HostMappings::of_program().faults().fails()
            ? MAP_FAILED
            : mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return refuse(ENOMEM, "the host has no room for {:x} bytes of addresses", kSource, bytes);
    }
    mapping.base_ = static_cast<std::byte*>(base);
    mapping.bytes_ = bytes;
    return mapping;
}

Result<HostMapping> HostMapping::of_file(const HostFile& file, std::uint64_t bytes) {
    HostMapping mapping;
    TRY(mapping.charge_.grow(1));
    if (HostMappings::of_program().faults().fails()) {
        return refuse(ENOMEM, "the host maps no file of {:x} bytes", kSource, bytes);
    }
    void* const base =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
    if (base == MAP_FAILED) {
        return refuse(errno, "the host maps no file of {:x} bytes", kSource, bytes);
    }
    mapping.base_ = static_cast<std::byte*>(base);
    mapping.bytes_ = bytes;
    return mapping;
}

bool HostMapping::unmap() {
    charge_.shrink_to(0);
    std::byte* const base = std::exchange(base_, nullptr);
    return base == nullptr ||
           (!HostMappings::of_program().faults().fails() && munmap(base, bytes_) == 0);
}

bool host_show(std::uint64_t address, std::uint64_t bytes, int protection, int file,
               std::uint64_t offset) {
    return !HostMappings::of_program().faults().fails() &&
           mmap(reinterpret_cast<void*>(address), bytes, protection, MAP_SHARED | MAP_FIXED, file,
                static_cast<off_t>(offset)) != MAP_FAILED;
}

bool host_hide(std::uint64_t address, std::uint64_t bytes) {
    return !HostMappings::of_program().faults().fails() &&
           mmap(reinterpret_cast<void*>(address), bytes, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

bool host_protect(std::uint64_t address, std::uint64_t bytes, int protection) {
    return !HostMappings::of_program().faults().fails() &&
           mprotect(reinterpret_cast<void*>(address), bytes, protection) == 0;
}

}  // namespace kvmiommu::mm
