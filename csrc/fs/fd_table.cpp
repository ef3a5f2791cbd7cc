// SPDX-License-Identifier: MIT

#include "fs/fd_table.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace kvmiommu::fs {

namespace {
constexpr Source kGet{"fs/file.c: __fget_files"};
constexpr Source kAllocate{"fs/file.c: alloc_fd"};
}  // namespace

Result<Ref<File>> FdTable::get(int fd) const {
    const Lock lock(mutex_);
    const auto index = static_cast<std::size_t>(fd);
    if (fd < 0 || index >= slots_.size() || !slots_[index].file) {
        return refuse(EBADF, "descriptor {:d} is not open", kGet, fd);
    }
    return Ref<File>(*slots_[index].file);
}

Result<int> FdTable::get_unused_fd(std::uint64_t limit) {
    const Lock lock(mutex_);
    if (closed_) {
        return refuse(EBADF, "the process has exited", kAllocate);
    }
    const auto free =
        std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.taken; });
    const auto fd = static_cast<std::uint64_t>(free - slots_.begin());
    if (fd >= limit) {
        return refuse(EMFILE, "all {} descriptors of the task are open", kAllocate, limit);
    }
    if (free == slots_.end()) {
        slots_.emplace_back();
    }
    slots_[fd].taken = true;
    return static_cast<int>(fd);
}

void FdTable::fd_install(int fd, Ref<File> file) {
    const Lock lock(mutex_);
    if (closed_) {
        return;  // The process has exited: the file is put at the end of the call.
    }
    Slot& slot = slots_[static_cast<std::size_t>(fd)];
    assert(slot.taken && !slot.file);
    slot.file = std::move(file);
}

void FdTable::put_unused_fd(int fd) {
    const Lock lock(mutex_);
    if (!closed_) {
        slots_[static_cast<std::size_t>(fd)].taken = false;
    }
}

Result<int> FdTable::install(Ref<File> file, std::uint64_t limit) {
    const int fd = TRY(get_unused_fd(limit));
    fd_install(fd, std::move(file));
    return fd;
}

Result<Ref<File>> FdTable::remove(int fd) {
    const Lock lock(mutex_);
    const auto index = static_cast<std::size_t>(fd);
    if (fd < 0 || index >= slots_.size() || !slots_[index].file) {
        return refuse(EBADF, "descriptor {:d} is not open", kGet, fd);
    }
    slots_[index].taken = false;
    return std::move(slots_[index].file);
}

void FdTable::close_all() {
    std::vector<Slot> slots;
    {
        const Lock lock(mutex_);
        closed_ = true;
        slots.swap(slots_);
    }
    // In the order of close_files().
    for (Slot& slot : slots) {
        slot.file.reset();
    }
}

std::uint64_t FdTable::open_count() const {
    const Lock lock(mutex_);
    return static_cast<std::uint64_t>(std::count_if(
        slots_.begin(), slots_.end(), [](const Slot& slot) { return bool(slot.file); }));
}

}  // namespace kvmiommu::fs
