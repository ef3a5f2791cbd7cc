// SPDX-License-Identifier: MIT

#include "mm/fork_generation.h"

#include <pthread.h>

namespace kvmiommu::mm {

namespace {
constexpr Source kSource{"kvmiommu: mm/fork_generation.h"};
}

std::atomic<std::uint32_t> ForkGeneration::now_{0};

ForkGeneration::ForkGeneration() {
    [[maybe_unused]] static const int registered =
        pthread_atfork(nullptr, nullptr, &ForkGeneration::count_fork);
    made_ = now_.load(std::memory_order_relaxed);
}

void ForkGeneration::count_fork() {
    now_.fetch_add(1, std::memory_order_relaxed);
}

Result<> ForkGeneration::refuse_inherited() {
    return refuse(EIO, "this machine belongs to the process that forked", kSource);
}

}  // namespace kvmiommu::mm
