"""One library, several tools, the same run: MOBIUS, czkawka, imagededup and the script that comes with imagehash.

    python benchmarks/tools.py LIBRARY --venvs DIR [--sample N] [--rounds 3] [--tools a,b] [--json FILE]

Each tool lives in an environment of its own, DIR/venv-NAME, made by this script when it is missing; MOBIUS runs in
the environment of this script. Every run is a process of its own, tools take turns (A B C A B C), and medians are
compared with imagehash's script. CPU time is that of the whole process tree, orphans included; memory is the largest
sum of proportional set sizes of the tree, so that pages shared by a pool count once.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
"""What is taken into the common library."""

DISTANCE = 10
"""Bits within which a tool that compares is asked to compare."""

CZKAWKA = """
import json, sys
from czkawka import ImageSimilarity
finder = ImageSimilarity()
finder.set_directories([sys.argv[1]])
finder.set_similarity(int(sys.argv[2]))
groups = finder.find_similar()
print(json.dumps({"found": len(groups), "unit": "groups"}))
"""
"""Runs in czkawka's environment."""

IMAGEDEDUP = """
import json, sys
from imagededup.methods import DHash
if __name__ == "__main__":
    method = DHash(verbose=False)
    hashes = method.encode_images(image_dir=sys.argv[1], recursive=True, num_enc_workers=2)
    near = method.find_duplicates(encoding_map=hashes, max_distance_threshold=int(sys.argv[2]), num_dist_workers=2)
    pairs = sum(map(len, near.values())) // 2
    print(json.dumps({"images": len(hashes), "found": pairs, "unit": "pairs"}))
"""
"""Runs in imagededup's environment."""

REQUIREMENTS = {"imagehash": ["imagehash"], "czkawka": ["czkawka"], "imagededup": ["imagededup"]}
"""What pip installs into each environment."""


@dataclass(slots=True)
class Run:
    """What one process tree cost.

    Attributes:
        wall: Seconds.
        cpu: Seconds, user and system.
        memory: Bytes at the peak.
        code: Exit code.
        told: What the tool said of its result.
    """

    wall: float
    cpu: float
    memory: int
    code: int
    told: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tool:
    """One way of doing the job.

    Attributes:
        name: In the table.
        command: Arguments for a library.
        prepare: Called before each run with the workspace.
        read: Makes sense of what it printed.
    """

    name: str
    command: Callable[[Path], list[str]]
    prepare: Callable[[Path], None]
    read: Callable[[str], dict[str, object]]


