// UNTRUSTED SIDE. What a client is answered: HTTP heads, Docker's JSON shapes, and the documents that the gate makes
// alone. Every text is escaped; nothing is passed on that has no place here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/protocol/messages.hpp"

namespace sallyport::gate {

enum class After : std::uint8_t { KeepAlive, Close };  // what becomes of the connection
enum class WithBody : std::uint8_t { No, Yes };        // HEAD gets the head alone

// `text` as a JSON string, appended.
void append_json(std::string& out, std::string_view text);

// A whole response; an empty `json` sends no body (204, 304).
std::string response(std::uint16_t status, std::string_view json, After after);
std::string json_head(std::uint16_t status, std::size_t bytes, After after);  // of a document sent behind it
// {"message": "..."}, which every Docker client shows.
std::string error_response(std::uint16_t status, std::string_view message, After after, std::uint32_t retry_after = 0,
                           WithBody with_body = WithBody::Yes);
std::string ping_response(After after, WithBody with_body);

// Heads of answers whose body follows piece by piece.
std::string chunked_head(std::string_view content_type, After after);
std::string chunk(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
std::string hijack_head(std::string_view content_type, bool upgraded);

// Documents.
std::string version_json(std::string_view docker_version);
std::string info_json(std::string_view docker_version);
std::string created_json(const protocol::Created& created);
std::string exited_json(const protocol::Exited& exited);
std::string inspect_json(const protocol::Inspected& inspected);
std::string list_json(const std::vector<protocol::Summary>& containers);

}  // namespace sallyport::gate
