// SPDX-License-Identifier: MIT
//
// The objects of _core.Process and _core.View, which copy Python's arguments to memory of the
// emulated process and back. They hold no rules.

#pragma once

#include <poll.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bindings/argument_memory.h"
#include "bindings/host_call.h"
#include "bindings/machine.h"
#include "bindings/register.h"
#include "fs/syscalls.h"

namespace kvmiommu {

namespace py = pybind11;

// A Python buffer for the length of a call.
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
    /// `system` is Python's System.
    explicit Process(py::object system)
        : system_(std::move(system)),
          machine_(system_.cast<std::shared_ptr<Machine>>()),
          process_(create(machine_)),
          arguments_(process_->mm()) {}
    // Closing a device may call a model in Python. In a child of the host's process nothing is
    // destroyed.
    ~Process() {
        if (!machine_->made().inherited()) {
            const HostCall call(machine_, HostCall::Errors::kept);
            const WithoutGil released;
            process_->exit();
            process_.reset();
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    fs::Task& task() { return process_->task(); }
    mm::OwnedAddressSpace& mm() { return process_->mm(); }
    fs::Kernel& kernel() { return task().kernel(); }
    const std::shared_ptr<Machine>& machine() { return machine_; }
    const std::shared_ptr<machine::Process>& shared() { return process_; }
    void exit() {
        const WithoutGil released;
        process_->exit();
    }
    void interrupt() { task().interrupt(); }

    std::uint32_t uid() { return task().credentials().uid; }
    std::uint64_t page_size() { return mm().page_size(); }
    std::uint64_t locked_vm() { return mm().locked_vm().pages() * page_size(); }
    std::uint64_t pinned_vm() { return mm().pinned_vm().pages() * page_size(); }
    std::uint64_t mapped_bytes() { return mm().mapped_bytes(); }
    std::uint32_t fail_nth() { return task().faults().left(); }
    void set_fail_nth(std::uint32_t nth) { task().faults().fail_nth(nth); }

    std::int64_t ioctl(int fd, std::uint32_t request, const py::object& argument) {
        if (argument.is_none()) {
            return ioctl_number(fd, request, 0);
        }
        if (PyLong_Check(argument.ptr())) {
            // Converts as C does: -1 is the largest number.
            const std::uint64_t number = PyLong_AsUnsignedLongLongMask(argument.ptr());
            if (PyErr_Occurred() != nullptr) {
                throw py::error_already_set();
            }
            return ioctl_number(fd, request, number);
        }
        return ioctl_block(fd, request, argument);
    }

    std::int64_t ioctl_until(int fd, std::uint32_t request, const py::object& argument,
                             std::optional<double> timeout) {
        set_timeout(timeout);
        return ioctl(fd, request, argument);
    }

    bool wait(int fd, std::optional<double> timeout) {
        set_timeout(timeout);
        return without_gil([&] { return fs::sys_poll_and_sleep(task(), fd, POLLIN); }) != 0;
    }

    py::bytes read(int fd, std::uint64_t bytes, std::optional<double> timeout) {
        set_timeout(timeout);
        return read_with(bytes, [&](fs::UserBuffer to) { return fs::sys_read(task(), fd, to); });
    }
    py::bytes pread(int fd, std::uint64_t bytes, std::int64_t offset) {
        return read_with(
            bytes, [&](fs::UserBuffer to) { return fs::sys_pread64(task(), fd, to, offset); });
    }
    std::int64_t write(int fd, const py::object& data, std::optional<double> timeout) {
        set_timeout(timeout);
        return write_with(data,
                          [&](fs::UserBuffer from) { return fs::sys_write(task(), fd, from); });
    }
    std::int64_t pwrite(int fd, const py::object& data, std::int64_t offset) {
        return write_with(
            data, [&](fs::UserBuffer from) { return fs::sys_pwrite64(task(), fd, from, offset); });
    }

    // Returns the bytes, or the name of the signal that the process would get.
    py::object peek(std::uint64_t address, std::uint64_t bytes) {
        // Checked first, so that no more is allocated than the process has mapped.
        if (const mm::Signal signal = mm().readable(address, bytes); signal != mm::Signal::none) {
            return signal_or(signal, [] { return py::none(); });
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

    // For the garbage collector. The object can be destroyed without the System.
    int traverse(visitproc visit, void* arg) const {
        Py_VISIT(system_.ptr());
        return 0;
    }
    void clear() { py::object(std::move(system_)); }

  private:
    static std::shared_ptr<machine::Process> create(const std::shared_ptr<Machine>& machine) {
        HostCall call(machine);
        return value_or_raise(machine->system().create_process());
    }
    static void set_timeout(const std::optional<double>& seconds) {
        if (seconds) {
            HostCall::current()->set_timeout(*seconds);
        }
    }

    // Calls the core without the GIL. A refusal has the name of the request.
    template <class Call>
    std::int64_t ioctl_call(int fd, std::uint32_t request, Call&& call) {
        RefusedCall refused{.request = request, .abi = task().abi()};
        return without_gil(
            [&] {
                auto answer = call();
                if (!answer) [[unlikely]] {
                    refused.file_kind = kind_of(fd);
                }
                return answer;
            },
            refused);
    }
    const char* kind_of(int fd) {
        // The file may be released here.
        const fs::DeferredWork::Call outermost(kernel().deferred_work());
        const auto file = task().files().get(fd);
        return file ? (*file)->kind() : nullptr;
    }

    std::int64_t ioctl_number(int fd, std::uint32_t request, std::uint64_t argument) {
        return ioctl_call(fd, request,
                          [&] { return fs::sys_ioctl(task(), fd, request, argument); });
    }

    std::int64_t ioctl_block(int fd, std::uint32_t request, const py::object& argument) {
        static constexpr std::byte kZero[ArgumentMemory::kZeros]{};
        const PyBuffer buffer(argument, PyBUF_SIMPLE);
        return ioctl_call(fd, request, [&]() -> Result<std::int64_t> {
            const auto block = TRY(arguments_.take(buffer.bytes()));
            TRY(mm().copy_to_user(block.address(), buffer.data(), buffer.bytes()));
            TRY(mm().copy_to_user(block.address() + buffer.bytes(), kZero, sizeof kZero));
            auto answer = fs::sys_ioctl(task(), fd, request, block.address());
            // Also after a refusal: some calls write the size that they need.
            if (buffer.writable()) {
                TRY(mm().copy_from_user(buffer.data(), block.address(), buffer.bytes()));
            }
            return answer;
        });
    }

    template <class Call>
    py::bytes read_with(std::uint64_t bytes, Call&& call) {
        std::vector<char> copy;
        without_gil([&]() -> Result<std::int64_t> {
            if (bytes > kernel().memory().bytes()) {
                // Refused before the file is read, whose data would be lost.
                return call(fs::UserBuffer{mm::kTaskSize + 1, bytes});
            }
            const auto block = TRY(arguments_.take(bytes));
            const std::int64_t moved = TRY(call(fs::UserBuffer{block.address(), bytes}));
            copy.resize(static_cast<std::size_t>(moved));
            TRY(mm().copy_from_user(copy.data(), block.address(), copy.size()));
            return moved;
        });
        return py::bytes(copy.data(), copy.size());
    }

    template <class Call>
    std::int64_t write_with(const py::object& data, Call&& call) {
        const PyBuffer buffer(data, PyBUF_SIMPLE);
        return without_gil([&]() -> Result<std::int64_t> {
            const auto block = TRY(arguments_.take(buffer.bytes()));
            TRY(mm().copy_to_user(block.address(), buffer.data(), buffer.bytes()));
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

    py::object system_;
    std::shared_ptr<Machine> machine_;
    std::shared_ptr<machine::Process> process_;
    ArgumentMemory arguments_;
};

// Python's view of process memory, which keeps the machine. In a child of the host's process it
// maps the parent's memory, as every shared mapping does, and its destructor does not put the
// frames.
class PyView {
  public:
    PyView(py::object process, std::unique_ptr<mm::View> view)
        : process_(std::move(process)),
          machine_(process_.cast<Process&>().machine()),
          view_(mm::owned_by_host(std::move(view))) {}
    // For the garbage collector. The memory does not depend on the process.
    int traverse(visitproc visit, void* arg) const {
        Py_VISIT(process_.ptr());
        return 0;
    }
    void clear() { py::object(std::move(process_)); }
    py::buffer_info buffer() {
        return py::buffer_info(reinterpret_cast<std::uint8_t*>(view_->data()),
                               static_cast<py::ssize_t>(view_->bytes()), false);
    }

  private:
    py::object process_;
    std::shared_ptr<Machine> machine_;
    std::shared_ptr<mm::View> view_;
};

}  // namespace kvmiommu
