// SPDX-License-Identifier: MIT

#include "bindings/gil.h"

#include <unistd.h>

namespace kvmiommu {

bool interpreter_ends() {
#if PY_VERSION_HEX >= 0x030d0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

void stop_here() {
    for (;;) {
        pause();
    }
}

}  // namespace kvmiommu
