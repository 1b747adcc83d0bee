"""What nobody catches ends in the log, without its secrets, and on no terminal."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

from mobius_tui.logs import JsonLog
from mobius_tui.uncaught import RedactedStream, logging_uncaught, loop_handler

SECRET = "hunter2hunter2"
PLANTED = f"INTERNAL_API_KEY={SECRET} of ann@example.org in /home/ann/cards"


def told(path: Path) -> dict:
    (line,) = path.read_text().splitlines()
    assert SECRET not in line and "ann@" not in line and "/home/ann" not in line, "it is redacted"
    return json.loads(line)


def test_an_exception_of_a_thread_is_logged_redacted(tmp_path, capsys):
    log = JsonLog(tmp_path / "service.log")
    with logging_uncaught(log, "worker"):
        thread = threading.Thread(target=lambda: {}[PLANTED], name="health")
        thread.start()
        thread.join()
    record = told(log.path)
    assert (record["level"], record["component"], record["event"]) == ("error", "worker", "uncaught")
    assert "KeyError" in record["message"] and "thread health" in record["message"]
    assert "Traceback" in record["fields"]["traceback"]
    assert capsys.readouterr() == ("", "")


def test_the_end_of_a_thread_by_its_own_wish_is_no_news(tmp_path):
    log = JsonLog(tmp_path / "service.log")
    with logging_uncaught(log, "worker"):
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()
    assert not log.path.exists()


def test_an_exception_in_a_finaliser_is_logged_redacted(tmp_path, capsys):
    class Broken:
        def __del__(self) -> None:
            raise ValueError(PLANTED)

    log = JsonLog(tmp_path / "service.log")
    with logging_uncaught(log, "guard"):
        broken = Broken()
        del broken
        gc.collect()
    assert "ValueError" in told(log.path)["message"]
    assert capsys.readouterr().err == ""


def test_an_exception_of_a_task_is_logged_redacted(tmp_path, capsys):
    async def fail() -> None:
        raise ValueError(PLANTED)

    async def forget() -> None:
        asyncio.get_running_loop().set_exception_handler(loop_handler(log, "http"))
        task = asyncio.create_task(fail())
        await asyncio.sleep(0.01)
        del task
        gc.collect()

    log = JsonLog(tmp_path / "service.log")
    asyncio.run(forget())
    record = told(log.path)
    assert record["component"] == "http" and "ValueError" in record["message"]
    assert capsys.readouterr().err == ""


def test_what_a_loop_complains_of_without_an_exception_is_logged(tmp_path):
    log = JsonLog(tmp_path / "service.log")
    loop_handler(log, "http")(asyncio.new_event_loop(), {"message": PLANTED})
    assert told(log.path)["event"] == "uncaught"


def test_the_hooks_are_put_back(tmp_path):
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    with logging_uncaught(JsonLog(tmp_path / "service.log"), "worker"):
        assert sys.excepthook is not before[0]
    assert (sys.excepthook, threading.excepthook, sys.unraisablehook) == before


def test_a_stream_that_redacts():
    behind = io.StringIO()
    stream = RedactedStream(behind)
    stream.write(f"mobius: {PLANTED}\n")
    stream.flush()
    assert behind.getvalue() == "mobius: INTERNAL_API_KEY=[hidden] of [e-mail] in ~/cards\n"
    assert not stream.isatty() and stream.writable()


CODE = """
import os, sys, threading
from pathlib import Path
from mobius_tui.logs import JsonLog
from mobius_tui.uncaught import as_background
with as_background(JsonLog(Path(sys.argv[1])), "worker", silent=sys.argv[2] == "silent"):
    print("chatter")
    os.write(2, b"a library in C\\n")
    thread = threading.Thread(target=lambda: {}[sys.argv[3]])
    thread.start()
    thread.join()
print("last words: " + sys.argv[3], file=sys.stderr)
raise ValueError(sys.argv[3])
"""


def background(path: Path, manner: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, path, manner, PLANTED]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_background_process_in_production_prints_nothing_but_its_last_words(tmp_path):
    done = background(tmp_path / "service.log", "silent")
    assert done.returncode == 1 and done.stdout == ""
    assert "a library in C" not in done.stderr and "last words" in done.stderr
    assert SECRET not in done.stderr and "ann@" not in done.stderr
    assert "KeyError" in told(tmp_path / "service.log")["message"]


def test_elsewhere_it_may_speak_and_is_redacted(tmp_path):
    done = background(tmp_path / "service.log", "loud")
    assert done.stdout == "chatter\n" and "a library in C" in done.stderr
    assert SECRET not in done.stderr and "last words" in done.stderr
