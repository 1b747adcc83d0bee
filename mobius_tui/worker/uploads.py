"""Bodies of requests: received within bounds of size and time, and forms taken apart."""

from __future__ import annotations

import asyncio
import json
import mmap
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from email.errors import MessageError
from email.message import Message
from email.parser import HeaderParser
from typing import IO, TYPE_CHECKING, Any, Final

from mobius_tui.worker.answers import Refused

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

GRACE_S: Final = 10.0
"""Seconds that any body may take."""

FLOOR: Final = 128 * 1024
"""Bytes a second that a body must bring after that, on average: 64 MB may take 9 minutes."""

JSON_BYTES: Final = 64 * 1024
"""Bytes of a JSON body at most."""

FORM_BYTES: Final = 64 * 1024
"""Bytes that a form may have beside its image."""

PARTS: Final = 16
"""Fields of a form at most."""

HEAD_BYTES: Final = 8192
"""Bytes of the headers of a field at most."""

VALUE_BYTES: Final = 64
"""Bytes of a field that is no image."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """What a body is said to be.

    Attributes:
        name: Lower case, such as ``image/png``.
        boundary: Between the fields of a form; empty without one.
    """

    name: str
    boundary: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form.

    Attributes:
        name: As it is in the form.
        start: Place of its first byte in the body.
        end: Place after its last one.
        encoding: Its ``Content-Transfer-Encoding``, lower case; empty when it has none.
    """

    name: str
    start: int
    end: int
    encoding: str = ""


def kind_of(headers: Iterable[str]) -> Kind:
    """What the ``Content-Type`` headers of a request say.

    Args:
        headers: All of them.

    Returns:
        The kind.

    Raises:
        Refused: There is not exactly one that can be understood.
    """
    found = list(headers)
    if len(found) != 1:
        raise Refused(415, "give one Content-Type: application/json, multipart/form-data or image/...")
    message = Message()
    message["Content-Type"] = found[0].encode("ascii", "replace").decode()
    try:
        boundary = message.get_param("boundary", "")
        name = message.get_content_type()
    except (ValueError, LookupError, MessageError):
        raise Refused(415, "the Content-Type cannot be understood") from None
    if not isinstance(boundary, str) or len(boundary) > 70:
        raise Refused(400, "the boundary of the form cannot be understood")
    return Kind(name, boundary)


async def receive(
    request: BaseRequest,
    most: int,
    take: Callable[[bytes], Awaitable[object]],
    *,
    grace_s: float = GRACE_S,
    floor: float = FLOOR,
) -> int:
    """Receive a whole body, whatever length it said it had.

    Args:
        request: Its headers have been accepted.
        most: Bytes at most.
        take: Given pieces of about a megabyte.
        grace_s: Seconds that any body may take.
        floor: Bytes a second after that.

    Returns:
        Bytes received.

    Raises:
        Refused: Too large (413), too slow (408), broken off or against HTTP (400).
    """
    length = request.content_length
    if length is not None and length > most:
        raise too_large(most)
    await _invite(request)
    loop = asyncio.get_running_loop()
    began, size, piece = loop.time(), 0, bytearray()
    while True:
        try:
            async with asyncio.timeout_at(began + grace_s + size / floor):
                part = await request.content.readany()
        except TimeoutError:
            raise Refused(408, f"the body came at less than {floor / 1024:,.0f} KB a second") from None
        except Exception as error:  # aiohttp has many names for a body that breaks off or is badly framed
            raise Refused(400, "the body ended early, or its chunks are not those of HTTP") from error
        size += len(part)
        if size > most:
            raise too_large(most)
        piece += part
        if piece and (len(piece) >= _PIECE or not part):
            await take(bytes(piece))
            piece.clear()
        if not part:
            return size


def too_large(most: int) -> Refused:
    """The refusal of what is larger than allowed."""
    return Refused(413, f"larger than {most:,} bytes")


async def _invite(request: BaseRequest) -> None:
    """Answer a client that waits for leave to send its body."""
    expected = request.headers.getall("Expect", [])
    if not expected:
        return
    if [word.lower() for word in expected] != ["100-continue"]:
        raise Refused(417, "only Expect: 100-continue is understood")
    if tuple(request.version) >= (1, 1) and request.content.total_bytes == 0:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def read_json(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Refused: It is none.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name comes twice")
        return found

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body must be a JSON object")
    return found


def read_form(body: IO[bytes], size: int, boundary: str, image: IO[bytes], most: int) -> dict[str, str]:
    """Take a form apart.

    Args:
        body: The whole form.
        size: Its bytes.
        boundary: Between its fields.
        image: The field ``image`` is written here.
        most: Bytes of the image at most.

    Returns:
        The other fields: short texts.

    Raises:
        Refused: It is no form, has no image or more than one, or the image is too large.
        OSError: There is no room.
    """
    if not size or not boundary.isascii() or not boundary:
        raise _no_form()
    with mmap.mmap(body.fileno(), size, access=mmap.ACCESS_READ) as data:
        fields = fields_of(data, boundary.encode("ascii"))
        values: dict[str, str] = {}
        for field in fields:
            if field.name in values:
                raise Refused(400, "a field of the form comes twice")
            if field.name != "image":
                raw = data[field.start : min(field.end, field.start + VALUE_BYTES + 1)]
                if len(raw) > VALUE_BYTES:
                    raise Refused(400, "a field of the form is too long")
                values[field.name] = raw.decode("utf-8", "replace")
                continue
            if field.encoding not in {"", "7bit", "8bit", "binary"}:
                raise Refused(415, "the image must be sent as it is, without a transfer encoding")
            if field.end - field.start > most:
                raise too_large(most)
            body.seek(field.start)
            _copy(body, image, field.end - field.start)
            values["image"] = ""
    if values.pop("image", None) is None:
        raise Refused(400, "the form has no field named image")
    return values


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size > 0:
        piece = source.read(min(_PIECE, size))
        if not piece:
            return
        target.write(piece)
        size -= len(piece)
    target.flush()


def fields_of(data: bytes | mmap.mmap, boundary: bytes) -> list[Field]:
    """The fields of a form (RFC 7578), in order.

    Args:
        data: The body.
        boundary: Without its dashes.

    Returns:
        Where each stands.

    Raises:
        Refused: It is no such form.
    """
    line = b"\r\n--" + boundary
    if not boundary or data[: len(line) - 2] != line[2:]:
        raise _no_form()
    fields: list[Field] = []
    place = len(line) - 2
    while True:
        ending = data[place : place + 2]
        if ending == b"--":
            return fields
        if ending != b"\r\n" or len(fields) >= PARTS:
            raise _no_form()
        # a field without headers begins with the empty line itself
        begin = data.find(b"\r\n\r\n", place, place + HEAD_BYTES)
        end = data.find(line, begin + 4 - 2)
        if begin < 0 or end < 0:
            raise _no_form()
        fields.append(_field(data[place + 2 : begin + 2], begin + 4, max(begin + 4, end)))
        place = end + len(line)


def _field(head: bytes, start: int, end: int) -> Field:
    try:
        headers = HeaderParser().parsestr(head.decode("utf-8", "replace"), headersonly=True)
        name = headers.get_param("name", None, "content-disposition")
        encoding = str(headers.get("content-transfer-encoding", "")).strip().lower()
    except (ValueError, LookupError, MessageError):
        raise _no_form() from None
    if not isinstance(name, str):
        raise _no_form()
    return Field(name, start, end, encoding)


def _no_form() -> Refused:
    return Refused(400, "the body is not the form that its Content-Type says")
