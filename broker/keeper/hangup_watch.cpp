#include "broker/keeper/hangup_watch.hpp"

#include <sys/epoll.h>

#include <array>

namespace sallyport::keeper {

HangupWatch::HangupWatch(const net::any_io_executor& executor) : epoll_(executor) {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd >= 0) epoll_.assign(fd);
}

Result<HangupWatch::Key> HangupWatch::add(int fd, OnHangup on_hangup) {
  epoll_event event{};
  event.events = 0;  // EPOLLHUP and EPOLLERR come by themselves
  event.data.u64 = ++last_;
  if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("watch a stream");
  entries_.emplace(last_, Entry{fd, std::move(on_hangup)});
  return last_;
}

void HangupWatch::remove(Key key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  entries_.erase(found);
}

void HangupWatch::dispatch() {
  std::array<epoll_event, 32> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      const Key key =
          events[static_cast<std::size_t>(i)].data.u64;  // a copy: epoll_event is packed, and find() takes a reference
      const auto found = entries_.find(key);
      if (found == entries_.end()) continue;
      const OnHangup on_hangup = std::move(found->second.on_hangup);
      remove(found->first);
      on_hangup();
    }
    if (count < static_cast<int>(events.size())) return;
  }
}

net::awaitable<void> HangupWatch::run() {
  while (epoll_.is_open()) {
    auto [error] = co_await epoll_.async_wait(net::posix::stream_descriptor::wait_read, async::kUseTuple);
    if (error) co_return;
    dispatch();
  }
}

}  // namespace sallyport::keeper
