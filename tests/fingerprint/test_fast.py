import io

import eval_library
import pytest
from PIL import Image, ImageOps

from mobius_tui.fingerprint import fast
from mobius_tui.fingerprint.decode import DecodeFailed, load_luminance
from mobius_tui.fingerprint.dhash import dhash_of, hamming
from mobius_tui.fingerprint.fast import SHORTER_SIDE, load_fast
from mobius_tui.fingerprint.model import Limits

LIMITS = Limits()


def jpeg(size, mode="RGB", **options):
    image = Image.effect_noise((24, 18), 90).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1024, 1024), (2000, 1100), (1500, 4000), (4000, 3000)])
def test_the_shorter_side_keeps_its_pixels(size):
    plane, facts = load_fast(jpeg(size), LIMITS)
    assert SHORTER_SIDE <= min(plane.size) < min(size)
    assert (facts.width, facts.height) == size
    assert plane.mode == "L"


@pytest.mark.parametrize("size", [(1023, 2000), (300, 300), (2000, 600)])
def test_smaller_pictures_take_the_exact_way(size):
    data = jpeg(size)
    assert load_fast(data, LIMITS)[0].tobytes() == load_luminance(data, LIMITS)[0].tobytes()


def test_cmyk_takes_the_exact_way():
    data = jpeg((1600, 1200), "CMYK")
    assert load_fast(data, LIMITS)[0].tobytes() == load_luminance(data, LIMITS)[0].tobytes()


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_take_the_exact_way(format_name):
    buffer = io.BytesIO()
    Image.effect_noise((1200, 1100), 60).convert("RGB").save(buffer, format_name)
    data = buffer.getvalue()
    assert load_fast(data, LIMITS)[0].tobytes() == load_luminance(data, LIMITS)[0].tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg((1600, 1200), exif=exif.tobytes())
    plane, facts = load_fast(data, LIMITS)
    with Image.open(io.BytesIO(data)) as image:
        turned = ImageOps.exif_transpose(image)
    assert (facts.width, facts.height) == turned.size
    assert hamming(dhash_of(plane), dhash_of(turned)) <= 1


def test_limits_hold_for_the_full_size():
    with pytest.raises(DecodeFailed) as caught:
        load_fast(jpeg((1600, 1200)), Limits(pixels=1600 * 1200 - 1))
    assert caught.value.cause == "too large"


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_cut_file_fails(kept):
    data = jpeg((1600, 1200))
    with pytest.raises(DecodeFailed) as caught:
        load_fast(data[: int(len(data) * kept)], LIMITS)
    assert caught.value.cause == "truncated"


def test_rgb_stored_as_such_is_not_read_as_luminance():
    data = jpeg((1600, 1200), keep_rgb=True)
    with Image.open(io.BytesIO(data)) as image:
        assert not fast._stores_luminance(image)
    assert hamming(dhash_of(load_fast(data, LIMITS)[0]), dhash_of(load_luminance(data, LIMITS)[0])) <= 1


@eval_library.needed
def test_the_deviation_on_real_files():
    distances = []
    for row in eval_library.rows():
        path = eval_library.path_of(row)
        if path.suffix not in {".jpg", ".jpeg"}:
            continue
        data = path.read_bytes()
        exact, facts = load_luminance(data, LIMITS)
        if min(facts.width, facts.height) >= SHORTER_SIDE:
            distances.append(hamming(dhash_of(load_fast(data, LIMITS)[0]), dhash_of(exact)))
    assert len(distances) > 30
    assert sum(distances) / len(distances) <= 0.3
    assert sum(distance <= 1 for distance in distances) >= 0.95 * len(distances)
