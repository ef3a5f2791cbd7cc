// SPDX-License-Identifier: MIT

#include "fs/ioctl_table.h"

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr Source kSource{"here"};

struct KvmThing {
    std::uint64_t in;
    std::uint64_t out;
};

struct VfioThing {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint64_t word;
    std::uint64_t later;  // came with a newer kernel
};

struct IommufdThing {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint64_t word;
    std::uint64_t later;
};

constexpr uapi::Request kValue = uapi::io('t', 1);
constexpr uapi::Request kKvmSet = uapi::iow<KvmThing>('t', 2);
constexpr uapi::Request kKvmBoth = uapi::iowr<KvmThing>('t', 3);
constexpr uapi::Request kVfio = uapi::io('t', 4);
constexpr uapi::Request kIommufd = uapi::io('t', 5);
constexpr uapi::Request kVfioAll = uapi::io('t', 6);
constexpr uapi::Request kRespond = uapi::io('t', 7);
constexpr uapi::Request kShort = uapi::iow_bytes('t', 7, 4);
constexpr uapi::Request kElsewhere = uapi::io('t', 8);

// A kind of file that remembers what its functions saw.
class Tiny final : public File {
  public:
    explicit Tiny(Kernel& kernel) : File(kernel, "tiny", O_RDWR, false) {}

    Result<std::int64_t> ioctl(Task& task, std::uint32_t command, std::uint64_t argument) override;

    Result<std::int64_t> take_value(Task&, std::uint64_t argument) {
        ++calls;
        return static_cast<std::int64_t>(argument + 1);
    }
    Result<std::int64_t> kvm(Block<KvmThing> thing) {
        ++calls;
        thing->out = thing->in * 2;
        if (thing->in == 13) {
            return refuse(EBUSY, "13", kSource);
        }
        return 7;
    }
    Result<std::int64_t> vfio(Block<VfioThing> thing) {
        ++calls;
        vfio_seen = *thing;
        thing->flags = 0xf;
        thing->word = 1;
        thing->later = 2;
        return 0;
    }
    Result<std::int64_t> vfio_all(Block<VfioThing> thing) {
        const std::uint32_t argsz = thing->argsz;
        thing->argsz = sizeof(VfioThing);
        thing->later = 2;
        thing.reply(argsz);
        return 0;
    }
    Result<std::int64_t> respond(Block<VfioThing> thing) {
        thing->word = 1;
        thing->later = 2;
        TRY(thing.respond());
        return refuse(ENOSPC, "after it was copied", kSource);
    }
    Result<std::int64_t> iommufd(Block<IommufdThing> thing) {
        ++calls;
        iommufd_seen = *thing;
        iommufd_user = thing.user().address();
        thing->word = 99;
        return 0;
    }

    int calls = 0;
    VfioThing vfio_seen{};
    IommufdThing iommufd_seen{};
    std::uint64_t iommufd_user = 0;
};

constexpr IoctlRow<Tiny> kRows[] = {
    value_row<&Tiny::take_value>(kValue),
    kvm_row<&Tiny::kvm>(kKvmSet),
    kvm_row<&Tiny::kvm>(kKvmBoth, Reply::success),
    vfio_row<&Tiny::vfio>(kVfio, &VfioThing::word, Reply::success),
    vfio_row<&Tiny::vfio_all>(kVfioAll, &VfioThing::word, Reply::success),
    vfio_row<&Tiny::respond>(kRespond, &VfioThing::word),
    iommufd_row<&Tiny::iommufd>(kIommufd, &IommufdThing::word),
};
constexpr IoctlRow<Tiny> kOtherRows[] = {
    value_row<&Tiny::take_value>(kShort),
    value_row<&Tiny::take_value>(kElsewhere),
};
constexpr IoctlTable<Tiny> kOther{kOtherRows, {EINVAL, "request {:x}", kSource}};
constexpr IoctlTable<Tiny> kTable{kRows, {ENOTTY, "request {:x}", kSource}, &kOther};

Result<std::int64_t> Tiny::ioctl(Task& task, std::uint32_t command, std::uint64_t argument) {
    return kTable.ioctl(*this, task, command, argument);
}

class Tester {
  public:
    explicit Tester(uapi::Abi abi = uapi::Abi::generic)
        : machine({.arch = abi == uapi::Abi::power ? fs::Arch::ppc64le : fs::Arch::x86_64}),
          file(make<Tiny>(machine.kernel)),
          border(process.border(65536)),
          at(border - 32768) {}

