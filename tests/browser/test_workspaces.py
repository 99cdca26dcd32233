"""A workspace in a real Chromium that is logged in to a portal: a plot is made, and what is shown reaches nothing.

The portal is a stand-in on ``localhost``, the nearest host that the settings let stand beside workspaces; it writes
down who asks for what, with which cookies.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.sync_api import Browser, Error, Page, sync_playwright

from experiments.workspaces.desk import Desk, lab_files
from experiments.workspaces.place import Place, draw_label
from experiments.workspaces.proxy import Proxy, page_of
from experiments.workspaces.traffic import Traffic
from tests.slurm import free_ports

pytestmark = pytest.mark.slow
PATIENCE = 60_000
SESSION = "sessionid=of-the-portal"
PLOT = "import matplotlib.pyplot as plt; plt.plot([1, 3, 2])"
SHOWN = """
from IPython.display import HTML, Javascript, SVG, display
there = "http://localhost:{port}"
for html in [
    "<p class='marker'>shown</p>",
    "<script>fetch(there + '/script')</script>".replace("there", repr(there)),
    f"<img src='{{there}}/image'>",
    f"<img src='x' onerror=\\"fetch('{{there}}/onerror')\\">",
    f"<iframe src='{{there}}/frame'></iframe>",
    f"<link rel='stylesheet' href='{{there}}/style'><link rel='prefetch' href='{{there}}/prefetch'>",
    f"<meta http-equiv='refresh' content='0; url={{there}}/refresh'>",
    f"<form action='{{there}}/form' method='post'><input autofocus onfocus='this.form.submit()'></form>",
    f"<div style='background-image:url({{there}}/background)'>a</div><style>@import '{{there}}/import';</style>",
    f"<object data='{{there}}/object'></object><embed src='{{there}}/embed'><video src='{{there}}/video'></video>",
]:
    display(HTML(html))
display(Javascript(f"fetch('{{there}}/javascript')"))
display(SVG(f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{{there}}/svg'/></svg>"))
"""
WORST = """async (there) => {
    const reached = [];
    const attempt = async (name, act) => { try { if (await act()) reached.push(name); } catch (error) {} };
    const loaded = (kind, path) => new Promise((yes, no) => {
        const element = document.createElement(kind);
        element.onload = () => yes(true);
        element.onerror = no;
        element.src = there + path;
        document.body.append(element);
        setTimeout(no, 3000);
    });
    const blind = {credentials: 'include', mode: 'no-cors'};
    await attempt('cookie', () => document.cookie.includes('session'));
    await attempt('own cookie', () => document.cookie.includes('workspace'));
    await attempt('fetch', () => fetch(there + '/fetch', {credentials: 'include'}));
    await attempt('fetch blind', () => fetch(there + '/blind', blind));
    await attempt('post', () => fetch(there + '/post', {method: 'POST', ...blind}));
    await attempt('beacon', () => { navigator.sendBeacon(there + '/beacon', 'x'); });
    await attempt('socket', () => new Promise((yes, no) => {
        const socket = new WebSocket(there.replace('http', 'ws') + '/socket');
        socket.onopen = () => yes(true);
        socket.onerror = no;
    }));
    await attempt('image', () => loaded('img', '/image2'));
    await attempt('script', () => loaded('script', '/script2'));
    loaded('iframe', '/frame2').catch(() => 0);
    await attempt('window', () => window.open(there + '/window') !== null);
    await attempt('worker', () => navigator.serviceWorker.register('/static/lab/main.js'));
    await attempt('download', () => {
        const link = document.createElement('a');
        link.download = 'a.csv';
        link.href = URL.createObjectURL(new Blob(['a']));
        document.body.append(link);
        link.click();
    });
    document.cookie = 'sessionid=evil; domain=localhost; path=/';
    document.cookie = 'csrftoken=evil; domain=.localhost; path=/';
    await attempt('form', () => {
        const form = document.createElement('form');
        form.action = there + '/form2';
        form.method = 'post';
        document.body.append(form);
        form.submit();
    });
    await new Promise((done) => setTimeout(done, 2000));
    return reached;
}"""
"""What a script would try, if one of a notebook's came to run in the page."""


@dataclass
class Portal:
    """``asked``: every request with its cookies."""

    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"


@pytest.fixture
def portal() -> Iterator[Portal]:
    (port,) = free_ports(1)
    stand_in = Portal(port)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.asked.append((self.path, self.headers.get("Cookie", "")))
            self.send_response(200)
            self.send_header("Set-Cookie", f"{SESSION}; HttpOnly; SameSite=Lax; Path=/")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>portal</p>")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield stand_in
    server.shutdown()
    server.server_close()


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def entrance(tmp_path: Path) -> Iterator[str]:
    """The address that lets a browser into a real workspace."""
    folders = [tmp_path / name for name in ("extract", "study", "versions", "packages")]
    for folder in folders:
        folder.mkdir()
    extract, study, versions, packages = folders
    desk, loop = Desk(extract, study, versions, packages), Loop()
    desk.start()
    (port,) = free_ports(1)
    place = Place(draw_label(), desk.socket, Traffic(2**27, 2**24))

    async def redeem(_label: str, _token: str) -> Place:
        return place

    async def begin() -> web.AppRunner:
        place.page = await page_of(desk.socket, 90)
        runner = web.AppRunner(Proxy(f"http://*.localhost:{port}", lab_files(), redeem).application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    try:
        runner = loop.run(begin())
        yield f"http://{place.label}.localhost:{port}/enter?token=t"
        loop.run(runner.cleanup())
    finally:
        desk.end()
        loop.end()


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def cell(page: Page, code: str) -> None:
    """Write code into the notebook's last cell and run it."""
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")


def test_what_a_script_would_try_succeeds_on_a_page_without_a_policy(portal: Portal, chromium: Browser) -> None:
    page = chromium.new_context().new_page()
    page.goto(f"http://elsewhere.localhost:{portal.port}/")
    with suppress(Error):  # the form leads away from the page
        page.evaluate(WORST, portal.address)
    page.wait_for_url("**/form2")
    wanted = {"/fetch", "/blind", "/post", "/beacon", "/socket", "/image2", "/script2", "/frame2", "/window", "/form2"}
    assert wanted - {path for path, _cookies in portal.asked} == set()


def test_a_plot_is_made_and_nothing_shown_touches_the_portal(portal: Portal, entrance: str, chromium: Browser) -> None:
    context = chromium.new_context()
    context.new_page().goto(portal.address)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    downloads: list[Any] = []
    page.on("download", lambda each: downloads.extend([each]))
    page.goto(entrance)
    page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    page.wait_for_selector(".jp-Notebook .cm-content >> visible=true")
    page.wait_for_selector('text="Python 3 (ipykernel) | Idle"')
    cell(page, PLOT)
    page.wait_for_selector(".jp-OutputArea-output img[src^='data:image/png']")
    cell(page, SHOWN.format(port=portal.port))
    page.wait_for_selector(".marker")
    page.wait_for_timeout(3000)
    before = list(portal.asked)

    reached = page.evaluate(WORST, portal.address)

    assert [path for path, _cookies in before if path not in ("/", "/favicon.ico")] == []
    assert reached == []
    assert downloads == []
    assert [path for path, _cookies in portal.asked if path not in ("/", "/favicon.ico")] == []
    context.new_page().goto(f"{portal.address}/after")
    assert portal.asked[-1 if portal.asked[-1][0] == "/after" else -2] == ("/after", SESSION)
    assert "localhost" not in {cookie["domain"] for cookie in context.cookies() if cookie["name"] == "workspace"}
