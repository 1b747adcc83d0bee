"""Malformed requests and images, the same ones for the same seed."""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

T = TypeVar("T")
KEY = "fuzz-key-0123456789abcdef"
EXTRACT = b"/api/dhash/extract"
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
