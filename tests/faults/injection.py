"""The test's side of the driver: forking children, reading their traces, interrupting them at one call."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DRIVER = Path(__file__).with_name("driver.py")
END = "/the operation has ended"

MUTATING = (
    *("open", "openat", "write", "pwrite64", "writev", "pwritev", "ftruncate", "truncate", "fallocate"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown"),
    *("setxattr", "fsetxattr", "removexattr", "fremovexattr", "utimensat", "fsync", "fdatasync", "sync_file_range"),
    *("sendfile", "copy_file_range"),
)
"""Every call that can change a file or a folder, or make a change durable."""

SYNCS = {"fsync", "fdatasync", "sync_file_range"}

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(.*)")
_CUT = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_OPENS_TO_CHANGE = re.compile(r"O_CREAT|O_WRONLY|O_TRUNC")


@dataclass(frozen=True)
class Call:
    """One system call of a traced run: the ``nth`` of its name."""

    name: str
    nth: int
    arguments: str
    failed: bool

    @property
    def changes(self):
        """Whether it changed something, or made a change durable."""
        if self.failed:
            return False
        return self.name not in {"open", "openat"} or _OPENS_TO_CHANGE.search(self.arguments) is not None

    def __str__(self):
        return f"{self.name} {self.nth} ({self.arguments[:90]})"


@dataclass
class Ended:
    """How a child ended."""

    status: int
    code: int | None
    sentence: str
    kind: str
    answer: object
    defect: str
    said: str
    calls: list[Call] = field(default_factory=list, repr=False)
    trace: str = field(default="", repr=False)
    seconds: float = 0.0

    @property
    def killed(self):
        return self.status == -9


class Driver:
    """A running driver; ``slot`` is the folder for its traces."""

    def __init__(self, slot: Path):
        self.slot = slot
        self.trace = slot / "trace"
        self.said = slot / "said"
        environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
        root = DRIVER.parents[2]
        environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._errors = (slot / "driver.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environ,
            cwd=slot,
        )

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def ask(self, **request):
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            raise AssertionError(f"the driver ended: {self._errors.read()[-3000:]}")
        answer = json.loads(line)
        assert "broken" not in answer, answer["broken"]
        return answer

    def run(self, operation, ws, at, *, strace=(), inject="", paths=(), traced=False, **more):
        """Run an operation in a child; with ``strace``, ``inject`` (at ``paths`` only) or ``traced`` under a tracer."""
        options = [*strace, *(f"--trace-path={path}" for path in paths)]
        if inject:
            options += ["-e", f"inject={inject}"]
        if options or traced:
            names = ",".join([*MUTATING, *inject.split(":")[0].split(",")]).strip(",")
            plain = ["-f", "-s", "200", "-o", str(self.trace), "-e", f"trace={names}"]
            options = [*plain, *options]
        with contextlib.suppress(FileNotFoundError):
            self.trace.unlink()
        answer = self.ask(operation=operation, ws=str(ws), at=at, strace=options, said=str(self.said), **more)
        if more.get("let_run"):
            return answer
        return self.ended(answer, bool(options))

    def ended(self, answer, traced=False):
        trace = self.trace.read_text(errors="replace") if traced and self.trace.exists() else ""
        return Ended(
            answer["status"], answer.get("code"), answer.get("sentence", ""), answer.get("kind", ""),
            answer.get("answer"), answer.get("defect", ""), self.said.read_text(errors="replace"),
            calls_of(trace, answer["pid"]), trace, answer.get("seconds", 0.0),
        )  # fmt: skip

    def warm(self, operation, ws, at, **more):
        """Run it once in the server itself, so that every module a child needs is imported."""
        answer = self.ask(operation=operation, ws=str(ws), at=at, here=True, **more)
        assert not answer.get("defect"), answer["defect"]
        return answer


def calls_of(trace, pid):
    """The operation's own calls, in order, each with its number among those of its name."""
    seen = Counter()
    found = []
    cut = {}
    for line in trace.splitlines():
        # another process was told of in between
        if begun := _CUT.match(line):
            cut[begun[1]] = f"{begun[1]} {begun[2]}({begun[3]}"
        elif rest := _RESUMED.match(line):
            line = cut.pop(rest[1], f"{rest[1]} {rest[2]}(") + rest[3]
        match = _LINE.match(line)
        if match is None or int(match[1]) != pid:
            continue
        name, arguments = match[2], match[3]
        if name == "unlink" and END in arguments:
            break
        seen[name] += 1
        found.append(Call(name, seen[name], arguments[:200], match[4] == "-1"))
    return found


def kill_points(calls):
    """The calls to be killed at."""
    return [call for call in calls if call.changes]


def without_equals(points):
    """Points that leave another state than the one before: a sync changes nothing that a kill could lose."""
    kept = []
    for place, point in enumerate(points):
        if not kept or points[place - 1].name not in SYNCS:
            kept.append(point)
    return kept


def order(calls):
    """Names and numbers alone: what has to be the same in every run."""
    return [(call.name, call.nth, call.failed) for call in calls]


def struck(ended, call):
    """Whether the child was killed, and at this very call."""
    lines = [line for line in ended.trace.splitlines() if "(" in line and "+++" not in line and "---" not in line]
    return ended.killed and bool(lines) and f" {call.name}(" in lines[-1]
