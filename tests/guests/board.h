// SPDX-License-Identifier: MIT
//
// The machines that random programs run on. Those of tests/fuzz/machines are the same ones, for
// `kvmiommu replay`.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "machine/description.h"

namespace kvmiommu::guests {

struct Board {
    struct Device {
        std::string name;
        std::uint32_t group;
    };

    machine::Description description;
    std::vector<std::uint32_t> groups;           // that a program may open
    std::optional<std::uint32_t> noiommu_group;  // which of them has a device behind no IOMMU
    std::vector<Device> devices;                 // of vfio-pci, and the emulated one
    bool power = false;
    /// Does this kernel forget to uncharge what a process had locked?
    /// (docs/reference/kernel-bugs.md)
    bool forgets_charges = false;

    std::uint64_t page_size() const { return description.page_size; }
    std::string node(std::uint32_t group) const {
        return (group == noiommu_group ? "/dev/vfio/noiommu-" : "/dev/vfio/") +
               std::to_string(group);
    }
    const std::string& name() const { return description.name; }
};

/// intel, unlike, power, power-guest, power-2013, arm, virt and shared, in this order.
std::span<const Board> boards();

}  // namespace kvmiommu::guests
