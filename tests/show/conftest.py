"""A real browser, and pages on which our widgets run as in a notebook, with the real Python side behind them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = """<!doctype html><meta charset=utf-8><link rel=stylesheet href=/style.css>
<body style="margin:8px;background:#fff"><div id=place></div><script type=module>
import widget from "/widget.js";
const heard = {}, changed = new Set(), S = await (await fetch("/state")).json();
for (const name of S.__bytes) S[name] = new DataView(await (await fetch("/bytes/" + name)).arrayBuffer());
function fire(name, ...rest) { for (const act of [...(heard[name] ?? [])]) act(...rest); }
function deliver(packet) {
  const head = new DataView(packet).getUint32(0);
  const messages = JSON.parse(new TextDecoder().decode(packet.slice(4, 4 + head)));
  let at = 4 + head;
  for (const { data, lengths } of messages) {
    const buffers = lengths.map((n) => { const one = new DataView(packet.slice(at, at + n)); at += n; return one; });
    if (data.method === "update") {
      data.buffer_paths.forEach(([name], i) => { data.state[name] = buffers[i]; });
      Object.assign(S, data.state);
      for (const name in data.state) fire("change:" + name);
    } else if (data.method === "custom") fire("msg:custom", data.content, buffers);
  }
}
async function post(data, buffers = []) {
  const text = new TextEncoder().encode(JSON.stringify({ data, lengths: buffers.map((b) => b.byteLength) }));
  const body = new Blob([new Uint32Array([text.length]), text, ...buffers]);
  window.flying++;
  deliver(await (await fetch("/kernel", { method: "POST", body })).arrayBuffer());
  window.flying--;
}
window.flying = 0;
window.poll = () => post(null);
window.S = S;
const model = {
  get: (name) => S[name],
  set: (name, value) => { S[name] = value; changed.add(name); fire("change:" + name); },
  save_changes: () => {
    const state = {}, paths = [], buffers = [];
    for (const name of changed) {
      if (S[name] instanceof DataView) { paths.push([name]); buffers.push(S[name]); } else state[name] = S[name];
    }
    changed.clear();
    post({ method: "update", state, buffer_paths: paths }, buffers);
  },
  send: (content, _, buffers) => post({ method: "custom", content }, buffers),
  on: (name, act) => (heard[name] ??= []).push(act),
  off: (name, act) => { heard[name] = (heard[name] ?? []).filter((one) => one !== act); },
};
window.leave = widget.render({ model, el: document.getElementById("place") });
window.root = document.getElementById("place").firstElementChild;
window.app = root.viewer;
window.ready = true;
</script>"""


@pytest.fixture(scope="session")
def pictures(repository: Path) -> Path:
    """Where screenshots are kept for people to look at; not part of the repository."""
    folder = repository / "test-results" / "show"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Shown:
    """A widget on a page: its JavaScript in the browser, its Python here, and the messages between them.

    `silent` makes the kernel busy: messages are kept and answered when it is over.
    """

    def __init__(self, page: Any, widget: Any) -> None:
        self.page, self.widget = page, widget
        self.silent = False
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.asked: list[Any] = []
        self._outbox: list[tuple[dict[str, Any], list[bytes]]] = []
        widget.comm.publish_msg = self._publish
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.route("**/*", self._serve)
        page.goto("http://viewer.test/")
        page.wait_for_function("window.ready")

    def _publish(self, kind: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        if data and data.get("method") in ("update", "custom"):
            self._outbox.append((data, [bytes(one) for one in buffers or ()]))

    def _serve(self, route: Any) -> None:
        url = route.request.url
        if url.startswith(("data:", "blob:")):
            route.continue_()
            return
        if not url.startswith("http://viewer.test/"):
            self.foreign.append(url)
            route.abort()
            return
        path = url.removeprefix("http://viewer.test")
        if path == "/kernel":
            route.fulfill(body=self._kernel(route.request.post_data_buffer))
        elif path == "/widget.js":
            route.fulfill(body=str(self.widget._esm), content_type="text/javascript")
        elif path == "/style.css":
            route.fulfill(body=str(self.widget._css), content_type="text/css")
        elif path == "/state":
            state = self.widget.get_state()
            held = [name for name, value in state.items() if isinstance(value, (bytes, memoryview))]
            plain = {n: v for n, v in state.items() if n not in held and not n.startswith("_esm")}
            plain = {n: v for n, v in plain.items() if isinstance(v, (str, int, float, list, dict, type(None)))}
            route.fulfill(body=json.dumps({**plain, "__bytes": held}), content_type="application/json")
        elif path.startswith("/bytes/"):
            route.fulfill(body=bytes(getattr(self.widget, path.removeprefix("/bytes/"))))
        elif path == "/":
            route.fulfill(body=PAGE, content_type="text/html")
        else:
            route.fulfill(status=204, body="")

    def _kernel(self, body: bytes) -> bytes:
        size = struct.unpack("<I", body[:4])[0]
        said = json.loads(body[4 : 4 + size])
        if said["data"] is not None:
            self.asked.append(said["data"])
        if self.silent:
            return self._packet([])
        if said["data"] is not None:
            buffers, at = [], 4 + size
            for n in said["lengths"]:
                buffers.append(memoryview(body[at : at + n]))  # as they come in a kernel
                at += n
            self.widget.comm.handle_msg({"content": {"data": said["data"]}, "buffers": buffers})
        sent, self._outbox = self._outbox, []
        return self._packet(sent)

    def _packet(self, messages: list[tuple[dict[str, Any], list[bytes]]]) -> bytes:
        told = [{"data": data, "lengths": [len(one) for one in buffers]} for data, buffers in messages]
        text = json.dumps(told).encode()
        return struct.pack(">I", len(text)) + text + b"".join(one for _, buffers in messages for one in buffers)

    def js(self, code: str, *arguments: Any) -> Any:
        """Evaluate JavaScript on the page."""
        return self.page.evaluate(code, *arguments)

    def until(self, condition: str, timeout_s: float = 20) -> None:
        """Wait until a JavaScript expression is true."""
        self.page.wait_for_function(condition, timeout=timeout_s * 1000)

    def settle(self) -> None:
        """Deliver what Python sent, wait until every tile is there and painted."""
        self.js("poll()")
        self.until("!app.waitsForLimits() && app.image.wanted && app.tiles.missing === 0 && !app.image.due")

    def arrived(self) -> None:
        """Wait until Python has had every message of the browser."""
        self.until("flying === 0")

    def drag(self, selector: str, points: list[tuple[float, float]], *, keys: tuple[str, ...] = ()) -> None:
        """Drag over an element; points are fractions of its size."""
        box = self.page.locator(selector).bounding_box()
        places = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in points]
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()
        for key in keys:
            self.page.keyboard.up(key)

    def pixels(self, selector: str = "canvas.ig-image") -> Any:
        """Return what a canvas shows as ``(y, x, 3)``."""
        import base64

        import numpy as np

        found = self.js(
            """(selector) => { const c = document.querySelector(selector);
            const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            let text = "";
            for (let i = 0; i < d.length; i += 32768) text += String.fromCharCode(...d.subarray(i, i + 32768));
            return [c.width, c.height, btoa(text)]; }""",
            selector,
        )
        return np.frombuffer(base64.b64decode(found[2]), np.uint8).reshape(found[1], found[0], 4)[..., :3]


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Shown]]:
    """Return a function that puts a widget on a page; afterwards there were no errors and no requests out."""
    opened: list[Shown] = []

    def on_page(widget: Any, *, width: int = 1000, height: int = 760, **settings: Any) -> Shown:
        page = browser.new_page(viewport={"width": width, "height": height}, **settings)
        opened.append(Shown(page, widget))
        return opened[-1]

    yield on_page
    for one in opened:
        one.page.close()
    assert [error for one in opened for error in one.errors] == []
    assert [url for one in opened for url in one.foreign] == []
