"""`mobius metrics`: now and since, with and without a worker, with a key and with a wrong one."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_verbs import Mobius, finish, start
from worker_process import until

from mobius_tui.cli.layout import columns_of
from mobius_tui.cli.verbs.metrics import now_lines, sample_lines
from mobius_tui.store.database import open_database, writing
from mobius_tui.store.metrics import Figures, keep_batch, keep_sample
from mobius_tui.system import clock
from mobius_tui.text import visible

KEY = "a-key-of-the-tests-0123456789"
NINE = [
    "avg_hash_time_ms", "p95_hash_time_ms", "processing_rate_per_hour", "extraction_failures_rate",
    "low_confidence_queue_length", "duplicate_rate", "last_migration_timestamp", "last_backup_timestamp",
    "system_health_status",
]  # fmt: skip


@pytest.fixture
def kept(ws: Path) -> Path:
    """A workspace with a batch of this minute and samples of two days."""
    now = clock.now()
    with closing(open_database(ws / ".mobius" / "mobius.db")) as connection, writing(connection):
        keep_batch(connection, "r", [10.0] * 19 + [250.0], failed=2, low=0, size=1, at=now - 5)
        for minute in range(0, 2880, 10):
            figures = Figures(5.0 + minute % 7, 300.0, 0.02, 1200.0, 20, 1, (), (), (), ())
            keep_sample(connection, figures, minute, 5, 5, now - minute * 60)
    return ws


def test_without_a_worker_it_reads_the_database_and_says_so(mobius: Mobius, kept: Path) -> None:
    answer = mobius("metrics", "--workspace", kept)
    assert answer.code == 0 and "read from the database" in answer.err and "mobius worker start" in answer.err
    assert "22.0 ms" in answer.out and "10.0 % (2 of 20)" in answer.out
    (over,) = [line for line in answer.out.splitlines() if line.startswith("95th percentile")] or [""]
    assert not over.endswith("over"), "nearest rank: 19 of 20 are 10 ms"
    (failing,) = [line for line in answer.out.splitlines() if line.startswith("failures")]
    assert failing.endswith("over")
    told = mobius("metrics", "--json", "--workspace", kept)
    assert list(told.json)[:9] == NINE and told.json["source"] == "database"
    assert told.json["system_health_status"] is None and told.json["totals"]["requests_total"] is None
    assert mobius("metrics", "--prometheus", "--workspace", kept).code == 3


def test_an_empty_workspace_is_dashes(mobius: Mobius, ws: Path) -> None:
    answer = mobius("metrics", "--workspace", ws)
    assert answer.code == 0 and "average time of an image    -" in answer.out
    assert "0.0" not in answer.out.split("health")[0], "what was not measured is no zero"
    empty = mobius("metrics", "--since", "48h", "--workspace", ws)
    assert (empty.code, empty.out) == (0, "") and "no sample was kept" in empty.err


def test_since_as_table_csv_and_json(mobius: Mobius, kept: Path) -> None:
    table = mobius("metrics", "--since", "48h", "--workspace", kept)
    lines = table.out.splitlines()
    assert lines[0].split() == ["time", "(UTC)", "avg", "ms", "p95", "ms", "failed", "%", "images/h", "queue"]
    assert len(lines) <= 51 and all(columns_of(line) <= 80 for line in lines)
    assert "least/mean/most" in " ".join(lines[-2:])
    day = mobius("metrics", "--since", "24h", "--json", "--workspace", kept).json["samples"]
    both = mobius("metrics", "--since", "48h", "--json", "--workspace", kept).json["samples"]
    assert (len(day), len(both)) in {(144, 288), (145, 288), (144, 287)}
    assert day[-1]["time"].endswith("Z") and day[-1]["average_ms"] == 5.0
    read = list(csv.DictReader(io.StringIO(mobius("metrics", "--since", "2d", "--csv", "--workspace", kept).out)))
    assert len(read) == len(both) and read[-1]["queue"] == "0"
    assert "60 days" in mobius("metrics", "--since", "90d", "--workspace", kept).err


@pytest.mark.parametrize(
    "given", [["--since", "soon"], ["--since", "0m"], ["--since", "-1h"], ["--csv"], ["--rules", "--dashboard"],
              ["--since", "1h", "--csv", "--json"], ["--prometheus", "--since", "1h"]],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(mobius: Mobius, ws: Path, given: list[str]) -> None:
    assert mobius("metrics", *given, "--workspace", ws).code == 1


def test_the_packaged_files_need_no_workspace(mobius: Mobius, tmp_path: Path) -> None:
    assert "groups:" in mobius("metrics", "--rules", "--workspace", tmp_path).out
    assert json.loads(mobius("metrics", "--dashboard", "--workspace", tmp_path).out)["panels"]


def test_a_worker_with_a_key(mobius: Mobius, ws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    (ws / "mobius.toml").write_text(f'internal_api_key_file = "{key}"\n')
    assert mobius("worker", "start", "--workspace", ws).code == 0
    try:
        until(lambda: mobius("health", "--workspace", ws).code == 0, "it answers")
        answer = mobius("metrics", "--json", "--workspace", ws)
        assert answer.code == 0 and list(answer.json)[:9] == NINE and "source" not in answer.json
        assert "health          healthy" in mobius("metrics", "--workspace", ws).out
        assert "mobius_build_info" in mobius("metrics", "--prometheus", "--workspace", ws).out
        assert mobius("smoke", "--json", "--workspace", ws).json["total"] == 8
        monkeypatch.setenv("INTERNAL_API_KEY", "another-one")
        wrong = mobius("metrics", "--workspace", ws)
        assert wrong.code == 1 and "the API key is not the service's" in wrong.err
        assert KEY not in wrong.err and "another-one" not in wrong.err
        monkeypatch.delenv("INTERNAL_API_KEY")
        key.chmod(0o644)
        assert mobius("metrics", "--workspace", ws).code == 3
        (ws / "mobius.toml").write_text("")
        none = mobius("metrics", "--workspace", ws)
        assert none.code == 1 and "none is set" in none.err
    finally:
        mobius("worker", "stop", "--workspace", ws)


def test_a_reader_that_leaves_early(kept: Path) -> None:
    process = start("metrics", "--since", "48h", "--csv", "--workspace", kept)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    assert finish(process).code == 0


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.lists(st.integers())


@given(
    st.dictionaries(
        st.sampled_from([*NINE, "window_s", "samples", "failed_samples", "images", "cpu_percent", "resident_bytes"]),
        anything,
    ),
    anything | st.dictionaries(st.sampled_from(["images_total", "requests_total"]), anything),
    st.sampled_from([80, 160]),
)
def test_whatever_answers_it_fits(body: dict[str, Any], totals: object, width: int) -> None:
    for line, _ in now_lines({**body, "totals": totals}, width):
        assert visible(line) == line and columns_of(line) <= width


def test_no_samples_no_table() -> None:
    assert sample_lines([], 0.0, 60.0, 80) == []
