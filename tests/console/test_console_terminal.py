"""The console on real terminals: hang-ups, stalls, odd bytes, resizes, and tmux."""

import contextlib
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from mobius_tui.console import app as app_module
from mobius_tui.console.app import choose_theme, require_terminal, speaks_utf8, start_worker
from mobius_tui.errors import INTERNAL_ERROR, BadInput, EnvironmentFailed
from mobius_tui.launch.worker import stop_worker, worker_holder
from mobius_tui.settings import Settings, Sourced
from mobius_tui.store.database import open_database
from mobius_tui.store.events import add_event
from mobius_tui.workspace import Workspace, init_workspace

termios = pytest.importorskip("termios", reason="a terminal of Linux or macOS is needed")
import fcntl  # noqa: E402
import pty  # noqa: E402

REPO = Path(__file__).parents[2]
PATIENCE_S = 40
LAUNCH = """
import os, sys
from pathlib import Path
from mobius_tui.console import app
from mobius_tui.errors import MobiusError, exit_code_of
from mobius_tui.workspace import open_workspace
{extra}
try:
    ws = open_workspace(Path(sys.argv[1]), {{}}, os.environ, "ada")
    sys.exit(app.run_console(ws, read_only={read_only}))
except MobiusError as error:
    print(error, file=sys.stderr)
    sys.exit(exit_code_of(error))
"""


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ws"
    init_workspace(folder)
    connection = open_database(folder / ".mobius" / "mobius.db")
    add_event(connection, "info", "test", "x", "the first event")
    connection.close()
    return folder


def environment(**changes):
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "TMUX", "COLUMNS", "LINES"}}
    return {**kept, "TERM": "xterm-256color", "PYTHONPATH": str(REPO), "LANG": "C.UTF-8", **changes}


def command(root, extra="", *, read_only=True):
    return [sys.executable, "-c", LAUNCH.format(extra=extra, read_only=read_only), str(root)]


class Terminal:
    """A console on a pseudo-terminal, whose other end the test holds."""

    def __init__(self, root, *, size=(80, 24), controlling=True, extra="", env=None, read_only=True):
        self.master, slave = pty.openpty()
        self.resize(*size)

        def take_terminal():
            if controlling:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command(root, extra, read_only=read_only), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=take_terminal, env=environment(**(env or {})), cwd=REPO,
        )  # fmt: skip
        self.slave = slave  # kept, so that the terminal's settings can be looked at afterwards
        self.seen = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data):
        os.write(self.master, data)

    def read_until(self, wanted):
        """Read until a text has come, since the last call."""
        deadline = time.monotonic() + PATIENCE_S
        found = b""
        while wanted not in found:
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted!r} never came, but {found[-2000:]!r}"
            if select.select([self.master], [], [], min(left, 0.2))[0]:
                found += os.read(self.master, 65536)
            else:
                assert self.process.poll() is None, found[-2000:]
        self.seen = found

    def read_quiet(self, seconds):
        """What comes until nothing has come for this long."""
        found = b""
        while select.select([self.master], [], [], seconds)[0]:
            found += os.read(self.master, 65536)
        return found

    def wait(self, *, reading=True):
        """The exit code; reads meanwhile, for a terminal takes what is written to it."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it never ended"
            if reading and select.select([self.master], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 65536)
            elif not reading:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.05)
        return self.process.returncode

    def close(self):
        for descriptor in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(root):
    opened = []

    def start(**options):
        opened.append(Terminal(root, **options))
        opened[-1].read_until(b"READ-ONLY" if options.get("read_only", True) else b"development")
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_opens_and_closes_and_gives_the_terminal_back(terminal):
    console = terminal()
    console.read_quiet(1.0)
    assert termios.tcgetattr(console.slave)[3] & termios.ECHO == 0
    console.send(b"q")
    assert console.wait() == 0
    assert b"\x1b[?1049l" in console.seen
    assert b"The console is closed; no worker runs." in console.seen
    assert termios.tcgetattr(console.slave)[3] & termios.ECHO


def test_no_mouse_is_asked_for(terminal):
    console = terminal()
    assert b"\x1b[?1000h" not in console.seen
    assert b"\x1b[?1003h" not in console.seen


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_code_and_the_terminal_is_given_back(terminal, number):
    console = terminal()
    console.process.send_signal(number)
    assert console.wait() == 128 + number
    assert b"\x1b[?1049l" in console.seen


def test_ctrl_c_is_130(terminal):
    console = terminal()
    console.send(b"\x03")
    assert console.wait() == 130


@pytest.mark.parametrize("controlling", [True, False])
def test_a_terminal_that_goes_away_ends_it(terminal, controlling):
    """With SIGHUP, and without: nobody sends one to a console outside of the terminal's session."""
    console = terminal(controlling=controlling)
    os.close(console.slave)
    os.close(console.master)
    assert console.wait(reading=False) == 129


