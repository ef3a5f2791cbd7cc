// SPDX-License-Identifier: MIT
//
// Devices that the hardware cannot isolate from each other, and who owns their DMA
// (drivers/iommu/iommu.c: iommu_group).

#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "iommu/device.h"
#include "iommu/dma_fault.h"
#include "iommu/domain.h"
#include "iommu/lock_order.h"

namespace kvmiommu::iommu {

/// Where an access leads.
struct DmaTarget {
    PhysAddr address;
    std::uint64_t bytes;  // that the same translation is good for, from there on
    bool stale = false;   // the translation is unmapped already
};

/// What a platform's driver keeps with a group (iommu_group_set_iommudata).
class GroupData {
  public:
    virtual ~GroupData() = default;
    GroupData(const GroupData&) = delete;
    GroupData& operator=(const GroupData&) = delete;

  protected:
    GroupData() = default;
};

class Group {
  public:
    explicit Group(std::uint32_t id) : id_(id) {}
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    std::uint32_t id() const { return id_; }

    // --- while the machine is put together ---

    /// Adds a device, whose Ops are those of the group's other devices.
    void add_device(Device& device) EXCLUDES(mutex_);
    /// The driver owns it.
    void set_iommudata(GroupData& data) { iommudata_ = &data; }

    // --- afterwards the list of devices stays as it is ---

    /// Null where the driver keeps nothing.
    GroupData* iommudata() const { return iommudata_; }
    const std::vector<Device*>& devices() const { return devices_; }
    Device& first_device() const { return *devices_.front(); }
    /// The reserved regions of all its devices.
    std::vector<ReservedRegion> reserved_regions() const;
    /// Do the IOMMUs keep its devices from raising other devices' interrupts?
    bool has_isolated_msi() const;

    /// Claims the DMA of all devices for `owner`, any address that is the owner's own; until it is
    /// released they are blocked unless the owner attaches a domain. EPERM somebody owns it or a
    /// kernel driver uses a device, EBUSY another domain than the default is attached.
    /// (iommu_group_claim_dma_owner)
    Result<> claim_dma_owner(const void* owner) EXCLUDES(mutex_);
    void release_dma_owner() EXCLUDES(mutex_);
    bool dma_owner_claimed() const EXCLUDES(mutex_);

    /// A kernel driver binds to a device: it needs the default domain. EBUSY somebody else owns
    /// the group's DMA. (iommu_device_use_default_domain)
    Result<> use_default_domain() EXCLUDES(mutex_);
    void unuse_default_domain() EXCLUDES(mutex_);

    /// Puts all devices into `domain`. EBUSY they are in another one that was attached, EINVAL the
    /// domain is of another driver, or what the driver says; then all are where they were.
    /// (iommu_attach_group)
    Result<> attach(Domain& domain) EXCLUDES(mutex_);
    /// Puts them back: into the blocked domain when there is an owner, else into the default one.
    void detach(Domain& domain) EXCLUDES(mutex_);
    /// The domain that they are in.
    Domain* domain() const EXCLUDES(mutex_);
    /// An access of a device, by its name, to an iova. `move` is called with where it leads, and
    /// returns false for what is no memory; it takes no lock but those of mm. Until it has returned
    /// the domain does not change, and no unmap ends whose translations an IOTLB keeps. Returns why
    /// the access fails, or nothing.
    template <class Move>
    std::optional<FaultCause> dma(const std::string& device, std::uint64_t iova, mm::Access access,
                                  Move&& move) const EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        if (domain_->type() == DomainType::blocked) {
            return FaultCause::blocked;
        }
        Domain& domain = *domain_;
        const bool write = access == mm::Access::write;
        std::optional<FaultCause> fault;
        const auto walk = [&] { return domain.translate(iova); };
        const auto note_write = [&] { domain.note_write(iova); };
        const auto use = [&](const Iotlb::Found& found) {
            if ((found.translation.protection & (write ? kWrite : kRead)) == 0) {
                fault = FaultCause::not_permitted;
            } else if (!move(DmaTarget{found.translation.address,
                                       found.translation.bytes_from(iova), found.stale})) {
                fault = FaultCause::no_memory;
            }
        };
        if (Iotlb* const iotlb = domain.iotlb()) {
            return iotlb->access(device, iova, access, walk, note_write, use)
                       ? fault
                       : FaultCause::not_mapped;
        }
        const std::optional<Translation> walked = walk();
        if (!walked) {
            return FaultCause::not_mapped;
        }
        use({*walked, false});
        if (write && fault != FaultCause::not_permitted) {
            note_write();
        }
        return fault;
    }

  private:
    Result<> set_domain(Domain& domain) REQUIRES(mutex_);
    // Into a domain that takes every device.
    void set_core_domain() REQUIRES(mutex_);

    Ops& ops() const { return first_device().ops(); }

    const std::uint32_t id_;
    GroupData* iommudata_ = nullptr;
    std::vector<Device*> devices_;
    mutable Mutex mutex_{lock_order::kGroup};
    Domain* domain_ GUARDED_BY(mutex_) = nullptr;
    const void* owner_ GUARDED_BY(mutex_) = nullptr;
    std::uint32_t owner_count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu::iommu
