// SPDX-License-Identifier: MIT

#include "fs/fd_table.h"

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::value;

Ref<File> file(Machine& machine) {
    return make<EventFd>(machine.kernel, 0, 0);
}

TEST_CASE("a file gets the lowest free descriptor") {
    Machine machine;
    FdTable table;
    CHECK(value(table.install(file(machine), 16)) == 0);
    CHECK(value(table.install(file(machine), 16)) == 1);
    CHECK(value(table.install(file(machine), 16)) == 2);
    value(table.remove(1)).reset();
    value(table.remove(0)).reset();
    CHECK(value(table.install(file(machine), 16)) == 0);
    CHECK(value(table.install(file(machine), 16)) == 1);
    CHECK(table.open_count() == 3);
}

TEST_CASE("descriptors end at the limit, which may be below those that are open") {
    Machine machine;
    FdTable table;
    CHECK(outcome(table.install(file(machine), 0)) == "EMFILE");
    CHECK(outcome(table.install(file(machine), 2)) == "ok");
    CHECK(outcome(table.install(file(machine), 2)) == "ok");
    CHECK(outcome(table.install(file(machine), 2)) == "EMFILE");
    CHECK(outcome(table.install(file(machine), 1)) == "EMFILE");
    value(table.remove(0)).reset();
    CHECK(value(table.install(file(machine), 1)) == 0);
}

TEST_CASE("a descriptor that is not open is EBADF") {
    Machine machine;
    FdTable table;
    CHECK(outcome(table.get(0)) == "EBADF");
    CHECK(outcome(table.get(-1)) == "EBADF");
    CHECK(outcome(table.get(1 << 30)) == "EBADF");
    CHECK(outcome(table.remove(0)) == "EBADF");
    CHECK(outcome(table.remove(-1)) == "EBADF");
    value(table.install(file(machine), 16));
    CHECK(outcome(table.get(0)) == "ok");
    value(table.remove(0)).reset();
    CHECK(outcome(table.get(0)) == "EBADF");
    CHECK(outcome(table.remove(0)) == "EBADF");
}

TEST_CASE("a number that is taken names no file until it is given one") {
    Machine machine;
    FdTable table;
    CHECK(value(table.get_unused_fd(16)) == 0);
    CHECK(outcome(table.get(0)) == "EBADF");
    CHECK(outcome(table.remove(0)) == "EBADF");
    CHECK(value(table.get_unused_fd(16)) == 1);
    CHECK(table.open_count() == 0);
    table.put_unused_fd(0);
    CHECK(value(table.get_unused_fd(16)) == 0);
    table.fd_install(0, file(machine));
    CHECK(outcome(table.get(0)) == "ok");
    CHECK(table.open_count() == 1);
}

TEST_CASE("a file goes with its last descriptor") {
    Machine machine;
    FdTable table;
    Ref<File> one = file(machine);
    value(table.install(one, 16));
    value(table.install(one, 16));
    CHECK(one->references() == 3);
    value(table.remove(0)).reset();
    one.reset();
    CHECK(machine.census().alive() == 1);
    value(table.remove(1)).reset();
    CHECK(machine.census().alive() == 0);
}

TEST_CASE("files are closed in the order of their descriptors") {
    class Closing final : public File {
      public:
        Closing(Machine& machine, std::string& order, char name)
            : File(machine.kernel, "closing", O_RDWR, false), order_(order), name_(name) {}
        ~Closing() override { order_ += name_; }

      private:
        std::string& order_;
        char name_;
    };
    Machine machine;
    std::string order;
    {
        FdTable table;
        value(table.install(make<Closing>(machine, order, 'a'), 16));
        value(table.install(make<Closing>(machine, order, 'b'), 16));
        value(table.install(make<Closing>(machine, order, 'c'), 16));
        value(table.remove(1)).reset();
        value(table.install(make<Closing>(machine, order, 'd'), 16));
        table.close_all();
        CHECK(order == "badc");
        CHECK(table.open_count() == 0);
    }
    {
        FdTable table;
        value(table.install(make<Closing>(machine, order, 'e'), 16));
    }
    CHECK(order == "badce");
}

TEST_CASE("once all is closed nothing can be opened") {
    Machine machine;
    FdTable table;
    CHECK(value(table.get_unused_fd(16)) == 0);
    table.close_all();
    table.fd_install(0, file(machine));
    CHECK(machine.census().alive() == 0);
    table.put_unused_fd(0);
    CHECK(outcome(table.get(0)) == "EBADF");
    CHECK(outcome(table.install(file(machine), 16)) == "EBADF");
    CHECK(outcome(table.get_unused_fd(16)) == "EBADF");
    table.close_all();
}

}  // namespace
}  // namespace kvmiommu::fs
