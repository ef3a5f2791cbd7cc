// SPDX-License-Identifier: MIT
//
// Configuration space and BARs of an assigned function, over hardware that says what reached it.

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "pci/function.h"
#include "pci/registers.h"
#include "support.h"
#include "uapi/vfio.h"
#include "vfio/pci/pci_config.h"
#include "vfio/pci/pci_irqs.h"
#include "vfio/pci/pci_regions.h"

namespace kvmiommu::vfio {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

// Offset, width and value of each store.
using Stores = std::vector<std::tuple<std::uint64_t, unsigned, std::uint64_t>>;

constexpr std::uint64_t kBarBytes = 0x1000;
constexpr std::uint32_t kTable = 0x100;
constexpr std::uint32_t kTableBytes = 2 * pci::kMsixEntryBytes;
constexpr std::uint32_t kMsixAt = 0x40;

// 4 KiB of registers with the MSI-X table, of two entries, in their midst.
class Recorder final : public pci::DeviceModel {
  public:
    Recorder() : DeviceModel(pci::kConfigBytes) {
        config().add_capability(pci::kCapMsix, kMsixAt, pci::kMsixBytes);
        config().set(kMsixAt + pci::kMsixFlags, 2, 1);
        config().set(kMsixAt + pci::kMsixTable, 4, kTable);
        add_bar(0, {.bytes = kBarBytes, .memory = {}});
    }
    std::uint64_t read(unsigned, std::uint64_t offset, unsigned width) override {
        loads.emplace_back(offset, width, 0);
        return 0x1111111111111111;
    }
    void write(unsigned, std::uint64_t offset, unsigned width, std::uint64_t value) override {
        stores.emplace_back(offset, width, value);
    }

    Stores loads;
    Stores stores;

  private:
    void reset_registers() override {}
};

struct Assigned {
    Assigned() {
        auto hardware = std::make_unique<Recorder>();
        model = hardware.get();
        function.hardware = std::move(hardware);
    }
    void open() {
        config.open();
        process.store<std::uint16_t>(buffer, pci::kCommandMemory);
        REQUIRE(outcome(config.write(process.task, pci::kCommand, {buffer, 2})) == "ok");
    }
    std::uint32_t load_config(std::uint64_t at) {
        REQUIRE(outcome(config.read(process.task, at, {buffer, 4})) == "ok");
        return process.load<std::uint32_t>(buffer);
    }
    // Bytes 0x00, 0x01, … from the start of the buffer.
    void write(std::uint64_t position, std::uint64_t bytes) {
        for (std::uint64_t at = 0; at < bytes; ++at) {
            process.store(buffer + at, static_cast<std::uint8_t>(at));
        }
        CHECK(value(regions.write(process.task, 0, position, {buffer, bytes})) ==
              static_cast<std::int64_t>(bytes));
    }

    Machine machine;
    Process process{machine};
    std::uint64_t buffer = process.map(4096);
    pci::Function function;
    Recorder* model = nullptr;
    PciIrqs irqs{machine.kernel, function, true};
    PciConfig config{function, irqs};
    PciRegions regions{machine.kernel, function, config};
};

TEST_CASE("a write over the MSI-X table reaches what lies before it and behind it") {
    Assigned device;
    device.open();
    device.write(kTable - 8, 8 + kTableBytes + 4);
    CHECK(device.model->stores ==
          Stores{{kTable - 8, 8, 0x0706050403020100}, {kTable + kTableBytes, 4, 0x2b2a2928}});
}

TEST_CASE("a write that begins in the MSI-X table goes on behind it, and one may end there") {
    Assigned device;
    device.open();
    device.write(kTable + kTableBytes - 4, 12);
    CHECK(device.model->stores == Stores{{kTable + kTableBytes, 8, 0x0b0a090807060504}});
    device.model->stores.clear();
    device.write(kTable - 2, 2 + kTableBytes);
    CHECK(device.model->stores == Stores{{kTable - 2, 2, 0x0100}});
    device.model->stores.clear();
    device.write(kTable + 1, kTableBytes - 2);
    CHECK(device.model->stores.empty());
}

TEST_CASE("a read over the MSI-X table has all ones in its place") {
    Assigned device;
    device.open();
    constexpr std::uint64_t kBytes = 4 + kTableBytes + 4;
    CHECK(value(device.regions.read(device.process.task, 0, kTable - 4, {device.buffer, kBytes})) ==
          kBytes);
    CHECK(device.model->loads == Stores{{kTable - 4, 4, 0}, {kTable + kTableBytes, 4, 0}});
    CHECK(device.process.load<std::uint32_t>(device.buffer) == 0x11111111);
    CHECK(device.process.load(device.buffer + 4) == ~std::uint64_t{0});
    CHECK(device.process.load(device.buffer + 4 + kTableBytes - 8) == ~std::uint64_t{0});
    CHECK(device.process.load<std::uint32_t>(device.buffer + 4 + kTableBytes) == 0x11111111);
}

TEST_CASE("a store of bytes anywhere is split into stores that are aligned to their size") {
    Assigned device;
    device.open();
    const std::uint64_t data = 0x0807060504030201;
    const auto bytes = std::as_bytes(std::span(&data, 1));
    CHECK(outcome(device.regions.store(0, 0x21, bytes)) == "ok");
    CHECK(device.model->stores ==
          Stores{{0x21, 1, 0x01}, {0x22, 2, 0x0302}, {0x24, 4, 0x07060504}, {0x28, 1, 0x08}});
}

TEST_CASE("registers of regions that a function does not have read as 0 from the first read on") {
    // vfio_config_init() marks the BARs as written, so that vfio_bar_fixup() sees them first.
    Assigned device;
    device.model->config().set(pci::kRom, 4, 0xfebf0001);
    device.model->config().set(pci::kBar0 + 8, 4, 0xfeb00000);
    device.config.open();
    CHECK(device.load_config(pci::kRom) == 0);
    device.config.open();
    CHECK(device.load_config(pci::kBar0 + 8) == 0);
}

TEST_CASE("a BAR that was written reads as its size allows") {
    Assigned device;
    device.open();
    CHECK(device.load_config(pci::kBar0) == 0);
    device.process.store(device.buffer, ~std::uint32_t{0});
    CHECK(outcome(device.config.write(device.process.task, pci::kBar0, {device.buffer, 4})) ==
          "ok");
    CHECK(device.load_config(pci::kBar0) == static_cast<std::uint32_t>(~(kBarBytes - 1)));
}

// --- interrupts ---

struct IrqData {
    explicit IrqData(std::int32_t of) : fd(of) {}
    IrqRequest request(std::uint32_t index, std::uint32_t action) {
        return {uapi::VFIO_IRQ_SET_DATA_EVENTFD | action, index, 0, 1,
                std::as_bytes(std::span(&fd, 1))};
    }
    std::int32_t fd;
};

struct WithIntx : Assigned {
    WithIntx() {
        model->config().set(pci::kInterruptPin, 1, 1);
        model->interrupts().connect(irqs);
        open();
        trigger_fd = add(trigger);
        unmask_fd = add(unmask);
    }
    ~WithIntx() { irqs.close(); }
    std::int32_t add(const Ref<fs::EventFd>& eventfd) {
        return value(process.task.files().install(eventfd, 64));
    }
    std::string set(std::int32_t fd, std::uint32_t action) {
        IrqData data(fd);
        return outcome(irqs.set(process.task, data.request(uapi::VFIO_PCI_INTX_IRQ_INDEX, action)));
    }

