// SPDX-License-Identifier: MIT

#include "iommu/drivers/fsl_pamu.h"

#include <algorithm>

namespace kvmiommu::iommu {

namespace {

constexpr Source kGeometry{"drivers/iommu/fsl_pamu_domain.c: configure_domain_geometry"};
constexpr Source kWindows{"drivers/iommu/fsl_pamu_domain.c: fsl_pamu_set_windows"};
constexpr Source kEnable{"drivers/iommu/fsl_pamu_domain.c: fsl_pamu_window_enable"};
constexpr Source kState{"drivers/iommu/fsl_pamu_domain.c: configure_domain_dma_state"};

constexpr std::uint64_t kPage = 4096;
constexpr std::uint32_t kMostWindows = 256;  // pamu_get_max_subwin_cnt

// (check_size)
bool fits(std::uint64_t size, std::uint64_t address) {
    return is_power_of_two(size) && size >= kPage && is_aligned(address, size);
}

}  // namespace

Result<> PamuDomain::set_geometry(std::uint64_t start, std::uint64_t size) {
    const Lock lock(mutex_);
    if (dma_on_) {
        return refuse(EBUSY, "devices use the domain", kGeometry);
    }
    if (!fits(size, start)) {
        return refuse(EINVAL, "an aperture of {:x} bytes at {:x}", kGeometry, size, start);
    }
    start_ = start;
    size_ = size;
    windows_.clear();
    return {};
}

Result<> PamuDomain::set_windows(std::uint32_t count) {
    const Lock lock(mutex_);
    if (dma_on_) {
        return refuse(EBUSY, "devices use the domain", kWindows);
    }
    if (size_ == 0 || !is_power_of_two(count) || count > kMostWindows || size_ / count < kPage) {
        return refuse(EINVAL, "{} windows in an aperture of {:x} bytes", kWindows, count, size_);
    }
    windows_.assign(count, {});
    return {};
}

Result<> PamuDomain::check_window(std::uint32_t number) const {
    if (windows_.empty()) {
        return refuse(ENODEV, "the aperture has not been cut into windows", kEnable);
    }
    if (number >= windows_.size()) {
        return refuse(EINVAL, "window {} of {}", kEnable, number, windows_.size());
    }
    return {};
}

Result<> PamuDomain::enable_window(std::uint32_t number, mm::PhysAddr address, std::uint64_t size,
                                   std::uint32_t protection) {
    const Lock lock(mutex_);
    TRY(check_window(number));
    if (size > window_size() || !fits(size, address)) {
        return refuse(EINVAL, "{:x} bytes at {:x} in a window of {:x}", kEnable, size, address,
                      window_size());
    }
    if (windows_.size() == 1 && dma_on_) {
        return refuse(EBUSY, "devices use the only window", kEnable);
    }
    Window& window = windows_[number];
    if (window.valid) {
        return refuse(EBUSY, "window {} leads to {:x} already", kEnable, number, window.address);
    }
    window = {true, address, size, protection};
    return {};
}

Result<> PamuDomain::disable_window(std::uint32_t number) {
    const Lock lock(mutex_);
    TRY(check_window(number));
    windows_[number] = {};
    return {};
}

Result<> PamuDomain::enable_dma(bool on) {
    const Lock lock(mutex_);
    if (on && std::none_of(windows_.begin(), windows_.end(),
                           [](const Window& window) { return window.valid; })) {
        return refuse(ENODEV, "no window leads anywhere", kState);
    }
    dma_on_ = on;
    return {};
}

const PamuDomain::Window* PamuDomain::window_of(std::uint64_t iova) const {
    if (windows_.empty() || iova - start_ >= size_) {
        return nullptr;
    }
    const Window& window = windows_[(iova - start_) / window_size()];
    return window.valid && (iova - start_) % window_size() < window.size ? &window : nullptr;
}

mm::PhysAddr PamuDomain::iova_to_phys(std::uint64_t iova) const {
    const Lock lock(mutex_);
    const Window* const window = window_of(iova);
    return window != nullptr ? window->address + (iova & (window->size - 1)) : 0;
}

std::optional<Translation> PamuDomain::translate(std::uint64_t iova) const {
    const Lock lock(mutex_);
    const Window* const window = window_of(iova);
    if (!dma_on_ || window == nullptr) {
        return std::nullopt;
    }
    const std::uint64_t offset = window->size - 1;
    return Translation{
        window->address + (iova & offset), window->protection, {iova & ~offset, iova | offset}};
}

}  // namespace kvmiommu::iommu
