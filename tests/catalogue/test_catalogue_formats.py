"""Formats told by extension and by first bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mobius_tui.catalogue.formats import EXTENSIONS, SNIFF_BYTES, extension, has_tga_footer, sniff, surely_image


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
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"GIF89a\1\0\1\0", "GIF"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WEBP"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypisom\0\0\0\0isomavif", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isomavif", None),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "BMP"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"8BPS\0\1", "PSD"),
        (b"BM: a note that is not a picture", None),
        (b"RIFF\x24\0\0\0WAVEfmt ", None),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", None),
        (b"#EXTM3U\nhttp://example.com/x", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"push graphic-context\nimage over 0,0", None),
        (b"%PDF-1.7", None),
        (b"", None),
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
        (b"%!PS-Adobe-3.0", None),
        (b"\xc5\xd0\xd3\xc6", None),
        (b"#EXTM3U", None),
        (b"ffconcat version 1.0", None),
        (b"push graphic-context", None),
        (b"id=ImageMagick", None),
        (b"PNG", None),
        (b"P", None),
    ],
)
def test_heads(head: bytes, told: str | None):
    assert sniff(head[:SNIFF_BYTES]) == told


@given(st.binary(max_size=600))
def test_any_bytes_are_told_or_not(head):
    assert sniff(head) is None or isinstance(sniff(head), str)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80))
def test_text_is_at_most_a_portable_map(text):
    assert sniff(text.encode()) in {None, "PPM", "XCF", "QOI", "ICNS", "DPX"}


def test_tga_is_told_by_its_end():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "TGA")
    assert has_tga_footer(buffer.getvalue()[-26:])
    assert not has_tga_footer(b"\x00" * 26)


@pytest.mark.parametrize("text", ["P5 is what this note is about", "P1\n", "\n\x05\x01", "\0\0\1\0 and more", "\x01Ú"])
def test_a_signature_that_is_there_by_chance_makes_no_image(text: str) -> None:
    head = text.encode("latin-1")
    assert sniff(head) is not None
    assert not surely_image(head)


def test_a_long_signature_makes_an_image() -> None:
    assert surely_image(b"\x89PNG\r\n\x1a\n")
    assert not surely_image(b"a note")


def test_extensions_are_of_images_only() -> None:
    assert {"jpg", "jpeg", "png", "webp", "avif", "heic", "gif", "tif", "tiff", "bmp", "jxl"} <= EXTENSIONS
    assert all(ending == ending.lower() and "." not in ending for ending in EXTENSIONS)
    assert not EXTENSIONS & {"svg", "pdf", "eps", "ps", "json", "m3u8", "mvg", "txt"}


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.PNG", "png"), ("a.b.jpeg", "jpeg"), ("png", ""), (".png", ""), ("a.", ""), ("a.tar.gz", "gz")],
)
def test_extension(name: str, ending: str) -> None:
    assert extension(name) == ending


def test_pillow_knows_no_common_extension_that_is_left_out() -> None:
    image = pytest.importorskip("PIL.Image")
    image.init()
    common = {"JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "JPEG2000"}
    missing = {e[1:] for e, name in image.registered_extensions().items() if name in common} - EXTENSIONS
    assert missing <= {"bw", "rgb", "rgba"}
