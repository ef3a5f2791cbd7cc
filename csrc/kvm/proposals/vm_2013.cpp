// SPDX-License-Identifier: MIT
//
// The parts of a virtual machine on POWER that the proposals of 2013 add: buses that are linked to
// IOMMU groups, and hypercalls for them ("KVM: PPC: IOMMU in-kernel handling").

#include <memory>
#include <utility>

#include "kvm/device_types.h"
#include "kvm/proposals/spapr_tce_device.h"
#include "kvm/proposals/tce_link.h"
#include "kvm/vm.h"
#include "spapr/proposals/hypercalls_2013.h"
#include "uapi/papr.h"

namespace kvmiommu::kvm {

Result<> Vm::check_bus_free(std::uint64_t liobn) const {
    const Lock lock(mutex_);
    return tables_.check_free(liobn);
}

Result<> Vm::add_link(const spapr::LinkedTable& table) {
    const Lock lock(mutex_);
    return tables_.add(table);
}

void Vm::remove_link(const spapr::LinkedTable& table) {
    const Lock lock(mutex_);
    tables_.remove(table);
}

Result<std::int64_t> Vm::create_spapr_tce_iommu(
    fs::Block<uapi::kvm_create_spapr_tce_iommu> create) {
    auto link = TRY(TceLink::create(*this, create.task(), create->liobn, create->fd));
    return install(create.task(), make<TceLinkFile>(Ref<Vm>(*this), std::move(link)));
}

// KVM_CREATE_SPAPR_TCE as a wrapper: creates a device and returns its descriptor.
Result<std::int64_t> Vm::create_table_device(fs::Task& task,
                                             const uapi::kvm_create_spapr_tce& window) {
    auto device = std::make_unique<SpaprTceDevice>(*this);
    TRY(device->set_window(task, window));
    Ref<fs::File> file;
    {
        const Lock lock(mutex_);
        file = add_device(*device_type(module_, uapi::KVM_DEV_TYPE_SPAPR_TCE), std::move(device));
    }
    return install(task, std::move(file));
}

spapr::HypercallOutcome Vm::hypercall_2013(fs::Task& task, const Hypercall& call,
                                           std::uint64_t& r4) {
    const spapr::y2013::Machine machine{
        tables_,
        *this,
        *mm_,
        task.faults(),
        module_.options().real_mode,
        !kernel().fixed(fs::KernelBug::spapr_real_mode_forgets_pages),
        !kernel().fixed(fs::KernelBug::spapr_links_pin_for_reading)};
    const auto& [liobn, ioba, value, pages, r8, r9, r10, r11, r12] = call.arguments;
    switch (call.number) {
        case uapi::H_PUT_TCE:
            return spapr::y2013::h_put_tce(machine, liobn, ioba, value);
        case uapi::H_PUT_TCE_INDIRECT:
            return spapr::y2013::h_put_tce_indirect(machine, liobn, ioba, value, pages);
        case uapi::H_STUFF_TCE:
            return spapr::y2013::h_stuff_tce(machine, liobn, ioba, value, pages);
        case uapi::H_GET_TCE:
            return spapr::y2013::h_get_tce(machine, liobn, ioba, r4);
        default:
            return {uapi::H_TOO_HARD, spapr::HypercallLevel::user};
    }
}

}  // namespace kvmiommu::kvm
