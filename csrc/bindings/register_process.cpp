// SPDX-License-Identifier: MIT
//
// _core.Process: an emulated process. Its methods are system calls; a refusal is an OSError that
// says which check refused.

#include <pybind11/pybind11.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/argument_memory.h"
#include "bindings/register.h"
#include "fs/syscalls.h"
#include "machine/system.h"

namespace py = pybind11;

namespace kvmiommu {

namespace {

using machine::System;

// A buffer of Python's for the length of a call.
class PyBuffer {
  public:
    PyBuffer(py::handle object, int flags) {
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) {
            throw py::error_already_set();
        }
    }
    ~PyBuffer() { PyBuffer_Release(&view_); }
    PyBuffer(const PyBuffer&) = delete;
    PyBuffer& operator=(const PyBuffer&) = delete;

    void* data() const { return view_.buf; }
    std::uint64_t bytes() const { return static_cast<std::uint64_t>(view_.len); }
    bool writable() const { return view_.readonly == 0; }

  private:
    Py_buffer view_{};
};

class Process {
  public:
    explicit Process(std::shared_ptr<System> system)
        : system_(std::move(system)),
          process_(value_or_raise(system_->create_process())),
          arguments_(process_->mm()) {}
    ~Process() { exit(); }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    fs::Task& task() { return process_->task(); }
    mm::OwnedAddressSpace& mm() { return process_->mm(); }
    fs::Kernel& kernel() { return task().kernel(); }
    void exit() { process_->exit(); }

    std::int64_t ioctl(int fd, std::uint32_t request, const py::object& argument) {
        if (argument.is_none()) {
            return without_gil([&] { return fs::sys_ioctl(task(), fd, request, 0); });
        }
        if (PyLong_Check(argument.ptr())) {
            // Wraps as C does: -1 is the largest number.
            const std::uint64_t number = PyLong_AsUnsignedLongLongMask(argument.ptr());
            if (PyErr_Occurred() != nullptr) {
                throw py::error_already_set();
            }
            return without_gil([&] { return fs::sys_ioctl(task(), fd, request, number); });
        }
        return ioctl_block(fd, request, argument);
    }

    py::bytes read(int fd, std::uint64_t bytes) {
        return read_with(bytes, [&](fs::UserBuffer to) { return fs::sys_read(task(), fd, to); });
    }
    py::bytes pread(int fd, std::uint64_t bytes, std::int64_t offset) {
        return read_with(
            bytes, [&](fs::UserBuffer to) { return fs::sys_pread64(task(), fd, to, offset); });
    }
    std::int64_t write(int fd, const py::object& data) {
        return write_with(data,
                          [&](fs::UserBuffer from) { return fs::sys_write(task(), fd, from); });
    }
    std::int64_t pwrite(int fd, const py::object& data, std::int64_t offset) {
        return write_with(
            data, [&](fs::UserBuffer from) { return fs::sys_pwrite64(task(), fd, from, offset); });
    }

    // A signal's name in place of the bytes when the process would get one.
    py::object peek(std::uint64_t address, std::uint64_t bytes) {
        if (bytes > kernel().memory().bytes()) {
            return py::str("SIGSEGV");  // More than can be mapped at all.
        }
        std::vector<char> copy(bytes);
        return signal_or(mm().peek(copy.data(), address, bytes),
                         [&] { return py::bytes(copy.data(), copy.size()); });
    }
    py::object poke(std::uint64_t address, const py::object& data) {
        const PyBuffer buffer(data, PyBUF_SIMPLE);
        return signal_or(mm().poke(address, buffer.data(), buffer.bytes()),
                         [] { return py::none(); });
    }

