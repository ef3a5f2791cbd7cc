// SPDX-License-Identifier: MIT

#include "iommu/map_sg.h"

namespace kvmiommu::iommu {

Result<std::uint64_t> map_sg(Domain& domain, std::uint64_t iova,
                             std::span<const mm::PhysicalRun> pieces, std::uint32_t protection,
                             FaultPoints& faults) {
    std::uint64_t mapped = 0;
    for (std::size_t at = 0; at < pieces.size();) {
        mm::PhysicalRun run = pieces[at];
        for (++at; at < pieces.size() && pieces[at].address == run.address + run.bytes; ++at) {
            run.bytes += pieces[at].bytes;
        }
        const auto done = map(domain, iova + mapped, run.address, run.bytes, protection, faults);
        if (!done) {
            unmap_whole(domain, iova, mapped);
            return std::unexpected(done.error());
        }
        mapped += run.bytes;
    }
    return mapped;
}

}  // namespace kvmiommu::iommu
