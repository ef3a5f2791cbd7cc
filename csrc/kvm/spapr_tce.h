// SPDX-License-Identifier: MIT
//
// The descriptor of a guest's TCE table, which can be mapped only (arch/powerpc/kvm/
// book3s_64_vio.c: kvm_spapr_tce_fops).

#pragma once

#include <utility>

#include "fs/file.h"
#include "spapr/guest_table.h"

namespace kvmiommu::kvm {

class SpaprTceFile final : public fs::File {
  public:
    SpaprTceFile(fs::Kernel& kernel, Ref<spapr::GuestTable> table)
        : File(kernel, "kvm-spapr-tce", O_RDWR, false) {
        table_ = std::move(table);
    }

    spapr::GuestTable& table() { return *table_; }
    /// Any length and any offset: an access past the table's end is a SIGBUS. Does not fail.
    Result<fs::FileMapping> mmap(fs::Task&, const fs::FileMapRequest& request) override {
        return fs::FileMapping{table_, request.offset};
    }

  private:
    Ref<spapr::GuestTable> table_{"kvm-spapr-tce"};
};

}  // namespace kvmiommu::kvm
