from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from deploying import Clock, Heard, Stage

from mobius_tui.settings import Settings, Sourced
from mobius_tui.store.database import open_database
from mobius_tui.workspace import Workspace


@pytest.fixture
def stage(make_workspace: Callable[..., Workspace]) -> Stage:
    ws = make_workspace(6)
    files = [f"deck/{number:02d}.png" for number in range(6)]
    document = {"images": [{"path": name, "title": f"card {n}", "price": 1.10} for n, name in enumerate(files)]}
    ws.catalogue.write_text(json.dumps(document))
    settings = Settings(settle_seconds=2.0, hold_seconds=3.0, parallel=1)
    ws = Workspace(ws.root, Sourced(settings, {}), "anna")
    return Stage(ws, open_database(ws.database), Heard(), Clock(), ws.catalogue.read_bytes())
