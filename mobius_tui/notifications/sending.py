"""Sending: a command of the operator's, a webhook, a dead-man ping; each with a hard time limit."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mobius_tui.redaction import redacted_words
from mobius_tui.text import visible

PING_S: Final = 5.0
"""Seconds that a dead-man ping may take."""

_MOST_BYTES = 65_536


def ping(url: str, timeout_s: float = PING_S) -> str:
    """Call an address, as a dead-man switch wants it.

    Args:
        url: http or https; it is a secret and never told.
        timeout_s: Seconds it may take, name look-up included.

    Returns:
        Why it failed, in words without the address; empty when it answered 2xx or 3xx.
    """
    code, problem = ask("GET", url, None, timeout_s)
    return problem or ("" if 200 <= code < 400 else f"answered {code}")


def ask(method: str, url: str, data: bytes | None, timeout_s: float) -> tuple[int, str]:
    """One question over HTTP, in a thread of its own: neither a name look-up nor a slow answer takes longer.

    Args:
        method: ``GET`` or ``POST``.
        url: http or https; a login in it becomes an Authorization header. Redirects are not followed.
        data: The body, JSON; None for none.
        timeout_s: Seconds it may take.

    Returns:
        The answer's status (0 without one), and why there is none, in words without the address.
    """
    question = _Question(method, url, data, timeout_s)
    thread = threading.Thread(target=question.ask, name="notify-http", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        question.give_up()
        return 0, f"no answer within {timeout_s:g} s"
    return question.code, question.problem


@dataclass(slots=True)
class _Question:
    """One request; afterwards either ``problem`` says why not, or ``code`` is the answer's."""

    method: str
    url: str
    data: bytes | None
    timeout_s: float
    code: int = 0
    problem: str = ""
    connection: http.client.HTTPConnection | None = field(default=None)

    def ask(self) -> None:
        try:
            self._ask()
        except TimeoutError:
            self.problem = f"no answer within {self.timeout_s:g} s"
        except ConnectionRefusedError:
            self.problem = "nobody listens there"
        except OSError as error:
            self.problem = visible(redacted_words(error.strerror or type(error).__name__))
        except (http.client.HTTPException, ValueError) as error:  # their words may hold the address
            self.problem = f"no HTTP that can be understood ({type(error).__name__})"
        finally:
            self.give_up()

    def _ask(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError
        kind: Any = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection: http.client.HTTPConnection = kind(parts.hostname, parts.port, timeout=self.timeout_s)
        self.connection = connection
        headers = {"User-Agent": "mobius", "Connection": "close"}
        if self.data is not None:
            headers["Content-Type"] = "application/json"
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode("ascii")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(self.method, path, body=self.data, headers=headers)
        answer = connection.getresponse()
        answer.read(_MOST_BYTES)
        self.code = answer.status

    def give_up(self) -> None:
        """End the connection, also under a thread that still reads from it."""
        if self.connection is None:
            return
        with contextlib.suppress(OSError, AttributeError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.connection.close()
