"""What is personal or secret goes; what matters stays, and JSON stays JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.logs import JsonLog
from mobius_tui.redaction import own_home_rule, redacted, redacted_value, redacted_words, without_secrets

SECRETS = [
    "anna.b+x@example.co.uk",
    "Authorization: Bearer abcdefgh.ijkl-123",
    "ghp_abcdefghijklmnopqrstuvwxyz0123",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "INTERNAL_API_KEY=s3cr3t-value",
    "password: hunter2",
    "https://anna:pa55@host/x",
    "/home/anna/pictures",
    "/Users/anna/pictures",
    '"gps_latitude": 52.5200',
    '"gps": [52.52, 13.4]',
]
LEAKS = ["anna", "example.co", "abcdefgh", "ijkl", "AKIAA", "eyJ", "s3cr3t", "hunter2", "pa55", "52.5", "13.4"]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_and_personal_data_are_gone(secret: str) -> None:
    for text in (secret, f"at {secret} it failed", json.dumps({"message": f"x {secret} y"})):
        shown = redacted(text)
        assert not [leak for leak in LEAKS if leak in shown], shown


def test_what_matters_stays() -> None:
    kept = (
        "2026-11-20T12:04:31Z a05fb26f7849c36f919eedb024c1eda6d1511cc78a8bc1e8e22847f906e4079c "
        "library/cards/ace.png dhash f0e4c2d9a1b3c5d7 /srv/mobius/library rate 412/s"
    )
    assert redacted(kept) == kept
    assert redacted("/home/anna/ws/library") == "~/ws/library"
    assert redacted("/root/ws") == "~/ws"


VALUES = st.text() | st.sampled_from(SECRETS) | st.floats(allow_nan=False) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(["message", "api_key", "token", "path", "gps"]), VALUES))
def test_a_json_record_stays_json(record: dict[str, object]) -> None:
    found = json.loads(redacted(json.dumps(record)))
    assert found.keys() == record.keys()
    for name in ("api_key", "token", "gps"):
        assert found.get(name, "[hidden]") == "[hidden]"


def test_other_secrets() -> None:
    for secret, leak in (
        ("AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "QQPZRY"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("taken at 52°31'12\"N 13°24'18\"E", "52°"),
        ("x" * 90 + "_token=hunter2", "hunter2"),
        ("X-Internal-API-Key: hunter2", "hunter2"),
    ):
        assert leak not in redacted_words(f"it said {secret} and left"), secret


def test_files_that_are_called_token_are_no_secret() -> None:
    for kept in ("tokens/gold-token.png: truncated file", "secret-door.v2.png=3 pairs", "keys and tokens, 412/s"):
        assert redacted_words(kept) == kept


def test_types_stay() -> None:
    given_ = {
        "n": 1,
        "x": 1.5,
        "yes": True,
        "none": None,
        "list": [1, "a@b.de"],
        "deep": {"m": {"token": None}},
        3: "x",
    }
    kept = {**given_, "list": [1, "[e-mail]"]}
    del kept[3]
    assert redacted_value(given_) == {**kept, "3": "x"}
    assert redacted_value({"tokens": 5, "token_known": True}) == {"tokens": "[hidden]", "token_known": True}
    assert redacted_value(Path("/home/anna/x")) == "~/x"


def test_a_log_holds_no_secrets(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "run.log")
    for secret in SECRETS:
        error = ValueError(f"no answer from {secret}")
        log.write("error", "worker", "x", f"at {secret}", "run-1", {"why": secret, "error": error, "all": [secret, 3]})
    text = log.path.read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert len(records) == len(SECRETS) and log.dropped == 0
    assert not [leak for leak in LEAKS if leak in text], text
    assert all(record["fields"]["all"][1] == 3 and record["run"] == "run-1" for record in records)


@pytest.mark.parametrize(
    "text",
    ["token" * 20_000, "a-" * 50_000 + "token", "a@" * 50_000, "token='" * 15_000, "/home/" * 15_000, "°1" * 50_000],
)
def test_no_text_makes_it_hang(text: str) -> None:
    began = time.process_time()
    redacted_words(text)
    assert time.process_time() - began < 20.0, "what is quadratic takes minutes"


@given(st.text())
def test_a_text_without_any_is_the_same(text: str) -> None:
    plain = "".join(c for c in text if c.isalnum() or c in " .,-()").replace("GPS", "").replace("gps", "")
    assert redacted_words(plain) == plain or any(word in plain.lower() for word in ("token", "bearer", "basic", "gh"))


def test_this_accounts_own_home_wherever_it_is(tmp_path: Path) -> None:
    ((words, pattern, instead),) = own_home_rule("/var/lib/Mobius/")
    assert words == ("/var/lib/mobius",)
    assert pattern.sub(instead, "/var/lib/Mobius/ws and '/var/lib/Mobius'") == "~/ws and '~'"
    assert pattern.sub(instead, "/var/lib/Mobius2/ws") == "/var/lib/Mobius2/ws"
    assert own_home_rule("/srv") == own_home_rule("/") == own_home_rule("~") == own_home_rule("") == ()
    code = (
        "import sys; from pathlib import Path; from mobius_tui.logs import JsonLog\n"
        "JsonLog(Path(sys.argv[1])).write('info', 'c', 'e', f'in {sys.argv[2]}/pictures')"
    )
    home, log = tmp_path / "anna", tmp_path / "run.log"
    environ = {**os.environ, "HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code, log, home], env=environ, check=True)
    assert json.loads(log.read_text())["message"] == "in ~/pictures"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("notify --password hunter2 --quiet", "notify --password [hidden] --quiet"),
        ("notify --api-token 'two words' x", "notify --api-token [hidden] x"),
        ('{"hook": "send --auth-secret hunter2"}', '{"hook": "send --auth-secret [hidden]"}'),
        ("send --token --quiet file", "send --token --quiet file"),
        ("a token of 3 -- secret things", "a token of 3 -- secret things"),
    ],
)
def test_secrets_behind_options_of_a_command_are_hidden(text: str, left: str) -> None:
    assert redacted(text).rstrip("\n") == left
    assert redacted_words(redacted_words(text)) == redacted_words(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bob:hunter2@proxy/x", "https://[login]@proxy/x"),
        ("curl -u bob:hunter2 http://x", "curl -u [login] http://x"),
        ("curl --user=bob:hunter2 http://x", "curl --user=[login] http://x"),
        ("http://x/?key=abc&b=1", "http://x/?key=[hidden]&b=1"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/[token]"),
        ("/root/bin/hook --token abc123 ops@example.org", "/root/bin/hook --token [hidden] ops@example.org"),
        ("date -u +%H:%M", "date -u +%H:%M"),
    ],
)
def test_what_a_command_may_show_has_no_secret_in_it(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert "hunter2" not in redacted_words(text) and "abc" not in redacted_words(text)
