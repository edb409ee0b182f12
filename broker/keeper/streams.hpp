// TRUSTED SIDE. The two kinds of stream that a gate gets, and how they are taken back.
// Attach: dockerd's own connection, handed over after its 101; the keeper keeps a duplicate and does nothing with it
// but shut it down and close it, because whoever shares a description can make its other holders hang. Logs: dockerd
// still speaks HTTP on that connection, so the keeper reads it and feeds a socket pair of its own.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>

#include "broker/engine/docker_client.hpp"
#include "broker/keeper/hangup_watch.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

class AttachStream : public HeldStream {
 public:
  // Calls on_over when the stream has ended on both sides; not after revoke().
  static Result<std::shared_ptr<AttachStream>> keep(HangupWatch& watch, UniqueFd duplicate,
                                                    std::function<void()> on_over);
  ~AttachStream() override;
  void revoke() override;

 private:
  AttachStream(HangupWatch& watch, UniqueFd duplicate) : watch_(watch), duplicate_(std::move(duplicate)) {}
  HangupWatch& watch_;
  UniqueFd duplicate_;
  HangupWatch::Key key_ = 0;
};

class LogStream : public HeldStream {
 public:
  // The gate's end is returned beside it.
  static Result<std::pair<std::shared_ptr<LogStream>, UniqueFd>> make(const net::any_io_executor& executor,
                                                                      HangupWatch& watch,
                                                                      std::shared_ptr<engine::Upstream> upstream);
  ~LogStream() override;
  void revoke() override;
  // Feeds until dockerd's body ends, the gate closes its end, or revoke().
  net::awaitable<void> pump();

 private:
  LogStream(const net::any_io_executor& executor, HangupWatch& watch, UniqueFd own,
            std::shared_ptr<engine::Upstream> upstream);
  net::awaitable<bool> write(std::string_view bytes);
  HangupWatch& watch_;
  net::posix::stream_descriptor own_;
  std::shared_ptr<engine::Upstream> upstream_;
  HangupWatch::Key key_ = 0;
};

}  // namespace sallyport::keeper
