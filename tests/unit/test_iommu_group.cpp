// SPDX-License-Identifier: MIT
//
// Who owns a group's DMA, and what its devices are attached to.

#include "iommu/group.h"

#include <memory>
#include <utility>

#include "iommu/drivers/intel.h"
#include "iommu/drivers/virtio.h"
#include "iommu/iommu.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::outcome;
using test::value;

constexpr std::uint64_t k4K = 4096;

struct TwoUnits {
    Machine machine;
    FaultPoints faults;
    IntelOps intel{machine.memory()};
    VirtioOps virtio{k4K};
    const IommuDevice dmar{.name = "dmar0",
                           .page_sizes = k4K,
                           .isolated_msi = true,
                           .reserved = {{{0xfee00000, 0xfeefffff}, ReservedType::msi}}};
    const IommuDevice viommu{.name = "viommu0", .page_sizes = k4K, .reserved = {}};
    const IommuDevice other_viommu{.name = "viommu1", .page_sizes = k4K, .reserved = {}};
    Device first{"0000:00:01.0", intel, dmar};
    Device second{"0000:00:02.0", intel, dmar};
    Device guest_first{"0000:00:03.0", virtio, viommu};
    Device guest_second{"0000:00:04.0", virtio, other_viommu};
    Group group{1};
    Group guest_group{2};

    TwoUnits() {
        group.add_device(first);
        group.add_device(second);
        guest_group.add_device(guest_first);
        guest_group.add_device(guest_second);
    }
    std::unique_ptr<Domain> domain() { return value(intel.domain_alloc_paging(first, faults)); }
};

constexpr char kOwner[] = "one";
constexpr char kOther[] = "another";

TEST_CASE("an owner keeps everybody else out") {
    TwoUnits units;
    Group& group = units.group;
    CHECK(group.domain() == &units.intel.default_domain());
    CHECK_FALSE(group.dma_owner_claimed());
    {
        const DmaOwnership owned = value(DmaOwnership::of(group, kOwner));
        CHECK(group.dma_owner_claimed());
        CHECK(group.domain() == &units.intel.blocked_domain());
        CHECK(outcome(DmaOwnership::of(group, kOther)) == "EPERM");
        CHECK(outcome(DmaOwnership::of(group, kOwner)) == "EPERM");
        CHECK(outcome(DmaOwnership::of(units.first, kOther)) == "EPERM");
        CHECK(outcome(group.use_default_domain()) == "EBUSY");
    }
    CHECK(group.domain() == &units.intel.default_domain());
    CHECK_FALSE(group.dma_owner_claimed());
    CHECK(outcome(DmaOwnership::of(group, kOther)) == "ok");
    CHECK_FALSE(group.dma_owner_claimed());
}

TEST_CASE("devices are claimed one by one for one owner, and released with the last of them") {
    TwoUnits units;
    Group& group = units.group;
    CHECK(units.first.group() == &group);
    DmaOwnership first = value(DmaOwnership::of(units.first, kOwner));
    CHECK(group.domain() == &units.intel.blocked_domain());
    CHECK(outcome(DmaOwnership::of(units.second, kOther)) == "EPERM");
    DmaOwnership second = value(DmaOwnership::of(units.second, kOwner));
    DmaOwnership again = value(DmaOwnership::of(units.second, kOwner));
    // Those who claim groups want to be alone.
    CHECK(outcome(DmaOwnership::of(group, kOwner)) == "EPERM");
    const auto domain = units.domain();
    value(group.attach(*domain, test::no_faults()));
    first.release();
    CHECK_FALSE(first);
    first.release();
    again = std::move(second);  // the claim that it had is in `second` now
    CHECK(group.domain() == domain.get());
    group.detach(*domain);
    CHECK(group.domain() == &units.intel.blocked_domain());
    second.release();
    CHECK(group.dma_owner_claimed());
    CHECK(group.domain() == &units.intel.blocked_domain());
    again.release();
    CHECK_FALSE(group.dma_owner_claimed());
    CHECK(group.domain() == &units.intel.default_domain());
}

TEST_CASE("a claim needs an owner and a group, and says so before it looks at either") {
    TwoUnits units;
    Device alone("0000:00:09.0", units.intel, units.dmar);
    const DmaOwnership owned = value(DmaOwnership::of(units.group, kOwner));
    CHECK(outcome(DmaOwnership::of(units.group, nullptr)) == "EINVAL");
    CHECK(outcome(DmaOwnership::of(units.first, nullptr)) == "EINVAL");
    CHECK(outcome(DmaOwnership::of(alone, nullptr)) == "EINVAL");
    CHECK(outcome(DmaOwnership::of(alone, kOwner)) == "ENODEV");
}

TEST_CASE("a kernel driver keeps owners out, and other drivers in") {
    TwoUnits units;
    Group& group = units.group;
    CHECK(outcome(group.use_default_domain()) == "ok");
    CHECK(outcome(group.use_default_domain()) == "ok");
    CHECK(outcome(DmaOwnership::of(group, kOwner)) == "EPERM");
    group.unuse_default_domain();
    CHECK(group.dma_owner_claimed());
    CHECK(outcome(DmaOwnership::of(group, kOwner)) == "EPERM");
    CHECK(outcome(DmaOwnership::of(units.second, kOwner)) == "EPERM");
    group.unuse_default_domain();
    CHECK_FALSE(group.dma_owner_claimed());
    CHECK(outcome(DmaOwnership::of(group, kOwner)) == "ok");
}

