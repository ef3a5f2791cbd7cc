// SPDX-License-Identifier: MIT
//
// /dev/null (drivers/char/mem.c: null_fops). A process starts with three descriptors of it.

#pragma once

#include "fs/file.h"

namespace kvmiommu::fs {

class NullFile final : public File {
  public:
    NullFile(Kernel& kernel, int flags) : File(kernel, "/dev/null", flags, true) {}

    /// Always at end of file. None of these fails.
    Result<std::int64_t> read(Task&, UserBuffer) override { return 0; }
    Result<std::int64_t> pread(Task&, UserBuffer, std::uint64_t) override { return 0; }
    /// Discards everything without reading it.
    Result<std::int64_t> write(Task&, UserBuffer from) override { return taken(from); }
    Result<std::int64_t> pwrite(Task&, UserBuffer from, std::uint64_t) override {
        return taken(from);
    }

  private:
    static std::int64_t taken(UserBuffer from) { return static_cast<std::int64_t>(from.bytes); }
};

}  // namespace kvmiommu::fs
