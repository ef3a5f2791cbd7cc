// SPDX-License-Identifier: MIT

#include "fs/kernel.h"

#include "fs/null_file.h"

namespace kvmiommu::fs {

Kernel::Kernel(std::unique_ptr<mm::PhysicalMemory> memory, std::uint64_t page_size, uapi::Abi abi,
               FixedBugs fixed)
    : memory_(std::move(memory)), page_size_(page_size), abi_(abi), fixed_(fixed) {
    nodes_.add("/dev/null", 0666, [this](Task&, int flags) -> Result<Ref<File>> {
        return make<NullFile>(*this, flags);
    });
}

}  // namespace kvmiommu::fs
