"""Is a file all there? For formats whose decoders fill the gap of a cut file with a plausible picture."""

from __future__ import annotations

import array
import sys


def is_whole(data: bytes, name: str) -> bool:
    """Whether a file is all there, for the formats that say so.

    Args:
        data: The whole file.
        name: Its sniffed format.

    Returns:
        False when it ends early; True also when the format does not tell.
    """
    if name == "OpenEXR":
        return is_whole_exr(data)
    if name in {"PSD", "PSB"}:
        return is_whole_psd(data)
    if name == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    if data[4:8] not in {b"ftyp", b"JXL ", b"jP  "}:
        return True
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return True
        if size < 8:
            return False
        at += size
    return at == len(data)


_EXR_TILED, _EXR_DEEP, _EXR_PARTS = 0x200, 0x800, 0x1000


def is_whole_exr(data: bytes) -> bool:
    """Whether every chunk of the offset table lies within an EXR file (openexr.com, "OpenEXR File Layout").

    Args:
        data: The whole file.

    Returns:
        False also for deep and multi-part files, of which decoders read a part at best.
    """
    flags = int.from_bytes(data[4:8], "little")
    if flags & (_EXR_DEEP | _EXR_PARTS):
        return False
    at = 8
    while data[at : at + 1] not in {b"", b"\0"}:  # attributes: name, type, size, value
        type_at = data.find(b"\0", at) + 1
        size_at = data.find(b"\0", type_at) + 1
        if not type_at or not size_at:
            return False
        at = size_at + 4 + int.from_bytes(data[size_at : size_at + 4], "little")
    at += 1
    # The table ends where the first chunk starts.
    head = 20 if flags & _EXR_TILED else 8
    end = len(data)
    found = 0
    while at + 8 <= end:
        offset = int.from_bytes(data[at : at + 8], "little")
        size = int.from_bytes(data[offset + head - 4 : offset + head], "little")
        if not at < offset <= len(data) - head - size:
            return False
        end, at, found = min(end, offset), at + 8, found + 1
    return found > 0


def is_whole_psd(data: bytes) -> bool:
    """Whether the merged picture at the end of a Photoshop file is complete (Adobe, "Photoshop File Formats").

    Args:
        data: The whole file, PSD or PSB.

    Returns:
        Whether all rows of all channels are there.
    """
    large = data[4:6] == b"\0\2"
    channels, height, width, depth = (
        int.from_bytes(data[a:b], "big") for a, b in ((12, 14), (14, 18), (18, 22), (22, 24))
    )
    at = 26
    for length in (4, 4, 8 if large else 4):  # colour table, resources, layers
        at += length + int.from_bytes(data[at : at + length], "big")
    packing = int.from_bytes(data[at : at + 2], "big")
    at += 2
    rows = channels * height
    if packing == 0:
        return at + rows * ((width * depth + 7) // 8) <= len(data)
    if packing != 1:
        return at < len(data)
    table = rows * (4 if large else 2)
    if at + table > len(data):
        return False
    sizes = array.array("I" if large else "H", data[at : at + table])
    if sys.byteorder == "little":
        sizes.byteswap()
    return at + table + sum(sizes) <= len(data)
