// SPDX-License-Identifier: MIT
//
// kvmiommu._core: the extension module. It translates and holds no rules; the public API is the
// Python package around it.

#include "bindings/register.h"

// Called by PyInit__core() below.
PYBIND11_MODULE(_core_of_main_interpreter, core, pybind11::mod_gil_not_used()) {
    // The docstrings contain signatures, in the form that inspect.signature() parses.
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

// Called by Python for each interpreter. In a subinterpreter pybind11 would deadlock on the GIL
// that the thread holds (PyGILState_Ensure).
extern "C" PYBIND11_EXPORT PyObject* PyInit__core();
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "kvmiommu can be imported in the main interpreter alone");
        return nullptr;
    }
    return PyInit__core_of_main_interpreter();
}
