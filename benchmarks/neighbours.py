"""Measures the neighbour search against numpy brute force and faiss, in the same run.

    pip install faiss-cpu
    python benchmarks/neighbours.py [--sizes 10000 100000 1000000] [--radii 10 15] [--rounds 3]

Every measurement is a fresh process, so that its peak memory is its own; the subjects take turns within a round, and
the median over the rounds counts. Memory is the peak beyond what the process held with its modules and the hashes
loaded. The hashes are uniform, but one in ten is a copy of another with 0 to r + 2 bits flipped, so that there are
pairs to find and pairs to leave. Recall and false pairs are judged against brute force. Where all against all would
take brute force and faiss minutes (above --whole), they search for a sample of rows only and the time is scaled up:
that is marked with ~, and only pairs with a row of that sample are judged. Ratios are of core seconds, which other work
on the machine disturbs least; brute force uses one core, the others all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.uint64]
"""Each pair as left << 32 | right, left < right."""

SUBJECTS = ("mobius", "numpy brute force", "faiss IndexBinaryFlat", "faiss IndexBinaryMultiHash")
BRUTE = "numpy brute force"


def library(count: int, r: int) -> Hashes:
    """Distinct hashes, one in ten a near copy of another."""
    rng = np.random.default_rng(count + r)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    copies = rng.choice(count, count // 10, replace=False)
    flips = rng.integers(0, r + 3, len(copies))
    hashes[copies] = hashes[rng.integers(0, count, len(copies))]
    for flip in range(r + 2):
        some = copies[flips > flip]
        hashes[some] ^= np.uint64(1) << rng.integers(0, 64, len(some), dtype=np.uint64)
    return np.unique(hashes)


def pairs_of(left: NDArray[np.int64], right: NDArray[np.int64]) -> Pairs:
    """Pairs as single numbers."""
    low, high = np.minimum(left, right).astype(np.uint64), np.maximum(left, right).astype(np.uint64)
    return low << np.uint64(32) | high


def by_mobius(hashes: Hashes, r: int, rows: NDArray[np.int64]) -> Callable[[], Pairs]:
    """The search under test; always all against all."""
    from mobius_tui.matching.neighbours import pairs_within

    return lambda: np.concatenate(
        [np.empty(0, np.uint64), *(pairs_of(block.left, block.right) for block in pairs_within(hashes, r))]
    )


def by_brute_force(hashes: Hashes, r: int, rows: NDArray[np.int64]) -> Callable[[], Pairs]:
    """Every chosen row against all, a megabyte at a time, on one core."""

    def search() -> Pairs:
        found = [np.empty(0, np.uint64)]
        for row in rows:
            # Above the diagonal when all rows are searched; everything when they are a sample.
            start = int(row) + 1 if len(rows) == len(hashes) else 0
            hits = np.flatnonzero(np.bitwise_count(hashes[start:] ^ hashes[row]) <= r) + start
            hits = hits[hits != row]
            if len(hits):
                found.append(pairs_of(np.full(len(hits), row), hits))
        return np.unique(np.concatenate(found))

    return search


def by_faiss(kind: str, hashes: Hashes, r: int, rows: NDArray[np.int64]) -> Callable[[], Pairs]:
    """One of faiss's binary indexes; building it is part of the work."""
    import faiss

    def search() -> Pairs:
        codes = hashes.view(np.uint8).reshape(-1, 8)
        if kind == "flat":
            index = faiss.IndexBinaryFlat(64)
        else:
            index = faiss.IndexBinaryMultiHash(64, 4, 16)
            index.nflip = r // 4  # exact: a pair within r agrees within r // 4 on one of four keys
        index.add(codes)
        found = [np.empty(0, np.uint64)]
        for low in range(0, len(rows), 10_000):
            part = rows[low : low + 10_000]
            limits, _, hits = index.range_search(codes[part], r + 1)  # faiss wants distances below the radius
            asked = np.repeat(part, np.diff(limits.astype(np.int64)))
            apart = asked != hits
            found.append(pairs_of(asked[apart], hits[apart]))
        return np.unique(np.concatenate(found))

    return search


