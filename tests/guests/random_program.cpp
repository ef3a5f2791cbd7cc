// SPDX-License-Identifier: MIT

#include "guests/random_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include <string>
#include <utility>

#include "fs/proposals.h"
#include "uapi/kvm.h"
#include "uapi/kvm_2013.h"
#include "uapi/layout.h"
#include "uapi/papr.h"
#include "uapi/vfio.h"

#define REQUEST_OF(request)        \
    NamedRequest {                 \
        #request, 0, uapi::request \
    }

namespace kvmiommu::guests {

namespace {

using Call = Operation::Call;
using Tokens = std::vector<Token>;

constexpr std::uint64_t kLiobns[] = {0x80000001, 2, 0x123456789abcdef0};
constexpr std::uint64_t kEdges[] = {0,
                                    1,
                                    0xfff,
                                    0x1000,
                                    0xffff,
                                    0x10000,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    std::uint64_t{1} << 32,
                                    std::uint64_t{1} << 39,
                                    std::uint64_t{1} << 47,
                                    std::uint64_t{1} << 48,
                                    (std::uint64_t{1} << 58) + 1,
                                    std::uint64_t{1} << 59,
                                    (std::uint64_t{1} << 61) - 1,
                                    (std::uint64_t{1} << 62) + 1,
                                    std::uint64_t{1} << 63,
                                    ~std::uint64_t{0},
                                    ~std::uint64_t{0} - 0xfff};

Token u8(std::uint64_t value) {
    return {Token::Type::u8, value, {}};
}
Token u16(std::uint64_t value) {
    return {Token::Type::u16, value, {}};
}
Token u32(std::uint64_t value) {
    return {Token::Type::u32, value, {}};
}
Token u64(std::uint64_t value) {
    return {Token::Type::u64, value, {}};
}
Token fd(Number number) {
    return {Token::Type::fd, number, {}};
}
Token ptr(Number number) {
    return {Token::Type::ptr, number, {}};
}
Token zero(std::uint64_t bytes) {
    return {Token::Type::zero, bytes, {}};
}

// Names of descriptors, from the first container on.
constexpr std::uint64_t kFiles =
    static_cast<std::uint64_t>(Name::buffer0) - static_cast<std::uint64_t>(Name::container0);

constexpr std::uint64_t bytes_of(std::uint64_t region) {
    return region << 40;
}

}  // namespace

// Writes one step. Names of parameters are those of the user interface.
class RandomProgram::Writer {
  public:
    Writer(const Board& board, Choices& choices, std::vector<Operation>& into)
        : board_(board), choices_(choices), into_(into), page_(board.page_size()) {}

    void scene();
    void step();

  private:
    // --- what is written ---

    Operation& call(Call what) {
        into_.emplace_back();
        into_.back().call = what;
        return into_.back();
    }
    Operation& call(Call what, std::initializer_list<Number> numbers) {
        Operation& operation = call(what);
        for (const Number& number : numbers) {
            operation.numbers[operation.count++] = number;
        }
        return operation;
    }
    Operation& make(Name result, Call what, std::initializer_list<Number> numbers = {}) {
        Operation& operation = call(what, numbers);
        operation.result = result;
        return operation;
    }
    Operation& on(Number file, Call what, std::initializer_list<Number> numbers = {}) {
        Operation& operation = call(what, numbers);
        operation.fd = file;
        return operation;
    }
    Operation& ioctl(Number file, const NamedRequest& request, Tokens tokens) {
        Operation& operation = on(file, Call::ioctl);
        operation.request = request;
        operation.tokens = std::move(tokens);
        return operation;
    }
    Operation& ioctl(Number file, const NamedRequest& request, std::uint64_t argument) {
        Operation& operation = on(file, Call::ioctl, {argument});
        operation.request = request;
        return operation;
    }
    void open(Name name, std::string path, std::uint64_t flags = O_RDWR) {
        make(name, Call::open, {flags}).path = std::move(path);
    }
    void write(Number file, std::uint64_t offset, Token token) {
        on(file, Call::pwrite, {offset}).tokens = {std::move(token)};
    }

    // --- what is chosen ---

    std::uint64_t below(std::uint64_t end) { return choices_.below(end); }
    Name of(Name first, std::uint64_t count) {
        return static_cast<Name>(static_cast<std::uint64_t>(first) + below(count));
    }
    Number file_of(Name first, std::uint64_t count) {
        // The first of its kind more often than others: that one is there.
        const std::uint64_t which = below(32);
        if (which == 31) {
            return any_file();
        }
        return static_cast<Name>(static_cast<std::uint64_t>(first) +
                                 (which < 16 ? 0 : which % count));
    }
    Number any_file() {
        return choices_.one_in(16) ? Number(choices_.number())
                                   : Number(of(Name::container0, kFiles));
    }
    Number container() { return file_of(Name::container0, 2); }
    Number group() { return file_of(Name::group0, board_.groups.size()); }
    Number device() { return file_of(Name::device0, board_.devices.size()); }
    Number eventfd() { return file_of(Name::eventfd0, 4); }
    Number eventfd_or_none() { return choices_.one_in(4) ? Number(~std::uint64_t{0}) : eventfd(); }
    Number vm() { return file_of(Name::vm0, 2); }
    Number table() { return file_of(Name::table0, 3); }
    Name buffer() { return of(Name::buffer0, 3); }

