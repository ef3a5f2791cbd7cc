// SPDX-License-Identifier: MIT

#include "vfio/container.h"

#include <utility>

#include "base/undo.h"
#include "fs/ioctl.h"
#include "fs/ioctl_table.h"
#include "uapi/vfio.h"
#include "vfio/group.h"
#include "vfio/iommu_driver.h"
#include "vfio/module.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kIoctl{"drivers/vfio/container.c: vfio_fops_unl_ioctl"};
constexpr Source kSetIommu{"drivers/vfio/container.c: vfio_ioctl_set_iommu"};
constexpr Source kAttach{"drivers/vfio/container.c: vfio_container_attach_group"};

constexpr fs::IoctlRow<Container> kRows[] = {
    fs::value_row<&Container::get_api_version>(uapi::VFIO_GET_API_VERSION),
    fs::value_row<&Container::check_extension>(uapi::VFIO_CHECK_EXTENSION),
    fs::value_row<&Container::set_iommu>(uapi::VFIO_SET_IOMMU),
};

// Other requests are passed to the backend.
constexpr fs::IoctlTable<Container> kTable{
    kRows, {EINVAL, "request {:x}: the container has no IOMMU driver yet", kIoctl}};

}  // namespace

Container::Container(Module& module)
    : RefCounted(module.kernel().census(), "vfio_container"), module_(module) {}

Result<std::int64_t> Container::get_api_version(fs::Task&, std::uint64_t) {
    return uapi::VFIO_API_VERSION;
}

bool Container::allowed(const IommuDriver& driver) const {
    return noiommu_ == driver.noiommu();
}

Result<std::int64_t> Container::check_extension(fs::Task&, std::uint64_t extension) {
    Ref<IommuBackend> backend;
    {
        const Lock lock(mutex_);
        backend = backend_;
        if (!backend) {
            std::int64_t answer = 0;
            for (const auto& driver : module_.iommu_drivers()) {
                if (!groups_.empty() && !allowed(*driver)) {
                    continue;
                }
                answer = driver->check_extension(extension);
                if (answer > 0) {
                    break;
                }
            }
            return answer;
        }
    }
    return backend->check_extension(extension);
}

Result<std::int64_t> Container::set_iommu(fs::Task& task, std::uint64_t type) {
    // Backends that could not be used are put after the lock.
    std::vector<Ref<IommuBackend>> unused;
    const Lock lock(mutex_);
    if (groups_.empty() || backend_) {
        return refuse(EINVAL, "the container has {} groups, and a driver set: {}", kSetIommu,
                      groups_.size(), bool(backend_));
    }
    std::optional<Refusal> last;
    for (const auto& driver : module_.iommu_drivers()) {
        if (!allowed(*driver) || driver->check_extension(type) <= 0) {
            continue;
        }
        auto opened = driver->open(task, type);
        if (!opened) {
            last = opened.error();
            continue;
        }
        if (const auto attached = attach_all(task, **opened); !attached) {
            last = attached.error();
            unused.push_back(*std::move(opened));
            continue;
        }
        backend_ = *std::move(opened);
        return 0;
    }
    if (last) {
        return std::unexpected(*last);
    }
    return refuse(ENODEV, "no driver has type {}", kSetIommu, type);
}

Result<> Container::attach_all(fs::Task& task, IommuBackend& backend) {
    std::vector<iommu::Group*> attached;
    Undo detach([&] {
        for (iommu::Group* const group : attached) {
            backend.detach_group(*group);
        }
    });
    for (const Member& member : groups_) {
        iommu::Group& group = member.group->iommu_group();
        TRY(backend.attach_group(task, group, member.group->type()));
        attached.push_back(&group);
    }
    detach.dismiss();
    return {};
}

Ref<IommuBackend> Container::backend() {
    const Lock lock(mutex_);
    return backend_;
}

Result<> Container::attach_group(fs::Task& task, Group& group) {
    const bool noiommu = group.type() == GroupType::noiommu;
    if (noiommu && !task.capable(fs::Capability::sys_rawio)) {
        return refuse(EPERM, "a group without an IOMMU, without CAP_SYS_RAWIO", kAttach);
    }
    const Lock lock(mutex_);
    if (!groups_.empty() && noiommu_ != noiommu) {
        return refuse(EPERM, "groups with and without an IOMMU do not mix", kAttach);
    }
    iommu::DmaOwnership ownership;
    if (group.type() == GroupType::iommu) {
        ownership = TRY(iommu::DmaOwnership::of(group.iommu_group(), &group));
    }
    if (backend_) {
        TRY(backend_->attach_group(task, group.iommu_group(), group.type()));
    }
    noiommu_ = noiommu;
    groups_.insert(groups_.begin(), {&group, std::move(ownership)});
    return {};
}

Ref<IommuBackend> Container::detach_group(Group& group) {
    Ref<IommuBackend> released;
    const Lock lock(mutex_);
    if (backend_) {
        backend_->detach_group(group.iommu_group());
    }
    std::erase_if(groups_, [&](const Member& member) { return member.group == &group; });
    if (groups_.empty()) {
        released = std::move(backend_);
    }
    return released;
}

ContainerFile::ContainerFile(Module& module, int flags)
    : File(module.kernel(), "/dev/vfio/vfio", flags, true) {
    container_ = make<Container>(module);
}

Result<std::int64_t> ContainerFile::ioctl(fs::Task& task, std::uint32_t command,
                                          std::uint64_t argument) {
    if (const auto* const row = kTable.find(task.abi(), command)) {
        return kTable.perform(*row, *container_, task, argument);
    }
    const Ref<IommuBackend> backend = container_->backend();
    if (!backend) {
        return kTable.unknown(command);
    }
    return backend->ioctl(task, command, argument);
}

}  // namespace kvmiommu::vfio
