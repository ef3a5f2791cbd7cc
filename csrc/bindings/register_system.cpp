// SPDX-License-Identifier: MIT
//
// _core.System: a running machine.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <vector>

#include "bindings/class.h"
#include "bindings/machine.h"
#include "bindings/register.h"
#include "machine/system.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

std::string name(Machine& machine) {
    return machine.system().name();
}

py::bytes bytes(const std::vector<std::byte>& data) {
    return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

// A path is bytes; os.fsencode() makes the same of it again.
py::object path(const std::string& text) {
    return py::reinterpret_steal<py::object>(
        PyUnicode_DecodeFSDefaultAndSize(text.data(), static_cast<py::ssize_t>(text.size())));
}

py::list trace(Machine& machine) {
    py::list records;
    for (const TraceRecord& record : machine.system().kernel().trace().records()) {
        py::tuple arguments(record.count);
        for (std::size_t at = 0; at < record.count; ++at) {
            arguments[at] = record.arguments[at];
        }
        records.append(py::make_tuple(
            record.sequence, record.task, record.call, arguments,
            record.refusal ? -record.refusal->error() : record.value,
            record.refusal ? py::object(py::str(record.refusal->text())) : py::none(), record.file,
            path(record.path), bytes(record.before), bytes(record.after)));
    }
    return records;
}

void keep_trace(Machine& machine, std::size_t records) {
    machine.system().kernel().trace().keep(records);
}

std::vector<std::string> alive(Machine& machine) {
    return machine.system().kernel().census().report();
}

std::uint64_t used_frames(Machine& machine) {
    return machine.system().kernel().memory().used_frames();
}

std::uint64_t pinned_frames(Machine& machine) {
    return machine.system().kernel().memory().pinned_frames();
}

std::uint64_t total_pins(Machine& machine) {
    return machine.system().kernel().memory().total_pins();
}

constexpr char kClose[] = R"(close(self)
--

Lets every process exit. Returns a line for each object that is still referenced.

Raises what a device model raised where no call was there to raise it.)";

constexpr char kTakeErrors[] = R"(_take_model_errors(self)
--

What device models raised where no call was there to raise it. Afterwards close() raises none of it.)";

constexpr char kSetHook[] = R"(_set_unclaimed_hook(hook)
--

Calls `hook` instead of sys.unraisablehook with what a device model raised and no call or close()
had raised when its machine went; None: no longer.)";

constexpr char kKeepTrace[] = R"(keep_trace(self, records)
--

Keeps the last `records` calls from now on, forgetting those before; 0 keeps none, as at the start.

Records carry no time, so that a run that is played again gives the same trace.)";

constexpr char kTrace[] = R"(trace(self)
--

The calls that were kept, the oldest first: number, task, call, arguments, result, refusal, kind of
file, path, and what stood behind the argument that is a pointer before the call and after it.)";

constexpr char kAlive[] =
    R"(A line for each object that is referenced now: its kind and how many references it has.

They come in the order of their making.)";

constexpr char kUsedFrames[] = "Frames of 4096 bytes that are mapped, pinned or in a table.";

constexpr char kPinnedFrames[] = "Frames of 4096 bytes that a device or the kernel holds pinned.";

constexpr char kTotalPins[] =
    "The sum of all pins: a frame that is pinned twice counts twice here.";

constexpr char kDmaFaults[] = R"(dma_faults(self)
--

What devices were refused, the oldest first: number, device, iova, "read" or "write", cause.)";

py::list dma_faults(Machine& machine) {
    py::list faults;
    for (const iommu::DmaFault& fault : machine.system().dma_faults().faults()) {
        faults.append(py::make_tuple(fault.sequence, fault.device, fault.iova,
                                     fault.access == mm::Access::write ? "write" : "read",
                                     iommu::fault_cause_text(fault.cause)));
    }
    return faults;
}

constexpr char kIotlb[] = R"(iotlb(self)
--

Figures of all IOTLBs: hits, misses, stale uses, invalidations, unmaps that wait for one.)";

py::tuple iotlb(Machine& machine) {
    const iommu::IotlbFigures figures = machine.system().iotlb().figures();
    return py::make_tuple(figures.hits, figures.misses, figures.stale_uses, figures.invalidations,
                          figures.queued);
}

constexpr char kFlushIotlb[] = R"(flush_iotlb(self)
--

Works off the queues of unmaps that wait for their invalidation.)";

void flush_iotlb(Machine& machine) {
    machine.system().iotlb().flush();
}

constexpr char kStaleUses[] = R"(stale_uses(self)
--

Uses of translations that were unmapped already, the oldest first.)";

py::list stale_uses(Machine& machine) {
    py::list uses;
    for (const iommu::StaleUse& use : machine.system().iotlb().stale_uses()) {
        uses.append(py::make_tuple(use.sequence, use.device, use.iova,
                                   use.access == mm::Access::write ? "write" : "read", use.unmap,
                                   py::make_tuple(use.unmapped.start, use.unmapped.last)));
    }
    return uses;
}

constexpr char kWindows[] = R"(windows(self, group)
--

The windows of an IOMMU group on POWER, by their numbers: None, or start, page shift, pages, levels.)";

py::list windows(Machine& machine, std::uint32_t group) {
    py::list windows;
    for (const auto& table : machine.system().windows(group)) {
        if (table) {
            windows.append(py::make_tuple(table->start(), table->page_shift(), table->size(),
                                          table->levels()));
        } else {
            windows.append(py::none());
        }
    }
    return windows;
}

constexpr char kTces[] = R"(tces(self, group, window, first, count)
--

Entries of a window from page `first` of it on, as the hardware has them: an address and rights.

Raises ValueError for a window that is not there.)";

py::list tces(Machine& machine, std::uint32_t group, std::size_t window, std::uint64_t first,
              std::uint64_t count) {
    const auto windows = machine.system().windows(group);
    if (window >= windows.size() || !windows[window]) {
        throw py::value_error("group " + std::to_string(group) + " has no window " +
                              std::to_string(window));
    }
    const spapr::HardwareTable& table = *windows[window];
    py::list entries;
    for (std::uint64_t page = first; page < table.size() && page - first < count; ++page) {
        entries.append(table.get(table.offset() + page).entry());
    }
    return entries;
}

}  // namespace

void register_system(py::module_& core) {
    using py::arg;
    Class<Machine, std::shared_ptr<Machine>>(core, "System", "A running machine.",
                                             collected<Machine>())
        .def_init(&Machine::create, arg("description"))
        .def_property_readonly("name", &name, "The machine's name.")
        .def("close", &Machine::close, kClose)
        .def("_take_model_errors", &Machine::take_errors, kTakeErrors)
        .def("keep_trace", &keep_trace, arg("records"), kKeepTrace)
        .def("trace", &trace, kTrace)
        .def("dma_faults", &dma_faults, kDmaFaults)
        .def("iotlb", &iotlb, kIotlb)
        .def("flush_iotlb", &flush_iotlb, kFlushIotlb)
        .def("stale_uses", &stale_uses, kStaleUses)
        .def("windows", &windows, arg("group"), kWindows)
        .def("tces", &tces, arg("group"), arg("window"), arg("first"), arg("count"), kTces)
        .def_property_readonly("alive", &alive, kAlive)
        .def_property_readonly("used_frames", &used_frames, kUsedFrames)
        .def_property_readonly("pinned_frames", &pinned_frames, kPinnedFrames)
        .def_property_readonly("total_pins", &total_pins, kTotalPins);
    core.def("_set_unclaimed_hook", &set_unclaimed_hook, arg("hook"), kSetHook);
}

}  // namespace kvmiommu