    Name group_at(std::uint64_t at) const {
        return static_cast<Name>(static_cast<std::uint64_t>(Name::group0) + at);
    }
    Name group_of(const Board::Device& device) const {
        std::uint64_t at = 0;
        while (board_.groups[at] != device.group) {
            ++at;
        }
        return group_at(at);
    }

    std::uint64_t wild() {
        const std::uint64_t edge = choices_.of(kEdges);
        return choices_.one_in(4) ? choices_.number() : edge + below(5) - 2;
    }
    // Up to the 4 MiB that a buffer has, whatever the pages.
    std::uint64_t size() {
        static constexpr std::uint64_t kPages[] = {1, 1, 2, 4, 16, 64, 512, 513, 1024};
        static constexpr std::uint64_t kLargePages[] = {1, 1, 2, 3, 4, 16, 32, 33, 64};
        const std::uint64_t pages = choices_.of(page_ == 4096 ? kPages : kLargePages);
        return choices_.one_in(12) ? wild() : pages * page_;
    }
    std::uint64_t iova() {
        switch (below(8)) {
            case 0:
                return below(8) << 21;
            case 1:
                return 0xfee00000 - 4 * page_ + below(8) * page_;
            case 2:
                return board_.power ? (std::uint64_t{1} << 59) + below(32) * page_
                                    : (std::uint64_t{1} << 38) + below(4) * page_;
            case 3:
                return choices_.one_in(3) ? wild() : below(1024) * page_;
            default:
                return below(32) * page_;
        }
    }
    Number address() {
        switch (below(12)) {
            case 0:
                return Number(of(Name::mapping0, 2), below(16) * page_);
            case 1:
                return choices_.one_in(2) ? Number(wild()) : Number(buffer(), below(0x20000));
            case 2:
                return Number(buffer(), below(8) << 19);
            default:
                return Number(buffer(), below(32) * page_);
        }
    }
    std::uint64_t argsz(std::uint64_t right) {
        return choices_.one_in(16) ? below(right + 32) : right;
    }
    std::uint64_t flags(std::uint64_t known) {
        return choices_.one_in(12) ? wild() : choices_.number() & known;
    }
    std::uint64_t region() {
        static constexpr std::uint64_t kOften[] = {0, 0, 1, 2, 3, 6, 7, 7, 8, 9};
        return choices_.of(kOften);
    }
    std::string path() {
        const std::uint64_t which = below(board_.groups.size() + 2);
        if (which < board_.groups.size()) {
            return board_.node(board_.groups[which]);
        }
        return which == board_.groups.size() ? "/dev/kvm" : "/dev/vfio/vfio";
    }

    // --- steps ---

    void memory();
    void file();
    void group_call();
    void type1_map();
    void type1_unmap();
    void type1_dirty();
    void device_call();
    void irqs();
    void ioeventfd();
    void region_access();
    void edu_dma();
    void emulated();
    void kvm_call();
    void kvm_attribute();
    void spapr_call();
    void tce_table();
    void hypercall();
    void of_2013();
    void odd();

