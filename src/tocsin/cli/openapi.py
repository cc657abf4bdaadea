"""``tocsin openapi``: the OpenAPI 3.1 document, the source of the console's types."""

from __future__ import annotations

import json

import click


@click.command(help="Print the OpenAPI 3.1 document of the server.")
def command() -> None:
    """Write the document to standard output."""
    from tocsin.server.api import console_api
    from tocsin.server.schema import document

    click.echo(json.dumps(document(console_api()), indent=2, ensure_ascii=False))