    Result<std::int64_t> call(uapi::Request request, std::uint64_t argument) {
        return file->ioctl(process.task, request.number(machine.kernel.abi()), argument);
    }

    Machine machine;
    Process process{machine};
    Ref<Tiny> file;
    std::uint64_t border;  // the first address that is not mapped
    std::uint64_t at;
};

TEST_CASE("a request that is not in the table is ENOTTY, whatever its argument") {
    Tester tester;
    CHECK(outcome(tester.call(uapi::io('t', 99), 0)) == "ENOTTY");
    CHECK(outcome(tester.call(uapi::iow_bytes('t', 1, 8), 0)) == "ENOTTY");
    CHECK(outcome(tester.call(uapi::iow_bytes('t', 2, 24), tester.at)) == "ENOTTY");
    CHECK(outcome(tester.call(uapi::ior_bytes('t', 2, 16), tester.at)) == "ENOTTY");
    CHECK(tester.file->calls == 0);
}

TEST_CASE("requests that differ in their size alone are different requests") {
    Tester tester;
    CHECK(value(tester.call(kShort, 41)) == 42);
    CHECK(outcome(tester.call(uapi::iow_bytes('t', 7, 8), 41)) == "ENOTTY");
}

TEST_CASE("a request that a table does not have is looked up in the other one") {
    Tester tester;
    CHECK(value(tester.call(kElsewhere, 41)) == 42);
    CHECK(kTable.find(uapi::Abi::generic, kElsewhere.number(uapi::Abi::generic)) == &kOtherRows[1]);
    CHECK(kOther.find(uapi::Abi::generic, kValue.number(uapi::Abi::generic)) == nullptr);
    CHECK(outcome(kOther.ioctl(*tester.file, tester.process.task, 0x7401, 0)) == "EINVAL");
}

TEST_CASE("a smallest struct ends with the member that its row names") {
    CHECK(detail::end_of(&VfioThing::argsz) == 4);
    CHECK(detail::end_of(&VfioThing::word) == 16);
    CHECK(detail::end_of(&VfioThing::later) == sizeof(VfioThing));
}

TEST_CASE("a number is passed as it is") {
    Tester tester;
    CHECK(value(tester.call(kValue, 41)) == 42);
}

TEST_CASE("a table knows the numbers of the task's ABI and no others") {
    for (const uapi::Abi abi : {uapi::Abi::generic, uapi::Abi::power}) {
        Tester tester(abi);
        const uapi::Abi other = abi == uapi::Abi::generic ? uapi::Abi::power : uapi::Abi::generic;
        for (const uapi::Request request : {kValue, kKvmSet, kVfio}) {
            tester.process.store<VfioThing>(tester.at, {24, 0, 0, 0});
            CHECK(request.number(abi) != request.number(other));
            CHECK(outcome(tester.call(request, tester.at)) == "ok");
            CHECK(outcome(tester.file->ioctl(tester.process.task, request.number(other),
                                             tester.at)) == "ENOTTY");
        }
    }
}

TEST_CASE("KVM: the struct is copied whole, and written back when that is asked and it succeeds") {
    Tester tester;
    tester.process.store<KvmThing>(tester.at, {4, 0});
    CHECK(value(tester.call(kKvmSet, tester.at)) == 7);
    CHECK(tester.process.load<KvmThing>(tester.at).out == 0);
    CHECK(value(tester.call(kKvmBoth, tester.at)) == 7);
    CHECK(tester.process.load<KvmThing>(tester.at).out == 8);
    tester.process.store<KvmThing>(tester.at, {13, 0});
    CHECK(outcome(tester.call(kKvmBoth, tester.at)) == "EBUSY");
    CHECK(tester.process.load<KvmThing>(tester.at).out == 0);
}

TEST_CASE("KVM: a struct that cannot be read is EFAULT before anything happens") {
    Tester tester;
    CHECK(outcome(tester.call(kKvmSet, 0)) == "EFAULT");
    CHECK(outcome(tester.call(kKvmSet, tester.border - 8)) == "EFAULT");
    CHECK(outcome(tester.call(kKvmSet, tester.border - 16)) == "ok");
    CHECK(tester.file->calls == 1);
}

TEST_CASE("a struct that cannot be written back is EFAULT after it happened") {
    Tester tester;
    value(tester.process.mm->protect(tester.border - 4096, 4096, PROT_READ));
    CHECK(outcome(tester.call(kKvmBoth, tester.border - 16)) == "EFAULT");
    CHECK(tester.file->calls == 1);
    CHECK(outcome(tester.call(kKvmSet, tester.border - 16)) == "ok");
}

