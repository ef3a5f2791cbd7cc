// SPDX-License-Identifier: MIT

#include "vfio/pci/pci_irqs.h"

#include <bit>
#include <cstring>
#include <utility>

#include "pci/registers.h"
#include "uapi/vfio.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kSet{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_pci_set_irqs_ioctl"};
constexpr Source kIntxMask{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_pci_set_intx_mask"};
constexpr Source kIntxUnmask{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_pci_set_intx_unmask"};
constexpr Source kIntxTrigger{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_pci_set_intx_trigger"};
constexpr Source kMsiTrigger{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_pci_set_msi_trigger"};
constexpr Source kAllocIrq{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_msi_alloc_irq"};
constexpr Source kMsiEnableSource{"drivers/pci/msi/msi.c: __pci_enable_msi_range"};
constexpr Source kSingle{"drivers/vfio/pci/vfio_pci_intrs.c: vfio_pci_set_ctx_trigger_single"};
constexpr Source kVirqfd{"drivers/vfio/virqfd.c: vfio_virqfd_enable"};

using namespace pci;  // The registers' names.
using namespace uapi;

}  // namespace

bool IrqRequest::boolean(std::uint32_t at) const {
    return data[at] != std::byte{0};
}

std::int32_t IrqRequest::fd(std::uint32_t at) const {
    std::int32_t value;
    std::memcpy(&value, data.data() + std::size_t{at} * sizeof value, sizeof value);
    return value;
}

IrqEventfds::IrqEventfds(fs::Task& task, const IrqRequest& request) {
    if (!request.has(VFIO_IRQ_SET_DATA_EVENTFD)) {
        return;
    }
    for (std::uint32_t at = 0; at < request.count; ++at) {
        const std::int32_t fd = request.fd(at);
        found_.push_back(fd < 0 ? nullptr : get_eventfd(task, fd));
    }
}

void PciIrqs::Later::carry_out(PciIrqs& irqs) {
    if (stopped) {
        stopped->stop();
    }
    for (const std::uint32_t vector : unmasked) {
        irqs.function_.hardware->interrupts().unmask_msix(vector);
    }
    if (intx) {
        irqs.intx();
    }
}

std::uint32_t PciIrqs::count(std::uint32_t index) const {
    switch (index) {
        case VFIO_PCI_INTX_IRQ_INDEX:
            return config().read(kInterruptPin, 1) != 0 ? 1 : 0;
        case VFIO_PCI_MSI_IRQ_INDEX:
            if (const std::uint32_t at = config().capability(kCapMsi); at != 0) {
                return 1U << ((config().read(at + kMsiFlags, 2) & kMsiCapableMask) >> 1);
            }
            return 0;
        case VFIO_PCI_MSIX_IRQ_INDEX:
            if (const std::uint32_t at = config().capability(kCapMsix); at != 0) {
                return (config().read(at + kMsixFlags, 2) & kMsixSizeMask) + 1;
            }
            return 0;
        case VFIO_PCI_ERR_IRQ_INDEX:
            return function_.express() ? 1 : 0;
        case VFIO_PCI_REQ_IRQ_INDEX:
            return 1;
        default:
            return 0;
    }
}

Result<> PciIrqs::set(fs::Task& task, const IrqRequest& request) {
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    const IrqEventfds eventfds(task, request);
    Later later;
    Result<> done;
    {
        const Lock lock(mutex_);
        done = set_locked(request, eventfds, later);
    }
    later.carry_out(*this);
    return done;
}

Result<> PciIrqs::set_locked(const IrqRequest& request, const IrqEventfds& eventfds, Later& later) {
    const std::uint32_t action = request.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    switch (request.index) {
        case VFIO_PCI_INTX_IRQ_INDEX:
            switch (action) {
                case VFIO_IRQ_SET_ACTION_MASK:
                    return mask_intx(request);
                case VFIO_IRQ_SET_ACTION_UNMASK:
                    return unmask_intx(request, eventfds, later);
                case VFIO_IRQ_SET_ACTION_TRIGGER:
                    return trigger_intx(request, eventfds, later);
                default:
                    break;
            }
            break;
        case VFIO_PCI_MSI_IRQ_INDEX:
        case VFIO_PCI_MSIX_IRQ_INDEX:
            if (action == VFIO_IRQ_SET_ACTION_TRIGGER) {
                return trigger_messages(
                    request, eventfds,
                    request.index == VFIO_PCI_MSIX_IRQ_INDEX ? Type::msix : Type::msi, later);
            }
            break;
        case VFIO_PCI_ERR_IRQ_INDEX:
            if (action == VFIO_IRQ_SET_ACTION_TRIGGER && function_.express()) {
                return trigger_single(request, eventfds, error_trigger_, later);
            }
            break;
        case VFIO_PCI_REQ_IRQ_INDEX:
            if (action == VFIO_IRQ_SET_ACTION_TRIGGER) {
                return trigger_single(request, eventfds, request_trigger_, later);
            }
            break;
        default:
            break;
    }
    return refuse(ENOTTY, "interrupts of index {} have no action {:x}", kSet, request.index,
                  action);
}

void PciIrqs::close() {
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    Later later;
    {
        const Lock lock(mutex_);
        if (type_ == Type::intx) {
            disable_intx_type(later);
        } else if (type_ != Type::none) {
            disable_messages(later);
        }
        user_disabled_ = false;
        later.dropped.push_back(std::move(error_trigger_));
        later.dropped.push_back(std::move(request_trigger_));
    }
    later.carry_out(*this);
}

// --- INTx ---

void PciIrqs::let_intx(bool through) {
    config().change(kCommand, 2, kCommandIntxDisable, through ? 0 : kCommandIntxDisable);
}

void PciIrqs::signal_intx() {
    if (type_ == Type::intx && !user_disabled_ && intx_trigger_) {
        intx_trigger_->signal();
    }
}

// Also called while INTx is not enabled: the hardware's INTx disable bit follows the user's.
void PciIrqs::do_mask_intx() {
    if (type_ != Type::intx) {
        let_intx(false);
    } else if (!masked_) {
        let_intx(false);
        masked_ = true;
    }
}

// While the line is asserted the interrupt stays masked and is signalled again.
void PciIrqs::do_unmask_intx() {
    if (type_ != Type::intx) {
        let_intx(true);
        return;
    }
    if (!masked_ || user_disabled_) {
        return;
    }
    if (function_.hardware->interrupts().intx_asserted()) {
        signal_intx();
        return;
    }
    let_intx(true);
    masked_ = false;
    // The device may have asserted the line while INTx was disabled, without a call of intx().
    handle_intx();
}

// The line is level triggered, so it is masked until the user unmasks it.
void PciIrqs::handle_intx() {
    if (type_ != Type::intx || masked_ || !function_.hardware->interrupts().intx_asserted()) {
        return;
    }
    let_intx(false);
    masked_ = true;
    signal_intx();
}

void PciIrqs::intx() {
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    const Lock lock(mutex_);
    handle_intx();
}

void PciIrqs::disable_intx(bool disabled) {
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    const Lock lock(mutex_);
    if (disabled == user_disabled_) {
        return;
    }
    user_disabled_ = disabled;
    if (disabled) {
        do_mask_intx();
    } else {
        do_unmask_intx();
    }
}

Result<> PciIrqs::mask_intx(const IrqRequest& request) {
    if (type_ != Type::intx || request.start != 0 || request.count != 1) {
        return refuse(EINVAL, "INTx enabled: {}; interrupts {} and {} more; INTx is one", kIntxMask,
                      type_ == Type::intx, request.start, request.count);
    }
    if (request.has(VFIO_IRQ_SET_DATA_EVENTFD)) {
        return refuse(ENOTTY, "INTx cannot be masked by eventfd", kIntxMask);
    }
    if (request.has(VFIO_IRQ_SET_DATA_NONE) || request.boolean(0)) {
        do_mask_intx();
    }
    return {};
}

Result<> PciIrqs::unmask_intx(const IrqRequest& request, const IrqEventfds& eventfds,
                              Later& later) {
    if (type_ != Type::intx || request.start != 0 || request.count != 1) {
        return refuse(EINVAL, "INTx enabled: {}; interrupts {} and {} more; INTx is one",
                      kIntxUnmask, type_ == Type::intx, request.start, request.count);
    }
    if (!request.has(VFIO_IRQ_SET_DATA_EVENTFD)) {
        if (request.has(VFIO_IRQ_SET_DATA_NONE) || request.boolean(0)) {
            do_unmask_intx();
        }
        return {};
    }
    const Ref<fs::EventFd>& eventfd = TRY(eventfds.at(0));
    if (!eventfd) {
        later.stopped = std::move(intx_unmask_);
        return {};
    }
    if (intx_unmask_) {
        return refuse(EBUSY, "INTx has an eventfd that unmasks it", kVirqfd);
    }
    intx_unmask_ = Virqfd::start(kernel_.census(), eventfd, [this] {
        const Lock lock(mutex_);
        // It may have been stopped since it began.
        if (intx_unmask_) {
            do_unmask_intx();
        }
    });
    return {};
}

Result<> PciIrqs::trigger_intx(const IrqRequest& request, const IrqEventfds& eventfds,
                               Later& later) {
    if (type_ == Type::intx && request.count == 0 && request.has(VFIO_IRQ_SET_DATA_NONE)) {
        disable_intx_type(later);
        return {};
    }
    if ((type_ != Type::intx && type_ != Type::none) || request.start != 0 || request.count != 1) {
        return refuse(EINVAL, "MSI or MSI-X enabled: {}; interrupts {} and {} more; INTx is one",
                      kIntxTrigger, type_ != Type::intx && type_ != Type::none, request.start,
                      request.count);
    }
    if (request.has(VFIO_IRQ_SET_DATA_EVENTFD)) {
        const Ref<fs::EventFd>& trigger = TRY(eventfds.at(0));
        later.dropped.push_back(std::move(intx_trigger_));
        intx_trigger_ = trigger;
        if (type_ == Type::none) {
            type_ = Type::intx;
            masked_ = user_disabled_;
            let_intx(!masked_);
            later.intx = true;
        }
        return {};
    }
    if (type_ != Type::intx) {
        return refuse(EINVAL, "INTx is not enabled", kIntxTrigger);
    }
    if (request.has(VFIO_IRQ_SET_DATA_NONE) || request.boolean(0)) {
        signal_intx();
    }
    return {};
}

void PciIrqs::disable_intx_type(Later& later) {
    later.stopped = std::move(intx_unmask_);
    later.dropped.push_back(std::move(intx_trigger_));
    type_ = Type::none;
}

// --- MSI and MSI-X ---

bool PciIrqs::msi() const {
    const Lock lock(mutex_);
    return type_ == Type::msi;
}

std::uint32_t PciIrqs::msi_vectors_log2() const {
    const Lock lock(mutex_);
    return msi_vectors_log2_;
}

bool PciIrqs::message(std::uint32_t vector) {
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    const Lock lock(mutex_);
    const auto found = vectors_.find(vector);
    if (found == vectors_.end()) {
        return false;
    }
    found->second->signal();
    return true;
}

Result<> PciIrqs::trigger_messages(const IrqRequest& request, const IrqEventfds& eventfds,
                                   Type type, Later& later) {
    if (type_ == type && request.count == 0 && request.has(VFIO_IRQ_SET_DATA_NONE)) {
        disable_messages(later);
        return {};
    }
    if (type_ != type && type_ != Type::none) {
        return refuse(EINVAL, "another kind of interrupt than index {} is enabled", kMsiTrigger,
                      request.index);
    }
    if (request.has(VFIO_IRQ_SET_DATA_EVENTFD)) {
        if (type_ == type) {
            return set_vectors(request, eventfds, later);
        }
        TRY(enable_messages(request.start + request.count, type));
        auto set = set_vectors(request, eventfds, later);
        if (!set) {
            disable_messages(later);
        }
        return set;
    }
    if (type_ != type) {
        return refuse(EINVAL, "interrupts of index {} are not enabled", kMsiTrigger, request.index);
    }
    for (std::uint32_t at = 0; at < request.count; ++at) {
        const auto found = vectors_.find(request.start + at);
        if (found != vectors_.end() &&
            (request.has(VFIO_IRQ_SET_DATA_NONE) || request.boolean(at))) {
            found->second->signal();
        }
    }
    return {};
}

Result<> PciIrqs::enable_messages(std::uint32_t vectors, Type type) {
    if (const std::uint32_t pm = config().capability(kCapPm);
        pm != 0 && (config().read(pm + kPmControl, 2) & kPmStateMask) != 0 &&
        (vectors != 0 || type == Type::msi)) {
        return refuse(EINVAL, "the device is not in D0", kMsiEnableSource);
    }
    if (vectors == 0) {
        return refuse(ERANGE, "no vector at all is asked for", kMsiEnableSource);
    }
    type_ = type;
    allocated_ = vectors;
    let_intx(false);
    if (type == Type::msix) {
        config().change(config().capability(kCapMsix) + kMsixFlags, 2, kMsixEnable, kMsixEnable);
    } else {
        config().change(config().capability(kCapMsi) + kMsiFlags, 2, kMsiEnable, kMsiEnable);
        msi_vectors_log2_ = static_cast<std::uint32_t>(std::bit_width(vectors * 2 - 1)) - 1;
    }
    return {};
}

void PciIrqs::disable_messages(Later& later) {
    while (!vectors_.empty()) {
        forget_vector(vectors_.begin()->first, later);
    }
    if (type_ == Type::msix) {
        config().change(config().capability(kCapMsix) + kMsixFlags, 2, kMsixEnable, 0);
    } else {
        config().change(config().capability(kCapMsi) + kMsiFlags, 2, kMsiEnable, 0);
    }
    let_intx(true);
    type_ = Type::none;
}

void PciIrqs::forget_vector(std::uint32_t vector, Later& later) {
    if (auto found = vectors_.find(vector); found != vectors_.end()) {
        later.dropped.push_back(std::move(found->second));
        vectors_.erase(found);
    }
}

// Vectors are allocated when MSI or MSI-X is enabled; later ones only where MSI-X allows it.
Result<> PciIrqs::alloc_irq(std::uint32_t vector) const {
    if (vector >= allocated_ && (type_ == Type::msi || !dynamic_msix_)) {
        return refuse(EINVAL, "vector {}: {} were allocated, and none can be added", kAllocIrq,
                      vector, allocated_);
    }
    return {};
}

// When a vector cannot be set, it and those before it in the request lose their eventfds.
Result<> PciIrqs::set_vectors(const IrqRequest& request, const IrqEventfds& eventfds,
                              Later& later) {
    for (std::uint32_t at = 0; at < request.count; ++at) {
        const std::uint32_t vector = request.start + at;
        forget_vector(vector, later);
        const Result<Ref<fs::EventFd>>& eventfd = eventfds.at(at);
        if (eventfd && !*eventfd) {
            continue;
        }
        const Result<> allocated = alloc_irq(vector);
        if (!allocated || !eventfd) {
            for (std::uint32_t back = request.start; back <= vector; ++back) {
                forget_vector(back, later);
            }
            return std::unexpected(allocated ? eventfd.error() : allocated.error());
        }
        vectors_.emplace(vector, *eventfd);
        if (type_ == Type::msix) {
            later.unmasked.push_back(vector);
        }
    }
    return {};
}

// --- errors of the device, and requests to release it ---

Result<> PciIrqs::trigger_single(const IrqRequest& request, const IrqEventfds& eventfds,
                                 Ref<fs::EventFd>& trigger, Later& later) {
    if (request.start != 0 || request.count > 1) {
        return refuse(EINVAL, "interrupts {} and {} more of index {}, which has one", kSingle,
                      request.start, request.count, request.index);
    }
    if (request.has(VFIO_IRQ_SET_DATA_NONE)) {
        if (!trigger) {
            return refuse(EINVAL, "index {} has no eventfd", kSingle, request.index);
        }
        if (request.count != 0) {
            trigger->signal();
        } else {
            later.dropped.push_back(std::move(trigger));
        }
        return {};
    }
    if (request.count == 0) {
        return refuse(EINVAL, "data for no interrupt of index {}", kSingle, request.index);
    }
    if (request.has(VFIO_IRQ_SET_DATA_BOOL)) {
        if (request.boolean(0) && trigger) {
            trigger->signal();
        }
        return {};
    }
    const std::int32_t fd = request.fd(0);
    if (fd < -1) {
        return refuse(EINVAL, "descriptor {} is none and does not take one away", kSingle, fd);
    }
    const Ref<fs::EventFd>& next = TRY(eventfds.at(0));
    later.dropped.push_back(std::move(trigger));
    trigger = next;
    return {};
}

}  // namespace kvmiommu::vfio
