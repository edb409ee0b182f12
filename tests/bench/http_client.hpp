// TEST. The smallest HTTP/1.1 client that can measure others: blocking, one Unix socket, no allocation per read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "sallyport/unique_fd.hpp"

namespace sallyport::bench {

[[noreturn]] void die(const std::string& what);

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
};

class HttpClient {
 public:
  explicit HttpClient(const std::string& socket_path);
  Reply request(std::string_view method, std::string_view target, std::string_view body = "");
  void send(std::string_view bytes);
  Reply read_reply();
  std::size_t read_to_end();  // bytes until the peer closes, counted and dropped
  int fd() const { return socket_.get(); }

 private:
  bool more();
  std::string take_line();
  std::string take(std::size_t size);
  UniqueFd socket_;
  std::string buffer_;
};

std::string render(std::string_view method, std::string_view target, std::string_view body);

}  // namespace sallyport::bench
