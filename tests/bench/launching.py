"""A start of a sandbox, against bubblewrap and against the least that such a start can cost."""
from tests.support import places
from tests.support.broker import Broker

from .measure import Row, ask_tool, tool
from .peers import bubblewrap_command

COMMAND = ["/bin/busybox", "true"]  # static


def launch(options) -> list:
    broker = Broker("/nonexistent", start=False)  # only its places: a profile without [docker] needs no broker
    broker.profile("bench", command=COMMAND)
    try:
        ours = [places.program("sallyport"), "run", *broker.options, "bench"]
        bwrap, mine, bare = ask_tool("launch_loop", 60 if options.quick else 400, "--", *bubblewrap_command(COMMAND),
                                     "--", *ours, "--", tool("bare_launch"), *COMMAND)
    finally:
        broker.remove()
    return [Row("launch", "us", mine["median_us"], bwrap["median_us"], "bubblewrap", "<= 1.0", mine["ratio_to_first"]),
            Row("launch", "us", mine["median_us"], bare["median_us"], "bare clone3+pivot+exec",
                ratio=mine["ratio_to_first"] / bare["ratio_to_first"])]
