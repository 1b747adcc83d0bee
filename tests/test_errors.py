from __future__ import annotations

import errno

import pytest

from mobius_tui import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadInput("x"), 1),
        (errors.ProcessingFailed("x"), 2),
        (errors.EnvironmentFailed("x"), 3),
        (errors.TimeLimit("x"), 4),
        (errors.OutOfResource("x"), 5),
        (errors.HungUp("x"), 129),
        (errors.Cancelled("x"), 130),
        (errors.Terminated("x"), 143),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 5),
        (TimeoutError(), 4),
        (PermissionError(errno.EACCES, "x"), 3),
        (FileNotFoundError(errno.ENOENT, "x"), 3),
        (OSError(errno.EADDRINUSE, "x"), 3),
        (OSError(errno.ENOSPC, "x"), 5),
        (OSError(errno.EDQUOT, "x"), 5),
        (OSError(errno.EMFILE, "x"), 5),
        (OSError(errno.ENFILE, "x"), 5),
        (OSError(errno.ENOMEM, "x"), 5),
        (ZeroDivisionError(), errors.INTERNAL_ERROR),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert errors.exit_code_of(error) == code


def test_every_class_names_its_audience() -> None:
    audiences = {kind.exit_code: kind.audience for kind in errors.MobiusError.__subclasses__()}
    assert {code: audiences[code] for code in range(1, 6)} == {
        1: "devops",
        2: "qa",
        3: "sre",
        4: "performance",
        5: "infrastructure",
    }


def test_the_sentence_has_what_where_and_next() -> None:
    assert str(errors.BadInput("it broke", where="a.json, line 3", fix="mend it")) == (
        "it broke (a.json, line 3). Next: mend it"
    )
    assert str(errors.BadInput("it broke")) == "it broke"


@pytest.mark.parametrize(("number", "code"), [(errno.EMFILE, 5), (errno.ENOSPC, 5), (errno.EFBIG, 5), (errno.EIO, 3)])
def test_what_ran_out_is_told_by_the_exit_code_whoever_met_it(number: int, code: int) -> None:
    try:
        try:
            raise OSError(number, "x")
        except OSError as error:
            raise errors.EnvironmentFailed("the catalogue cannot be read") from error
    except errors.EnvironmentFailed as failed:
        assert errors.exit_code_of(failed) == code
