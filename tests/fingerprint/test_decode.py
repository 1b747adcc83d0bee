"""The loading rules, each against a reference that is built by hand."""

import io
import struct
import zlib
from functools import lru_cache

import eval_library
import imagehash
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noise import noise
from PIL import Image, ImageDraw, ImageOps

from mobius_tui.fingerprint.decode import DecodeFailed, NotOpened, load_exact, load_luminance
from mobius_tui.fingerprint.dhash import dhash_of, hamming
from mobius_tui.fingerprint.model import Limits

LIMITS = Limits()


@lru_cache
def picture(mode="RGB", size=(60, 44)):
    """A picture without symmetry: every turn and flip of it hashes differently."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 3, 30, 25), fill=(200, 30, 40))
    draw.rectangle((34, 20, 57, 41), fill=(20, 90, 220))
    draw.line((0, 43, 59, 0), fill=(250, 240, 10), width=4)
    return image.convert(mode)


def encoded(image, format_name, **options):
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def reference(image):
    return int(str(imagehash.dhash(image, hash_size=8)), 16)


def hash_of(data):
    image, _ = load_luminance(data, LIMITS)
    upright, _ = load_exact(data, LIMITS)
    assert reference(upright) == dhash_of(image), "both forms of the loader give one hash"
    return dhash_of(image)


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG written by hand, for what Pillow does not write."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    raw = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def transparency(body):
    return struct.pack(">I", len(body)) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))


PLAIN = [
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("PNG", mode) for mode in ("1", "L", "P", "RGB")),
    *(("WEBP", mode) for mode in ("RGB", "L")),
    *(("TIFF", mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr")),
    *(("GIF", mode) for mode in ("L", "P")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB")),
    *(("AVIF", mode) for mode in ("RGB", "L")),
    *(("PPM", mode) for mode in ("1", "L", "RGB")),
    *(("JPEG2000", mode) for mode in ("L", "RGB")),
    *(("PCX", mode) for mode in ("L", "P", "RGB")),
    *(("TGA", mode) for mode in ("L", "RGB")),
    ("SGI", "RGB"),
    ("ICO", "RGB"),
    ("DDS", "RGB"),
    ("HEIF", "RGB"),
]


@pytest.mark.parametrize(("format_name", "mode"), PLAIN)
def test_a_plain_file_hashes_as_the_reference_does(format_name, mode):
    pillow_heif.register_heif_opener()
    data = encoded(picture(mode), format_name)
    with Image.open(io.BytesIO(data)) as image:
        assert hash_of(data) == reference(image)
        assert load_exact(data, LIMITS)[1].format == image.format


def on_white(image):
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def see_through(mode):
    image = picture("RGBA").copy()
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("format_name", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("WEBP", "RGBA"),
        ("TIFF", "RGBA"),
        ("TIFF", "LA"),
        ("AVIF", "RGBA"),
        ("TGA", "RGBA"),
    ],
)
def test_alpha_is_laid_over_white(format_name, mode):
    data = encoded(see_through(mode), format_name, **({"lossless": True} if format_name == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        assert hash_of(data) == reference(on_white(image))
    assert hash_of(data) != reference(picture()), "the picture is one in which transparency counts"


def test_transparent_pixels_do_not_show_their_colour():
    hidden = picture("RGBA").copy()
    hidden.putalpha(0)
    white = Image.new("RGB", hidden.size, "white")
    assert hash_of(encoded(hidden, "PNG")) == reference(white)


@pytest.mark.parametrize("table", [b"\x00", bytes(range(0, 256, 2))], ids=["one colour", "a value a colour"])
def test_a_palette_with_transparency(table):
    image = picture("P").copy()
    data = encoded(image, "PNG", transparency=table if len(table) > 1 else image.getpixel((0, 0)))
    with Image.open(io.BytesIO(data)) as found:
        assert found.mode == "P"
        assert "transparency" in found.info
        assert hash_of(data) == reference(on_white(found))


def test_strips_of_every_kind_are_laid_over_white(monkeypatch):
    from mobius_tui.fingerprint import planes

    image = picture("RGBA").copy()
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 60, 12))
    alpha.paste(Image.linear_gradient("L").resize((60, 10)), (0, 20))
    image.putalpha(alpha)
    monkeypatch.setattr(planes, "_STRIP_PIXELS", 60 * 4)
    assert planes.over_white(image).tobytes() == on_white(image).tobytes()
    assert planes.over_white(image, "L").tobytes() == on_white(image).convert("L").tobytes()


def test_a_palette_with_an_alpha_plane():
    from mobius_tui.fingerprint.planes import flattened

    image = see_through("RGBA").convert("PA")
    assert dhash_of(flattened(image)) == reference(on_white(image))


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha(mode):
    from mobius_tui.fingerprint.planes import flattened

    straight = see_through("RGBA" if mode == "RGBa" else "LA")
    premultiplied = straight.convert(mode)
    assert dhash_of(flattened(premultiplied)) == reference(on_white(premultiplied.convert(straight.mode)))


def test_a_transparent_gif_is_over_white():
    data = encoded(picture("P"), "GIF", transparency=picture("P").getpixel((0, 0)))
    with Image.open(io.BytesIO(data)) as image:
        assert hash_of(data) == reference(on_white(image))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_gray_png_with_a_transparent_colour_of_any_depth(depth):
    width, height, levels = 36, 16, 1 << depth
    samples = [[(x * 7 + y * 5) * (levels // 4 or 1) % levels for x in range(width)] for y in range(height)]
    clear = samples[0][3]
    rows = [_packed(row, depth) for row in samples]
    expected = Image.new("L", (width, height))
    for y, row in enumerate(samples):
        for x, value in enumerate(row):
            gray = value >> 8 if depth == 16 else value * 255 // (levels - 1)
            expected.putpixel((x, y), 255 if value == clear else gray)
    assert hash_of(png(width, height, depth, 0, rows, transparency(struct.pack(">H", clear)))) == reference(expected)
    assert load_luminance(png(width, height, depth, 0, rows, transparency(struct.pack(">H", clear))), LIMITS)[
        0
    ].tobytes() == (expected.tobytes())


def _packed(row, depth):
    if depth == 16:
        return b"".join(struct.pack(">H", value) for value in row)
    bits = "".join(f"{value:0{depth}b}" for value in row)
    return bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_png_with_a_transparent_colour(depth):
    image = picture()
    clear = image.getpixel((5, 40))
    scale = 257 if depth == 16 else 1
    rows = [
        b"".join(
            struct.pack(">3H" if depth == 16 else "3B", *(value * scale for value in image.getpixel((x, y))))
            for x in range(image.width)
        )
        for y in range(image.height)
    ]
    data = png(*image.size, depth, 2, rows, transparency(struct.pack(">3H", *(value * scale for value in clear))))
    expected = image.copy()
    for y in range(image.height):
        for x in range(image.width):
            if image.getpixel((x, y)) == clear:
                expected.putpixel((x, y), (255, 255, 255))
    assert load_exact(data, LIMITS)[0].tobytes() == expected.tobytes()


def deep(mode, change):
    """The gray picture in a mode of more than 8 bits, each value changed."""
    gray = picture("L")
    if mode.startswith("I;16"):
        order = ">" if mode.endswith("B") else "<"
        raw = b"".join(struct.pack(f"{order}H", change(value)) for value in gray.tobytes())
        return Image.frombytes(mode, gray.size, raw)
    code = "f" if mode == "F" else "i"
    return Image.frombytes(
        mode, gray.size, b"".join(struct.pack(f"={code}", change(value)) for value in gray.tobytes())
    )


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
@pytest.mark.parametrize("factor", [256, 257])
def test_16_bits_are_scaled_not_clipped(format_name, factor):
    data = encoded(deep("I;16", lambda value: value * factor), format_name)
    assert load_exact(data, LIMITS)[0].tobytes() == picture("L").tobytes()
    assert hash_of(data) == reference(picture("L"))


def test_16_bits_of_the_other_byte_order():
    data = encoded(deep("I;16B", lambda value: value * 256), "TIFF")
    assert load_exact(data, LIMITS)[0].tobytes() == picture("L").tobytes()


def test_16_bit_pgm():
    gray = picture("L")
    data = b"P5 %d %d 65535\n" % gray.size + b"".join(struct.pack(">H", value * 257) for value in gray.tobytes())
    assert load_exact(data, LIMITS)[0].tobytes() == gray.tobytes()


@pytest.mark.parametrize("shift", [0, 8, 23], ids=["8 bits", "16 bits", "31 bits"])
def test_integers_are_scaled_from_their_range(shift):
    data = encoded(deep("I", lambda value: value << shift), "TIFF")
    assert load_exact(data, LIMITS)[0].tobytes() == picture("L").tobytes()


def test_signed_integers():
    data = encoded(deep("I", lambda value: (value - 128) << 24), "TIFF")
    assert load_exact(data, LIMITS)[0].tobytes() == picture("L").tobytes()


def test_unsigned_integers_of_32_bits():
    image = deep("I", lambda value: (value - 256 if value > 127 else value) << 24)
    data = encoded(image, "TIFF", tiffinfo={339: 1})
    with Image.open(io.BytesIO(data)) as found:
        if found.tag_v2[339] != (1,):
            # Pillow writes its own sample format over ours: turn the entry (type 3, SHORT) in the file.
            data = data.replace(struct.pack("<HHIHH", 339, 3, 1, 2, 0), struct.pack("<HHIHH", 339, 3, 1, 1, 0))
    with Image.open(io.BytesIO(data)) as found:
        assert found.tag_v2[339] == (1,)
        assert found.mode == "I"
    assert load_exact(data, LIMITS)[0].tobytes() == picture("L").tobytes()


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floats_are_scaled_from_their_range(top):
    data = encoded(deep("F", lambda value: value / 255 * top), "TIFF")
    assert load_exact(data, LIMITS)[0].tobytes() == picture("L").tobytes()


def test_floats_that_are_no_numbers_do_not_stop_the_file():
    image = deep("F", lambda value: value / 255)
    image.putpixel((0, 0), float("nan"))
    image.putpixel((1, 0), float("inf"))
    found = load_exact(encoded(image, "TIFF"), LIMITS)[0]
    assert found.crop((0, 1, *found.size)).tobytes() == picture("L").crop((0, 1, *found.size)).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_exif_orientation_is_applied(format_name, orientation):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {274: orientation}} if format_name == "TIFF" else {"exif": exif.tobytes()}
    data = encoded(picture(), format_name, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert hash_of(data) == reference(ImageOps.exif_transpose(image))
    facts = load_exact(data, LIMITS)[1]
    if format_name != "HEIF":
        assert (facts.width, facts.height) == ((60, 44) if orientation < 5 else (44, 60))


def test_a_turned_copy_has_the_hash_of_its_original():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture().transpose(Image.Transpose.ROTATE_90)
    assert hash_of(encoded(stored, "PNG", exif=exif.tobytes())) == reference(picture())


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
def test_any_exif_block_leaves_the_picture_alone(block):
    plain = encoded(picture(), "JPEG")
    segment = b"Exif\0\0" + block
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    image, facts = load_exact(data, LIMITS)
    assert sorted(image.size) == [44, 60]
    assert facts.format == "JPEG"


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_only_the_first_frame_counts(format_name):
    other = ImageOps.invert(picture())
    still = encoded(picture(), format_name, **({"lossless": True} if format_name == "WEBP" else {}))
    options = {"lossless": True} if format_name == "WEBP" else {}
    moving = encoded(picture(), format_name, save_all=True, append_images=[other, picture()], **options)
    with Image.open(io.BytesIO(moving)) as image:
        assert image.n_frames == 3
    assert hamming(hash_of(moving), hash_of(still)) <= (0 if format_name != "AVIF" else 2)


def test_lab_has_a_brightness():
    from PIL import ImageCms

    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    data = encoded(transform.apply(picture()), "TIFF")
    assert hamming(hash_of(data), reference(picture())) <= 1


def failure(data, limits=LIMITS):
    with pytest.raises(DecodeFailed) as caught:
        load_exact(data, limits)
    assert "0x" not in caught.value.what
    assert "Error" not in caught.value.what
    return caught.value


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_file_cut_short_fails_always_in_the_same_words(format_name, kept):
    image = noise((200, 150), 80).convert("P" if format_name == "GIF" else "RGB")
    data = encoded(image, format_name)
    cut = data[: int(len(data) * kept)]
    assert failure(cut).cause == "truncated"
    assert failure(cut).what == failure(cut).what


def test_a_jpeg_without_its_end_marker_is_not_guessed_at():
    data = encoded(picture(), "JPEG")
    assert data.endswith(b"\xff\xd9")
    assert failure(data[:-2]).cause == "truncated"


def test_a_bomb_is_refused_before_it_is_decoded():
    data = png(60_000, 60_000, 8, 0, [])  # the pixels are not even there: only its header can have been read
    caught = failure(data)
    assert caught.cause == "too large"
    assert caught.what == "too large: it has 3,600,000,000 pixels, the limit is 200,000,000"


def test_the_pixel_limit_is_exact():
    data = encoded(picture(), "PNG")
    load_exact(data, Limits(pixels=60 * 44))
    assert failure(data, Limits(pixels=60 * 44 - 1)).cause == "too large"


def test_a_large_picture_below_the_limit_is_decoded_without_a_warning(recwarn):
    data = encoded(Image.new("1", (14_000, 13_000)), "PNG")
    assert load_luminance(data, LIMITS)[1].width == 14_000
    assert not recwarn.list


def test_a_bomb_inside_an_icon_is_refused():
    inner = png(30_000, 30_000, 8, 0, [])
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert failure(icon).cause == "too large"


def test_the_byte_limit():
    data = encoded(picture(), "PNG")
    assert failure(data, Limits(bytes=len(data) - 1)).cause == "too large"


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", b"%PDF-1.7", b"#EXTM3U\n"]
)
def test_what_is_no_image_is_said_so(data):
    assert failure(data).cause == "not an image"


def test_postscript_is_not_even_tried():
    data = encoded(picture(), "EPS")
    with pytest.raises(NotOpened):
        load_exact(data, LIMITS)


@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]), st.data())
@settings(max_examples=150)
def test_damaged_bytes_give_a_picture_or_a_failure_in_words(format_name, data):
    whole = bytearray(encoded(picture("P" if format_name == "GIF" else "RGB"), format_name))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_exact(bytes(whole), Limits(pixels=1_000_000))
    except DecodeFailed as caught:
        assert caught.what
        assert caught.cause


@eval_library.needed
@pytest.mark.parametrize(
    ("operation", "allowed"), [("gray16", 1), ("rgba", 0), ("exif", 2), ("cmyk", 1), ("anim", 1), ("tiff", 0)]
)
def test_altered_copies_of_the_labelled_library_keep_their_hash(operation, allowed):
    found = eval_library.rows()
    first = eval_library.originals(found)
    copies = [row for row in found if row["op"].startswith(operation)]
    assert copies
    for row in copies:
        copy = hash_of(eval_library.path_of(row).read_bytes())
        original = hash_of(eval_library.path_of(first[row["source_id"]]).read_bytes())
        assert hamming(copy, original) <= allowed, row["file"]
