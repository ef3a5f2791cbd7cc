// SPDX-License-Identifier: MIT
//
// An emulated device, of the kind that mediated devices are (Documentation/driver-api/
// vfio-mediated-device.rst): its driver pins pages, and reads and writes memory through the user's
// mappings. The device is our own: commands in its registers exercise these paths from user space.
//
// Its one region has 4 KiB. Registers are 4 or 8 bytes, little-endian and aligned.
//
//   0x00  IDENT    0x0001d3ab, read only
//   0x04  STATUS   errno of the last command, 0 when it succeeded; read only
//   0x08  IOVA     8 bytes
//   0x10  LENGTH   bytes; PIN and UNPIN take every page that the range touches
//   0x14  ACCESS   of PIN: 1 read, 2 write, 3 both
//   0x18  COMMAND  written: 1 PIN, 2 UNPIN, 3 READ memory into the buffer, 4 WRITE the buffer to
//                  memory (both through the mapping), 5 LOAD, 6 STORE (both in pinned pages)
//   0x1c  PINNED   pages pinned now; read only
//   0x20  UNMAPS   calls of dma_unmap; read only
//   0x800 BUFFER   2048 bytes

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "fs/ioctl.h"
#include "uapi/vfio.h"
#include "vfio/device_ops.h"
#include "vfio/dma_user.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class ProbeDevice final : public DeviceOps, public DmaUser {
  public:
    explicit ProbeDevice(fs::Kernel& kernel) : kernel_(kernel) {}

    void open() override {}
    void close() override EXCLUDES(pin_mutex_, mutex_);
    /// ENOTTY the request is unknown
    /// EFAULT the request's struct cannot be read
    /// EINVAL argsz is below the smallest struct of the request
    /// and what the request says, below
    /// EFAULT the struct cannot be written back
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    /// Returns the bytes moved, up to the end of the region. The write of a command always
    /// succeeds; its own errno is in STATUS.
    /// EINVAL past the end of the region
    /// EINVAL in front of the buffer, and not an aligned register
    /// EFAULT the user's buffer cannot be accessed
    Result<std::int64_t> read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) override
        EXCLUDES(mutex_);
    Result<std::int64_t> write(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) override
        EXCLUDES(mutex_);
    /// ENODEV the region cannot be mapped
    Result<fs::FileMapping> map(fs::Task& task, Ref<fs::File> file,
                                const fs::FileMapRequest& request) override;
    // There is no IOMMU that could enforce it.
    bool enforced_coherent() const override { return false; }
    DmaUser* dma_user() override { return this; }
    void dma_unmap(std::uint64_t iova, std::uint64_t size) override EXCLUDES(pin_mutex_, mutex_);

    // --- requests ---

    /// Does not fail.
    Result<std::int64_t> get_info(fs::Block<uapi::vfio_device_info> info);
    /// EINVAL not region 0
    Result<std::int64_t> get_region_info(fs::Block<uapi::vfio_region_info> info);
    /// EINVAL always: it has no interrupts
    Result<std::int64_t> get_irq_info(fs::Block<uapi::vfio_irq_info> info);
    /// Does not fail.
    Result<std::int64_t> reset(fs::Task& task, std::uint64_t argument) EXCLUDES(pin_mutex_, mutex_);

  private:
    static constexpr std::uint64_t kBuffer = 0x800;
    static constexpr std::uint64_t kRegion = 0x1000;

    struct Registers {
        std::uint32_t status = 0;
        std::uint64_t iova = 0;
        std::uint32_t length = 0;
        std::uint32_t access = 0;
        std::uint32_t unmaps = 0;
        std::array<std::byte, kRegion - kBuffer> buffer{};
    };
    using Pinned = std::map<std::uint64_t, mm::PhysAddr>;  // by iova

    static Result<std::uint64_t> check_range(std::uint64_t offset, std::uint64_t bytes);
    std::uint64_t load(std::uint64_t offset) const REQUIRES(mutex_);
    void store(std::uint64_t offset, std::uint64_t bytes, std::uint64_t value) REQUIRES(mutex_);
    // A command calls the container, which may call dma_unmap(): the registers are not locked.
    void run(fs::Task& task, std::uint32_t command) EXCLUDES(pin_mutex_, mutex_);
    Result<> execute(fs::Task& task, std::uint32_t command, Registers& registers)
        EXCLUDES(pin_mutex_, mutex_);
    Result<> pin(fs::Task& task, const Registers& registers) EXCLUDES(pin_mutex_, mutex_);
    Result<> pin_page(fs::Task& task, std::uint64_t iova, std::uint32_t access) REQUIRES(pin_mutex_)
        EXCLUDES(mutex_);
    void unpin(Range iovas) EXCLUDES(pin_mutex_, mutex_);
    void unpin_all(const std::vector<std::uint64_t>& iovas) REQUIRES(pin_mutex_) EXCLUDES(mutex_);
    Result<> move_pinned(Registers& registers, bool store) EXCLUDES(mutex_);

    fs::Kernel& kernel_;
    // Serializes pins and unpins, so that neither another command nor an unmap sees a page that is
    // pinned and has no entry yet. Held while the container is called, which calls dma_unmap()
    // without its lock.
    Mutex pin_mutex_{lock_order::kProbePins};
    mutable Mutex mutex_{lock_order::kProbeDevice};
    Registers registers_ GUARDED_BY(mutex_);
    Pinned pinned_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::vfio
