"""Asking the workspace's service for what its key guards."""

from __future__ import annotations

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.launch.api_key import KEY_HEADER, read_api_key
from mobius_tui.launch.health import START_WORKER, address_of, worker_address
from mobius_tui.launch.questions import Answer, call, shown_url
from mobius_tui.workspace import Workspace

ANSWER_S = 10.0
"""Seconds an answer may take."""


class NoService(EnvironmentFailed):
    """No worker answers here, so there is nobody to ask."""


def ask_service(ws: Workspace, path: str) -> bytes:
    """What the service answers to a GET, asked with the key where one is set.

    Args:
        ws: The workspace.
        path: Of the endpoint, such as ``/metrics``.

    Returns:
        The body of a 200.

    Raises:
        NoService: Nobody answers.
        BadInput: The service does not take the key.
        EnvironmentFailed: The key cannot be read, or the service refuses to tell.
        ProcessingFailed: It answered something else.
    """
    base_url = address_of(ws)
    if not base_url:
        address = worker_address(ws)
        if address is None:
            raise NoService("no worker answers", fix=f"`{START_WORKER}`")
        raise NoService(address.sentence, fix=address.advice)
    key = read_api_key(ws)
    answer = call(base_url, "GET", path, headers={KEY_HEADER: key} if key else {}, timeout_s=ANSWER_S)
    if answer.status == 200:
        return answer.data
    raise _refusal(answer, f"{shown_url(base_url)}{path}", has_key=bool(key))


def _refusal(answer: Answer, place: str, *, has_key: bool) -> MobiusError:
    if not answer.status:
        return NoService(answer.problem, where=place, fix="`mobius worker status` says more")
    if answer.status == 401:
        said = "the API key is not the service's" if has_key else "the service asks for an API key, and none is set"
        return BadInput(said, where=place, fix="set internal_api_key_file, then `mobius worker restart`")
    if answer.status == 403:
        return EnvironmentFailed("the service refuses to tell", where=place, fix="`mobius doctor` says why")
    return ProcessingFailed(f"the service answered {answer.status}", where=place, fix="`mobius logs` says more")
