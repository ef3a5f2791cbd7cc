// SPDX-License-Identifier: MIT
//
// The names under /dev and what opening them gives. Nodes come and go with their devices.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/base.h"
#include "fs/lock_order.h"

namespace kvmiommu::fs {

class File;
class Task;

class DeviceNodes {
  public:
    /// Makes the File of one open(); `flags` as the caller gave them.
    using Open = std::function<Result<Ref<File>>(Task& task, int flags)>;

    /// Adds a node, which belongs to user 0; `path` is absolute, `mode` its permission bits.
    /// Its folders exist as soon as something is in them.
    void add(std::string path, std::uint32_t mode, Open open) EXCLUDES(mutex_);
    void remove(const std::string& path) EXCLUDES(mutex_);

    /// getname(): ENOENT an empty path, ENAMETOOLONG one of 4096 bytes or more.
    static Result<> check_name(std::string_view path);
    /// open() of a path, relative ones from /. As check_name(); ENOENT no such name, ENAMETOOLONG a
    /// part of more than 255 bytes, ENOTDIR a node in the place of a folder, EISDIR a folder (only
    /// nodes can be opened), EACCES not permitted; else what the node says. (fs/namei.c: do_open)
    Result<Ref<File>> open(Task& task, std::string_view path, int flags) EXCLUDES(mutex_);

  private:
    struct Node {
        std::uint32_t mode;
        Open open;
    };

    Result<Node> find(std::string_view path) EXCLUDES(mutex_);
    bool is_folder(const std::string& name) const REQUIRES(mutex_);

    Mutex mutex_{lock_order::kDeviceNodes};
    std::map<std::string, Node, std::less<>> nodes_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
