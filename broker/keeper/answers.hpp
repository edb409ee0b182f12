// TRUSTED SIDE. What each request of a gate does: decide, record, then act. One function a request; each returns its
// last reply. `Call` is the request's place in its session.
#pragma once

#include <set>
#include <string>

#include "broker/engine/explain.hpp"
#include "broker/engine/read_reply.hpp"
#include "broker/engine/render.hpp"
#include "broker/keeper/decide.hpp"
#include "broker/keeper/load.hpp"
#include "broker/keeper/services.hpp"
#include "broker/keeper/session.hpp"

namespace sallyport::keeper {

struct Call {
  Services& services;
  SessionPtr session;
  protocol::RequestId id = 0;
  std::shared_ptr<InFlight> in_flight;
  const api::Endpoint* endpoint = nullptr;
};
// A gate, and with it a request, exists only in sessions with [docker].
inline const DockerSection& docker_of(const Call& call) { return *call.session->profile.docker; }

struct Answer {
  std::unique_ptr<protocol::Reply> reply;  // boxed: it is handed through several coroutines
  UniqueFd fd;                             // goes with it
  Answer(protocol::Reply with)             // NOLINT(google-explicit-constructor): a reply is an answer
      : reply(std::make_unique<protocol::Reply>(std::move(with))) {}
  Answer(protocol::Reply with, UniqueFd passed) : Answer(std::move(with)) { fd = std::move(passed); }
};
using AnswerTask = net::awaitable<Answer>;

AnswerTask answer(Call call, protocol::CreateContainer ask);
AnswerTask answer(Call call, protocol::StartContainer ask);
AnswerTask answer(Call call, protocol::WaitContainer ask);
AnswerTask answer(Call call, protocol::AttachContainer ask);
AnswerTask answer(Call call, protocol::ReadLogs ask);
AnswerTask answer(Call call, protocol::KillContainer ask);
AnswerTask answer(Call call, protocol::StopContainer ask);
AnswerTask answer(Call call, protocol::ResizeContainer ask);
AnswerTask answer(Call call, protocol::InspectContainer ask);
AnswerTask answer(Call call, protocol::ListContainers ask);
AnswerTask answer(Call call, protocol::RemoveContainer ask);

// --- shared by them ---

using Refused = std::optional<protocol::Failed>;  // empty: go on

// Rate and group of the request, and its connection to dockerd: the place is in its exchange from here on.
Refused admit(const Call& call, std::string_view object, const Load& load);
Refused admit(const Call& call, std::string_view object);  // as the endpoint's row says, until its answer
// Once more, after a wait, before much is held: others have grown meanwhile.
Refused check_memory(const Call& call, std::string_view object);
// dockerd's answer did not come, or was not read.
protocol::Failed unanswered(const Call& call, std::string_view object, const Error& error);
Refused deny(const Call& call, std::string_view object, const Refusal& refusal);
// The record of a granted request. Must stand before its effect: where it cannot be written, nothing happens.
Refused grant(const Call& call, std::string_view object, Weight weight, std::string reason = {});
// dockerd's error in our words, naming only what the session asked for. Where they do not tell the cause, dockerd's own
// text goes to the log.
protocol::Failed explain(const Call& call, engine::Operation operation, unsigned status, std::string_view text,
                         const engine::Subject& subject);
engine::Subject subject_of(const OwnedContainer& owned, const ContainerName& reference);
bool is_running(protocol::ContainerStatus status);
// The container that the client names, if it is the session's; else the refusal.
std::expected<Owned, protocol::Failed> find_owned(const Call& call, const ContainerName& reference);

// Sends a reply that is not the last, or the last one. False where the gate's channel is full: nothing is sent.
bool send_reply_now(Services& services, const SessionPtr& session, protocol::RequestId id,
                    const protocol::Reply& reply);
// The same, with a descriptor where there is one; waits while the channel is full. A gate that reads nothing for long
// is ended.
net::awaitable<void> send_reply(Services& services, SessionPtr session, protocol::RequestId id,
                                const protocol::Reply& reply, const UniqueFd& fd);

enum class Wanted : bool { OnlyWhatIsThere, Entries };
struct LedgerView {
  std::set<std::string> there;                  // ids, with our labels: not each is the session's
  std::vector<engine::ListedContainer> listed;  // of them, where entries are wanted
  std::vector<Owned> too_large;                 // they are there, and what dockerd says of each is more than we read
};
// Forgets containers that are gone from dockerd (AutoRemove removes them without us), however many there are.
net::awaitable<Result<LedgerView>> refresh_ledger(Services& services, SessionPtr session, engine::Exchange& exchange,
                                                  Wanted wanted);
void forget(Session& session, const Owned& owned);

}  // namespace sallyport::keeper
