"""The operations of the kill matrix."""

import json

import judging
from matrix import Case
from prepared import prepare


def backed_up(root, ended, state, facts):
    """The next `mobius backup create` made one of what is live."""
    if state != "old":
        yield "a backup changed the live file"
    if ended.code == 0 and judging.sha256(root / "backups" / ended.answer) != facts.old:
        yield "the backup is not what is live"


def migrated(root, ended, state, facts):
    """The same migration again came to the end of what the first began."""
    if state != "new":
        yield f"the migration was run again and the live file is {state}"


def with_new_content(root):
    """A workspace and the content that is to replace its catalogue."""
    prepare(root)
    document = json.loads(judging.live_of(root).read_bytes())
    (root / "new.json").write_text(json.dumps({**document, "note": "new"}))


BACKUP = Case("backup", "backup", setup=("backup",), accept=backed_up)
MIGRATE = Case("migrate", "migrate", setup=("backup",), accept=migrated)
WRITE = Case("write", "write", prepare=with_new_content)
CASES = {case.operation: case for case in (BACKUP, MIGRATE)}
"""What the whole matrix is run for."""
