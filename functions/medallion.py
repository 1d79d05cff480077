"""A Databricks Asset Bundle from a specification, as a zip."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from functions.http import caller, malformed, problem
from shared.errors import InputError
from shared.vocabulary import Scope

bp = df.Blueprint()

_MAX_BYTES = 1_048_576  # of a specification; 300 tables with 30 columns each are about half of it


@bp.route(route="api/medallion", methods=["POST"])
def build_medallion(req: func.HttpRequest) -> func.HttpResponse:
    """The bundle of the specification in the body (YAML or JSON). Nothing is deployed or kept."""
    known = caller(req, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    body = req.get_body()
    if len(body) > _MAX_BYTES:
        return problem(413, f"expected at most {_MAX_BYTES} bytes")
    try:
        name, packed = _build(body)
    except InputError as error:
        return malformed(error)
    return func.HttpResponse(
        packed,
        mimetype="application/zip",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}.zip"',
        },
    )


def _build(body: bytes) -> tuple[str, bytes]:
    from shared.delivery.builder.archive import archive
    from shared.delivery.builder.names import ascii_name
    from shared.delivery.builder.reading import read
    from shared.delivery.builder.render import render

    spec = read(body)
    return ascii_name(spec.name), archive(render(spec))
