// SPDX-License-Identifier: MIT
//
// _core.Process: an emulated process. Its methods are system calls; a refusal is an OSError with
// the check that failed.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>

#include "bindings/bell.h"
#include "bindings/class.h"
#include "bindings/guest_calls.h"
#include "bindings/process.h"
#include "bindings/process_docs.h"
#include "bindings/register.h"
#include "fs/syscalls.h"

namespace kvmiommu {

namespace {

std::unique_ptr<Process> make_process(const py::object& system) {
    if (!py::isinstance<Machine>(system)) {
        throw py::type_error("a process is made from a System");
    }
    return std::make_unique<Process>(system);
}

// --- calls without a conversion of arguments ---

std::int64_t open(Process& process, const std::string& path, int flags) {
    return without_gil([&] { return fs::sys_open(process.task(), path, flags); }, {.path = &path});
}

void close(Process& process, int fd) {
    without_gil([&] { return fs::sys_close(process.task(), fd); });
}

std::int64_t dup(Process& process, int fd) {
    return without_gil([&] { return fs::sys_dup(process.task(), fd); });
}

std::int64_t eventfd(Process& process, std::uint32_t initval, int flags) {
    return without_gil([&] { return fs::sys_eventfd2(process.task(), initval, flags); });
}

std::int64_t memfd_create(Process& process, const std::string& name, std::uint32_t flags) {
    return without_gil([&] { return fs::sys_memfd_create(process.task(), name, flags); });
}

void ftruncate(Process& process, int fd, std::int64_t length) {
    without_gil([&] { return fs::sys_ftruncate(process.task(), fd, length); });
}

std::int64_t poll(Process& process, int fd, std::uint32_t events) {
    return without_gil([&] { return fs::sys_poll(process.task(), fd, events); });
}

std::int64_t mmap(Process& process, std::uint64_t length, int protection, int flags, int fd,
                  std::uint64_t offset, std::uint64_t address, std::uint64_t align) {
    return without_gil([&] {
        return fs::sys_mmap(process.task(), process.mm(), address, length, protection, flags, fd,
                            offset, align);
    });
}

void munmap(Process& process, std::uint64_t address, std::uint64_t length) {
    without_gil([&] { return fs::sys_munmap(process.task(), process.mm(), address, length); });
}

void mprotect(Process& process, std::uint64_t address, std::uint64_t length, int protection) {
    without_gil([&] {
        return fs::sys_mprotect(process.task(), process.mm(), address, length, protection);
    });
}

std::unique_ptr<PyView> view(const py::object& self, std::uint64_t address, std::uint64_t length) {
    auto& process = self.cast<Process&>();
    return std::make_unique<PyView>(self, value_or_raise(process.mm().view(address, length)));
}

void setrlimit(Process& process, std::uint32_t resource, std::optional<std::uint64_t> soft,
               std::optional<std::uint64_t> hard) {
    value_or_raise(process.task().set_limit(
        resource, {soft.value_or(fs::kUnlimited), hard.value_or(fs::kUnlimited)}));
}

void set_user(Process& process, std::uint32_t uid) {
    value_or_raise(process.task().set_user(uid));
}

std::optional<double> seconds(std::optional<double> timeout) {
    if (timeout) {
        HostCall::check_timeout(*timeout);
    }
    return timeout;
}

}  // namespace

void register_process(py::module_& core) {
    using py::arg;
    py::class_<PyView>(core, "View", "Memory of a process, by the buffer interface.",
                       py::buffer_protocol(), collected<PyView>())
        .def_buffer(&PyView::buffer);

    Class<Bell> bell(core, "Bell", "Which files of a process may have become ready.");
    Class<Process> process(core, "Process", "An emulated process; its methods are system calls.",
                           collected<Process>());
    process.def(py::init(&make_process), arg("system")).def("exit", &Process::exit, docs::kExit);

    core.def("seconds", &seconds, arg("timeout"), docs::kSeconds);
    bell.def(py::init<Process&>(), arg("process"))
        .def("fileno", &Bell::fileno, docs::kBellFileno)
        .def("watch", &Bell::watch, arg("fd"), docs::kBellWatch)
        .def("unwatch", &Bell::unwatch, arg("number"), docs::kBellUnwatch)
        .def("take", &Bell::take, docs::kBellTake)
        .def("readable", &Bell::readable, arg("number"), docs::kBellReadable);

    // descriptors
    process.def("open", &open, arg("path"), arg("flags"), docs::kOpen)
        .def("close", &close, arg("fd"), docs::kClose)
        .def("dup", &dup, arg("fd"), docs::kDup)
        .def("eventfd", &eventfd, arg("initval") = 0, arg("flags") = 0, docs::kEventfd)
        .def("memfd_create", &memfd_create, arg("name"), arg("flags") = 0, docs::kMemfdCreate)
        .def("ftruncate", &ftruncate, arg("fd"), arg("length"), docs::kFtruncate);

    // what files return
    process
        .def("ioctl", &Process::ioctl, arg("fd"), arg("request"), arg("arg") = py::int_(0),
             docs::kIoctl)
        // Apart, for most calls take no timeout and are not to pay for it.
        .def("ioctl", &Process::ioctl_until, arg("fd"), arg("request"), arg("arg") = py::int_(0),
             py::kw_only(), arg("timeout"))
        .def("read", &Process::read, arg("fd"), arg("length"), py::kw_only(),
             arg("timeout") = py::none(), docs::kRead)
        .def("write", &Process::write, arg("fd"), arg("data"), py::kw_only(),
             arg("timeout") = py::none(), docs::kWrite)
        .def("pread", &Process::pread, arg("fd"), arg("length"), arg("offset"), docs::kPread)
        .def("pwrite", &Process::pwrite, arg("fd"), arg("data"), arg("offset"), docs::kPwrite)
        .def("poll", &poll, arg("fd"), arg("events"), docs::kPoll)
        .def("wait", &Process::wait, arg("fd"), arg("timeout") = py::none(), docs::kWait);

    // memory
    process
        .def("mmap", &mmap, arg("length"), arg("prot"), arg("flags"), arg("fd") = -1,
             arg("offset") = 0, py::kw_only(), arg("address") = 0, arg("align") = 0, docs::kMmap)
        .def("munmap", &munmap, arg("address"), arg("length"), docs::kMunmap)
        .def("mprotect", &mprotect, arg("address"), arg("length"), arg("prot"), docs::kMprotect)
        .def("_peek", &Process::peek, arg("address"), arg("length"), docs::kPeek)
        .def("_poke", &Process::poke, arg("address"), arg("data"), docs::kPoke)
        .def("_view", &view, arg("address"), arg("length"), docs::kViewOf);

    // the guest on a vcpu
    process
        .def("_queue_hypercalls", &guest::queue_hypercalls, arg("fd"), arg("calls"), guest::kQueue)
        .def("_take_hypercall_answers", &guest::take_hypercall_answers, arg("fd"), guest::kAnswers)
        .def("_tce_tables", &guest::table_states, arg("fd"), guest::kStates)
        .def("_hypercall_figures", &guest::hypercall_figures, arg("fd"), guest::kFigures);

    // the task itself
    process.def("interrupt", &Process::interrupt, docs::kInterrupt)
        .def("setrlimit", &setrlimit, arg("resource"), arg("soft"), arg("hard"), docs::kSetrlimit)
        .def("_set_user", &set_user, arg("uid"), docs::kSetUser)
        .def_property_readonly("uid", &Process::uid, docs::kUid)
        .def_property_readonly("page_size", &Process::page_size, docs::kPageSize)
        .def_property_readonly("locked_vm", &Process::locked_vm, docs::kLockedVm)
        .def_property_readonly("pinned_vm", &Process::pinned_vm, docs::kPinnedVm)
        .def_property_readonly("mapped_bytes", &Process::mapped_bytes, docs::kMappedBytes)
        .def_property("fail_nth", &Process::fail_nth, &Process::set_fail_nth, docs::kFailNth);
}

}  // namespace kvmiommu
