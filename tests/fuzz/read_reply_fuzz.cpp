// dockerd's answers: JSON readers on arbitrary texts, and whole HTTP replies through the connection that reads them.
// The first byte chooses the reader. What comes out must fit the message that carries it to a gate.
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>

#include "broker/engine/explain.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/upstream.hpp"

namespace {

using namespace sallyport;

void must_decode(const protocol::Reply& reply) {
  const auto bytes = encode_message(protocol::ReplyEnvelope{1, reply});
  if (!decode_message<protocol::ReplyEnvelope>(bytes)) std::abort();
}

boost::asio::awaitable<void> read_all(engine::Upstream& upstream, bool in_parts) {
  if (!co_await upstream.send("GET / HTTP/1.1\r\n\r\n")) co_return;
  const auto head = co_await upstream.read_head();
  if (!head) co_return;
  if (head->upgraded_to_tcp) {
    (void)upstream.take_early();
  } else if (in_parts) {
    for (;;) {
      const auto part = co_await upstream.read_part();
      if (!part || part->empty()) break;
    }
  } else {
    (void)co_await upstream.read_body(64 * 1024);
  }
  (void)upstream.is_reusable();
}

void whole_reply(std::string_view text, bool in_parts) {
  int ends[2];
  if (text.size() > 60'000 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return;
  UniqueFd peer = UniqueFd::adopt(ends[1]);
  boost::asio::io_context io(1);
  engine::Upstream upstream(io.get_executor(), UniqueFd::adopt(ends[0]));
  if (::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
  ::shutdown(peer.get(), SHUT_WR);
  boost::asio::co_spawn(io, read_all(upstream, in_parts), boost::asio::detached);
  io.run();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 10) {
    case 0:
      if (auto read = engine::read_inspect(text)) {
        read->container.name = *ContainerName::parse("db");
        must_decode(std::move(*read));
      }
      break;
    case 1:
      if (auto read = engine::read_list(text))
        for (auto& entry : *read) {
          entry.summary.id = entry.id;
          entry.summary.name = *ContainerName::parse("db");
          must_decode(protocol::ListItem{std::move(entry.summary)});
        }
      break;
    case 2: (void)engine::read_image(text); break;
    case 3: (void)engine::read_wait(text); break;
    case 4: (void)engine::read_version(text), (void)engine::read_info(text); break;
    case 5: (void)engine::read_created(text); break;
    case 6:
      must_decode(engine::explain(engine::Operation::Start, 400, engine::read_error_message(text),
                                  {.container = "db", .program = text.substr(0, 256), .directory = text}));
      break;
    case 7: must_decode(protocol::Exited{0, engine::explain_state_error(text, {.program = text})}); break;
    case 8: whole_reply(text, false); break;
    default: whole_reply(text, true); break;
  }
  return 0;
}
