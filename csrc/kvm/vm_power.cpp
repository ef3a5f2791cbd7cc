// SPDX-License-Identifier: MIT
//
// The parts of a virtual machine that only POWER has here: vcpus, hypercalls and TCE tables
// (arch/powerpc/kvm/powerpc.c: kvm_arch_vm_ioctl; book3s_64_vio.c).

#include <algorithm>
#include <utility>

#include "kvm/hypercalls.h"
#include "kvm/spapr_tce.h"
#include "kvm/vm.h"
#include "uapi/papr.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kCreateVcpu{"arch/powerpc/kvm/book3s_hv.c: kvmppc_core_vcpu_create_hv"};
constexpr Source kEnableCap{"arch/powerpc/kvm/powerpc.c: kvm_vm_ioctl_enable_cap"};
constexpr Source kIoctl{"arch/powerpc/kvm/powerpc.c: kvm_arch_vm_ioctl"};
constexpr Source kAttach{"arch/powerpc/kvm/book3s_64_vio.c: kvm_spapr_tce_attach_iommu_group"};

constexpr unsigned k4K = 12;

std::int64_t answer(const spapr::Caller& caller, const Hypercall& call, std::uint64_t& r4) {
    const auto& [liobn, ioba, value, pages, r8, r9, r10, r11, r12] = call.arguments;
    switch (call.number) {
        case uapi::H_PUT_TCE:
            return spapr::h_put_tce(caller, liobn, ioba, value);
        case uapi::H_PUT_TCE_INDIRECT:
            return spapr::h_put_tce_indirect(caller, liobn, ioba, value, pages);
        case uapi::H_STUFF_TCE:
            return spapr::h_stuff_tce(caller, liobn, ioba, value, pages);
        case uapi::H_GET_TCE:
            return spapr::h_get_tce(caller, liobn, ioba, r4);
        default:
            return uapi::H_TOO_HARD;
    }
}

}  // namespace

Result<std::int64_t> Vm::create_vcpu(fs::Task& task, std::uint64_t id) {
    // KVM_MAX_VCPU_IDS is larger, for cores with threads (KVM_CAP_PPC_SMT): not modelled.
    if (id >= kMostVcpus) {
        return refuse(EINVAL, "vcpu {}: there are {} ids", kCreateVcpu, id, kMostVcpus);
    }
    auto vcpu = TRY(Vcpu::create(*this, static_cast<std::uint32_t>(id)));
    {
        const Lock lock(mutex_);
        if (std::find(vcpu_ids_.begin(), vcpu_ids_.end(), id) != vcpu_ids_.end()) {
            return refuse(EINVAL, "there is a vcpu {}", kCreateVcpu, id);
        }
        vcpu_ids_.push_back(static_cast<std::uint32_t>(id));
    }
    const auto fd =
        task.files().install(make<VcpuFile>(std::move(vcpu)), task.limit(fs::Resource::nofile));
    if (!fd) {
        const Lock lock(mutex_);
        std::erase(vcpu_ids_, id);
        return std::unexpected(fd.error());
    }
    return *fd;
}

Result<std::int64_t> Vm::enable_cap(fs::Block<uapi::kvm_enable_cap> cap) {
    const std::uint64_t call = cap->args[0];
    if (cap->flags != 0 || cap->cap != uapi::KVM_CAP_PPC_ENABLE_HCALL) {
        return refuse(EINVAL, "capability {} with flags {:x} cannot be enabled", kEnableCap,
                      cap->cap, cap->flags);
    }
    if (call / 4 >= kHypercalls || call % 4 != 0 || cap->args[1] > 1 || !answers_hypercall(call)) {
        return refuse(EINVAL, "hypercall {:x} cannot be switched to {}", kEnableCap, call,
                      cap->args[1]);
    }
    const Lock lock(mutex_);
    enabled_hypercalls_.set(call / 4, cap->args[1] != 0);
    return 0;
}

Result<Ref<spapr::GuestTable>> Vm::make_table(fs::Task& task,
                                              const uapi::kvm_create_spapr_tce& window) {
    return add_table(task, {window.liobn, k4K, 0, std::uint64_t{window.window_size} >> k4K});
}

Result<std::int64_t> Vm::create_spapr_tce(fs::Block<uapi::kvm_create_spapr_tce> create) {
    if (module_.proposes(fs::Proposal::spapr_tce_devices)) {
        return create_table_device(create.task(), *create);
    }
    return install(create.task(),
                   make<SpaprTceFile>(kernel(), TRY(make_table(create.task(), *create))));
}

