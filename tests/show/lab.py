"""JupyterLab as a user runs it, driven through its own commands, in a browser that may ask no other host."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

#: Server extensions that other packages bring; without them Lab starts in half the time.
IDLE = ("panel.io.jupyter_server_extension", "nbdime", "jupytext", "jupyter_lsp", "jupyter_server_terminals")

OPEN = """async (path) => {
  const app = window.jupyterapp;
  await app.started; await app.restored;
  const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await panel.context.ready; await panel.revealed; await panel.sessionContext.ready;
  app.shell.activateById(panel.id);
  window.panel = panel;
}"""
RUN = """async () => {
  await window.jupyterapp.commands.execute("notebook:run-all-cells");
  const cells = [];
  for (let i = 0; i < panel.content.model.cells.length; i++) {
    const cell = panel.content.model.cells.get(i);
    if (cell.type !== "code") continue;
    const outputs = cell.outputs.toJSON(), error = outputs.find((one) => one.output_type === "error");
    cells.push({ count: cell.executionCount, error: error ? error.ename + ": " + error.evalue : null,
      kinds: outputs.flatMap((one) => Object.keys(one.data ?? {})) });
  }
  return cells;
}"""
ASK = """async (code) => {
  const future = panel.sessionContext.session.kernel.requestExecute(
    { code: "", silent: true, store_history: false, user_expressions: { asked: code } });
  const asked = (await future.done).content.user_expressions.asked;
  return asked.status === "ok" ? asked.data["text/plain"] : asked.ename + ": " + asked.evalue;
}"""


@contextmanager
def jupyterlab(root: Path, settings: Path, *, command: Sequence[str] = ("-m", "jupyterlab")) -> Iterator[str]:
    """Start JupyterLab on a folder, as this interpreter, without news and without settings of the user."""
    quiet = settings / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    (settings / "config").mkdir()
    extensions = {"ServerApp": {"root_dir": str(root), "jpserver_extensions": dict.fromkeys(IDLE, False)}}
    (settings / "config" / "jupyter_server_config.json").write_text(json.dumps(extensions))
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "spaces",
    }
    environment = os.environ | {name: str(settings / folder) for name, folder in places.items()}
    environment |= {"JUPYTER_RUNTIME_DIR": str(settings / "runtime"), "JUPYTER_PREFER_ENV_PATH": "1"}
    options = ("--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=")
    options += ("--ServerApp.disable_check_xsrf=True", "--expose-app-in-browser")
    log = settings / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, *command, *options],
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _address(server, log)
    finally:
        server.send_signal(signal.SIGTERM)  # an interrupt would wait for an answer
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:(\d+)/lab", log.read_text())
        if found:
            address = f"http://127.0.0.1:{found[1]}"
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
            except (urllib.error.URLError, TimeoutError):
                pass
            else:
                return address
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended: {log.read_text()[-2000:]}")
        time.sleep(0.2)
    raise TimeoutError(f"JupyterLab did not start in two minutes: {log.read_text()[-2000:]}")


class Lab:
    """One page of JupyterLab with a notebook; what it asked of others and what went wrong is kept."""

    def __init__(self, browser: Any, address: str, root: Path) -> None:
        self.root, self.address = root, address
        self.page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, name: str, *sources: str) -> None:
        """Write a notebook of code cells, unless it is there, and open it."""
        if sources:
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)  # without it a dialog asks for a kernel
            nbformat.write(notebook, self.root / name)
        self.start("/lab?reset")
        self.page.evaluate(OPEN, name)

    def start(self, path: str = "") -> None:
        """Go to a page of JupyterLab and wait until its parts can be driven."""
        self.page.goto(self.address + path)
        self.page.wait_for_function("window.jupyterapp", timeout=120_000)

    def run_all(self) -> list[dict[str, Any]]:
        """Run every cell; return execution counts, errors and the kinds of outputs."""
        found: list[dict[str, Any]] = self.page.evaluate(RUN)
        return found

    def run(self, code: str) -> None:
        """Run code in the kernel and wait until it is over."""
        call = "async (code) => { await panel.sessionContext.session.kernel.requestExecute({ code }).done }"
        self.page.evaluate(call, code)

    def ask(self, expression: str) -> str:
        """Return the repr of an expression in the kernel."""
        return str(self.page.evaluate(ASK, expression))

    def ask_until(self, expression: str, wanted: str, *, timeout_s: float = 30) -> str:
        """Ask again until the answer is the wanted one; what the page shows precedes what the kernel knows."""
        end = time.monotonic() + timeout_s
        while (answer := self.ask(expression)) != wanted and time.monotonic() < end:
            time.sleep(0.2)
        return answer

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag over an element; points are fractions of its size."""
        box = self.page.locator(selector).bounding_box()
        places = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in (start, end)]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.mouse.move(*places[1], steps=5)
        self.page.mouse.up()

    def close(self) -> None:
        """End the kernel and the page; fail when anything was asked of another host or went wrong."""
        self.page.evaluate("window.panel?.sessionContext.shutdown()")
        self.page.close()
        assert self.foreign == [], self.foreign
        # JupyterLab's own: it asks for files that need not be there, and its debugger for a kernel that is shut down.
        own = ("404", "Response", "favicon", "Could not restore the debugger state")
        mine = [one for one in self.errors if not any(word in one for word in own)]
        assert mine == [], mine
