"""What a gate that has been taken over can do to the keeper, and with it to every other session: nothing but end its own."""
import time

from support import sandbox, taken_gate
from support.processes import private_bytes

MIB = 1 << 20


def test_answers_that_a_gate_does_not_read_do_not_pile_up(dockerd):
    """Requests in bursts below its permit, and no answer is ever read."""
    flood = """
  for (uint32_t id = 1;; rest(2000000))
    for (int i = 0; i < 100; ++i) inspect(id++, "a");"""
    with taken_gate.broker_with_gate(dockerd.socket, flood) as broker, sandbox.Run(broker, "seat", ["/bin/sleep", "60"]) as run:
        most = 0
        for _ in range(40):
            most = max(most, private_bytes(broker.keeper_pid))
            if run.process.poll() is not None:
                break
            time.sleep(0.1)
        assert most < 64 * MIB, f"the keeper holds {most // MIB} MiB"
        assert run.wait(5) != 0
        assert broker.audit(event="session-end")[0]["rule"] == "gate.misconduct"


def test_claims_that_stand_for_many_do_not_outrun_the_sessions_share_of_the_trail(dockerd):
    """Each claim says that it stands for four thousand million: what is beyond the share is counted, not written."""
    claims = """
  static char reason[1000];
  memset(reason, 'x', sizeof reason);
  for (int i = 0; i < 11500; ++i) claim("/a", reason, sizeof reason, UINT32_MAX);"""
    with taken_gate.broker_with_gate(dockerd.socket, claims) as broker, sandbox.Run(broker, "seat", ["/bin/sleep", "60"]):
        size = -1
        while size != (size := sum(f.stat().st_size for f in broker.logs.rglob("audit.jsonl*"))) or size < 8 * MIB - 4096:
            time.sleep(1)
        assert size < 8 * MIB + 16 * 1024, f"{size} bytes"


def test_a_claim_cannot_forge_a_line_or_speak_to_a_terminal(dockerd):
    forged = r"""
  static const char reason[] = "x\"}\n{\"decision\":\"ALLOW\",\"forged\":1}\n\x1b]0;title\x07\xc2\x9b" "31m\xff\xfe\xe2\x80\xae\0end";
  claim("/a\n\x1b[2J", reason, sizeof reason - 1, 1);"""
    with taken_gate.broker_with_gate(dockerd.socket, forged) as broker, sandbox.Run(broker, "seat", ["/bin/sleep", "2"]) as run:
        run.wait()
        raw = b"".join(path.read_bytes() for path in broker.logs.rglob("audit.jsonl*"))
        assert all(byte == 10 or 32 <= byte < 127 for byte in raw), "the trail is printable ASCII"
        assert not broker.audit(forged=1)
        (record,) = broker.audit(source="gate")
        assert record["decision"] == "DENY" and "forged" in record["reason"]
        shown = broker.audit_for_people()
        assert all(c == "\n" or " " <= c <= "~" for c in shown), shown
