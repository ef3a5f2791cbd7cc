// SPDX-License-Identifier: MIT
//
// What a driver says of an IOMMU, and the domains that user space asks it for.

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/drivers/riscv.h"
#include "iommu/drivers/smmu_v3.h"
#include "iommu/drivers/virtio.h"
#include "iommu/iommu.h"
#include "spapr/spapr.h"
#include "support.h"
#include "toy_iommu.h"
#include "uapi/iommufd.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::outcome;
using test::value;

constexpr std::uint64_t k4K = 4096;
constexpr std::uint32_t kDirty = uapi::IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
constexpr std::uint32_t kNestParent = uapi::IOMMU_HWPT_ALLOC_NEST_PARENT;

struct Drivers {
    Machine machine;
    FaultPoints faults;
    IntelOps intel{machine.memory()};
    AmdOps amd{machine.memory()};
    SmmuV3Ops smmu{machine.memory(), k4K};
    VirtioOps virtio{k4K};
    RiscVOps riscv{machine.memory()};
    spapr::TceOps power{spapr::Platform::powernv, machine.census(), machine.memory(), k4K};
    test::ToyOps toy{k4K};
    const IommuDevice plain{.name = "plain", .page_sizes = k4K, .reserved = {}};
    const IommuDevice able{.name = "able",
                           .page_sizes = k4K,
                           .enforces_cache_coherency = true,
                           .dirty_tracking = true,
                           .reserved = {}};
};

std::string capabilities(Ops& ops, const IommuDevice& instance) {
    constexpr std::array kLetters{std::pair{Capability::cache_coherency, 'c'},
                                  std::pair{Capability::noexec, 'n'},
                                  std::pair{Capability::pre_boot_protection, 'p'},
                                  std::pair{Capability::enforce_cache_coherency, 'e'},
                                  std::pair{Capability::deferred_flush, 'f'},
                                  std::pair{Capability::dirty_tracking, 'd'}};
    const Device device("0000:00:01.0", ops, instance);
    std::string text;
    for (const auto& [capability, letter] : kLetters) {
        text += ops.capable(device, capability) ? letter : '-';
    }
    return text;
}

TEST_CASE("a driver says what the IOMMU of a device can do") {
    Drivers drivers;
    CHECK(capabilities(drivers.intel, drivers.plain) == "c---f-");
    CHECK(capabilities(drivers.intel, drivers.able) == "c--efd");
    CHECK(capabilities(drivers.amd, drivers.plain) == "c--ef-");
    CHECK(capabilities(drivers.amd, drivers.able) == "c--efd");
    CHECK(capabilities(drivers.smmu, drivers.plain) == "cn--f-");
    CHECK(capabilities(drivers.smmu, drivers.able) == "cn--fd");
    CHECK(capabilities(drivers.virtio, drivers.plain) == "c---f-");
    CHECK(capabilities(drivers.riscv, drivers.plain) == "c---f-");
    CHECK(capabilities(drivers.power, drivers.plain) == "c-----");
    CHECK(capabilities(drivers.toy, drivers.able) == "------");
}

TEST_CASE("a domain of VFIO's tracks no writes, one of user space's does if it was asked to") {
    Drivers drivers;
    for (Ops* const ops : {static_cast<Ops*>(&drivers.intel), static_cast<Ops*>(&drivers.amd),
                           static_cast<Ops*>(&drivers.smmu)}) {
        CAPTURE(ops->name());
        Device able("0000:00:01.0", *ops, drivers.able);
        Device plain("0000:00:02.0", *ops, drivers.plain);
        const auto alloc = [&](Device& device, std::uint32_t flags, Domain* parent = nullptr,
                               const UserData* data = nullptr) {
            return ops->domain_alloc_user(device, flags, parent, data, drivers.faults);
        };
        CHECK_FALSE(value(ops->domain_alloc_paging(able, drivers.faults))->can_track_dirty());
        CHECK_FALSE(value(alloc(able, 0))->can_track_dirty());
        const auto domain = value(alloc(able, kDirty));
        CHECK(outcome(domain->set_dirty_tracking(true)) == "ok");
        CHECK(outcome(domain->attach_device(able, test::no_faults())) == "ok");
        CHECK(outcome(domain->attach_device(plain, test::no_faults())) == "EINVAL");
        CHECK(outcome(alloc(plain, kDirty)) == "EOPNOTSUPP");
        const UserData data{1, {}};
        CHECK(outcome(alloc(able, kNestParent)) == "EOPNOTSUPP");
        CHECK(outcome(alloc(able, kDirty | kNestParent)) == "EOPNOTSUPP");
        CHECK(outcome(alloc(able, 1 << 31)) == "EOPNOTSUPP");
        CHECK(outcome(alloc(able, 0, domain.get())) == "EOPNOTSUPP");
        CHECK(outcome(alloc(able, 0, nullptr, &data)) == "EOPNOTSUPP");
        drivers.faults.fail_nth(1);
        CHECK(outcome(alloc(able, kDirty)) == "ENOMEM");
    }
    // Stage 2 has nowhere to say it.
    IommuDevice second = drivers.able;
    second.stage = 2;
    Device device("0000:00:03.0", drivers.smmu, second);
    CHECK(outcome(drivers.smmu.domain_alloc_user(device, kDirty, nullptr, nullptr,
                                                 drivers.faults)) == "EOPNOTSUPP");
}

