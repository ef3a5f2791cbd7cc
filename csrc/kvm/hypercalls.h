// SPDX-License-Identifier: MIT
//
// The hypercalls that KVM can handle in the kernel (arch/powerpc/kvm/book3s_hv.c:
// default_hcall_list, kvmppc_hcall_impl_hv). The numbers are those of LoPAR.

#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace kvmiommu::kvm {

/// Enabled in a new virtual machine.
inline constexpr std::uint32_t kEnabledHypercalls[] = {
    0x04, 0x08, 0x0c, 0x18, 0x124,        // hash tables: H_REMOVE, H_ENTER, H_READ, H_PROTECT,
                                          // H_BULK_REMOVE
    0x1c, 0x20,                           // H_GET_TCE, H_PUT_TCE
    0x28, 0x134,                          // H_SET_DABR, H_SET_XDABR
    0xe0, 0xe8, 0xe4, 0xdc,               // H_CEDE, H_PROD, H_CONFER, H_REGISTER_VPA
    0x64, 0x68, 0x6c, 0x70, 0x74, 0x2fc,  // interrupts: H_EOI, H_CPPR, H_IPI, H_IPOLL, H_XIRR,
                                          // H_XIRR_X
};

/// Can be enabled with KVM_CAP_PPC_ENABLE_HCALL.
inline constexpr std::uint32_t kOtherHypercalls[] = {
    0x10,  0x14,   // H_CLEAR_MOD, H_CLEAR_REF
    0x2c,          // H_PAGE_INIT
    0x3c,  0x40,   // H_LOGICAL_CI_LOAD, H_LOGICAL_CI_STORE
    0x138, 0x13c,  // H_STUFF_TCE, H_PUT_TCE_INDIRECT
    0x300,         // H_RANDOM
    0x31c,         // H_SET_MODE
    0x448,         // H_RPT_INVALIDATE
};

constexpr bool answers_hypercall(std::uint64_t number) {
    const auto has = [number](const auto& list) {
        return std::find(std::begin(list), std::end(list), number) != std::end(list);
    };
    return has(kEnabledHypercalls) || has(kOtherHypercalls);
}

}  // namespace kvmiommu::kvm
