// SPDX-License-Identifier: MIT

#include "machine/iommu_board.h"

#include <algorithm>
#include <utility>

#include "machine/iommu_drivers.h"
#include "spapr/tce_ops.h"

namespace kvmiommu::machine {

namespace {

constexpr Source kSource{"kvmiommu: machine/iommu_board.h"};
constexpr Source kAttach{"drivers/iommu/iommu.c: __iommu_attach_group"};
constexpr std::uint64_t kRam = std::uint64_t{1} << 30;
constexpr std::uint64_t kPage = 4096;

}  // namespace

Result<std::unique_ptr<IommuBoard>> IommuBoard::create(iommu::Rules rules) {
    return std::unique_ptr<IommuBoard>(
        new IommuBoard(rules, TRY(mm::PhysicalMemory::create(kRam, 0))));
}

Result<> IommuBoard::add_iommu(const std::string& driver, const iommu::IommuDevice& instance) {
    if (units_.contains(instance.name)) {
        return refuse(EEXIST, "there is an IOMMU of that name", kSource);
    }
    auto& ops = drivers_[driver];
    if (!ops) {
        ops = make_iommu_driver(driver, census_, *memory_, kPage);
    }
    if (!ops) {
        return refuse(EINVAL, "the driver is not known", kSource);
    }
    if (auto* const windows = dynamic_cast<spapr::TceOps*>(ops.get())) {
        windows->offer_paging_domains();
    }
    units_.try_emplace(instance.name, Unit{ops.get(), instance});
    std::uint64_t common = ~std::uint64_t{0};
    for (const auto& [name, unit] : units_) {
        if (unit.ops == ops.get()) {
            common &= unit.instance.page_sizes;
        }
    }
    ops->set_rules(rules_, common);
    return {};
}

Result<iommu::Device*> IommuBoard::add_device(const std::string& name, const std::string& iommu) {
    const auto unit = units_.find(iommu);
    if (unit == units_.end()) {
        return refuse(ENOENT, "there is no IOMMU of that name", kSource);
    }
    devices_.push_back(
        std::make_unique<iommu::Device>(name, *unit->second.ops, unit->second.instance));
    return devices_.back().get();
}

Result<> IommuBoard::attach(iommu::Domain& domain, iommu::Device& device) {
    if (&domain.ops() != &device.ops() && !domain.spans_drivers()) {
        return refuse(EINVAL, "the domain is of another IOMMU driver than the device", kAttach);
    }
    return domain.attach_device(device, faults);
}

Result<> IommuBoard::map(iommu::Device& device, std::uint64_t iova, mm::PhysAddr address,
                         std::uint64_t size, std::uint32_t protection) {
    if (!own_.contains(&device)) {
        auto own = TRY(domain(device));
        TRY(own->attach_device(device, faults));
        own_[&device] = std::move(own);
    }
    return iommu::map(*own_[&device], iova, address, size, protection, faults);
}

Result<std::uint64_t> IommuBoard::unmap(iommu::Device& device, std::uint64_t iova,
                                        mm::PhysAddr address, std::uint64_t size) {
    const auto own = own_.find(&device);
    std::uint64_t done = 0;
    do {
        const auto found = own == own_.end() ? std::nullopt : own->second->translate(iova + done);
        if (!found || found->address != address + done) {
            return refuse(EINVAL, "the device's iova {:x} does not lead to {:x}", kSource,
                          iova + done, address + done);
        }
        done += std::min(size - done, found->bytes_from(iova + done));
    } while (done < size);
    return iommu::unmap(*own->second, iova, size, faults);
}

mm::PhysAddr IommuBoard::iova_to_phys(const iommu::Device& device, std::uint64_t iova) const {
    const auto own = own_.find(&device);
    return own == own_.end() ? 0 : own->second->iova_to_phys(iova);
}

}  // namespace kvmiommu::machine
