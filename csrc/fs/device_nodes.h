// SPDX-License-Identifier: MIT
//
// The device nodes under /dev, and how their names are looked up (fs/namei.c, drivers/base/
// devtmpfs.c).

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
    /// Creates the File of one open(); `flags` are the caller's.
    using Open = std::function<Result<Ref<File>>(Task& task, int flags)>;

    /// Adds a node owned by user 0; `path` is absolute, `mode` its permission bits. Its directories
    /// exist while a node is in them.
    void add(std::string path, std::uint32_t mode, Open open) EXCLUDES(mutex_);
    void remove(const std::string& path) EXCLUDES(mutex_);

    /// getname().
    /// ENOENT the path is empty
    /// ENAMETOOLONG the path has 4096 bytes or more
    static Result<> check_name(std::string_view path);
    /// open() of a path; a relative one begins at /. (fs/namei.c: link_path_walk, do_open)
    /// and what check_name() says
    /// For each component in turn:
    /// ENAMETOOLONG the component has more than 255 bytes
    /// ENOTDIR the component is a node, and another one follows
    /// ENOENT there is no such name
    /// Then:
    /// EISDIR the path is a directory: only nodes can be opened
    /// ENOTDIR O_DIRECTORY
    /// EEXIST O_CREAT with O_EXCL
    /// EACCES the mode of the node does not permit it, without CAP_DAC_OVERRIDE
    /// and what the node's Open says
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
