"""A visitor of workspaces as a browser is one, but that says what it likes; and a server of workspaces to visit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from yarl import URL

from tests.slurm import free_ports, wait_for

PROTOCOL = "v1.kernel.websocket.jupyter.org"


@contextmanager
def serving(**settings: str) -> Iterator[int]:
    """A server of workspaces of this home, on a port of its own; ``settings``: of its section, by name."""
    (port,) = free_ports(1)
    address = f"http://*.localhost:{port}"
    variables = {f"ERIOS_WORKSPACE__{name.upper()}": value for name, value in {"address": address, **settings}.items()}
    os.environ |= variables
    command = [sys.executable, "-m", "erios", "workspace", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: answers(port) or process.poll() is not None, "server of workspaces")
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=60)
        for name in variables:
            del os.environ[name]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Visitor:
    """``label``: the workspace's; ``cookie``: what it was let in with, empty before it enters."""

    def __init__(self, port: int, address: str) -> None:
        self.port, self.token = port, address.partition("token=")[2]
        self.label = address.removeprefix("http://").partition(".")[0]
        self.host = f"{self.label}.localhost:{port}"
        self.origin = f"http://{self.host}"
        self.cookie = ""

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of an answer; ``headers`` replace those that a browser would send."""
        given = self._headers() | {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
            data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            async with session.request(method, url, data=data, headers=given, allow_redirects=False) as answer:
                return answer.status, answer.headers, await answer.read()

    def _headers(self) -> dict[str, str]:
        cookie = {"Cookie": f"workspace={self.cookie}"} if self.cookie else {}
        return {"Host": self.host, "Origin": self.origin, **cookie}

    async def enter(self) -> int:
        """Use the token; the answer's status."""
        status, headers, _body = await self.ask("GET", f"/enter?token={self.token}")
        if status == 200:
            self.cookie = headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        return status

    async def run(self, code: str) -> list[dict[str, Any]]:
        """Run code in a new kernel, as a notebook would; the messages that come of it, until the kernel rests."""
        _status, _headers, body = await self.ask("POST", "/api/kernels", {"name": "python3"})
        kernel = json.loads(body)["id"]
        async with self.channels(kernel) as stream:
            return await execute(stream, code)

    def channels(self, kernel: str) -> Any:
        return _channels(self, kernel, self._headers())


class _channels:  # noqa: N801 - used as a function
    """An open stream of a kernel's messages."""

    def __init__(self, visitor: Visitor, kernel: str, headers: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{visitor.port}/api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
        self.headers = headers

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            return await self.session.ws_connect(
                self.url, headers=self.headers, protocols=[PROTOCOL], max_msg_size=2**27
            )
        except BaseException:
            await self.session.close()
            raise

    async def __aexit__(self, *_exc: object) -> None:
        await self.session.close()


def message_of(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "session": uuid.uuid4().hex,
        "username": "",
        "date": "2031-01-01T00:00:00Z",
        "msg_type": kind,
        "version": "5.3",
    }
    return {"header": header, "parent_header": {}, "metadata": {}, "content": dict(content)}


def frame_of(message: Mapping[str, Any], channel: str = "shell") -> bytes:
    """A browser's frame, as Jupyter's own server writes one."""
    names = ("header", "parent_header", "metadata", "content")
    return bytes(serialize_msg_to_ws_v1([json.dumps(message[name]).encode() for name in names], channel))


def read_frame(frame: bytes) -> tuple[str, list[dict[str, Any]]]:
    channel, parts = deserialize_msg_from_ws_v1(frame)
    return channel, [json.loads(part) for part in parts]


async def execute(stream: aiohttp.ClientWebSocketResponse, code: str) -> list[dict[str, Any]]:
    """Ask for code to be run; what comes of it, as messages with their channel, until the kernel rests."""
    asked = message_of("execute_request", {"code": code, "silent": False, "store_history": True, "allow_stdin": False})
    await stream.send_bytes(frame_of(asked))
    heard = []
    async for frame in stream:
        channel, (header, parent, _metadata, content) = read_frame(frame.data)
        if parent.get("msg_id") == asked["header"]["msg_id"]:
            heard.append({"channel": channel, "kind": header["msg_type"], "content": content})
            if header["msg_type"] == "status" and content["execution_state"] == "idle":
                break
    return heard


def printed(heard: list[dict[str, Any]]) -> str:
    """What the code printed, and the error that it ended with, if any."""
    streams = [each["content"]["text"] for each in heard if each["kind"] == "stream"]
    errors = [f"{each['content']['ename']}: {each['content']['evalue']}" for each in heard if each["kind"] == "error"]
    return "".join([*streams, *errors])