def test_with_sighup_ignored_at_start_it_still_ends(terminal, root):
    console = terminal(extra="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    os.close(console.slave)
    os.close(console.master)
    assert console.wait(reading=False) == 129


def stall(console):
    """Make it write far more than a terminal holds, without reading."""
    for _ in range(60):
        console.send(b"??\x0c")


def test_a_stalled_reader_does_not_stop_the_loop(terminal):
    """The hard exit is put off, so that only a loop that is alive ends in time."""
    console = terminal(size=(200, 60), extra="app.HARD_EXIT_S = 600")
    stall(console)
    console.process.send_signal(signal.SIGTERM)
    assert console.wait(reading=False) == 143


def test_after_a_stall_the_screen_comes_back(terminal):
    console = terminal(size=(200, 60))
    stall(console)
    console.read_quiet(1.0)
    for _ in range(5):  # whatever help screens the flood left open
        console.send(b"\x1b")
        console.read_quiet(0.4)
    console.send(b"\x0c")
    console.read_until(b"the first event")
    console.send(b"q")
    assert console.wait() == 0


def test_what_hangs_is_ended_hard_and_the_terminal_is_given_back(terminal):
    extra = (
        "app.HARD_EXIT_S = 0.2\n"
        "from mobius_tui.console.application import ConsoleApp\n"
        "ConsoleApp.leave = lambda self, code: None"
    )
    console = terminal(extra=extra)
    console.process.send_signal(signal.SIGTERM)
    assert console.wait() == 143
    assert termios.tcgetattr(console.slave)[3] & termios.ECHO


def test_bytes_that_are_not_utf8_do_nothing(terminal):
    console = terminal()
    console.send(b"\xff\xfe\x80\xc3")
    console.send(b"\x1b[Mqqq")
    console.read_quiet(0.5)
    assert console.process.poll() is None
    console.send(b"\x1b[M q\xff")  # a report whose last byte is no text: its q must not become a key
    console.read_quiet(0.5)
    console.send(b"6")
    console.read_until(b"the first event")
    console.send(b"q")
    assert console.wait() == 0


def test_resizes_down_to_nothing_and_back(terminal):
    console = terminal()
    for size in ((20, 5), (1, 1), (0, 0), (160, 48)):
        console.resize(*size)
        console.process.send_signal(signal.SIGWINCH)
        console.read_quiet(0.4)
        assert console.process.poll() is None
    console.send(b"\x0c")
    console.read_until(b"the first event")
    console.send(b"q")
    assert console.wait() == 0


@pytest.mark.parametrize("size", ["40", "99999"])
def test_an_exported_size_is_not_believed(terminal, size):
    console = terminal(size=(160, 48), env={"COLUMNS": size, "LINES": size, "TEXTUAL_LOG": "/dev/full"})
    console.read_until(b"the first event") if b"the first event" not in console.seen else None
    console.send(b"q")
    assert console.wait() == 0


def test_a_still_screen_sends_nothing(terminal):
    console = terminal()
    console.read_quiet(1.5)
    before = time.time()
    sent = b""
    while time.time() - before < 2:
        if select.select([console.master], [], [], 0.2)[0]:
            sent += os.read(console.master, 65536)
    if time.gmtime(before).tm_min == time.gmtime().tm_min:  # the clock of the header may turn
        assert sent == b""


def test_no_color_sends_no_colour(terminal):
    console = terminal(env={"NO_COLOR": "1"})
    console.seen += console.read_quiet(1.0)
    colours = [c for c in console.seen.split(b"\x1b[") if c[:5] in {b"38;5;", b"48;5;", b"38;2;", b"48;2;"}]
    assert colours == []
    coloured = terminal()
    assert b"38;5;" in coloured.seen + coloured.read_quiet(1.0)


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_without_a_screen_is_refused(root, term):
    master, slave = pty.openpty()
    with subprocess.Popen(
        command(root), stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment(TERM=term), cwd=REPO
    ) as process:
        said = process.stderr.read().decode()
        assert process.wait(PATIENCE_S) == 3
    assert "`mobius status`" in said
    assert "\x1b" not in said
    os.close(slave)
    os.close(master)


def test_no_terminal_is_refused(root):
    done = subprocess.run(
        command(root), stdin=subprocess.DEVNULL, capture_output=True, env=environment(), cwd=REPO, timeout=PATIENCE_S
    )
    assert done.returncode == 3
    assert b"`mobius status`" in done.stderr
    assert done.stdout == b""


def test_a_defect_is_one_sentence_and_a_failure(terminal, root):
    extra = (
        "from mobius_tui.console.screens.main import MainScreen\n"
        "def broken(self):\n    raise RuntimeError('a [bold]defect')\n"
        "MainScreen.next_log_level = broken"
    )
    console = terminal(extra=extra)
    console.send(b"l")
    assert console.wait() == INTERNAL_ERROR
    console.seen += console.read_quiet(0.2)
    assert b"stopped on a defect of its own: RuntimeError('a [bold]defect')" in console.seen
    assert b"Traceback" not in console.seen
    assert "a [bold]defect" in (root / "logs" / "service.log").read_text()


class Ended:
    """A console that ended with a code."""

    defect = ""
    farewell = ""

    def __init__(self, code):
        self.return_code = code


@pytest.mark.parametrize(("code", "exit_code"), [(None, INTERNAL_ERROR), (0, 0), (129, 129)])
def test_no_exit_code_is_a_failure(root, code, exit_code):
    assert app_module._finish(space(root), Ended(code)) == exit_code


def space(root, sources=None, **settings):
    return Workspace(root, Sourced(Settings(**settings), sources or {}), "ada")


def test_a_worker_that_cannot_start_is_said_and_not_raised(root, monkeypatch):
    from mobius_tui.launch import worker as control

    for error in (EnvironmentFailed("no space"), OSError(13, "Permission denied"), RuntimeError("odd")):

        def refuse(*_, error=error):
            raise error

        monkeypatch.setattr(control, "ensure_worker", refuse)
        said = start_worker(space(root), {})
        assert any(word in said for word in ("no space", "Permission denied", "odd"))


def test_which_theme(root):
    many, few = {"TERM": "xterm-256color"}, {"TERM": "linux"}
    assert choose_theme(space(root), None, many).name == "mobius-dark"
    assert choose_theme(space(root), None, few).name == "mobius-ansi"
    assert choose_theme(space(root), "mobius-light", few).name == "mobius-light"
    assert choose_theme(space(root, {"theme": "mobius.toml"}, theme="mobius-light"), None, few).name == "mobius-light"
    assert choose_theme(space(root), "mobius-light", {**many, "NO_COLOR": "1"}).name == "mobius-ansi"
    with pytest.raises(BadInput):
        choose_theme(space(root), "nonesuch", many)


def test_which_charset():
    assert speaks_utf8({"LANG": "de_DE.UTF-8"})
    assert speaks_utf8({})
    assert speaks_utf8({"LANG": "C"})
    assert not speaks_utf8({"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.ISO-8859-1@euro"})


def test_pytest_itself_has_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "__stdin__", None)
    with pytest.raises(EnvironmentFailed):
        require_terminal({"TERM": "xterm"})