def memory(kind: str) -> int:
    """Resident memory of this process in KB: VmRSS now, VmHWM at its peak.

    Not ru_maxrss: on Linux a child starts with its parent's.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(kind + ":")).split()[1])


def measure(subject: str, source: Path, r: int, sample: int, out: Path) -> dict[str, float]:
    """Run one subject in this process."""
    hashes = np.load(source)
    rows = np.arange(len(hashes))
    if sample and subject != "mobius":
        rows = np.sort(np.random.default_rng(0).choice(len(hashes), sample, replace=False))
    if subject == "mobius":
        search = by_mobius(hashes, r, rows)
    elif subject == BRUTE:
        search = by_brute_force(hashes, r, rows)
    else:
        search = by_faiss("flat" if subject.endswith("Flat") else "multi", hashes, r, rows)
    before = memory("VmRSS")
    started, spent = time.perf_counter(), time.process_time()
    pairs = search()
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    after = memory("VmHWM")
    np.save(out, pairs)
    scale = len(hashes) / len(rows)
    return {"seconds": seconds * scale, "cpu": spent * scale, "megabytes": (after - before) / 1024}


def one_against_all(subject: str, source: Path, r: int) -> dict[str, float]:
    """Milliseconds for one query, and microseconds to add one hash."""
    hashes = np.load(source)
    rng = np.random.default_rng(1)
    queries = hashes[rng.integers(0, len(hashes), 200)] ^ np.uint64(5)
    if subject == "mobius":
        from mobius_tui.matching.facts import FactsTable, ImageFacts
        from mobius_tui.matching.neighbours import neighbours_of

        def ask(query: np.uint64) -> object:
            return neighbours_of(query, hashes, r)

        def facts(place: int, value: int) -> ImageFacts:
            return ImageFacts(place, bytes(32), value, True, 1, 1, place)

        table = FactsTable(facts(place, value) for place, value in enumerate(hashes.tolist()))

        def add(query: np.uint64) -> object:
            return table.append(facts(len(table), int(query)))
    else:
        import faiss

        index = faiss.IndexBinaryFlat(64)
        index.add(hashes.view(np.uint8).reshape(-1, 8))

        def ask(query: np.uint64) -> object:
            return index.range_search(np.array([query]).view(np.uint8).reshape(1, 8), r + 1)

        def add(query: np.uint64) -> object:
            return index.add(np.array([query]).view(np.uint8).reshape(1, 8))

    asked = [_timed(ask, query) for query in queries]
    added = [_timed(add, query) for query in queries]
    return {"ask_ms": statistics.median(asked) * 1e3, "add_us": statistics.median(added) * 1e6}


def _timed(act: Callable[[np.uint64], object], query: np.uint64) -> float:
    started = time.perf_counter()
    act(query)
    return time.perf_counter() - started


def in_child(*arguments: object) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def judged(found: Pairs, truth: Pairs, sample: NDArray[np.bool_] | None) -> tuple[float, int]:
    """Recall, and pairs that are none."""
    if sample is not None:
        found = found[sample[found >> np.uint64(32)] | sample[found & np.uint64(0xFFFFFFFF)]]
    common = len(np.intersect1d(found, truth))
    return common / max(1, len(truth)), len(found) - common


def compare(folder: Path, count: int, r: int, rounds: int, sample: int) -> None:
    """One table row a subject."""
    hashes = library(count, r)
    source = folder / "hashes.npy"
    np.save(source, hashes)
    results: dict[str, list[dict[str, float]]] = {subject: [] for subject in SUBJECTS}
    for _ in range(rounds):
        for subject in SUBJECTS:
            results[subject].append(in_child(subject, source, r, sample, folder / f"{subject}.npy"))
    truth = np.load(folder / f"{BRUTE}.npy")
    chosen = None
    if sample:
        chosen = np.zeros(len(hashes), np.bool_)
        chosen[np.random.default_rng(0).choice(len(hashes), sample, replace=False)] = True
    ours = statistics.median(one["cpu"] for one in results["mobius"])
    for subject, runs in results.items():
        seconds = statistics.median(one["seconds"] for one in runs)
        cpu = statistics.median(one["cpu"] for one in runs)
        recall, wrong = judged(np.load(folder / f"{subject}.npy"), truth, chosen)
        mark = "~" if sample and subject != "mobius" else ""
        print(
            f"| {len(hashes):,} | {r} | {subject} | {mark}{seconds:.3g} | {mark}{cpu:.3g} | {mark}{cpu / ours:.1f} |"
            f" {max(one['megabytes'] for one in runs):.0f} | {recall:.4f} | {wrong} |",
            flush=True,
        )


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        subject, source, r, sample, out = sys.argv[2:]
        answer = (
            one_against_all(subject, Path(source), int(r))
            if out == "one"
            else measure(subject, Path(source), int(r), int(sample), Path(out))
        )
        print(json.dumps(answer))
        return 0
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    ask.add_argument("--radii", type=int, nargs="+", default=[10, 15])
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--whole", type=int, default=100_000, help="largest library that all subjects search whole")
    ask.add_argument("--sample", type=int, default=5_000, help="rows that the others search above that")
    args = ask.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start, numpy {np.__version__}\n")
    print("| hashes | r | subject | seconds | core seconds | x mobius | MB beside input | recall | false |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in args.sizes:
            for r in args.radii:
                compare(folder, count, r, args.rounds, args.sample if count > args.whole else 0)
        print("\n| hashes | r | subject | one against all, ms | adding one, us |\n|---|---|---|---|---|")
        for r in args.radii:
            for subject in ("mobius", "faiss IndexBinaryFlat"):
                got = in_child(subject, folder / "hashes.npy", r, 0, "one")
                print(f"| {args.sizes[-1]:,} | {r} | {subject} | {got['ask_ms']:.2f} | {got['add_us']:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
