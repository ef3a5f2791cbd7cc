// SPDX-License-Identifier: MIT

#include "vfio/pci/pci_config_layout.h"

#include "pci/registers.h"

namespace kvmiommu::vfio {

using namespace pci;  // The registers' names.

std::uint32_t capability_bytes(const ConfigSpace& space, std::uint8_t id, std::uint32_t at) {
    constexpr std::uint8_t kAgp = 0x02;
    constexpr std::uint8_t kVpd = 0x03;
    constexpr std::uint8_t kPcix = 0x07;
    switch (id) {
        case kCapPm:
        case kVpd:
            return 8;
        case kAgp:
            return 12;
        case kCapMsi: {
            const std::uint32_t flags = space.read(at + kMsiFlags, 2);
            return 10 + ((flags & kMsi64Bit) != 0 ? 4 : 0) + ((flags & kMsiMaskable) != 0 ? 10 : 0);
        }
        case kPcix:
            return (space.read(at + 2, 2) >> 12 & 3) != 0 ? 24 : 8;
        case kCapVendor:
            return space.read(at + 2, 1);
        case kCapExpress: {
            const std::uint32_t flags = space.read(at + kExpressFlags, 2);
            const bool integrated = (flags >> 4 & 0xf) == 9;  // in the root complex: no link
            if ((flags & 0xf) == 1) {
                return integrated ? 0xc : kExpressV1Bytes;
            }
            return integrated ? 0x2c : kExpressV2Bytes;
        }
        case kCapMsix:
            return kMsixBytes;
        case kCapAf:
            return kAfBytes;
        default:
            return 0;
    }
}

std::uint32_t extended_capability_bytes(const ConfigSpace& space, std::uint16_t id,
                                        std::uint32_t at) {
    constexpr std::uint16_t kPowerBudget = 0x0004;
    constexpr std::uint16_t kAcs = 0x000d;
    constexpr std::uint16_t kAri = 0x000e;
    constexpr std::uint16_t kAts = 0x000f;
    constexpr std::uint16_t kSriov = 0x0010;
    constexpr std::uint16_t kMulticast = 0x0012;
    constexpr std::uint16_t kPri = 0x0013;
    constexpr std::uint16_t kLtr = 0x0018;
    switch (id) {
        case kExtCapErr:
            return 0x2c;  // without the registers of root ports
        case kExtCapSerial:
            return kSerialBytes;
        case kPowerBudget:
            return 12;
        case kExtCapVendor:
        case kExtCapDvsec:
            return space.read(at + 4, 4) >> 20;
        case kAcs:
        case kAri:
        case kAts:
        case kLtr:
            return 8;
        case kSriov:
            return 64;
        case kMulticast:
            return 40;
        case kPri:
            return 16;
        default:
            return 0;
    }
}

}  // namespace kvmiommu::vfio
