"""The operator's hooks: how they run, how they end, and where they are refused."""

import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.rollback.hooks import MOMENTS, prepare_hook, required_moments, run_hook
from mobius_tui.system import commands
from mobius_tui.system.commands import TAIL_LINES
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")

FACTS = {"MOBIUS_RUN": "deploy-1", "MOBIUS_LIVE": "/somewhere/library.json"}


@pytest.fixture
def ws_with(make_workspace, tmp_path):
    """A workspace with hooks/NAME scripts, which nobody else can write: ``ws_with({"name": "body"}, **settings)``."""

    def make(scripts: dict[str, str], **settings: object) -> Workspace:
        ws = make_workspace(0, **settings)
        folder = ws.root / "hooks"
        folder.mkdir()
        for name, body in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
        for path in (ws.root, folder):
            path.chmod(0o755)
        return ws

    return make


def test_no_hook_is_well(make_workspace):
    result = run_hook(make_workspace(0), "before_swap", FACTS)
    assert (result.ran, result.ok, result.stops, result.sentence) == (False, True, False, "")


def test_hook_gets_variables_arguments_and_the_workspace_as_its_folder(ws_with):
    body = 'printf "%s|" "$MOBIUS_RUN" "$MOBIUS_MOMENT" "$MOBIUS_LIVE" "$MOBIUS_ENVIRONMENT" "$PWD" "$1" "$#"'
    ws = ws_with({"note": body}, hook_after_swap="hooks/note 'two words; $HOME'", environment="staging")
    told = []
    result = run_hook(ws, "after_swap", FACTS, tell=lambda *said, **fields: told.append((said, fields)))
    assert result.output == (f"deploy-1|after_swap|/somewhere/library.json|staging|{ws.root}|two words; $HOME|1|",)
    assert (result.ran, result.ok, result.exit_code, result.required) == (True, True, 0, False)
    assert [said[1] for said, _ in told] == ["hook", "hook_end"]
    assert told[1][1]["exit_code"] == 0


def test_live_is_the_workspaces_catalogue_unless_it_is_told(ws_with):
    ws = ws_with({"note": 'echo "$MOBIUS_LIVE"'}, hook_after_swap="hooks/note")
    assert run_hook(ws, "after_swap", {}).output == (str(ws.catalogue),)
    for folder in (ws.root, ws.library):
        (folder / "library.json").write_text("{}")
    assert run_hook(ws, "after_swap", {}).output == (), "two catalogues, and nothing says which"


@pytest.mark.parametrize(("body", "code"), [("exit 3", 3), ("kill -TERM $$", 143), ("echo oops >&2; false", 1)])
def test_failure_is_a_result(ws_with, body, code):
    ws = ws_with({"bad": body}, hook_before_swap="./hooks/bad", hooks_required="before_swap , after_swap")
    result = run_hook(ws, "before_swap", FACTS)
    assert (result.ran, result.ok, result.exit_code, result.stops) == (True, False, code, True)
    assert f"exit code {code}" in result.sentence
    if "oops" in body:
        assert result.sentence.endswith(": oops")


def test_failure_of_one_that_is_not_required_stops_nothing(ws_with):
    ws = ws_with({"bad": "exit 3"}, hook_before_swap="./hooks/bad", hooks_required="after_swap")
    result = run_hook(ws, "before_swap", FACTS)
    assert (result.ok, result.stops) == (False, False)


