"""Pages: the query parameters that all lists share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=500, description="at most so many")]
After = Annotated[str, Query(description="cursor from `next` of the page before")]
Search = Annotated[str, Query(max_length=200, description="words that must occur")]
