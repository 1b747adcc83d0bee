"""``POST /api/dhash/extract``: the dHash of an image of the library or of an uploaded one, and the nearest images."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from mobius_tui.errors import Cancelled, MobiusError
from mobius_tui.fingerprint.model import Outcome, Profile
from mobius_tui.logs import JsonLog
from mobius_tui.operations.hash_files import outcome_facts
from mobius_tui.operations.options import image_limits
from mobius_tui.store.database import writing
from mobius_tui.store.metrics import keep_batch
from mobius_tui.text import visible
from mobius_tui.worker.answers import Answer, Refused
from mobius_tui.worker.database import LiveDatabase
from mobius_tui.worker.lanes import HashingLanes
from mobius_tui.worker.library_file import open_image
from mobius_tui.worker.nearest import MOST, Nearest
from mobius_tui.worker.uploads import FORM_BYTES, JSON_BYTES, kind_of, read_form, read_json, receive, too_large
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

    from mobius_tui.worker.connections import Connection

RUN_ID: Final = "api"
"""How figures name the images that clients asked for."""

PLACES: Final = 12
"""Requests at once: being received, waiting, or hashed."""

UPLOADS: Final = 8
"""Of these, uploads."""

NEIGHBOURS_S: Final = 2.0
"""Seconds that an answer waits for its neighbours."""

_DEFAULT_NEIGHBOURS = 5
_DEFAULT_DISTANCE = 15
_SLACK_S = 30.0
_BUSY_MS = 200
_MOST_UNKEPT = 10_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Asked:
    """An image to be hashed.

    Attributes:
        file: Open to be read.
        size: Its bytes.
        name: Its catalogue name; None for an upload.
        neighbours: How many are wanted.
        distance: Within how many bits.
        probe: Whether a watch asks, over and over: that is no work of the library's, and counts into no figure.
    """

    file: IO[bytes]
    size: int
    name: str | None
    neighbours: int
    distance: int
    probe: bool = False


class Extractor:
    """Hashes images for clients, within bounds.

    Args:
        ws: The workspace.
        log: The service log.
    """

    def __init__(self, ws: Workspace, log: JsonLog) -> None:
        self._ws = ws
        self._log = log
        self._limits = image_limits(ws)
        self._profile: Profile = "fast" if ws.settings.profile == "fast" else "exact"
        self._lanes = HashingLanes(self._profile, self._limits, ws.state)
        self._files = ThreadPoolExecutor(4, thread_name_prefix="extract-files")
        self._rows = _Rows(ws)
        self._places = 0
        self._uploads = 0

    async def handle(self, request: BaseRequest, connection: Connection) -> Answer:
        """Answer one request.

        Args:
            request: Its key and method have been looked at, its body not.
            connection: Held open as long as the image needs.

        Raises:
            Refused: It cannot be answered with a dHash.
        """
        kind = kind_of(request.headers.getall("Content-Type", []))
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(415, "send the body as it is, without a content encoding")
        if kind.name == "application/json":
            body = bytearray()
            connection.stage = "waiting"  # one that sends it slowly makes room for who asks
            await receive(request, JSON_BYTES, _taker(body))
            connection.stage = "working"
            with self._place():
                return await self._by_path(read_json(bytes(body)), connection)
        if kind.name in {"multipart/form-data", "application/octet-stream"} or kind.name.startswith("image/"):
            with self._place(upload=True):
                return await self._by_upload(request, connection, kind.boundary if "form" in kind.name else None)
        raise Refused(415, "give application/json, multipart/form-data, image/... or application/octet-stream")

    def rest(self) -> None:
        """End what has been idle for a while, and keep the figures that could not be kept before."""
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._files.submit(self._lanes.rest)
        self._rows.keep_later()

    def close(self) -> None:
        """End; requests under way are refused."""
        self._lanes.close()
        self._files.shutdown(wait=False, cancel_futures=True)
        self._rows.close()

    @contextlib.contextmanager
    def _place(self, *, upload: bool = False) -> Iterator[None]:
        if self._places >= PLACES or (upload and self._uploads >= UPLOADS):
            raise Refused(429, "too many images at once", retry_s=1)
        self._places += 1
        self._uploads += upload
        try:
            yield
        finally:
            self._places -= 1
            self._uploads -= upload

    async def _by_path(self, given: Mapping[str, Any], connection: Connection) -> Answer:
        neighbours, distance = _wanted(given.get)
        probe = given.get("probe") is True
        try:
            found = await self._in_thread(lambda: open_image(self._ws, given.get("path")))
        except OSError as error:
            denied = isinstance(error, PermissionError)
            said = "permission denied: this user may not read it" if denied else "it cannot be read"
            failed = Outcome("", "failed", error=said, cause="permission" if denied else "io")
            if not probe:
                self._rows.keep(failed)
            return self._failed(failed, str(given.get("path")))
        if found.size > self._limits.bytes:
            found.file.close()
            raise too_large(self._limits.bytes)
        return await self._hashed(_Asked(found.file, found.size, found.name, neighbours, distance, probe), connection)

    async def _by_upload(self, request: BaseRequest, connection: Connection, boundary: str | None) -> Answer:
        most = self._ws.settings.upload_bytes
        query = request.query
        if any(len(query.getall(name, [])) > 1 for name in ("neighbours", "distance")):
            raise Refused(400, "neighbours and distance can be given once each")
        wanted: Mapping[str, str] = {name: query[name] for name in ("neighbours", "distance") if name in query}
        _wanted(wanted.get)
        room = most if boundary is None else most + FORM_BYTES
        connection.hold(room)
        with contextlib.ExitStack() as kept:
            try:
                file = kept.enter_context(await self._in_thread(self._temporary))
                size = await receive(request, room, lambda piece: self._in_thread(lambda: file.write(piece)))
                await self._in_thread(file.flush)
                if boundary is not None:
                    form, whole = file, size
                    file = kept.enter_context(await self._in_thread(self._temporary))
                    more = await self._in_thread(lambda: read_form(form, whole, boundary, file, most))
                    form.close()
                    wanted, size = {**wanted, **more}, file.tell()
            except OSError as error:
                raise Refused(503, f"the upload cannot be kept: {visible(error.strerror or '')}", retry_s=60) from error
            if not size:
                raise Refused(400, "the upload is empty")
            neighbours, distance = _wanted(wanted.get)
            kept.pop_all()  # the lanes close it
        return await self._hashed(_Asked(file, size, None, neighbours, distance), connection)

    def _temporary(self) -> IO[bytes]:
        """A file without a name in the private folder: nothing is left over, whatever happens."""
        return tempfile.TemporaryFile(dir=self._ws.state, prefix="upload-")

    async def _hashed(self, asked: _Asked, connection: Connection) -> Answer:
        connection.hold()
        limit = 2 * self._limits.seconds + _SLACK_S
        try:
            future = self._lanes.submit(asked.file, asked.size, uploaded=asked.name is None)
        except Cancelled:
            raise Refused(503, "the worker is ending", retry_s=10) from None
        outcome = await self._awaited(future, limit)
        if not asked.probe:
            self._rows.keep(outcome)
        if outcome.status == "failed" or outcome.dhash is None:
            return self._failed(outcome, asked.name)
        facts = self._facts(outcome, asked.name)
        return Answer(200, {**facts, **await self._neighbours(outcome, asked)})

    async def _awaited(self, future: Future[Outcome], limit: float) -> Outcome:
        """The outcome, for which nobody waits for ever."""
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # also when nobody waits
        try:
            done, _ = await asyncio.wait({waiting}, timeout=limit)
            if done:
                return waiting.result()
        except MobiusError as error:
            raise Refused(503, visible(error.what), retry_s=10) from error
        except OSError as error:
            raise Refused(503, f"no process can be had: {visible(error.strerror or '')}", retry_s=10) from error
        finally:
            begun = not future.cancel()
        if begun:
            raise Refused(504, f"the image took longer than {limit:g} s")
        raise Refused(503, f"no process was free within {limit:g} s", retry_s=10)

    async def _neighbours(self, outcome: Outcome, asked: _Asked) -> dict[str, object]:
        if not asked.neighbours:
            return {"neighbours": []}
        if self._profile == "fast":  # distances are those of exact dHashes
            return {"neighbours": None, "neighbours_error": "not known in the fast profile"}
        found = asyncio.wrap_future(self._rows.nearest(outcome, asked))
        try:
            return {"neighbours": await asyncio.wait_for(found, NEIGHBOURS_S)}
        except TimeoutError:
            return {"neighbours": None, "neighbours_error": "the database did not answer in time"}
        except (sqlite3.Error, MobiusError, OSError):
            return {"neighbours": None, "neighbours_error": "the database cannot be read now"}

    def _facts(self, outcome: Outcome, name: str | None) -> dict[str, object]:
        facts = outcome_facts(outcome, self._profile)
        facts |= {"path": name, "time_ms": facts.pop("duration_ms")}
        return facts | {key: facts[key] or None for key in ("width", "height", "format")}

    def _failed(self, outcome: Outcome, name: str | None) -> Answer:
        failed = replace(outcome, status="failed", error=outcome.error or "it cannot be read")
        status = 504 if outcome.cause == "timeout" else 422
        return Answer(status, {**self._facts(failed, name), "neighbours": []})

    async def _in_thread(self, act: Callable[[], _T]) -> _T:
        try:
            future = self._files.submit(act)
        except RuntimeError:
            raise Refused(503, "the worker is ending", retry_s=10) from None
        return await asyncio.wrap_future(future)


class _Rows:
    """What needs the database, in a thread of its own: neighbours, and the figures of what was hashed."""

    def __init__(self, ws: Workspace) -> None:
        self._database = LiveDatabase(ws.database)
        self._nearest = Nearest(ws)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="extract-rows")
        self._guard = threading.Lock()
        self._unkept: deque[Outcome] = deque(maxlen=_MOST_UNKEPT)

    def nearest(self, outcome: Outcome, asked: _Asked) -> Future[list[dict[str, object]]]:
        """The neighbours to come."""
        assert outcome.dhash is not None
        return self._thread.submit(
            self._find, outcome.dhash, leave_out=asked.name, most=asked.neighbours, within=asked.distance
        )

    def keep(self, outcome: Outcome) -> None:
        """Count an outcome into the figures, now or when the database lets itself be written."""
        with self._guard:
            self._unkept.append(outcome)
        self.keep_later()

    def keep_later(self) -> None:
        """Try again what is not kept yet."""
        if self._unkept:
            with contextlib.suppress(RuntimeError):
                self._thread.submit(self._keep)

    def close(self) -> None:
        """End, after what is under way."""
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._keep)
            self._thread.submit(self._database.close)
        self._thread.shutdown(wait=False)

    def _find(self, dhash: int, *, leave_out: str | None, most: int, within: int) -> list[dict[str, object]]:
        return self._nearest.of(self._connection(), dhash, leave_out=leave_out, most=most, within=within)

    def _keep(self) -> None:
        with self._guard:
            outcomes = list(self._unkept)
            self._unkept.clear()
        if not outcomes:
            return
        try:
            with writing(self._connection()) as connection:
                keep_batch(
                    connection,
                    RUN_ID,
                    [outcome.duration_ms for outcome in outcomes],
                    failed=sum(outcome.status in {"failed", "missing"} for outcome in outcomes),
                    low=sum(outcome.status == "low_confidence" for outcome in outcomes),
                    size=sum(outcome.size for outcome in outcomes),
                )
        except (sqlite3.Error, MobiusError, OSError):  # locked or full: with the next one, or by and by
            with self._guard:
                self._unkept.extendleft(reversed(outcomes))

    def _connection(self) -> sqlite3.Connection:
        connection = self._database.connection()
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return connection


def _wanted(get: Callable[[str], object]) -> tuple[int, int]:
    """How many neighbours are wanted, and within how many bits."""
    return _number(get("neighbours"), "neighbours", _DEFAULT_NEIGHBOURS, MOST), _number(
        get("distance"), "distance", _DEFAULT_DISTANCE, 64
    )


def _number(given: object, name: str, default: int, most: int) -> int:
    if given is None:
        return default
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 4:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= most:
        raise Refused(400, f"{name} must be a whole number from 0 to {most}")
    return given


def _taker(body: bytearray) -> Callable[[bytes], Any]:
    async def take(piece: bytes) -> None:
        body.extend(piece)

    return take
