"""The terminal of the verbs that need the standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mobius_tui.cli import interrupts, output
from mobius_tui.cli.layout import wrapped
from mobius_tui.errors import HungUp, MobiusError

if TYPE_CHECKING:
    from mobius_tui.recovery.backups import Decrypt
    from mobius_tui.workspace import Workspace


class PlainTalk:
    """Words of `mobius rollback` and `mobius backup verify`.

    Attributes:
        interactive: Whether somebody can be asked.
        environ: The process environment.
    """

    def __init__(self) -> None:
        self.interactive = output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)
        self.environ: Mapping[str, str] = os.environ

    def show(self, line: str, style: str = "") -> None:
        """A line of data on stdout; on a terminal broken into lines that fit it."""
        for each in wrapped(line, width=output.data_width()):
            output.show(each, style)

    def show_json(self, value: object) -> None:
        """A JSON document on stdout."""
        output.show_json(value)

    def tell(self, text: str, style: str = "") -> None:
        """Talk on stderr."""
        output.tell_wrapped(text, style)

    def ask(self, question: str) -> str:
        """An answer typed on the terminal."""
        output.tell_raw(question)
        line = sys.stdin.readline()
        if not line:
            raise HungUp("the terminal gave no answer, nothing was changed")
        return line

    def limit(self, seconds: float) -> None:
        """End this process after so many seconds, with exit code 4."""
        interrupts.set_time_limit(seconds)

    def decrypt_with(self, ws: Workspace) -> Decrypt | None:
        """What opens encrypted backups; None where there is no key, or its package is not to be had."""
        try:
            from mobius_tui.operations.backup_encryption import key_in_use

            key = key_in_use(ws)
        except (ImportError, MobiusError) as error:
            output.tell_wrapped(f"warning: encrypted backups are not looked into: {error}", "warn")
            return None
        return None if key is None else key.decrypt
