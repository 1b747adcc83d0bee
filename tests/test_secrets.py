"""Keys, logins and tokens stand nowhere but where their owner wrote them."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from used_workspace import KEY, SECRET, Used, use

SETTINGS = {
    "base_url": f'"http://operator:{SECRET}L0gin@127.0.0.1:PORT"',
    "dead_man_url": f'"http://127.0.0.1:9/ping/{SECRET}D34dMan"',
    "hook_on_completion": f'"true --token {SECRET}H00k"',
    "[notify.sre]\nurl": f'"http://sender:{SECRET}Pw@127.0.0.1:9/hooks/{SECRET}N0tify"',
    "[notify.default]\ncommand": f'"false --api-key={SECRET}N0tifyCommand"',
}
"""Every setting that a secret may stand in; tables come last."""


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and what is in the archives among them."""
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = str(path.relative_to(root))
        yield name, data
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from ((f"{name}/{inner}", archive.read(inner)) for inner in archive.namelist())
        elif data[:2] == b"\x1f\x8b":
            plain = gzip.decompress(data)
            yield f"{name} unpacked", plain
            with tarfile.open(fileobj=io.BytesIO(plain)) as packed:
                for member in packed.getmembers():
                    held = packed.extractfile(member)
                    yield f"{name}/{member.name}", held.read() if held else b""


BROKEN: tuple[tuple[dict[str, str], tuple[str, ...]], ...] = (
    ({"MOBIUS_BASE_URL": f"operator:{SECRET}L0gin@host"}, ("health", "metrics", "smoke", "config", "doctor", "status")),
    ({"MOBIUS_BASE_URL": f"http://operator:{SECRET}L0gin@[bad"}, ("health", "metrics", "smoke", "config", "doctor")),
    ({"INTERNAL_API_KEY": f"{SECRET} with spaces"}, ("metrics", "smoke", "config", "doctor")),
    ({"MOBIUS_INTERNAL_API_KEY": f"{SECRET}\nlines"}, ("metrics", "doctor")),
    ({"MOBIUS_DEAD_MAN_URL": f"no address {SECRET}"}, ("config", "doctor")),
    ({"MOBIUS_PORT": "65001", "MOBIUS_BASE_URL": f"http://u:{SECRET}P@127.0.0.1:9/x"}, ("health", "metrics", "smoke")),
)
"""Mistakes, and the verbs that meet them."""

BY_FILE = (("backup", "create"), ("smoke",), ("metrics",), ("doctor", "--bundle"), ("config", "--json"))
"""What reads the key's file, or tells of it; all else does not care where a key comes from."""


def more(used: Used) -> None:
    """What is not asked everywhere: settings, an archive of a run, a watch, and mistakes."""
    runs = re.findall(r"\b(?:deploy|rollback|migration)-\d{8}T\d{6}Z\b", used.told())
    reports = [("report", run) for run in list(dict.fromkeys(runs))[:3]]
    used.run_all([("config",), ("config", "--json"), ("config", "--verbose", "--env", "production"), *reports])
    used.run("watch", "--duration", "2s", "--interval", "1s", "--reason", "to be seen")
    used.run("watch", "status", "--json")
    used.run("watch", "stop", "--reason", "to be seen")  # an undecided one would keep its guard
    used.run("alerts", "test")
    used.run("worker", "restart")
    mistakes = [(verb, broken) for broken, verbs in BROKEN for verb in verbs]
    used.run_all([(verb,) for verb, _ in mistakes], *(broken for _, broken in mistakes))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("by_file", [False, True], ids=["by variable", "by file"])
def test_no_secret_is_written_said_or_shown(tmp_path: Path, by_file: bool) -> None:
    root = tmp_path / "ws"
    key_file = tmp_path / "api.key"
    key_file.write_text(KEY + "\n")
    key_file.chmod(0o600)
    settings = {"internal_api_key_file": f'"{key_file}"'}
    if by_file:
        used = use(root, {**settings, **SETTINGS}, {}, 0o022, key=KEY, verbs=BY_FILE)
    else:
        used = use(root, SETTINGS, {"INTERNAL_API_KEY": KEY}, 0o022, key=KEY, more=more)
    codes = {words: code for words, code, _ in used.said}
    assert codes["migrate"] == codes["config --json"] == codes["backup create"] == 0, used.told()
    assert sum(" 200 " in answer for answer in used.answers) >= 8, "the key was right"
    found = [name for name, data in contents(root) if name != "mobius.toml" and SECRET.encode() in data]
    assert not found, "in files"
    assert not [f"{words}: {out}" for words, _, out in used.said if SECRET in out], "in outputs"
    assert not [answer for answer in used.answers if SECRET in answer], "in answers"
    shown = [line for line in used.seen if SECRET in line and not line.startswith(("true ", "false ", "/"))]
    assert not shown, "in command lines; those of the operator's own commands hold what they were given"
    assert any("mobius_tui" in line for line in used.seen), "processes were looked at"
