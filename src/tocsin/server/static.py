"""The console's files: its page for every address that is not the API's, hashed assets kept by browsers for a year."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, HTMLResponse

if TYPE_CHECKING:
    from starlette.responses import Response

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Tocsin</title>
<body><h1>Tocsin</h1>
<p>The server runs; the console has not been built. Run <code>make setup</code> in the checkout, then reload this page.
The API is described in <a href="/openapi.json">/openapi.json</a>.</p>
<p lang="zh">服务正在运行，但控制台尚未构建。请执行 <code>make setup</code>，然后刷新本页。</p></body></html>"""


def console_folder() -> Path:
    """Return the folder that the console is built into."""
    return Path(__file__).parent / "console"


def console_file(path: str, folder: Path) -> Response:
    """Return a file of the console; any other address gives its page, which knows its own routes."""
    page = folder / "index.html"
    if not page.is_file():
        return HTMLResponse(_NOT_BUILT, headers={"cache-control": "no-store"})
    root = folder.resolve()
    wanted = (root / path.lstrip("/")).resolve() if "\0" not in path else root
    hashed = path.startswith("/assets/")
    if wanted.is_file() and wanted.is_relative_to(root) and wanted != page.resolve():
        keep = "public, max-age=31536000, immutable" if hashed else "public, max-age=3600"
        return FileResponse(wanted, headers={"cache-control": keep})
    # A hashed file that is gone must not be answered with the page and 200: the browser would take it for a script.
    return FileResponse(page, status_code=404 if hashed else 200, headers={"cache-control": "no-cache"})
