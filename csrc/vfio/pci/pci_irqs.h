// SPDX-License-Identifier: MIT
//
// The interrupts of an assigned PCI function: eventfds in the place of handlers.
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

/// VFIO_DEVICE_SET_IRQS once its sizes have been checked.
struct IrqRequest {
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t start;
    std::uint32_t count;
    std::span<const std::byte> data;

    bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    /// The element `at` of the data, as what the flags say it is.
    bool boolean(std::uint32_t at) const;
    std::int32_t fd(std::uint32_t at) const;
};

/// The eventfds that a request names, looked up before a lock is taken: to put one again may
/// release a file. Which of them is wrong matters when its turn comes.
class IrqEventfds {
  public:
    IrqEventfds(fs::Task& task, const IrqRequest& request);
    /// That of the element `at`, null for a negative descriptor. EBADF, EINVAL no eventfd.
    const Result<Ref<fs::EventFd>>& at(std::uint32_t at) const { return found_[at]; }

  private:
    std::vector<Result<Ref<fs::EventFd>>> found_;
};

class PciIrqs final : public pci::InterruptSink {
  public:
    /// `dynamic_msix`: can vectors be added while MSI-X is enabled?
    PciIrqs(fs::Kernel& kernel, const pci::Function& function, bool dynamic_msix)
        : kernel_(kernel), function_(function), dynamic_msix_(dynamic_msix) {}
    PciIrqs(const PciIrqs&) = delete;
    PciIrqs& operator=(const PciIrqs&) = delete;

    /// How many interrupts an index has (VFIO_PCI_*_IRQ_INDEX); 0 for one that is not known.
    std::uint32_t count(std::uint32_t index) const;
    bool dynamic_msix() const { return dynamic_msix_; }

    /// What SET_IRQS does. ENOTTY this index does not know the action; EINVAL another kind of
    /// interrupt is enabled, this one is not, or a number is out of range; EBADF, EINVAL a
    /// descriptor that is no eventfd; EBUSY INTx has an unmask eventfd; ERANGE no vectors.
    Result<> set(fs::Task& task, const IrqRequest& request) EXCLUDES(mutex_);
    /// The device is closed.
    void close() EXCLUDES(mutex_);

    // --- for configuration space ---

    /// The user's INTx disable bit, which masks and unmasks.
    void disable_intx(bool disabled) EXCLUDES(mutex_);
    /// Is MSI what the device interrupts by?
    bool msi() const EXCLUDES(mutex_);
    /// As many vectors as MSI was enabled with last, as a power of two.
    std::uint32_t msi_vectors_log2() const EXCLUDES(mutex_);

    // --- interrupts of the hardware ---

    void intx() override EXCLUDES(mutex_);
    bool message(std::uint32_t vector) override EXCLUDES(mutex_);

  private:
    enum class Type : std::uint8_t { none, intx, msi, msix };
    // What is taken away while the lock is held, to be put or stopped without it, and what may be
    // pending at the hardware. Eventfds are signalled with the lock held: once SET_IRQS has
    // returned, the one that it took away is not signalled any more.
    struct Later {
        std::vector<Ref<fs::EventFd>> dropped;
        Ref<Virqfd> stopped;
        std::vector<std::uint32_t> unmasked;  // vectors
        bool intx = false;                    // the line may be asserted already

        void carry_out(PciIrqs& irqs);
    };

    pci::ConfigSpace& config() const { return function_.hardware->config(); }
    // The device's own INTx disable bit (pci_intx).
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
    // Masks and signals, if the line is asserted.
    void handle_intx() REQUIRES(mutex_);
    void disable_intx_type(Later& later) REQUIRES(mutex_);
    Result<> enable_messages(std::uint32_t vectors, Type type) REQUIRES(mutex_);
    void disable_messages(Later& later) REQUIRES(mutex_);
    Result<> set_vectors(const IrqRequest& request, const IrqEventfds& eventfds, Later& later)
        REQUIRES(mutex_);
    void forget_vector(std::uint32_t vector, Later& later) REQUIRES(mutex_);

    fs::Kernel& kernel_;
    const pci::Function& function_;
    const bool dynamic_msix_;

    mutable Mutex mutex_{lock_order::kPciIrqs};  // igate
    Type type_ GUARDED_BY(mutex_) = Type::none;
    std::map<std::uint32_t, Ref<fs::EventFd>> vectors_ GUARDED_BY(mutex_);
    Ref<fs::EventFd> intx_trigger_ GUARDED_BY(mutex_){"vfio_pci.intx trigger"};
    Ref<Virqfd> intx_unmask_ GUARDED_BY(mutex_){"vfio_pci.intx unmask"};
    bool masked_ GUARDED_BY(mutex_) = false;
    bool user_disabled_ GUARDED_BY(mutex_) = false;  // virq_disabled
    std::uint32_t msi_vectors_log2_ GUARDED_BY(mutex_) = 0;
    Ref<fs::EventFd> error_trigger_ GUARDED_BY(mutex_){"vfio_pci.err_trigger"};
    Ref<fs::EventFd> request_trigger_ GUARDED_BY(mutex_){"vfio_pci.req_trigger"};
};

}  // namespace kvmiommu::vfio
