"""Times and inode numbers beyond 63 bits, as some filesystems have them, cost neither the run nor a second decoding."""

import os

import pytest
from pictures import picture

from mobius_tui.operations.live import Change, scan_library
from mobius_tui.store.known import find_alike
from mobius_tui.store.values import stored


def test_numbers_wrap_into_signed_64_bits():
    assert [stored(n) for n in (0, -1, 2**63 - 1, 2**63, 2**64 - 1)] == [0, -1, 2**63 - 1, -(2**63), -1]


@pytest.mark.parametrize("seconds", [10**11, -(10**11), -(10**9)])
def test_a_file_of_another_age_is_an_image_like_any(make_workspace, run, store, seconds):
    ws = make_workspace({"a.png": picture(1), "b.png": picture(2)})
    os.utime(ws.library / "a.png", ns=(seconds * 10**9, seconds * 10**9))
    first = run(ws)
    assert (first.state, first.decoded, first.failed) == ("done", 2, 0)
    assert run(ws).decoded == 0
    assert find_alike(store(ws), 1, 2**70, 2**64 - 1) is None


def test_a_scan_takes_such_a_file_as_it_is(make_workspace, store):
    ws = make_workspace({"a.png": picture(1)})
    os.utime(ws.library / "a.png", ns=(10**20, 10**20))
    changes: list[Change] = []
    assert scan_library(ws, store(ws), changes.append).images == 1
    found = len(changes)
    scan_library(ws, store(ws), changes.append)
    assert found == len(changes)
