// SPDX-License-Identifier: MIT

#include "vfio/pci/pci_config.h"

#include <algorithm>
#include <cassert>

#include "fs/task.h"
#include "vfio/pci/pci_config_layout.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kAccess{"drivers/vfio/pci/vfio_pci_config.c: vfio_config_do_rw"};

constexpr std::uint8_t kNobody = 0xff;
constexpr std::uint32_t kAll = 0xffffffff;

using namespace pci;  // The registers' names.

}  // namespace

// --- what is kept ---

std::uint32_t PciConfig::kept(std::uint32_t at, unsigned width) const {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
        value |= std::uint32_t{values_[at + i]} << (8 * i);
    }
    return value;
}

void PciConfig::keep(std::uint32_t at, unsigned width, std::uint32_t value) {
    for (unsigned i = 0; i < width; ++i) {
        values_[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
}

void PciConfig::allow(std::uint32_t offset, unsigned width, std::uint32_t is_virtual,
                      std::uint32_t writable) {
    for (unsigned i = 0; i < width; ++i) {
        virtual_[offset + i] = static_cast<std::uint8_t>(is_virtual >> (8 * i));
        writable_[offset + i] = static_cast<std::uint8_t>(writable >> (8 * i));
    }
}

// A capability: read only, except for what allow() permits afterwards.
void PciConfig::occupy(std::uint32_t start, std::uint32_t length, Kind kind) {
    const auto index = static_cast<std::uint8_t>(stretches_.size());
    stretches_.push_back({start, kind});
    const std::uint32_t end = std::min(start + length, hardware().bytes());
    for (std::uint32_t at = start; at < end; ++at) {
        owner_[at] = index;
        values_[at] = static_cast<std::uint8_t>(hardware().read(at, 1));
        virtual_[at] = writable_[at] = 0;
    }
}

// --- opening ---

void PciConfig::open() {
    const Lock lock(mutex_);
    const std::uint32_t bytes = hardware().bytes();
    values_.assign(bytes, 0);
    virtual_.assign(bytes, 0);
    // Bytes of no known capability are the hardware's, and the user may write them.
    writable_.assign(bytes, 0xff);
    owner_.assign(bytes, kNobody);
    stretches_.clear();
    open_header();
    open_capabilities();
    open_extended_capabilities();
}

void PciConfig::open_header() {
    occupy(0, kHeaderBytes, Kind::header);
    allow(kVendorId, 4, kAll, 0);
    allow(kCommand, 2, kCommandIntxDisable, kAll);
    // The list of capabilities is virtual, because some are hidden.
    allow(kStatus, 2, kStatusCapabilities, 0);
    allow(kCapabilities, 1, kAll, 0);
    allow(kCacheLineSize, 1, 0, kAll);
    allow(kLatencyTimer, 1, 0, kAll);
    allow(kBist, 1, 0, kAll);
    for (unsigned bar = 0; bar < kBars; ++bar) {
        allow(kBar0 + 4 * bar, 4, kAll, kAll);
    }
    allow(kRom, 4, kAll, kAll);
    allow(kInterruptLine, 1, kAll, kAll);
    allow(kInterruptPin, 1, kAll, 0);
    bars_written_ = true;
}

void PciConfig::allow_msi(std::uint32_t at) {
    const std::uint32_t flags = hardware().read(at + kMsiFlags, 2);
    allow(at + kMsiFlags, 1, kAll, kAll);
    allow(at + 4, 4, kAll, kAll);  // address
    std::uint32_t data = at + 8;
    if ((flags & kMsi64Bit) != 0) {
        allow(at + 8, 4, kAll, kAll);
        data = at + 12;
    }
    allow(data, 2, kAll, kAll);
    if ((flags & kMsiMaskable) != 0) {
        allow(data + 4, 8, 0, kAll);  // masks and pending bits
    }
}

void PciConfig::open_capabilities() {
    if ((hardware().read(kStatus, 2) & kStatusCapabilities) == 0) {
        return;
    }
    std::uint32_t previous = kCapabilities;
    std::uint32_t at = hardware().read(kCapabilities, 1);
    bool any = false;
    for (unsigned left = (kConfigBytes - kHeaderBytes) / 4; at >= kHeaderBytes && left != 0;
         --left) {
        const auto id = static_cast<std::uint8_t>(hardware().read(at, 1));
        const std::uint32_t next = hardware().read(at + kCapNext, 1);
        const std::uint32_t length = capability_bytes(hardware(), id, at);
        if (length == 0) {
            keep(previous, 1, next);  // hidden
            at = next;
            continue;
        }
        Kind kind = Kind::plain;
        switch (id) {
            case kCapPm:
                kind = Kind::pm;
                break;
            case kCapMsi:
                kind = Kind::msi;
                break;
            case kCapExpress:
                kind = Kind::express;
                break;
            case kCapAf:
                kind = Kind::af;
                break;
            default:
                break;
        }
        occupy(at, length, kind);
        allow(at + kCapNext, 1, kAll, 0);
        switch (id) {
            case kCapPm:
                // Power management events are not forwarded to a guest.
                allow(at + kPmCapabilities, 2, kPmPmeMask, 0);
                allow(at + kPmControl, 4, kPmPmeEnable | kPmPmeStatus,
                      ~(kPmPmeEnable | kPmPmeStatus | kPmStateMask));
                keep(at + kPmCapabilities, 2, kept(at + kPmCapabilities, 2) & ~kPmPmeMask);
                keep(at + kPmControl, 2, kept(at + kPmControl, 2) & ~(kPmPmeEnable | kPmPmeStatus));
                break;
            case kCapMsi:
                allow_msi(at);
                break;
            case kCapVendor:
                std::fill_n(writable_.begin() + at + 2, length - 2, std::uint8_t{0xff});
                break;
            case kCapExpress:
                // Phantom functions defeat the IOMMU; the payload size affects other devices.
                allow(at + kExpressDeviceControl, 2,
                      kExpressFlrStart | kExpressPayload | kExpressReadRequest, ~kExpressPhantom);
                if (length >= kExpressDeviceControl2 + 2) {
                    allow(at + kExpressDeviceControl2, 2, 0, ~kExpressAri);
                }
                break;
            case kCapAf:
                allow(at + kAfControl, 1, 1, 1);
                break;
            default:
                break;
        }
        previous = at + kCapNext;
        at = next;
        any = true;
    }
    if (!any) {
        keep(kStatus, 2, kept(kStatus, 2) & ~kStatusCapabilities);
    }
}

void PciConfig::allow_errors(std::uint32_t at) {
    constexpr std::uint32_t kUncorrectable = 0x03fff031;
    constexpr std::uint32_t kCorrectable = 0x0000f1c1;
    constexpr std::uint32_t kEcrc = 0x140;
    for (const std::uint32_t offset : {0x04U, 0x08U, 0x0cU}) {
        allow(at + offset, 4, 0, kUncorrectable);
    }
    for (const std::uint32_t offset : {0x10U, 0x14U}) {
        allow(at + offset, 4, 0, kCorrectable);
    }
    allow(at + 0x18, 4, 0, kEcrc);
}

void PciConfig::open_extended_capabilities() {
    if (hardware().bytes() <= kConfigBytes || !function_.express() ||
        hardware().read(kConfigBytes, 4) == 0) {
        return;
    }
    constexpr std::uint32_t kNext = 0xffc00000;  // of the first word
    std::uint32_t previous = 0;
    std::uint32_t at = kConfigBytes;
    bool any = false;
    for (unsigned left = (hardware().bytes() - kConfigBytes) / 4; at >= kConfigBytes && left != 0;
         --left) {
        const std::uint32_t first = hardware().read(at, 4);
        const auto id = static_cast<std::uint16_t>(first);
        const std::uint32_t next = first >> 20 & 0xffc;
        std::uint32_t length = extended_capability_bytes(hardware(), id, at);
        const bool hidden = length == 0;
        if (hidden && previous != 0) {
            keep(previous, 4, (kept(previous, 4) & ~kNext) | next << 20);
            at = next;
            continue;
        }
        if (hidden) {
            length = 4;  // The list begins here, so the header of a hidden first one stays.
        }
        occupy(at, length, Kind::plain);
        allow(at, 4, kAll, 0);
        if (hidden) {
            keep(at, 4, kept(at, 4) & kNext);
        } else if (id == kExtCapErr) {
            allow_errors(at);
        } else if (id == kExtCapVendor || id == kExtCapDvsec) {
            std::fill_n(writable_.begin() + at + 4, length - 4, std::uint8_t{0xff});
        }
        any = any || !hidden;
        previous = at;
        at = next;
    }
    if (!any) {
        keep(kConfigBytes, 4, 0);
    }
}

// --- access ---

// The widest access at `position`: aligned, within one word and one capability.
Result<unsigned> PciConfig::piece(std::uint64_t position, std::uint64_t bytes) const {
    const std::uint64_t size = values_.size();
    if (position >= size || bytes > size - position) {
        return refuse(EFAULT, "{} bytes at {:x} of a configuration space of {:x}", kAccess, bytes,
                      position, size);
    }
    std::uint64_t run = 1;
    while ((position + run) % 4 != 0 && owner_[position + run] == owner_[position]) {
        ++run;
    }
    run = std::min(run, bytes);
    if (run >= 4 && position % 4 == 0) {
        return 4;
    }
    return run >= 2 && position % 2 == 0 ? 2 : 1;
}

Result<std::int64_t> PciConfig::read(fs::Task& task, std::uint64_t position, fs::UserBuffer to) {
    for (std::uint64_t done = 0; done < to.bytes;) {
        unsigned width = 0;
        std::uint32_t value = 0;
        {
            const Lock lock(mutex_);
            width = TRY(piece(position + done, to.bytes - done));
            value = read_piece(static_cast<std::uint32_t>(position + done), width);
        }
        TRY(task.mm().copy_to_user(to.address + done, &value, width));
        done += width;
    }
    return static_cast<std::int64_t>(to.bytes);
}

Result<std::int64_t> PciConfig::write(fs::Task& task, std::uint64_t position, fs::UserBuffer from) {
    const fs::DeferredWork::Call call(task.kernel().deferred_work());
    for (std::uint64_t done = 0; done < from.bytes;) {
        unsigned width = 0;
        {
            const Lock lock(mutex_);
            width = TRY(piece(position + done, from.bytes - done));
        }
        std::uint32_t value = 0;
        TRY(task.mm().copy_from_user(&value, from.address + done, width));
        bool reset = false;
        {
            const Lock lock(mutex_);
            reset = write_piece(static_cast<std::uint32_t>(position + done), width, value);
        }
        if (reset) {
            function_.reset();
        }
        done += width;
    }
    return static_cast<std::int64_t>(from.bytes);
}

std::uint32_t PciConfig::read_piece(std::uint32_t at, unsigned width) {
    if ((at >= kBar0 && at < kBar0 + 4 * kBars) || (at >= kRom && at < kRom + 4)) {
        size_bars();
    }
    std::uint32_t is_virtual = 0;
    for (unsigned i = 0; i < width; ++i) {
        is_virtual |= std::uint32_t{virtual_[at + i]} << (8 * i);
    }
    return (hardware().read(at, width) & ~is_virtual) | (kept(at, width) & is_virtual);
}

// Writable bits are written to where they are read from; the others are ignored.
void PciConfig::write_default(std::uint32_t at, unsigned width, std::uint32_t value) {
    std::uint32_t is_virtual = 0;
    std::uint32_t writable = 0;
    for (unsigned i = 0; i < width; ++i) {
        is_virtual |= std::uint32_t{virtual_[at + i]} << (8 * i);
        writable |= std::uint32_t{writable_[at + i]} << (8 * i);
    }
    const std::uint32_t ours = writable & is_virtual;
    if (ours != 0) {
        keep(at, width, (kept(at, width) & ~ours) | (value & ours));
    }
    const std::uint32_t real = writable & ~is_virtual;
    if (real != 0) {
        hardware().write(at, width, (hardware().read(at, width) & ~real) | (value & real));
    }
}

bool PciConfig::write_piece(std::uint32_t at, unsigned width, std::uint32_t value) {
    write_default(at, width, value);
    if (owner_[at] == kNobody) {
        return false;
    }
    const Stretch& stretch = stretches_[owner_[at]];
    const std::uint32_t offset = at - stretch.start;
    switch (stretch.kind) {
        case Kind::plain:
            break;
        case Kind::header:
            after_header_write(at, value);
            break;
        case Kind::pm:
            if (offset == kPmControl) {
                set_power_state(stretch.start, value & kPmStateMask);
            }
            break;
        case Kind::msi:
            if (offset <= kMsiFlags && offset + width >= kMsiFlags) {
                settle_msi_flags(stretch.start + kMsiFlags);
            }
            break;
        case Kind::express:
            return take_bit(stretch.start + kExpressDeviceControl, 2, kExpressFlrStart) &&
                   (hardware().read(stretch.start + kExpressDeviceCapabilities, 4) & kExpressFlr) !=
                       0;
        case Kind::af: {
            constexpr std::uint32_t kCan = kAfFlr | kAfTransactionsPending;
            return take_bit(stretch.start + kAfControl, 1, 1) &&
                   (hardware().read(stretch.start + kAfCapabilities, 1) & kCan) == kCan;
        }
    }
    return false;
}

void PciConfig::after_header_write(std::uint32_t at, std::uint32_t value) {
    if (at == kCommand) {
        constexpr std::uint32_t kDecoding = kCommandMemory | kCommandIo;
        keep(kCommand, 2, (kept(kCommand, 2) & ~kDecoding) | (value & kDecoding));
    }
    bars_written_ =
        bars_written_ || (at >= kBar0 && at < kBar0 + 4 * kBars) || (at >= kRom && at < kRom + 4);
    if (at == kCommand || at == kCommand + 1) {
        irqs_.disable_intx((kept(kCommand, 2) & kCommandIntxDisable) != 0);
    }
}

// The bit that initiates a reset reads as zero. Returns whether it was written.
bool PciConfig::take_bit(std::uint32_t at, unsigned width, std::uint32_t bit) {
    const std::uint32_t asked = kept(at, width);
    keep(at, width, asked & ~bit);
    return (asked & bit) != 0;
}

// MSI is enabled by VFIO_DEVICE_SET_IRQS only, with its number of vectors. (vfio_msi_config_write)
void PciConfig::settle_msi_flags(std::uint32_t at) {
    std::uint32_t flags = kept(at, 2);
    if (!irqs_.msi()) {
        flags &= ~kMsiEnable;
    }
    const std::uint32_t most = irqs_.msi_vectors_log2();
    if ((flags & kMsiEnabledMask) >> 4 > most) {
        flags = (flags & ~kMsiEnabledMask) | most << 4;
    }
    keep(at, 2, flags);
    hardware().write(at, 2, flags);
}

// The BARs read as the hardware would return what was written, so that the user can size them.
// (vfio_bar_fixup)
void PciConfig::size_bars() {
    if (!bars_written_) {
        return;
    }
    bars_written_ = false;
    for (unsigned index = 0; index < kBars; ++index) {
        const Bar& bar = function_.hardware->bars()[index];
        const std::uint32_t at = kBar0 + 4 * index;
        if (bar.bytes == 0) {
            keep(at, 4, 0);
            continue;
        }
        const std::uint64_t mask = ~(bar.bytes - 1);
        const std::uint32_t flags =
            bar.kind == Bar::Kind::io
                ? kBarIo
                : (bar.prefetchable ? kBarPrefetch : 0) | (bar.wide ? kBar64 : 0);
        keep(at, 4, (kept(at, 4) & static_cast<std::uint32_t>(mask)) | flags);
        if (bar.wide) {
            ++index;
            keep(at + 4, 4, kept(at + 4, 4) & static_cast<std::uint32_t>(mask >> 32));
        }
    }
    keep(kRom, 4, 0);  // None of the models has a ROM.
}

// (vfio_pm_config_write, pci_set_power_state: a state that the function lacks is ignored)
void PciConfig::set_power_state(std::uint32_t capability, std::uint32_t state) {
    const std::uint32_t can = hardware().read(capability + kPmCapabilities, 2);
    if ((state == 1 && (can & kPmD1) == 0) || (state == 2 && (can & kPmD2) == 0)) {
        return;
    }
    hardware().change(capability + kPmControl, 2, kPmStateMask, state);
}

bool PciConfig::memory_enabled() const {
    const Lock lock(mutex_);
    constexpr std::uint32_t kD3Hot = 3;
    const std::uint32_t pm = hardware().capability(kCapPm);
    if (pm != 0 && (hardware().read(pm + kPmControl, 2) & kPmStateMask) == kD3Hot) {
        return false;
    }
    return !values_.empty() && (kept(kCommand, 2) & kCommandMemory) != 0;
}

}  // namespace kvmiommu::vfio
