// SPDX-License-Identifier: MIT

#include "kvm/vcpu.h"

#include <utility>

#include "fs/ioctl_table.h"
#include "kvm/vm.h"
#include "mm/shared_bytes.h"
#include "uapi/papr.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kIoctl{"virt/kvm/kvm_main.c: kvm_vcpu_ioctl"};
constexpr Source kRun{"arch/powerpc/kvm/powerpc.c: kvm_arch_vcpu_ioctl_run"};
constexpr Source kEnableCap{"arch/powerpc/kvm/powerpc.c: kvm_vcpu_ioctl_enable_cap"};

constexpr fs::IoctlRow<Vcpu> kRows[] = {
    fs::value_row<&Vcpu::run>(uapi::KVM_RUN),
    fs::kvm_row<&Vcpu::enable_cap>(uapi::KVM_ENABLE_CAP),
};

constexpr fs::IoctlTable<Vcpu> kTable{kRows,
                                      {EINVAL, "request {:x} means nothing to a vcpu", kIoctl}};

}  // namespace

Result<Ref<Vcpu>> Vcpu::create(Vm& vm, std::uint32_t id) {
    fs::Kernel& kernel = vm.kernel();
    auto page = make<mm::KernelPages>(kernel.census(), "kvm_run", kernel.memory(),
                                      kernel.page_size(), std::uint64_t{1});
    TRY(page->make_page(0));
    return make<Vcpu>(vm, id, std::move(page));
}

Vcpu::Vcpu(Vm& vm, std::uint32_t id, Ref<mm::KernelPages> page)
    : RefCounted(vm.kernel().census(), "kvm_vcpu"), id_(id), page_(std::move(page)) {
    vm_ = Ref<Vm>(vm);
}

void Vcpu::queue(std::vector<Hypercall> calls) {
    const Lock lock(queue_mutex_);
    if (calls_.empty()) {
        calls_ = std::move(calls);
    } else {
        calls_.insert(calls_.end(), calls.begin(), calls.end());
    }
}

std::vector<HypercallAnswer> Vcpu::take_answers() {
    const Lock lock(queue_mutex_);
    return std::exchange(answers_, {});
}

HypercallFigures Vcpu::figures() const {
    const Lock lock(queue_mutex_);
    return figures_;
}

// The hypercalls of a KVM_RUN: taken from the queue at once, so that its lock is not taken for each
// of them. The destructor puts the rest back.
class Vcpu::Work {
  public:
    explicit Work(Vcpu& vcpu) : vcpu_(vcpu) { take(); }
    ~Work() {
        const Lock lock(vcpu_.queue_mutex_);
        // Hypercalls that were queued meanwhile come after the rest.
        if (next_ != calls_.size()) {
            // Those that are done are erased once they are the larger part: amortized, each call
            // is moved once.
            if (next_ > calls_.size() / 2) {
                calls_.erase(calls_.begin(), calls_.begin() + static_cast<std::ptrdiff_t>(next_));
                next_ = 0;
            }
            calls_.insert(calls_.end(), vcpu_.calls_.begin(), vcpu_.calls_.end());
            vcpu_.calls_ = std::move(calls_);
            vcpu_.next_call_ = next_;
        }
        vcpu_.answers_.insert(vcpu_.answers_.end(), answers_.begin(), answers_.end());
        vcpu_.figures_.real_mode += figures_.real_mode;
        vcpu_.figures_.virtual_mode += figures_.virtual_mode;
        vcpu_.figures_.user += figures_.user;
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    /// Null: the queue is empty.
    const Hypercall* next() {
        if (next_ == calls_.size()) {
            take();
        }
        return next_ == calls_.size() ? nullptr : &calls_[next_++];
    }
    void answer(const HypercallAnswer& answer, std::uint64_t HypercallFigures::* who) {
        answers_.push_back(answer);
        ++(figures_.*who);
    }

  private:
    void take() {
        const Lock lock(vcpu_.queue_mutex_);
        calls_ = std::exchange(vcpu_.calls_, {});
        next_ = std::exchange(vcpu_.next_call_, 0);
    }

    Vcpu& vcpu_;
    std::vector<Hypercall> calls_;
    std::size_t next_ = 0;
    std::vector<HypercallAnswer> answers_;
    HypercallFigures figures_;
};

Result<std::int64_t> Vcpu::run(fs::Task& task, std::uint64_t argument) {
    if (argument != 0) {
        return refuse(EINVAL, "the request takes no argument, {:x} was given", kIoctl, argument);
    }
    TRY(running_.lock_killable(task));
    auto result = run_queue(task);
    running_.unlock();
    return result;
}

Result<std::int64_t> Vcpu::run_queue(fs::Task& task) {
    uapi::kvm_run& shared = this->shared();
    Work work(*this);
    if (waits_for_user_) {
        waits_for_user_ = false;
        auto& call = shared.papr_hcall;
        work.answer({mm::read_once(call.nr), mm::read_once(call.ret), mm::read_once(call.args[0])},
                    &HypercallFigures::user);
    }
    const auto wants_back = [&shared] { return mm::read_once(shared.immediate_exit) != 0; };
    if (wants_back()) {
        return refuse(EINTR, "user space wants the vcpu back at once", kRun);
    }
    while (!wants_back()) {
        const Hypercall* const call = work.next();
        if (call == nullptr) {
            break;
        }
        HypercallAnswer answer{call->number, 0, call->arguments[0]};
        const auto [r3, level] = vm_->hypercall(task, *call, answer.r4);
        if (level == spapr::HypercallLevel::user) {
            mm::write_once(shared.exit_reason, uapi::KVM_EXIT_PAPR_HCALL);
            mm::write_once(shared.papr_hcall.nr, call->number);
            mm::write_once(shared.papr_hcall.ret, std::uint64_t{0});
            for (std::size_t i = 0; i < call->arguments.size(); ++i) {
                mm::write_once(shared.papr_hcall.args[i], call->arguments[i]);
            }
            waits_for_user_ = true;
            return 0;
        }
        answer.r3 = static_cast<std::uint64_t>(r3);
        work.answer(answer, level == spapr::HypercallLevel::real_mode
                                ? &HypercallFigures::real_mode
                                : &HypercallFigures::virtual_mode);
    }
    mm::write_once(shared.exit_reason, uapi::KVM_EXIT_INTR);
    return refuse(EINTR, "the guest has nothing left to do, or was told to leave", kRun);
}

Result<std::int64_t> Vcpu::enable_cap(fs::Block<uapi::kvm_enable_cap> cap) {
    if (cap->flags != 0 || cap->cap != uapi::KVM_CAP_PPC_PAPR) {
        return refuse(EINVAL, "capability {} with flags {:x} cannot be enabled", kEnableCap,
                      cap->cap, cap->flags);
    }
    // All hypercalls here are those of PAPR: nothing to switch.
    return 0;
}

VcpuFile::VcpuFile(Ref<Vcpu> vcpu) : File(vcpu->vm().kernel(), "kvm-vcpu", O_RDWR, false) {
    vcpu_ = std::move(vcpu);
}

Result<std::int64_t> VcpuFile::ioctl(fs::Task& task, std::uint32_t command,
                                     std::uint64_t argument) {
    TRY(vcpu_->vm().check_mm(task));
    return kTable.ioctl(*vcpu_, task, command, argument);
}

Result<fs::FileMapping> VcpuFile::mmap(fs::Task&, const fs::FileMapRequest& request) {
    return fs::FileMapping{vcpu_->page(), request.offset};
}

}  // namespace kvmiommu::kvm
