"""A package that cannot be loaded is the machine's fault, one of MOBIUS's own modules is a defect."""

import pytest

from mobius_tui.__main__ import run
from mobius_tui.cli.app import root


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("numpy._core", 3, "a package cannot be loaded: first line"), ("mobius_tui.gone", 70, "a defect of MOBIUS")],
)
def test_package_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int, said: str
) -> None:
    def fail(**_: object) -> None:
        raise ImportError("\nfirst line\nsecond line\x1b[2J", name=name)

    monkeypatch.setattr(root, "main", fail)
    assert run(["status"]) == code
    assert said in capsys.readouterr().err