def time_is_up_when(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hooks' clock jump as soon as a file is there, so that no test depends on a machine's speed."""
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + (10_000 if path.exists() else 0))
    monkeypatch.setattr(commands, "time", clock)


def test_time_limit_ends_the_whole_group(ws_with, tmp_path, monkeypatch):
    # the child ignores being asked, and its parent waits for it
    body = f"""echo started
    sh -c 'trap "" TERM; echo $$ > {tmp_path}/child; mv {tmp_path}/child {tmp_path}/ready; exec sleep 600' &
    wait"""
    ws = ws_with({"slow": body}, hook_before_swap="hooks/slow", hook_seconds=3600)
    time_is_up_when(tmp_path / "ready", monkeypatch)
    result = run_hook(ws, "before_swap", FACTS, limit_s=3000.0)
    assert (result.ran, result.ok, result.exit_code, result.timed_out) == (True, False, None, True)
    assert "longer than 3000 s" in result.sentence
    assert result.output == ("started",)
    wait_until_gone(int((tmp_path / "ready").read_text()))


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while process_token(pid):
        assert time.monotonic() < deadline, "the hook's child lives on"
        time.sleep(0.01)


def test_one_is_asked_before_it_is_killed(ws_with, tmp_path, monkeypatch):
    body = f"trap 'echo tidied; exit 0' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    ws = ws_with({"slow": body}, hook_before_swap="hooks/slow")
    time_is_up_when(tmp_path / "ready", monkeypatch)
    result = run_hook(ws, "before_swap", FACTS)
    assert (result.timed_out, result.ok, result.output[-1:]) == (
        True,
        False,
        ("tidied",),
    )  # a shell may say more before


def test_what_it_leaves_running_is_neither_waited_for_nor_ended(ws_with, tmp_path):
    ws = ws_with({"start": f"sleep 600 & echo $! > {tmp_path}/service; echo up"}, hook_after_swap="hooks/start")
    result = run_hook(ws, "after_swap", FACTS)
    service = int((tmp_path / "service").read_text())
    try:
        assert (result.ok, result.output) == (True, ("up",))
        assert process_token(service)
    finally:
        os.kill(service, signal.SIGKILL)


def test_output_is_bounded_and_made_visible(ws_with):
    body = "seq 1 100000; printf 'a\\033[31mred\\n'"
    result = run_hook(ws_with({"loud": body}, hook_after_swap="hooks/loud"), "after_swap", FACTS)
    assert result.output[0] == "..."
    assert len(result.output) == TAIL_LINES + 1
    assert result.output[-2:] == ("100000", "a\\x1b[31mred")


def test_standard_input_is_closed_and_no_descriptor_inherited(ws_with, tmp_path):
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        ws = ws_with({"look": "cat; ls /proc/self/fd | tr '\\n' ' '"}, hook_after_swap="hooks/look")
        result = run_hook(ws, "after_swap", FACTS)
        assert str(held.fileno()) not in result.output[0].split()
    assert result.output[0].split() == ["0", "1", "2", "3"]  # ls opens the folder itself


def test_what_this_process_is_typed_is_not_the_hooks(ws_with):
    ws = ws_with({"look": "cat; echo over"}, hook_after_swap="hooks/look")
    reading, writing = os.pipe()
    os.write(writing, b"typed\n")
    os.close(writing)
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        result = run_hook(ws, "after_swap", FACTS)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)
    assert result.output == ("over",)


def test_command_is_not_a_shells(ws_with, tmp_path):
    ws = ws_with({"show": 'printf "%s " "$@"'}, hook_after_swap=f"hooks/show 'a;' touch {tmp_path}/made")
    result = run_hook(ws, "after_swap", FACTS)
    assert result.output == (f"a; touch {tmp_path}/made ",)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "line", ["hooks/absent", "no-such-program-anywhere", "hooks/show 'open", "hooks", "hooks/plain"]
)
def test_what_cannot_be_run_is_said(ws_with, line):
    ws = ws_with({"show": "true", "plain": "true"}, hook_after_swap=line, hooks_required="after_swap")
    (ws.root / "hooks/plain").chmod(0o644)
    result = run_hook(ws, "after_swap", FACTS)
    if line == "hooks/plain" and os.geteuid() == 0:
        assert not os.access(ws.root / "hooks/plain", os.X_OK)
    assert (result.ran, result.ok, result.stops) == (False, False, True)
    assert result.sentence.startswith("hook after_swap was not run")


def test_a_program_of_no_known_format_is_a_result(ws_with):
    ws = ws_with({"bad": ""}, hook_after_swap="hooks/bad")
    (ws.root / "hooks/bad").write_bytes(b"\x00\x01\x02")
    result = run_hook(ws, "after_swap", FACTS)
    assert (result.ran, result.ok) == (False, False)
    assert "could not be started" in result.sentence


@pytest.mark.parametrize(
    ("which", "mode"),
    [
        (".", 0o775), (".", 0o757), (".", 0o1777), ("mobius.toml", 0o664), ("mobius.toml", 0o646),
        ("hooks", 0o775), ("hooks", 0o1777), ("hooks/show", 0o775), ("hooks/show", 0o757),
    ],
)  # fmt: skip
def test_refused_where_others_can_write(ws_with, which, mode):
    ws = ws_with({"show": "true"}, hook_after_swap="hooks/show")
    (ws.root / "mobius.toml").write_text("")
    (ws.root / "mobius.toml").chmod(0o644)
    assert run_hook(ws, "after_swap", FACTS).ok, "the control: nobody else can write anything"
    path = ws.root / which
    path.chmod(mode)
    with pytest.raises(EnvironmentFailed) as caught:
        prepare_hook(ws, "after_swap", os.environ)
    assert str(path) in caught.value.what
    result = run_hook(ws, "after_swap", FACTS)
    assert (result.ran, result.ok) == (False, False)
    subprocess.run(caught.value.fix, shell=True, check=True)
    if not stat.S_IMODE(mode) & stat.S_ISVTX:
        assert run_hook(ws, "after_swap", FACTS).ok, "the advice mends it"


def test_refused_below_a_folder_that_others_can_write_unless_it_is_sticky(ws_with):
    ws = ws_with({"show": "true"}, hook_after_swap="hooks/show")
    above = ws.root.parent
    above.chmod(0o1777)
    assert run_hook(ws, "after_swap", FACTS).ok
    above.chmod(0o777)
    try:
        result = run_hook(ws, "after_swap", FACTS)
    finally:
        above.chmod(0o700)
    assert not result.ran
    assert f"others can write {above}" in result.sentence


def test_script_named_as_an_argument_is_looked_at_too(ws_with):
    ws = ws_with({"show": "echo hello"}, hook_after_swap="sh hooks/show")
    assert run_hook(ws, "after_swap", FACTS).output == ("hello",)
    (ws.root / "hooks/show").chmod(0o757)
    assert not run_hook(ws, "after_swap", FACTS).ran


def test_target_of_a_symlink_is_looked_at_too(ws_with, tmp_path):
    ws = ws_with({}, hook_after_swap="hooks/link")
    other = tmp_path / "elsewhere"
    other.mkdir(mode=0o755)
    (other / "real").write_text("#!/bin/sh\ntrue\n")
    (other / "real").chmod(0o755)
    (ws.root / "hooks/link").symlink_to(other / "real")
    assert run_hook(ws, "after_swap", FACTS).ok
    (other / "real").chmod(0o777)
    assert not run_hook(ws, "after_swap", FACTS).ran
    (other / "real").chmod(0o755)
    for mode in (0o777, 0o1777):
        other.chmod(mode)
        assert not run_hook(ws, "after_swap", FACTS).ran


def test_refused_when_it_belongs_to_another_user(ws_with):
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    ws = ws_with({"show": "true"}, hook_after_swap="hooks/show")
    os.chown(ws.root / "hooks/show", 12345, -1)
    assert "user id 12345" in run_hook(ws, "after_swap", FACTS).sentence


def test_required_names_are_checked(ws_with):
    ws = ws_with({"show": "true"}, hook_after_swap="hooks/show", hooks_required="after_swop")
    with pytest.raises(BadInput, match="after_swop"):
        required_moments(ws)
    result = run_hook(ws, "after_swap", FACTS)
    assert (result.ran, result.stops) == (False, True)
    assert run_hook(ws, "before_swap", FACTS).stops is False
    assert required_moments(ws_with_moments(ws)) == set(MOMENTS)


def ws_with_moments(ws: Workspace) -> Workspace:
    from mobius_tui.workspace import open_workspace

    return open_workspace(ws.root, {"hooks_required": ",".join(MOMENTS)}, {}, "tester")


def test_hooks_need_the_standard_library_only(ws_with, tmp_path):
    ws = ws_with({"show": "echo $MOBIUS_RUN"})
    (ws.root / "mobius.toml").write_text('hook_on_rollback = "hooks/show"\nno_such_setting = 1\n')
    (ws.root / "mobius.toml").chmod(0o644)
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from pathlib import Path\n"
        "from mobius_tui.workspace import open_workspace\n"
        "from mobius_tui.rollback.hooks import run_hook\n"
        f"ws = open_workspace(Path({str(ws.root)!r}), {{}}, {{}}, 'tester', lenient=True)\n"
        "print(run_hook(ws, 'on_rollback', {'MOBIUS_RUN': 'r1'}).output)\n"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "('r1',)\n"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("curl -s http://x | grep $MOBIUS_RUN", "|"),
        ("true || false", "||"),
        ("true && false", "&&"),
        ("sleep 5 &", "&"),
        ("true ; false", ";"),
        ("true; false", ";"),
        ("echo a > /tmp/x", ">"),
        ("echo a >>/tmp/x", ">>"),
        ("make 2>/dev/null", "2>"),
        ("cat < x", "<"),
        ("grep $MOBIUS_RUN x", "$MOBIUS_RUN"),
        ("echo run=${MOBIUS_RUN}", "${MOBIUS_RUN}"),
        ('echo "$MOBIUS_RUN"', '"$MOBIUS_RUN"'),
        ("echo $(date)", "$("),
        ("echo `date`", "`"),
    ],
)
def test_what_only_a_shell_understands_is_refused(make_workspace, line, meant):
    ws = make_workspace(0, hook_before_swap=line)
    with pytest.raises(BadInput, match="run without one") as refused:
        prepare_hook(ws, "before_swap", os.environ)
    assert f"holds {meant}," in refused.value.what and "sh -c '...'" in refused.value.fix


@pytest.mark.parametrize(
    "line",
    [
        "sh -c 'curl -s http://x | grep $MOBIUS_RUN; true && echo > x'",
        'sh -c "echo $MOBIUS_RUN | cat"',
        'bash -lc "$MOBIUS_RUN"',
        "grep '|' x",
        "grep a\\|b \\; x",
        "echo http://x/?a=1&b=2;c=3 5$ 'a;' $1 a>b",
        'ssh host "echo $MOBIUS_RUN > y"',
    ],
)
def test_what_is_quoted_for_a_shell_or_means_itself_is_well(make_workspace, line, monkeypatch):
    monkeypatch.setattr(commands, "_found", lambda *_: Path("/bin/true"))
    ws = make_workspace(0, hook_before_swap=line)
    assert prepare_hook(ws, "before_swap", os.environ)[1:] == shlex.split(line)[1:]
