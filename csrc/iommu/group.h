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
    /// The driver keeps it alive.
    void set_iommudata(GroupData& data) { iommudata_ = &data; }

    // --- afterwards: the list of devices no longer changes ---

    /// Null where the driver keeps nothing.
    GroupData* iommudata() const { return iommudata_; }
    const std::vector<Device*>& devices() const { return devices_; }
    Device& first_device() const { return *devices_.front(); }
    /// The reserved regions of all its devices and of their IOMMUs, each IOMMU's once.
    std::vector<ReservedRegion> reserved_regions() const;
    /// Do the IOMMUs keep its devices from raising other devices' interrupts?
    bool has_isolated_msi() const;

    /// Has the DMA an owner, or does a kernel driver use a device? See DmaOwnership.
    /// (iommu_group_dma_owner_claimed)
    bool dma_owner_claimed() const EXCLUDES(mutex_);

    /// A kernel driver binds to a device and needs the default domain.
    /// (iommu_device_use_default_domain)
    /// EBUSY the DMA has an owner, or another domain is attached
    Result<> use_default_domain() EXCLUDES(mutex_);
    void unuse_default_domain() EXCLUDES(mutex_);

    /// Moves all devices from the default or the blocked domain to `domain`; refused, all stay.
    /// (iommu_attach_group)
    /// EBUSY they are in another domain
    /// EINVAL the domain is of another driver
    /// or as Domain::attach_device()
    Result<> attach(Domain& domain, FaultPoints& faults) EXCLUDES(mutex_);
    /// Moves all devices to `domain` from whichever they are in, without the blocked domain in
    /// between; refused, all stay. (iommu_group_replace_domain)
    /// EINVAL the domain is of another driver
    /// or as Domain::attach_device()
    Result<> replace(Domain& domain, FaultPoints& faults) EXCLUDES(mutex_);
    /// Moves all devices from `domain` to the blocked one if the DMA has an owner, else to the
    /// default one. (iommu_detach_group)
    void detach(Domain& domain) EXCLUDES(mutex_);
    /// The domain that they are in.
    Domain* domain() const EXCLUDES(mutex_);
    /// One access of a device, by its name, to an iova. `move` is called with where it leads, moves
    /// no more than the translation is good for, and returns false for what is no memory; it takes
    /// no lock but those of mm. Until it has returned the domain does not change, and no unmap
    /// returns that invalidates translations of an IOTLB. Returns why the access fails, or nothing.
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
    friend class DmaOwnership;
    // Is there to be one claim only, or several of the same owner?
    enum class Claim : std::uint8_t { alone, shared };
    Result<> claim_dma_owner(const void* owner, Claim claim) EXCLUDES(mutex_);
    void release_dma_owner() EXCLUDES(mutex_);

    bool fits(const Domain& domain) const;
    Result<> attach_device(Domain& domain, Device& device, FaultPoints& faults);
    Result<> set_domain(Domain& domain, FaultPoints& faults) REQUIRES(mutex_);
    // The default domain, or the blocked one of a group with an owner, which no device refuses.
    void set_core_domain() REQUIRES(mutex_);

    Ops& ops() const { return first_device().ops(); }

    const std::uint32_t id_;
    GroupData* iommudata_ = nullptr;
    std::vector<Device*> devices_;
    mutable Mutex mutex_{lock_order::kGroup};
    Domain* domain_ GUARDED_BY(mutex_) = nullptr;
    const void* owner_ GUARDED_BY(mutex_) = nullptr;  // null: kernel drivers, if anybody
    std::uint32_t owner_cnt_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu::iommu
