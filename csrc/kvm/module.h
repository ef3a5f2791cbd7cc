// SPDX-License-Identifier: MIT
//
// KVM as it is loaded on a machine (virt/kvm/kvm_main.c: kvm_dev_ioctl).

#pragma once

#include <cstdint>
#include <optional>

#include "fs/file.h"
#include "fs/kernel.h"
#include "fs/proposals.h"
#include "kvm/vfio_symbols.h"

namespace kvmiommu::kvm {

struct Options {
    fs::Proposals proposals;
    bool real_mode = false;  // on bare metal: the proposals of 2013 have hypercalls in real mode
};

class Module {
  public:
    /// Loads KVM: makes /dev/kvm. Without `vfio`, VFIO is not loaded.
    Module(fs::Kernel& kernel, std::optional<VfioSymbols> vfio, Options options = {});
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    fs::Kernel& kernel() { return kernel_; }
    const Options& options() const { return options_; }
    bool proposes(fs::Proposal proposal) const { return options_.proposals.contains(proposal); }
    const VfioSymbols* vfio() const { return vfio_ ? &*vfio_ : nullptr; }

    // --- requests of /dev/kvm ---

    /// EINVAL the argument is not 0
    Result<std::int64_t> get_api_version(fs::Task& task, std::uint64_t argument);
    /// Returns 1 or a number for a capability that is modelled, else 0. Does not fail.
    Result<std::int64_t> check_extension(fs::Task& task, std::uint64_t capability);
    /// Returns the bytes of the pages that a vcpu shares.
    /// EINVAL the argument is not 0
    Result<std::int64_t> get_vcpu_mmap_size(fs::Task& task, std::uint64_t argument);
    /// Returns a descriptor.
    /// EBADF the process has exited
    /// EMFILE RLIMIT_NOFILE descriptors are open
    /// EINVAL the type is not 0, nor, on POWER, 1
    /// ENOMEM an injected failure
    Result<std::int64_t> create_vm(fs::Task& task, std::uint64_t type);

  private:
    fs::Kernel& kernel_;
    const std::optional<VfioSymbols> vfio_;
    const Options options_;
};

class ModuleFile final : public fs::File {
  public:
    ModuleFile(Module& module, int flags);
    /// EINVAL the request is unknown
    /// and what the request says: Module
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Module& module_;
};

}  // namespace kvmiommu::kvm
