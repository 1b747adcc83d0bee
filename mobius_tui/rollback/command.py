"""`mobius rollback` and `mobius backup verify`, reached before any third-party package is imported.

They answer, fail and exit as the other verbs do; only what reads the command line is the standard library's.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from mobius_tui.errors import BadInput
from mobius_tui.recovery.backups import Decrypt
from mobius_tui.rollback.making_way import refuse_if_running
from mobius_tui.rollback.options import Preview, RollbackOptions
from mobius_tui.rollback.report import outcome_lines, preview_lines, show_list
from mobius_tui.rollback.run import places_of, roll_back
from mobius_tui.rollback.verify import verify_verb
from mobius_tui.rollback.words import verb_of
from mobius_tui.system.identity import login_name
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace, open_workspace

_LONGEST_LIMIT_S = 10_000_000


class Talk(Protocol):
    """Where words go and come from."""

    interactive: bool
    environ: Mapping[str, str]

    def show(self, line: str, style: str = "") -> None:
        """A line of data on stdout."""

    def show_json(self, value: object) -> None:
        """A JSON document on stdout."""

    def tell(self, text: str, style: str = "") -> None:
        """Talk on stderr."""

    def ask(self, question: str) -> str:
        """An answer typed on the terminal."""

    def limit(self, seconds: float) -> None:
        """End this process after so many seconds, with exit code 4."""

    def decrypt_with(self, ws: Workspace) -> Decrypt | None:
        """What opens encrypted backups; None where there is no key, or its package is not to be had."""


def run(arguments: Sequence[str], talk: Talk) -> int:
    """Run one of the verbs.

    Args:
        arguments: What follows ``mobius``.
        talk: Where words go.

    Returns:
        The exit code.

    Raises:
        MobiusError: What went wrong, to be said in a sentence.
    """
    verb = verb_of(arguments)
    given = _parsed(verb, arguments, talk)
    if given is None:
        return 0
    ws = _workspace(given, talk)
    for warning in ws.sourced.warnings:
        talk.tell(f"warning: {warning}", "warn")
    was_on = gc.isenabled()
    gc.disable()  # millions of small objects that all stay to the end of a short process
    try:
        if verb == "backup verify":
            return verify_verb(ws, given.name, every=given.every, as_json=given.json, talk=talk)
        return _rollback(ws, given, talk)
    finally:
        if was_on:
            gc.enable()


def _rollback(ws: Workspace, given: argparse.Namespace, talk: Talk) -> int:
    options = RollbackOptions(
        backup=given.backup,
        with_images=given.with_images,
        remove_dhash=given.remove_dhash,
        keep_new=given.keep_new,
        force=given.force,
        input=given.input,
        reason=given.reason,
    )
    if given.list:
        show_list(ws, options, as_json=given.json, talk=talk)
        return 0
    _refuse_contradictions(options)
    if not options.force:
        refuse_if_running(places_of(ws, options).live)
    if not options.force and not talk.interactive:
        raise BadInput("there is no terminal to ask on", fix="`mobius rollback --force` asks nothing")

    def say(text: str) -> None:
        if not given.quiet:
            talk.tell(text)

    def confirm(preview: Preview) -> bool:
        for text, style in preview_lines(preview):
            talk.tell(text, style)
        if preview.environment == "production":
            return talk.ask("type the environment's name to roll back: ").strip() == "production"
        return talk.ask("roll back? [y/N] ").strip().lower() in {"y", "yes"}

    outcome = roll_back(ws, options, confirm=confirm, say=say, environ=talk.environ, env_name=given.env)
    if given.json:
        talk.show_json(outcome.to_json())
    for warning in outcome.warnings:
        talk.tell(f"warning: {warning}", "warn")
    if not given.json:
        for text, style in outcome_lines(outcome, options.input):
            talk.show(text, style)
    return outcome.exit_code


def _refuse_contradictions(options: RollbackOptions) -> None:
    help_ = "`mobius rollback --help`"
    if options.remove_dhash and (options.backup is not None or options.with_images):
        raise BadInput("--remove-dhash takes no backup: it leaves all but MOBIUS's own fields as it is", fix=help_)
    if options.input is not None and options.with_images:
        raise BadInput("--with-images is for the workspace's own library, not for -i", fix=help_)
    if options.input is not None and not options.input.strip():
        raise BadInput("-i is empty", fix="name a catalogue, or leave the option out")


class _Parser(argparse.ArgumentParser):
    """Errors as sentences of MOBIUS, help without ending the process."""

    verb = ""

    def error(self, message: str) -> NoReturn:
        said = message[:1].upper() + message[1:]
        raise BadInput(said.rstrip("."), fix=f"`mobius {self.verb} --help`")


def _parsed(verb: str, arguments: Sequence[str], talk: Talk) -> argparse.Namespace | None:
    """The options; None when only help was asked for."""
    parser = _Parser(prog=f"mobius {verb}", add_help=False, allow_abbrev=False, description=_ABOUT[verb])
    parser.verb = verb
    _add_verbs_own(parser, verb)
    _add_common(parser)
    rest = list(arguments)
    for word in verb.split():
        rest.remove(word)
    given = parser.parse_args(rest)
    if given.help:
        for text in parser.format_help().rstrip().splitlines():
            talk.show(text)
        return None
    if given.timeout is not None:
        if not 0 < given.timeout <= _LONGEST_LIMIT_S:
            parser.error("Invalid value for '--timeout': a time limit must be more than 0 seconds")
        talk.limit(given.timeout)
    return given


_ABOUT = {
    "rollback": "Bring the catalogue back that was live before: the backup of the publication that is live now, or"
    " the one that is named. What is live now is kept as an emergency copy. Needs no worker, no database and no"
    " package. Exit 0 restored; 2 no good backup, or the worker is not well afterwards.",
    "backup verify": "Read a backup whole and compare it with its hash: the latest, one by NAME, or --all. Exit 2 when"
    " one is corrupt or its file is missing, 3 when one cannot be read.",
}


def _add_verbs_own(parser: argparse.ArgumentParser, verb: str) -> None:
    if verb == "backup verify":
        parser.add_argument("name", nargs="?", metavar="NAME", help="A backup's bare name; default: the latest.")
        parser.add_argument("--all", dest="every", action="store_true", help="Every backup.")
        return
    parser.add_argument("--list", help="Show what can be gone back to; changes nothing.", action="store_true")
    parser.add_argument("--backup", metavar="NAME", help="A backup's name or path; default: the way back.")
    parser.add_argument("--with-images", help="Images too, from a full backup.", action="store_true")
    parser.add_argument("--remove-dhash", help="Take out what MOBIUS owns, leave the rest.", action="store_true")
    parser.add_argument("--keep-new", help="Keep what others added or changed since.", action="store_true")
    parser.add_argument("--force", help="Ask nothing; end a running operation first.", action="store_true")
    parser.add_argument("-i", "--input", metavar="FILE", help="Another catalogue than the live one.")
    parser.add_argument("--reason", default="", metavar="TEXT", help="Why, for the history.")


def _add_common(parser: argparse.ArgumentParser) -> None:
    where = "The workspace; default: MOBIUS_WORKSPACE, then the current folder."
    parser.add_argument("--workspace", metavar="DIR", help=where)
    parser.add_argument("--env", metavar="NAME", help="development, staging or production.")
    parser.add_argument("--as", dest="actor", metavar="NAME", help="Who acts; default: the login name.")
    parser.add_argument("--json", action="store_true", help="Data as JSON on stdout.")
    parser.add_argument("-v", "--verbose", action="store_true", help="Say more.")
    parser.add_argument("-q", "--quiet", action="store_true", help="Say only warnings and errors.")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="End after this long, with exit code 4.")
    parser.add_argument("-h", "--help", action="store_true", help="Show this message.")


def _workspace(given: argparse.Namespace, talk: Talk) -> Workspace:
    """The workspace; what is wrong in its settings is a warning."""
    if given.workspace == "":
        raise BadInput("--workspace is empty", fix="name a folder, or leave the option out")
    root = Path(given.workspace or talk.environ.get("MOBIUS_WORKSPACE") or ".")
    return open_workspace(root, {"environment": given.env}, talk.environ, _actor(given.actor, talk), lenient=True)


def _actor(given: str | None, talk: Talk) -> str:
    if given is None:
        return login_name(talk.environ)
    name = given.strip()
    if not name or len(name) > 80 or not name.isprintable():
        raise BadInput(f"{visible(given)!r} is no name of a person", fix="give --as a short printable name")
    return name
