// SPDX-License-Identifier: MIT

#include "fs/memfd.h"

#include "support.h"

namespace kvmiommu::fs {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

class Memory {
  public:
    explicit Memory(const test::MachineSettings& settings = {})
        : machine(settings),
          page(settings.page_size),
          file(make<MemFd>(machine.kernel)),
          buffer(process.map(4 * settings.page_size)) {}

    std::int64_t pwrite(const std::string& text, std::uint64_t offset) {
        process.store_text(buffer, text);
        return value(file->pwrite(process.task, {buffer, text.size()}, offset));
    }
    std::string pread(std::uint64_t bytes, std::uint64_t offset) {
        const auto moved = value(file->pread(process.task, {buffer, bytes}, offset));
        return process.load_text(buffer, static_cast<std::size_t>(moved));
    }

    Machine machine;
    Process process{machine};
    std::uint64_t page;
    Ref<MemFd> file;
    std::uint64_t buffer;
};

TEST_CASE("a write makes the file longer, with zeros before it") {
    Memory memory;
    CHECK(memory.file->size() == 0);
    CHECK(memory.pwrite("vfio", 5000) == 4);
    CHECK(memory.file->size() == 5004);
    CHECK(memory.pread(8, 4998) == std::string("\0\0vfio", 6));
    CHECK(memory.pread(3, 0) == std::string(3, '\0'));
}

TEST_CASE("a read ends with the file") {
    Memory memory;
    memory.pwrite("kvmiommu", 0);
    CHECK(memory.pread(100, 3) == "iommu");
    CHECK(memory.pread(100, 8).empty());
    CHECK(memory.pread(100, std::uint64_t{1} << 62).empty());
    CHECK(memory.pread(0, 0).empty());
}

TEST_CASE("read and write go on where the last one ended") {
    Memory memory;
    memory.process.store_text(memory.buffer, "kvmiommu");
    Task& task = memory.process.task;
    CHECK(value(memory.file->write(task, {memory.buffer, 3})) == 3);
    CHECK(value(memory.file->write(task, {memory.buffer + 3, 5})) == 5);
    CHECK(memory.pread(8, 0) == "kvmiommu");
    CHECK(value(memory.file->read(task, {memory.buffer, 8})) == 0);
    memory.pwrite("!", 8);
    CHECK(value(memory.file->read(task, {memory.buffer, 8})) == 1);
    CHECK(memory.process.load<char>(memory.buffer) == '!');
}

TEST_CASE("a move over a bad page moves what lies before it, to the byte") {
    for (const std::uint64_t page : {4096, 65536}) {
        CAPTURE(page);
        Memory memory({.page_size = page});
        Task& task = memory.process.task;
        const std::uint64_t border = memory.process.border(page);
        const std::uint64_t start = border - page;
        // The border falls into the middle of a page of the file, then behind one.
        const auto pwrite = [&](std::uint64_t from, std::uint64_t offset) {
            return value(memory.file->pwrite(task, {from, 2 * page}, offset));
        };
        CHECK(pwrite(start + 100, 50) == static_cast<std::int64_t>(page - 100));
        CHECK(memory.file->size() == page - 50);
        CHECK(pwrite(start, page + 900) == static_cast<std::int64_t>(page));
        CHECK(memory.file->size() == 2 * page + 900);
        CHECK(outcome(memory.file->pwrite(task, {border, 1}, 5 * page)) == "EFAULT");
        CHECK(memory.file->size() == 2 * page + 900);

        memory.file->resize(4 * page);
        const auto pread = [&](std::uint64_t to, std::uint64_t offset) {
            return value(memory.file->pread(task, {to, 2 * page}, offset));
        };
        CHECK(pread(start + 50, 123) == static_cast<std::int64_t>(page - 50));
        CHECK(outcome(memory.file->pread(task, {border, 8}, 123)) == "EFAULT");
        CHECK(outcome(memory.file->pread(task, {border, 8}, 4 * page)) == "ok");
    }
}

TEST_CASE("nothing to move touches neither file nor memory") {
    Memory memory;
    CHECK(value(memory.file->pwrite(memory.process.task, {8, 0}, 4096)) == 0);
    CHECK(memory.file->size() == 0);
    CHECK(value(memory.file->pread(memory.process.task, {8, 0}, 0)) == 0);
}

TEST_CASE("a file that RAM cannot hold is ENOSPC, after what it can") {
    Memory memory({.ram = 64 << 10});
    Task& task = memory.process.task;
    std::uint64_t offset = 0;
    while (offset < 12 * 4096) {
        CHECK(value(memory.file->pwrite(task, {memory.buffer, 4096}, offset)) == 4096);
        offset += 4096;
    }
    CHECK(outcome(memory.file->pwrite(task, {memory.buffer, 4096}, offset)) == "ENOSPC");
    CHECK(memory.file->size() == offset);
    CHECK(value(memory.file->pwrite(task, {memory.buffer, 4096}, offset - 100)) == 100);
    CHECK(memory.file->size() == offset);
}

TEST_CASE("a write that fails past the end leaves neither a byte nor a page") {
    Memory memory;
    memory.pwrite("kvmiommu", 0);
    const std::uint64_t border = memory.process.border(4096);
    const std::uint64_t used = memory.machine.memory().used_frames();
    CHECK(outcome(memory.file->pwrite(memory.process.task, {border, 8}, 9 * 4096)) == "EFAULT");
    CHECK(memory.file->size() == 8);
    CHECK(memory.machine.memory().used_frames() == used);
    CHECK(outcome(memory.file->pwrite(memory.process.task, {border, 8}, 4)) == "EFAULT");
    CHECK(memory.file->size() == 8);
    CHECK(memory.pread(8, 0) == "kvmiommu");
}

TEST_CASE("a file and its mapping are one") {
    Memory memory;
    memory.pwrite("kvmiommu", 4096);
    mm::MapRequest request;
    request.length = 8192;
    request.protection = PROT_READ | PROT_WRITE;
    request.shared = true;
    const FileMapping mapping =
        value(memory.file->mmap(memory.process.task, {8192, 0, request.protection, true}));
    request.backing = mapping.backing;
    request.offset = mapping.offset;
    const std::uint64_t at = value(memory.process.mm->map(request));
    CHECK(memory.process.load_text(at + 4096, 8) == "kvmiommu");
    memory.process.store_text(at + 4096, "VFIO");
    CHECK(memory.pread(8, 4096) == "VFIOommu");
}

TEST_CASE("a mapping keeps the pages of a file that is closed") {
    Memory memory;
    memory.pwrite("kvmiommu", 0);
    mm::MapRequest request;
    request.length = 4096;
    request.protection = PROT_READ;
    request.shared = true;
    request.backing =
        value(memory.file->mmap(memory.process.task, {4096, 0, PROT_READ, true})).backing;
    const std::uint64_t at = value(memory.process.mm->map(request));
    request.backing = nullptr;
    memory.file = nullptr;
    CHECK(memory.process.load_text(at, 8) == "kvmiommu");
}

}  // namespace
}  // namespace kvmiommu::fs
