// SPDX-License-Identifier: MIT

#include "vfio/pci/pci_device.h"

#include <limits>
#include <utility>

#include "fs/ioctl_table.h"
#include "fs/kernel.h"
#include "fs/task.h"
#include "iommu/ops.h"
#include "vfio/pci/pci_name.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kIoctl{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_ioctl"};
constexpr Source kRegionInfo{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_ioctl_get_region_info"};
constexpr Source kIrqInfo{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_ioctl_get_irq_info"};
constexpr Source kSetIrqs{"drivers/vfio/vfio_main.c: vfio_set_irqs_validate_and_prepare"};
constexpr Source kReset{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_ioctl_reset"};
constexpr Source kAccess{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_rw"};

using namespace uapi;

constexpr fs::IoctlRow<PciDevice> kRows[] = {
    fs::vfio_row<&PciDevice::get_info>(VFIO_DEVICE_GET_INFO, &vfio_device_info::num_irqs,
                                       fs::Reply::success),
    fs::vfio_row<&PciDevice::get_region_info>(VFIO_DEVICE_GET_REGION_INFO,
                                              &vfio_region_info::offset, fs::Reply::success),
    fs::vfio_row<&PciDevice::get_irq_info>(VFIO_DEVICE_GET_IRQ_INFO, &vfio_irq_info::count,
                                           fs::Reply::success),
    fs::vfio_row<&PciDevice::set_irqs>(VFIO_DEVICE_SET_IRQS, &vfio_irq_set::count),
    fs::value_row<&PciDevice::reset>(VFIO_DEVICE_RESET),
    fs::vfio_row<&PciDevice::get_hot_reset_info>(
        VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &vfio_pci_hot_reset_info::count, fs::Reply::success),
    fs::vfio_row<&PciDevice::hot_reset>(VFIO_DEVICE_PCI_HOT_RESET, &vfio_pci_hot_reset::count),
    fs::vfio_row<&PciDevice::ioeventfd>(VFIO_DEVICE_IOEVENTFD, &vfio_device_ioeventfd::fd),
    fs::vfio_row<&PciDevice::feature>(VFIO_DEVICE_FEATURE, &vfio_device_feature::flags),
};

constexpr fs::IoctlTable<PciDevice> kTable{
    kRows, {ENOTTY, "request {:x} means nothing to a PCI device", kIoctl}};

}  // namespace

// MSI-X vectors can be added one by one only where the interrupt domain says so, which is on x86
// (drivers/pci/msi/api.c: pci_msix_can_alloc_dyn).
PciDevice::PciDevice(fs::Kernel& kernel, const pci::Function& function)
    : kernel_(kernel),
      function_(function),
      irqs_(kernel, function, kernel.arch() == fs::Arch::x86_64) {
    function.hardware->interrupts().connect(irqs_);
}

Result<bool> PciDevice::match(std::string_view name) const {
    return match_pci_name(function_.address, name);
}

bool PciDevice::enforced_coherent() const {
    const iommu::Device* const device = function_.device;
    return device != nullptr &&
           device->ops().capable(*device, iommu::Capability::enforce_cache_coherency);
}

void PciDevice::open() {
    pci::ConfigSpace& hardware = function_.hardware->config();
    hardware.change(pci::kCommand, 2, pci::kCommandMaster | pci::kCommandIntxDisable, 0);
    std::uint32_t decoding = 0;
    for (const pci::Bar& bar : function_.hardware->bars()) {
        if (bar.bytes != 0) {
            decoding |= bar.kind == pci::Bar::Kind::io ? pci::kCommandIo : pci::kCommandMemory;
        }
    }
    hardware.change(pci::kCommand, 2, decoding, decoding);
    if (function_.can_reset()) {
        function_.reset();
    }
    saved_ = hardware.save(pci::kHeaderBytes);
    config_.open();
}

void PciDevice::close() {
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    std::vector<IoEventfd> ended;
    {
        const Lock lock(mutex_);
        ended = std::move(ioeventfds_);
        ioeventfds_.clear();
        low_power_ = false;
    }
    for (const IoEventfd& ioeventfd : ended) {
        ioeventfd.virqfd->stop();
    }
    pci::ConfigSpace& hardware = function_.hardware->config();
    hardware.change(pci::kCommand, 2, pci::kCommandMaster, 0);
    irqs_.close();
    if (function_.can_reset()) {
        function_.reset();
    }
    hardware.restore(saved_);
}

Result<std::int64_t> PciDevice::ioctl(fs::Task& task, std::uint32_t command,
                                      std::uint64_t argument) {
    return kTable.ioctl(*this, task, command, argument);
}

Result<std::int64_t> PciDevice::access(fs::Task& task, fs::UserBuffer buffer, std::uint64_t offset,
                                       bool write) {
    if (buffer.bytes == 0) {
        return 0;
    }
    const std::uint64_t index = offset >> kRegionShift;
    const std::uint64_t position = offset & low_mask(kRegionShift);
    if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
        return write ? config_.write(task, position, buffer) : config_.read(task, position, buffer);
    }
    if (index > VFIO_PCI_ROM_REGION_INDEX) {
        return refuse(EINVAL, "the device has no region {}", kAccess, index);
    }
    if (index == VFIO_PCI_ROM_REGION_INDEX && write) {
        return refuse(EINVAL, "a ROM cannot be written", kAccess);
    }
    const auto region = static_cast<std::uint32_t>(index);
    return write ? regions_.write(task, region, position, buffer)
                 : regions_.read(task, region, position, buffer);
}

Result<std::int64_t> PciDevice::read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) {
    return access(task, to, offset, false);
}

Result<std::int64_t> PciDevice::write(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) {
    return access(task, from, offset, true);
}

Result<fs::FileMapping> PciDevice::map(fs::Task& task, Ref<fs::File> file,
                                       const fs::FileMapRequest& request) {
    return regions_.map(task, std::move(file), request);
}

Result<std::int64_t> PciDevice::get_info(fs::Block<vfio_device_info> info) {
    info->flags = VFIO_DEVICE_FLAGS_PCI;
    if (function_.can_reset()) {
        info->flags |= VFIO_DEVICE_FLAGS_RESET;
    }
    info->num_regions = VFIO_PCI_NUM_REGIONS;
    info->num_irqs = VFIO_PCI_NUM_IRQS;
    info.reply(info->argsz);
    return 0;
}

Result<std::int64_t> PciDevice::get_region_info(fs::Block<vfio_region_info> info) {
    const std::uint32_t index = info->index;
    if (index >= VFIO_PCI_VGA_REGION_INDEX) {
        return refuse(EINVAL, "the device has no region {}", kRegionInfo, index);
    }
    constexpr std::uint32_t kReadWrite = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    info->flags = 0;
    info->size = 0;
    info->offset = std::uint64_t{index} << kRegionShift;
    if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
        info->size = function_.hardware->config().bytes();
        info->flags = kReadWrite;
        return 0;
    }
    if (index == VFIO_PCI_ROM_REGION_INDEX || function_.hardware->bars()[index].bytes == 0) {
        return 0;
    }
    info->size = function_.hardware->bars()[index].bytes;
    info->flags = kReadWrite;
    if (!regions_.mappable(index, kernel_.page_size())) {
        return 0;
    }
    info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
    if (!regions_.msix_table(index)) {
        return 0;
    }
    // The page with the MSI-X table can be mapped too: the IOMMU isolates interrupts.
    info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
    const vfio_info_cap_header header{VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0};
    constexpr std::uint32_t kNeeded = sizeof(vfio_region_info) + sizeof header;
    if (info->argsz < kNeeded) {
        info->argsz = kNeeded;
        info->cap_offset = 0;
        return 0;
    }
    TRY(info.user()
            .offset<vfio_info_cap_header>(sizeof(vfio_region_info))
            .write(info.task().mm(), header));
    info->cap_offset = sizeof(vfio_region_info);
    return 0;
}

