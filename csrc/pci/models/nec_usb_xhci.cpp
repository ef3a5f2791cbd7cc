// SPDX-License-Identifier: MIT

#include "pci/models/nec_usb_xhci.h"

namespace kvmiommu::pci {

namespace {

constexpr std::uint32_t kTableOffset = 0x3000;
constexpr std::uint32_t kPbaOffset = 0x3800;

constexpr std::uint32_t kMsiAt = 0x70;
constexpr std::uint32_t kMsiBytes = 14;
constexpr std::uint32_t kMsixAt = 0x90;
constexpr std::uint32_t kReleaseAt = 0x60;

// Capability registers end at 0x40; the version of the interface is 1.0.
constexpr std::uint64_t kCapLength = 0x0;
constexpr std::uint32_t kFirstRegister = 0x01000040;

}  // namespace

NecUsbXhci::NecUsbXhci() : DeviceModel(kConfigBytes) {
    ConfigSpace& space = config();
    space.set(kVendorId, 2, 0x1033);
    space.set(kDeviceId, 2, 0x0194);
    space.set(kRevision, 4, 0x0c033003);  // a USB host controller with this interface
    space.set(kSubsystemVendorId, 2, 0x1af4);
    space.set(kSubsystemId, 2, 0x1100);
    space.set(kInterruptPin, 1, 1);
    space.set(kReleaseAt, 1, 0x30);  // USB 3.0
    add_bar(0, {.bytes = 16 << 10, .wide = true, .memory = {}});

    space.add_capability(kCapMsi, kMsiAt, kMsiBytes);
    space.set(kMsiAt + kMsiFlags, 2, kMsi64Bit | 0x8);  // 16 messages
    space.set_writable(kMsiAt + kMsiFlags, 2, kMsiEnable | kMsiEnabledMask);
    space.set_writable(kMsiAt + 4, 4, 0xfffffffc);  // address
    space.set_writable(kMsiAt + 8, 4, 0xffffffff);
    space.set_writable(kMsiAt + 12, 2, 0xffff);  // data

    space.add_capability(kCapMsix, kMsixAt, kMsixBytes);
    space.set(kMsixAt + kMsixFlags, 2, kVectors - 1);
    space.set_writable(kMsixAt + kMsixFlags, 2, kMsixEnable | kMsixMaskAll);
    space.set(kMsixAt + kMsixTable, 4, kTableOffset);
    space.set(kMsixAt + kMsixPba, 4, kPbaOffset);
}

std::uint64_t NecUsbXhci::read(unsigned, std::uint64_t offset, unsigned bytes) {
    if (offset >= kPbaOffset) {
        return table_.pending(interrupts(), offset - kPbaOffset);
    }
    if (offset >= kTableOffset) {
        return table_.read(offset - kTableOffset, bytes);
    }
    return offset == kCapLength && bytes == 4 ? kFirstRegister : 0;
}

void NecUsbXhci::write(unsigned, std::uint64_t offset, unsigned bytes, std::uint64_t value) {
    if (offset >= kTableOffset && offset < kPbaOffset) {
        table_.write(offset - kTableOffset, bytes, value);
    }
}

}  // namespace kvmiommu::pci
