import io
from pathlib import Path

import eval_library
import numpy as np
import pytest
from noise import noise
from PIL import Image, ImageOps

from mobius_tui.fingerprint import fast
from mobius_tui.fingerprint.decode import DecodeFailed, load_luminance
from mobius_tui.fingerprint.dhash import dhash_of, hamming
from mobius_tui.fingerprint.fast import SHORTER_SIDE, SURE, load_fast
from mobius_tui.fingerprint.file import fingerprint_bytes
from mobius_tui.fingerprint.model import Limits

LIMITS = Limits()


def jpeg(size, mode="RGB", **options):
    image = noise((24, 18), 90).resize(size, Image.Resampling.BICUBIC)
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
    noise((1200, 1100), 60).convert("RGB").save(buffer, format_name)
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


def deviation(data):
    fast_way, exact = (fingerprint_bytes(data, profile, LIMITS) for profile in ("fast", "exact"))
    assert fast_way.reduced or fast_way.confidence < SURE, "only what is decoded at a reduced scale says something"
    return hamming(fast_way.dhash, exact.dhash)


def bounded(distances):
    assert len(distances) > 20
    assert sum(distances) / len(distances) <= 0.3
    assert sum(distance <= 1 for distance in distances) >= 0.95 * len(distances)


def grainy(image, seed, grain=6.0):
    """The picture as a camera would have taken it: 1,100 pixels and more, with sensor noise."""
    scale = 1100 / min(image.size)
    large = image.convert("RGB").resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    noise = np.random.default_rng(seed).normal(0, grain, (large.height, large.width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(large) + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def test_what_says_little_is_decoded_in_full():
    """Noise on near black: what clipping makes of it is lost at a reduced scale."""
    ramp = Image.linear_gradient("L").rotate(90).resize((1500, 1100)).point(lambda value: value // 48)
    data = grainy(ramp, 1)
    fast_way, exact = (fingerprint_bytes(data, profile, LIMITS) for profile in ("fast", "exact"))
    assert exact.confidence < SURE
    assert not fast_way.reduced
    assert (fast_way.dhash, fast_way.confidence, fast_way.status) == (exact.dhash, exact.confidence, exact.status)


@eval_library.needed
def test_the_deviation_on_photos_of_the_labelled_library():
    photos = [row for row in eval_library.rows() if row["cls"] == "photo" and row["op"] == "orig"]
    distances = []
    for seed, row in enumerate(photos[::2]):
        with Image.open(eval_library.path_of(row)) as image:
            distances.append(deviation(grainy(image, seed, grain=2.0)))
    bounded(distances)
    assert max(distances) <= 4


WALLPAPERS = sorted(Path("/usr/share/wallpapers").rglob("*.jp*g"))


@pytest.mark.skipif(len(WALLPAPERS) < 60, reason="no wallpapers installed (plasma-workspace-wallpapers)")
def test_the_deviation_on_real_files():
    distances = []
    for path in WALLPAPERS[::3]:
        with Image.open(path) as image:
            if min(image.size) < 2 * SHORTER_SIDE or image.mode not in {"L", "RGB"}:
                continue
        distances.append(deviation(path.read_bytes()))
    bounded(distances)


def test_the_deviation_on_generated_pictures():
    rng = np.random.default_rng(3)
    bounded([deviation(grainy(Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)), n)) for n in range(24)])
