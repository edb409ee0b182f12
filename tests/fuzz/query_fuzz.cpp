// Any bytes as the query of a served endpoint (the first byte says which), through to the typed request.
#include <cstdint>
#include <cstdlib>

#include "broker/gate/typed_request.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  if (size == 0) return 0;
  const auto verb = static_cast<api::Verb>(1 + data[0] % (static_cast<int>(api::Verb::kCount) - 1));
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (verb == api::Verb::Ping || verb == api::Verb::Version || verb == api::Verb::Info) {
    (void)gate::Query::parse(verb, text);
    return 0;
  }
  const gate::Route route{&api::row_of(verb), "job", text};
  gate::Head head;
  head.content_type = "application/json";
  const auto typed = gate::typed_request(route, head, verb == api::Verb::Create ? R"({"Image":"busybox"})" : "");
  if (!typed) {
    if (typed.error().message.empty()) std::abort();
    return 0;
  }
  // The keeper ends a gate whose message it cannot read: ours it always can.
  if (!decode_message<protocol::RequestEnvelope>(encode_message(protocol::RequestEnvelope{1, typed->request})))
    std::abort();
  if (const auto* logs = std::get_if<protocol::ReadLogs>(&typed->request))
    if (logs->since_nanoseconds < 0 || logs->until_nanoseconds < 0) std::abort();
  if (verb == api::Verb::List) {
    protocol::Summary container;
    container.labels.items = {{"a", "b"}};
    (void)typed->filter.apply({container, container});
  }
  return 0;
}
