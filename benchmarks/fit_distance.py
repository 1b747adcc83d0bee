"""Fits the probability by dHash distance that mobius_tui/matching/confidence.py holds.

    python benchmarks/fit_distance.py --truth truth.csv --library library/

truth.csv has a row an image: `file`, `source_id` (same = the same picture), `family`, `variant` (same and not empty =
left out). Pairs are those of different bytes between informative images. For each distance the share of true pairs is
counted, made monotone by pooling adjacent violators, and each pool is estimated as (true + 1/2) / (all + 1), which
keeps it off 0 and 1. Held-out figures: families are dealt into five parts, the table is fitted without one part's
families and judged on the pairs inside that part.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobius_tui.fingerprint.file import fingerprint_file
from mobius_tui.fingerprint.model import Limits, Task

LAST = 32
"""Distances beyond are pooled with this one."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labelled pairs: distance, whether true, and the fold of each side's family."""

    distance: NDArray[np.int64]
    true: NDArray[np.bool_]
    fold_a: NDArray[np.int64]
    fold_b: NDArray[np.int64]


def labelled_pairs(truth: Path, library: Path) -> Pairs:
    """Every labelled pair of different bytes between informative images."""
    with truth.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [Task(str(library / row["file"])) for row in rows]
        outcomes = list(pool.map(lambda task: fingerprint_file(task, "exact", Limits()), tasks))
    kept = [(row, out) for row, out in zip(rows, outcomes, strict=True) if out.status == "ok"]
    print(f"{len(rows)} images, {len(kept)} informative", file=sys.stderr)
    hashes = np.array([out.dhash for _, out in kept], np.uint64)
    content = np.array([out.sha256.hex() if out.sha256 else "" for _, out in kept])
    source = np.array([row["source_id"] for row, _ in kept])
    variant = np.array([row["variant"] for row, _ in kept])
    fold = np.array([zlib.crc32(row["family"].encode()) % FOLDS for row, _ in kept])
    left, right = np.triu_indices(len(kept), 1)
    same = source[left] == source[right]
    used = (content[left] != content[right]) & (same | (variant[left] != variant[right]) | (variant[left] == ""))
    left, right, same = left[used], right[used], same[used]
    distance = np.minimum(np.bitwise_count(hashes[left] ^ hashes[right]), LAST).astype(np.int64)
    return Pairs(distance, same, fold[left], fold[right])


def counted(distance: NDArray[np.int64], true: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(true pairs, all pairs) at each distance."""
    of_all = np.bincount(distance, minlength=LAST + 1)
    of_true = np.bincount(distance[true], minlength=LAST + 1)
    return list(zip(of_true.tolist(), of_all.tolist(), strict=True))


def fitted(counts: list[tuple[int, int]]) -> list[float]:
    """Probability by distance, never rising."""
    pools: list[tuple[int, int, int]] = []
    for true, of_all in counts:
        pools.append((true, of_all, 1))
        while len(pools) > 1 and estimate(*pools[-2][:2]) <= estimate(*pools[-1][:2]):
            a, b = pools[-2:]
            pools[-2:] = [(a[0] + b[0], a[1] + b[1], a[2] + b[2])]
    return [estimate(true, of_all) for true, of_all, distances in pools for _ in range(distances)]


def estimate(true: int, of_all: int) -> float:
    """The share of true pairs, with half a pair of each kind added."""
    return (true + 0.5) / (of_all + 1)


def held_out(pairs: Pairs, most: int) -> tuple[float, float, int, int]:
    """Brier score, that of the base rate, expected and observed true pairs up to a distance, on unseen families."""
    judged, base, said = [], [], []
    for fold in range(FOLDS):
        train = (pairs.fold_a != fold) & (pairs.fold_b != fold)
        test = (pairs.fold_a == fold) & (pairs.fold_b == fold) & (pairs.distance <= most)
        table = np.array(fitted(counted(pairs.distance[train], pairs.true[train])))
        near = pairs.true[train & (pairs.distance <= most)]
        said.append(table[pairs.distance[test]])
        judged.append(pairs.true[test].astype(float))
        base.append(np.full(int(test.sum()), near.mean()))
    truth, model, flat = np.concatenate(judged), np.concatenate(said), np.concatenate(base)
    return (
        float(((model - truth) ** 2).mean()),
        float(((flat - truth) ** 2).mean()),
        round(float(model.sum())),
        int(truth.sum()),
    )


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--truth", required=True, type=Path)
    ask.add_argument("--library", required=True, type=Path)
    args = ask.parse_args()
    pairs = labelled_pairs(args.truth, args.library)
    counts = counted(pairs.distance, pairs.true)
    table = fitted(counts)
    print("distance  true / all  probability")
    for distance, ((true, of_all), share) in enumerate(zip(counts, table, strict=True)):
        print(f"{distance:8d}  {true:4d} / {of_all:<7d}  {share:.3g}")
    for most in (10, 15):
        brier, base, expected, observed = held_out(pairs, most)
        print(f"unseen families, distance <= {most}: Brier {brier:.4f} (base rate {base:.4f}),", end=" ")
        print(f"{expected} true pairs expected, {observed} there")
    print("BY_DISTANCE = (" + ", ".join(f"{share:.3g}" for share in table) + ")")
    return 0


if __name__ == "__main__":
    sys.exit(main())