  private:
    std::int64_t ioctl_block(int fd, std::uint32_t request, const py::object& argument) {
        static constexpr std::byte kZero[ArgumentMemory::kZeros]{};
        const PyBuffer buffer(argument, PyBUF_SIMPLE);
        return without_gil([&]() -> Result<std::int64_t> {
            const auto block = TRY(arguments_.take(buffer.bytes()));
            TRY(mm().copy_out(block.address(), buffer.data(), buffer.bytes()));
            TRY(mm().copy_out(block.address() + buffer.bytes(), kZero, sizeof kZero));
            auto answer = fs::sys_ioctl(task(), fd, request, block.address());
            // Also after a refusal: some calls tell what they wanted.
            if (buffer.writable()) {
                TRY(mm().copy_in(buffer.data(), block.address(), buffer.bytes()));
            }
            return answer;
        });
    }

    template <class Call>
    py::bytes read_with(std::uint64_t bytes, Call&& call) {
        std::vector<char> copy;
        without_gil([&]() -> Result<std::int64_t> {
            if (bytes > kernel().memory().bytes()) {
                return call(fs::UserBuffer{0, bytes});
            }
            const auto block = TRY(arguments_.take(bytes));
            const std::int64_t moved = TRY(call(fs::UserBuffer{block.address(), bytes}));
            copy.resize(static_cast<std::size_t>(moved));
            TRY(mm().copy_in(copy.data(), block.address(), copy.size()));
            return moved;
        });
        return py::bytes(copy.data(), copy.size());
    }

    template <class Call>
    std::int64_t write_with(const py::object& data, Call&& call) {
        const PyBuffer buffer(data, PyBUF_SIMPLE);
        return without_gil([&]() -> Result<std::int64_t> {
            const auto block = TRY(arguments_.take(buffer.bytes()));
            TRY(mm().copy_out(block.address(), buffer.data(), buffer.bytes()));
            return call(fs::UserBuffer{block.address(), buffer.bytes()});
        });
    }

    template <class Value>
    static py::object signal_or(mm::Signal signal, Value&& value) {
        switch (signal) {
            case mm::Signal::segv:
                return py::str("SIGSEGV");
            case mm::Signal::bus:
                return py::str("SIGBUS");
            default:
                return value();
        }
    }

    std::shared_ptr<System> system_;
    std::shared_ptr<machine::Process> process_;
    ArgumentMemory arguments_;
};

// Python's view of process memory; it keeps the machine.
class PyView {
  public:
    PyView(py::object process, std::unique_ptr<mm::View> view)
        : process_(std::move(process)), view_(std::move(view)) {}
    py::buffer_info buffer() {
        return py::buffer_info(reinterpret_cast<std::uint8_t*>(view_->data()),
                               static_cast<py::ssize_t>(view_->bytes()), false);
    }

  private:
    py::object process_;
    std::unique_ptr<mm::View> view_;
};

std::uint64_t as_limit(const py::object& number) {
    return number.is_none() ? fs::kUnlimited : number.cast<std::uint64_t>();
}

}  // namespace

