"""Production readiness of pipelines: the report, and the accepted baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.http import answer, caller, malformed, page, problem, query_pairs, unavailable
from shared.composition import current
from shared.errors import InputError, LedgerRefused, LedgerUnavailable, NothingChanged
from shared.vocabulary import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.monitoring.pipelines import Deployed, Report

bp = df.Blueprint()


@bp.route(route="api/pipelines/{name}/readiness", methods=["GET"])
def read_readiness(req: func.HttpRequest) -> func.HttpResponse:
    """Whether a pipeline is fit for production, as JSON, or as a page where HTML is asked for."""
    known = caller(req, Scope.READER, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    return _guarded(req, lambda deployed: _reported(req, deployed))


@bp.route(route="api/pipelines/{name}/baseline", methods=["POST"])
def accept_baseline(req: func.HttpRequest) -> func.HttpResponse:
    """Accept a pipeline and its jobs as they are now: drift is told against that from now on."""
    known = caller(req, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    return _guarded(req, lambda deployed: _accepted(deployed, known.name))


def _guarded(
    req: func.HttpRequest, work: Callable[[Deployed], func.HttpResponse]
) -> func.HttpResponse:
    from shared.platforms.calls import as_promised
    from shared.reporting.listing import single_values

    name = req.route_params["name"]
    try:
        target = single_values(query_pairs(req), ("target",)).get("target", "")
        with as_promised():
            found = _one(current().pipelines.named(name, target))
            return work(found) if found else problem(404, "no such pipeline")
    except InputError as error:
        return malformed(error)
    except LedgerRefused as error:
        return problem(413, str(error))
    except LedgerUnavailable as error:
        return unavailable(error)
    except NothingChanged as error:
        words = current().redactor.text(str(error))
        return problem(502, f"the platform could not be asked: {words}")


def _one(found: list[Deployed]) -> Deployed | None:
    if len(found) > 1:
        places = ", ".join(sorted({f"{d.target} ({d.pipeline_id})" for d in found}))
        raise InputError("name", f"expected one pipeline: it is in {places}; give its id")
    return found[0] if found else None


def _reported(req: func.HttpRequest, deployed: Deployed) -> func.HttpResponse:
    report = current().pipelines.report(deployed)
    body = current().redactor.tree(_view(report))
    if "text/html" in (req.headers.get("Accept") or ""):
        from functions import readiness_page

        return page(200, readiness_page.readiness(body))
    return answer(200, body)


def _accepted(deployed: Deployed, by: str) -> func.HttpResponse:
    from shared.clock import iso

    kept = current().pipelines.accept(deployed, by)
    at = iso(kept.at) if kept.at else None
    named = {"target": deployed.target, "pipeline_id": deployed.pipeline_id, "name": deployed.name}
    return answer(200, {**named, "baseline": {"at": at, "by": kept.by}})


def _view(report: Report) -> dict[str, Any]:
    from shared.clock import iso

    deployed, kept = report.deployed, report.baseline
    baseline = {"at": iso(kept.at), "by": kept.by} if kept and kept.at else None
    return {
        "target": deployed.target,
        "pipeline_id": deployed.pipeline_id,
        "name": deployed.name,
        "ready": report.ready,
        "jobs": sorted(deployed.jobs),
        "baseline": baseline,
        "checks": msgspec.to_builtins(report.checks),
    }
