// SPDX-License-Identifier: MIT

#include "fs/kernel.h"

#include "fs/null_file.h"

namespace kvmiommu::fs {

Kernel::Kernel(std::unique_ptr<mm::PhysicalMemory> memory, std::uint64_t page_size, Arch arch,
               FixedBugs fixed, Interfaces interfaces)
    : memory_(std::move(memory)),
      page_size_(page_size),
      arch_(arch),
      fixed_(fixed),
      interfaces_(interfaces) {
    nodes_.add("/dev/null", 0666, [this](Task&, int flags) -> Result<Ref<File>> {
        return make<NullFile>(*this, flags);
    });
}

}  // namespace kvmiommu::fs
