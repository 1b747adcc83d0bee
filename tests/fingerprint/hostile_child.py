"""Decoding processes in which chosen files crash or hang the decoder, as a defect in a C library would."""

import ctypes
import os
from pathlib import Path

from mobius_tui.fingerprint import child, file

_real = file.load_picture


def _load(data, profile, limits):
    if data.startswith(b"CRASH"):
        ctypes.string_at(0)
    if data.startswith(b"HANG"):
        if data[4:]:
            Path(os.fsdecode(data[4:])).touch()
        ctypes.PyDLL(None).sleep(600)  # PyDLL keeps the GIL: no Python code runs in this process meanwhile
    if data.startswith(b"EXIT"):
        os._exit(0)
    if data.startswith(b"GREEDY"):
        bytearray(limits.memory + (1 << 20))
    return _real(data, profile, limits)


def end_at_once(limits, **_):
    os._exit(1)


def start(limits, **manner):
    child.start_child(limits, **manner)
    file.load_picture = _load
