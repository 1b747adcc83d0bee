"""Malformed requests and images against a real worker: it never fails, never hangs, never grows.

    python tests/worker/fuzz_http.py --count 10000 --seed 7

Every request is answered with a status that is documented, or its connection is closed, within the limits; a control
request is answered correctly all the time; memory, descriptors, threads and children come back to what they were after
the warm-up. The same seed makes the same requests.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from PIL import Image
from worker_process import Worker, draw, make_workspace, until

from mobius_tui.launch.health import worker_address
from mobius_tui.workspace import Workspace, open_workspace

T = TypeVar("T")
KEY = "fuzz-key-0123456789abcdef"
EXTRACT = b"/api/dhash/extract"
PATIENCE_S = 20.0
"""Nothing may take longer: a silent connection is cut off after 10 s."""
ASKED_S = 1.0
"""A client that does not send it all waits so long for an answer."""
SETTLE_S = 45.0
ALLOWED = {100, 200, 400, 401, 403, 404, 405, 408, 413, 415, 417, 422, 429, 431, 503, 504}
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF", "ICO", "PPM", "QOI", "TGA", "JPEG2000", "PCX")
PATHS = (
    "p000.png", "deep/p1.png", "../mobius.toml", "/etc/passwd", "%2e%2e/mobius.toml", "..%2fmobius.toml", "....//x",
    "p000.png\0.jpg", "\udcff.png", "library.json", ".mobius/mobius.db", "link.png", "out/secret.png", "pipe.png", "",
    ".",     "deep/../p000.png", "p000.png/", "\\..\\mobius.toml", "C:\\x.png", "p000.PNG", "//p000.png", "~root/x.png",
    "a" * 5000, "\u202egnp.000p", "deep//p1.png", "file:///etc/passwd", "http://127.0.0.1/x.png", "|id", "-h",
    "$(id).png",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange: pieces to send, and whether the client then stops sending, hangs up or waits."""

    name: str
    pieces: tuple[bytes, ...]
    after: str = "wait"


@dataclass(slots=True)
class Result:
    """What came of the whole."""

    count: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    controls: int = 0
    problems: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """The figures for people."""
        told = ", ".join(f"{status} {count:,}" for status, count in sorted(self.statuses.items()))
        return [
            f"{self.count:,} requests in {self.seconds:.0f} s: {told}",
            f"slowest {self.slowest_s:.1f} s, {self.controls:,} control requests right, {len(self.problems)} problems",
            *(f"{name}: {self.before[name]:,} before, {self.after[name]:,} after" for name in self.before),
            *self.problems[:20],
        ]


def seeds(rng: random.Random) -> dict[str, bytes]:
    """A small whole image of every format."""
    picture = Image.frombytes("RGB", (48, 40), rng.randbytes(48 * 40 * 3)).resize((96, 80))
    found: dict[str, bytes] = {}
    for name in FORMATS:
        held = io.BytesIO()
        with contextlib.suppress(Exception):  # a format that this Pillow cannot write
            if name == "HEIF":
                import pillow_heif

                pillow_heif.register_heif_opener()
            picture.save(held, name)
            found[name] = held.getvalue()
    held = io.BytesIO()
    frames = [picture, picture.rotate(90), picture.rotate(180)]
    picture.save(held, "GIF", save_all=True, append_images=frames)
    found["animation"] = held.getvalue()
    found["bomb"] = bomb(12_000)
    found["polyglot"] = found["GIF"] + b"PK\x03\x04" + found["JPEG"] + b"<script>%PDF-1.4"
    found["empty"] = b""
    found["noise"] = rng.randbytes(3000)
    found["svg"] = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    found["mvg"] = (
        b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 'url(http://127.0.0.1/)'\npop graphic-context"
    )
    return found