void register_process(py::module_& core) {
    using py::arg;
    py::class_<PyView>(core, "View", py::buffer_protocol()).def_buffer(&PyView::buffer);

    py::class_<Process>(core, "Process", "An emulated process; its methods are system calls.")
        .def(py::init<std::shared_ptr<System>>(), arg("system"))
        .def("exit", &Process::exit, py::call_guard<py::gil_scoped_release>())
        .def(
            "open",
            [](Process& process, const std::string& path, int flags) {
                return without_gil([&] { return fs::sys_open(process.task(), path, flags); });
            },
            arg("path"), arg("flags"))
        .def(
            "close",
            [](Process& process, int fd) {
                without_gil([&] { return fs::sys_close(process.task(), fd); });
            },
            arg("fd"))
        .def(
            "dup",
            [](Process& process, int fd) {
                return without_gil([&] { return fs::sys_dup(process.task(), fd); });
            },
            arg("fd"))
        .def(
            "eventfd",
            [](Process& process, std::uint32_t initval, int flags) {
                return without_gil(
                    [&] { return fs::sys_eventfd2(process.task(), initval, flags); });
            },
            arg("initval") = 0, arg("flags") = 0)
        .def(
            "memfd_create",
            [](Process& process, const std::string& name, std::uint32_t flags) {
                return without_gil(
                    [&] { return fs::sys_memfd_create(process.task(), name, flags); });
            },
            arg("name"), arg("flags") = 0)
        .def(
            "ftruncate",
            [](Process& process, int fd, std::int64_t length) {
                without_gil([&] { return fs::sys_ftruncate(process.task(), fd, length); });
            },
            arg("fd"), arg("length"))
        .def("ioctl", &Process::ioctl, arg("fd"), arg("request"), arg("arg") = py::int_(0))
        .def("read", &Process::read, arg("fd"), arg("length"))
        .def("write", &Process::write, arg("fd"), arg("data"))
        .def("pread", &Process::pread, arg("fd"), arg("length"), arg("offset"))
        .def("pwrite", &Process::pwrite, arg("fd"), arg("data"), arg("offset"))
        .def(
            "poll",
            [](Process& process, int fd, std::uint32_t events) {
                return without_gil([&] { return fs::sys_poll(process.task(), fd, events); });
            },
            arg("fd"), arg("events"))
        .def(
            "mmap",
            [](Process& process, std::uint64_t length, int protection, int flags, int fd,
               std::uint64_t offset, std::uint64_t address, std::uint64_t align) {
                return without_gil([&] {
                    return fs::sys_mmap(process.task(), process.mm(), address, length, protection,
                                        flags, fd, offset, align);
                });
            },
            arg("length"), arg("prot"), arg("flags"), arg("fd") = -1, arg("offset") = 0,
            py::kw_only(), arg("address") = 0, arg("align") = 0)
        .def(
            "munmap",
            [](Process& process, std::uint64_t address, std::uint64_t length) {
                without_gil(
                    [&] { return fs::sys_munmap(process.task(), process.mm(), address, length); });
            },
            arg("address"), arg("length"))
        .def(
            "mprotect",
            [](Process& process, std::uint64_t address, std::uint64_t length, int protection) {
                without_gil([&] {
                    return fs::sys_mprotect(process.task(), process.mm(), address, length,
                                            protection);
                });
            },
            arg("address"), arg("length"), arg("prot"))
        .def("_peek", &Process::peek, arg("address"), arg("length"))
        .def("_poke", &Process::poke, arg("address"), arg("data"))
        .def(
            "_view",
            [](const py::object& self, std::uint64_t address, std::uint64_t length) {
                auto& process = self.cast<Process&>();
                return std::make_unique<PyView>(self,
                                                value_or_raise(process.mm().view(address, length)));
            },
            arg("address"), arg("length"))
        .def("interrupt", [](Process& process) { process.task().interrupt(); })
        .def(
            "setrlimit",
            [](Process& process, std::uint32_t resource, const py::object& soft,
               const py::object& hard) {
                if (auto set = process.task().set_limit(resource, {as_limit(soft), as_limit(hard)});
                    !set) {
                    raise(set.error());
                }
            },
            arg("resource"), arg("soft"), arg("hard"))
        .def(
            "_set_user",
            [](Process& process, std::uint32_t uid) {
                if (auto set = process.task().set_user(uid); !set) {
                    raise(set.error());
                }
            },
            arg("uid"))
        .def_property_readonly("uid",
                               [](Process& process) { return process.task().credentials().uid; })
        .def_property_readonly("page_size",
                               [](Process& process) { return process.mm().page_size(); })
        .def_property_readonly("locked_vm",
                               [](Process& process) {
                                   return process.mm().locked_vm().pages() *
                                          process.mm().page_size();
                               })
        .def_property_readonly("pinned_vm",
                               [](Process& process) {
                                   return process.mm().pinned_vm().pages() *
                                          process.mm().page_size();
                               })
        .def_property_readonly("mapped_bytes",
                               [](Process& process) { return process.mm().mapped_bytes(); })
        .def_property(
            "fail_nth", [](Process& process) { return process.task().faults().left(); },
            [](Process& process, std::uint32_t nth) { process.task().faults().fail_nth(nth); });
}

}  // namespace kvmiommu
