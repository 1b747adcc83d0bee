"""The operations of the kill matrix."""

import json
from dataclasses import replace

import judging
from matrix import Case
from prepared import prepare


def backed_up(root, ended, state, facts):
    """The next `mobius backup create` made one of what is live."""
    if state != "old":
        yield "a backup changed the live file"
    if ended.code == 0 and judging.sha256(root / "backups" / ended.answer) != facts.old:
        yield "the backup is not what is live"


def noted(root, state):
    """The history says who made what is live."""
    if state != "new":
        return
    live = judging.sha256(judging.live_of(root))
    state_folder = root / ".mobius"
    if not state_folder.exists():
        state_folder = root.parents[1] / "state"
    if live not in (state_folder / "history.jsonl").read_text():
        yield "the history does not say where the live catalogue comes from"


def migrated(root, ended, state, facts):
    """The same migration again came to the end of what the first began."""
    if state != "new":
        yield f"the migration was run again and the live file is {state}"
    yield from noted(root, state)


def with_new_content(root):
    """A workspace and the content that is to replace its catalogue."""
    prepare(root)
    document = json.loads(judging.live_of(root).read_bytes())
    (root / "new.json").write_text(json.dumps({**document, "note": "new"}))


def settled(root, ended, state, facts):
    """The recovery says whether the deploy is live, and the live file says the same."""
    outcomes = [said.split(maxsplit=1)[1] for said in ended.answer or []]
    if "done" in outcomes and state != "new":
        yield f"the recovery says {ended.answer}, the live file is {state}"
    if {"undone", "rolled back"} & set(outcomes) and state != "old":
        yield f"the recovery says {ended.answer}, the live file is {state}"
    yield from noted(root, state)


def guarded(root, ended, state, facts):
    """A watch can be taken up for what is live and proven, and for nothing else."""
    said = [each for each in ended.answer or [] if each.startswith("deploy-")]
    yield from settled(root, replace(ended, answer=said), state, facts)
    found = judging.watches_of(root)
    if found["waiting"]:
        yield f"the watch {found['waiting']} waits for a deploy that is over"
    if len(found["startable"]) != (1 if state == "new" else 0):
        yield f"the live file is {state}, watches to be taken up: {found['startable']}"


BACKUP = Case("backup", "backup", setup=("backup",), accept=backed_up)
MIGRATE = Case("migrate", "migrate", setup=("backup",), accept=migrated)
WRITE = Case("write", "write", prepare=with_new_content)


def cleaned(root, ended, state, facts):
    """The next clean has removed all that may go."""
    for name in facts.may_go:
        if (root / "backups" / name).exists():
            yield f"{name} is still there"


DEPLOY = Case("deploy", "recover", setup=("backup", "edit"), accept=settled)
ROLLBACK = Case("rollback", "recover", setup=("backup", "deploy"), accept=settled)
CLEAN = Case("clean", "clean", setup=("years of backups",), accept=cleaned, removes=True)
FAILING = Case(
    "deploy",
    "recover",
    setup=("backup", "edit"),
    accept=settled,
    called="deploy that fails",
    variants=("smoke tests fail",),
    code=2,
    publishes=DEPLOY,
)
NO_EXCHANGE = replace(DEPLOY, called="deploy without exchange", always="renameat2:error=EINVAL")
WATCHED = Case("deploy with watch", "recover with watch", setup=("backup", "edit"), accept=guarded)
CANARY = Case("deploy with canary", "recover with watch", setup=("backup", "edit"), accept=guarded)
FAILING_CANARY = replace(
    CANARY, called="deploy whose canary fails", variants=("the canary fails",), code=2, publishes=CANARY
)
CASES = {case.name: case for case in (BACKUP, MIGRATE, DEPLOY, ROLLBACK, CLEAN)}
"""What is killed, failed and cut off at every call by ``make test``."""

EVERY = {**CASES, **{case.name: case for case in (FAILING, NO_EXCHANGE, WATCHED, CANARY, FAILING_CANARY)}}
"""What ``make faults`` tries; ``make test`` only where the others differ from the deploy."""


def around_the_swap(points):
    """The calls of a deploy from shortly before its exchange to a little after it."""
    swap = next(n for n, call in enumerate(points) if call.name in SWAPS and ".staged" in call.arguments)
    return points[max(0, swap - 5) : swap + 30]


def around_exchanges(points):
    """The calls about each exchange that takes a link and two renames."""
    places = [n for n, call in enumerate(points) if ".old" in call.arguments]
    return [call for n, call in enumerate(points) if any(abs(n - place) <= 2 for place in places)]


def from_the_swap(points):
    """The calls of a deploy from its exchange to the end."""
    swap = next(n for n, call in enumerate(points) if call.name in SWAPS and ".staged" in call.arguments)
    return points[swap:]


SWAPS = {"renameat2", "rename", "link", "linkat"}