    const Board& board_;
    Choices& choices_;
    std::vector<Operation>& into_;
    const std::uint64_t page_;
};

void RandomProgram::Writer::scene() {
    for (const Name name : {Name::buffer0, Name::buffer1}) {
        // What it was before, so that a machine is not used up by programs that begin again.
        call(Call::unmem, {Number(name), std::uint64_t{4} << 20});
        make(name, Call::mem, {std::uint64_t{4} << 20}).shared = name == Name::buffer1;
    }
    const std::uint64_t which = below(8);
    if (which == 0) {
        return;
    }
    make(Name::eventfd0, Call::eventfd);
    make(Name::eventfd1, Call::eventfd);
    make(Name::memfd0, Call::memfd, {32 * page_});
    make(Name::mapping0, Call::mmap,
         {16 * page_, std::uint64_t{3}, std::uint64_t{MAP_SHARED}, std::uint64_t{0}})
        .fd = Name::memfd0;
    open(Name::container0, "/dev/vfio/vfio");
    const std::uint64_t groups = which == 7 ? 1 : board_.groups.size();
    for (std::uint64_t at = 0; at < groups; ++at) {
        open(group_at(at), board_.node(board_.groups[at]));
        if (board_.groups[at] == board_.noiommu_group) {  // It shares no container.
            open(Name::container1, "/dev/vfio/vfio");
            ioctl(group_at(at), REQUEST_OF(VFIO_GROUP_SET_CONTAINER), {fd(Name::container1)});
            ioctl(Name::container1, REQUEST_OF(VFIO_SET_IOMMU), uapi::VFIO_NOIOMMU_IOMMU);
        } else if (at == 0 || which % 3 != 0) {
            ioctl(group_at(at), REQUEST_OF(VFIO_GROUP_SET_CONTAINER), {fd(Name::container0)});
        }
    }
    ioctl(Name::container0, REQUEST_OF(VFIO_SET_IOMMU),
          board_.power
              ? (which % 4 == 3 ? uapi::VFIO_SPAPR_TCE_IOMMU : uapi::VFIO_SPAPR_TCE_v2_IOMMU)
              : (which % 4 == 3 ? uapi::VFIO_TYPE1_IOMMU : uapi::VFIO_TYPE1v2_IOMMU));
    for (std::size_t at = 0; at < board_.devices.size(); ++at) {
        const Name name = static_cast<Name>(static_cast<std::size_t>(Name::device0) + at);
        ioctl(group_of(board_.devices[at]), REQUEST_OF(VFIO_GROUP_GET_DEVICE_FD),
              {{Token::Type::str, {}, board_.devices[at].name}})
            .result = name;
        write(name, bytes_of(7) + 4, u16(7));
    }
    if (board_.power) {
        ioctl(Name::container0, REQUEST_OF(VFIO_IOMMU_ENABLE), std::uint64_t{0});
        ioctl(Name::container0, REQUEST_OF(VFIO_IOMMU_SPAPR_REGISTER_MEMORY),
              {u32(24), u32(0), ptr(Name::buffer0), u64(std::uint64_t{4} << 20)});
    }
    ioctl(Name::container0, REQUEST_OF(VFIO_IOMMU_MAP_DMA),
          {u32(32), u32(3), ptr(Name::buffer0), u64(0), u64(16 * page_)});
    if (which < 4) {
        return;
    }
    open(Name::kvm, "/dev/kvm");
    ioctl(Name::kvm, REQUEST_OF(KVM_CREATE_VM), std::uint64_t{0}).result = Name::vm0;
    if (board_.power) {
        Operation& guest = call(Call::guest, {Name::kvm, Name::vm0});
        guest.result = Name::buffer0;
        for (const std::uint32_t number : {uapi::H_STUFF_TCE, uapi::H_PUT_TCE_INDIRECT}) {
            ioctl(Name::vm0, REQUEST_OF(KVM_ENABLE_CAP),
                  {u32(uapi::KVM_CAP_PPC_ENABLE_HCALL), u32(0), u64(number), u64(1), zero(80)});
        }
    }
    Operation& create = ioctl(Name::vm0, REQUEST_OF(KVM_CREATE_DEVICE),
                              {u32(uapi::KVM_DEV_TYPE_VFIO), u32(0), u32(0)});
    create.bound = Name::kvm_device0;
    create.bound_offset = 4;
    on({}, Call::poke, {Number(Name::buffer1)}).tokens = {fd(Name::group0)};
    ioctl(Name::kvm_device0, REQUEST_OF(KVM_SET_DEVICE_ATTR),
          {u32(0), u32(uapi::KVM_DEV_VFIO_FILE), u64(uapi::KVM_DEV_VFIO_FILE_ADD),
           ptr(Name::buffer1)});
    if (board_.power) {
        ioctl(Name::vm0, REQUEST_OF(KVM_CREATE_SPAPR_TCE_64),
              {u64(kLiobns[0]), u32(page_ == 4096 ? 12 : 16), u32(0), u64(0), u64(256)})
            .result = Name::table0;
        on({}, Call::poke, {Number(Name::buffer1)}).tokens = {fd(Name::group0), fd(Name::table0)};
        ioctl(Name::kvm_device0, REQUEST_OF(KVM_SET_DEVICE_ATTR),
              {u32(0), u32(uapi::KVM_DEV_VFIO_FILE), u64(uapi::KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE),
               ptr(Name::buffer1)});
    }
}

void RandomProgram::Writer::memory() {
    switch (below(12)) {
        case 0: {
            const Name name = buffer();
            call(Call::unmem, {Number(name), std::uint64_t{4} << 20});
            Operation& mem = make(name, Call::mem, {choices_.one_in(8) ? wild() : below(5) << 20});
            mem.shared = choices_.one_in(2);
            mem.readonly = choices_.one_in(8);
            break;
        }
        case 1:
            call(Call::unmem, {address(), size()});
            break;
        case 2:
            call(Call::protect, {address(), size(), below(8)});
            break;
        case 3:
        case 4: {
            const bool is_private = choices_.one_in(3);  // It is copied, so that it is to be short.
            const std::uint64_t private_or_shared = is_private ? MAP_PRIVATE : MAP_SHARED;
            Operation& map =
                make(of(Name::mapping0, 2), Call::mmap,
                     {is_private ? below(8) * page_ : size(), choices_.one_in(4) ? below(8) : 3,
                      private_or_shared, below(8) * page_});
            map.fd = file_of(Name::memfd0, 2);
            break;
        }
        case 5: {
            Operation& map =
                make(of(Name::mapping0, 2), Call::mmap,
                     {size(), choices_.one_in(4) ? below(8) : 3, std::uint64_t{MAP_SHARED},
                      bytes_of(region()) + below(4) * page_});
            map.fd = device();
            break;
        }
        case 6:
            make(of(Name::memfd0, 2), Call::memfd,
                 {choices_.one_in(8) ? wild() : below(64) * page_});
            break;
        case 7:
            on(file_of(Name::memfd0, 2), Call::truncate,
               {choices_.one_in(8) ? wild() : below(64) * page_});
            break;
        case 8:
            on(file_of(Name::memfd0, 2), Call::pwrite,
               {choices_.one_in(8) ? wild() : below(64 * page_)})
                .tokens = {u64(choices_.number()), zero(below(4096))};
            break;
        case 9:
            on(file_of(Name::memfd0, 2), Call::pread, {below(8192), below(64 * page_)});
            break;
        case 10:
            call(Call::peek, {address(), below(64)});
            break;
        default:
            on({}, Call::poke, {address()}).tokens = {u64(choices_.number())};
            break;
    }
}

void RandomProgram::Writer::file() {
    switch (below(10)) {
        case 0:
            open(of(Name::container0, 2), "/dev/vfio/vfio");
            break;
        case 1: {
            const std::uint64_t which = below(board_.groups.size());
            open(static_cast<Name>(static_cast<std::uint64_t>(Name::group0) + which),
                 board_.node(board_.groups[which]));
            break;
        }
        case 2:
            open(Name::kvm, "/dev/kvm");
            break;
        case 3:
            open(of(Name::container0, kFiles), path(), choices_.one_in(4) ? below(4) : 2);
            break;
        case 4:
        case 5:
            on(any_file(), Call::close);
            break;
        case 6:
            make(of(Name::copy0, 2), Call::dup).fd = any_file();
            break;
        case 7:
            make(of(Name::eventfd0, 4), Call::eventfd);
            break;
        case 8:
            on(any_file(), Call::poll, {std::uint64_t{POLLIN | POLLOUT}});
            break;
        default:
            on(eventfd(), Call::read, {std::uint64_t{8}});
            break;
    }
}

void RandomProgram::Writer::group_call() {
    switch (below(8)) {
        case 0:
            ioctl(group(), REQUEST_OF(VFIO_GROUP_GET_STATUS), {u32(argsz(8)), u32(0)});
            break;
        case 1:
        case 2:
            ioctl(group(), REQUEST_OF(VFIO_GROUP_SET_CONTAINER), {fd(container())});
            break;
        case 3:
            ioctl(group(), REQUEST_OF(VFIO_GROUP_UNSET_CONTAINER), std::uint64_t{0});
            break;
        case 4: {
            static constexpr std::uint64_t kVersions[] = {1, 3, 3, 2, 7, 7, 6, 8, 4, 0};
            ioctl(container(), REQUEST_OF(VFIO_SET_IOMMU), choices_.of(kVersions));
            break;
        }
        case 5:
            ioctl(container(), REQUEST_OF(VFIO_CHECK_EXTENSION), below(14));
            break;
        default: {
            const std::uint64_t which = below(board_.devices.size());
            const Number from =
                choices_.one_in(4) ? group() : Number(group_of(board_.devices[which]));
            ioctl(from, REQUEST_OF(VFIO_GROUP_GET_DEVICE_FD),
                  {{Token::Type::str, {}, board_.devices[which].name}})
                .result = static_cast<Name>(static_cast<std::uint64_t>(Name::device0) + which);
            break;
        }
    }
}

void RandomProgram::Writer::type1_map() {
    const std::uint64_t access = choices_.one_in(6) ? flags(7) : 1 + below(3);
    const Number vaddr = address();
    const std::uint64_t at = iova();
    ioctl(container(), REQUEST_OF(VFIO_IOMMU_MAP_DMA),
          {u32(argsz(32)), u32(access), ptr(vaddr), u64(at), u64(size())});
}

void RandomProgram::Writer::type1_unmap() {
    const Number file = container();
    switch (below(6)) {
        case 0:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_UNMAP_DMA), {u32(argsz(24)), u32(2), u64(0), u64(0)});
            break;
        case 1:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_UNMAP_DMA),
                  {u32(argsz(24)), u32(choices_.one_in(3) ? 6 : 4), u64(iova()), u64(size())});
            break;
        case 2: {
            const std::uint64_t at = iova();
            const std::uint64_t length = size();
            const std::uint64_t pgsize = choices_.one_in(8) ? wild() : page_;
            const std::uint64_t words = (length / page_ + 63) / 64 * 8;
            ioctl(file, REQUEST_OF(VFIO_IOMMU_UNMAP_DMA),
                  {u32(argsz(48)), u32(1), u64(at), u64(length), u64(pgsize),
                   u64(choices_.one_in(8) ? wild() : words), ptr(address())});
            break;
        }
        default: {
            const std::uint64_t at = iova();
            ioctl(file, REQUEST_OF(VFIO_IOMMU_UNMAP_DMA),
                  {u32(argsz(24)), u32(choices_.one_in(8) ? flags(7) : 0), u64(at), u64(size())});
            break;
        }
    }
}

