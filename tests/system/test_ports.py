from __future__ import annotations

import os
import socket
import sys

import pytest

from mobius_tui.system.ports import listener_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens_is_named(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        port = listener.getsockname()[1]
        assert listener_of(port) == "", "bound is not listening"
        listener.listen()
        assert listener_of(port).endswith(f", PID {os.getpid()}")
    assert listener_of(port) == ""


def test_a_process_that_may_not_be_looked_at_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> list[str]:
        raise PermissionError

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr("mobius_tui.system.ports._open_files", lambda _: iter(()))
        assert listener_of(listener.getsockname()[1]) == ""
        monkeypatch.setattr(os, "listdir", refused)
        assert listener_of(listener.getsockname()[1]) == ""
