// SPDX-License-Identifier: MIT
//
// A guest's bus that is linked to an IOMMU group, as it was proposed in 2013 ("KVM: PPC: Add
// support for IOMMU in-kernel handling", version 9: kvmppc_spapr_tce_iommu_link). The link is an
// external user of the group, which stays in its container as long.

#pragma once

#include <cstdint>
#include <memory>

#include "base/base.h"
#include "fs/file.h"
#include "spapr/proposals/linked_table.h"

namespace kvmiommu::kvm {

class Vm;

class TceLink {
  public:
    /// `fd` is the descriptor of a VFIO group. `vm` outlives the link.
    /// EBUSY the bus has a table or a link
    /// ENXIO VFIO is not loaded
    /// ENXIO the descriptor is not open
    /// ENXIO whatever group_get_external_user() refuses with
    /// ENXIO whatever group_tce_table() refuses with
    /// ENXIO an injected failure
    /// EBUSY another thread has given the bus a table or a link meanwhile
    static Result<std::unique_ptr<TceLink>> create(Vm& vm, fs::Task& task, std::uint64_t liobn,
                                                   std::uint32_t fd);
    /// For create(). The link puts the external user that create() got.
    TceLink(Vm& vm, Ref<fs::File> group, const spapr::LinkedTable& table);
    ~TceLink();
    TceLink(const TceLink&) = delete;
    TceLink& operator=(const TceLink&) = delete;

    std::uint64_t liobn() const { return table_.liobn; }

  private:
    Vm& vm_;
    Ref<fs::File> group_{"kvmppc_spapr_tce_table.vfio_grp"};
    const spapr::LinkedTable table_;
};

/// The descriptor of KVM_CREATE_SPAPR_TCE_IOMMU, which owns the link and has no requests.
class TceLinkFile final : public fs::File {
  public:
    TceLinkFile(Ref<Vm> vm, std::unique_ptr<TceLink> link);
    ~TceLinkFile() override;

  private:
    Ref<Vm> vm_;
    std::unique_ptr<TceLink> link_;
};

}  // namespace kvmiommu::kvm