TEST_CASE("VFIO: argsz must cover the smallest struct, and may say anything beyond") {
    Tester tester;
    for (const auto& [argsz, answer] :
         {std::pair{0U, "EINVAL"}, {15U, "EINVAL"}, {16U, "ok"}, {24U, "ok"}, {~0U, "ok"}}) {
        CAPTURE(argsz);
        tester.process.store<VfioThing>(tester.at, {argsz, 0, 5, 6});
        CHECK(outcome(tester.call(kVfio, tester.at)) == answer);
    }
    CHECK(tester.file->calls == 3);
}

TEST_CASE("VFIO: a fault comes before the check of argsz") {
    Tester tester;
    tester.process.store<std::uint32_t>(tester.border - 8, 1);
    CHECK(outcome(tester.call(kVfio, tester.border - 8)) == "EFAULT");
    tester.process.store<std::uint32_t>(tester.border - 16, 1);
    CHECK(outcome(tester.call(kVfio, tester.border - 16)) == "EINVAL");
    CHECK(outcome(tester.call(kVfio, 0)) == "EFAULT");
}

TEST_CASE("VFIO: only the smallest struct is read and written back") {
    Tester tester;
    tester.process.store<VfioThing>(tester.at, {24, 0, 5, 6});
    CHECK(outcome(tester.call(kVfio, tester.at)) == "ok");
    CHECK(tester.file->vfio_seen.word == 5);
    CHECK(tester.file->vfio_seen.later == 0);
    const auto back = tester.process.load<VfioThing>(tester.at);
    CHECK(back.flags == 0xf);
    CHECK(back.word == 1);
    CHECK(back.later == 6);
}

TEST_CASE("VFIO: a smallest struct at the end of memory is enough") {
    Tester tester;
    tester.process.store<std::uint32_t>(tester.border - 16, 24);
    CHECK(outcome(tester.call(kVfio, tester.border - 16)) == "ok");
}

TEST_CASE("VFIO: a function may write back as much as the caller has room for") {
    Tester tester;
    for (const std::uint32_t argsz : {16U, 20U, 24U, 4096U}) {
        CAPTURE(argsz);
        tester.process.store<VfioThing>(tester.at, {argsz, 0, 0, 0x0707070707070707});
        tester.process.store<std::uint64_t>(tester.at + 24, 0x0707070707070707);
        CHECK(outcome(tester.call(kVfioAll, tester.at)) == "ok");
        const auto back = tester.process.load<VfioThing>(tester.at);
        CHECK(back.argsz == 24);
        CHECK(back.later == (argsz == 16   ? 0x0707070707070707
                             : argsz == 20 ? 0x0707070700000002
                                           : 2));
        CHECK(tester.process.load(tester.at + 24) == 0x0707070707070707);
    }
}

TEST_CASE("VFIO: a function that fails may have copied the struct back, as far as argsz says") {
    Tester tester;
    for (const std::uint32_t argsz : {16U, 20U, 24U, 4096U}) {
        CAPTURE(argsz);
        tester.process.store<VfioThing>(tester.at, {argsz, 0, 0, 0x0707070707070707});
        tester.process.store<std::uint64_t>(tester.at + 24, 0x0707070707070707);
        CHECK(outcome(tester.call(kRespond, tester.at)) == "ENOSPC");
        const auto back = tester.process.load<VfioThing>(tester.at);
        CHECK(back.word == 1);
        CHECK(back.later == (argsz == 16   ? 0x0707070707070707
                             : argsz == 20 ? 0x0707070700000002
                                           : 2));
        CHECK(tester.process.load(tester.at + 24) == 0x0707070707070707);
    }
    tester.process.store<VfioThing>(tester.at, {24, 0, 0, 0});
    value(tester.process.mm->protect(align_down(tester.at, 4096), 4096, PROT_READ));
    CHECK(outcome(tester.call(kRespond, tester.at)) == "EFAULT");
}

TEST_CASE("iommufd: the size is read first, then judged, then the struct is read") {
    Tester tester;
    CHECK(outcome(tester.call(kIommufd, tester.border - 2)) == "EFAULT");
    tester.process.store<std::uint32_t>(tester.border - 4, 15);
    CHECK(outcome(tester.call(kIommufd, tester.border - 4)) == "EINVAL");
    tester.process.store<std::uint32_t>(tester.border - 4, 16);
    CHECK(outcome(tester.call(kIommufd, tester.border - 4)) == "EFAULT");
    CHECK(tester.file->calls == 0);
    tester.process.store<std::uint32_t>(tester.border - 16, 16);
    CHECK(outcome(tester.call(kIommufd, tester.border - 16)) == "ok");
}