def tree_memory(root: int) -> int:
    """Proportional set size of a process and its descendants, bytes."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def measure(command: list[str], result: Path) -> None:
    """Runs a command as this process's only work and writes what it cost; a reaper of all that it leaves behind."""
    subreaper = 36
    ctypes.CDLL(None).prctl(subreaper, 1, 0, 0, 0)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            peak = max(peak, tree_memory(child.pid))

    with result.with_suffix(".out").open("wb") as out:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        watcher = threading.Thread(target=watch)
        watcher.start()
        code = child.wait()
        wall = time.perf_counter() - started
        over.set()
        watcher.join()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result.write_text(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": peak, "code": code}))


def measured(command: list[str], scratch: Path, environment: dict[str, str]) -> tuple[Run, str]:
    """A run in a fresh measuring process, and what it printed."""
    result = scratch / "run.json"
    subprocess.run([sys.executable, __file__, "--measure", str(result), *command], check=True, env=environment)
    return Run(**json.loads(result.read_text())), result.with_suffix(".out").read_text(errors="replace")


def last_json(printed: str) -> dict[str, object]:
    """The last line that is a JSON object; empty when there is none."""
    for line in reversed(printed.splitlines()):
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            return value if isinstance(value, dict) else {}
    return {}


def script_result(printed: str) -> dict[str, object]:
    """What imagehash's script says: a line a file whose hash was there before, a line a file it could not read."""
    lines = printed.splitlines()
    same = sum("already exists as" in line for line in lines)
    return {"found": same, "unit": "equal hashes", "failed": sum(line.startswith("Problem:") for line in lines)}


def mobius_result(printed: str) -> dict[str, object]:
    """The counts of ``mobius migrate --json``, which is one object over many lines after what was said on stderr."""
    start = printed.find("\n{") + 1 if not printed.startswith("{") else 0
    try:
        value = json.loads(printed[start:])
    except ValueError:
        return {}
    told = {
        key: value.get(key) for key in ("total", "decoded", "errors", "failures", "duplicates", "waiting_pairs", "rate")
    }
    return told | {"found": f"{told['duplicates']} duplicates, {told['waiting_pairs']}", "unit": "waiting pairs"}


def fresh(workspace: Path) -> None:
    """Forgets everything but the images and the settings."""
    for name in (".mobius", "backups", "logs", "review"):
        shutil.rmtree(workspace / name, ignore_errors=True)
    (workspace / "library" / "library.json").unlink(missing_ok=True)


def unchanged(workspace: Path) -> None:
    """Leaves all as the run before left it."""
    if not (workspace / "library" / "library.json").exists():
        raise SystemExit("mobius-again needs a run of mobius before it")


def folders(library: Path) -> list[str]:
    """The library and every folder in it; imagehash's script does not look into subfolders."""
    return [str(library), *(str(path) for path in sorted(library.rglob("*")) if path.is_dir())]


def tools(venvs: Path, workspace: Path) -> dict[str, Tool]:
    """Every tool by name; imagehash's script first, since the others are compared with it."""

    def nothing(_: Path) -> None:
        shutil.rmtree(workspace / "cache", ignore_errors=True)

    def python(name: str) -> str:
        return str(venvs / f"venv-{name}" / "bin" / "python")

    def mobius(*extra: str) -> Callable[[Path], list[str]]:
        start = [sys.executable, "-m", "mobius_tui", "migrate", "--workspace", str(workspace), "--json", *extra]
        return lambda library: start

    script = venvs / "venv-imagehash" / "bin" / "find_similar_images.py"
    made = [
        Tool(
            "imagehash", lambda lib: [python("imagehash"), str(script), "dhash", *folders(lib)], nothing, script_result
        ),
        Tool("mobius", mobius(), fresh, mobius_result),
        Tool("mobius-again", mobius(), unchanged, mobius_result),
        Tool("mobius-fast", mobius("--fast"), fresh, mobius_result),
        Tool("czkawka", lambda lib: [python("czkawka"), "-c", CZKAWKA, str(lib), str(DISTANCE)], nothing, last_json),
        Tool(
            "imagededup",
            lambda lib: [python("imagededup"), "-c", IMAGEDEDUP, str(lib), str(DISTANCE)],
            nothing,
            last_json,
        ),
    ]
    return {tool.name: tool for tool in made}


def make_environments(venvs: Path, names: Iterable[str]) -> None:
    """Makes the missing environments."""
    for name in names:
        home = venvs / f"venv-{name}"
        if name in REQUIREMENTS and not home.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run([str(home / "bin" / "pip"), "install", "-q", *REQUIREMENTS[name]], check=True)


def versions(venvs: Path, names: Iterable[str]) -> dict[str, str]:
    """Version of each tool and of the Pillow it uses, as its environment has them."""
    ask = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    found = {}
    for name in names:
        if name in REQUIREMENTS:
            wanted = [name] if name == "czkawka" else [name, "pillow"]
            command = [str(venvs / f"venv-{name}" / "bin" / "python"), "-c", ask, *wanted]
            found[name] = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found


def copy_library(source: Path, target: Path, sample: int) -> int:
    """Copies images into the common library, evenly sampled; how many."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix.lower() in SUFFIXES]
    if sample and len(paths) > sample:
        paths = [paths[index * len(paths) // sample] for index in range(sample)]
    for path in paths:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return len(paths)


def table(runs: dict[str, list[Run]], images: int) -> str:
    """The medians as text, a line a tool."""
    base = {key: statistics.median(getattr(run, key) for run in runs["imagehash"]) for key in ("wall", "cpu")}
    head = f"{'tool':14}{'wall s':>9}{'x':>7}{'CPU s':>9}{'x':>7}{'images/s':>10}{'peak MB':>9}  found"
    lines = [head, "-" * len(head)]
    for name, done in runs.items():
        wall, cpu, memory = (statistics.median(getattr(run, key) for run in done) for key in ("wall", "cpu", "memory"))
        told = f"{done[-1].told.get('found', '')} {done[-1].told.get('unit', '')}".strip()
        bad = "" if all(run.code == 0 for run in done) else f"  exit codes {[run.code for run in done]}"
        lines.append(
            f"{name:14}{wall:9.2f}{wall / base['wall']:7.2f}{cpu:9.2f}{cpu / base['cpu']:7.2f}"
            f"{images / wall:10.0f}{memory / 1e6:9.0f}  {told}{bad}"
        )
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> dict[str, object]:
    """Runs every tool in turn and prints the table."""
    names = ["imagehash", *(name for name in options.tools.split(",") if name != "imagehash")]
    make_environments(options.venvs, names)
    with tempfile.TemporaryDirectory(prefix="mobius-tools-", dir=options.temp) as folder:
        scratch, workspace = Path(folder), Path(folder) / "workspace"
        library = workspace / "library"
        images = copy_library(options.library, library, options.sample)
        (workspace / "mobius.toml").write_text("# made by benchmarks/tools.py\n")
        # A cache of an earlier run would be another benchmark.
        caches = {"XDG_CACHE_HOME": str(workspace / "cache"), "XDG_CONFIG_HOME": str(workspace / "cache")}
        environment = os.environ | caches | {"NO_COLOR": "1"}
        known = tools(options.venvs, workspace)
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for turn in range(options.rounds):
            for name in names:
                tool = known[name]
                tool.prepare(workspace)
                run, printed = measured(tool.command(library), scratch, environment)
                run.told = tool.read(printed)
                runs[name].append(run)
                print(f"round {turn + 1}  {name:14} {run.wall:8.2f} s  exit {run.code}", file=sys.stderr, flush=True)
                if run.code and options.verbose:
                    print(printed[-2000:], file=sys.stderr)
    print(f"{images} images, {options.rounds} rounds, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(table(runs, images))
    return {
        "images": images,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(options.venvs, names),
        "runs": {name: [asdict(run) for run in done] for name, done in runs.items()},
    }


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[3:], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="folder of images; it is copied, not written to")
    parser.add_argument("--venvs", type=Path, required=True, help="folder of the other tools' environments")
    parser.add_argument("--sample", type=int, default=0, help="so many images, evenly spaced; 0 takes all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", default="mobius,mobius-again,mobius-fast,czkawka,imagededup")
    parser.add_argument("--temp", type=Path, help="where the common library is put; default: the system's")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what a failing tool printed")
    options = parser.parse_args()
    options.venvs = options.venvs.resolve()
    report = compare(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
