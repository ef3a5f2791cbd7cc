// SPDX-License-Identifier: MIT
//
// Offsets and bits of configuration space, by their names in Linux's include/uapi/linux/pci_regs.h.
// Specified in PCI Local Bus Specification 3.0, chapter 6, and PCI Express Base Specification,
// chapter 7.

#pragma once

#include <cstdint>

namespace kvmiommu::pci {

// --- header type 0 ---
inline constexpr std::uint32_t kVendorId = 0x00;
inline constexpr std::uint32_t kDeviceId = 0x02;
inline constexpr std::uint32_t kCommand = 0x04;
inline constexpr std::uint32_t kStatus = 0x06;
inline constexpr std::uint32_t kRevision = 0x08;
inline constexpr std::uint32_t kClass = 0x09;  // three bytes
inline constexpr std::uint32_t kCacheLineSize = 0x0c;
inline constexpr std::uint32_t kLatencyTimer = 0x0d;
inline constexpr std::uint32_t kHeaderType = 0x0e;
inline constexpr std::uint32_t kBist = 0x0f;
inline constexpr std::uint32_t kBar0 = 0x10;
inline constexpr std::uint32_t kSubsystemVendorId = 0x2c;
inline constexpr std::uint32_t kSubsystemId = 0x2e;
inline constexpr std::uint32_t kRom = 0x30;
inline constexpr std::uint32_t kCapabilities = 0x34;
inline constexpr std::uint32_t kInterruptLine = 0x3c;
inline constexpr std::uint32_t kInterruptPin = 0x3d;
inline constexpr std::uint32_t kHeaderBytes = 0x40;

inline constexpr std::uint32_t kCommandIo = 0x1;
inline constexpr std::uint32_t kCommandMemory = 0x2;
inline constexpr std::uint32_t kCommandMaster = 0x4;
inline constexpr std::uint32_t kCommandSerr = 0x100;
inline constexpr std::uint32_t kCommandIntxDisable = 0x400;
inline constexpr std::uint32_t kStatusInterrupt = 0x8;
inline constexpr std::uint32_t kStatusCapabilities = 0x10;

inline constexpr std::uint32_t kMultifunction = 0x80;  // of the header type

inline constexpr std::uint32_t kBarIo = 0x1;
inline constexpr std::uint32_t kBar64 = 0x4;
inline constexpr std::uint32_t kBarPrefetch = 0x8;

inline constexpr unsigned kBars = 6;

// --- capabilities: id, next, then their own ---
inline constexpr std::uint32_t kConfigBytes = 256;
inline constexpr std::uint32_t kExpressConfigBytes = 4096;
inline constexpr std::uint32_t kCapNext = 1;

inline constexpr std::uint8_t kCapPm = 0x01;
inline constexpr std::uint32_t kPmCapabilities = 2;
inline constexpr std::uint32_t kPmControl = 4;
inline constexpr std::uint32_t kPmBytes = 8;
inline constexpr std::uint32_t kPmStateMask = 0x3;
inline constexpr std::uint32_t kPmNoSoftReset = 0x8;
inline constexpr std::uint32_t kPmPmeEnable = 0x100;
inline constexpr std::uint32_t kPmPmeStatus = 0x8000;
inline constexpr std::uint32_t kPmD1 = 0x200;  // in the capabilities
inline constexpr std::uint32_t kPmD2 = 0x400;
inline constexpr std::uint32_t kPmPmeMask = 0xf800;

inline constexpr std::uint8_t kCapMsi = 0x05;
inline constexpr std::uint32_t kMsiFlags = 2;
inline constexpr std::uint32_t kMsiEnable = 0x1;
inline constexpr std::uint32_t kMsiCapableMask = 0xe;
inline constexpr std::uint32_t kMsiEnabledMask = 0x70;
inline constexpr std::uint32_t kMsi64Bit = 0x80;
inline constexpr std::uint32_t kMsiMaskable = 0x100;

inline constexpr std::uint8_t kCapVendor = 0x09;

inline constexpr std::uint8_t kCapExpress = 0x10;
inline constexpr std::uint32_t kExpressFlags = 0x2;
inline constexpr std::uint32_t kExpressDeviceCapabilities = 0x4;
inline constexpr std::uint32_t kExpressDeviceControl = 0x8;
inline constexpr std::uint32_t kExpressLinkCapabilities = 0xc;
inline constexpr std::uint32_t kExpressLinkStatus = 0x12;
inline constexpr std::uint32_t kExpressDeviceControl2 = 0x28;
inline constexpr std::uint32_t kExpressV1Bytes = 0x14;
inline constexpr std::uint32_t kExpressV2Bytes = 0x2c;
inline constexpr std::uint32_t kExpressFlr = 1U << 28;     // of the device's capabilities
inline constexpr std::uint32_t kExpressFlrStart = 0x8000;  // of the device's control
inline constexpr std::uint32_t kExpressPayload = 0xe0;
inline constexpr std::uint32_t kExpressReadRequest = 0x7000;
inline constexpr std::uint32_t kExpressPhantom = 0x200;
inline constexpr std::uint32_t kExpressAri = 0x20;  // of the device's control 2

inline constexpr std::uint8_t kCapMsix = 0x11;
inline constexpr std::uint32_t kMsixFlags = 2;
inline constexpr std::uint32_t kMsixTable = 4;
inline constexpr std::uint32_t kMsixPba = 8;
inline constexpr std::uint32_t kMsixBytes = 12;
inline constexpr std::uint32_t kMsixSizeMask = 0x7ff;
inline constexpr std::uint32_t kMsixMaskAll = 0x4000;
inline constexpr std::uint32_t kMsixEnable = 0x8000;
inline constexpr std::uint32_t kMsixEntryBytes = 16;

inline constexpr std::uint8_t kCapAf = 0x13;
inline constexpr std::uint32_t kAfCapabilities = 3;
inline constexpr std::uint32_t kAfControl = 4;
inline constexpr std::uint32_t kAfBytes = 6;
inline constexpr std::uint8_t kAfTransactionsPending = 0x1;
inline constexpr std::uint8_t kAfFlr = 0x2;

// --- extended capabilities: id (16 bits), version (4), next (12) ---
inline constexpr std::uint16_t kExtCapErr = 0x0001;
inline constexpr std::uint32_t kErrBytes = 0x48;
inline constexpr std::uint16_t kExtCapSerial = 0x0003;
inline constexpr std::uint32_t kSerialBytes = 12;

}  // namespace kvmiommu::pci
