"""A guard that is started again by somebody with other settings than the watch was begun with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from guarded import guarded

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.guard.going_back import GoingBack
from mobius_tui.recovery.backups import create_backup
from mobius_tui.workspace import open_workspace

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes as of Unix"),
    pytest.mark.timeout(280),
]

PRODUCTION = """probe_images = 0
[env.production]
library = "production"
backups = "production-backups"
"""


def test_the_environment_of_the_watch_is_what_goes_back(tmp_path: Path) -> None:
    """Begun for production, its guard started by a verb without ``--env``: production goes back, nothing else."""
    with guarded(tmp_path / "ws", PRODUCTION) as place:
        root = place.ws.root
        for folder in ("production", "production-backups"):
            (root / folder).mkdir()
        live = root / "production" / "library.json"
        live.write_bytes(place.old)
        way = create_backup(live, root / "production-backups", reason="before deploy-1", who="t").name
        live.write_bytes(place.new)
        place.begin(environment="production", live=str(live), backup=way, auto=True, base_url="http://127.0.0.1:1")
        assert place.ended() == "rolled back"
        assert live.read_bytes() == place.old
        assert place.live.read_bytes() == place.new
        assert open_workspace(root, {"environment": "production"}, {}, "t").catalogue == live


def test_a_guard_whose_settings_name_another_catalogue_rolls_nothing_back(tmp_path: Path) -> None:
    with guarded(tmp_path / "ws") as place:
        going = GoingBack(place.ws, {}, None, lambda _: None, str(tmp_path / "other" / "library.json"))
        intent = going.intent(place.backup, "guard", "watch w: health")
        with pytest.raises(EnvironmentFailed, match="another catalogue"):
            going.run(replace(intent))
        assert place.live.read_bytes() == place.new