void RandomProgram::Writer::type1_dirty() {
    const Number file = container();
    switch (below(5)) {
        case 0:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_GET_INFO),
                  {u32(argsz(24)), u32(0), u64(0), u32(0), u32(0), zero(below(2) * 256)});
            break;
        case 1:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_DIRTY_PAGES), {u32(argsz(8)), u32(1)});
            break;
        case 2:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_DIRTY_PAGES),
                  {u32(argsz(8)), u32(choices_.one_in(4) ? flags(7) : 2)});
            break;
        default: {
            const std::uint64_t at = iova();
            const std::uint64_t length = size();
            const std::uint64_t words = (length / page_ + 63) / 64 * 8;
            ioctl(file, REQUEST_OF(VFIO_IOMMU_DIRTY_PAGES),
                  {u32(argsz(48)), u32(4), u64(at), u64(length),
                   u64(choices_.one_in(8) ? wild() : page_),
                   u64(choices_.one_in(8) ? wild() : words), ptr(address())});
            break;
        }
    }
}

void RandomProgram::Writer::device_call() {
    const Number file = device();
    switch (below(9)) {
        case 0:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_GET_INFO),
                  {u32(argsz(24)), u32(0), u32(0), u32(0), u32(0), u32(0)});
            break;
        case 1:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_GET_REGION_INFO),
                  {u32(argsz(choices_.one_in(2) ? 64 : 32)), u32(0), u32(region()), u32(0), u64(0),
                   u64(0), zero(64)});
            break;
        case 2:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_GET_IRQ_INFO),
                  {u32(argsz(16)), u32(0), u32(below(7)), u32(0)});
            break;
        case 3:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_RESET), std::uint64_t{0});
            break;
        case 4:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO),
                  {u32(argsz(12 + below(4) * 8)), u32(0), u32(0), zero(64)});
            break;
        case 5: {
            const std::uint64_t count = choices_.one_in(16) ? wild() : below(4);
            const Number first = group();
            const Number second = group();
            ioctl(file, REQUEST_OF(VFIO_DEVICE_PCI_HOT_RESET),
                  {u32(argsz(12 + below(4) * 4)), u32(0), u32(count), fd(first), fd(second),
                   fd(Name::group2)});
            break;
        }
        case 6:
        case 7: {
            const std::uint64_t feature = below(12);
            const std::uint64_t how = 1 + below(7);
            ioctl(file, REQUEST_OF(VFIO_DEVICE_FEATURE),
                  {u32(argsz(8 + below(4) * 8)), u32(feature | how << 16), u64(below(4)),
                   u64(wild()), ptr(address())});
            break;
        }
        default:
            write(file, bytes_of(7) + 4, u16(choices_.one_in(2) ? 7 : below(0x800)));
            break;
    }
}

