"""Refusals as ARM and Data Factory word them: `{"error": {"code", "message"}}`."""

from sandbox.wire import ApiError


def refusal(status: int, code: str, message: str, target: str | None = None) -> ApiError:
    """Build a refusal."""
    return ApiError(
        status, {"error": {"code": code, "message": message, "target": target, "details": None}}
    )


def bad_request(message: str, target: str | None = None) -> ApiError:
    """400: the request makes no sense."""
    return refusal(400, "BadRequest", message, target)


def api_version_missing() -> ApiError:
    """400: ARM wants to know the version on every request."""
    text = "The api-version query parameter (?api-version=) is required for all requests."
    return refusal(400, "MissingApiVersionParameter", text)


def factory_unknown(group: str, name: str) -> ApiError:
    """404: no such factory, worded by ARM before Data Factory sees the request."""
    text = (
        f"The Resource 'Microsoft.DataFactory/factories/{name}' under resource group '{group}' "
        "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return refusal(404, "ResourceNotFound", text)


def entity_unknown(kind: str, name: str) -> ApiError:
    """404: the factory's document store does not have it."""
    text = "The document could not be retrieved because it does not exist."
    return refusal(404, "EntityNotFound", text, f"{kind}/{name}")


def run_unknown(run_id: str) -> ApiError:
    """404: no such pipeline run in this factory."""
    return refusal(404, "PipelineRunNotFound", f"Pipeline run with id '{run_id}' was not found.")


def reference_invalid(run_id: str, pipeline: str) -> ApiError:
    """400: createRun names a run that is none; code and text as users have reported them."""
    text = f"Referenced pipeline run id {run_id} is not a valid run id."
    return refusal(400, "ReferencedPipelineRunNotValid", text, f"pipeline/{pipeline}")


def no_such_path(path: str) -> ApiError:
    """404: the path is not served."""
    return refusal(404, "InvalidResourceType", f"The resource type could not be found: {path}")


def token_missing() -> ApiError:
    """401: no bearer token."""
    text = "Authentication failed. The 'Authorization' header is missing."
    return refusal(401, "AuthenticationFailed", text)


def token_invalid() -> ApiError:
    """401: not a token of ours."""
    return refusal(401, "InvalidAuthenticationToken", "The access token is invalid.")


def token_expired() -> ApiError:
    """401: a token that was good once."""
    return refusal(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is past.")


def forbidden(scope: str) -> ApiError:
    """403: the role does not allow it."""
    text = (
        "The client 'sandbox' does not have authorization to perform action over scope "
        f"'{scope}' or the scope is invalid."
    )
    return refusal(403, "AuthorizationFailed", text)
