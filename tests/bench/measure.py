"""What every row is made of: measuring programs, ratios within one run, and the table."""
import json
import os
import pathlib
import statistics
import subprocess

from tests.support import places

TOOLS = pathlib.Path(os.environ.get("SALLYPORT_BENCH_BIN", places.ROOT / "build/bench/bin"))
MIB = 1024 * 1024


class Row:
    """One line of the table. `goal` is a bound of `ratio` (ours to the peer's), or empty where there is none."""

    def __init__(self, name, unit, ours, peer, peer_name, goal="", ratio=None):
        self.name, self.unit, self.peer_name, self.goal = name, unit, peer_name, goal
        self.ours, self.peer = float(ours), float(peer)
        self.ratio = float(ratio if ratio is not None else ours / peer)

    def met(self):
        if not self.goal:
            return None
        sign, bound = self.goal.split()
        return {"<=": self.ratio <= float(bound), ">=": self.ratio >= float(bound), ">": self.ratio > float(bound),
                "<": self.ratio < float(bound)}[sign]

    def as_json(self) -> dict:
        return {"name": self.name, "unit": self.unit, "ours": round(self.ours, 4), "peer": round(self.peer, 4),
                "peer_name": self.peer_name, "ratio": round(self.ratio, 4), "goal": self.goal}


def tool(name: str) -> str:
    path = TOOLS / f"bench_{name}"
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run scripts/bench, or build the target sallyport_bench and name its "
                           f"directory in SALLYPORT_BENCH_BIN")
    return str(path)


def ask_tool(name: str, *arguments, timeout=600):
    done = subprocess.run([tool(name), *[str(a) for a in arguments]], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{name} {' '.join(map(str, arguments))[:300]}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


def in_turn(subjects: dict, rounds: int, once) -> dict:
    """Asks all subjects in each round, in another order each time, so that a slower machine slows all of them."""
    results = {name: [] for name in subjects}
    names = list(subjects)
    for number in range(rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            results[name].append(once(subjects[name]))
    return results


def paired_ratio(ours: list, peer: list) -> float:
    """The median of the ratios of each round."""
    return statistics.median(a / b for a, b in zip(ours, peer))


def table(rows: list) -> str:
    cells = [("", "unit", "ours", "peer", "", "ratio", "goal", "")]
    for row in rows:
        verdict = {None: "", True: "met", False: "MISSED"}[row.met()]
        cells.append((row.name, row.unit, f"{row.ours:.4g}", f"{row.peer:.4g}", row.peer_name, f"{row.ratio:.2f}", row.goal, verdict))
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    right = {2, 3, 5}
    return "\n".join("  ".join(text.rjust(width) if column in right else text.ljust(width)
                               for column, (text, width) in enumerate(zip(line, widths))).rstrip() for line in cells)