void RandomProgram::Writer::irqs() {
    const Number file = device();
    const std::uint64_t index = choices_.one_in(12) ? wild() : below(5);
    const std::uint64_t start = choices_.one_in(6) ? below(8) : 0;
    switch (below(6)) {
        case 0:
        case 1:
        case 2: {  // by eventfds
            const std::uint64_t count = choices_.one_in(3) ? below(5) : 1;
            const std::uint64_t action = choices_.one_in(3) ? 8U << below(3) : 32;
            Tokens tokens{u32(argsz(20 + 4 * count)), u32(4 | action), u32(index), u32(start),
                          u32(count)};
            for (std::uint64_t at = 0; at < count; ++at) {
                tokens.push_back(fd(eventfd_or_none()));
            }
            ioctl(file, REQUEST_OF(VFIO_DEVICE_SET_IRQS), std::move(tokens));
            break;
        }
        case 3:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_SET_IRQS),
                  {u32(argsz(20)), u32(1 | 8U << below(3)), u32(index), u32(start), u32(below(3))});
            break;
        case 4:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_SET_IRQS),
                  {u32(argsz(24)), u32(2 | 8U << below(3)), u32(index), u32(start), u32(below(5)),
                   u8(below(2)), u8(below(2)), u8(1), u8(0)});
            break;
        default:
            ioctl(file, REQUEST_OF(VFIO_DEVICE_SET_IRQS),
                  {u32(argsz(20)), u32(flags(63)), u32(index), u32(start), u32(wild())});
            break;
    }
}

