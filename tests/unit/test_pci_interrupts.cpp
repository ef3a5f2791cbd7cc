// SPDX-License-Identifier: MIT

#include "pci/interrupts.h"

#include <vector>

#include "support.h"

namespace kvmiommu::pci {
namespace {

class Handler final : public InterruptSink {
  public:
    void intx() override { ++lines; }
    bool message(std::uint32_t vector) override {
        messages.push_back(vector);
        return handles;
    }

    int lines = 0;
    bool handles = true;
    std::vector<std::uint32_t> messages;
};

struct Wires {
    Wires() {
        config.add_capability(kCapMsi, 0x40, 14);
        config.set_writable(0x42, 2, kMsiEnable);
        config.add_capability(kCapMsix, 0x50, kMsixBytes);
        config.set_writable(0x52, 2, kMsixEnable);
        interrupts.connect(handler);
    }

    ConfigSpace config{kConfigBytes};
    Interrupts interrupts{config};
    Handler handler;
};

TEST_CASE("the line shows in the status register, also while it is disabled") {
    Wires wires;
    wires.config.write(kCommand, 2, kCommandIntxDisable);
    wires.interrupts.set_intx(true);
    CHECK(wires.handler.lines == 0);
    CHECK(wires.interrupts.intx_asserted());
    wires.config.write(kCommand, 2, 0);
    wires.interrupts.set_intx(true);
    CHECK(wires.handler.lines == 1);
    wires.interrupts.set_intx(false);
    CHECK_FALSE(wires.interrupts.intx_asserted());
}

TEST_CASE("messages are sent while they are enabled") {
    Wires wires;
    wires.interrupts.msi(0);
    wires.interrupts.msix(1);
    CHECK(wires.handler.messages.empty());
    wires.config.write(0x42, 2, kMsiEnable);
    wires.config.write(0x52, 2, kMsixEnable);
    wires.interrupts.msi(0);
    wires.interrupts.msix(1);
    CHECK(wires.handler.messages == std::vector<std::uint32_t>{0, 1});
}

TEST_CASE("a vector that nobody handles is pending until somebody does") {
    Wires wires;
    wires.config.write(0x52, 2, kMsixEnable);
    wires.handler.handles = false;
    wires.interrupts.msix(3);
    wires.interrupts.msix(3);
    CHECK(wires.interrupts.pending(3));
    wires.handler.handles = true;
    wires.handler.messages.clear();
    wires.interrupts.unmask_msix(3);
    wires.interrupts.unmask_msix(3);
    CHECK(wires.handler.messages == std::vector<std::uint32_t>{3});
    CHECK_FALSE(wires.interrupts.pending(3));
}

}  // namespace
}  // namespace kvmiommu::pci
