// SPDX-License-Identifier: MIT

#include "vfio/noiommu.h"

#include "uapi/vfio.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kOpen{"drivers/vfio/container.c: vfio_noiommu_open"};
constexpr Source kIoctl{"drivers/vfio/container.c: vfio_noiommu_ioctl"};

class NoiommuBackend final : public IommuBackend {
  public:
    NoiommuBackend(fs::Kernel& kernel, const NoiommuDriver& driver)
        : IommuBackend(kernel.census(), "vfio_noiommu"), driver_(driver) {}

    Result<std::int64_t> ioctl(fs::Task&, std::uint32_t command, std::uint64_t) override {
        return refuse(ENOTTY, "request {:x}: without an IOMMU there is nothing to map", kIoctl,
                      command);
    }
    std::int64_t check_extension(std::uint64_t extension) override {
        return driver_.check_extension(extension);
    }
    Result<> attach_group(fs::Task&, iommu::Group&, GroupType) override { return {}; }
    void detach_group(iommu::Group&) override {}

  private:
    const NoiommuDriver& driver_;
};

}  // namespace

std::int64_t NoiommuDriver::check_extension(std::uint64_t extension) const {
    return options_.enable_unsafe_noiommu_mode && extension == uapi::VFIO_NOIOMMU_IOMMU;
}

Result<Ref<IommuBackend>> NoiommuDriver::open(fs::Task& task, std::uint64_t type) {
    if (type != uapi::VFIO_NOIOMMU_IOMMU) {
        return refuse(EINVAL, "type {} is not VFIO_NOIOMMU_IOMMU", kOpen, type);
    }
    if (!task.capable(fs::Capability::sys_rawio)) {
        return refuse(EPERM, "without CAP_SYS_RAWIO", kOpen);
    }
    return make<NoiommuBackend>(kernel_, *this);
}

}  // namespace kvmiommu::vfio
