#include "broker/gate/timestamp.hpp"

#include <cstdlib>

#include "sallyport/ids.hpp"
#include "sallyport/limits.hpp"

namespace sallyport::gate {

namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;
constexpr std::int64_t kMostSeconds = INT64_MAX / kNanoseconds - 1;  // a fraction still fits
constexpr std::int64_t kDay = 24 * 60 * 60;

// What is left to read. Each take leaves it as it is where it does not fit.
struct Cursor {
  std::string_view rest;
  bool take(char wanted) {
    if (rest.empty() || rest[0] != wanted) return false;
    rest.remove_prefix(1);
    return true;
  }
  std::size_t digits() const {
    std::size_t count = 0;
    while (count < rest.size() && detail::is_digit(rest[count])) ++count;
    return count;
  }
  // Exactly so many digits, and a number of this range.
  std::optional<int> number(std::size_t width, int least, int most) {
    if (digits() < width) return {};
    int value = 0;
    for (const char c : rest.substr(0, width)) value = value * 10 + (c - '0');
    if (value < least || value > most) return {};
    rest.remove_prefix(width);
    return value;
  }
};

// After the point: digits beyond nanoseconds are read and mean nothing.
std::optional<std::int64_t> fraction(Cursor& cursor) {
  const std::size_t count = cursor.digits();
  if (count == 0) return {};
  std::int64_t value = 0;
  for (std::size_t i = 0; i < 9; ++i) value = value * 10 + (i < count ? cursor.rest[i] - '0' : 0);
  cursor.rest.remove_prefix(count);
  return value;
}

constexpr bool is_leap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }
constexpr int days_in(int year, int month) {
  if (month == 2) return is_leap(year) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}
// Days from 1970-01-01 in the Gregorian calendar, counted over at most 10,000 years.
constexpr std::int64_t days_before(int year) {
  const std::int64_t past = year - 1;
  return past * 365 + past / 4 - past / 100 + past / 400 - 719'162;
}
static_assert(days_before(1970) == 0 && days_before(2000) == 10'957 && days_before(2001) == 11'323);

std::optional<std::int64_t> date(Cursor& cursor) {
  const auto year = cursor.number(4, 1, 9999);
  if (!year || !cursor.take('-')) return {};
  const auto month = cursor.number(2, 1, 12);
  if (!month || !cursor.take('-')) return {};
  const auto day = cursor.number(2, 1, days_in(*year, *month));
  if (!day) return {};
  std::int64_t days = days_before(*year) + *day - 1;
  for (int earlier = 1; earlier < *month; ++earlier) days += days_in(*year, earlier);
  return days;
}

struct Moment {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
};

bool time_of_day(Cursor& cursor, Moment& moment) {
  const auto hour = cursor.number(2, 0, 23);
  if (!hour || !cursor.take(':')) return false;
  const auto minute = cursor.number(2, 0, 59);
  if (!minute) return false;
  moment.seconds += *hour * 3600 + *minute * 60;
  if (!cursor.take(':')) return true;
  const auto second = cursor.number(2, 0, 59);
  if (!second) return false;
  moment.seconds += *second;
  if (!cursor.take('.')) return true;
  const auto part = fraction(cursor);
  moment.nanoseconds = part.value_or(0);
  return part.has_value();
}

bool zone(Cursor& cursor, Moment& moment) {
  if (cursor.rest.empty() || cursor.take('Z')) return cursor.rest.empty();
  const bool east = cursor.take('+');
  if (!east && !cursor.take('-')) return false;
  const auto hour = cursor.number(2, 0, 23);
  if (!hour || !cursor.take(':')) return false;
  const auto minute = cursor.number(2, 0, 59);
  if (!minute || !cursor.rest.empty()) return false;
  const int offset = *hour * 3600 + *minute * 60;
  moment.seconds -= east ? offset : -offset;
  return true;
}

std::optional<Moment> date_and_time(Cursor cursor) {
  const auto days = date(cursor);
  if (!days) return {};
  Moment moment{*days * kDay, 0};
  if (cursor.take('T') && !time_of_day(cursor, moment)) return {};
  if (!zone(cursor, moment)) return {};
  return moment;
}

std::optional<Moment> seconds_since_epoch(Cursor cursor) {
  const bool before = cursor.take('-');
  if (!before) (void)cursor.take('+');
  const std::size_t count = cursor.digits();
  if (count == 0) return {};
  Moment moment;
  for (const char c : cursor.rest.substr(0, count)) {
    moment.seconds = moment.seconds * 10 + (c - '0');
    if (moment.seconds > kMostSeconds) return {};
  }
  cursor.rest.remove_prefix(count);
  if (cursor.take('.')) {
    const auto part = fraction(cursor);
    if (!part) return {};
    moment.nanoseconds = *part;
  }
  if (!cursor.rest.empty()) return {};
  return before ? Moment{-moment.seconds, -moment.nanoseconds} : moment;
}

}  // namespace

std::optional<std::int64_t> timestamp_of(std::string_view text) {
  if (text.size() > limits::kMaxTimestampBytes) return {};
  const auto moment = text.find('-', 1) == std::string_view::npos ? seconds_since_epoch({text}) : date_and_time({text});
  if (!moment || std::abs(moment->seconds) > kMostSeconds) return {};
  return moment->seconds * kNanoseconds + moment->nanoseconds;
}

}  // namespace sallyport::gate
