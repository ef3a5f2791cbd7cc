// SPDX-License-Identifier: MIT

#include "pci/models/e1000e.h"

namespace kvmiommu::pci {

namespace {

constexpr unsigned kRegistersBar = 0;
constexpr unsigned kFlashBar = 1;
constexpr unsigned kIoBar = 2;
constexpr unsigned kMsixBar = 3;
constexpr std::uint32_t kTableOffset = 0;
constexpr std::uint32_t kPbaOffset = 0x2000;

constexpr std::uint32_t kMsixAt = 0xa0;
constexpr std::uint32_t kPmAt = 0xc8;
constexpr std::uint32_t kMsiAt = 0xd0;
constexpr std::uint32_t kMsiBytes = 14;
constexpr std::uint32_t kExpressAt = 0xe0;
constexpr std::uint32_t kErrAt = 0x100;
constexpr std::uint32_t kSerialAt = 0x140;

// CTRL after a reset: full duplex, speed 1000, advertised in both directions.
constexpr std::uint64_t kControl = 0x0;
constexpr std::uint32_t kControlAtReset = 0x00140241;

}  // namespace

E1000e::E1000e() : DeviceModel(kExpressConfigBytes) {
    ConfigSpace& space = config();
    space.set(kVendorId, 2, 0x8086);
    space.set(kDeviceId, 2, 0x10d3);
    space.set(kRevision, 4, 0x02000000);  // an Ethernet controller
    space.set(kSubsystemVendorId, 2, 0x8086);
    space.set(kInterruptPin, 1, 1);
    add_bar(kRegistersBar, {.bytes = 128 << 10, .memory = {}});
    add_bar(kFlashBar, {.bytes = 128 << 10, .memory = {}});
    add_bar(kIoBar, {.bytes = 32, .kind = Bar::Kind::io, .memory = {}});
    add_bar(kMsixBar, {.bytes = 16 << 10, .memory = {}});

    space.add_capability(kCapMsix, kMsixAt, kMsixBytes);
    space.set(kMsixAt + kMsixFlags, 2, kVectors - 1);
    space.set_writable(kMsixAt + kMsixFlags, 2, kMsixEnable | kMsixMaskAll);
    space.set(kMsixAt + kMsixTable, 4, kTableOffset | kMsixBar);
    space.set(kMsixAt + kMsixPba, 4, kPbaOffset | kMsixBar);

    // Version 1 of the capability, an endpoint; role-based errors; one lane of 2.5 GT/s.
    space.add_capability(kCapExpress, kExpressAt, kExpressV1Bytes);
    space.set(kExpressAt + kExpressFlags, 2, 0x0001);
    space.set(kExpressAt + kExpressDeviceCapabilities, 4, 0x8000);
    space.set(kExpressAt + kExpressLinkCapabilities, 4, 0x0411);
    space.set(kExpressAt + kExpressLinkStatus, 2, 0x0011);

    space.add_capability(kCapMsi, kMsiAt, kMsiBytes);
    space.set(kMsiAt + kMsiFlags, 2, kMsi64Bit);
    space.set_writable(kMsiAt + kMsiFlags, 2, kMsiEnable | kMsiEnabledMask);
    space.set_writable(kMsiAt + 4, 4, 0xfffffffc);  // address
    space.set_writable(kMsiAt + 8, 4, 0xffffffff);
    space.set_writable(kMsiAt + 12, 2, 0xffff);  // data

    // Version 1.1, device-specific initialization; no D1, D2 or PME. It has no function-level reset
    // and is reset by D3hot, where it loses its state.
    space.add_capability(kCapPm, kPmAt, kPmBytes);
    space.set(kPmAt + kPmCapabilities, 2, 0x0022);
    space.set_writable(kPmAt + kPmControl, 2, kPmStateMask | kPmPmeEnable | 0x1e00);
    space.set_write_clears(kPmAt + kPmControl, 2, kPmPmeStatus);

    // The defaults of the PCI Express Base Specification, section 7.8.4.
    constexpr std::uint32_t kUncorrectable = 0x03fff030;
    constexpr std::uint32_t kFatal = 0x00462030;
    constexpr std::uint32_t kCorrectable = 0x0000f1c1;
    constexpr std::uint32_t kCorrectableMasked = 0x0000e000;
    space.add_extended_capability(kExtCapErr, 2, kErrAt, kErrBytes);
    space.set_write_clears(kErrAt + 0x04, 4, kUncorrectable);
    space.set_writable(kErrAt + 0x08, 4, kUncorrectable);
    space.set(kErrAt + 0x0c, 4, kFatal);
    space.set_writable(kErrAt + 0x0c, 4, kUncorrectable);
    space.set_write_clears(kErrAt + 0x10, 4, kCorrectable);
    space.set(kErrAt + 0x14, 4, kCorrectableMasked);
    space.set_writable(kErrAt + 0x14, 4, kCorrectable);
    // End-to-end CRCs: can be generated and checked, and neither is enabled.
    space.set(kErrAt + 0x18, 4, 0x00a0);
    space.set_writable(kErrAt + 0x18, 4, 0x0140);
    space.add_extended_capability(kExtCapSerial, 1, kSerialAt, kSerialBytes);
    // 52:54:00:12:34:56, QEMU's default for the first card.
    space.set(kSerialAt + 4, 4, 0xff123456);
    space.set(kSerialAt + 8, 4, 0x525400ff);
}

std::uint64_t E1000e::read(unsigned bar, std::uint64_t offset, unsigned bytes) {
    if (bar == kRegistersBar) {
        return offset == kControl && bytes == 4 ? kControlAtReset : 0;
    }
    if (bar != kMsixBar) {
        return 0;
    }
    return offset >= kPbaOffset ? table_.pending(interrupts(), offset - kPbaOffset)
                                : table_.read(offset - kTableOffset, bytes);
}

void E1000e::write(unsigned bar, std::uint64_t offset, unsigned bytes, std::uint64_t value) {
    if (bar == kMsixBar) {
        table_.write(offset - kTableOffset, bytes, value);
    }
}

void E1000e::reset_registers() {
    table_.reset();
}

}  // namespace kvmiommu::pci
