// SPDX-License-Identifier: MIT

#include "guests/transcript.h"

#include <array>
#include <cstdio>
#include <string_view>

#include "base/result.h"

namespace kvmiommu::guests {

namespace {

using Call = Operation::Call;
using Type = Token::Type;

constexpr std::array<std::string_view, 8> kTypes{"u8", "u16", "u32", "u64",
                                                 "fd", "ptr", "str", "zero"};
constexpr std::array<unsigned, 8> kWidths{1, 2, 4, 8, 4, 8, 0, 0};

std::string_view type(const Token& token) {
    return kTypes[static_cast<unsigned>(token.type)];
}

std::string hex(std::uint64_t value) {
    char digits[24];
    std::snprintf(digits, sizeof digits, "0x%llx", static_cast<unsigned long long>(value));
    return digits;
}

std::string text(const Number& number) {
    if (number.name == Name::none) {
        return number.value < 10 ? std::to_string(number.value) : hex(number.value);
    }
    std::string name(guests::text(number.name));
    return number.value == 0 ? name : name + "+" + hex(number.value);
}

std::string text(const Token& token) {
    std::string written(type(token));
    written += ':';
    switch (token.type) {
        case Type::str:
            return written + token.chars;
        case Type::zero:
            return written + std::to_string(token.number.value);
        default:
            return written + text(token.number);
    }
}

// Bytes as an answer shows them; those that are all zero are shortened, if they may be.
std::string hex(const std::byte* bytes, std::size_t count, bool zeros) {
    bool all_zero = zeros;
    std::string digits;
    for (std::size_t at = 0; at < count; ++at) {
        all_zero = all_zero && bytes[at] == std::byte{0};
        static constexpr std::string_view kDigits = "0123456789abcdef";
        digits += kDigits[static_cast<unsigned>(bytes[at]) >> 4];
        digits += kDigits[static_cast<unsigned>(bytes[at]) & 15];
    }
    return all_zero ? "zero:" + std::to_string(count) : "hex:" + digits;
}

std::string block(const Operation& operation, const Outcome& outcome) {
    std::string fields;
    std::size_t offset = 0;
    for (std::size_t at = 0; at < operation.tokens.size(); ++at) {
        const Token& token = operation.tokens[at];
        fields += ' ';
        if (token.type == Type::str || token.type == Type::zero) {
            const std::size_t bytes = token.type == Type::str
                                          ? token.chars.size() + 1
                                          : static_cast<std::size_t>(token.number.value);
            fields += hex(outcome.bytes.data() + offset, bytes, token.type == Type::zero);
            offset += bytes;
            continue;
        }
        const unsigned width = kWidths[static_cast<unsigned>(token.type)];
        std::uint64_t now = 0;
        for (unsigned byte = 0; byte < width; ++byte) {
            now |= std::uint64_t{static_cast<std::uint8_t>(outcome.bytes[offset + byte])}
                   << 8 * byte;
        }
        fields += std::string(type(token)) + ":";
        if (outcome.bound && offset == operation.bound_offset) {
            fields += guests::text(operation.bound);
        } else if (now == outcome.given[at]) {
            fields += text(token.number);
        } else if (token.type == Type::fd || token.type == Type::ptr) {
            fields += "changed";
        } else {
            fields += hex(now);
        }
        offset += width;
    }
    return fields;
}

}  // namespace

std::string line(const Operation& operation) {
    static constexpr std::array<std::string_view, 24> kCalls{
        "mem",     "unmem", "protect",  "poke",  "peek", "open",   "close", "dup",
        "eventfd", "memfd", "truncate", "ioctl", "mmap", "read",   "pread", "write",
        "pwrite",  "poll",  "memlock",  "uid",   "fail", "status", "guest", "hcall"};
    std::string written(kCalls[static_cast<unsigned>(operation.call)]);
    const auto add = [&](std::string_view word) { (written += ' ') += word; };
    const auto number = [&](unsigned at) { add(text(operation.numbers[at])); };
    const auto tokens = [&] {
        for (const Token& token : operation.tokens) {
            add(text(token));
        }
    };
    switch (operation.call) {
        case Call::mem:
            add(guests::text(operation.result));
            number(0);
            if (operation.shared) {
                add("shared");
            }
            if (operation.readonly) {
                add("ro");
            }
            break;
        case Call::open:
            add(guests::text(operation.result));
            add(operation.path);
            number(0);
            break;
        case Call::dup:
            add(guests::text(operation.result));
            add(text(operation.fd));
            break;
        case Call::eventfd:
            add(guests::text(operation.result));
            break;
        case Call::memfd:
            add(guests::text(operation.result));
            number(0);
            break;
        case Call::mmap:
            add(guests::text(operation.result));
            add(text(operation.fd));
            for (unsigned at = 0; at < 4; ++at) {
                number(at);
            }
            break;
        case Call::ioctl:
            add(text(operation.fd));
            add(operation.request.name.empty() ? hex(operation.request.raw)
                                               : std::string(operation.request.name));
            if (operation.tokens.empty()) {
                add("val:" + text(operation.numbers[0]));
            }
            tokens();
            if (operation.result != Name::none) {
                add("->");
                add(guests::text(operation.result));
            }
            if (operation.bound != Name::none) {
                add("bind");
                add(guests::text(operation.bound));
                add(std::to_string(operation.bound_offset));
            }
            break;
        case Call::status:
            add("VmLck");
            break;
        case Call::guest:
            number(0);
            number(1);
            add(guests::text(operation.result));
            break;
        case Call::close:
        case Call::truncate:
        case Call::read:
        case Call::pread:
        case Call::write:
        case Call::pwrite:
        case Call::poll:
            add(text(operation.fd));
            [[fallthrough]];
        default:
            for (unsigned at = 0; at < operation.count; ++at) {
                number(at);
            }
            tokens();
            break;
    }
    return written;
}

std::string lines(const Operation& operation, const Outcome& outcome) {
    std::string answer = "  = ";
    switch (outcome.kind) {
        case Outcome::Kind::ok:
            answer += "ok";
            break;
        case Outcome::Kind::exit:
            answer += "exit";
            break;
        case Outcome::Kind::error:
            answer += "-" + errno_name(static_cast<int>(outcome.value));
            break;
        case Outcome::Kind::signal:
            answer +=
                static_cast<mm::Signal>(outcome.value) == mm::Signal::bus ? "SIGBUS" : "SIGSEGV";
            break;
        case Outcome::Kind::number:
            answer += std::to_string(outcome.value);
            if (outcome.has_r4) {
                answer += " " + hex(outcome.r4);
            }
            break;
    }
    answer += '\n';
    if (operation.call == Call::ioctl && !operation.tokens.empty() && !outcome.given.empty()) {
        answer += "  >" + block(operation, outcome) + "\n";
    } else if (outcome.has_bytes) {
        answer += "  > " + hex(outcome.bytes.data(), outcome.bytes.size(), true) + "\n";
    }
    return answer;
}

}  // namespace kvmiommu::guests
