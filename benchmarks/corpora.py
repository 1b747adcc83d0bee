"""Collects real images of this system's packages into one folder, to run MOBIUS and other tools over.

    python benchmarks/corpora.py --out DIR [--all] [--link]

Missing packages are installed first when run as root on Debian or Ubuntu; a package the archive does not have is
skipped and named. From each package an even sample is taken, so that no kind of picture drowns the others; the same
packages give the same collection.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from PIL import Image, UnidentifiedImageError

PACKAGES: dict[str, int] = {
    "openclipart-png": 3200,
    "wesnoth-1.16-data": 3600,
    "freeciv-data": 600,
    "pokerth-data": 400,
    "plasma-workspace-wallpapers": 400,
    "gnome-backgrounds": 100,
    "kdegames-card-data-kf5": 100,
    "gnome-cards-data": 100,
    "pysolfc-cardsets": 1200,
}
"""Debian package and how many of its images are taken at most: clip art, sprites, tiles, cards, photographs."""

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jxl", ".ppm"}
"""What counts as an image before anybody has looked inside."""


def installed(package: str) -> bool:
    """Whether dpkg knows the package as installed."""
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def install(packages: list[str]) -> None:
    """Installs what the archive has of these packages; says what it does not have."""
    for package in packages:
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        print(f"{package}: {'installed' if done.returncode == 0 else 'not in the archive, left out'}", file=sys.stderr)


def images_of(package: str) -> list[Path]:
    """The regular image files a package owns, in byte order."""
    listing = subprocess.run(["dpkg", "-L", package], capture_output=True, check=True).stdout
    paths = (Path(os.fsdecode(line)) for line in sorted(listing.splitlines()))
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file() and not path.is_symlink()]


def even_sample(paths: list[Path], limit: int) -> list[Path]:
    """At most ``limit`` of the paths, evenly spaced, order kept."""
    if len(paths) <= limit:
        return paths
    return [paths[index * len(paths) // limit] for index in range(limit)]


def collect(paths: list[Path], out: Path, *, link: bool) -> int:
    """Puts files under ``out`` with the path they have on the system; the number that was new."""
    new = 0
    for path in paths:
        target = out / path.relative_to("/usr/share")
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.hardlink_to(path)
        else:
            shutil.copyfile(path, target)
        new += 1
    return new


def formats_in(folder: Path) -> tuple[Counter[str], int, int]:
    """Files by format as Pillow names it, their bytes, their pixels."""
    formats: Counter[str] = Counter()
    size = pixels = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        size += path.stat().st_size
        try:
            with Image.open(path) as image:
                formats[f"{image.format} {image.mode}"] += 1
                pixels += image.width * image.height
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            formats["cannot be opened"] += 1
    return formats, size, pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--all", action="store_true", help="every image of each package instead of a sample")
    parser.add_argument("--link", action="store_true", help="hard links instead of copies; same filesystem only")
    options = parser.parse_args()
    missing = [package for package in PACKAGES if not installed(package)]
    if missing and os.geteuid() == 0:
        install(missing)
    options.out.mkdir(parents=True, exist_ok=True)
    for package, limit in PACKAGES.items():
        if not installed(package):
            print(f"{package:30} -", flush=True)
            continue
        found = images_of(package)
        chosen = found if options.all else even_sample(found, limit)
        collect([path for path in chosen if path.is_relative_to("/usr/share")], options.out, link=options.link)
        print(f"{package:30} {len(chosen):6} of {len(found)}", flush=True)
    formats, size, pixels = formats_in(options.out)
    for name, count in formats.most_common():
        print(f"  {name:28} {count:6}")
    print(f"{sum(formats.values())} files, {size / 1e6:.0f} MB, {pixels / 1e6:.0f} megapixels in {options.out}")


if __name__ == "__main__":
    main()
