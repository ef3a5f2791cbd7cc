// SPDX-License-Identifier: MIT

#include "fs/device_nodes.h"

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr Source kSource{"here"};

class Nodes {
  public:
    Nodes() {
        add("/dev/kvm", 0666);
        add("/dev/vfio/vfio", 0666);
        add("/dev/vfio/26", 0600);
        add("/dev/vfio/noiommu-0", 0644);
    }

    void add(const std::string& path, std::uint32_t mode) {
        machine.kernel.nodes().add(path, mode, [this](Task&, int flags) -> Result<Ref<File>> {
            last_flags = flags;
            return make<EventFd>(machine.kernel, 0, 0);
        });
    }
    std::string open(std::string_view path, int flags = O_RDWR) {
        return outcome(machine.kernel.nodes().open(process.task, path, flags));
    }

    Machine machine;
    Process process{machine};
    int last_flags = 0;
};

TEST_CASE("a path may be written in several ways") {
    Nodes nodes;
    CHECK(nodes.open("/dev/vfio/vfio") == "ok");
    CHECK(nodes.open("//dev///vfio/vfio") == "ok");
    CHECK(nodes.open("/dev/./vfio/./vfio") == "ok");
    CHECK(nodes.open("/dev/vfio/../kvm") == "ok");
    CHECK(nodes.open("/../dev/kvm") == "ok");
    CHECK(nodes.open("dev/kvm") == "ok");
}

TEST_CASE("a path is refused for what is wrong with it first") {
    Nodes nodes;
    CHECK(nodes.open("") == "ENOENT");
    CHECK(nodes.open("/dev/nosuch") == "ENOENT");
    CHECK(nodes.open("/nosuch/kvm") == "ENOENT");
    CHECK(nodes.open("/dev/vfio/2") == "ENOENT");
    CHECK(nodes.open("/dev/vfio/26/device") == "ENOTDIR");
    CHECK(nodes.open("/dev/kvm/") == "ENOTDIR");
    CHECK(nodes.open("/dev/kvm/.") == "ENOTDIR");
    CHECK(nodes.open("/dev/kvm/..") == "ENOTDIR");
    CHECK(nodes.open("/dev/nosuch/../kvm") == "ENOENT");
    CHECK(nodes.open("/dev/nosuch/") == "ENOENT");
    CHECK(nodes.open("/dev/vfio") == "EISDIR");
    CHECK(nodes.open("/dev/vfio/") == "EISDIR");
    CHECK(nodes.open("/dev/vfio/..") == "EISDIR");
    CHECK(nodes.open("/") == "EISDIR");
}

TEST_CASE("a path ends below 4096 bytes, a name in it at 255") {
    Nodes nodes;
    const std::string slashes(4096, '/');
    CHECK(nodes.open(slashes.substr(0, 4088) + "dev/kvm") == "ok");
    CHECK(nodes.open(slashes.substr(0, 4089) + "dev/kvm") == "ENAMETOOLONG");
    const std::string name(256, 'a');
    CHECK(nodes.open("/" + name.substr(0, 255)) == "ENOENT");
    CHECK(nodes.open("/" + name) == "ENAMETOOLONG");
    CHECK(nodes.open("/dev/" + name + "/x") == "ENAMETOOLONG");
    CHECK(nodes.open("/nosuch/" + name) == "ENOENT");
    CHECK(nodes.open("/dev/kvm/" + name) == "ENOTDIR");
}

TEST_CASE("flags that a device node does not go with") {
    Nodes nodes;
    CHECK(nodes.open("/dev/kvm", O_RDWR | O_DIRECTORY) == "ENOTDIR");
    CHECK(nodes.open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL) == "EEXIST");
    CHECK(nodes.open("/dev/kvm", O_RDWR | O_CREAT) == "ok");
    CHECK(nodes.open("/dev/kvm", O_RDWR | O_EXCL) == "ok");
}

TEST_CASE("a node sees the flags as they were given") {
    Nodes nodes;
    CHECK(nodes.open("/dev/kvm", O_RDONLY | O_CLOEXEC | O_NONBLOCK) == "ok");
    CHECK(nodes.last_flags == (O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

TEST_CASE("user 0 opens what it likes, others what the mode lets them") {
    Nodes nodes;
    CHECK(nodes.open("/dev/vfio/26") == "ok");
    CHECK(nodes.open("/dev/vfio/noiommu-0") == "ok");
    value(nodes.process.task.set_user(1000));
    CHECK(nodes.open("/dev/vfio/vfio") == "ok");
    CHECK(nodes.open("/dev/vfio/26", O_RDONLY) == "EACCES");
    CHECK(nodes.open("/dev/vfio/26", O_RDWR) == "EACCES");
    CHECK(nodes.open("/dev/vfio/noiommu-0", O_RDONLY) == "ok");
    CHECK(nodes.open("/dev/vfio/noiommu-0", O_WRONLY) == "EACCES");
    CHECK(nodes.open("/dev/vfio/noiommu-0", O_RDWR) == "EACCES");
    CHECK(nodes.open("/dev/vfio/noiommu-0", O_ACCMODE) == "EACCES");
    CHECK(nodes.open("/dev/vfio/nosuch") == "ENOENT");
}

TEST_CASE("what the node refuses is refused") {
    Nodes nodes;
    nodes.machine.kernel.nodes().add("/dev/busy", 0666, [](Task&, int) -> Result<Ref<File>> {
        return refuse(EBUSY, "opened already", kSource);
    });
    CHECK(nodes.open("/dev/busy") == "EBUSY");
}

TEST_CASE("nodes come and go, and folders with them") {
    Nodes nodes;
    nodes.machine.kernel.nodes().remove("/dev/kvm");
    CHECK(nodes.open("/dev/kvm") == "ENOENT");
    nodes.add("/dev/vfio/devices/vfio0", 0600);
    CHECK(nodes.open("/dev/vfio/devices") == "EISDIR");
    nodes.machine.kernel.nodes().remove("/dev/vfio/devices/vfio0");
    CHECK(nodes.open("/dev/vfio/devices") == "ENOENT");
    CHECK(nodes.open("/dev/vfio/devices/vfio0") == "ENOENT");
}

TEST_CASE("a node may add and remove nodes while it is opened") {
    Nodes nodes;
    nodes.machine.kernel.nodes().add("/dev/maker", 0666, [&](Task&, int) -> Result<Ref<File>> {
        nodes.add("/dev/made", 0666);
        nodes.machine.kernel.nodes().remove("/dev/maker");
        return make<EventFd>(nodes.machine.kernel, 0, 0);
    });
    CHECK(nodes.open("/dev/maker") == "ok");
    CHECK(nodes.open("/dev/made") == "ok");
    CHECK(nodes.open("/dev/maker") == "ENOENT");
}

}  // namespace
}  // namespace kvmiommu::fs
