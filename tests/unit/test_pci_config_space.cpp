// SPDX-License-Identifier: MIT

#include "pci/config_space.h"

#include "support.h"

namespace kvmiommu::pci {
namespace {

TEST_CASE("writes change writable bits and clear those that 1 clears") {
    ConfigSpace space(kConfigBytes);
    space.add_capability(kCapPm, 0x40, kPmBytes);
    space.set(0x44, 2, 0x8100);
    space.set_writable(0x44, 2, 0x0003);
    space.set_write_clears(0x44, 2, 0x8000);
    space.write(0x44, 2, 0x0002);
    CHECK(space.read(0x44, 2) == 0x8102);
    space.write(0x44, 4, 0xffffffff);
    CHECK(space.read(0x44, 4) == 0x0103);
}

TEST_CASE("of the header little can be written, of what nothing lies in all") {
    ConfigSpace space(kConfigBytes);
    space.set(kVendorId, 2, 0x1234);
    space.write(kVendorId, 4, 0xffffffff);
    CHECK(space.read(kVendorId, 4) == 0x1234);
    space.write(kCommand, 2, 0xffff);
    CHECK(space.read(kCommand, 2) == 0x0507);
    space.write(0x80, 4, 0xdeadbeef);
    CHECK(space.read(0x81, 2) == 0xadbe);
}

TEST_CASE("the newest capability comes first") {
    ConfigSpace space(kConfigBytes);
    CHECK(space.capability(kCapMsi) == 0);
    space.add_capability(kCapMsi, 0x50, 14);
    space.add_capability(kCapPm, 0x40, kPmBytes);
    CHECK(space.read(kCapabilities, 1) == 0x40);
    CHECK(space.read(0x41, 1) == 0x50);
    CHECK(space.read(0x51, 1) == 0);
    CHECK(space.capability(kCapMsi) == 0x50);
    CHECK((space.read(kStatus, 2) & kStatusCapabilities) != 0);
}

TEST_CASE("extended capabilities follow each other") {
    ConfigSpace space(kExpressConfigBytes);
    space.add_extended_capability(kExtCapErr, 2, 0x100, kErrBytes);
    space.add_extended_capability(kExtCapSerial, 1, 0x148, kSerialBytes);
    CHECK(space.read(0x100, 4) == 0x14820001);
    CHECK(space.read(0x148, 4) == 0x00010003);
}

TEST_CASE("what is restored is what can be written") {
    ConfigSpace space(kConfigBytes);
    space.set(kVendorId, 2, 0x1234);
    space.write(kCommand, 2, kCommandMaster);
    const auto saved = space.save(kHeaderBytes);
    space.set(kVendorId, 2, 0x4321);
    space.write(kCommand, 2, 0);
    space.restore(saved);
    CHECK(space.read(kVendorId, 2) == 0x4321);
    CHECK(space.read(kCommand, 2) == kCommandMaster);
}

}  // namespace
}  // namespace kvmiommu::pci
