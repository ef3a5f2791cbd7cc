// SPDX-License-Identifier: MIT

#include "fs/device_nodes.h"

#include <fcntl.h>

#include <utility>

#include "fs/file.h"
#include "fs/task.h"

namespace kvmiommu::fs {

namespace {

constexpr Source kWalk{"fs/namei.c: link_path_walk"};
constexpr Source kOpen{"fs/namei.c: do_open"};
constexpr Source kPermission{"fs/namei.c: inode_permission"};

constexpr std::size_t kPathMax = 4096;
constexpr std::size_t kNameMax = 255;
constexpr std::uint32_t kMayRead = 4;
constexpr std::uint32_t kMayWrite = 2;

std::uint32_t wanted(int flags) {
    switch (flags & O_ACCMODE) {
        case O_RDONLY:
            return kMayRead;
        case O_WRONLY:
            return kMayWrite;
        default:
            return kMayRead | kMayWrite;
    }
}

}  // namespace

void DeviceNodes::add(std::string path, std::uint32_t mode, Open open) {
    const Lock lock(mutex_);
    nodes_.insert_or_assign(std::move(path), Node{mode, std::move(open)});
}

void DeviceNodes::remove(const std::string& path) {
    const Lock lock(mutex_);
    nodes_.erase(path);
}

Result<> DeviceNodes::check_name(std::string_view path) {
    if (path.empty()) {
        return refuse(ENOENT, "an empty path", kWalk);
    }
    if (path.size() >= kPathMax) {
        return refuse(ENAMETOOLONG, "a path of {} bytes, {} are too many", kWalk, path.size(),
                      kPathMax);
    }
    return {};
}

// A name is a directory while a node is in it; "" is the root.
bool DeviceNodes::is_folder(const std::string& name) const {
    const std::string inside = name + '/';
    const auto first = nodes_.lower_bound(inside);
    return name.empty() || (first != nodes_.end() && first->first.starts_with(inside));
}

Result<DeviceNodes::Node> DeviceNodes::find(std::string_view path) {
    TRY(check_name(path));
    const Lock lock(mutex_);
    std::string name;  // the part that has been walked
    while (!path.empty()) {
        const std::size_t slash = path.find('/');
        const std::string_view part = path.substr(0, slash);
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash);
        if (part == "..") {
            name.resize(name.empty() ? 0 : name.rfind('/'));
        } else if (!part.empty() && part != ".") {
            if (part.size() > kNameMax) {
                return refuse(ENAMETOOLONG, "a name of {} bytes, {} are the most", kWalk,
                              part.size(), kNameMax);
            }
            name += '/';
            name += part;
        }
        if (path.empty()) {
            break;
        }
        path.remove_prefix(1);
        if (is_folder(name)) {
            continue;
        }
        if (nodes_.contains(name)) {
            return refuse(ENOTDIR, "a device node is not a folder", kWalk);
        }
        return refuse(ENOENT, "there is no such name", kWalk);
    }
    if (const auto found = nodes_.find(name); found != nodes_.end()) {
        return found->second;
    }
    if (is_folder(name)) {
        return refuse(EISDIR, "a folder: only device nodes can be opened", kOpen);
    }
    return refuse(ENOENT, "there is no such name", kWalk);
}

Result<Ref<File>> DeviceNodes::open(Task& task, std::string_view path, int flags) {
    const Node node = TRY(find(path));
    if ((flags & O_DIRECTORY) != 0) {
        return refuse(ENOTDIR, "O_DIRECTORY and a device node", kOpen);
    }
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        return refuse(EEXIST, "O_CREAT with O_EXCL, and the node exists", kOpen);
    }
    const Credentials who = task.credentials();
    const std::uint32_t granted = who.uid == 0 ? node.mode >> 6 & 7 : node.mode & 7;
    if ((wanted(flags) & ~granted) != 0 && !who.capable(Capability::dac_override)) {
        return refuse(EACCES,
                      "mode {:o} of the node does not let user {} open it with mode {:mode}",
                      kPermission, node.mode, who.uid, flags);
    }
    return node.open(task, flags);
}

}  // namespace kvmiommu::fs