TEST_CASE("a driver that knows nothing of user space has plain domains and no information") {
    Drivers drivers;
    for (Ops* const ops : {static_cast<Ops*>(&drivers.virtio), static_cast<Ops*>(&drivers.riscv),
                           static_cast<Ops*>(&drivers.toy)}) {
        CAPTURE(ops->name());
        Device device("0000:00:01.0", *ops, drivers.able);
        const auto domain =
            value(ops->domain_alloc_user(device, 0, nullptr, nullptr, drivers.faults));
        for (const std::uint32_t flags : {kDirty, kNestParent}) {
            CHECK(outcome(ops->domain_alloc_user(device, flags, nullptr, nullptr,
                                                 drivers.faults)) == "EOPNOTSUPP");
        }
        CHECK(value(ops->hw_info(device, 0)).type == uapi::IOMMU_HW_INFO_TYPE_NONE);
        CHECK(value(ops->hw_info(device, 0)).data.empty());
        CHECK(outcome(ops->hw_info(device, uapi::IOMMU_HW_INFO_TYPE_INTEL_VTD)) == "EOPNOTSUPP");
        UserDataArray array{.type = 0, .entry_len = 8, .entry_num = 3, .bytes = {}};
        CHECK(outcome(domain->cache_invalidate_user(array)) == "EOPNOTSUPP");
        CHECK(array.entry_num == 0);
    }
    Device bridge("0001:00:01.0", drivers.power, drivers.plain);
    CHECK(outcome(drivers.power.domain_alloc_user(bridge, 0, nullptr, nullptr, drivers.faults)) ==
          "EOPNOTSUPP");
}

struct Words {
    std::uint32_t first;
    std::uint32_t second;
};

TEST_CASE("a structure of user space's is of the type and the length that the driver knows") {
    const std::array<std::uint32_t, 6> words{1, 2, 3, 4, 5, 6};
    const auto bytes = std::as_bytes(std::span(words));
    const auto copy = [&](std::uint32_t type, std::size_t length) {
        return UserData{type, bytes.first(length)}.copy<Words>(7, 4);
    };
    CHECK(value(copy(7, 8)).second == 2);
    const Words shorter = value(copy(7, 4));
    CHECK(shorter.first == 1);
    CHECK(shorter.second == 0);
    CHECK(outcome(copy(8, 8)) == "EINVAL");
    CHECK(outcome(copy(7, 3)) == "EINVAL");
    CHECK(outcome(copy(7, 9)) == "EINVAL");
    CHECK(value(UserData{0, {}}.copy<Words>(0, 0)).first == 0);

    const UserDataArray array{7, 8, 3, bytes};
    CHECK(value(array.copy<Words>(7, 2, 8)).first == 5);
    CHECK(outcome(array.copy<Words>(7, 3, 8)) == "EINVAL");
    CHECK(outcome(array.copy<Words>(6, 0, 8)) == "EINVAL");
    // Entries that the bytes end before.
    CHECK(outcome(UserDataArray{7, 8, 4, bytes}.copy<Words>(7, 3, 8)) == "EINVAL");
    CHECK(outcome(UserDataArray{7, 8, 3, bytes.first(23)}.copy<Words>(7, 2, 8)) == "EINVAL");
    CHECK(outcome(UserDataArray{7, 0, 3, bytes}.copy<Words>(7, 0, 0)) == "EINVAL");
    CHECK(outcome(UserDataArray{7, ~std::size_t{0}, 3, bytes}.copy<Words>(7, 1, 8)) == "EINVAL");
    CHECK(outcome(UserDataArray{7, 12, 2, bytes}.copy<Words>(7, 0, 8)) == "EINVAL");
}

}  // namespace
}  // namespace kvmiommu::iommu
