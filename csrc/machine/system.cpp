// SPDX-License-Identifier: MIT

#include "machine/system.h"

#include <algorithm>
#include <utility>

#include "machine/iommu_drivers.h"
#include "pci/models.h"
#include "vfio/external.h"
#include "vfio/mdev/probe_device.h"
#include "vfio/pci/pci_device.h"
#include "vfio/spapr/external.h"
#include "vfio/spapr/tce_container.h"
#include "vfio/type1/type1.h"

namespace kvmiommu::machine {

namespace {

constexpr Source kSource{"kvmiommu: machine/system.h"};

// Drivers that manage their devices' DMA themselves, or do none: their bind does not use the
// default domain (include/linux/device/driver.h: driver_managed_dma).
bool manages_dma(const std::string& driver) {
    return driver.empty() || driver == "vfio-pci" || driver == "pcieport";
}

}  // namespace

System::System(const Description& description, std::unique_ptr<mm::PhysicalMemory> memory)
    : name_(description.name),
      kernel_(std::move(memory), description.page_size, description.arch, description.fixed,
              description.interfaces),
      iotlb_(description.iommu_strict) {}

System::~System() {
    close();
}

Result<std::unique_ptr<System>> System::create(const Description& description) {
    const std::uint64_t page_size = description.page_size;
    for (const IommuDescription& each : description.iommus) {
        // POWER has IOMMUs with windows only, and the others have none.
        const bool power = each.driver == "powernv" || each.driver == "pseries";
        if (power != (description.arch == fs::Arch::ppc64le)) {
            return refuse(EINVAL, "an IOMMU of another architecture than the kernel", kSource);
        }
    }
    if (!is_power_of_two(page_size) || page_size < mm::kFrameSize || page_size > 64 << 10) {
        return refuse(EINVAL, "pages of {:x} bytes: must be a power of two from 4 KiB to 64 KiB",
                      kSource, page_size);
    }
    if (description.fragmentation != 0 && description.fragmentation < page_size) {
        return refuse(EINVAL, "blocks of {:x} bytes are smaller than a page of {:x}", kSource,
                      description.fragmentation, page_size);
    }
    auto memory = TRY(mm::PhysicalMemory::create(description.memory, description.fragmentation,
                                                 description.memory_start));
    std::unique_ptr<System> system(new System(description, std::move(memory)));
    if (description.has_vfio) {
        system->load_vfio(description);
    }
    TRY(system->add_iommus(description.iommus, description.rules));
    TRY(system->add_functions(description));
    for (const EmulatedDescription& emulated : description.emulated) {
        auto& group = system->groups_[emulated.group];
        if (group) {
            return refuse(EINVAL, "group {} of an emulated device has other devices", kSource,
                          emulated.group);
        }
        group = std::make_unique<iommu::Group>(emulated.group);
        if (system->vfio_) {
            system->vfio_->register_device(*group, vfio::GroupType::emulated, emulated.name,
                                           std::make_unique<vfio::ProbeDevice>(system->kernel_));
        }
    }
    if (description.has_kvm) {
        std::optional<kvm::VfioSymbols> symbols;
        if (description.has_vfio) {
            symbols = {&vfio::file_is_valid,
                       &vfio::file_enforced_coherent,
                       &vfio::file_set_kvm,
                       &vfio::file_iommu_group,
                       &vfio::group_get_external_user,
                       &vfio::group_put_external_user,
                       &vfio::group_tce_table};
        }
        const bool bare_metal =
            std::any_of(description.iommus.begin(), description.iommus.end(),
                        [](const auto& each) { return each.driver == "powernv"; });
        system->kvm_.emplace(system->kernel_, symbols,
                             kvm::Options{description.proposals, bare_metal});
    }
    return system;
}

// The VFIO drivers that a distribution's kernel has for its architecture.
void System::load_vfio(const Description& description) {
    vfio_.emplace(kernel_, description.vfio);
    if (description.arch == fs::Arch::ppc64le) {
        const bool eeh = std::any_of(description.iommus.begin(), description.iommus.end(),
                                     [](const auto& each) { return each.instance.eeh; });
        vfio_->register_iommu_driver(std::make_unique<vfio::TceDriver>(kernel_, eeh));
    } else {
        vfio_->register_iommu_driver(
            std::make_unique<vfio::Type1Driver>(kernel_, vfio_->options()));
    }
}

Result<> System::add_iommus(const std::vector<IommuDescription>& iommus, iommu::Rules rules) {
    for (std::size_t index = 0; index < iommus.size(); ++index) {
        const IommuDescription& description = iommus[index];
        auto& ops = drivers_[description.driver];
        if (!ops) {
            ops = make_iommu_driver(description.driver, kernel_.census(), kernel_.memory(),
                                    kernel_.page_size());
        }
        if (!ops) {
            return refuse(EINVAL, "the driver of IOMMU {} is not known", kSource, index);
        }
        ops->set_iotlb_control(iotlb_);
        units_.try_emplace(description.instance.name, Unit{ops.get(), description.instance});
    }
    // The page sizes that all IOMMUs of a driver have in common.
    std::map<iommu::Ops*, std::uint64_t> sizes;
    for (const auto& [name, unit] : units_) {
        const auto common = sizes.try_emplace(unit.ops, ~std::uint64_t{0}).first;
        common->second &= unit.instance.page_sizes;
    }
    for (const auto& [ops, common] : sizes) {
        ops->set_rules(rules, common);
    }
    return {};
}

Result<> System::add_model(pci::Function& function, const PciDescription& description,
                           bool firmware) {
    function.dma = std::make_unique<iommu::DmaPort>(function.address, function.group,
                                                    kernel_.memory(), dma_faults_);
    function.hardware =
        description.hardware ? description.hardware() : pci::make_model(description.model);
    if (!function.hardware) {
        if (description.model == "host" && description.driver != "vfio-pci") {
            return {};
        }
        return refuse(
            EINVAL,
            "PCI function {} of the description: its model is not known, or vfio-pci has nothing "
            "to drive",
            kSource, functions_.size() - 1);
    }
    TRY(function.hardware->plug(*function.dma, kernel_.memory()));
    pci::set_up(function, {firmware, description.bars, description.interrupt_line}, next_bar_,
                next_io_);
    return {};
}

void System::find_buses() {
    for (const auto& function : functions_) {
        for (const auto& other : functions_) {
            if (other->location.segment == function->location.segment &&
                other->location.bus == function->location.bus) {
                function->bus.push_back(other.get());
            }
            if (function->hardware && function->leads(*other)) {
                function->hardware->config().change(pci::kHeaderType, 1, pci::kMultifunction,
                                                    pci::kMultifunction);
            }
        }
    }
}

Result<> System::add_functions(const Description& machine) {
    const std::vector<PciDescription>& functions = machine.pci;
    functions_.reserve(functions.size());
    for (std::size_t index = 0; index < functions.size(); ++index) {
        const PciDescription& description = functions[index];
        functions_.push_back(std::make_unique<pci::Function>());
        pci::Function& function = *functions_.back();
        function.address = description.address;
        function.model = description.model;
        function.driver = description.driver;
        const auto location = pci::Location::parse(description.address);
        if (!location) {
            return refuse(EINVAL, "PCI function {}: its address is none", kSource, index);
        }
        function.location = *location;
        if (!description.iommu.empty()) {
            const auto unit = units_.find(description.iommu);
            if (unit == units_.end() || !description.group) {
                return refuse(EINVAL, "PCI function {}: its IOMMU is not known, or it has no group",
                              kSource, index);
            }
            devices_.push_back(
                std::make_unique<iommu::Device>(description.address, *unit->second.ops,
                                                unit->second.instance, description.reserved));
            auto& group = groups_[*description.group];
            if (!group) {
                group = std::make_unique<iommu::Group>(*description.group);
            } else if (&group->first_device().ops() != unit->second.ops) {
                return refuse(EINVAL, "group {} has devices behind different kinds of IOMMU",
                              kSource, *description.group);
            }
            function.device = devices_.back().get();
            function.group = group.get();
            group->add_device(*function.device);
        }
        TRY(add_model(function, description, machine.firmware));
    }
    find_buses();
    for (const auto& function : functions_) {
        TRY(bind_driver(*function));
    }
    return {};
}

Result<> System::bind_driver(pci::Function& function) {
    if (function.driver == "vfio-pci" && function.group == nullptr && vfio_ &&
        vfio_->options().enable_unsafe_noiommu_mode) {
        // VFIO creates a group, with the next free number (vfio_noiommu_group_alloc).
        std::uint32_t id = 0;
        while (groups_.contains(id)) {
            ++id;
        }
        function.group =
            groups_.emplace(id, std::make_unique<iommu::Group>(id)).first->second.get();
    }
    if (function.group == nullptr) {
        return {};
    }
    if (!manages_dma(function.driver)) {
        TRY(function.group->use_default_domain());
    }
    if (function.driver == "vfio-pci" && vfio_) {
        const auto type =
            function.device != nullptr ? vfio::GroupType::iommu : vfio::GroupType::noiommu;
        // One set for all functions that a reset of the bus affects. The root bus cannot be reset.
        const void* const set_id = function.on_root_bus() ? nullptr : function.bus.front();
        vfio_->register_device(*function.group, type, function.address,
                               std::make_unique<vfio::PciDevice>(kernel_, function), set_id);
    }
    return {};
}

std::vector<Ref<spapr::HardwareTable>> System::windows(std::uint32_t group) const {
    const auto found = groups_.find(group);
    const spapr::TableGroup* const tables =
        found == groups_.end() ? nullptr : spapr::table_group_of(*found->second);
    std::vector<Ref<spapr::HardwareTable>> windows;
    for (unsigned number = 0; tables != nullptr && number < spapr::kMostWindows; ++number) {
        windows.push_back(tables->table(number));
    }
    return windows;
}

Result<std::shared_ptr<Process>> System::create_process() {
    auto process = mm::owned_by_host(std::make_unique<Process>(kernel_));
    const Lock lock(mutex_);
    if (closed_) {
        return refuse(EBADF, "the system is closed", kSource);
    }
    std::erase_if(processes_, [](const auto& other) { return other.expired(); });
    processes_.push_back(process);
    return process;
}

std::vector<std::string> System::close() {
    std::vector<std::weak_ptr<Process>> processes;
    {
        const Lock lock(mutex_);
        closed_ = true;
        processes = processes_;
    }
    // An existing Process has two references to its empty address space: its task's and its own.
    constexpr std::uint32_t kOwnReferences = 2;
    std::vector<std::shared_ptr<Process>> kept;
    for (const auto& weak : processes) {
        if (auto process = weak.lock()) {
            process->exit();
            // Memory that a kernel bug leaves registered is released with the address space, which
            // Python may still hold.
            if (process->mm().references() == kOwnReferences) {
                process->mm().drop_context();
            }
            kept.push_back(std::move(process));
        }
    }
    auto alive = kernel_.census().report([&](const RefCounted& object) {
        return std::any_of(kept.begin(), kept.end(), [&](const auto& process) {
            return &process->mm() == &object && object.references() == kOwnReferences;
        });
    });
    // Without living objects a pin is a leak.
    if (const std::uint64_t pins = kernel_.memory().total_pins(); alive.empty() && pins != 0) {
        alive.push_back("memory: pinned " + std::to_string(pins) + " times");
    }
    return alive;
}

}  // namespace kvmiommu::machine
