// SPDX-License-Identifier: MIT

#include "kvm/device_types.h"

#include <cerrno>

#include "kvm/proposals/spapr_tce_device.h"
#include "kvm/proposals/spapr_tce_iommu.h"
#include "kvm/proposals/spapr_tce_iommu_links.h"
#include "kvm/vfio_device.h"

namespace kvmiommu::kvm {

namespace {

template <class Kind>
std::unique_ptr<Device> make_device(Vm& vm) {
    return std::make_unique<Kind>(vm);
}

constexpr Source kProposed{"KVM: PPC, version 9 of 2013, patch 12: kvmppc_spapr_tce_iommu_create"};

constexpr DeviceType kVfio{uapi::KVM_DEV_TYPE_VFIO, EBUSY,
                           Source{"virt/kvm/vfio.c: kvm_vfio_create"}, &make_device<VfioDevice>};
constexpr DeviceType kLink{uapi::KVM_DEV_TYPE_SPAPR_TCE_IOMMU, 0, kProposed,
                           &make_device<SpaprTceIommu>};
constexpr DeviceType kLinks{uapi::KVM_DEV_TYPE_SPAPR_TCE_IOMMU, EEXIST, kProposed,
                            &make_device<SpaprTceIommuLinks>};
constexpr DeviceType kTable{uapi::KVM_DEV_TYPE_SPAPR_TCE, 0,
                            Source{"kvmiommu: kvm/proposals/spapr_tce_device.h"},
                            &make_device<SpaprTceDevice>};

const DeviceType* type_of_2013(const Module& module, std::uint32_t number) {
    using fs::Proposal;
    if (number == kTable.number) {
        return module.proposes(Proposal::spapr_tce_devices) ? &kTable : nullptr;
    }
    if (number != kLink.number) {
        return nullptr;
    }
    if (module.proposes(Proposal::spapr_tce_iommu_links)) {
        return &kLinks;
    }
    return module.proposes(Proposal::spapr_tce_iommu_device) ||
                   module.proposes(Proposal::spapr_tce_devices)
               ? &kLink
               : nullptr;
}

}  // namespace

const DeviceType* device_type(const Module& module, std::uint32_t number) {
    if (module.options().proposals.links_of_2013()) {
        return type_of_2013(module, number);
    }
    return number == kVfio.number ? &kVfio : nullptr;
}

}  // namespace kvmiommu::kvm
