"""File names that a terminal, a markup language or an encoding could trip over."""

import json
import os
from pathlib import Path

import pytest
from catalogue_of import catalogue, entries
from pictures import look_alike, picture, put, truncated

HOSTILE = [
    "deck[@click=app.quit]ace[/].png",
    "bad[/].png",
    "[bold red]x.png",
    "\x1b[2J\x1b[31mclear.png",
    "\x9b31mcsi.png",
    "right\u202egnp.left.png",
    "line\nbreak\r.png",
    "tab\there.png",
    "quote\"and'back\\slash.png",
    "=1+1.png",
    "  spaces  .png",
    "\u2028separator\u200b.png",
    "emoji \U0001f3b2.png",
    "e\u0301 and \xe9.png",
    "-rf.png",
    "%s %d {0}.png",
]


def test_names_go_through_unharmed(make_workspace, run, store):
    files = {name: picture(number) for number, name in enumerate(HOSTILE)}
    files |= {f"cut/{name}": truncated(number) for number, name in enumerate(HOSTILE[:3])}
    files |= {f"copy/{name}": picture(number) for number, name in enumerate(HOSTILE)}
    files |= {f"like/{name}": look_alike(number) for number, name in enumerate(HOSTILE)}
    ws = make_workspace(files, max_failure_rate=0.5)
    dry = run(ws, "dry-run")
    job = run(ws, export_low_conf=True)
    assert (dry.state, job.state) == ("done", "done")
    assert set(entries(ws)) == set(files)
    duplicates = catalogue(ws)["dhash_duplicates"]
    assert {pair["duplicate"] for pair in duplicates} | {pair["original"] for pair in duplicates} == {
        name for name in files if not name.startswith(("cut/", "like/"))
    }
    report = json.loads((ws.logs / f"{dry.run_id}.json").read_bytes())
    assert {image["path"] for image in report["images"]} == set(files)
    exported = json.loads((ws.review / "low-confidence-queue.json").read_bytes())
    assert exported["totalMatches"] == len(HOSTILE)
    shown = {match["left"] for match in exported["matches"]} | {match["right"] for match in exported["matches"]}
    assert shown <= set(files)
    records = [json.loads(line) for line in (ws.logs / f"{job.run_id}.log").read_text().splitlines()]
    told = {record["fields"]["path"] for record in records if record["event"] == "image_failed"}
    assert told == {name for name in files if name.startswith("cut/")}


def test_what_is_written_holds_no_terminal_control(make_workspace, run):
    ws = make_workspace(
        {name: picture(number) for number, name in enumerate(HOSTILE)} | {"cut/\x1b[2J.png": truncated(1)}
    )
    dry = run(ws, "dry-run")
    job = run(ws, export_low_conf=True)
    written = [ws.catalogue, *ws.logs.glob("*.json"), *ws.logs.glob("*.log"), *ws.review.glob("*.json")]
    assert len(written) == 5, (dry.state, job.state)
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert all(line.isprintable() for line in text.split("\n")), path.name


def test_names_that_are_not_utf8_are_skipped_and_told(make_workspace, run, store):
    ws = make_workspace(1)
    try:
        Path(os.fsdecode(os.fsencode(ws.library) + b"/bad\xff\xfe.png")).write_bytes(picture(2))
    except OSError:
        pytest.skip("this filesystem takes UTF-8 names only")
    job = run(ws)
    assert (job.state, job.summary["skipped"], job.summary["total"]) == ("done", 1, 1)
    (event,) = store(ws).execute("SELECT * FROM events WHERE event = 'skipped'").fetchall()
    assert "bad\\udcff\\udcfe.png" in event["message"]
    assert os.fsencode(json.loads(event["fields"])["path"]) == b"bad\xff\xfe.png"
    records = [json.loads(line) for line in (ws.logs / f"{job.run_id}.log").read_text().splitlines()]
    assert [r["fields"]["path"] for r in records if r["event"] == "skipped"] == ["bad\udcff\udcfe.png"]
    assert run(ws, "dry-run").state == "done"


def test_library_below_a_folder_that_is_not_utf8_is_refused(make_workspace, run, tmp_path):
    ws = make_workspace({})
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/lib\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this filesystem takes UTF-8 names only")
    put(ws.library, {"a.png": picture(1)})
    ws.library.joinpath("a.png").unlink()
    ws.library.rmdir()
    ws.library.symlink_to(folder)
    assert run(ws).state == "done", "its own name is what counts"
    job = run(ws, input=f"{folder}/library.json", add=False)
    assert (job.state, job.exit_code) == ("failed", 1)
    assert "\\udcff" in job.error
