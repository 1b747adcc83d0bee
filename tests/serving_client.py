"""One question to a worker's HTTP, everything that came back as text."""

from __future__ import annotations

import http.client
from collections.abc import Mapping


def asked(port: int, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return f"{method} {path} {answer.status} {answer.getheaders()} {answer.read().decode()}"
    except OSError as error:
        return f"{method} {path} {error}"
    finally:
        connection.close()
