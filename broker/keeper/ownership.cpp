#include "broker/keeper/ownership.hpp"

namespace sallyport::keeper {

std::size_t kept_bytes_of(std::size_t name_bytes, std::size_t image_bytes, const std::vector<protocol::Label>& labels) {
  std::size_t bytes = name_bytes + image_bytes;
  for (const protocol::Label& label : labels) bytes += sizeof label + label.key.value.size() + label.value.value.size();
  return bytes;
}

namespace {

std::size_t kept_bytes_of(const OwnedContainer& container) {
  return keeper::kept_bytes_of(container.name.text().size(), container.image.size(), container.labels);
}

}  // namespace

Owned Ledger::conflict(const ContainerName& name) const {
  const auto found = by_name_.find(name.text());
  return found == by_name_.end() ? nullptr : found->second;
}

Owned Ledger::reserve(OwnedContainer container) {
  auto owned = std::make_shared<OwnedContainer>(std::move(container));
  if (!by_name_.emplace(owned->name.text(), owned).second) return nullptr;
  memory_bytes_ += owned->memory_bytes;
  described_bytes_ += owned->described_bytes;
  kept_bytes_ += owned->kept_bytes = with_room_to_remember(kept_bytes_of(*owned));
  return owned;
}

void Ledger::describe(const Owned& container, std::size_t bytes) {
  if (container->is_gone) return;
  described_bytes_ += bytes - container->described_bytes;
  container->described_bytes = bytes;
}

void Ledger::remember(const Owned& container, std::string_view program, std::string_view directory) {
  container->program = program.substr(0, kMostRemembered);
  container->directory = directory.substr(0, kMostRemembered);
  if (container->is_gone) return;
  kept_bytes_ -= container->kept_bytes;
  container->kept_bytes = kept_bytes_of(*container) + container->program.size() + container->directory.size();
  kept_bytes_ += container->kept_bytes;
}

void Ledger::made(const Owned& container, const ContainerId& id) {
  container->id = id;
  by_id_.emplace(id.text(), container);
}

void Ledger::forget(const Owned& container) {
  if (container->is_gone) return;
  container->is_gone = true;
  memory_bytes_ -= container->memory_bytes;
  described_bytes_ -= container->described_bytes;
  kept_bytes_ -= container->kept_bytes;
  by_name_.erase(container->name.text());
  by_id_.erase(container->id.text());
}

Owned Ledger::find(const ContainerName& reference) const {
  const std::string& text = reference.text();
  if (const auto exact = by_id_.find(text); exact != by_id_.end()) return exact->second;
  if (const auto named = by_name_.find(text); named != by_name_.end())
    return named->second->id.empty() ? nullptr : named->second;
  const auto first = by_id_.lower_bound(text);
  if (first == by_id_.end() || !first->first.starts_with(text)) return nullptr;
  const auto second = std::next(first);
  if (second != by_id_.end() && second->first.starts_with(text)) return nullptr;
  return first->second;
}

std::vector<Owned> Ledger::all() const {
  std::vector<Owned> list;
  for (const auto& [name, owned] : by_name_) list.push_back(owned);
  return list;
}

}  // namespace sallyport::keeper
