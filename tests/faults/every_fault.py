"""Every fault, not only those of ``make test``: all kills, all second kills, all failing calls; figures go into docs.

    python tests/faults/every_fault.py [--operations backup,clean] [--every 20] [--kinds first,second,errors] [--write]

``--every N`` takes the second kills of every N-th first kill and every N-th failing call only. ``--write`` puts the
figures into docs/crash-safety.md, where rows of other operations stay. Exit 1 when anything was found.
"""

import argparse
import atexit
import multiprocessing
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/faults")]

from cases import EVERY  # noqa: E402
from error_matrix import failing_calls, faults  # noqa: E402
from injection import kill_points, without_equals  # noqa: E402
from matrix import Figures, first_kills, opened, second_kills  # noqa: E402

PAGE = ROOT / "docs/crash-safety.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = ["| fault | operation | tried | points | ended as | wrong |", "|---|---|---|--:|---|--:|"]
PARTS = 24
KINDS = {"first": "kill", "second": "kill, then kill of the recovery", "errors": "failing call"}

_bench = None
_every = 1


def start(every):
    """Open this process's bench."""
    global _bench, _every
    _every = every
    benches = opened()
    _bench = next(benches)
    atexit.register(benches.close)


def count_firsts(name):
    """How many first kills leave a state of their own."""
    return name, len(without_equals(kill_points(_bench.points(EVERY[name]))))


def work(item):
    """One piece of the matrix."""
    kind, name, part = item
    case = EVERY[name]
    if kind == "first":
        return item, first_kills(_bench, case, part, PARTS)
    if kind == "errors":
        return item, failing_calls(_bench, case, faults(_bench.points(case))[part :: PARTS * _every])
    first = without_equals(kill_points(_bench.points(case)))[part]
    return item, second_kills(_bench, case, first, list)


def items(names, kinds, every, firsts):
    """All pieces."""
    for name in names:
        for kind in kinds:
            places = range(0, firsts[name], every) if kind == "second" else range(PARTS)
            yield from ((kind, name, place) for place in places)


def run(names, kinds, every, jobs):
    """Run everything; figures by kind and operation."""
    table = {}
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=start, initargs=(every,)) as pool:
        firsts = dict(pool.map(count_firsts, names))
        todo = list(items(names, kinds, every, firsts))
        for number, (item, figures) in enumerate(pool.imap_unordered(work, todo), 1):
            kind, name, _ = item
            table.setdefault((kind, name), Figures()).add(figures)
            for failure in figures.failures:
                print(f"\n{failure}", flush=True)
            print(f"\r{number} of {len(todo)} pieces, {name}, {KINDS[kind]}   ", end="", file=sys.stderr, flush=True)
        pool.close()
        pool.join()
    print(file=sys.stderr)
    return table


def as_rows(table, every):
    """The figures as rows of a Markdown table, by fault and operation."""
    rows = {}
    for (kind, name), figures in table.items():
        states = ", ".join(f"{state} {count:,}" for state, count in sorted(figures.states.items()))
        share = "all" if every == 1 or kind == "first" else f"1 of {every}"
        cells = [KINDS[kind], name, share, f"{figures.points:,}", states, f"{len(figures.failures):,}"]
        rows[KINDS[kind], name] = f"| {' | '.join(cells)} |"
    return rows


def as_text(rows, words):
    """The whole table."""
    order = sorted(rows, key=lambda key: (list(KINDS.values()).index(key[0]), list(EVERY).index(key[1])))
    return "\n".join([words, "", *HEAD, *(rows[key] for key in order)])


def written_rows(page):
    """The rows that are in the page, of operations that there still are."""
    rows = {}
    for line in page.partition(BEGIN)[2].partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] in KINDS.values() and cells[1] in EVERY:
            rows[cells[0], cells[1]] = line
    return rows


def write(rows, words):
    """Put the figures into the page."""
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    text = as_text({**written_rows(page), **rows}, words)
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", default=",".join(EVERY))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    table = run(given.operations.split(","), given.kinds.split(","), given.every, given.jobs)
    rows = as_rows(table, given.every)
    words = f"Last run {datetime.now(UTC):%Y-%m-%d}, {given.jobs} processes."
    print(as_text(rows, f"{words} {(time.monotonic() - began) / 60:.0f} minutes"))
    if given.write:
        write(rows, words)
    return 1 if any(figures.failures for figures in table.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
