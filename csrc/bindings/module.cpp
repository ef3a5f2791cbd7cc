// SPDX-License-Identifier: MIT
//
// kvmiommu._core: the emulated kernel for Python. It translates and holds no rules; the friendly
// face is the Python package around it.

#include "bindings/register.h"

PYBIND11_MODULE(_core, core, pybind11::mod_gil_not_used()) {
    // What is kept for a thread, and the way back into Python, is the main interpreter's.
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        throw pybind11::import_error("kvmiommu can be imported in the main interpreter alone");
    }
    // Signatures stand in the texts themselves, in the form that inspect.signature() reads.
    pybind11::options options;
    options.disable_function_signatures();
    core.doc() = "The emulated kernel. Use the objects of the kvmiommu package.";
    kvmiommu::register_uapi(core);
    kvmiommu::register_pci(core);
    kvmiommu::register_description(core);
    kvmiommu::register_iommu(core);
    kvmiommu::register_semantics(core);
    kvmiommu::register_pamu(core);
    kvmiommu::register_system(core);
    kvmiommu::register_process(core);
}