    Ref<fs::EventFd> trigger = make<fs::EventFd>(machine.kernel, 0, 0);
    Ref<fs::EventFd> unmask = make<fs::EventFd>(machine.kernel, 0, 0);
    std::int32_t trigger_fd = -1;
    std::int32_t unmask_fd = -1;
};

TEST_CASE("an eventfd unmasks INTx, and the interrupt that is still asserted comes again") {
    WithIntx device;
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "EINVAL");
    CHECK(device.set(device.trigger_fd, uapi::VFIO_IRQ_SET_ACTION_TRIGGER) == "ok");
    CHECK(device.set(99, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "EBADF");
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "EBUSY");
    device.model->interrupts().set_intx(true);
    device.model->interrupts().set_intx(true);
    CHECK(device.trigger->count() == 1);
    device.unmask->signal();
    CHECK(device.trigger->count() == 2);
    device.model->interrupts().set_intx(false);
    device.unmask->signal();
    CHECK(device.trigger->count() == 2);
    device.model->interrupts().set_intx(true);
    CHECK(device.trigger->count() == 3);
}

TEST_CASE("an unmask eventfd goes with INTx, and another one may come") {
    WithIntx device;
    CHECK(device.set(device.trigger_fd, uapi::VFIO_IRQ_SET_ACTION_TRIGGER) == "ok");
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
    device.irqs.close();
    device.unmask->signal();
    CHECK(device.unmask->count() == 1);
    CHECK(device.set(device.trigger_fd, uapi::VFIO_IRQ_SET_ACTION_TRIGGER) == "ok");
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
    CHECK(device.set(-1, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
}

TEST_CASE("INTx that is taken away while its unmask eventfd is set leaves none behind") {
    WithIntx device;
    // Whichever comes first: afterwards INTx has no unmask eventfd unless it is enabled.
    for (unsigned round = 0; round < 200; ++round) {
        REQUIRE(device.set(device.trigger_fd, uapi::VFIO_IRQ_SET_ACTION_TRIGGER) == "ok");
        std::thread setter([&] { device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK); });
        device.irqs.close();
        setter.join();
        REQUIRE(device.set(device.trigger_fd, uapi::VFIO_IRQ_SET_ACTION_TRIGGER) == "ok");
        CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
        device.irqs.close();
    }
}

TEST_CASE("an interrupt that comes while INTx is unmasked is not lost") {
    WithIntx device;
    CHECK(device.set(device.trigger_fd, uapi::VFIO_IRQ_SET_ACTION_TRIGGER) == "ok");
    CHECK(device.set(device.unmask_fd, uapi::VFIO_IRQ_SET_ACTION_UNMASK) == "ok");
    const std::uint64_t buffer = device.buffer;
    for (unsigned round = 0; round < 500; ++round) {
        device.model->interrupts().set_intx(true);
        CHECK(outcome(device.trigger->read(device.process.task, {buffer, 8})) == "ok");
        device.model->interrupts().set_intx(false);
        std::thread asserts([&] { device.model->interrupts().set_intx(true); });
        device.unmask->signal();
        asserts.join();
        REQUIRE(device.trigger->count() != 0);
        CHECK(outcome(device.trigger->read(device.process.task, {buffer, 8})) == "ok");
        device.model->interrupts().set_intx(false);
        device.unmask->signal();
    }
}

}  // namespace
}  // namespace kvmiommu::vfio
