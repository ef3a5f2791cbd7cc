// SPDX-License-Identifier: MIT

#include "guests/performer.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "fs/syscalls.h"
#include "guests/must.h"
#include "kvm/vcpu.h"
#include "uapi/kvm.h"
#include "uapi/papr.h"

namespace kvmiommu::guests {

namespace {

using Call = Operation::Call;
using Kind = Outcome::Kind;

constexpr std::uint64_t kNone = ~std::uint64_t{0};
constexpr std::uint64_t kBufferAlignment = 2 << 20;
constexpr std::uint64_t kLongestPeek = 4096;

unsigned width(Token::Type type) {
    switch (type) {
        case Token::Type::u8:
            return 1;
        case Token::Type::u16:
            return 2;
        case Token::Type::u32:
        case Token::Type::fd:
            return 4;
        case Token::Type::u64:
        case Token::Type::ptr:
            return 8;
        default:
            return 0;
    }
}

Outcome answer(const Result<std::int64_t>& result) {
    Outcome outcome;
    outcome.kind = result ? Kind::number : Kind::error;
    outcome.value = result ? *result : result.error().error();
    return outcome;
}

Outcome answer(const Result<>& result) {
    return answer(result ? Result<std::int64_t>(0)
                         : Result<std::int64_t>(std::unexpected(result.error())));
}

Outcome answer(mm::Signal signal) {
    Outcome outcome;
    outcome.kind = signal == mm::Signal::none ? Kind::ok : Kind::signal;
    outcome.value = static_cast<std::int64_t>(signal);
    return outcome;
}

}  // namespace

Names::Names() {
    for (std::size_t at = 0; at < kCount; ++at) {
        values_[at] = kNone;
        bytes_[at] = 0;
    }
}

std::uint64_t Names::value(const Number& number) const {
    if (number.name == Name::none) {
        return number.value;
    }
    return values_[static_cast<std::size_t>(number.name)].load(std::memory_order_relaxed) +
           number.value;
}

void Names::set(Name name, std::uint64_t value, std::uint64_t bytes) {
    values_[static_cast<std::size_t>(name)].store(value, std::memory_order_relaxed);
    bytes_[static_cast<std::size_t>(name)].store(bytes, std::memory_order_relaxed);
}

std::uint64_t Names::bytes(Name name) const {
    return bytes_[static_cast<std::size_t>(name)].load(std::memory_order_relaxed);
}

Performer::Performer(machine::Process& process, Names& names) : process_(process), names_(names) {
    mm::MapRequest request;
    request.length = kArguments;
    request.protection = PROT_READ | PROT_WRITE;
    request.kept = true;  // Programs unmap what they like.
    arguments_ = must(process.mm().map(request));
}

int Performer::file(const Operation& operation) const {
    return static_cast<int>(names_.value(operation.fd));
}

std::uint64_t Performer::number(const Operation& operation, unsigned at) const {
    return names_.value(operation.numbers[at]);
}

std::vector<std::byte> Performer::encode(const std::vector<Token>& tokens,
                                         std::vector<std::uint64_t>* values) const {
    std::vector<std::byte> block;
    for (const Token& token : tokens) {
        std::uint64_t value = names_.value(token.number);
        if (const unsigned bytes = width(token.type); bytes != 0) {
            value &= bytes == 8 ? kNone : (std::uint64_t{1} << 8 * bytes) - 1;
            for (unsigned at = 0; at < bytes; ++at) {
                block.push_back(static_cast<std::byte>(value >> 8 * at));
            }
        } else if (token.type == Token::Type::str) {
            for (const char each : token.chars) {
                block.push_back(static_cast<std::byte>(each));
            }
            block.push_back(std::byte{0});
        } else {
            block.resize(std::min(block.size() + value, kLongestBlock));
        }
        if (values != nullptr) {
            values->push_back(value);
        }
    }
    return block;
}

Result<std::int64_t> Performer::put_block(const std::vector<std::byte>& block) {
    static constexpr std::byte kZero[kZeros]{};
    TRY(process_.mm().copy_to_user(arguments_, block.data(), block.size()));
    TRY(process_.mm().copy_to_user(arguments_ + block.size(), kZero, sizeof kZero));
    return 0;
}

Outcome Performer::perform(const Operation& operation) {
    switch (operation.call) {
        case Call::mem:
        case Call::unmem:
        case Call::protect:
        case Call::poke:
        case Call::peek:
        case Call::mmap:
            return memory(operation);
        case Call::open:
        case Call::close:
        case Call::dup:
        case Call::eventfd:
        case Call::memfd:
        case Call::truncate:
            return open_one(operation);
        case Call::ioctl:
            return ioctl(operation);
        case Call::read:
        case Call::pread:
            return read(operation);
        case Call::write:
        case Call::pwrite:
            return write(operation);
        case Call::guest:
            return guest(operation);
        case Call::hcall:
            return hypercall(operation);
        default:
            return task(operation);
    }
}

Outcome Performer::memory(const Operation& operation) {
    fs::Task& task = process_.task();
    mm::OwnedAddressSpace& mm = process_.mm();
    Result<std::int64_t> address{0};
    switch (operation.call) {
        case Call::mem: {
            const int sharing = operation.shared ? MAP_SHARED : MAP_PRIVATE;
            address = fs::sys_mmap(task, mm, 0, number(operation, 0),
                                   operation.readonly ? PROT_READ : PROT_READ | PROT_WRITE,
                                   sharing | MAP_ANONYMOUS, -1, 0, kBufferAlignment);
            break;
        }
        case Call::mmap:
            address = fs::sys_mmap(
                task, mm, 0, number(operation, 0), static_cast<int>(number(operation, 1)),
                static_cast<int>(number(operation, 2)), file(operation), number(operation, 3));
            break;
        case Call::unmem:
            return answer(fs::sys_munmap(task, mm, number(operation, 0), number(operation, 1)));
        case Call::protect:
            return answer(fs::sys_mprotect(task, mm, number(operation, 0), number(operation, 1),
                                           static_cast<int>(number(operation, 2))));
        case Call::poke: {
            const auto data = encode(operation.tokens);
            return answer(mm.poke(number(operation, 0), data.data(), data.size()));
        }
        default: {
            std::vector<std::byte> data(std::min(number(operation, 1), kLongestPeek));
            Outcome outcome = answer(mm.peek(data.data(), number(operation, 0), data.size()));
            outcome.has_bytes = outcome.kind == Kind::ok;
            outcome.bytes = std::move(data);
            return outcome;
        }
    }
    if (!address) {
        return answer(address);
    }
    names_.set(operation.result, static_cast<std::uint64_t>(*address), number(operation, 0));
    return {};
}

Outcome Performer::open_one(const Operation& operation) {
    fs::Task& task = process_.task();
    Result<std::int64_t> made{0};
    switch (operation.call) {
        case Call::close: {
            const int closed = file(operation);
            if (operation.fd.name != Name::none) {
                names_.set(operation.fd.name, kNone);
            }
            return answer(fs::sys_close(task, closed));
        }
        case Call::truncate:
            return answer(fs::sys_ftruncate(task, file(operation),
                                            static_cast<std::int64_t>(number(operation, 0))));
        case Call::open:
            made = fs::sys_open(task, operation.path, static_cast<int>(number(operation, 0)));
            if (!made) {
                return answer(made);
            }
            names_.set(operation.result, static_cast<std::uint64_t>(*made));
            return {};
        case Call::dup: {
            const int copied = file(operation);
            names_.set(operation.result, kNone);
            made = fs::sys_dup(task, copied);
            break;
        }
        case Call::eventfd:
            names_.set(operation.result, kNone);
            made = fs::sys_eventfd2(task, 0, EFD_NONBLOCK);
            break;
        default:
            names_.set(operation.result, kNone);
            made = fs::sys_memfd_create(task, text(operation.result), 0);
            if (made) {
                const auto cut = fs::sys_ftruncate(task, static_cast<int>(*made),
                                                   static_cast<std::int64_t>(number(operation, 0)));
                if (!cut) {
                    return answer(cut);
                }
            }
            break;
    }
    if (!made) {
        return answer(made);
    }
    names_.set(operation.result, static_cast<std::uint64_t>(*made));
    return {};
}

Outcome Performer::ioctl(const Operation& operation) {
    fs::Task& task = process_.task();
    const std::uint32_t request = operation.request.number(task.abi());
    const int on = file(operation);
    const bool has_block = !operation.tokens.empty();
    std::vector<std::uint64_t> given;
    std::vector<std::byte> block;
    std::uint64_t argument = number(operation, 0);
    if (has_block) {
        block = encode(operation.tokens, &given);
        if (const auto put = put_block(block); !put) {
            return answer(put);
        }
        argument = arguments_;
    }
    const auto result = fs::sys_ioctl(task, on, request, argument);
    Outcome outcome = answer(result);
    if (has_block) {
        if (const auto got = process_.mm().copy_from_user(block.data(), arguments_, block.size());
            !got) {
            return answer(got);
        }
        outcome.given = std::move(given);
    }
    if (result && operation.result != Name::none) {
        outcome.kind = Kind::ok;
        names_.set(operation.result, static_cast<std::uint64_t>(*result));
    }
    if (result && operation.bound != Name::none) {
        std::uint32_t value = 0;  // Every field that is bound is a descriptor.
        std::memcpy(&value, block.data() + operation.bound_offset, sizeof value);
        names_.set(operation.bound, value);
        outcome.bound = true;
    }
    outcome.bytes = std::move(block);
    return outcome;
}

Outcome Performer::read(const Operation& operation) {
    fs::Task& task = process_.task();
    const int from = file(operation);
    const std::uint64_t wanted = number(operation, 0);
    const bool too_long = wanted > kLongestBlock;
    const fs::UserBuffer to{too_long ? 0 : arguments_, wanted};
    const auto moved =
        operation.call == Call::read
            ? fs::sys_read(task, from, to)
            : fs::sys_pread64(task, from, to, static_cast<std::int64_t>(number(operation, 1)));
    Outcome outcome = answer(moved);
    if (moved && *moved > 0 && !too_long) {
        outcome.has_bytes = true;
        outcome.bytes.resize(static_cast<std::size_t>(*moved));
        if (const auto got = process_.mm().copy_from_user(outcome.bytes.data(), arguments_,
                                                          outcome.bytes.size());
            !got) {
            return answer(got);
        }
    }
    return outcome;
}

Outcome Performer::write(const Operation& operation) {
    fs::Task& task = process_.task();
    const int to = file(operation);
    const auto data = encode(operation.tokens);
    if (const auto put = put_block(data); !put) {
        return answer(put);
    }
    const fs::UserBuffer from{arguments_, data.size()};
    return answer(
        operation.call == Call::write
            ? fs::sys_write(task, to, from)
            : fs::sys_pwrite64(task, to, from, static_cast<std::int64_t>(number(operation, 0))));
}

// The guest's own code is written first, as the recorder's is.
Outcome Performer::guest(const Operation& operation) {
    static constexpr std::uint32_t kHang[]{0x48000000};
    static constexpr std::uint32_t kCode[]{0x44000022, 0x7c852378, 0x7c641b78,
                                           0x38607ffc, 0x44000022, 0x48000000};
    const std::uint64_t ram = names_.value(operation.result);
    for (std::uint64_t vector = 0x100; vector < 0x1000; vector += 0x100) {
        if (const auto signal = process_.mm().poke(ram + vector, kHang, sizeof kHang);
            signal != mm::Signal::none) {
            return answer(signal);
        }
    }
    if (const auto signal = process_.mm().poke(ram + 0x1000, kCode, sizeof kCode);
        signal != mm::Signal::none) {
        return answer(signal);
    }
    mm::Signal signal = mm::Signal::none;
    const auto started = start_guest(number(operation, 0), number(operation, 1), ram,
                                     names_.bytes(operation.result), signal);
    return started ? answer(signal) : answer(started);
}

Result<> Performer::start_guest(std::uint64_t kvm, std::uint64_t vm, std::uint64_t ram,
                                std::uint64_t bytes, mm::Signal&) {
    fs::Task& task = process_.task();
    const auto ask = [&](int on, uapi::Request request, std::uint64_t argument) {
        return fs::sys_ioctl(task, on, request.number(task.abi()), argument);
    };
    const auto give = [&](int on, uapi::Request request,
                          const auto& block) -> Result<std::int64_t> {
        std::vector<std::byte> copy(sizeof block);
        std::memcpy(copy.data(), &block, sizeof block);
        TRY(put_block(copy));
        return ask(on, request, arguments_);
    };
    TRY(ask(static_cast<int>(kvm), uapi::KVM_GET_VCPU_MMAP_SIZE, 0));
    uapi::kvm_userspace_memory_region slot{};
    slot.memory_size = bytes;
    slot.userspace_addr = ram;
    TRY(give(static_cast<int>(vm), uapi::KVM_SET_USER_MEMORY_REGION, slot));
    const int vcpu = static_cast<int>(TRY(ask(static_cast<int>(vm), uapi::KVM_CREATE_VCPU, 0)));
    const auto run = TRY(fs::sys_mmap(task, process_.mm(), 0, process_.mm().page_size(),
                                      PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));
    uapi::kvm_enable_cap papr{};
    papr.cap = uapi::KVM_CAP_PPC_PAPR;
    TRY(give(vcpu, uapi::KVM_ENABLE_CAP, papr));
    vcpu_ = vcpu;
    run_ = static_cast<std::uint64_t>(run);
    return {};
}

Outcome Performer::hypercall(const Operation& operation) {
    fs::Task& task = process_.task();
    if (vcpu_ < 0) {
        return answer(Result<std::int64_t>(
            refuse(EBADF, "no guest is there to make the hypercall", Source{"tests/guests"})));
    }
    const auto file = task.files().get(vcpu_);
    if (!file) {
        return answer(Result<std::int64_t>(std::unexpected(file.error())));
    }
    auto* const vcpu = dynamic_cast<kvm::VcpuFile*>(file->get());
    if (vcpu == nullptr) {  // Its descriptor was closed, and the number is another's.
        return {};
    }
    kvm::Hypercall call{};
    call.number = number(operation, 0);
    for (unsigned at = 1; at < operation.count; ++at) {
        call.arguments[at - 1] = number(operation, at);
    }
    vcpu->vcpu().queue({call});
    const auto ran = fs::sys_ioctl(task, vcpu_, uapi::KVM_RUN.number(task.abi()), 0);
    if (!ran && ran.error().error() != EINTR) {
        return answer(ran);
    }
    Outcome outcome;
    if (ran) {
        const auto too_hard = std::int64_t{uapi::H_TOO_HARD};
        const std::uint64_t ret = run_ + offsetof(uapi::kvm_run, papr_hcall) + 8;
        outcome = answer(process_.mm().poke(ret, &too_hard, sizeof too_hard));
        if (outcome.kind == Kind::ok) {
            outcome.kind = Kind::exit;
        }
        return outcome;
    }
    const auto answers = vcpu->vcpu().take_answers();
    if (answers.empty()) {  // Another thread took it.
        return {};
    }
    outcome.kind = Kind::number;
    outcome.value = static_cast<std::int64_t>(answers.back().r3);
    outcome.has_r4 = call.number == uapi::H_GET_TCE && outcome.value == 0;
    outcome.r4 = answers.back().r4;
    return outcome;
}

Outcome Performer::task(const Operation& operation) {
    fs::Task& task = process_.task();
    const std::uint64_t first = number(operation, 0);
    switch (operation.call) {
        case Call::poll:
            return answer(fs::sys_poll(task, file(operation), static_cast<std::uint32_t>(first)));
        case Call::memlock:
            return answer(
                task.set_limit(static_cast<std::uint32_t>(fs::Resource::memlock), {first, first}));
        case Call::uid:
            return answer(task.set_user(static_cast<std::uint32_t>(first)));
        case Call::fail:
            task.faults().fail_nth(static_cast<std::uint32_t>(first));
            return {};
        default:
            return answer(Result<std::int64_t>(static_cast<std::int64_t>(
                process_.mm().locked_vm().pages() * (process_.mm().page_size() >> 10))));
    }
}

}  // namespace kvmiommu::guests