TEST_CASE("a group is in one domain, which an owner's end puts back") {
    TwoUnits units;
    Group& group = units.group;
    const auto domain = units.domain();
    const auto another = units.domain();
    CHECK(outcome(group.attach(*domain, test::no_faults())) == "ok");
    CHECK(group.domain() == domain.get());
    CHECK(outcome(group.attach(*domain, test::no_faults())) == "EBUSY");
    CHECK(outcome(group.attach(*another, test::no_faults())) == "EBUSY");
    // Attached without an owner: nobody can become one, and no kernel driver may bind.
    CHECK(outcome(DmaOwnership::of(group, kOwner)) == "EBUSY");
    CHECK(outcome(DmaOwnership::of(units.first, kOwner)) == "EBUSY");
    CHECK(outcome(group.use_default_domain()) == "EBUSY");
    group.detach(*domain);
    CHECK(group.domain() == &units.intel.default_domain());

    DmaOwnership owned = value(DmaOwnership::of(group, kOwner));
    CHECK(outcome(group.attach(*another, test::no_faults())) == "ok");
    group.detach(*another);
    CHECK(group.domain() == &units.intel.blocked_domain());
    owned.release();
    CHECK(group.domain() == &units.intel.default_domain());
}

TEST_CASE(
    "a domain of another driver, or one that not every device fits: EINVAL, and all is as it was") {
    TwoUnits units;
    const auto domain = units.domain();
    const DmaOwnership owned = value(DmaOwnership::of(units.guest_group, kOwner));
    CHECK(outcome(units.guest_group.attach(*domain, test::no_faults())) == "EINVAL");
    CHECK(outcome(units.guest_group.replace(*domain, test::no_faults())) == "EINVAL");
    CHECK(units.guest_group.domain() == &units.virtio.blocked_domain());
    // The first device takes it, the second stands behind another device.
    const auto guest = value(units.virtio.domain_alloc_paging(units.guest_first, units.faults));
    CHECK(outcome(units.guest_group.attach(*guest, test::no_faults())) == "EINVAL");
    CHECK(outcome(units.guest_group.replace(*guest, test::no_faults())) == "EINVAL");
    CHECK(units.guest_group.domain() == &units.virtio.blocked_domain());
}

TEST_CASE("a group has what all of its devices have") {
    TwoUnits units;
    CHECK(units.group.has_isolated_msi());
    CHECK_FALSE(units.guest_group.has_isolated_msi());
    const auto regions = units.group.reserved_regions();  // once for each instance
    REQUIRE(regions.size() == 1);
    CHECK(regions[0].range == Range{0xfee00000, 0xfeefffff});
    CHECK(units.guest_group.reserved_regions().empty());
}

// A group of one device, whose region of that type is its own or its IOMMU's.
struct WithRegion {
    WithRegion(ReservedType type, bool own)
        : instance{.name = "dmar0",
                   .page_sizes = k4K,
                   .reserved = own ? std::vector<ReservedRegion>{} : regions(type)},
          device{"0000:00:01.0", intel, instance,
                 own ? regions(type) : std::vector<ReservedRegion>{}} {
        group.add_device(device);
    }
    static std::vector<ReservedRegion> regions(ReservedType type) {
        return {{{0xbdf00000, 0xbdffffff}, type}};
    }

    Machine machine;
    FaultPoints faults;
    IntelOps intel{machine.memory()};
    const IommuDevice instance;
    Device device;
    Group group{1};
};

TEST_CASE("regions of a device and of its IOMMU are the group's") {
    for (const bool own : {false, true}) {
        const WithRegion board(ReservedType::reserved, own);
        const auto regions = board.group.reserved_regions();
        REQUIRE(regions.size() == 1);
        CHECK(regions[0].range == Range{0xbdf00000, 0xbdffffff});
    }
}

TEST_CASE("nobody can own the DMA of a device that the firmware needs identity mapped") {
    for (const bool own : {false, true}) {
        WithRegion board(ReservedType::direct, own);
        CHECK(outcome(DmaOwnership::of(board.group, kOwner)) == "EINVAL");
        CHECK(outcome(DmaOwnership::of(board.device, kOwner)) == "EINVAL");
        CHECK_FALSE(board.group.dma_owner_claimed());
        CHECK(board.group.domain() == &board.intel.default_domain());
        // Without an owner it may be attached to a domain, as the kernel's own drivers do.
        const auto domain = value(board.intel.domain_alloc_paging(board.device, board.faults));
        CHECK(outcome(board.group.attach(*domain, board.faults)) == "ok");
        CHECK(outcome(DmaOwnership::of(board.group, kOwner)) == "EBUSY");
        board.group.detach(*domain);
        // A group in use is refused for that.
        CHECK(outcome(board.group.use_default_domain()) == "ok");
        CHECK(outcome(DmaOwnership::of(board.group, kOwner)) == "EPERM");
        board.group.unuse_default_domain();
    }
}

TEST_CASE("any other region leaves the DMA to an owner") {
    for (const ReservedType type : {ReservedType::direct_relaxable, ReservedType::reserved,
                                    ReservedType::msi, ReservedType::sw_msi}) {
        WithRegion board(type, true);
        CHECK(outcome(DmaOwnership::of(board.group, kOwner)) == "ok");
    }
}

}  // namespace
}  // namespace kvmiommu::iommu
