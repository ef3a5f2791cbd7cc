// SPDX-License-Identifier: MIT
//
// A guest's bus that is linked to an IOMMU group, as it was proposed in 2013 ("KVM: PPC: Add
// support for IOMMU in-kernel handling", version 9: kvmppc_spapr_tce_iommu_link). The group stays
// in its container as long as the link is there: the link is an external user of it.

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
    /// `fd` is a VFIO group's. EBUSY the bus has a table or a link; ENXIO all else: no group, it is
    /// in no container with an IOMMU driver, it has no table. `vm` outlives the link.
    static Result<std::unique_ptr<TceLink>> create(Vm& vm, fs::Task& task, std::uint64_t liobn,
                                                   std::uint32_t fd);
    /// For create(), which has made the file's external user and registers the table.
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

/// The descriptor of a link that the virtual machine was asked for: nothing but its lifetime.
class TceLinkFile final : public fs::File {
  public:
    TceLinkFile(Ref<Vm> vm, std::unique_ptr<TceLink> link);
    ~TceLinkFile() override;

  private:
    Ref<Vm> vm_;
    std::unique_ptr<TceLink> link_;
};

}  // namespace kvmiommu::kvm
