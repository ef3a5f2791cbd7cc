// SPDX-License-Identifier: MIT
//
// kvmiommu._core: the emulated kernel for Python. It translates and holds no rules; the friendly
// face is the Python package around it.

#include "bindings/register.h"

// Behind PyInit__core() below.
PYBIND11_MODULE(_core_of_main_interpreter, core, pybind11::mod_gil_not_used()) {
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

// In another interpreter than the main one pybind11 would wait for the GIL that the thread has
// (PyGILState_Ensure). Python calls this for each interpreter.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core();
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "kvmiommu can be imported in the main interpreter alone");
        return nullptr;
    }
    return PyInit__core_of_main_interpreter();
}
