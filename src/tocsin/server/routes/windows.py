"""Windows that people declare while the stream is under way, for the rules of no desk to read."""

import threading
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from tocsin.core.desk import Window
from tocsin.errors import NotFound
from tocsin.server import governance
from tocsin.server.audit import note
from tocsin.server.problems import Refusal
from tocsin.server.replies import doc, house, person, raw_body, read, reply
from tocsin.server.settling import folded, taken

if TYPE_CHECKING:
    from tocsin.app import Tocsin

router = APIRouter(tags=["rules"])
Body = Annotated[bytes, Depends(raw_body)]
_CHANGING = threading.Lock()
"""One change at a time: each journals the whole list."""


@router.get("/v1/windows", **doc(governance.WindowPage))
def windows(request: Request) -> Response:
    """List the windows that people have declared, and how far they have caught up with the past."""
    return reply(_page(house(request)))


def _page(tocsin: "Tocsin") -> governance.WindowPage:
    cold = {window.name for window in tocsin.host.cold_windows()}
    warming = tocsin.host.warming
    seq, last = warming.progress if warming is not None else (0, 0)
    return governance.WindowPage(
        items=tuple(
            governance.WindowView(window=window, warm=window.name not in cold) for window in tocsin.fold.house.own
        ),
        read=seq,
        until=last,
    )


@router.put("/v1/windows/{name}", **doc(governance.WindowPage, Window))
def put(request: Request, name: str, body: Body) -> Response:
    """Declare a window: missing until it has caught up with the past, then as if it had been there from the start."""
    wish = read(body, Window)
    if wish.name != name:
        raise Refusal(422, "out-of-range", "the window's name is not the one in the address", field="name")
    tocsin = house(request)
    _change(tocsin, name, wish, person(request).name)
    return reply(_page(tocsin))


@router.delete("/v1/windows/{name}", **doc(governance.WindowPage))
def drop(request: Request, name: str) -> Response:
    """Take a window away; rules that read it find it missing."""
    tocsin = house(request)
    _change(tocsin, name, None, person(request).name)
    return reply(_page(tocsin))


def _change(tocsin: "Tocsin", name: str, wish: Window | None, who: str) -> None:
    """Journal the whole list with the window of this name replaced, or taken away, and wait until it is in force."""
    with _CHANGING:
        # What an earlier change put on disk must be in force before the list is made: it would be lost otherwise.
        folded(tocsin.host, "nothing was changed")
        own = tocsin.fold.house.own
        kept = [window for window in own if window.name != name]
        if wish is None and len(kept) == len(own):
            raise NotFound(f"nobody has declared a window {name}")
        documents: list[Any] = msgspec.to_builtins(kept if wish is None else [*kept, wish])
        tocsin.fold.house.check(documents)
        taken(lambda: tocsin.configure("tocsin.windows", {"windows": documents}, who), "the declared windows")
        if wish is None:
            note(tocsin.records, tocsin.clock.now(), who, "window.dropped", name)
        else:
            note(tocsin.records, tocsin.clock.now(), who, "window.declared", name, span_s=wish.span_s)
        folded(tocsin.host, "the change is on disk, but not in force yet")
