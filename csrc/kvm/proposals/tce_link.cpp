// SPDX-License-Identifier: MIT

#include "kvm/proposals/tce_link.h"

#include <fcntl.h>

#include <utility>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kLink{"KVM: PPC, version 9 of 2013, patch 12: kvmppc_spapr_tce_iommu_link"};

// The proposal returns ENXIO for every error of the group.
std::unexpected<Refusal> no_group(const Refusal& why) {
    return std::unexpected(why.under(ENXIO));
}

}  // namespace

Result<std::unique_ptr<TceLink>> TceLink::create(Vm& vm, fs::Task& task, std::uint64_t liobn,
                                                 std::uint32_t fd) {
    TRY(vm.check_bus_free(liobn));
    const VfioSymbols* const vfio = vm.module().vfio();
    if (vfio == nullptr) {
        return refuse(ENXIO, "VFIO is not loaded", kLink);
    }
    auto file = task.files().get(static_cast<int>(fd));
    if (!file) {
        return no_group(file.error());
    }
    if (const auto user = vfio->group_get_external_user(**file); !user) {
        return no_group(user.error());
    }
    const auto table = vfio->group_tce_table(task, **file);
    if (!table || task.faults().fails()) {
        vfio->group_put_external_user(**file);
        return table ? refuse(ENXIO, "told to fail", kLink) : no_group(table.error());
    }
    const iommu::Group& group = *vfio->file_iommu_group(**file);
    auto link = std::make_unique<TceLink>(
        vm, *std::move(file),
        spapr::LinkedTable{liobn, static_cast<std::uint32_t>((*table)->bytes()), group});
    TRY(vm.add_link(link->table_));
    return link;
}

TceLink::TceLink(Vm& vm, Ref<fs::File> group, const spapr::LinkedTable& table)
    : vm_(vm), table_(table) {
    group_ = std::move(group);
}

TceLink::~TceLink() {
    vm_.remove_link(table_);
    vm_.module().vfio()->group_put_external_user(*group_);
}

TceLinkFile::TceLinkFile(Ref<Vm> vm, std::unique_ptr<TceLink> link)
    : File(vm->kernel(), "kvm-spapr-tce-iommu", O_RDWR, false),
      vm_(std::move(vm)),
      link_(std::move(link)) {}

TceLinkFile::~TceLinkFile() {
    // Destroyed first: its destructor uses the Vm.
    link_.reset();
}

}  // namespace kvmiommu::kvm
