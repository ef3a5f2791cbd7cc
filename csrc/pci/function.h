// SPDX-License-Identifier: MIT
//
// A PCI function of the machine, its kernel driver and its hardware (include/linux/pci.h: pci_dev).

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

    /// Nothing if the text is not an address.
    static std::optional<Location> parse(const std::string& address);
};

struct Function {
    std::string address;              // "0000:00:02.0"
    std::string model;                // "edu"
    std::string driver;               // "vfio-pci"; empty: none
    iommu::Device* device = nullptr;  // behind an IOMMU, or null
    iommu::Group* group = nullptr;

    Location location;
    /// All functions on its bus, including itself, but not those of subordinate buses: bridges are
    /// on the root bus here.
    std::vector<const Function*> bus;
    std::unique_ptr<iommu::DmaPort> dma;
    std::unique_ptr<DeviceModel> hardware;  // null: only the host's drivers use it

    /// Is it function 0 of a device that `other` is a further function of?
    bool leads(const Function& other) const {
        constexpr std::uint8_t kFunction = 7;
        return location.segment == other.location.segment && location.bus == other.location.bus &&
               (location.devfn & kFunction) == 0 && other.location.devfn != location.devfn &&
               (other.location.devfn & ~kFunction) == location.devfn;
    }
    /// Is it on bus 0 of its segment, which no bridge can reset?
    bool on_root_bus() const { return location.bus == 0; }
    /// Does it have the PCI Express capability?
    bool express() const { return hardware->config().capability(kCapExpress) != 0; }

    /// Can this function be reset alone: by its own means or, if it is alone on its bus, by the
    /// bridge above? (drivers/pci/pci.c: pci_reset_fn_methods)
    bool can_reset() const;
    /// Resets it. The kernel saves and restores configuration space, so only the power state
    /// changes there.
    void reset() const;
};

/// How a machine's description has a function set up.
struct SetUp {
    bool firmware;                     // by firmware, else by the kernel alone
    std::vector<std::uint64_t> bars;   // addresses in the order of the BARs; the rest are allocated
    std::optional<std::uint8_t> line;  // interrupt line; nothing: the firmware's, or 0
};

/// What happens before the first driver: the BARs get their addresses, those not given from
/// `next_memory` and `next_io`, and are decoded. Firmware enables I/O, memory and SERR whatever the
/// function has (SeaBIOS: pci_bios_init_device), the kernel what the function has BARs for
/// (drivers/pci/setup-res.c: pci_enable_resources).
void set_up(Function& function, const SetUp& how, std::uint64_t& next_memory,
            std::uint64_t& next_io);

}  // namespace kvmiommu::pci
