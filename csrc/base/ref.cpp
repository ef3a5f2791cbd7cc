// SPDX-License-Identifier: MIT

#include "base/ref.h"

#include <algorithm>

namespace kvmiommu {

std::uint64_t Census::alive() const {
    const Lock lock(mutex_);
    return alive_;
}

std::vector<std::string> Census::report(
    const std::function<bool(const RefCounted&)>& expected) const {
    const Lock lock(mutex_);
    std::vector<std::string> lines;
    for (const RefCounted* object = first_; object != nullptr; object = object->next_) {
        if (expected(*object)) {
            continue;
        }
        std::string line = object->kind_;
        line += ", references: " + std::to_string(object->references());
#if KVMIOMMU_NAMED_REFERENCES
        const Lock holders(object->holders_mutex_);
        const char* separator = ", held by ";
        for (const auto& [by, name] : object->holders_) {
            line += separator;
            line += name;
            separator = ", ";
        }
#endif
        lines.push_back(std::move(line));
    }
    return lines;
}

void Census::enroll(RefCounted& object) {
    const Lock lock(mutex_);
    object.previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &object;
    last_ = &object;
    ++alive_;
}

void Census::strike(RefCounted& object) {
    const Lock lock(mutex_);
    (object.previous_ != nullptr ? object.previous_->next_ : first_) = object.next_;
    (object.next_ != nullptr ? object.next_->previous_ : last_) = object.previous_;
    --alive_;
}

#if KVMIOMMU_NAMED_REFERENCES
void RefCounted::held(const void* by, const char* name) const {
    const Lock lock(holders_mutex_);
    holders_.emplace_back(by, name);
}

void RefCounted::remove_holder(const void* by) const {
    const Lock lock(holders_mutex_);
    const auto found = std::find_if(holders_.begin(), holders_.end(),
                                    [by](const auto& holder) { return holder.first == by; });
    assert(found != holders_.end());
    holders_.erase(found);
}
#endif

}  // namespace kvmiommu
