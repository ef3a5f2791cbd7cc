// SPDX-License-Identifier: MIT
//
// A PCI function of the machine, the kernel driver that is bound to it, and the hardware behind it.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "iommu/device.h"
#include "iommu/dma_port.h"
#include "iommu/group.h"
#include "pci/device_model.h"

namespace kvmiommu::pci {

/// "0000:02:01.0" as numbers.
struct Location {
    std::uint16_t segment = 0;
    std::uint8_t bus = 0;
    std::uint8_t devfn = 0;  // device and function: 5 and 3 bits

    /// Nothing for a text that is no address.
    static std::optional<Location> parse(const std::string& address);
};

struct Function {
    std::string address;              // "0000:00:02.0"
    std::string model;                // "edu"
    std::string driver;               // "vfio-pci"; empty: none
    iommu::Device* device = nullptr;  // behind an IOMMU, or null
    iommu::Group* group = nullptr;

    Location location;
    /// All functions on its bus, itself among them. Buses below a bus are not followed: bridges
    /// stand on the root bus here.
    std::vector<const Function*> bus;
    std::unique_ptr<iommu::DmaPort> dma;
    std::unique_ptr<DeviceModel> hardware;  // null: nothing but the host looks at it

    /// Bus 0 of its segment has no bridge that could reset what is on it.
    bool on_root_bus() const { return location.bus == 0; }
    /// Has it the PCI Express capability?
    bool express() const { return hardware->config().capability(kCapExpress) != 0; }

    /// Can this function be reset by itself? By its own means or, where it is alone on its bus, by
    /// the bridge above. (drivers/pci/pci.c: pci_reset_fn_methods)
    bool can_reset() const;
    /// Resets it; what the kernel saves of its configuration space is put back, so nothing of it
    /// changes but the power state.
    void reset() const;
};

/// What firmware does at power-on: gives the BARs addresses and switches decoding on. `bars` are
/// the addresses as the machine's description has them, in the order of the BARs; where it has
/// none, addresses are taken from `next_memory` and `next_io`.
void set_up(Function& function, const std::vector<std::uint64_t>& bars, std::uint64_t& next_memory,
            std::uint64_t& next_io);

}  // namespace kvmiommu::pci
