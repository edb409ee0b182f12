#include "broker/keeper/ownership.hpp"

namespace sallyport::keeper {
namespace {

ContainerName name(std::string_view text) { return *ContainerName::parse(text); }
ContainerId id(std::string_view start) {
  return *ContainerId::parse(std::string(start) + std::string(64 - start.size(), '0'));
}

Owned add(Ledger& ledger, std::string_view called, std::string_view start) {
  OwnedContainer container;
  container.name = name(called);
  const Owned owned = ledger.reserve(std::move(container));
  ledger.made(owned, id(start));
  return owned;
}

TEST(Ledger, ResolvesIdNameAndUniquePrefixInDockersOrder) {
  Ledger ledger;
  const Owned first = add(ledger, "db", "abc1");
  const Owned second = add(ledger, "web", "abc2");
  const Owned third = add(ledger, "abc1", "def");  // named like a prefix of the first's id
  EXPECT_EQ(ledger.find(name(id("abc1").text())), first);
  EXPECT_EQ(ledger.find(name("db")), first);
  EXPECT_EQ(ledger.find(name("abc2")), second);
  EXPECT_EQ(ledger.find(name("abc1")), third);
  EXPECT_EQ(ledger.find(name("d")), third);
}

TEST(Ledger, KnowsNothingOfForeignUnknownAndAmbiguousReferences) {
  Ledger ledger;
  add(ledger, "db", "abc1");
  add(ledger, "web", "abc2");
  for (const char* text : {"abc", "nobody", "0", "ffff", "DB", "dbx"})
    EXPECT_EQ(ledger.find(name(text)), nullptr) << text;
}

TEST(Ledger, ReservesANameWhileItsCreateIsInFlight) {
  Ledger ledger;
  OwnedContainer container;
  container.name = name("db");
  container.memory_bytes = 7;
  const Owned owned = ledger.reserve(container);
  EXPECT_EQ(ledger.reserve(container), nullptr);
  EXPECT_EQ(ledger.find(name("db")), nullptr);
  EXPECT_EQ(ledger.conflict(name("db")), owned);
  EXPECT_EQ(ledger.memory_bytes(), 7U);
  ledger.forget(owned);
  ledger.forget(owned);
  EXPECT_EQ(ledger.count(), 0U);
  EXPECT_EQ(ledger.memory_bytes(), 0U);
  EXPECT_NE(ledger.reserve(container), nullptr);
}

TEST(Ledger, CountsWhatItKeepsOfTextsUntilTheContainerIsForgotten) {
  Ledger ledger;
  OwnedContainer container;
  container.name = name("db");
  container.image = "busybox";
  container.labels.push_back({{"role"}, {std::string(100, 'x')}});
  const std::size_t texts = 2 + 7 + sizeof(protocol::Label) + 104;
  const Owned owned = ledger.reserve(container);
  EXPECT_EQ(ledger.kept_bytes(), texts + 2 * kMostRemembered) << "what it runs is not known yet";
  ledger.remember(owned, std::string(1000, 'p'), "/srv");
  EXPECT_EQ(owned->program.size(), kMostRemembered);
  EXPECT_EQ(ledger.kept_bytes(), texts + kMostRemembered + 4);
  container.name = name("no");
  const Owned other = ledger.reserve(container);
  ledger.forget(owned);
  ledger.forget(owned);
  EXPECT_EQ(ledger.kept_bytes(), texts + 2 * kMostRemembered);
  ledger.remember(owned, "late", "/");
  EXPECT_EQ(ledger.kept_bytes(), texts + 2 * kMostRemembered) << "it is not there any more";
  ledger.forget(other);
  EXPECT_EQ(ledger.kept_bytes(), 0U);
}

}  // namespace
}  // namespace sallyport::keeper
