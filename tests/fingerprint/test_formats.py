import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mobius_tui.fingerprint.formats import EXTENSIONS, has_tga_footer, sniff


@pytest.mark.parametrize(
    ("format_name", "told"),
    [
        *(
            (name, name)
            for name in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "ICO", "DDS", "SGI", "PCX", "QOI")
        ),
        ("JPEG2000", "JPEG2000"),
        ("PPM", "PPM"),
        ("ICNS", "ICNS"),
    ],
)
def test_what_pillow_writes_is_told(format_name, told):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, format_name)
    assert sniff(buffer.getvalue()[:64]) == told


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIF"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIF"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x18ftypavis\x00\x00\x00\x00avismsf1", "AVIF"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42", None),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"RIFF\x00\x00\x00\x00AVI ", None),
        (b"\xff\x0a\x00", "JPEG XL"),
        (b"gimp xcf v011\x00", "XCF"),
        (b"BM is how this text begins", None),
        (b"<svg xmlns=", None),
        (b"<?xml version=", None),
        (b"%PDF-1.7", None),
        (b"%!PS-Adobe-3.0", None),
        (b"\xc5\xd0\xd3\xc6", None),
        (b"#EXTM3U", None),
        (b"ffconcat version 1.0", None),
        (b"push graphic-context", None),
        (b"id=ImageMagick", None),
        (b"PNG", None),
        (b"P", None),
        (b"", None),
    ],
)
def test_heads(head, told):
    assert sniff(head) == told


@given(st.binary(max_size=600))
def test_any_bytes_are_told_or_not(head):
    assert sniff(head) is None or isinstance(sniff(head), str)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80))
def test_text_is_at_most_a_portable_map(text):
    assert sniff(text.encode()) in {None, "PPM", "XCF", "DDS", "QOI", "ICNS", "DPX"}


def test_extensions():
    assert {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".gif", ".tif", ".tiff", ".bmp", ".jxl"} <= EXTENSIONS
    assert all(ending == ending.lower() and ending.startswith(".") for ending in EXTENSIONS)
    assert not EXTENSIONS & {".svg", ".pdf", ".eps", ".ps", ".json", ".m3u8", ".mvg", ".txt"}


def test_tga_is_told_by_its_end():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "TGA")
    assert has_tga_footer(buffer.getvalue()[-26:])
    assert not has_tga_footer(b"\x00" * 26)
