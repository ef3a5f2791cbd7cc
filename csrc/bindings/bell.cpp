// SPDX-License-Identifier: MIT

#include "bindings/bell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "bindings/gil.h"
#include "bindings/host_call.h"
#include "bindings/register.h"
#include "fs/lock_order.h"

namespace kvmiommu {

// The host's eventfd and the numbers of the watches that rang. Waiters keep it, for a file may wake
// them after their Bell is gone.
class Bell::Ringing {
  public:
    Ringing() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        if (fd_ < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            throw py::error_already_set();
        }
    }
    ~Ringing() { ::close(fd_); }
    Ringing(const Ringing&) = delete;
    Ringing& operator=(const Ringing&) = delete;

    int fd() const { return fd_; }
    void ring(std::uint64_t number) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        if (rang_.empty()) {
            const std::uint64_t one = 1;
            // It cannot fail: the counter is 0 or 1.
            [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
        }
        rang_.push_back(number);
    }
    std::vector<std::uint64_t> take() EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        std::uint64_t count = 0;
        [[maybe_unused]] const auto read = ::read(fd_, &count, sizeof count);
        return std::exchange(rang_, {});
    }

  private:
    const int fd_;
    // The lock of the file that wakes a waiter is held.
    Mutex mutex_{fs::lock_order::kSleeper};
    std::vector<std::uint64_t> rang_ GUARDED_BY(mutex_);
};

class Bell::Watch final : public fs::Waiter {
  public:
    Watch(std::shared_ptr<Ringing> ringing, std::uint64_t number)
        : ringing_(std::move(ringing)), number_(number) {}

    // Once until take_up(), however often the file changes.
    void wake() override {
        if (!rang_.exchange(true)) {
            ringing_->ring(number_);
        }
    }
    void take_up() { rang_.store(false); }

  private:
    const std::shared_ptr<Ringing> ringing_;
    const std::uint64_t number_;
    std::atomic<bool> rang_{false};
};

Bell::Bell(Process& process)
    : machine_(process.machine()),
      process_(process.shared()),
      ringing_(std::make_shared<Ringing>()) {}

// In a child of the host's process nothing is destroyed.
Bell::~Bell() {
    if (machine_->made().inherited()) {
        return;
    }
    const HostCall call(machine_, HostCall::Errors::kept);
    const WithoutGil released;
    std::map<std::uint64_t, std::shared_ptr<Watch>> watches;
    {
        const Lock lock(mutex_);
        watches = std::exchange(watches_, {});
    }
    for (const auto& [_, watch] : watches) {
        process_->task().unwatch(*watch);
    }
}

int Bell::fileno() const {
    return ringing_->fd();
}

std::shared_ptr<Bell::Watch> Bell::find(std::uint64_t number) {
    const Lock lock(mutex_);
    const auto found = watches_.find(number);
    return found == watches_.end() ? nullptr : found->second;
}

std::uint64_t Bell::watch(int fd) {
    return without_gil([&]() -> Result<std::uint64_t> {
        std::shared_ptr<Watch> watch;
        std::uint64_t number = 0;
        {
            const Lock lock(mutex_);
            number = ++last_;
            watch = std::make_shared<Watch>(ringing_, number);
            watches_.emplace(number, watch);
        }
        // It is found by its number before it can ring.
        if (const auto watched = process_->task().watch(fd, watch); !watched) {
            const Lock lock(mutex_);
            watches_.erase(number);
            return std::unexpected(watched.error());
        }
        watch->wake();
        return number;
    });
}

void Bell::unwatch(std::uint64_t number) {
    const WithoutGil released;
    std::shared_ptr<Watch> watch;
    {
        const Lock lock(mutex_);
        if (const auto found = watches_.find(number); found != watches_.end()) {
            watch = std::move(found->second);
            watches_.erase(found);
        }
    }
    if (watch != nullptr) {
        process_->task().unwatch(*watch);
    }
}

std::vector<std::uint64_t> Bell::take() {
    std::vector<std::uint64_t> rang = ringing_->take();
    for (const std::uint64_t number : rang) {
        if (const auto watch = find(number)) {
            watch->take_up();
        }
    }
    return rang;
}

bool Bell::readable(std::uint64_t number) {
    const auto watch = find(number);
    return watch != nullptr && without_gil([&]() -> Result<bool> {
               return (TRY(process_->task().poll_watched(*watch)) & (POLLIN | POLLERR | POLLHUP)) !=
                      0;
           });
}

}  // namespace kvmiommu
