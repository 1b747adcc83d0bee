"""The labelled development library, which lies beside the repository and is not part of it."""

import csv
import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("MOBIUS_EVAL") or Path(__file__).parents[3] / "shared" / "eval")

needed = pytest.mark.skipif(not (ROOT / "truth.csv").exists(), reason="the labelled library is not here")


def rows():
    with (ROOT / "truth.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def path_of(row):
    return ROOT / "library" / row["file"]


def originals(found):
    """The first unaltered file of each source."""
    first = {}
    for row in found:
        if row["op"] == "orig":
            first.setdefault(row["source_id"], row)
    return first