def bomb(side: int) -> bytes:
    """A PNG of side x side pixels in a few KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(9)
    lines = b"".join(packed.compress(bytes(side // 8 + 1)) for _ in range(side)) + packed.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def spoilt_image(rng: random.Random, images: dict[str, bytes]) -> tuple[str, bytes]:
    """An image with flipped bits, a wrong size, a cut or strange joints."""
    name = rng.choice(list(images))
    data = bytearray(images[name])
    how = rng.choice(("flip", "cut", "header", "double", "insert", "fill", "sizes", "whole"))
    if how == "flip" and data:
        for _ in range(rng.randint(1, 30)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[rng.randint(0, len(data)) :]
    elif how == "header" and data:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(64, len(data)))] = rng.randrange(256)
    elif how == "double":
        data = data + data[rng.randint(0, len(data)) :]
    elif how == "insert":
        place = rng.randint(0, len(data))
        data[place:place] = rng.randbytes(rng.randint(1, 200))
    elif how == "fill" and data:
        place = rng.randrange(len(data))
        data[place : place + 40] = bytes([rng.choice((0, 255, 127))]) * 40
    elif how == "sizes" and len(data) > 40:
        place = rng.randrange(min(60, len(data) - 4))
        data[place : place + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff" * 4))
    return f"{name} {how}", bytes(data)


def spoilt(rng: random.Random, data: bytes) -> bytes:
    """Bytes of a request with some of them changed."""
    held = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        how, place = rng.randrange(5), rng.randint(0, max(0, len(held) - 1))
        if how == 0 and held:
            held[place] = rng.randrange(256)
        elif how == 1:
            del held[place : place + rng.randint(1, 10)]
        elif how == 2:
            held[place:place] = rng.choice(
                (b"\0", b"\r\n", b"\n", b" ", b":", b"\xff", b"%00", b"A" * 300, b"\t", b";")
            )
        elif how == 3:
            held[place:place] = held[place : place + rng.randint(1, 40)]
        else:
            held[place:place] = rng.randbytes(rng.randint(1, 20))
    return bytes(held)


def key_line(rng: random.Random) -> bytes:
    """Nearly always the right key, in one of the ways to send it."""
    right = (
        rng.choice((b"X-Internal-API-Key: %s", b"Authorization: Bearer %s", b"x-internal-api-key:  %s")) % KEY.encode()
    )
    wrong = (
        b"X-Internal-API-Key: " + rng.randbytes(8).hex().encode(), b"Authorization: Basic eDp5", b"Authorization:",
        right + b"\r\n" + right, b"X-Internal-API-Key: " + b"k" * 5000, b"X-Internal-API-Key: \xff\xfe", b"X: y",
    )  # fmt: skip
    return right if rng.random() < 0.95 else rng.choice(wrong)


def request(rng: random.Random, body: bytes, kind: bytes, *more: bytes, target: bytes = EXTRACT) -> bytes:
    """A well-formed POST."""
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: localhost", b"Content-Type: " + kind, key_line(rng), *more]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def upload_case(rng: random.Random, images: dict[str, bytes]) -> Case:
    name, data = spoilt_image(rng, images)
    kind = rng.choice((b"image/png", b"image/jpeg", b"application/octet-stream", b"image/svg+xml"))
    queries = b"?neighbours=x", b"?distance=65", b"?%ff=%00&&=", b"?neighbours=1&neighbours=2", b"?distance=\xff"
    target = EXTRACT + mostly(rng, (b"", b"?neighbours=20&distance=64"), queries)
    return Case(f"upload {name}", (request(rng, data, kind, target=target),))


def form_case(rng: random.Random, images: dict[str, bytes]) -> Case:
    name, data = spoilt_image(rng, images)
    edge = rng.choice((*[b"edge"] * 12, b"", b"x" * 70, b"x" * 71, b"--", b'a"b', b"\xff", b"edge edge"))
    parts = []
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 2, 18))):
        label = rng.choice((*[b"image"] * 8, b"neighbours", b"distance", b"x", b"", b"im\0age"))
        head = rng.choice((
            *[b'Content-Disposition: form-data; name="%s"' % label] * 9,
            b'Content-Disposition: form-data; name="%s"; filename="../../x.png"' % label,
            b"content-disposition:form-data;name=%s" % label, b"Content-Disposition: attachment", b"",
            b'Content-Disposition: form-data; name="image"\r\nContent-Transfer-Encoding: base64',
            b"Content-Disposition: form-data; name*=utf-8''%69mage", b"X: " + b"y" * 9000,
        ))  # fmt: skip
        value = data if label == b"image" else rng.choice((b"3", b"", b"-1", b"9" * 500, b"\r\n--edge"))
        parts.append(b"--" + edge + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n")
    body = b"".join(parts) + b"--" + edge + rng.choice((*[b"--\r\n"] * 6, b"--", b"", b"\r\n"))
    if rng.random() < 0.15:
        body = spoilt(rng, body)
    quote = rng.choice((*[b'"%s"', b"%s"] * 6, b'"%s', b"%s; boundary=other")) % edge
    return Case(f"form {name}", (request(rng, body, b"multipart/form-data; boundary=" + quote),))


def mostly(rng: random.Random, usual: Sequence[T], odd: Sequence[T]) -> T:
    """What is usual, or one time in five something odd: a request with one fault gets further than one with many."""
    return rng.choice(odd if rng.random() < 0.2 else usual)


def json_case(rng: random.Random, _: dict[str, bytes]) -> Case:
    path = rng.choice(PATHS) if rng.random() < 0.8 else rng.choice(PATHS) + rng.choice(PATHS)
    if rng.random() < 0.3:
        path = f"p{rng.randrange(12):03}.png"
    given: dict[str, object] = {"path": mostly(rng, (path,), (None, 7, [path], {"path": path}, True, 1e400))}
    if rng.random() < 0.4:
        given["neighbours"] = mostly(rng, (0, 5, 20), (21, -1, 10**30, 1.5, "3", None, [], True))
        given["distance"] = mostly(rng, (0, 15, 64), (65, "x", None))
    body = json.dumps(given).encode()
    how = rng.randrange(8)
    if how == 0:
        body = spoilt(rng, body)
    elif how == 1:
        body = rng.choice(
            (b"", b"[" * 50_000, b"null", b'{"path":' * 5000, b" " * 70_000, b"\xef\xbb\xbf" + body, b'{"a":1e999}')
        )
    kind = rng.choice(
        (b"application/json", b"application/json; charset=utf-16", b"APPLICATION/JSON", b"text/json", b"json")
    )
    return Case("json", (request(rng, body, kind if rng.random() < 0.3 else b"application/json"),))


def head_case(rng: random.Random, images: dict[str, bytes]) -> Case:
    method = mostly(
        rng, (b"GET", b"HEAD", b"POST"), (b"PUT", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"G\0T", b"", b"X" * 5000)
    )
    usual = b"/health", b"/metrics", b"/metrics/dhash", EXTRACT, b"http://localhost/health"
    target = mostly(rng, usual, (
        b"*", b"//health", b"/%2e%2e/health", b"/health%00",
        b"http://evil.example/health", b"localhost:80", b"/" + b"a" * 9000, b"/%c0%ae/",
        b"/health?" + b"&" * 2000, b"/api/%ff", b"/./health", b"\xff\xfe", b"/health#x", b"http://[::1/", b"http://:99999/health",
    ))  # fmt: skip
    version = mostly(
        rng, (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"), (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 x", b"", b"http/1.1")
    )
    host = mostly(
        rng, (b"Host: localhost", b"Host: 127.0.0.1:1"), (b"Host: evil", b"Host: [::1", b"", b"Host: a\r\nHost: b")
    )
    extra = mostly(rng, (b"A: b", b"Accept: */*", b"Connection: keep-alive"), (
        b"Origin: null", b"Expect: 100-continue", b"Expect: x", b"Upgrade: websocket\r\nConnection: Upgrade",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: 18446744073709551616",
        b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: +5",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"X: " + b"y" * 5000, b"X: y\r\n" * 100 + b"Z: z", b" folded: x", b"Content-Encoding: gzip", b"Range: bytes=0-",
        b"Connection: keep-alive, close\r\nKeep-Alive: timeout=99999", b"No colon", b"\0: x", b"X: a\0b",
        b"Cookie: " + b"a=b;" * 900,
    ))  # fmt: skip
    data = b"\r\n".join([b" ".join((method, target, version)), host, key_line(rng), extra]) + b"\r\n\r\n"
    if rng.random() < 0.3:
        data = spoilt(rng, data)
    return Case("head", (data, spoilt_image(rng, images)[1][:2000]) if rng.random() < 0.3 else (data,))


def chunk_case(rng: random.Random, images: dict[str, bytes]) -> Case:
    data = spoilt_image(rng, images)[1][:20_000]
    size = rng.choice(
        (
            b"%x",
            b"%X",
            b"0%x",
            b"%x;a=b",
            b'%x;a="\r',
            b"-%x",
            b"0x%x",
            b"%x ",
            b"%xffffffffffffff",
            b"%x;" + b"e" * 9000,
        )
    )
    if rng.random() < 0.8:
        size = b"%x"
    pieces, place = [], 0
    while place < len(data) or not pieces:
        step = rng.choice((1, 7, 500, 5000))
        part = data[place : place + step]
        lie = rng.choice((0, 0, 0, 0, 1, -1)) if rng.random() < 0.1 else 0
        pieces.append(size % max(0, len(part) + lie) + b"\r\n" + part + b"\r\n")
        place += step
        if len(pieces) > 60:
            break
    end = rng.choice(
        (b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"0\r\n", b"", b"0\r\n" + b"T: " + b"x" * 9000 + b"\r\n\r\n")
    )
    lines = [b"POST " + EXTRACT + b" HTTP/1.1", b"Host: localhost", b"Content-Type: image/png", key_line(rng)]
    head = b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n"
    return Case("chunks", (head, b"".join(pieces) + end), "half" if not end.endswith(b"\r\n\r\n") else "wait")


def length_case(rng: random.Random, images: dict[str, bytes]) -> Case:
    """More or less than was promised, then hanging up in one of two ways."""
    whole = request(rng, spoilt_image(rng, images)[1], b"image/png")
    cut = whole[: rng.randint(1, len(whole))] if rng.random() < 0.7 else whole + whole[: rng.randint(1, len(whole))]
    return Case("length", (cut,), rng.choice(("half", "reset", "half")))


def bytes_case(rng: random.Random, images: dict[str, bytes]) -> Case:
    """A whole request, damaged anywhere, in pieces anywhere."""
    data = spoilt(rng, request(rng, spoilt_image(rng, images)[1][:4000], b"image/png"))
    if rng.random() < 0.2:
        data = rng.randbytes(rng.randint(1, 3000))
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(0, 3)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]
    return Case("bytes", tuple(pieces), rng.choice(("half", "half", "reset")))


MAKERS: tuple[tuple[Callable[[random.Random, dict[str, bytes]], Case], int], ...] = (
    (upload_case, 34), (form_case, 15), (json_case, 13), (head_case, 17), (chunk_case, 9), (length_case, 5),
    (bytes_case, 7),
)  # fmt: skip


def cases(count: int, seed: int) -> Iterator[Case]:
    """The same ones for the same seed."""
    rng = random.Random(seed)
    images = seeds(rng)
    makers, weights = zip(*MAKERS, strict=True)
    for _ in range(count):
        yield rng.choices(makers, weights)[0](rng, images)


def exchange(port: int, case: Case) -> tuple[str, float]:
    """The status, ``closed`` when there was none, ``hung`` when nothing happened in time; and how long it took."""
    began = time.monotonic()
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
            try:
                for piece in case.pieces:
                    sock.sendall(piece)
                if case.after == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return "left", time.monotonic() - began
                if not select.select([sock], [], [], PATIENCE_S if case.after == "wait" else ASKED_S)[0]:
                    sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before it was all sent; the answer may be there
            while len(answer) < 1 << 20 and (part := sock.recv(65536)):
                answer += part
    except TimeoutError:
        return "hung", time.monotonic() - began
    except OSError:
        pass
    seconds = time.monotonic() - began
    if not answer:
        return "closed", seconds
    first = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    words = first.split(b" ", 2)
    return words[1].decode() if len(words) > 2 and words[1].isdigit() else f"garbage {first[:40]!r}", seconds


def make_library(root: Path) -> Workspace:
    """A small library with traps beside the images."""
    settings = "image_seconds = 5\nmax_pixels = 60000000\nupload_bytes = 1000000\nport = 0"
    ws = make_workspace(root, 12, settings, parallel=1)
    secret = draw(root.parent / "outside" / "secret.png", 99)
    draw(ws.library / "deep" / "p1.png", 77)
    (ws.library / "link.png").symlink_to(secret)
    (ws.library / "out").symlink_to(secret.parent)
    os.mkfifo(ws.library / "pipe.png")
    return open_workspace(root, {}, {}, "tester")


class Controls(threading.Thread):
    """Asks what must always be answered rightly, while all else goes on."""

    def __init__(self, port: int, result: Result) -> None:
        super().__init__(name="controls", daemon=True)
        self.over = threading.Event()
        self._port = port
        self._result = result
        self._dhash = ""

    def run(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            try:
                problem = self.ask()
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem = f"{type(error).__name__}: {error}"
            if problem:
                self._result.problems.append(f"control after {time.monotonic() - began:.1f} s: {problem}")
            else:
                self._result.controls += 1
            self.over.wait(0.1)

    def ask(self) -> str:
        """What is wrong with the answers; empty when nothing is."""
        status, body = self._answer("GET", "/health", None)
        if status not in {200, 503} or "checks" not in body:
            return f"health {status} {body}"
        status, body = self._answer("POST", EXTRACT.decode(), json.dumps({"path": "p001.png"}))
        self._dhash = self._dhash or str(body.get("dhash"))
        if status == 429:  # allowed, and all others were served meanwhile
            return ""
        return "" if status == 200 and body.get("dhash") == self._dhash else f"extract {status} {body}"

    def _answer(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"X-Internal-API-Key": KEY, "Content-Type": "application/json"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            return answer.status, found if isinstance(found, dict) else {}
        finally:
            connection.close()


def levels(process: psutil.Process) -> dict[str, int]:
    """What must not grow."""
    return {
        "resident KB": process.memory_info().rss // 1024,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


def fired(port: int, made: Iterator[Case], result: Result, clients: int) -> None:
    """Send them all, several at once."""

    def one(case: Case) -> tuple[Case, str, float]:
        return (case, *exchange(port, case))

    with ThreadPoolExecutor(clients) as pool:
        for part in iter(lambda: list(itertools.islice(made, 200)), []):
            for case, status, seconds in pool.map(one, part):
                result.count += 1
                result.statuses[status] += 1
                result.slowest_s = max(result.slowest_s, seconds)
                if not (status in {"closed", "left"} or (status.isdigit() and int(status) in ALLOWED)):
                    result.problems.append(f"{case.name}: {status} after {seconds:.1f} s, {case.pieces[0][:300]!r}")


def fuzz(count: int, seed: int, root: Path, clients: int = 8) -> Result:
    """Fuzz a worker of its own.

    Args:
        count: Requests, the warm-up not counted.
        seed: The same one makes the same requests.
        root: A folder to work in.
        clients: Requests at once.

    Returns:
        What came of it; ``problems`` is empty when all was well.
    """
    ws = make_library(root / "ws")
    os.environ["INTERNAL_API_KEY"] = KEY
    worker = Worker(ws).ready()
    result = Result()
    try:
        until(lambda: (found := worker_address(ws)) is not None and found.url, "the worker answers")
        address = worker_address(ws)
        assert address is not None
        port = int(address.url.rpartition(":")[2])
        process = psutil.Process(worker.process.pid)
        fired(port, cases(min(count, 300), seed + 1), Result(), clients)
        result.before = settled(process, {})
        began = time.monotonic()
        controls = Controls(port, result)
        controls.start()
        fired(port, cases(count, seed), result, clients)
        controls.over.set()
        controls.join(PATIENCE_S * 2)
        result.seconds = time.monotonic() - began
        result.after = settled(process, result.before)
        result.problems += [
            f"{name} grew from {result.before[name]:,} to {found:,}"
            for name, found in result.after.items()
            if found > allowed(name, result.before[name])
        ]
        log = (ws.logs / "service.log").read_text(encoding="utf-8")
        bad = [line for line in log.splitlines() if '"defect"' in line or '"level": "error"' in line]
        result.problems += [line for line in bad if '"component": "alert"' not in line]  # so many failures are told
        if worker.stop() != 0:
            result.problems.append("the worker did not end as it should")
        said = worker.process.communicate()[0]
        if said.strip():
            result.problems.append(f"the worker printed {said[:500]!r}")
    finally:
        del os.environ["INTERNAL_API_KEY"]
        if worker.process.poll() is None:
            worker.kill()
    return result


def allowed(name: str, before: int) -> float:
    """What a level may be afterwards: a little memory, and descriptors that SQLite keeps for its next opening."""
    return {"resident KB": before * 1.25 + 32_768, "descriptors": before + 4}.get(name, before)


def settled(process: psutil.Process, before: dict[str, int]) -> dict[str, int]:
    """The levels once all is answered; as soon as they are as they were before."""
    deadline = time.monotonic() + (SETTLE_S if before else 3)
    while True:
        time.sleep(0.5)
        found = levels(process)
        if (
            before and all(found[name] <= allowed(name, before[name]) for name in before)
        ) or time.monotonic() > deadline:
            return found


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mobius-fuzz-") as folder:
        result = fuzz(given.count, given.seed, Path(folder), given.clients)
    print("\n".join(result.lines()))
    return 1 if result.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
