// SPDX-License-Identifier: MIT
//
// A virtual processor without a processor: a queue of the guest's hypercalls (arch/powerpc/kvm/
// book3s_hv.c: kvmppc_pseries_do_hcall). KVM_RUN performs them until one needs user space, and then
// exits with that one in the shared kvm_run.

#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/base.h"
#include "fs/file.h"
#include "fs/ioctl.h"
#include "fs/sleep_lock.h"
#include "kvm/lock_order.h"
#include "mm/kernel_pages.h"
#include "uapi/kvm.h"

namespace kvmiommu::kvm {

class Vm;

inline constexpr std::uint32_t kMostVcpus = 2048;          // KVM_MAX_VCPUS
inline constexpr std::uint32_t kVcpuIds = kMostVcpus * 8;  // KVM_MAX_VCPU_IDS

struct Hypercall {
    std::uint64_t number;                      // r3
    std::array<std::uint64_t, 9> arguments{};  // r4 to r12
};

/// The registers of the guest after a hypercall.
struct HypercallAnswer {
    std::uint64_t number;
    std::uint64_t r3;
    std::uint64_t r4;
};

/// How many hypercalls were handled, and where.
struct HypercallFigures {
    std::uint64_t real_mode = 0;  // in the kernel with the MMU off, as it was until 5.18
    std::uint64_t virtual_mode = 0;
    std::uint64_t user = 0;
};

class Vcpu final : public RefCounted {
  public:
    /// ENOMEM the machine has no frame for kvm_run
    static Result<Ref<Vcpu>> create(Vm& vm, std::uint32_t id);
    /// For create().
    Vcpu(Vm& vm, std::uint32_t id, Ref<mm::KernelPages> page);

    Vm& vm() { return *vm_; }
    std::uint32_t id() const { return id_; }
    const Ref<mm::KernelPages>& page() const { return page_; }

    // --- the guest ---

    /// Appends hypercalls of the guest.
    void queue(std::vector<Hypercall> calls) EXCLUDES(queue_mutex_);
    /// The results since the last call of this, the oldest first.
    std::vector<HypercallAnswer> take_answers() EXCLUDES(queue_mutex_);
    HypercallFigures figures() const EXCLUDES(queue_mutex_);

    // --- requests ---

    /// KVM_RUN. Returns 0 when user space has to handle a hypercall: see kvm_run.
    /// EINVAL the argument is not 0
    /// and what SleepLock::lock_killable() says while another KVM_RUN is under way
    /// EINTR kvm_run.immediate_exit is set
    /// EINTR the queue is empty
    Result<std::int64_t> run(fs::Task& task, std::uint64_t argument);
    /// KVM_ENABLE_CAP of KVM_CAP_PPC_PAPR.
    /// EINVAL flags are set, or another capability
    Result<std::int64_t> enable_cap(fs::Block<uapi::kvm_enable_cap> cap);

  private:
    uapi::kvm_run& shared() const { return *reinterpret_cast<uapi::kvm_run*>(page_->page(0)); }
    class Work;
    Result<std::int64_t> run_queue(fs::Task& task);

    Ref<Vm> vm_{"kvm_vcpu.kvm"};
    const std::uint32_t id_;
    const Ref<mm::KernelPages> page_;

    // kvm_vcpu.mutex: guards waits_for_user_ and kvm_run. A KVM_RUN holds it.
    fs::SleepLock running_;
    bool waits_for_user_ = false;

    mutable Mutex queue_mutex_{lock_order::kQueue};
    std::vector<Hypercall> calls_ GUARDED_BY(queue_mutex_);
    std::size_t next_call_ GUARDED_BY(queue_mutex_) = 0;  // of calls_: those before are done
    std::vector<HypercallAnswer> answers_ GUARDED_BY(queue_mutex_);
    HypercallFigures figures_ GUARDED_BY(queue_mutex_);
};

class VcpuFile final : public fs::File {
  public:
    explicit VcpuFile(Ref<Vcpu> vcpu);

    Vcpu& vcpu() { return *vcpu_; }
    /// EIO the task's address space is not the virtual machine's
    /// EINVAL the request is unknown
    /// EFAULT the request's struct cannot be read
    /// and what the request says: Vcpu
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    /// Maps kvm_run. Does not fail.
    Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request) override;

  private:
    Ref<Vcpu> vcpu_{"kvm-vcpu"};
};

}  // namespace kvmiommu::kvm
