"""The way into a workspace, attacked from both sides: by browsers that are not let in, and by what answers inside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from experiments.workspaces.place import Place, draw_label
from experiments.workspaces.proxy import Proxy
from experiments.workspaces.traffic import Traffic
from tests.slurm import free_ports
from tests.workspaces import Visitor, frame_of, message_of, read_frame

MB = 2**20
LARGEST, MOST = 2 * MB, 5 * MB
EVIL = "<script>alert(1)</script>"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scene:
    """A proxy before a place whose inside is ``handler``; ``asked``: the requests that came in to it."""

    def __init__(self, port: int, proxy: Proxy, place: Place, asked: list[web.Request]) -> None:
        self.port, self.proxy, self.place, self.asked = port, proxy, place, asked
        self.visitor = Visitor(port, f"http://{place.label}.localhost:{port}/enter?token=right")


@asynccontextmanager
async def scene(handler: Handler | None = None) -> AsyncIterator[Scene]:
    with TemporaryDirectory(prefix="erios-proxy-") as name:
        folder = Path(name)
        (folder / "lab" / "static").mkdir(parents=True)
        (folder / "lab" / "static" / "main.js").write_text("lab")
        (folder / "secret.js").write_text("secret")
        asked: list[web.Request] = []

        async def inside(request: web.Request) -> web.StreamResponse:
            asked.append(request)
            return await handler(request) if handler else web.json_response({"path": request.path})

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", inside)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.UnixSite(runner, str(folder / "socket")).start()
        (port,) = free_ports(1)
        place = Place(draw_label(), folder / "socket", Traffic(MOST, LARGEST), b"the page")
        used: list[str] = []

        async def redeem(label: str, token: str) -> Place | None:
            if (label, token) != (place.label, "right") or used:
                return None
            used.append(token)
            return place

        proxy = Proxy(f"http://*.localhost:{port}", folder / "lab", redeem)
        outer = web.AppRunner(proxy.application())
        await outer.setup()
        await web.TCPSite(outer, "127.0.0.1", port).start()
        try:
            yield Scene(port, proxy, place, asked)
        finally:
            await outer.cleanup()
            await runner.cleanup()


def entered(play: Callable[[Scene], Awaitable[None]], handler: Handler | None = None) -> None:
    """Play a scene in which the visitor has been let in."""

    async def whole() -> None:
        async with scene(handler) as it:
            assert await it.visitor.enter() == 200
            await play(it)

    asyncio.run(whole())


def test_a_token_works_once_and_for_its_own_place() -> None:
    async def play() -> None:
        async with scene() as it:
            stranger = Visitor(it.port, f"http://{draw_label()}.localhost:{it.port}/enter?token=right")
            assert await stranger.enter() == 403
            wrong = Visitor(it.port, f"http://{it.place.label}.localhost:{it.port}/enter?token=wrong")
            assert await wrong.enter() == 403
            assert await it.visitor.enter() == 200
            again = Visitor(it.port, f"http://{it.place.label}.localhost:{it.port}/enter?token=right")
            assert await again.enter() == 403
            assert (await it.visitor.ask("GET", "/api/status"))[0] == 200

    asyncio.run(play())


def test_who_enters_last_takes_the_place_of_who_entered_before() -> None:
    async def play(it: Scene) -> None:
        it.place.admit()
        assert (await it.visitor.ask("GET", "/api/status"))[0] == 403

    entered(play)


@pytest.mark.parametrize(
    "changed",
    [
        {"Cookie": ""},
        {"Cookie": "workspace="},
        {"Cookie": "workspace=x"},
        {"Host": "localhost"},
        {"Host": "127.0.0.1"},
        {"Host": "evil.example.org"},
        {"Host": "{label}.evil.example.org"},
        {"Host": "{label}.localhost"},
        {"Host": "x.{label}.localhost:{port}"},
        {"Host": "{label}.localhost:{port}.evil.example.org"},
        {"Host": ".localhost:{port}"},
        {"Host": "0123456789abcdef0123456789abcdef.localhost:{port}"},
        {"Origin": "http://evil.example.org"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "https://{label}.localhost:{port}"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Service-Worker": "script"},
        {"Sec-Purpose": "prefetch"},
    ],
    ids=str,
)
@pytest.mark.parametrize("asked", [("GET", "/api/status"), ("POST", "/api/kernels"), ("GET", "/lab")], ids=str)
def test_a_request_that_is_not_the_places_own_is_refused(changed: dict[str, str], asked: tuple[str, str]) -> None:
    async def play(it: Scene) -> None:
        names = {"label": it.place.label, "port": str(it.port)}
        headers = {name.replace("-", "_"): value.format(**names) for name, value in changed.items()}
        status, _headers, body = await it.visitor.ask(*asked, **headers)
        assert status in (403, 404)
        assert b"the page" not in body
        assert it.asked == []

    entered(play)


def test_a_change_or_a_stream_without_an_origin_is_refused() -> None:
    async def play(it: Scene) -> None:
        cookie = {"Host": it.visitor.host, "Cookie": f"workspace={it.visitor.cookie}"}
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            address = f"http://127.0.0.1:{it.port}/api/kernels"
            async with session.post(address, headers=cookie) as answer:
                assert answer.status == 403
            for origin in ({}, {"Origin": "http://evil.example.org"}):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(f"{address}/k/channels", headers={**cookie, **origin})
        assert it.asked == []

    entered(play)


_SENT = {"Host", "Accept", "Accept-Encoding", "Connection", "Content-Type", "User-Agent"}


def test_nothing_of_the_outer_world_goes_in_and_no_cookie_comes_out() -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"Set-Cookie": "sessionid=evil; Path=/", "X-Evil": "1", "Location": "http://evil.example.org"}
        return web.json_response({}, headers={**headers, "Access-Control-Allow-Origin": "*", "Refresh": "0; url=//e"})

    async def play(it: Scene) -> None:
        cookie = f"workspace={it.visitor.cookie}; sessionid=of-the-portal"
        sent = {"Cookie": cookie, "Authorization": "Basic x", "X_Forwarded_For": "1.2.3.4", "Referer": "http://portal/"}
        status, headers, _body = await it.visitor.ask("GET", "/api/contents?token=right&content=1", **sent)
        assert status == 200
        assert set(it.asked[0].headers) <= _SENT
        assert it.asked[0].query_string == "content=1"
        assert {"Set-Cookie", "X-Evil", "Location", "Access-Control-Allow-Origin", "Refresh"} & set(headers) == set()
        assert headers["Cache-Control"] == "no-store"

    entered(play, answer)


CLOSED = [
    *("/files/result.csv", "/nbconvert/html/a.ipynb", "/nbconvert/html/a.ipynb?download=1", "/api/nbconvert"),
    *("/terminals/1", "/api/terminals", "/terminals/websocket/1", "/lab/api/extensions", "/lab/extensions/x/y.js"),
    *("/api/shutdown", "/api/security/csp-report", "/api/events", "/api/events/subscribe", "/lsp/status"),
    *("/login", "/logout", "/tree", "/view/a", "/edit/a", "/api", "/api/spec.yaml", "/metrics", "/api/contentsx"),
    *("/api/contents/../../files/a", "/api/contents/%2e%2e/%2e%2e/files/a", "/api/contents/..%2f..%2ffiles/a"),
    *("/api/contents/%5c..%5cfiles", "/api//contents", "//evil.example.org/api/status", "/lab/tree/../../files/a"),
    *("/api/contents/a%00", "/api/kernels/a/b/channels", "/api/kernels/../files/a", "/static/x/main.js", "/enter/"),
    *("/api/contents/data.parquet?format=base64", "/api/contents/data.parquet?type=file&format=base64&content=1"),
    *("/custom/custom.js", "/kernelspecs/python3/kernel.js", "/files", "/lab/api/news", "/lab/api/update"),
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_every_other_route_is_closed(method: str) -> None:
    async def play(it: Scene) -> None:
        for path in CLOSED:
            status, _headers, _body = await it.visitor.ask(method, path)
            assert status in (403, 404), path
        assert [str(request.rel_url) for request in it.asked] == []

    entered(play)


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.js", "%2e%2e/secret.js", "..%2fsecret.js", "..%2f..%2fsecret.js", "%2e%2e%2f%2e%2e%2fsecret.js"),
        *("/secret.js", "%2fetc%2fpasswd", "....//secret.js", "nothing.js", "."),
    ],
)
def test_only_jupyterlabs_own_files_are_read_outside(path: str) -> None:
    async def play(it: Scene) -> None:
        assert (await it.visitor.ask("GET", "/static/lab/main.js"))[2] == b"lab"
        for prefix in ("/static/lab/", "/lab/api/themes/"):
            status, _headers, body = await it.visitor.ask("GET", prefix + path)
            assert (status in (403, 404), b"secret" in body) == (True, False)
        assert it.asked == []

    entered(play)


def test_downloads_that_were_refused_are_counted() -> None:
    async def play(it: Scene) -> None:
        for path in ("/files/a", "/nbconvert/html/a", "/api/contents/a.parquet?format=base64", "/api/events"):
            await it.visitor.ask("GET", path)
        assert it.place.traffic.refused == 3

    entered(play)


async def _redirect(_request: web.Request) -> web.Response:
    raise web.HTTPFound("http://evil.example.org/")


async def _page(_request: web.Request) -> web.Response:
    return web.Response(text=f"<html>{EVIL}</html>", content_type="text/html")


async def _script(_request: web.Request) -> web.Response:
    return web.Response(text="alert(1)", content_type="text/javascript")


async def _bytes(_request: web.Request) -> web.Response:
    return web.Response(body=b"\0\1" * 100, content_type="application/json")


async def _deep(_request: web.Request) -> web.Response:
    return web.Response(text="[" * 100_000, content_type="application/json")


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(4 * MB // 2**16):
        await response.write(b" " * 2**16)
    return response


@pytest.mark.parametrize("handler", [_redirect, _page, _script, _bytes, _deep, _endless])
def test_what_is_no_json_does_not_come_out(handler: Handler) -> None:
    async def play(it: Scene) -> None:
        status, headers, body = await it.visitor.ask("GET", "/api/contents/a")
        assert status in (413, 502)
        assert headers["Content-Type"].startswith("application/json")
        assert set(json.loads(body)) == {"message", "reason"}

    entered(play, handler)


def test_pages_come_from_outside_whoever_answers_inside() -> None:
    async def play(it: Scene) -> None:
        for path in ("/lab", "/lab/tree/a.ipynb", "/lab/workspaces/x"):
            status, headers, body = await it.visitor.ask("GET", path)
            assert (status, body) == (200, b"the page")
            policy = dict(each.split(" ", 1) for each in headers["Content-Security-Policy"].split("; "))
            assert policy["script-src"] == f"{it.visitor.origin}/static/lab/ 'unsafe-eval'"
            assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
            assert "allow-downloads" not in policy["sandbox"]
        assert it.asked == []

    entered(play, _page)


def test_what_leaves_is_counted_and_ends_at_its_limit() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"content": "x" * MB})

    async def play(it: Scene) -> None:
        answers = [(await it.visitor.ask("GET", "/api/contents/a"))[0] for _ in range(6)]
        assert answers == [200, 200, 200, 200, 413, 413]
        assert it.place.traffic.out <= MOST

    entered(play, answer)


def test_outputs_in_a_notebook_are_in_the_forms_that_may_be_shown() -> None:
    data = {"text/html": f"<b>b</b>{EVIL}", "application/javascript": "alert(1)", "text/markdown": EVIL}
    cell = {"metadata": {"trusted": True}, "outputs": [{"data": data}], "attachments": {"a": {"image/svg+xml": EVIL}}}

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"type": "notebook", "content": {"cells": [cell, 1, {"outputs": None}]}})

    async def play(it: Scene) -> None:
        _status, _headers, body = await it.visitor.ask("GET", "/api/contents/a.ipynb")
        shown = json.loads(body)["content"]["cells"][0]
        assert shown == {"metadata": {}, "outputs": [{"data": {"text/html": "<b>b</b>alert(1)"}}]}

    entered(play, answer)


def message(kind: str, channel: str = "iopub", **content: Any) -> str:
    return json.dumps({**message_of(kind, content), "channel": channel, "buffers": [], "msg_type": kind})


HOSTILE_MESSAGES = [
    message("comm_open", target_name="x", data={}),
    message("comm_msg", data={"x": 1}),
    message("debug_event"),
    message("status", channel="evil", execution_state="idle"),
    message("execute_request", channel="shell", code="1"),
    message("update_display", execution_state="idle"),
    json.dumps([]),
    json.dumps({"header": {"msg_type": ["status"]}, "channel": "iopub", "content": {}}),
    json.dumps({"header": {"msg_type": "status"}, "channel": {}, "content": {}}),
    json.dumps({"header": {"msg_type": "status"}, "channel": "iopub", "content": "x"}),
    "[" * 100_000,
    "no json",
    "",
]


def test_only_named_messages_pass_in_both_directions() -> None:
    heard: list[Any] = []

    async def kernel(request: web.Request) -> web.StreamResponse:
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        for text in HOSTILE_MESSAGES:
            await stream.send_str(text)
        await stream.send_bytes(frame_of(message_of("display_data", {"data": {"text/plain": "as bytes"}}), "iopub"))
        data = {"text/html": f"a{EVIL}", "text/plain": "a", "image/svg+xml": EVIL, "application/x-evil": "x"}
        await stream.send_str(message("display_data", data=data, metadata={}))
        async for frame in stream:
            heard.append(json.loads(frame.data))
            if len(heard) == 2:
                break
        await stream.close()
        return stream

    async def play(it: Scene) -> None:
        async with it.visitor.channels("k") as stream:
            channel, (header, _parent, _metadata, content) = read_frame((await stream.receive()).data)
            assert (channel, header["msg_type"]) == ("iopub", "display_data")
            assert content["data"] == {"text/html": "aalert(1)", "text/plain": "a"}
            for sent in (b"", b"\xff" * 16, b"\xff" * 8 + b"\0" * 8, (9).to_bytes(8, "little") + b"\0" * 200):
                await stream.send_bytes(sent)
            await stream.send_str(message("execute_request", channel="shell", code="as text"))
            await stream.send_bytes(frame_of(message_of("comm_open", {"target_name": "x"})))
            await stream.send_bytes(frame_of(message_of("execute_request", {"code": "1"}), "iopub"))
            await stream.send_bytes(frame_of(message_of("kernel_info_request", {})))
            await stream.send_bytes(frame_of(message_of("execute_request", {"code": "2"})))
            while (await stream.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pass
        assert [each["header"]["msg_type"] for each in heard] == ["kernel_info_request", "execute_request"]
        assert heard[1]["content"] == {"code": "2"}

    entered(play, kernel)


def test_a_stream_ends_with_its_place() -> None:
    async def kernel(request: web.Request) -> web.StreamResponse:
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        async for _frame in stream:
            pass
        return stream

    async def play(it: Scene) -> None:
        async with it.visitor.channels("k") as stream:
            await asyncio.sleep(0)
            await it.proxy.close(it.place.label)
            while (await stream.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pass
        assert (await it.visitor.ask("GET", "/api/status"))[0] == 403

    entered(play, kernel)
