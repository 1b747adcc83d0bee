import eval_library
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import noise
from PIL import Image

from mobius_tui.fingerprint.confidence import LIMIT, confidence_of
from mobius_tui.fingerprint.dhash import dhash_of_reduction, hamming, reduction_of
from mobius_tui.fingerprint.file import fingerprint_file
from mobius_tui.fingerprint.model import Limits, Task

GRIDS = st.binary(min_size=72, max_size=72)


def of(image):
    return confidence_of(reduction_of(image), *image.size)


@given(GRIDS, st.integers(1, 5000), st.integers(1, 5000))
def test_it_is_a_share_and_low_exactly_with_a_reason(grid, width, height):
    share, reason = confidence_of(grid, width, height)
    assert 0.0 <= share <= 1.0
    assert (share < LIMIT) == (reason is not None)


@given(GRIDS, st.integers(0, 255))
def test_it_does_not_depend_on_light_or_dark(grid, level):
    room = 255 - max(grid)
    brighter = bytes(value + min(level, room) for value in grid)
    assert confidence_of(brighter, 500, 500)[0] == confidence_of(grid, 500, 500)[0]


@given(GRIDS)
def test_more_contrast_never_lowers_it(grid):
    softer = bytes(value // 2 for value in grid)
    steeper = bytes(value * 2 for value in softer)
    if dhash_of_reduction(softer) == dhash_of_reduction(steeper):
        assert confidence_of(steeper, 500, 500)[0] >= confidence_of(softer, 500, 500)[0]


@pytest.mark.parametrize(("level", "reason"), [(255, "blank"), (0, "blank"), (128, "flat"), (200, "flat")])
def test_one_colour(level, reason):
    assert of(Image.new("L", (300, 200), level)) == (0.0, reason)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_plain_gradient_is_flat_whichever_way_it_goes(turn):
    share, reason = of(Image.linear_gradient("L").rotate(turn))
    assert share < LIMIT
    assert reason == "flat"


@given(st.integers(1, 15), st.integers(1, 400))
def test_tiny_images_are_low_however_steep(short, long):
    image = noise((short, max(short, long)), 120)
    assert of(image)[1] == "tiny"
    assert of(image.transpose(Image.Transpose.ROTATE_90))[1] == "tiny"


def test_three_dots_on_a_plain_ground_are_weak_gradients():
    grid = bytearray(b"\xc8" * 72)
    for at in (4, 22, 58):
        grid[at] = 90
    share, reason = confidence_of(bytes(grid), 500, 500)
    assert share == round(6 / 64, 4)
    assert reason == "weak gradients"


def test_noise_that_flips_bits_is_what_it_measures():
    # Of images sorted by confidence, the surer half must lose fewer bits to re-encoding.
    import io

    flips = []
    for strength in range(2, 60, 2):
        image = noise((96, 96), strength).resize((400, 400))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=20)
        share, _ = of(image)
        copy = Image.open(buffer)
        distance = hamming(dhash_of_reduction(reduction_of(image)), dhash_of_reduction(reduction_of(copy)))
        flips.append((share, distance))
    flips.sort()
    half = len(flips) // 2
    assert sum(lost for _, lost in flips[:half]) > sum(lost for _, lost in flips[half:])


@eval_library.needed
def test_the_labelled_library_is_told_apart():
    low = {True: 0, False: 0}
    count = {True: 0, False: 0}
    for row in eval_library.rows():
        if row["cls"] not in {"flat", "page", "card"}:
            continue
        outcome = fingerprint_file(Task(str(eval_library.path_of(row))), "exact", Limits())
        low[row["cls"] == "flat"] += outcome.status == "low_confidence"
        count[row["cls"] == "flat"] += 1
    assert low[True] == count[True] > 0
    assert low[False] <= 0.01 * count[False]