void RandomProgram::Writer::ioeventfd() {
    if (choices_.one_in(3)) {
        on(eventfd(), Call::write).tokens = {u64(choices_.one_in(8) ? wild() : 1)};
        return;
    }
    static constexpr std::uint64_t kOffsets[] = {0x60, 0x64, 0x98, 0x08, 0x20, 0x04, 0x800, 0xc8};
    const Number file = device();
    const std::uint64_t width = 1U << below(4);
    const std::uint64_t at = bytes_of(choices_.one_in(4) ? region() : 0) +
                             (choices_.one_in(4) ? below(0x2000) : choices_.of(kOffsets));
    ioctl(file, REQUEST_OF(VFIO_DEVICE_IOEVENTFD),
          {u32(argsz(32)), u32(choices_.one_in(12) ? flags(15) : width), u64(at),
           u64(choices_.one_in(3) ? choices_.number() : 1), fd(eventfd_or_none()), u32(0)});
}

void RandomProgram::Writer::region_access() {
    const Number file = device();
    const std::uint64_t space = region();
    const std::uint64_t at = bytes_of(space) + (space == 7           ? below(0x200)
                                                : choices_.one_in(8) ? wild() & 0xffffffffff
                                                                     : below(0x4000));
    if (choices_.one_in(2)) {
        on(file, Call::pread, {choices_.one_in(8) ? below(5000) : 1U << below(4), at});
        return;
    }
    switch (below(5)) {
        case 0:
            return write(file, at, u8(choices_.number()));
        case 1:
            return write(file, at & ~std::uint64_t{1}, u16(choices_.number()));
        case 2:
            return write(file, at & ~std::uint64_t{3}, u32(choices_.number()));
        case 3:
            return write(file, at & ~std::uint64_t{7}, u64(choices_.number()));
        default:
            return write(file, at, zero(below(4500)));
    }
}

void RandomProgram::Writer::edu_dma() {
    const Number file = device();
    const std::uint64_t bus = choices_.one_in(8) ? wild() : below(64) * page_ + below(2) * 0x800;
    const bool to_memory = choices_.one_in(2);
    const std::uint64_t count = choices_.one_in(8) ? below(0x2000) : 1 + below(0x1000);
    write(file, 0x80, u64(to_memory ? 0x40000 : bus));
    write(file, 0x88, u64(to_memory ? bus : 0x40000));
    write(file, 0x90, u64(count));
    write(file, 0x98, u64(1 | (to_memory ? 2 : 0) | below(2) << 2));
}

void RandomProgram::Writer::emulated() {
    const Number file = choices_.one_in(8) ? device() : Number(Name::device0);
    const Number other =
        static_cast<Name>(static_cast<std::size_t>(Name::device0) + board_.devices.size() - 1);
    const Number at = board_.power ? file : other;
    write(at, 0x08, u64(iova()));
    write(at, 0x10, u32(size()));
    write(at, 0x14, u32(1 + below(3)));
    write(at, 0x18, u32(choices_.one_in(4) ? below(8) : 1 + below(6)));
}

void RandomProgram::Writer::kvm_call() {
    switch (below(8)) {
        case 0:
            ioctl(file_of(Name::kvm, 1), REQUEST_OF(KVM_CREATE_VM), std::uint64_t{0}).result =
                of(Name::vm0, 2);
            break;
        case 1:
            ioctl(vm(), REQUEST_OF(KVM_CHECK_EXTENSION), below(240));
            break;
        case 2: {
            Operation& create = ioctl(
                vm(), REQUEST_OF(KVM_CREATE_DEVICE),
                {u32(choices_.one_in(4) ? below(14) : 4), u32(0), u32(below(8) == 7 ? 1 : 0)});
            create.bound = of(Name::kvm_device0, 2);
            create.bound_offset = 4;
            break;
        }
        case 3: {
            const std::uint64_t slot = choices_.one_in(8) ? wild() : below(4);
            const std::uint64_t flag = choices_.one_in(8) ? flags(7) : 0;
            const std::uint64_t guest = choices_.one_in(8) ? wild() : below(64) * page_;
            ioctl(vm(), REQUEST_OF(KVM_SET_USER_MEMORY_REGION),
                  {u32(slot), u32(flag), u64(guest), u64(choices_.one_in(6) ? 0 : size()),
                   ptr(address())});
            break;
        }
        case 4:
            ioctl(vm(), REQUEST_OF(KVM_CREATE_VCPU), choices_.one_in(8) ? wild() : below(4))
                .result = of(Name::copy0, 2);
            break;
        case 5:
            ioctl(file_of(Name::copy0, 2), REQUEST_OF(KVM_RUN), std::uint64_t{0});
            break;
        case 6:
            make(of(Name::mapping0, 2), Call::mmap,
                 {page_ * (1 + below(3)), std::uint64_t{3}, std::uint64_t{MAP_SHARED},
                  below(4) * page_})
                .fd = file_of(Name::table0, 5);
            break;
        default: {
            const auto requests = uapi::uapi_requests();
            const auto& entry = requests[below(requests.size())];
            Tokens tokens{u32(wild()), u32(wild()), u64(wild()), ptr(address()), zero(64)};
            ioctl(any_file(), {entry.name, 0, entry.request}, std::move(tokens));
            break;
        }
    }
}

