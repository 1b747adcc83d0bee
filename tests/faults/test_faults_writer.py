"""An application rewrites library.json during a migration or a deploy: none of what it writes is lost."""

import json
import subprocess
import sys
from pathlib import Path

import judging
import pytest
from cases import DEPLOY, MIGRATE
from foreign import FOREIGN_ENTRY

TOLD = ("was changed", "was written", "written by others", "another program")
"""What an operation says that gave way to the application."""

WRITER = Path(__file__).with_name("writer.py")


def numbers(live):
    return [entry["number"] for entry in json.loads(live.read_bytes())["images"] if "number" in entry]


def written_meanwhile(bench, case, how, pause, rounds):
    """Run an operation again and again while the application writes; the ends, and how many entries it wrote."""
    bench.fresh(bench.template(case))
    live = judging.live_of(bench.root)
    command = [sys.executable, str(WRITER), str(live), how, str(pause)]
    ends = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "ready\n"
        ends += [bench.run(case, case.operation, bench.at + 10 * number, waits=True) for number in range(rounds)]
        said = writer.communicate("")[0]
    assert writer.returncode == 0, said
    return ends, int(said)


@pytest.mark.parametrize("how", ["in place", "by rename"])
@pytest.mark.parametrize("operation", ["migrate", "deploy"])
def test_an_application_that_keeps_writing(bench, operation, how):
    case = {"migrate": MIGRATE, "deploy": DEPLOY}[operation]
    ends, written = written_meanwhile(bench, case, how, 0.02, 6)
    assert written > 0
    assert numbers(judging.live_of(bench.root)) == list(range(written))
    for ended in ends:
        assert ended.status == 0
        assert ended.code in {0, 2, 3}, ended
        if ended.code:
            assert any(said in ended.sentence for said in TOLD), ended.sentence
    last = bench.run(case, operation, bench.at + 500)
    assert last.code == 0, last
    live = json.loads(judging.live_of(bench.root).read_bytes())
    assert numbers(judging.live_of(bench.root)) == list(range(written))
    assert "dhash" in live["images"][0]


@pytest.mark.parametrize(
    ("operation", "moment"),
    [("migrate", "foreign write"), ("deploy", "foreign write"), ("deploy", "late foreign write")],
)
def test_a_write_in_the_last_moment(bench, operation, moment):
    """Between the last look and the exchange; and, in a deploy, through a handle that was open before the exchange."""
    case = {"migrate": MIGRATE, "deploy": DEPLOY}[operation]
    bench.fresh(bench.template(case))
    ended = bench.driver.run(operation, bench.root, bench.at, variants=[moment])
    assert (ended.status, ended.code) == (0, 0), ended
    live = judging.live_of(bench.root).read_text()
    assert live.count(FOREIGN_ENTRY["title"]) == 1
    assert '"dhash"' in live
    assert judging.at_rest(bench.root, bench.facts(case)) in (
        [],
        ["the live file is neither: whole, but another content"],
    )
