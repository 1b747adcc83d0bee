"""The power cut: an ext4 in a file is copied while mounted, right after each call that syncs or renames.

The copy holds what had reached the disk at that moment and nothing else; mounting it replays its journal, as a machine
does that comes up again.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import judging
from injection import END
from matrix import STEP, Bench, Case

STOPS = "fsync,fdatasync,rename,renameat2,link,unlink,mkdir,ftruncate"
"""After each of these the disk is copied."""

SIZE = 48 << 20
PATIENCE_S = 60.0


class Disk:
    """An ext4 in a file, mounted at one place.

    Args:
        slot: Folder for the file.
        options: Mount options beside ``loop``.
    """

    def __init__(self, slot: Path, options: str):
        self.file = slot / "disk.img"
        self.at = slot / "disk"
        self.options = f"loop,commit=300,{options}".rstrip(",")
        self.at.mkdir(exist_ok=True)
        with self.file.open("wb") as file:
            file.truncate(SIZE)
        call("mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.file))
        self.mount()

    def mount(self):
        call("mount", "-o", self.options, str(self.file), str(self.at))

    def unmount(self):
        call("umount", str(self.at))

    def settle(self):
        """Bring everything to the disk, and start with an empty cache."""
        self.unmount()
        self.mount()

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            call("umount", "-l", str(self.at))


def call(*command):
    """Run a command; the tools of the disk are often not on a user's path."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": path})


def why_not_mountable(slot: Path) -> str:
    """Why a disk in a file cannot be mounted here; empty when it can."""
    if os.geteuid() != 0:
        return "mounting a disk in a file needs root"
    try:
        Disk(slot, "").close()
    except FileNotFoundError as error:
        return f"there is no {error.filename} here"
    except subprocess.CalledProcessError as error:
        return f"this machine does not allow mounting: {error.stderr.decode(errors='replace').strip()}"
    return ""


@dataclass
class Cut:
    """A moment: what was on the disk and, where the state lies elsewhere, in its folder."""

    after: str
    image: Path
    state: Path | None
    ended: bool


@dataclass
class Verdicts:
    points: int = 0
    failures: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)


def power_cuts(bench: Bench, case: Case, options: str, *, state_elsewhere: bool = False) -> Verdicts:
    """Cut the power after each sync and rename of an operation; judge what is there when it is back."""
    slot = bench.slot / "power"
    slot.mkdir()
    disk = Disk(slot, options)
    try:
        root, state = disk.at / "ws", slot / "state"
        facts = _prepare(bench, case, root, state if state_elsewhere else None)
        disk.settle()
        settings = {"state_dir": str(state)} if state_elsewhere else {}
        cuts = list(_moments(bench, case, disk, root, state if state_elsewhere else None, settings))
        verdicts = Verdicts(len(cuts))
        for cut in cuts:
            disk.unmount()
            shutil.move(cut.image, disk.file)
            disk.mount()
            if cut.state:
                shutil.rmtree(state)
                shutil.move(cut.state, state)
            _judge(bench, case, cut, root, facts, settings, verdicts)
        return verdicts
    finally:
        disk.close()
        shutil.rmtree(slot, ignore_errors=True)


def _prepare(bench, case, root, state):
    template = bench.template(case)
    facts = bench.facts(case)
    shutil.copytree(template, root)
    if state:
        shutil.move(root / ".mobius", state)
        return replace(facts, state=str(state))
    return facts


def _moments(bench, case, disk, root, state, settings):
    """Run the operation, stopped after each call that syncs or renames, and copy the disk each time."""
    begun = bench.driver.run(
        case.operation, root, bench.at, strace=["-e", f"inject={STOPS}:signal=STOP:when=1+"],
        settings=settings, variants=case.variants, patient=True, let_run=True,
    )  # fmt: skip
    pid, seen = begun["pid"], 0
    ended = False
    while True:
        trace = _stopped(bench.driver.trace, pid, seen)
        if trace is None:
            break
        seen, after = trace
        ended = ended or END in after
        image = disk.file.with_name(f"cut-{seen}.img")
        call("cp", "--sparse=always", str(disk.file), str(image))
        kept = None
        if state:
            kept = disk.file.with_name(f"state-{seen}")
            shutil.copytree(state, kept)
        yield Cut(after, image, kept, ended)
        os.kill(pid, signal.SIGCONT)
    over = bench.driver.ended(bench.driver.ask(collect=pid), traced=True)
    assert (over.status, over.code) == (0, 0), over
    assert ended, "the operation's end was not seen"


def _stopped(trace: Path, pid: int, seen: int):
    """Wait for the next stop; how many there were and the call it came after, None when the child has ended."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
        stops = [place for place, line in enumerate(lines) if "stopped by SIGSTOP" in line]
        if len(stops) > seen:
            calls = [line for line in lines[: stops[seen]] if "(" in line and "---" not in line]
            return seen + 1, calls[-1].split(maxsplit=1)[1][:150]
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return None
        time.sleep(0.001)
    raise AssertionError(f"{pid} neither stops nor ends")


def _judge(bench, case, cut, root, facts, settings, verdicts):
    fault = f"{case.operation}, power cut after {cut.after}"
    wrong = [f"{fault}, at once: {what}" for what in judging.at_once(root, facts)]
    state = judging.state_of(root, facts)
    if cut.ended and case.operation not in {"backup", "clean"} and state != "new":
        wrong.append(f"{fault}: it had ended well, and the live file is {state}")
    ended = bench.driver.run(case.recovery, root, bench.at + STEP, settings=settings)
    if (ended.status, ended.code) != (0, 0):
        wrong.append(f"{fault}: the recovery ended {ended.status}/{ended.code}: {ended.sentence}{ended.defect[-600:]}")
    state = judging.state_of(root, facts)
    wrong += [f"{fault}, at rest: {what}" for what in judging.at_rest(root, facts)]
    wrong += [f"{fault}: {what}" for what in case.accept(root, ended, state, facts)]
    verdicts.failures += wrong
    verdicts.states[state] = verdicts.states.get(state, 0) + 1
