// SPDX-License-Identifier: MIT

#include "bindings/argument_memory.h"

#include <sys/mman.h>

#include <algorithm>

namespace kvmiommu {

Result<ArgumentMemory::Block> ArgumentMemory::take(std::uint64_t bytes) {
    const std::uint64_t wanted = bytes + kZeros;
    if (wanted <= kKept) {
        const Lock lock(mutex_);
        if (!free_.empty()) {
            const std::uint64_t address = free_.back();
            free_.pop_back();
            return Block(*this, address, kKept);
        }
    }
    mm::MapRequest request;
    request.length = std::max(wanted, kKept);
    request.protection = PROT_READ | PROT_WRITE;
    request.kept = true;  // The process must not unmap it.
    const std::uint64_t address = TRY(mm_.map(request));
    return Block(*this, address, request.length);
}

void ArgumentMemory::release(std::uint64_t address, std::uint64_t mapped) {
    if (mapped == kKept) {
        const Lock lock(mutex_);
        free_.push_back(address);
        return;
    }
    mm_.unmap_kept(address, mapped);
}

}  // namespace kvmiommu