Result<std::int64_t> Vm::create_spapr_tce_64(fs::Block<uapi::kvm_create_spapr_tce_64> create) {
    if (create->flags != 0) {
        return refuse(EINVAL, "flags {:x}: the request has none", kIoctl, create->flags);
    }
    auto table = TRY(add_table(create.task(),
                               {create->liobn, create->page_shift, create->offset, create->size}));
    return install(create.task(), make<SpaprTceFile>(kernel(), std::move(table)));
}

Result<Ref<spapr::GuestTable>> Vm::add_table(fs::Task& task,
                                             const spapr::GuestTable::Window& window) {
    auto table = TRY(spapr::GuestTable::create(task, Ref<spapr::GuestTableOwner>(*this), window));
    const Lock lock(mutex_);
    TRY(tables_.add(*table));
    return table;
}

Result<std::int64_t> Vm::install(fs::Task& task, Ref<fs::File> file) {
    return TRY(task.files().install(std::move(file), task.limit(fs::Resource::nofile)));
}

void Vm::forget(spapr::GuestTable& table) {
    const Lock lock(mutex_);
    tables_.remove(table);
}

spapr::HypercallOutcome Vm::hypercall(fs::Task& task, const Hypercall& call, std::uint64_t& r4) {
    const Lock lock(mutex_);
    if (module_.options().proposals.links_of_2013()) [[unlikely]] {
        return hypercall_2013(task, call, r4);
    }
    std::int64_t r3 = uapi::H_TOO_HARD;
    if (call.number / 4 < kHypercalls && call.number % 4 == 0 &&
        enabled_hypercalls_.test(call.number / 4)) {
        r3 = answer({tables_, *this, *mm_, task.faults(),
                     kernel().fixed(fs::KernelBug::spapr_indirect_maps_without_rights),
                     kernel().fixed(fs::KernelBug::spapr_only_first_page_checked)},
                    call, r4);
    }
    return {r3, r3 == uapi::H_TOO_HARD ? spapr::HypercallLevel::user
                                       : spapr::HypercallLevel::virtual_mode};
}

std::vector<spapr::TableState> Vm::table_states() const {
    const Lock lock(mutex_);
    return spapr::table_states(tables_);
}

Result<> Vm::attach_tables(fs::File& file, const iommu::Group& group) {
    auto* const table_file = dynamic_cast<SpaprTceFile*>(&file);
    std::vector<Ref<spapr::HardwareTable>> seen;  // put after the lock
    const Lock lock(mutex_);
    const auto& tables = tables_.tables();
    if (table_file == nullptr ||
        std::find(tables.begin(), tables.end(), &table_file->table()) == tables.end()) {
        return refuse(EINVAL, "the file is no TCE table of this virtual machine", kAttach);
    }
    const spapr::TableGroup* const windows = spapr::table_group_of(group);
    if (windows == nullptr) {
        return refuse(EFAULT, "group {} has no windows", kAttach, group.id());
    }
    spapr::GuestTable& guest = table_file->table();
    const spapr::GuestTable::Window& window = guest.window();
    for (unsigned number = 0; number < spapr::kMostWindows; ++number) {
        const Ref<spapr::HardwareTable> table = seen.emplace_back(windows->table(number));
        if (table && table->page_shift() <= window.page_shift &&
            table->start() == window.offset << window.page_shift &&
            table->bytes() >= window.size << window.page_shift) {
            guest.link(table);
            return {};
        }
    }
    return refuse(EINVAL, "group {} has no window of {:x} pages of 2^{} bytes from {:x} on or more",
                  kAttach, group.id(), window.size, window.page_shift,
                  window.offset << window.page_shift);
}

void Vm::release_tables(const iommu::Group& group) {
    std::vector<Ref<spapr::HardwareTable>> gone;  // put after the lock
    const spapr::TableGroup* const windows = spapr::table_group_of(group);
    if (windows == nullptr) {
        return;
    }
    const Lock lock(mutex_);
    for (spapr::GuestTable* const table : tables_.tables()) {
        for (unsigned number = 0; number < spapr::kMostWindows; ++number) {
            if (auto hardware = windows->table(number)) {
                gone.push_back(table->unlink(*hardware));
                gone.push_back(std::move(hardware));
            }
        }
    }
}

}  // namespace kvmiommu::kvm