TEST_CASE("iommufd: what an older caller does not give is zero") {
    Tester tester;
    tester.process.store<IommufdThing>(tester.at, {16, 1, 2, 3});
    CHECK(outcome(tester.call(kIommufd, tester.at)) == "ok");
    CHECK(tester.file->iommufd_seen.word == 2);
    CHECK(tester.file->iommufd_seen.later == 0);
    tester.process.store<IommufdThing>(tester.at, {20, 1, 2, 0x0101010102020202});
    CHECK(outcome(tester.call(kIommufd, tester.at)) == "ok");
    CHECK(tester.file->iommufd_seen.later == 0x02020202);
    tester.process.store<IommufdThing>(tester.at, {24, 1, 2, 3});
    CHECK(outcome(tester.call(kIommufd, tester.at)) == "ok");
    CHECK(tester.file->iommufd_seen.later == 3);
}

// A process that writes another size into its struct as soon as it has been read.
class Hasty final : public mm::AddressSpace {
  public:
    explicit Hasty(Machine& machine) : AddressSpace(machine.census(), machine.memory(), 4096) {}
    Result<> copy_from_user(void* to, std::uint64_t from, std::uint64_t bytes) override {
        std::memcpy(to, reinterpret_cast<const std::byte*>(&thing_) + from, bytes);
        thing_.size = 4096;
        return {};
    }
    Result<> copy_to_user(std::uint64_t, const void*, std::uint64_t) override { return {}; }
    Result<mm::PhysicalRun> pin(std::uint64_t, std::uint64_t, mm::Access) override {
        return refuse(EFAULT, "nothing is pinned", kSource);
    }
    void exit() override {}
    bool exited() const override { return false; }

  private:
    IommufdThing thing_{sizeof(IommufdThing), 0, 7, 0};
};

TEST_CASE("iommufd: the size that was checked is the one that is seen") {
    Machine machine;
    const Ref<Tiny> file = make<Tiny>(machine.kernel);
    Task task(machine.kernel, make<Hasty>(machine));
    CHECK(outcome(file->ioctl(task, kIommufd.number(uapi::Abi::generic), 0)) == "ok");
    CHECK(file->iommufd_seen.size == sizeof(IommufdThing));
    CHECK(file->iommufd_seen.word == 7);
}

TEST_CASE("iommufd: what a newer caller gives must be zero") {
    for (std::uint32_t size = 25; size < 400; size += 41) {
        CAPTURE(size);
        Tester tester;
        tester.process.store<IommufdThing>(tester.at, {size, 0, 0, 0});
        CHECK(outcome(tester.call(kIommufd, tester.at)) == "ok");
        tester.process.store<std::uint8_t>(tester.at + size, 1);
        CHECK(outcome(tester.call(kIommufd, tester.at)) == "ok");
        for (const std::uint32_t byte : {24U, (24 + size) / 2, size - 1}) {
            tester.process.store<std::uint8_t>(tester.at + byte, 1);
            CHECK(outcome(tester.call(kIommufd, tester.at)) == "E2BIG");
            tester.process.store<std::uint8_t>(tester.at + byte, 0);
        }
    }
}

TEST_CASE("iommufd: left-over bytes are judged in order, a fault among them") {
    Tester tester;
    const std::uint64_t at = tester.border - 48;
    tester.process.store<IommufdThing>(at, {4096, 0, 0, 0});
    CHECK(outcome(tester.call(kIommufd, at)) == "EFAULT");
    tester.process.store<std::uint8_t>(tester.border - 1, 1);
    CHECK(outcome(tester.call(kIommufd, at)) == "E2BIG");
    const std::uint64_t unaligned = tester.border - 29;
    tester.process.store<IommufdThing>(unaligned, {4096, 0, 0, 0});
    tester.process.store<std::uint8_t>(tester.border - 1, 1);
    CHECK(outcome(tester.call(kIommufd, unaligned)) == "E2BIG");
    CHECK(tester.file->calls == 0);
}

TEST_CASE("iommufd: nothing is written back but by the function itself") {
    Tester tester;
    tester.process.store<IommufdThing>(tester.at, {24, 0, 5, 0});
    CHECK(outcome(tester.call(kIommufd, tester.at)) == "ok");
    CHECK(tester.process.load<IommufdThing>(tester.at).word == 5);
    CHECK(tester.file->iommufd_user == tester.at);
}

}  // namespace
}  // namespace kvmiommu::fs
