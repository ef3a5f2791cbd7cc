// SPDX-License-Identifier: MIT

#include "vfio/pci/pci_name.h"

#include <cctype>

namespace kvmiommu::vfio {

namespace {

constexpr Source kMatch{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_match"};
constexpr Source kToken{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_validate_vf_token"};
constexpr Source kUuid{"lib/uuid.c: uuid_is_valid"};

constexpr std::string_view kTokenOption = "vf_token=";
constexpr std::string_view kUuidForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

// Does `text` begin with a UUID, whatever follows?
bool begins_with_uuid(std::string_view text) {
    if (text.size() < kUuidForm.size()) {
        return false;
    }
    for (std::size_t at = 0; at < kUuidForm.size(); ++at) {
        const bool fits = kUuidForm[at] == '-'
                              ? text[at] == '-'
                              : std::isxdigit(static_cast<unsigned char>(text[at])) != 0;
        if (!fits) {
            return false;
        }
    }
    return true;
}

}  // namespace

Result<bool> match_pci_name(std::string_view address, std::string_view name) {
    if (!name.starts_with(address)) {
        return false;
    }
    std::string_view rest = name.substr(address.size());
    if (!rest.empty() && rest.front() != ' ') {
        return false;
    }
    bool token = false;
    while (!rest.empty()) {
        if (rest.front() == ' ') {
            rest.remove_prefix(1);
            continue;
        }
        if (token || !rest.starts_with(kTokenOption)) {
            return refuse(
                EINVAL, "after the device's address comes what is no option, or one twice", kMatch);
        }
        rest.remove_prefix(kTokenOption.size());
        if (!begins_with_uuid(rest)) {
            return refuse(EINVAL, "the token is not a UUID", kUuid);
        }
        rest.remove_prefix(kUuidForm.size());
        token = true;
    }
    if (token) {
        return refuse(EINVAL, "a token for a function that is no part of SR-IOV", kToken);
    }
    return true;
}

}  // namespace kvmiommu::vfio
