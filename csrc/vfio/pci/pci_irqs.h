// SPDX-License-Identifier: MIT
//
// The interrupts of an assigned PCI function, which signal eventfds.
// Rules: drivers/vfio/pci/vfio_pci_intrs.c.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/base.h"
#include "fs/eventfd.h"
#include "fs/kernel.h"
#include "pci/function.h"
#include "vfio/lock_order.h"
#include "vfio/virqfd.h"

namespace kvmiommu::vfio {

/// A VFIO_DEVICE_SET_IRQS whose sizes have been checked.
struct IrqRequest {
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t start;
    std::uint32_t count;
    std::span<const std::byte> data;

    bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    /// Element `at` of the data, for DATA_BOOL and for DATA_EVENTFD.
    bool boolean(std::uint32_t at) const;
    std::int32_t fd(std::uint32_t at) const;
};

/// The eventfds of a request, looked up without a lock: putting a reference may release a file. An
/// error counts when its element is reached.
class IrqEventfds {
  public:
    IrqEventfds(fs::Task& task, const IrqRequest& request);
    /// The eventfd of element `at`; null for a negative descriptor. Errors as get_eventfd() says.
    const Result<Ref<fs::EventFd>>& at(std::uint32_t at) const { return found_[at]; }

  private:
    std::vector<Result<Ref<fs::EventFd>>> found_;
};

class PciIrqs final : public pci::InterruptSink {
  public:
    /// `dynamic_msix`: whether vectors can be added while MSI-X is enabled.
    PciIrqs(fs::Kernel& kernel, const pci::Function& function, bool dynamic_msix)
        : kernel_(kernel), function_(function), dynamic_msix_(dynamic_msix) {}
    PciIrqs(const PciIrqs&) = delete;
    PciIrqs& operator=(const PciIrqs&) = delete;

    /// The interrupts of an index (VFIO_PCI_*_IRQ_INDEX); 0 for an unknown one.
    std::uint32_t count(std::uint32_t index) const;
    bool dynamic_msix() const { return dynamic_msix_; }

    /// VFIO_DEVICE_SET_IRQS. (vfio_pci_set_irqs_ioctl)
    /// ENOTTY the index does not have the action
    /// INTx:
    /// EINVAL mask, unmask: INTx is not enabled, or the range is not interrupt 0
    /// ENOTTY mask: by eventfd
    /// EINVAL trigger: MSI or MSI-X is enabled, or the range is not interrupt 0
    /// EBADF the descriptor is not open
    /// EINVAL the descriptor is not an eventfd
    /// EBUSY unmask: INTx has an eventfd for that
    /// EINVAL trigger without an eventfd: INTx is not enabled
    /// MSI and MSI-X:
    /// EINVAL another kind of interrupt is enabled
    /// EINVAL enabling: the device is not in D0
    /// ERANGE enabling: no vectors
    /// EINVAL a vector past those that it was enabled with, unless MSI-X can add some; the same as:
    /// EBADF a descriptor is not open; its vector and those before it lose their eventfds
    /// EINVAL a descriptor is not an eventfd; the same
    /// EINVAL without eventfds: this kind is not enabled
    /// Errors of the device, and its release:
    /// EINVAL the range is neither empty nor interrupt 0
    /// EINVAL no data, and the index has no eventfd
    /// EINVAL data for an empty range
    /// EINVAL the descriptor is below -1
    /// EBADF the descriptor is not open
    /// EINVAL the descriptor is not an eventfd
    Result<> set(fs::Task& task, const IrqRequest& request) EXCLUDES(mutex_);
    /// Called at the last close: disables all interrupts.
    void close() EXCLUDES(mutex_);

    // --- for configuration space ---

    /// The user has written the INTx disable bit, which masks and unmasks INTx.
    void disable_intx(bool disabled) EXCLUDES(mutex_);
    /// Is MSI enabled?
    bool msi() const EXCLUDES(mutex_);
    /// The number of vectors that MSI was last enabled with, as a power of two, rounded up.
    std::uint32_t msi_vectors_log2() const EXCLUDES(mutex_);

