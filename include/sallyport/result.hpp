// BOTH SIDES. The one way in which an expected failure is returned: Result<T> and TRY.
// An Error says what was being done to what, and errno where the system refused; text() joins them for a person.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace sallyport {

struct Error {
  std::string doing;
  int code = 0;           // errno, or 0 where no system call failed
  bool may_pass = false;  // without anybody mending anything: whoever can wait tries again

  std::string text() const {
    if (code == 0) return doing;
    return doing + ": " + std::strerror(code);
  }
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string doing) { return std::unexpected(Error{std::move(doing), 0}); }

// The default argument reads errno before the caller's other expressions can change it only if `doing` is cheap;
// pass the code where building the text may itself fail.
inline std::unexpected<Error> fail_errno(std::string doing, int code = errno) {
  return std::unexpected(Error{std::move(doing), code});
}

inline std::unexpected<Error> fail_for_now(std::string doing, int code = 0) {
  return std::unexpected(Error{std::move(doing), code, true});
}

}  // namespace sallyport

// `auto x = TRY(f());` or `TRY(f());` on a line of its own. In a coroutine write CO_TRY.
#define SALLYPORT_TRY_IMPL(return_keyword, expression)                    \
  ({                                                                      \
    auto try_result_ = (expression);                                      \
    if (!try_result_) [[unlikely]]                                        \
      return_keyword ::std::unexpected(::std::move(try_result_).error()); \
    ::sallyport::detail::take(::std::move(try_result_));                  \
  })
#define TRY(expression) SALLYPORT_TRY_IMPL(return, expression)
#define CO_TRY(expression) SALLYPORT_TRY_IMPL(co_return, expression)

namespace sallyport::detail {
template <class T>
T take(std::expected<T, Error>&& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace sallyport::detail
