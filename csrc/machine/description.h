// SPDX-License-Identifier: MIT
//
// The description of a machine, unchecked: System::create() refuses invalid ones.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/kernel_bugs.h"
#include "fs/platform.h"
#include "fs/proposals.h"
#include "iommu/device.h"
#include "iommu/semantics/semantics.h"
#include "mm/physical_memory.h"
#include "pci/device_model.h"
#include "vfio/module.h"

namespace kvmiommu::machine {

struct IommuDescription {
    std::string driver;  // "intel", "amd", "virtio", "smmu_v3", "riscv"
    iommu::IommuDevice instance;
};

struct PciDescription {
    std::string address;  // "0000:00:02.0"
    std::string model;
    std::string driver;                  // bound to it; empty: none
    std::string iommu;                   // an instance's name; empty: not behind an IOMMU
    std::optional<std::uint32_t> group;  // number of its IOMMU group
    std::vector<std::uint64_t> bars;     // addresses of its regions; the rest are allocated
    // In its register; nothing: what firmware writes, or 0 without firmware.
    std::optional<std::uint8_t> interrupt_line;
    std::vector<iommu::ReservedRegion> reserved = {};  // of the device, behind its IOMMU
    // Creates the hardware; empty: `model` is the name of a built-in model.
    std::function<std::unique_ptr<pci::DeviceModel>()> hardware = {};
};

/// An emulated device, without an IOMMU and alone in its group.
struct EmulatedDescription {
    std::string name;
    std::uint32_t group;
};

struct Description {
    std::string name;
    fs::Arch arch = fs::Arch::x86_64;
    fs::Interfaces interfaces = fs::Interfaces::v6_12;
    std::uint64_t page_size = 4096;
    std::uint64_t memory = std::uint64_t{4} << 30;
    mm::PhysAddr memory_start = mm::kRamStart;
    std::uint64_t fragmentation = 0;  // longest contiguous block in bytes; 0: no limit
    fs::FixedBugs fixed;
    fs::Proposals proposals;
    bool has_vfio = true;
    bool has_kvm = true;
    vfio::Options vfio;
    iommu::Rules rules;
    bool iommu_strict = true;  // an unmap ends with its invalidation
    bool firmware = true;      // it has set up the PCI functions
    std::vector<IommuDescription> iommus;
    std::vector<PciDescription> pci;
    std::vector<EmulatedDescription> emulated;
};

}  // namespace kvmiommu::machine
