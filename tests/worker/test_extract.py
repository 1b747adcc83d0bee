"""Clients get the dHash of an image of the library or of an upload, and nothing else is read for them."""

from __future__ import annotations

import io
import os
import socket
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from serving import EXTRACT, ask, drained, extract, form, port_of, raw, serving, upload
from worker_process import descendants, draw, make_workspace, until, value

from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.fingerprint.file import fingerprint_bytes
from mobius_tui.fingerprint.model import Limits
from mobius_tui.worker import connections, library_file, uploads
from mobius_tui.worker import extract as worker_extract
from mobius_tui.worker.http import HttpServer
from mobius_tui.workspace import Workspace, open_workspace

Run = Callable[..., object]


def again(ws: Workspace, **flags: object) -> Workspace:
    return open_workspace(ws.root, {"port": 0, **flags}, {}, "tester")


@pytest.fixture
def ws(tmp_path: Path, run: Run) -> Workspace:
    ws = make_workspace(tmp_path / "ws", 6, "port = 0")
    draw(ws.library / "cards" / "ace.png", 50)
    (ws.library / "copy.png").write_bytes((ws.library / "p001.png").read_bytes())
    run(ws)
    return ws


@pytest.fixture
def server(ws: Workspace) -> Iterator[HttpServer]:
    with serving(ws) as server:
        yield server


def expected(path: Path) -> str:
    found = fingerprint_bytes(path.read_bytes(), "exact", Limits())
    assert found.dhash is not None
    return hex_of(found.dhash)