    // --- interrupts of the hardware ---

    void intx() override EXCLUDES(mutex_);
    bool message(std::uint32_t vector) override EXCLUDES(mutex_);

  private:
    enum class Type : std::uint8_t { none, intx, msi, msix };
    // What is left to do after the lock is dropped. Eventfds are signalled with the lock held, so
    // an eventfd that SET_IRQS has replaced is not signalled after the call.
    struct Later {
        std::vector<Ref<fs::EventFd>> dropped;
        Ref<Virqfd> stopped;
        std::vector<std::uint32_t> unmasked;  // vectors
        bool intx = false;                    // the line may be asserted already

        void carry_out(PciIrqs& irqs);
    };

    pci::ConfigSpace& config() const { return function_.hardware->config(); }
    // Writes the device's INTx disable bit (pci_intx).
    void let_intx(bool through) REQUIRES(mutex_);

    Result<> set_locked(const IrqRequest& request, const IrqEventfds& eventfds, Later& later)
        REQUIRES(mutex_);
    Result<> mask_intx(const IrqRequest& request) REQUIRES(mutex_);
    Result<> unmask_intx(const IrqRequest& request, const IrqEventfds& eventfds, Later& later)
        REQUIRES(mutex_);
    Result<> trigger_intx(const IrqRequest& request, const IrqEventfds& eventfds, Later& later)
        REQUIRES(mutex_);
    Result<> trigger_messages(const IrqRequest& request, const IrqEventfds& eventfds, Type type,
                              Later& later) REQUIRES(mutex_);
    Result<> trigger_single(const IrqRequest& request, const IrqEventfds& eventfds,
                            Ref<fs::EventFd>& trigger, Later& later) REQUIRES(mutex_);

    void do_mask_intx() REQUIRES(mutex_);
    void do_unmask_intx() REQUIRES(mutex_);
    void signal_intx() REQUIRES(mutex_);
    // Masks and signals INTx if the line is asserted.
    void handle_intx() REQUIRES(mutex_);
    void disable_intx_type(Later& later) REQUIRES(mutex_);
    Result<> enable_messages(std::uint32_t vectors, Type type) REQUIRES(mutex_);
    void disable_messages(Later& later) REQUIRES(mutex_);
    Result<> set_vectors(const IrqRequest& request, const IrqEventfds& eventfds, Later& later)
        REQUIRES(mutex_);
    Result<> alloc_irq(std::uint32_t vector) const REQUIRES(mutex_);
    void forget_vector(std::uint32_t vector, Later& later) REQUIRES(mutex_);

    fs::Kernel& kernel_;
    const pci::Function& function_;
    const bool dynamic_msix_;

    mutable Mutex mutex_{lock_order::kPciIrqs};  // igate
    Type type_ GUARDED_BY(mutex_) = Type::none;
    std::map<std::uint32_t, Ref<fs::EventFd>> vectors_ GUARDED_BY(mutex_);
    std::uint32_t allocated_ GUARDED_BY(mutex_) = 0;  // vectors that MSI or MSI-X was enabled with
    Ref<fs::EventFd> intx_trigger_ GUARDED_BY(mutex_){"vfio_pci.intx trigger"};
    Ref<Virqfd> intx_unmask_ GUARDED_BY(mutex_){"vfio_pci.intx unmask"};
    bool masked_ GUARDED_BY(mutex_) = false;
    bool user_disabled_ GUARDED_BY(mutex_) = false;  // virq_disabled
    std::uint32_t msi_vectors_log2_ GUARDED_BY(mutex_) = 0;
    Ref<fs::EventFd> error_trigger_ GUARDED_BY(mutex_){"vfio_pci.err_trigger"};
    Ref<fs::EventFd> request_trigger_ GUARDED_BY(mutex_){"vfio_pci.req_trigger"};
};

}  // namespace kvmiommu::vfio
