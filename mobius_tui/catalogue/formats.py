"""Image formats: by a file's extension, and by its first bytes.

Signatures are those of the formats' own specifications, as `file(1)` and the WHATWG MIME Sniffing Standard list them.
"""

from __future__ import annotations

import re

SNIFF_BYTES = 512
"""How many bytes of a file's start ``sniff`` looks at."""

EXTENSIONS = frozenset(
    {
        "jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff",
        "avif", "avifs", "heic", "heics", "heif", "heifs", "hif", "jxl", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx",
        "psd", "psb", "xcf", "exr", "dpx", "cin", "hdr", "tga", "qoi", "pbm", "pgm", "ppm", "pnm", "pam", "pfm",
        "pcx", "sgi", "ras", "xbm", "xpm", "ico", "cur", "dds", "icns",
    }
)  # fmt: skip
"""Extensions of image files, lower case, without the dot."""

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"icns", "ICNS"),
    (b"qoif", "QOI"),
    (b"DDS |\0\0\0", "DDS"),
    (b"\x01\xda", "SGI"),
    (b"8BPS\0\1", "PSD"),
    (b"8BPS\0\2", "PSB"),
    (b"gimp xcf ", "XCF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"v/1\1", "OpenEXR"),
    (b"SDPX\0\0", "DPX"),
    (b"XPDS", "DPX"),
    (b"#?RADIANCE\n", "Radiance HDR"),
    (b"#?RGBE\n", "Radiance HDR"),
)

_SHORT = frozenset({"ICO", "SGI", "PCX", "PPM"})
"""Formats with so short a signature that other files start so by chance."""

# Brands of ISO base media files that hold still images; films share the box and are none.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIF"),
}
_PATTERNS = ((re.compile(rb"P[1-7][ \t\n\r#]"), "PPM"), (re.compile(rb"\n[\x00\x02\x03\x05]\x01"), "PCX"))
_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)}


def extension(name: str) -> str:
    """The part of a file name after its last dot, lower case; empty when there is none."""
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


def sniff(head: bytes) -> str | None:
    """Which image format a file is, by its first bytes alone.

    Text formats that can refer to other files (SVG, MVG, playlists, PostScript, PDF) are never recognised.

    Args:
        head: The file's first ``SNIFF_BYTES``; fewer or more do no harm.

    Returns:
        A name such as ``JPEG`` or ``HEIF``; None when no signature fits.
    """
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    # Two letters alone also start texts: the header's size field must be a known one.
    if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS:
        return "BMP"
    return next((name for pattern, name in _PATTERNS if pattern.match(head)), None)


def surely_image(head: bytes) -> bool:
    """Whether a file is an image whatever its name says.

    Args:
        head: As for ``sniff``.

    Returns:
        False also for a signature so short that other files start so by chance: those need an image's extension.
    """
    return sniff(head) not in {None, *_SHORT}


def _iso_format(head: bytes) -> str | None:
    end = min(int.from_bytes(head[:4], "big"), len(head), SNIFF_BYTES)
    found = {_BRANDS.get(head[at : at + 4]) for at in (8, *range(16, end - 3, 4))} - {None}
    # The brand mif1 stands before both families: one that names the codec wins.
    return "AVIF" if "AVIF" in found else "HEIF" if found else None


def has_tga_footer(tail: bytes) -> bool:
    """Whether a file ends as a TGA 2.0 does; TGA has no signature at its start.

    Args:
        tail: The last 18 bytes or more.
    """
    return tail[-18:] == b"TRUEVISION-XFILE.\0"
