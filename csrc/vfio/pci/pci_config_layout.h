// SPDX-License-Identifier: MIT
//
// The length of each capability, and which ones vfio-pci shows.
// Rules: drivers/vfio/pci/vfio_pci_config.c (vfio_cap_len, vfio_ext_cap_len); the lengths are those
// of the PCI and PCI Express specifications.

#pragma once

#include <cstdint>

#include "pci/config_space.h"

namespace kvmiommu::vfio {

inline constexpr std::uint16_t kExtCapVendor = 0x000b;
inline constexpr std::uint16_t kExtCapDvsec = 0x0023;

/// Bytes of the capability `id` at `at`; 0: it is hidden.
std::uint32_t capability_bytes(const pci::ConfigSpace& space, std::uint8_t id, std::uint32_t at);
/// The same for an extended capability.
std::uint32_t extended_capability_bytes(const pci::ConfigSpace& space, std::uint16_t id,
                                        std::uint32_t at);

}  // namespace kvmiommu::vfio