@pytest.fixture
def worker(root):
    """Ends the worker that a console has started here."""
    yield space(root)
    stop_worker(space(root))


def test_a_worker_outlives_the_console_and_its_death_is_seen(terminal, root, worker):
    Image.radial_gradient("L").save(root / "library" / "ring.png")
    console = terminal(read_only=False)
    holder = worker_holder(worker)
    assert holder is not None
    console.read_until("● idle".encode())
    console.send(b"d")
    console.read_until("✓ done".encode())
    os.close(console.slave)
    os.close(console.master)
    assert console.wait(reading=False) == 129
    assert worker_holder(worker) == holder

    again = terminal()
    seen = again.seen + again.read_quiet(0.7)
    assert "✓ done".encode() in seen
    assert "● idle".encode() in seen
    os.kill(holder.pid, signal.SIGKILL)
    killed = time.monotonic()
    again.read_until("○ stopped".encode())
    assert time.monotonic() - killed < 10  # two seconds on a machine that is not busy


needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Tmux:
    """A tmux server of its own with one console in it."""

    def __init__(self, root, tmp_path):
        self.socket = str(tmp_path / "tmux.sock")
        script = tmp_path / "console.sh"
        parts = command(root)
        code = tmp_path / "launch.py"
        code.write_text(parts[2])
        script.write_text(f"exec {sys.executable} {code} {parts[3]}\n")
        self("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh", str(script))

    def __call__(self, *arguments):
        return subprocess.run(
            ["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, env=environment(), cwd=REPO
        ).stdout

    def screen(self):
        return self("capture-pane", "-p")

    def until(self, wanted):
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.screen():
            assert time.monotonic() < deadline, self.screen()

    def pid(self):
        return int(self("list-panes", "-F", "#{pane_pid}"))


@pytest.fixture
def tmux(root, tmp_path):
    server = Tmux(root, tmp_path)
    yield server
    server("kill-server")


@needs_tmux
def test_tmux_resize_odd_bytes_and_a_client_that_is_killed(tmux):
    tmux.until("READ-ONLY")
    tmux("resize-window", "-x", "160", "-y", "48")
    tmux.until("the first event")
    tmux("resize-window", "-x", "20", "-y", "5")
    tmux.until("2 Migration")
    tmux("send-keys", "-H", "ff", "1b", "5b", "4d", "20", "ff", "fe")
    tmux("resize-window", "-x", "80", "-y", "24")
    tmux.until("READ-ONLY")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    client = subprocess.Popen(
        ["tmux", "-S", tmux.socket, "attach"], stdin=slave, stdout=slave, stderr=slave, env=environment(),
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    found = b""
    while b"READ-ONLY" not in found:
        assert select.select([master], [], [], PATIENCE_S)[0]
        found += os.read(master, 65536)
    client.kill()
    client.wait()
    os.close(slave)
    os.close(master)
    tmux("send-keys", "6")
    tmux.until("the first event")


@needs_tmux
def test_tmux_session_that_is_killed_ends_the_console(tmux):
    tmux.until("READ-ONLY")
    pid = tmux.pid()
    tmux("kill-session")
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline


@needs_tmux
def test_tmux_shows_what_happens_meanwhile(tmux, root):
    tmux.until("READ-ONLY")
    tmux("send-keys", "6")
    tmux.until("the first event")
    connection = open_database(root / ".mobius" / "mobius.db")
    add_event(connection, "warning", "test", "x", "deck[@click=app.quit]ace[/].png \x1b[2J")
    connection.close()
    tmux.until("deck[@click=app.quit]ace[/].png \\x1b[2J")
