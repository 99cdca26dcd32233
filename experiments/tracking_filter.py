"""What stands before MLflow's server: only listed routes pass, and only open runs take files.

Owns no list (``tracking_routes``) and no rule about runs (``closed_runs``). Nothing that it refuses reaches MLflow: not
its routers, not its middleware, not its log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from experiments.closed_runs import SENTENCE
from experiments.tracking_queries import is_readable
from experiments.tracking_routes import MAKE_VERSION, QUERY, UPLOAD, is_allowed

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_SOURCE = re.compile(r"(?:mlflow-artifacts:/|models:/m-)[A-Za-z0-9_.=@+-]+(?:/[A-Za-z0-9_.=@+ -]+)*/?")
"""Where files of a model may be said to be: in this server's own store."""
_LARGEST = 1 << 20
"""Bytes of a request whose body is looked at."""


@dataclass
class _Upload:
    """A file on its way; once its run has ended, it is cut short and the server's answer is not passed on."""

    file: str
    may_write: Callable[[str], Awaitable[bool]]
    outer_receive: Receive
    outer_send: Send
    is_late: bool = False

    async def receive(self) -> Message:
        message = await self.outer_receive()
        is_last = message["type"] == "http.request" and not message.get("more_body")
        if is_last and not await self.may_write(self.file):
            self.is_late = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if not self.is_late:
            await self.outer_send(message)


class TrackingFilter:
    """An ASGI application around another. ``may_write``: may a file be written at this path of the artefact store?"""

    def __init__(self, app: App, may_write: Callable[[str], Awaitable[bool]]) -> None:
        self.app = app
        self.may_write = may_write

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI. Web sockets and everything else that is no HTTP request are refused."""
        if scope["type"] != "http":
            await _refuse_other(scope, send)
        elif not is_allowed(scope["method"], scope.get("raw_path") or b"", scope["path"]):
            await _answer(send, 404, "RESOURCE_DOES_NOT_EXIST", "no such route here")
        elif scope["method"] == "PUT" and (upload := UPLOAD.fullmatch(scope["path"])):
            await self._upload(upload["file"], scope, receive, send)
        elif MAKE_VERSION.fullmatch(scope["path"]):
            sentence = "source must be a model that a run logged here"
            await self._pass_if(_names_own_files, sentence, scope, receive, send)
        elif scope["path"] == QUERY:
            await self._pass_if(is_readable, "no such query here", scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, file: str, scope: Message, receive: Receive, send: Send) -> None:
        """Pass an upload on; the run must be open before its first piece, and still be before its last."""
        if not await self.may_write(file):
            await _answer(send, 403, "PERMISSION_DENIED", SENTENCE)
            return
        upload = _Upload(file, self.may_write, receive, send)
        try:
            await self.app(scope, upload.receive, upload.send)
        except Exception:
            if not upload.is_late:
                raise
        if upload.is_late:
            await _answer(send, 403, "PERMISSION_DENIED", SENTENCE)

    async def _pass_if(
        self, holds: Callable[[bytes], bool], sentence: str, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Pass a request on with the body that was read, if that holds."""
        body = await _body(receive)
        if not holds(body):
            await _answer(send, 400, "INVALID_PARAMETER_VALUE", sentence)
            return
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            return next(messages, None) or await receive()

        await self.app(scope, again, send)


def _names_own_files(body: bytes) -> bool:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return False
    source = request.get("source") if isinstance(request, dict) else None
    return isinstance(source, str) and bool(_SOURCE.fullmatch(source)) and ".." not in source


async def _body(receive: Receive) -> bytes:
    """The whole body; empty where it is larger than any such request is, or was cut short."""
    body: bytes = b""
    while len(body) <= _LARGEST:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body
    return b""


async def _answer(send: Send, status: int, code: str, sentence: str) -> None:
    """MLflow's form of an error, which its clients can read."""
    body = json.dumps({"error_code": code, "message": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_other(scope: Message, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
