"""Image formats by file name and by the bytes a file starts with."""

from __future__ import annotations

EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"),
        *(
            ".avif",
            ".avifs",
            ".heic",
            ".heics",
            ".heif",
            ".heifs",
            ".hif",
            ".jp2",
            ".j2k",
            ".jpf",
            ".jpx",
            ".jpc",
            ".jxl",
        ),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".ico", ".icns", ".qoi", ".tga", ".dds", ".pcx", ".sgi"),
        *(".psd", ".psb", ".xcf", ".exr", ".dpx", ".hdr"),
    }
)
"""Lower-case endings of the files that count as images in a library."""

_ISO_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIF",
    b"heix": "HEIF",
    b"heim": "HEIF",
    b"heis": "HEIF",
    b"hevc": "HEIF",
    b"hevx": "HEIF",
    b"hevm": "HEIF",
    b"hevs": "HEIF",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
}

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"icns", "ICNS"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"\x01\xda", "SGI"),
    (b"8BPS\x00\x01", "PSD"),
    (b"8BPS\x00\x02", "PSB"),
    (b"gimp xcf ", "XCF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"SDPX\x00\x00", "DPX"),
    (b"XPDS", "DPX"),
    (b"#?RADIANCE\n", "Radiance HDR"),
    (b"#?RGBE\n", "Radiance HDR"),
)


def sniff(head: bytes) -> str | None:
    """Which image format a file is, by its first bytes alone.

    Text formats that can refer to other files (SVG, MVG, playlists, PostScript, PDF) are never recognised.

    Args:
        head: The first 64 bytes or more; the whole file may be given.

    Returns:
        A name such as ``JPEG`` or ``HEIF``; None when it is no image known here.
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    if (
        head[:2] == b"BM"
        and len(head) >= 18
        and int.from_bytes(head[14:18], "little") in {12, 16, 40, 52, 56, 64, 108, 124}
    ):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3] in {b" ", b"\t", b"\n", b"\r", b"#"}:
        return "PPM"
    if head[:1] == b"\x0a" and head[1:2] in {b"\x00", b"\x02", b"\x03", b"\x05"} and head[2:3] == b"\x01":
        return "PCX"
    return None


def _iso_format(head: bytes) -> str | None:
    size = min(int.from_bytes(head[:4], "big"), 256)
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, size - 3, 4))]
    found = [_ISO_BRANDS[brand] for brand in brands if brand in _ISO_BRANDS]
    # mif1 and msf1 head both families, so a brand that names the codec wins.
    return "AVIF" if "AVIF" in found else (found[0] if found else None)


def has_tga_footer(tail: bytes) -> bool:
    """Whether a file ends as a TGA 2.0 does; TGA has no signature at its start.

    Args:
        tail: The last 26 bytes or more.
    """
    return tail[-18:] == b"TRUEVISION-XFILE.\x00"
