// SPDX-License-Identifier: MIT
//
// What does DMA, as the IOMMU core sees it (include/linux/iommu.h: dev_iommu).

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "iommu/reserved_region.h"

namespace kvmiommu::iommu {

class Group;
class Ops;

/// One IOMMU of the machine: what its registers would say.
struct IommuDevice {
    std::string name;
    unsigned address_width = 48;            // bits of an iova
    std::uint64_t page_sizes = 0;           // a bit each
    bool enforces_cache_coherency = false;  // snoop control
    bool isolated_msi = false;              // interrupt remapping
    bool dirty_tracking = false;            // marks the pages that devices write to
    unsigned stage = 1;                     // of an SMMU: which of the two stages it has
    std::uint64_t window_size = 0;          // of a POWER host bridge: its default window, in bytes
    unsigned table_levels = 1;              // and how many levels its tables can have
    bool eeh = false;                       // and whether it isolates endpoints that fail
    std::vector<ReservedRegion> reserved;
};

class Device {
  public:
    /// `reserved` are regions that the firmware or the hardware keeps for this device alone.
    Device(std::string name, Ops& ops, const IommuDevice& instance,
           std::vector<ReservedRegion> reserved = {})
        : name_(std::move(name)), ops_(ops), instance_(instance), reserved_(std::move(reserved)) {}
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& name() const { return name_; }
    Ops& ops() const { return ops_; }
    const IommuDevice& iommu_device() const { return instance_; }
    /// The regions of the device, without those of its IOMMU.
    const std::vector<ReservedRegion>& own_reserved_regions() const { return reserved_; }
    /// Does the firmware rely on a region of it that stays identity mapped, so that its DMA cannot
    /// be blocked? (dev_iommu.require_direct)
    bool requires_direct() const;
    /// The group that it was added to, or null.
    Group* group() const { return group_; }

  private:
    friend class Group;

    const std::string name_;
    Ops& ops_;
    const IommuDevice& instance_;
    const std::vector<ReservedRegion> reserved_;
    Group* group_ = nullptr;  // since the machine was put together
};

}  // namespace kvmiommu::iommu
