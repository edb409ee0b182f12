// Any bytes as a create body: what comes out holds to its grammars and fits a message that the keeper can read.
#include <cstdint>
#include <cstdlib>

#include "broker/api/names.hpp"
#include "broker/gate/create_body.hpp"
#include "broker/gate/json_reader.hpp"

// A limit comes from its own place in the body, whatever keys there are beside it.
static bool holds(const sallyport::gate::JsonValue& root, const char* key) {
  const sallyport::gate::JsonValue* host = root.find("HostConfig");
  return host != nullptr && host->find(key) != nullptr;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const std::string_view body(reinterpret_cast<const char*>(data), std::min(size, limits::kMaxCreateBodyBytes));
  const auto made = gate::read_create(*gate::Query::parse(api::Verb::Create, {}), body);
  if (!made) {
    if (made.error().message.empty() || made.error().message.size() > 2048) std::abort();
    return 0;
  }
  for (const auto& entry : made->environment.items)
    if (!api::is_environment_entry(entry.value) || api::steers_runtime(entry.value)) std::abort();
  for (const auto& label : made->labels.items)
    if (label.key.value.starts_with("sallyport.")) std::abort();
  const gate::JsonValue root = *gate::read_json(body, gate::OwnKeys::OfLabels);
  if ((made->memory != 0 && !holds(root, "Memory")) || (made->pids != 0 && !holds(root, "PidsLimit")) ||
      (made->nano_cpus != 0 && !holds(root, "NanoCpus") && !holds(root, "CpuQuota")) ||
      (made->auto_remove && !holds(root, "AutoRemove")))
    std::abort();
  if (!made->hostname.value.empty() && !api::is_hostname(made->hostname.value)) std::abort();
  if (made->stop_signal != 0 && !api::is_signal(made->stop_signal)) std::abort();
  const std::string& directory = made->working_directory.value;
  if (!directory.empty() && !api::is_allowed_directory(directory)) std::abort();
  if (made->memory < 0 || made->nano_cpus < 0 || made->pids < 0 || made->shm_bytes < 0) std::abort();
  const auto bytes = encode_message(protocol::RequestEnvelope{1, *made});
  if (bytes.size() > limits::kMaxMessageBytes || !decode_message<protocol::RequestEnvelope>(bytes)) std::abort();
  return 0;
}
