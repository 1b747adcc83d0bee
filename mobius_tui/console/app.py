"""Opening the console: what is checked before the terminal is taken, and what is said after it is given back."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mobius_tui.errors import INTERNAL_ERROR, EnvironmentFailed, MobiusError
from mobius_tui.logs import SERVICE_LOG, JsonLog
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from mobius_tui.console.application import ConsoleApp
    from mobius_tui.console.themes import Theme

HARD_EXIT_S = 3.0
"""Seconds after a hang-up or a SIGTERM until the process ends, whatever hangs."""


def run_console(
    ws: Workspace,
    *,
    read_only: bool = False,
    low_bandwidth: bool = False,
    ascii_only: bool = False,
    theme: str | None = None,
    keymap: Path | None = None,
) -> int:
    """Open the console on this terminal, and return when it is closed.

    Args:
        ws: The workspace.
        read_only: Show only; start no worker, register no key that writes.
        low_bandwidth: Fewer repaints.
        ascii_only: Plain ASCII borders and marks.
        theme: Name of a theme; None takes the setting.
        keymap: TOML file with other keys; None keeps them.

    Returns:
        The exit code: 0 after ``q``; 129, 130 and 143 after hang-up, Ctrl-C and SIGTERM; 70 after a defect.

    Raises:
        EnvironmentFailed: There is no terminal, or one that cannot show a screen.
        BadInput: The theme or keymap is none, or broken.
    """
    require_terminal(os.environ)
    # The toolkit reads these when it is imported: the terminal knows its size, and nothing else is left to chance.
    for name in [name for name in os.environ if name.startswith("TEXTUAL") or name in {"COLUMNS", "LINES"}]:
        del os.environ[name]
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ["TEXTUAL_DISABLE_KITTY_KEY"] = "1"
    low_bandwidth = low_bandwidth or ws.settings.low_bandwidth
    ascii_only = ascii_only or ws.settings.ascii or not speaks_utf8(os.environ)
    chosen = choose_theme(ws, theme, os.environ)
    keys = read_keymap(keymap)
    note = "" if read_only else start_worker(ws, os.environ)
    from mobius_tui.console.application import ConsoleApp
    from mobius_tui.console.poller import Poller

    console = ConsoleApp(
        ws,
        Poller(ws, read_only=read_only, worker_note=note),
        chosen,
        ascii_only=ascii_only,
        low_bandwidth=low_bandwidth,
        read_only=read_only,
        keymap=keys,
        driver_class=_driver_class(),
    )
    catch_signals(console)
    console.run(mouse=False)
    return _finish(ws, console)


def read_keymap(path: Path | None) -> Mapping[str, str]:
    """The keys of a keymap, tried on all actions; none without a file.

    Raises:
        BadInput: The keymap is broken.
    """
    from mobius_tui.console.actions import registry
    from mobius_tui.console.keymap import load_keymap, remapped

    keys = load_keymap(path) if path is not None else {}
    remapped(registry(), keys)
    return keys


def _driver_class() -> type | None:
    """The console's own driver; None (the toolkit's) where there is no termios."""
    if sys.platform == "win32":
        return None
    from mobius_tui.console.driver import TerminalDriver

    return TerminalDriver


def require_terminal(environ: Mapping[str, str]) -> None:
    """Refuse where a screen cannot be shown.

    Raises:
        EnvironmentFailed: Input or output is no terminal, or TERM cannot move a cursor.
    """
    fix = "`mobius status` says the same as text; `mobius jobs`, `mobius logs -f` and `mobius migrate` work there too"
    if not (_is_terminal(sys.__stdin__) and _is_terminal(sys.__stdout__)):
        raise EnvironmentFailed("the console needs a terminal for input and output", fix=fix)
    term = environ.get("TERM", "")
    if term in {"", "dumb", "unknown"}:
        raise EnvironmentFailed(f"a terminal of the kind TERM={visible(term) or '(empty)'} shows no screens", fix=fix)


def _is_terminal(stream: object) -> bool:
    try:
        return stream is not None and os.isatty(stream.fileno())  # type: ignore[attr-defined]
    except (ValueError, OSError):
        return False


def speaks_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale's charset is UTF-8, or is not told (then it is nearly always)."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    charset = locale.partition(".")[2].partition("@")[0]
    return not charset or charset.lower().replace("-", "") == "utf8"


def choose_theme(ws: Workspace, name: str | None, environ: Mapping[str, str]) -> Theme:
    """The theme of a flag or setting; the terminal's own colours under NO_COLOR and on 16-colour terminals.

    Raises:
        BadInput: There is no such theme, or it is broken.
    """
    from mobius_tui.console.themes import load_theme

    wanted = name or ws.settings.theme
    theme = load_theme(wanted, ws.themes)
    asked = name is not None or ws.sourced.sources.get("theme", "default") != "default"
    if environ.get("NO_COLOR") or (not asked and not _many_colors(environ)):
        return theme if theme.ansi else load_theme("mobius-ansi", ws.themes)
    return theme


def _many_colors(environ: Mapping[str, str]) -> bool:
    if environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}:
        return True
    term = environ.get("TERM", "").lower()
    return term.endswith(("256color", "direct", "kitty")) or term.startswith(("alacritty", "foot", "wezterm"))


def start_worker(ws: Workspace, environ: Mapping[str, str]) -> str:
    """Find the running worker or start one that outlives this terminal.

    Returns:
        Why none could be started; empty when one runs.
    """
    try:
        from mobius_tui.launch.worker import ensure_worker

        flagged = ws.sourced.sources.get("environment") == "flag"
        ensure_worker(ws, environ, ws.settings.environment if flagged else None)
    except MobiusError as error:
        return str(error)
    except OSError as error:
        return f"it could not be started: {error.strerror or visible(str(error))}"
    except Exception as error:  # the console must open and say so, whatever ails the worker
        return f"it could not be started: {visible(repr(error))}"
    return ""


def catch_signals(console: ConsoleApp) -> None:
    """End the console on a hang-up, a SIGTERM or a SIGINT, within ``HARD_EXIT_S`` whatever hangs."""

    def on_signal(number: int, _: FrameType | None) -> None:
        code = 128 + number
        threading.Thread(target=_end_hard, args=(console, code), name="mobius-hard-exit", daemon=True).start()
        loop = console._loop
        if loop is None:
            raise SystemExit(code)
        loop.call_soon_threadsafe(console.leave, code)

    for name in ("SIGHUP", "SIGTERM", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), on_signal)


def _end_hard(console: ConsoleApp, code: int) -> None:
    time.sleep(HARD_EXIT_S)
    restore = getattr(console._driver, "restore_terminal", None)
    if restore is not None:
        restore()
    os._exit(code)


def _finish(ws: Workspace, console: ConsoleApp) -> int:
    """Say what there is to say and choose the exit code; none at all is a failure."""
    code = console.return_code
    if console.defect:
        JsonLog(ws.logs / SERVICE_LOG).write(
            "error", "console", "defect", console.farewell, "", {"trace": console.defect}
        )
    if code not in {129, 143} and console.farewell:
        with contextlib.suppress(OSError, ValueError):
            print(console.farewell, file=sys.stderr)
    if code is None or console.defect:
        return INTERNAL_ERROR
    return int(code)
