// SPDX-License-Identifier: MIT
//
// The guest's side of a vcpu: a process queues the hypercalls that on a real machine the guest's
// code makes.

#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <vector>

#include "bindings/process.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

namespace kvmiommu {

namespace guest {

inline Ref<kvm::Vcpu> vcpu_at(Process& process, Fd fd) {
    const Ref<fs::File> file = value_or_raise(process.task().files().get(fd));
    auto* const vcpu = dynamic_cast<kvm::VcpuFile*>(file.get());
    if (vcpu == nullptr) {
        throw py::value_error("descriptor " + std::to_string(fd.number) + " is not a vcpu's");
    }
    return Ref<kvm::Vcpu>(vcpu->vcpu());
}

inline void queue_hypercalls(Process& process, Fd fd,
                             const std::vector<std::vector<std::uint64_t>>& calls) {
    std::vector<kvm::Hypercall> queued;
    queued.reserve(calls.size());
    for (const auto& call : calls) {
        kvm::Hypercall hypercall{};
        if (call.empty() || call.size() - 1 > hypercall.arguments.size()) {
            throw py::value_error("a hypercall is its number and up to nine arguments, not " +
                                  std::to_string(call.size()) + " numbers");
        }
        hypercall.number = call[0];
        std::copy(call.begin() + 1, call.end(), hypercall.arguments.begin());
        queued.push_back(hypercall);
    }
    vcpu_at(process, fd)->queue(std::move(queued));
}

inline py::list take_hypercall_answers(Process& process, Fd fd) {
    py::list answers;
    for (const kvm::HypercallAnswer& answer : vcpu_at(process, fd)->take_answers()) {
        answers.append(
            py::make_tuple(answer.number, static_cast<std::int64_t>(answer.r3), answer.r4));
    }
    return answers;
}

inline py::tuple hypercall_figures(Process& process, Fd fd) {
    const kvm::HypercallFigures figures = vcpu_at(process, fd)->figures();
    return py::make_tuple(figures.real_mode, figures.virtual_mode, figures.user);
}

inline py::list table_states(Process& process, Fd fd) {
    const Ref<fs::File> file = value_or_raise(process.task().files().get(fd));
    auto* const vm = dynamic_cast<kvm::VmFile*>(file.get());
    if (vm == nullptr) {
        throw py::value_error("descriptor " + std::to_string(fd.number) +
                              " is not a virtual machine's");
    }
    py::list states;
    for (const spapr::TableState& state : vm->vm().table_states()) {
        py::dict entries;
        for (const auto& [page, tce] : state.entries) {
            entries[py::int_(page)] = tce;
        }
        states.append(py::make_tuple(state.liobn, state.group, state.page_shift, state.offset,
                                     state.size, entries));
    }
    return states;
}

constexpr char kStates[] = R"(_tce_tables(self, fd)
--

What the buses of a virtual machine's guest have in their tables: liobn, group or None, page shift,
offset, size, and the entries by their pages.

Raises OSError EBADF, ValueError for a descriptor that is not a virtual machine's.)";

constexpr char kQueue[] = R"(_queue_hypercalls(self, fd, calls)
--

The guest on a vcpu makes these hypercalls next: lists of a number and up to nine arguments.

Raises OSError EBADF, ValueError for a descriptor that is not a vcpu's.)";

constexpr char kAnswers[] = R"(_take_hypercall_answers(self, fd)
--

What came back to the guest since this was asked last: number, r3 (signed), r4.)";

constexpr char kFigures[] = R"(_hypercall_figures(self, fd)
--

How many hypercalls the kernel answered in real mode and in virtual mode, and how many user space
did.)";

}  // namespace guest

}  // namespace kvmiommu
