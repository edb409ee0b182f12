"""Measures Sallyport against its peers; see scripts/bench. Every number that counts is a ratio within this one run."""
import argparse
import json
import os
import sys
import time
import traceback

from tests.support import places

from . import asking, containers, growth, launching, loopback, memory, neighbour
from .measure import table

GROUPS = {
    "launch": launching.launch,
    "container": containers.lives,
    "inspect-fake": asking.on_fake,
    "inspect-dockerd": asking.on_dockerd,
    "attach": containers.attach,
    "memory": memory.memory,
    "neighbour": neighbour.neighbour,
    "loopback": loopback.loopback,
    "launch-500": growth.launch_beside_500,
    "lists": growth.keeper_of_lists,
}


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(GROUPS), metavar="NAME",
                        help=f"measure only this (may be repeated): {', '.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: for trying, not for judging")
    parser.add_argument("--output", default=str(places.ROOT / "build/bench.json"))
    return parser.parse_args()


def main() -> int:
    options = parse()
    if os.geteuid() != 0:
        print("scripts/bench: sessions and dockerd need root: run it with sudo", file=sys.stderr)
        return 2
    if os.getloadavg()[0] > 0.7:
        print(f"scripts/bench: something else runs on this host (load {os.getloadavg()[0]:.1f}): "
              f"ratios of what wakes several processes in turn are unsure then", file=sys.stderr)
    rows, failed = [], []
    for name in options.only or GROUPS:
        begun = time.monotonic()
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            rows += GROUPS[name](options)
        except Exception:  # the other rows are still worth having
            traceback.print_exc()
            failed.append(name)
        print(f"  {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    os.makedirs(os.path.dirname(options.output), exist_ok=True)
    with open(options.output, "w") as file:
        json.dump([row.as_json() for row in rows], file, indent=1)
        file.write("\n")
    missed = [row for row in rows if row.met() is False]
    print(f"\n{len(rows)} rows, {len(missed)} miss their goal; written to {options.output}")
    if failed:
        print(f"could not be measured: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
