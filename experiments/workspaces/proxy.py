"""The way into workspaces: one browser each, on a host name of its own, through the routes that are open.

Owns who is let in, the headers of every answer, and that nothing of the outer world's (cookies, logins) goes in and
nothing comes out but what ``routes``, ``messages`` and ``shown_output`` let pass, counted. What answers inside is taken
for hostile: whoever runs a notebook can take JupyterLab's place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from experiments.workspaces import messages
from experiments.workspaces.place import ENTRY, Place
from experiments.workspaces.routes import Kind, is_download, query_of, route_of
from experiments.workspaces.shown_output import clean_notebook
from experiments.workspaces.traffic import TrafficError

_INSIDE = "http://localhost"
_IN_MB = 64
_PATIENCE = aiohttp.ClientTimeout(total=60)
_LONG = 2**14
"""Characters from which a message is looked through in a thread."""
_SAME = ("same-origin", "none")
_TYPES = {
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_ENTERED = (
    b'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/lab"><a href="/lab">/lab</a>'
)

Redeem = Callable[[str, str], Awaitable[Place | None]]


class Proxy:
    """``address``: as ``https://*.work.example.org``, whose star is a place's label. ``files``: JupyterLab's own.

    ``redeem``: from a label and a token to the place that it opens, once; None for any other.
    """

    def __init__(self, address: str, files: Path, redeem: Redeem) -> None:
        self.address = address
        self.files = files.resolve()
        self.redeem = redeem
        self.places: dict[str, Place] = {}
        self._suffix = urlsplit(address).netloc.removeprefix("*")
        self._secure = address.startswith("https:")
        self.cookie = "__Host-workspace" if self._secure else "workspace"

    def application(self) -> web.Application:
        """The server's application."""
        application = web.Application(client_max_size=_IN_MB * 2**20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    def origin_of(self, label: str) -> str:
        """Where a place's pages are."""
        return self.address.replace("*", label)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        label = self._label(request)
        try:
            response = await self._judged(request, label)
        except (TrafficError, web.HTTPRequestEntityTooLarge) as error:
            response = _refusal(413, str(error))
        except (aiohttp.ClientError, TimeoutError, OSError):
            response = _refusal(502, "the workspace does not answer")
        if not response.prepared:
            self._head(response, label)
        return response

    async def _judged(self, request: web.Request, label: str) -> web.StreamResponse:
        if not label or len(request.headers.getall("Host", [])) != 1:
            return _refusal(404, "there is no such workspace")
        if "Service-Worker" in request.headers or request.headers.get("Sec-Purpose"):
            return _refusal(403, "a workspace takes no service worker and no early request")
        if request.path == ENTRY and request.method == "GET":
            return await self._enter(request, label)
        place = self.places.get(label)
        if place is None or place.is_closed or not place.is_admitted(request.cookies.get(self.cookie, "")):
            return _refusal(403, "enter from the portal, or with `erios workspace open`")
        if not self._is_own(request, label):
            place.traffic.refused += 1
            return _refusal(403, "the request comes from another page")
        return await self._pass(request, place)

    def _label(self, request: web.Request) -> str:
        """The place that the host names; empty for any other host."""
        host = request.headers.get("Host", "").lower()
        label = host.removesuffix(self._suffix)
        return label if label != host and label.isalnum() else ""

    def _is_own(self, request: web.Request, label: str) -> bool:
        """Does the request come from the place's own pages?"""
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in _SAME or (origin is not None and origin != self.origin_of(label)):
            return False
        is_plain = request.method in ("GET", "HEAD") and "Upgrade" not in request.headers
        return is_plain or origin is not None

    async def _enter(self, request: web.Request, label: str) -> web.StreamResponse:
        """Let a browser in by its token; it moves on from a page of this origin, so that its cookie goes along."""
        place = await self.redeem(label, request.query.get("token", ""))
        if place is None:
            return _refusal(403, "this way in was used already, or too late: ask for another")
        self.places[label] = place
        response = web.Response(body=_ENTERED, content_type="text/html")
        response.set_cookie(self.cookie, place.admit(), httponly=True, samesite="Strict", secure=self._secure, path="/")
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    async def _pass(self, request: web.Request, place: Place) -> web.StreamResponse:
        if request.path == "/" and request.method == "GET":
            raise web.HTTPFound("/lab", headers={"Cache-Control": "no-store"})
        kind = route_of(request.method, request.rel_url.raw_path)
        query = query_of(request.path, request.query)
        if kind is None or query is None:
            place.traffic.refused += is_download(request.path) or query is None
            return _refusal(403, "this does not leave a workspace, nor come into it: ask for it at the airlock")
        if kind is Kind.PAGE:
            return web.Response(body=place.page, content_type="text/html", charset="utf-8")
        if kind is Kind.FILE:
            return self._file(request.path)
        if kind is Kind.CHANNELS:
            return await self._channels(request, place, query)
        return await self._json(request, place, query)

    def _file(self, path: str) -> web.StreamResponse:
        for prefix, folder in (("/static/lab/", "static"), ("/lab/api/themes/", "themes")):
            if path.startswith(prefix):
                file = (self.files / folder / path.removeprefix(prefix)).resolve()
                if file.is_relative_to(self.files / folder) and file.is_file() and file.suffix in _TYPES:
                    kept = {"Content-Type": _TYPES[file.suffix], "Cache-Control": "private, max-age=3600"}
                    return web.FileResponse(file, headers=kept)
        return _refusal(404, "there is no such file")

    async def _json(self, request: web.Request, place: Place, query: Mapping[str, str]) -> web.StreamResponse:
        body = await request.read()
        if request.method not in ("GET", "HEAD"):
            place.note_work()
        url = URL(_INSIDE + request.rel_url.raw_path, encoded=True).with_query(dict(query))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with (
            _session(place) as session,
            session.request(request.method, url, data=body or None, headers=headers, allow_redirects=False) as inside,
        ):
            text = await _read(inside, place.traffic.largest)
        answer = await asyncio.to_thread(_clean_answer, text)
        place.traffic.check(len(answer))
        if inside.status == 204:
            return web.Response(status=204)
        if 400 <= inside.status < 600 and not answer:
            return _refusal(inside.status, "JupyterLab refused it")
        if not 200 <= inside.status < 600 or not answer or 300 <= inside.status < 400:
            return _refusal(502, "the workspace's answer cannot be read")
        return web.Response(status=inside.status, body=answer, content_type="application/json")

    async def _channels(self, request: web.Request, place: Place, query: Mapping[str, str]) -> web.StreamResponse:
        outer = web.WebSocketResponse(protocols=[messages.PROTOCOL], max_msg_size=_IN_MB * 2**20, heartbeat=30)
        if not outer.can_prepare(request):
            return _refusal(400, "a kernel's messages come over a WebSocket")
        self._head(outer, place.label)
        url = URL(_INSIDE + request.rel_url.raw_path, encoded=True).with_query(dict(query))
        async with (
            _session(place) as session,
            session.ws_connect(url, max_msg_size=place.traffic.largest, heartbeat=30) as inner,
        ):
            await outer.prepare(request)
            place.streams.add(outer)
            try:
                await _both(_from_browser(outer, inner, place), _from_kernel(inner, outer, place))
            finally:
                place.streams.discard(outer)
                with suppress(ConnectionError, TimeoutError):
                    await outer.close()
        return outer

    def _head(self, response: web.StreamResponse, label: str) -> None:
        origin = self.origin_of(label) if label else "'none'"
        response.headers.update(headers_of(origin))
        response.headers.setdefault("Cache-Control", "no-store")

    async def close(self, label: str) -> None:
        """Let nobody in any more, and end every stream."""
        place = self.places.pop(label, None)
        if place is not None:
            place.is_closed = True
            await asyncio.gather(*(stream.close() for stream in set(place.streams)), return_exceptions=True)


def headers_of(origin: str) -> dict[str, str]:
    """What every answer says to the browser: JupyterLab's own scripts, its own address, and nothing else."""
    calls = f"{origin} {origin.replace('http', 'ws', 1)}" if origin.startswith("http") else "'none'"
    scripts = f"{origin}/static/lab/ 'unsafe-eval'" if origin.startswith("http") else "'none'"
    policy = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "connect-src": calls,
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "sandbox": "allow-scripts allow-same-origin allow-modals",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=(), usb=(), serial=(), hid=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-DNS-Prefetch-Control": "off",
        "X-Frame-Options": "DENY",
        "Server": "workspace",
    }