void RandomProgram::Writer::kvm_attribute() {
    const Number at = address();
    const Number target = choices_.one_in(3) ? device() : group();
    on({}, Call::poke, {at}).tokens = {fd(target), fd(table())};
    static constexpr std::uint64_t kAttributes[] = {1, 1, 2, 3, 3, 0, 4};
    const std::uint64_t attribute = choices_.of(kAttributes);
    const NamedRequest request = choices_.one_in(6)   ? REQUEST_OF(KVM_HAS_DEVICE_ATTR)
                                 : choices_.one_in(8) ? REQUEST_OF(KVM_GET_DEVICE_ATTR)
                                                      : REQUEST_OF(KVM_SET_DEVICE_ATTR);
    ioctl(file_of(Name::kvm_device0, 2), request,
          {u32(0), u32(choices_.one_in(8) ? wild() : 1), u64(attribute), ptr(at)});
}

void RandomProgram::Writer::spapr_call() {
    static constexpr std::uint64_t kShifts[] = {12, 16, 16, 21, 24, 30, 13, 0, 64};
    const Number file = container();
    switch (below(10)) {
        case 0:
            ioctl(
                file,
                choices_.one_in(3) ? REQUEST_OF(VFIO_IOMMU_DISABLE) : REQUEST_OF(VFIO_IOMMU_ENABLE),
                std::uint64_t{0});
            break;
        case 1:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_SPAPR_TCE_GET_INFO),
                  {u32(argsz(32)), u32(0), u32(0), u32(0), u64(0), u32(0), u32(0)});
            break;
        case 2:
        case 3: {
            const Number vaddr = address();
            ioctl(file,
                  choices_.one_in(2) ? REQUEST_OF(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY)
                                     : REQUEST_OF(VFIO_IOMMU_SPAPR_REGISTER_MEMORY),
                  {u32(argsz(24)), u32(0), ptr(vaddr), u64(size())});
            break;
        }
        case 4: {
            const std::uint64_t shift = choices_.of(kShifts);
            const std::uint64_t window =
                choices_.one_in(8) ? wild() : std::uint64_t{1} << (12 + below(14));
            ioctl(file, REQUEST_OF(VFIO_IOMMU_SPAPR_TCE_CREATE),
                  {u32(argsz(40)), u32(0), u32(shift), u32(0), u64(window),
                   u32(choices_.one_in(8) ? wild() : below(7)), u32(0), u64(0)});
            break;
        }
        case 5:
            ioctl(file, REQUEST_OF(VFIO_IOMMU_SPAPR_TCE_REMOVE),
                  {u32(argsz(16)), u32(0), u64(choices_.one_in(3) ? iova() : below(2) << 59)});
            break;
        case 6:
            ioctl(file, REQUEST_OF(VFIO_EEH_PE_OP),
                  {u32(argsz(40)), u32(0), u32(below(12)), u32(0), u32(below(4)), u32(below(20)),
                   u64(0), u64(0)});
            break;
        case 7:
            type1_unmap();
            break;
        default:
            type1_map();
            break;
    }
}

void RandomProgram::Writer::tce_table() {
    const std::uint64_t liobn = choices_.of(kLiobns);
    if (choices_.one_in(4)) {
        ioctl(vm(), REQUEST_OF(KVM_CREATE_SPAPR_TCE),
              {u64(liobn), u32(choices_.one_in(4) ? wild() : below(64) * page_), u32(0)})
            .result = of(Name::table0, 3);
        return;
    }
    static constexpr std::uint64_t kShifts[] = {12, 16, 16, 16, 21, 24, 30, 0, 64};
    const std::uint64_t shift = choices_.of(kShifts);
    const std::uint64_t offset = choices_.one_in(6) ? wild() : below(2) << 43;
    ioctl(vm(), REQUEST_OF(KVM_CREATE_SPAPR_TCE_64),
          {u64(liobn), u32(shift), u32(choices_.one_in(12) ? wild() : 0), u64(offset),
           u64(choices_.one_in(6) ? wild() : below(600))})
        .result = of(Name::table0, 3);
}

void RandomProgram::Writer::hypercall() {
    const std::uint64_t liobn = choices_.one_in(4) ? choices_.of(kLiobns) : kLiobns[0];
    const std::uint64_t ioba = iova();
    const std::uint64_t tce =
        choices_.one_in(8) ? wild() : (below(80) * page_) | (choices_.one_in(6) ? below(4) : 3);
    const std::uint64_t count = choices_.one_in(8) ? wild() : below(600);
    switch (below(8)) {
        case 0:
            call(Call::hcall, {std::uint64_t{uapi::H_GET_TCE}, liobn, ioba});
            break;
        case 1:
            call(Call::hcall, {std::uint64_t{uapi::H_STUFF_TCE}, liobn, ioba,
                               choices_.one_in(3) ? tce : 0, count});
            break;
        case 2: {  // Entries in the guest's memory first.
            const std::uint64_t list = below(16) * 4096;
            Tokens entries;
            for (std::uint64_t at = 0; at < 4; ++at) {
                entries.push_back(u64((below(80) * page_) | below(4)));
            }
            on({}, Call::poke, {Number(Name::buffer0, list)}).tokens = std::move(entries);
            call(Call::hcall,
                 {std::uint64_t{uapi::H_PUT_TCE_INDIRECT}, liobn, ioba,
                  choices_.one_in(8) ? wild() : list, choices_.one_in(4) ? count : 1 + below(6)});
            break;
        }
        case 3:
            call(Call::hcall,
                 {choices_.one_in(2) ? wild() : std::uint64_t{0x7ffc}, liobn, ioba, tce});
            break;
        case 4:
            ioctl(vm(), REQUEST_OF(KVM_ENABLE_CAP),
                  {u32(uapi::KVM_CAP_PPC_ENABLE_HCALL), u32(0), u64(0x138 + 4 * below(3)),
                   u64(below(2)), zero(80)});
            break;
        default:
            call(Call::hcall, {std::uint64_t{uapi::H_PUT_TCE}, liobn, ioba, tce});
            break;
    }
}

