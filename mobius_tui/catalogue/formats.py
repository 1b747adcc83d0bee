"""Which files are images: by extension, else by the first bytes.

Signatures are those of the formats' own specifications, as `file(1)` and the WHATWG MIME Sniffing Standard list them.
"""

from __future__ import annotations

SNIFF_BYTES = 32
"""How many bytes of a file ``sniff`` looks at."""

EXTENSIONS = frozenset(
    {
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff"),
        *("avif", "avifs", "heic", "heics", "heif", "heifs", "hif"),
        *(
            "jxl",
            "jp2",
            "j2k",
            "j2c",
            "jpc",
            "jpf",
            "jpx",
            "psd",
            "psb",
            "xcf",
            "exr",
            "dpx",
            "cin",
            "hdr",
            "tga",
            "qoi",
        ),
        *("pbm", "pgm", "ppm", "pnm", "pam", "pfm", "pcx", "sgi", "ras", "xbm", "xpm", "ico", "cur", "dds", "icns"),
    }
)
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
    (b"8BPS", "PSD"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"v/1\x01", "EXR"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"#?RADIANCE\n", "HDR"),
    (b"#?RGBE\n", "HDR"),
    (b"gimp xcf ", "XCF"),
    (b"qoif", "QOI"),
    (b"DDS |", "DDS"),
    (b"icns", "ICNS"),
)
# brands of ISO base media files that hold still images; films share the box and are none
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIF"),
}


def extension(name: str) -> str:
    """The part of a file name after its last dot, lower case; empty when there is none."""
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem else ""


def sniff(head: bytes) -> str | None:
    """Tell an image's format from its first bytes.

    Args:
        head: The first bytes of a file; ``SNIFF_BYTES`` are enough.

    Returns:
        A name such as ``JPEG``, ``PNG``, ``WEBP``, ``AVIF`` or ``HEIF``; None when no signature fits.
    """
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        found = {_BRANDS.get(head[at : at + 4]) for at in (8, *range(16, end - 3, 4))} - {None}
        # the brand mif1 stands before both families: one that names the codec wins
        return "AVIF" if "AVIF" in found else "HEIF" if found else None
    # two letters alone also start texts: the header's size field must be a known one
    if head[:2] == b"BM" and head[14:18] in {bytes((size, 0, 0, 0)) for size in (12, 16, 40, 52, 56, 64, 108, 124)}:
        return "BMP"
    return None