Result<std::int64_t> PciDevice::get_irq_info(fs::Block<vfio_irq_info> info) {
    const std::uint32_t index = info->index;
    if (index >= VFIO_PCI_NUM_IRQS || (index == VFIO_PCI_ERR_IRQ_INDEX && !function_.express())) {
        return refuse(EINVAL, "the device has no interrupts of index {}", kIrqInfo, index);
    }
    info->flags = VFIO_IRQ_INFO_EVENTFD;
    info->count = irqs_.count(index);
    if (index == VFIO_PCI_INTX_IRQ_INDEX) {
        info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
    } else if (index != VFIO_PCI_MSIX_IRQ_INDEX || irqs_.count(index) == 0 ||
               !irqs_.dynamic_msix()) {
        info->flags |= VFIO_IRQ_INFO_NORESIZE;
    }
    return 0;
}

Result<std::int64_t> PciDevice::set_irqs(fs::Block<vfio_irq_set> set) {
    constexpr std::uint32_t kKnown = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const std::uint64_t most = irqs_.count(set->index);
    if (set->index >= VFIO_PCI_NUM_IRQS ||
        set->count >= std::numeric_limits<std::uint32_t>::max() - set->start ||
        (set->flags & ~kKnown) != 0) {
        return refuse(EINVAL, "index {}, interrupts {} and {} more, or flags {:x} cannot be",
                      kSetIrqs, set->index, set->start, set->count, set->flags);
    }
    if (set->start >= most || std::uint64_t{set->start} + set->count > most) {
        return refuse(EINVAL, "interrupts {} and {} more of index {}, which has {}", kSetIrqs,
                      set->start, set->count, set->index, most);
    }
    std::uint64_t width = 0;
    switch (set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
        case VFIO_IRQ_SET_DATA_NONE:
            break;
        case VFIO_IRQ_SET_DATA_BOOL:
            width = sizeof(std::uint8_t);
            break;
        case VFIO_IRQ_SET_DATA_EVENTFD:
            width = sizeof(std::int32_t);
            break;
        default:
            return refuse(EINVAL, "flags {:x} name no one kind of data", kSetIrqs, set->flags);
    }
    std::vector<std::byte> data(set->count * width);
    if (set->argsz - sizeof(vfio_irq_set) < data.size()) {
        return refuse(EINVAL, "argsz {} is too little for {} bytes of data", kSetIrqs, set->argsz,
                      data.size());
    }
    TRY(set.task().mm().copy_from_user(data.data(), set.user().address() + sizeof(vfio_irq_set),
                                       data.size()));
    TRY(irqs_.set(set.task(), {set->flags, set->index, set->start, set->count, data}));
    return 0;
}

Result<std::int64_t> PciDevice::reset(fs::Task&, std::uint64_t) {
    if (!function_.can_reset()) {
        return refuse(EINVAL, "the function has no reset of its own and shares its bus", kReset);
    }
    function_.reset();
    return 0;
}

}  // namespace kvmiommu::vfio
