"""Names with markup, terminal control, right-to-left marks, newlines, bytes that are not UTF-8, through every verb."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path

import pytest
from running_verbs import Answer, Mobius, draw

NAMES = [
    "[bold]x[/].png",
    "deck[@click=app.quit]ace[/].png",
    "red\x1b[31m\x1b]0;title\x07.png",
    "new\nline\r.png",
    "\u202egnp.exe.png",
    "\u2066isolate\u2069.png",
    "=cmd|' '!A0.png",
    "-rf.png",
    "tag\U000e0041.png",
    "$(reboot) `x` %s {0}.png",
]
NOT_UTF8 = os.fsdecode(b"caf\xe9\x1b[2J.png")
EVERY = [
    ["migrate", "--dry-run"],
    ["migrate", "--reason", "why \x1b[31m\u202e"],
    ["migrate", "-v", "--fresh"],
    ["status"],
    ["check"],
    ["check", "-v"],
    ["jobs", "--all"],
    ["logs", "-n", "1000", "--level", "debug"],
    ["history"],
    ["doctor"],
    ["config"],
    ["backup", "create", "--reason", "\x1b[31m"],
    ["backup", "verify", "--all"],
    ["worker", "status"],
    ["doctor", "--bundle"],
]
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.fixture
def hostile(ws: Path) -> Path:
    for seed, name in enumerate(NAMES):
        draw(ws / "library" / "h" / name, seed + 20)
    (ws / "library" / "h" / "bad\x1b[5m\u202e.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    draw(ws / "library" / NOT_UTF8, 50)
    return ws


def unharmed(answer: Answer, code: int = 0) -> Answer:
    assert answer.code == code, answer
    for text in (answer.out, answer.err):
        assert not {unicodedata.category(c) for c in text.replace("\n", "")} & STEERING
        assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
    return answer


def test_through_every_verb(mobius: Mobius, hostile: Path) -> None:
    where = ("--workspace", hostile, "--as", "anna [red]")
    for verb in EVERY:
        unharmed(mobius(*verb, *where))
        if verb != ["doctor", "--bundle"]:
            json.loads(unharmed(mobius(*verb, *where, "--json")).out)


def test_json_has_the_names_exactly(mobius: Mobius, hostile: Path) -> None:
    mobius("migrate", "--workspace", hostile)
    document = json.loads((hostile / "library" / "library.json").read_bytes())
    named = {entry["path"] for entry in document["images"]}
    assert {f"h/{name}" for name in NAMES} <= named
    for name in NAMES:
        (hostile / "library" / "h" / name).unlink()
    found = unharmed(mobius("check", "--workspace", hostile, "--json")).json
    assert {f"h/{name}" for name in NAMES} == set(found["missing"])
    assert [path for path, _ in found["skipped"]] == [NOT_UTF8]


def test_a_name_that_is_not_utf8_is_reported_and_skipped(mobius: Mobius, hostile: Path) -> None:
    assert mobius("migrate", "--workspace", hostile, "--json").json["skipped"] == 1
    logged = unharmed(mobius("logs", "--level", "warning", "--workspace", hostile)).out
    assert "caf\\udce9\\x1b[2J.png" in logged


@pytest.mark.parametrize("name", [*NAMES, NOT_UTF8])
def test_hash_takes_any_name(mobius: Mobius, hostile: Path, name: str) -> None:
    folder = hostile / "library" if name == NOT_UTF8 else hostile / "library" / "h"
    unharmed(mobius("hash", folder / name))
    unharmed(mobius("hash", folder / name, hostile / "library" / "cards" / "ace.png"))
    assert json.loads(unharmed(mobius("hash", folder / name, "--json")).out)["files"][0]["path"] == str(folder / name)
    unharmed(mobius("hash", folder / f"none {name}"), 1)


@pytest.mark.parametrize("name", ["a\x1b[31m", "new\nline", "\u202eevil", "[red]"])
def test_a_workspace_of_any_name(mobius: Mobius, tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    unharmed(mobius("status", "--workspace", root), 1)
    unharmed(mobius("init", root))
    draw(root / "library" / "a.png", 1)
    for verb in ("migrate", "status", "check", "doctor", "backup create", "config", "worker status"):
        unharmed(mobius(*verb.split(), "--workspace", root))
    unharmed(mobius("migrate", "-o", tmp_path / f"out {name}.json", "--workspace", root))
    assert (tmp_path / f"out {name}.json").is_file()


def test_a_workspace_whose_name_is_not_utf8_is_refused_in_a_sentence(mobius: Mobius, tmp_path: Path) -> None:
    root = tmp_path / "caf\udce9"
    unharmed(mobius("init", root))
    draw(root / "library" / "a.png", 1)
    assert "is not UTF-8" in unharmed(mobius("migrate", "--workspace", root), 1).err
    for verb in ("status", "doctor", "config", "worker status", "jobs", "logs", "history"):
        unharmed(mobius(*verb.split(), "--workspace", root))


@pytest.mark.parametrize("text", ["\x1b[31mverb", "\u202everb", "caf\udce9", "[red]x", "new\nline"])
@pytest.mark.parametrize(
    "before", ["", "status", "pause", "logs --level", "logs --run", "backup verify", "--env", "status --as", "--"]
)
def test_usage_errors_show_what_was_typed_escaped(mobius: Mobius, ws: Path, before: str, text: str) -> None:
    text = text if before != "status --as" else f"{text}\x07"
    arguments = [f"--{text}"] if before == "--" else [*before.split(), text]
    verb = ["status"] if before == "--env" else []
    unharmed(mobius("--workspace", ws, *arguments, *verb), 1)
