// SPDX-License-Identifier: MIT

#include "fs/memfd.h"

#include <algorithm>

#include "fs/kernel.h"
#include "fs/task.h"

namespace kvmiommu::fs {

namespace {
constexpr Source kWrite{"mm/shmem.c: shmem_file_write_iter"};
constexpr std::uint64_t kLongest = ~std::uint64_t{0} >> 1;

// A piece lies within one page of the file and one page of the caller's memory, so that all bytes
// in front of a bad page are moved.
std::uint64_t piece(std::uint64_t address, std::uint64_t within, std::uint64_t bytes,
                    std::uint64_t page_size) {
    return std::min({bytes, page_size - within, page_size - address % page_size});
}

}  // namespace

MemFd::MemFd(Kernel& kernel) : File(kernel, "memfd", O_RDWR, true) {
    pages_ = make<mm::Shmem>(kernel.census(), kernel.memory(), kernel.page_size(), 0);
}

Result<std::int64_t> MemFd::read(Task& task, UserBuffer to) {
    const Lock lock(position_mutex_);
    const std::int64_t moved = TRY(pread(task, to, position_));
    position_ += static_cast<std::uint64_t>(moved);
    return moved;
}

Result<std::int64_t> MemFd::write(Task& task, UserBuffer from) {
    const Lock lock(position_mutex_);
    const std::int64_t moved = TRY(pwrite(task, from, position_));
    position_ += static_cast<std::uint64_t>(moved);
    return moved;
}

void MemFd::resize(std::uint64_t bytes) {
    const Lock lock(inode_mutex_);
    pages_->resize(bytes);
}

// An error is returned only if no byte was moved before it.
Result<std::int64_t> MemFd::pread(Task& task, UserBuffer to, std::uint64_t offset) {
    const std::uint64_t page_size = task.kernel().page_size();
    const std::uint64_t size = pages_->size();
    const std::uint64_t bytes = offset >= size ? 0 : std::min(to.bytes, size - offset);
    std::uint64_t moved = 0;
    while (moved < bytes) {
        const std::uint64_t within = (offset + moved) % page_size;
        const std::uint64_t step = piece(to.address + moved, within, bytes - moved, page_size);
        const auto page = pages_->frames(offset + moved - within, page_size);
        if (!page && page.error().error() == EFAULT) {
            break;  // The file was truncated meanwhile.
        }
        const auto copied =
            !page ? Result<>(std::unexpected(page.error()))
                  : task.mm().copy_to_user(to.address + moved, page->data() + within, step);
        if (!copied) {
            if (moved != 0) {
                break;
            }
            return std::unexpected(copied.error());
        }
        moved += step;
    }
    return static_cast<std::int64_t>(moved);
}

Result<std::int64_t> MemFd::pwrite(Task& task, UserBuffer from, std::uint64_t offset) {
    const std::uint64_t bytes = from.bytes;
    const std::uint64_t page_size = task.kernel().page_size();
    const Lock lock(inode_mutex_);
    std::uint64_t moved = 0;
    while (moved < bytes) {
        const std::uint64_t at = offset + moved;
        const std::uint64_t within = at % page_size;
        const std::uint64_t step = piece(from.address + moved, within, bytes - moved, page_size);
        const auto page = pages_->page_to_write(at - within);
        const auto copied =
            !page ? Result<>(std::unexpected(page.error()))
                  : task.mm().copy_from_user(page->data() + within, from.address + moved, step);
        if (!copied) {
            // Frees a page past the end that was allocated and not written.
            pages_->resize(pages_->size());
            if (moved != 0) {
                break;
            }
            if (!page) {
                return refuse(ENOSPC, "no memory for the page at {:x}", kWrite, at - within);
            }
            return std::unexpected(copied.error());
        }
        pages_->extend(at + step);
        moved += step;
    }
    return static_cast<std::int64_t>(moved);
}

std::uint64_t MemFd::longest() const {
    return kLongest;
}

Result<FileMapping> MemFd::mmap(Task&, const FileMapRequest& request) {
    return FileMapping{pages_, request.offset};
}

}  // namespace kvmiommu::fs