async def page_of(socket: Path, patience: float) -> bytes:
    """JupyterLab's page, as soon as it answers; OSError or TimeoutError if it does not."""
    async with (
        asyncio.timeout(patience),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=_PATIENCE) as session,
        session.get(f"{_INSIDE}/lab", allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise OSError("JupyterLab did not begin")
        return await response.read()


def _session(place: Place) -> aiohttp.ClientSession:
    """Nothing is kept between two requests, so that no cookie of the inside ever goes back in or out."""
    connector = aiohttp.UnixConnector(str(place.socket), force_close=True)
    return aiohttp.ClientSession(connector=connector, timeout=_PATIENCE, cookie_jar=aiohttp.DummyCookieJar())


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(2**16):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise TrafficError(f"an answer of more than {most >> 20} MiB does not leave a workspace")
    return b"".join(pieces)


def _clean_answer(text: bytes) -> bytes:
    """The answer read and written anew, with outputs of notebooks in the forms that may be shown; empty if no JSON."""
    try:
        answer = json.loads(text)
        if isinstance(answer, dict) and isinstance(answer.get("content"), dict):
            clean_notebook(answer["content"])
        return json.dumps(answer).encode()
    except (ValueError, RecursionError):
        return b""


async def _both(*pumps: Any) -> None:
    """Until one of them ends; then the other ends too."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _from_browser(outer: web.WebSocketResponse, inner: aiohttp.ClientWebSocketResponse, place: Place) -> None:
    async for frame in outer:
        message = messages.from_browser(frame.data) if frame.type is aiohttp.WSMsgType.BINARY else None
        if message is not None:
            if messages.is_work(message):
                place.note_work()
            await inner.send_str(json.dumps(message))


async def _from_kernel(inner: aiohttp.ClientWebSocketResponse, outer: web.WebSocketResponse, place: Place) -> None:
    async for frame in inner:
        if frame.type is not aiohttp.WSMsgType.TEXT:
            continue
        long = len(frame.data) > _LONG
        shown = await asyncio.to_thread(messages.from_kernel, frame.data) if long else messages.from_kernel(frame.data)
        if shown is not None:
            try:
                place.traffic.check(len(shown))
            except TrafficError:
                return
            await outer.send_bytes(shown)


def _refusal(status: int, sentence: str) -> web.Response:
    return web.json_response({"message": sentence, "reason": sentence}, status=status)