void RandomProgram::Writer::of_2013() {
    const std::uint64_t liobn = choices_.of(kLiobns);
    const Number linked = group();
    switch (below(4)) {
        case 0:
        case 1:
            ioctl(vm(), REQUEST_OF(KVM_CREATE_SPAPR_TCE_IOMMU), {u64(liobn), fd(linked), u32(0)})
                .result = of(Name::table0, 3);
            break;
        case 2: {
            const Number at = address();
            on({}, Call::poke, {at}).tokens = {fd(choices_.one_in(4) ? Number(~0ULL) : linked)};
            ioctl(file_of(Name::kvm_device0, 2), REQUEST_OF(KVM_SET_DEVICE_ATTR),
                  {u32(0), u32(0), u64(liobn), ptr(at)});
            break;
        }
        default: {
            Operation& create =
                ioctl(vm(), REQUEST_OF(KVM_CREATE_DEVICE), {u32(4 + below(2)), u32(0), u32(0)});
            create.bound = of(Name::kvm_device0, 2);
            create.bound_offset = 4;
            break;
        }
    }
}

void RandomProgram::Writer::odd() {
    switch (below(8)) {
        case 0:
            call(Call::memlock, {choices_.one_in(4) ? ~std::uint64_t{0} : below(512) * page_});
            break;
        case 1:
            if (choices_.one_in(64)) {  // There is no way back to user 0.
                call(Call::uid, {below(3)});
                break;
            }
            [[fallthrough]];
        case 2:
            call(Call::status);
            break;
        case 3:
        case 4:
            call(Call::fail, {below(12)});
            break;
        case 5:
            ioctl(any_file(), {{}, static_cast<std::uint32_t>(choices_.number()), {}},
                  {u64(choices_.number()), u64(wild())});
            break;
        case 6:
            on(any_file(), Call::read, {choices_.one_in(8) ? wild() : below(64)});
            break;
        default:
            on(any_file(), Call::write).tokens = {u64(choices_.number())};
            break;
    }
}

void RandomProgram::Writer::step() {
    switch (below(32)) {
        case 0:
        case 1:
        case 2:
            return file();
        case 3:
        case 4:
        case 5:
        case 6:
            return memory();
        case 7:
        case 8:
        case 9:
            return group_call();
        case 10:
        case 11:
            return device_call();
        case 12:
        case 13:
            return irqs();
        case 14:
        case 15:
            return ioeventfd();
        case 16:
            return region_access();
        case 17:
        case 18:
            return edu_dma();
        case 19:
            return kvm_call();
        case 20:
            return kvm_attribute();
        case 21:
            return odd();
        case 22:  // Something fails in the middle of the next call.
            call(Call::fail, {1 + below(12)});
            return step();
        default:
            break;
    }
    if (!board_.power) {
        switch (below(10)) {
            case 0:
            case 1:
                return emulated();
            case 2:
            case 3:
                return type1_dirty();
            case 4:
            case 5:
            case 6:
                return type1_unmap();
            default:
                return type1_map();
        }
    }
    switch (below(10)) {
        case 0:
            return tce_table();
        case 1:
            return board_.description.proposals.links_of_2013() ? of_2013() : tce_table();
        case 2:
        case 3:
        case 4:
            return spapr_call();
        default:
            return hypercall();
    }
}

void RandomProgram::begin(std::vector<Operation>& into) {
    Writer(board_, choices_, into).scene();
}

void RandomProgram::step(std::vector<Operation>& into) {
    Writer(board_, choices_, into).step();
}

Program decode(std::span<const std::uint8_t> bytes, std::size_t most) {
    const std::uint8_t first = bytes.empty() ? 0 : bytes[0];
    Program program{&boards()[first % boards().size()], {}};
    RandomProgram random(*program.board, Choices(bytes.subspan(bytes.empty() ? 0 : 1)));
    random.begin(program.operations);
    while (!random.exhausted() && program.operations.size() < most) {
        random.step(program.operations);
    }
    return program;
}

}  // namespace kvmiommu::guests