def bomb() -> bytes:
    """A PNG of 144 megapixels in a few KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(9)
    lines = b"".join(packed.compress(bytes(1501)) for _ in range(12_000)) + packed.flush()
    head = struct.pack(">IIBBBBB", 12_000, 12_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def test_an_image_of_the_library(server: HttpServer, ws: Workspace) -> None:
    status, body = extract(server, "cards/ace.png", neighbours=3, distance=64)
    assert status == 200 and body["dhash"] == expected(ws.library / "cards/ace.png")
    assert body["path"] == "cards/ace.png" and body["status"] == "ok" and 0 < body["confidence"] <= 1
    assert (body["width"], body["height"], body["format"], body["profile"]) == (300, 200, "PNG", "exact")
    assert body["time_ms"] > 0 and len(body["neighbours"]) == 3
    distances = [each["hammingDistance"] for each in body["neighbours"]]
    assert distances == sorted(distances) and body["path"] not in [each["path"] for each in body["neighbours"]]


@pytest.mark.parametrize("written", ["./cards/ace.png", "cards//ace.png", "cards/./ace.png"])
def test_every_way_of_writing_a_path_means_the_file(server: HttpServer, written: str) -> None:
    status, body = extract(server, written)
    assert status == 200 and body["path"] == "cards/ace.png"


def test_copies_are_neighbours_and_itself_is_none(server: HttpServer) -> None:
    assert extract(server, "p001.png")[1]["neighbours"] == [{"path": "copy.png", "hammingDistance": 0}]
    assert extract(server, "p001.png", neighbours=0)[1]["neighbours"] == []


def test_an_upload_raw_and_as_a_form(server: HttpServer, ws: Workspace) -> None:
    data = (ws.library / "p002.png").read_bytes()
    near = [{"path": "p002.png", "hammingDistance": 0}]
    for kind in ("image/png", "application/octet-stream", "image/jpeg"):
        status, body = upload(server, data, kind)
        assert status == 200 and body["path"] is None and body["neighbours"] == near
        assert body["dhash"] == expected(ws.library / "p002.png")
    kind = 'multipart/form-data; boundary="edge"'
    assert upload(server, form(("neighbours", b"1"), ("image", data)), kind)[1]["neighbours"] == near
    assert upload(server, form(("image", data), ("neighbours", b"0")), kind)[1]["neighbours"] == []
    assert upload(server, data, query="?neighbours=0")[1]["neighbours"] == []
    assert not list(ws.state.glob("upload-*"))


def test_new_images_become_neighbours(server: HttpServer, ws: Workspace, run: Run) -> None:
    assert upload(server, (ws.library / "p003.png").read_bytes())[1]["neighbours"][0]["path"] == "p003.png"
    (ws.library / "another.png").write_bytes((ws.library / "p003.png").read_bytes())
    run(ws)

    def both() -> bool:
        near = upload(server, (ws.library / "p003.png").read_bytes())[1]["neighbours"]
        return [each["path"] for each in near] == ["another.png", "p003.png"]

    until(both, "the new one is found")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing.png", 404),
        ("p001.PNG", 404),
        ("p001.png/", 404),
        ("p001.png/x", 404),
        ("cards", 404),
        ("cards/", 404),
        (".", 404),
        ("library.json", 404),
        (".hidden.png", 404),
        ("cards/.hidden/a.png", 404),
        ("x" * 300 + ".png", 404),
        ("cards%2Face.png", 404),
        ("%2e%2e/mobius.toml", 404),
        ("../mobius.toml", 403),
        ("cards/../../mobius.toml", 403),
        ("cards/../p001.png", 403),
        ("..", 403),
        ("/etc/passwd", 403),
        ("//etc/passwd", 403),
        ("/", 403),
        ("", 400),
        (None, 400),
        (7, 400),
        (["p001.png"], 400),
        ("p001.png\0.png", 400),
        ("\udc80.png", 400),
        ("x" * 5000, 400),
    ],
)
def test_paths_that_are_no_image_of_the_library(server: HttpServer, ws: Workspace, path: object, status: int) -> None:
    (ws.library / ".hidden.png").write_bytes((ws.library / "p001.png").read_bytes())
    found, body = extract(server, path)
    assert found == status and list(body) == ["error"]


def test_no_link_leads_out_of_the_library(server: HttpServer, ws: Workspace, tmp_path: Path) -> None:
    outside = draw(tmp_path / "outside" / "secret.png", 9)
    (ws.library / "link.png").symlink_to(outside)
    (ws.library / "folder").symlink_to(outside.parent)
    (ws.library / "nowhere.png").symlink_to(tmp_path / "not there.png")
    (ws.library / "round.png").symlink_to("round.png")
    (ws.library / "inside.png").symlink_to("p001.png")
    assert extract(server, "link.png")[0] == 403
    assert extract(server, "folder/secret.png")[0] == 403
    assert extract(server, "folder/other.png")[0] == 403
    assert extract(server, "nowhere.png")[0] == 403
    assert extract(server, "round.png")[0] == 404
    assert extract(server, "inside.png")[0] == 200


@pytest.mark.parametrize("swap", ["file", "folder"])
def test_a_link_put_there_meanwhile_leads_nowhere(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: str
) -> None:
    outside = draw(tmp_path / "outside" / "ace.png", 9)
    real = library_file._opened

    def swapped(root: str, steps: list[str]) -> object:
        place = ws.library / "cards"
        if swap == "file":
            (place / "ace.png").unlink()
            (place / "ace.png").symlink_to(outside)
        else:
            place.rename(ws.library / "was")
            place.symlink_to(outside.parent)
        return real(root, steps)

    monkeypatch.setattr(library_file, "_opened", swapped)
    with pytest.raises(worker_extract.Refused) as refused:
        library_file.open_image(ws, "cards/ace.png")
    assert refused.value.answer.status == 404


def test_what_was_opened_is_what_is_hashed(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    real = library_file.open_image
    before = expected(ws.library / "p004.png")

    def opened(ws: Workspace, given: object) -> library_file.LibraryFile:
        found = real(ws, given)
        (ws.library / "p005.png").replace(ws.library / "p004.png")
        return found

    monkeypatch.setattr(worker_extract, "open_image", opened)
    with serving(ws) as server:
        assert extract(server, "p004.png")[1]["dhash"] == before


def test_pipes_sockets_and_devices_are_not_waited_for(server: HttpServer, ws: Workspace) -> None:
    os.mkfifo(ws.library / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(ws.library / "sock.png"))
        (ws.library / "null.png").symlink_to("/dev/zero")
        assert [extract(server, name)[0] for name in ("pipe.png", "sock.png", "null.png")] == [404, 404, 403]
    if os.geteuid() == 0:
        os.mknod(ws.library / "zero.png", 0o20666, os.makedev(1, 5))
        assert extract(server, "zero.png")[0] == 404


def test_mobius_own_files_are_no_images_wherever_they_lie(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path / "ws", 1, 'library = "."\nport = 0')
    ws = open_workspace(ws.root, {}, {}, "tester")
    draw(ws.root / "a.png", 3)
    (ws.backups / "b.png").write_bytes((ws.root / "a.png").read_bytes())
    with serving(ws) as server:
        assert extract(server, "a.png")[0] == 200
        assert [extract(server, name)[0] for name in ("backups/b.png", ".mobius/library.id", "library.json")] == [
            404
        ] * 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ""),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, ""),
        (b"GIF89a\xff\xff\xff\xff\xff\xff<script>alert(1)</script>", ""),
    ],
)
def test_what_is_no_image_is_told_in_words(server: HttpServer, data: bytes, says: str) -> None:
    status, body = upload(server, data)
    assert status == 422 and body["status"] == "failed" and body["error"] and body["dhash"] is None
    assert says in body["error"] and body["time_ms"] >= 0
    assert extract(server, "p001.png")[0] == 200


def test_truncated_images_and_bombs_cost_themselves_only(ws: Workspace) -> None:
    whole = (ws.library / "p001.png").read_bytes()
    with serving(again(ws, max_pixels=100_000_000)) as server:
        assert upload(server, whole[: len(whole) // 2])[0] == 422
        assert len(bomb()) < 40_000
        status, body = upload(server, bomb())
        assert status == 422 and "too large" in body["error"]
        (ws.library / "bomb.png").write_bytes(bomb())
        assert extract(server, "bomb.png")[0] == 422
        assert extract(server, "p001.png")[0] == 200


def test_an_image_that_takes_too_long_is_ended(ws: Workspace) -> None:
    with serving(again(ws, image_seconds=0.1, max_pixels=10**9)) as server:
        noise = Image.effect_noise((6000, 6000), 90)
        held = io.BytesIO()
        noise.save(held, "PNG", compress_level=1)
        status, body = upload(server, held.getvalue())
        assert status == 504 and body["status"] == "failed" and "longer than 0.1 s" in body["error"]
        until(lambda: extract(server, "p001.png")[0] == 200, "the next one is hashed")


def test_a_lost_process_costs_nothing(server: HttpServer) -> None:
    assert extract(server, "p001.png")[0] == 200
    for pid in descendants(os.getpid()):
        if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes() and not descendants(pid):
            os.kill(pid, 9)
    assert extract(server, "p001.png")[0] == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"p001.png"', "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"path": "a", "path": "p001.png"}', "application/json", 400),
        (b'{"path": "p001.png", "neighbours": 21}', "application/json", 400),
        (b'{"path": "p001.png", "neighbours": -1}', "application/json", 400),
        (b'{"path": "p001.png", "neighbours": true}', "application/json", 400),
        (b'{"path": "p001.png", "distance": 65}', "application/json", 400),
        (b'{"path": "p001.png", "distance": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b'{"path": ' + b"9" * 10_000 + b"}", "application/json", 400),
        (b" " * 70_000, "application/json", 413),
        (b"path=p001.png", "application/x-www-form-urlencoded", 415),
        (b"p001.png", "text/plain", 415),
        (b"", "image/png", 400),
        (b"x", "multipart/form-data", 400),
        (b"", "multipart/form-data; boundary=edge", 400),
        (b"--edge--\r\n", "multipart/form-data; boundary=edge", 400),
        (form(("image", b"")), "multipart/form-data; boundary=edge", 400),
        (form(("image", b"x"), ("image", b"y")), "multipart/form-data; boundary=edge", 400),
        (form(("picture", b"x")), "multipart/form-data; boundary=edge", 400),
        (form(("image", b"x"), ("neighbours", b"9" * 100)), "multipart/form-data; boundary=edge", 400),
        (form(("image", b"x"))[:-10], "multipart/form-data; boundary=edge", 400),
        (form(*[(f"f{n}", b"") for n in range(17)]), "multipart/form-data; boundary=edge", 400),
        (form(("image", b"x"), boundary="other"), "multipart/form-data; boundary=edge", 400),
        (b"x", f"multipart/form-data; boundary={'b' * 71}", 400),
    ],
)
def test_bodies_that_are_not_understood(server: HttpServer, body: bytes, kind: str, status: int) -> None:
    found, told, _ = ask(server, "POST", EXTRACT, body, Content_Type=kind)
    assert found == status and list(told) == ["error"]


def test_sizes_are_held_to_whatever_was_promised(ws: Workspace) -> None:
    with serving(again(ws, upload_bytes=100_000)) as server:
        head = f"POST {EXTRACT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n".encode()
        assert b" 413 " in raw(server, head + b"Content-Length: 100001\r\n\r\n").split(b"\r\n")[0]
        chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
        told = raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n", more=chunk * 7 + b"0\r\n\r\n")
        assert b" 413 " in told.split(b"\r\n")[0]
        assert upload(server, bytes(100_000))[0] == 422
        assert upload(server, form(("image", bytes(100_001))), "multipart/form-data; boundary=edge")[0] == 413
        assert b" 413 " in raw(server, head + b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n")
        assert b" 400 " in raw(server, head + b"Content-Length: -1\r\n\r\n").split(b"\r\n")[0]
        assert b" 415 " in raw(server, head + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx").split(b"\r\n")[0]


def test_leave_to_send_is_given_to_who_may(ws: Workspace) -> None:
    with serving(again(ws, internal_api_key="right-key")) as server:
        data = (ws.library / "p001.png").read_bytes()
        head = (
            f"POST {EXTRACT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(data)}\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=60) as sock:
            sock.sendall(head + b"X-Internal-API-Key: right-key\r\n\r\n")
            assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(data)
            assert drained(sock).startswith(b"HTTP/1.1 200 ")
        assert raw(server, head + b"\r\n").startswith(b"HTTP/1.1 401 ")


def test_a_body_that_trickles_is_cut_off(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = uploads.receive
    monkeypatch.setattr(worker_extract, "receive", lambda *given: real(*given, grace_s=0.3))
    head = f"POST {EXTRACT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    assert b" 408 " in raw(server, head.encode() + b"x").split(b"\r\n")[0]


def test_an_upload_may_take_longer_than_a_question(
    server: HttpServer, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 0.2)
    data = (ws.library / "p001.png").read_bytes()
    with serving(ws) as impatient, socket.create_connection(("127.0.0.1", port_of(impatient)), timeout=60) as sock:
        head = f"POST {EXTRACT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(data)}"
        sock.sendall(head.encode() + b"\r\n\r\n" + data[:100])
        time.sleep(0.6)  # three times what a connection may live otherwise
        sock.sendall(data[100:])
        assert drained(sock).startswith(b"HTTP/1.1 200 ")


def test_one_too_many_at_once_comes_again(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_extract, "UPLOADS", 2)
    monkeypatch.setattr(worker_extract, "PLACES", 3)
    head = f"POST {EXTRACT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nx"
    slow = [socket.create_connection(("127.0.0.1", port_of(server)), timeout=60) for _ in range(2)]
    for sock in slow:
        sock.sendall(head.encode())
    until(lambda: server._extractor._places == 2, "two uploads are being received")
    status, _, headers = ask(server, "POST", EXTRACT, b"x", Content_Type="image/png")
    assert status == 429 and headers["retry-after"] == "1"
    assert extract(server, "p001.png")[0] == 200, "uploads do not take all places"
    assert ask(server, "GET", "/health")[0] in {200, 503}
    for sock in slow:
        sock.close()
    until(lambda: server._extractor._places == 0, "who has gone leaves the place")


def test_extractions_count_into_the_figures(server: HttpServer, ws: Workspace) -> None:
    count = "SELECT coalesce(sum(images), 0) || ' ' || coalesce(sum(failed), 0) FROM batches WHERE run_id = 'api'"
    extract(server, "p002.png", probe=True)  # of a watch: no work of the library's
    extract(server, "p001.png")
    upload(server, b"no image")
    until(lambda: value(ws, count) == "2 1", "both are counted")


def test_a_locked_database_costs_the_figures_some_time(server: HttpServer, ws: Workspace) -> None:
    other = sqlite3.connect(ws.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    status, body = extract(server, "p001.png")
    assert status == 200 and body["dhash"]
    other.execute("ROLLBACK")
    other.close()
    extract(server, "p002.png")
    count = "SELECT coalesce(sum(images), 0) FROM batches WHERE run_id = 'api'"
    until(lambda: value(ws, count) == 2, "none is lost")


def test_a_missing_database_costs_the_neighbours(ws: Workspace) -> None:
    with serving(ws) as server:
        ws.database.rename(ws.state / "away")
        for name in ("mobius.db-wal", "mobius.db-shm"):
            (ws.state / name).unlink(missing_ok=True)
        ws.database.mkdir()
        status, body = extract(server, "p001.png")
        assert status == 200 and body["neighbours"] is None and body["neighbours_error"]


def test_the_fast_profile_says_that_it_knows_no_distances(ws: Workspace) -> None:
    with serving(again(ws, profile="fast")) as server:
        status, body = extract(server, "p001.png")
        assert status == 200 and body["profile"] == "fast" and body["neighbours"] is None


def test_who_comes_while_the_worker_ends_is_told_to_come_again(server: HttpServer, ws: Workspace) -> None:
    port_of(server)
    server._extractor._lanes.close()
    status, body = extract(server, "cards/ace.png")
    assert status == 503 and "ending" in body["error"]
    assert "defect" not in (ws.logs / "service.log").read_text()


def test_uploads_keep_no_image_of_the_library_waiting(ws: Workspace) -> None:
    """The probes of a watch are such: a client with slow pictures must not make it roll back."""
    with serving(again(ws, image_seconds=600, max_pixels=10**9)) as server:
        held = io.BytesIO()
        Image.effect_noise((4000, 4000), 90).save(held, "PNG", compress_level=1)
        ended: list[int] = []
        threads = [threading.Thread(target=lambda: ended.append(upload(server, held.getvalue())[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: server._extractor._lanes._busy, "one is being hashed")
        assert extract(server, "p001.png")[0] == 200
        assert len(ended) < 4, "the library's image did not wait for all of them"
        for thread in threads:
            thread.join()
        assert ended == [200] * 4


def test_it_ends_with_extractions_under_way(ws: Workspace) -> None:
    with serving(again(ws, image_seconds=600, max_pixels=10**9)) as server:
        noise = Image.effect_noise((5000, 5000), 90)
        held = io.BytesIO()
        noise.save(held, "PNG", compress_level=1)
        ended: list[object] = []

        def ask_slowly() -> None:
            try:
                ended.append(upload(server, held.getvalue())[0])
            except OSError as error:
                ended.append(error)

        threads = [threading.Thread(target=ask_slowly) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: server._extractor._lanes._busy, "one is being hashed")
        server.stop()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert len(ended) == 4
    until(
        lambda: not [name for name in map(str, threading.enumerate()) if "extract" in name or "upload" in name],
        "no thread is left",
    )
