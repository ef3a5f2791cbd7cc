// SPDX-License-Identifier: MIT

#include "vfio/virqfd.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kGet{"fs/eventfd.c: eventfd_ctx_fdget"};
}

Result<Ref<fs::EventFd>> get_eventfd(fs::Task& task, std::int32_t fd) {
    const Ref<fs::File> file = TRY(task.files().get(fd));
    auto* const eventfd = dynamic_cast<fs::EventFd*>(file.get());
    if (eventfd == nullptr) {
        return refuse(EINVAL, "descriptor {} is not an eventfd", kGet, fd);
    }
    return Ref<fs::EventFd>(*eventfd);
}

Ref<Virqfd> Virqfd::start(Census& census, Ref<fs::EventFd> eventfd, std::function<void()> action) {
    Ref<Virqfd> virqfd = make<Virqfd>(census, eventfd, std::move(action));
    eventfd->listen(virqfd);
    return virqfd;
}

void Virqfd::stop() {
    Ref<fs::EventFd> eventfd;
    {
        const Lock lock(mutex_);
        eventfd = std::move(eventfd_);
    }
    if (eventfd) {
        eventfd->unlisten(*this);
    }
}

void Virqfd::run() {
    {
        const Lock lock(mutex_);
        if (!eventfd_) {
            return;
        }
    }
    action_();
}

}  // namespace kvmiommu::vfio
