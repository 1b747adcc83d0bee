"""Images a second of the exact and the fast profile, and how far fast hashes are from exact ones.

    python benchmarks/fingerprint.py [FOLDER] [--rounds N]

The speed is measured on generated JPEGs of 12 megapixels with more and more noise, the two profiles in turn, in
processor time; the ratio in wall-clock time is given too, and means something on an idle machine only. The deviation is
measured on every JPEG of FOLDER that the fast profile decodes at a reduced scale; smaller ones hash alike in both.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from PIL import Image, ImageDraw, ImageFilter

from mobius_tui.fingerprint.dhash import hamming
from mobius_tui.fingerprint.fast import SHORTER_SIDE
from mobius_tui.fingerprint.file import fingerprint_bytes
from mobius_tui.fingerprint.model import Limits, Outcome, Profile


def photo_like(seed: int, noise: float) -> bytes:
    """A 4000x3000 JPEG: soft ground, shapes with edges, and sensor noise of a standard deviation."""
    small = Image.effect_noise((40, 30), 90 + seed).convert("RGB").filter(ImageFilter.GaussianBlur(1))
    image = small.resize((4000, 3000), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for number in range(60):
        left, top = (seed * 977 + number * 613) % 3600, (seed * 419 + number * 389) % 2700
        fill = tuple((seed * 31 + number * step) % 256 for step in (37, 91, 53))
        draw.ellipse((left, top, left + 60 + number * 6, top + 40 + number * 5), fill=fill)
    if noise:
        grain = Image.effect_noise(image.size, noise).convert("RGB")
        image = Image.blend(image, grain, 0.15)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def timed(files: list[bytes], profile: Profile) -> tuple[float, float]:
    """Seconds of the processor, and on the wall."""
    start, wall = time.process_time(), time.perf_counter()
    for data in files:
        outcome = fingerprint_bytes(data, profile, Limits())
        assert outcome.dhash is not None, outcome.error
    return time.process_time() - start, time.perf_counter() - wall


def speed(rounds: int) -> None:
    for noise in (0.0, 15.0, 25.0, 35.0, 60.0):
        files = [photo_like(seed, noise) for seed in range(4)]
        seconds: dict[Profile, list[tuple[float, float]]] = {"exact": [], "fast": []}
        timed(files, "fast")
        for _ in range(rounds):
            for profile, taken in seconds.items():
                taken.append(timed(files, profile))
        (exact, exact_wall), (fast, fast_wall) = (
            [len(files) / statistics.median(times) for times in zip(*taken, strict=True)] for taken in seconds.values()
        )
        size = sum(map(len, files)) / len(files) / 1e6
        ratios = f"ratio {fast / exact:.2f} (wall {fast_wall / exact_wall:.2f})"
        print(f"12 MP, noise {noise:g} ({size:.1f} MB): exact {exact:.1f}/s, fast {fast:.1f}/s, {ratios}", flush=True)


def deviation(folder: Path) -> None:
    distances: list[int] = []
    seconds: dict[Profile, float] = {"exact": 0.0, "fast": 0.0}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".jpg", ".jpeg"} or not path.is_file():
            continue
        data = path.read_bytes()
        pair: dict[Profile, Outcome] = {}
        for profile in seconds:
            start = time.process_time()
            pair[profile] = fingerprint_bytes(data, profile, Limits())
            seconds[profile] += time.process_time() - start
        exact, fast = pair["exact"], pair["fast"]
        if exact.dhash is None or fast.dhash is None or min(exact.width, exact.height) < 2 * SHORTER_SIDE:
            continue
        distances.append(hamming(exact.dhash, fast.dhash))
    if not distances:
        print("no JPEG in this folder is large enough to be decoded at a reduced scale")
        return
    count = len(distances)
    shares = ", ".join(f"<= {bound}: {sum(d <= bound for d in distances) / count:.1%}" for bound in (0, 1, 2, 4))
    print(f"{count} JPEGs: mean {statistics.mean(distances):.3f} bits, worst {max(distances)}; {shares}")
    print(f"all JPEGs of the folder: exact {seconds['exact']:.1f} s, fast {seconds['fast']:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="real images")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    speed(options.rounds)
    if options.folder:
        deviation(options.folder)


if __name__ == "__main__":
    main()
