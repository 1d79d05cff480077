"""Refusals as the Databricks REST API words them: `{"error_code", "message"}` and its HTTP code."""

from sandbox.wire import ApiError


def refusal(status: int, code: str | int, message: str) -> ApiError:
    """Build a refusal."""
    return ApiError(status, {"error_code": code, "message": message})


def invalid_parameter(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return refusal(400, "INVALID_PARAMETER_VALUE", message)


def invalid_state(message: str) -> ApiError:
    """400: the request makes sense, but not now."""
    return refusal(400, "INVALID_STATE", message)


def not_found(message: str) -> ApiError:
    """404: there is no such thing."""
    return refusal(404, "RESOURCE_DOES_NOT_EXIST", message)


def conflict(message: str) -> ApiError:
    """409: somebody else was there first."""
    return refusal(409, "RESOURCE_CONFLICT", message)


def forbidden(message: str) -> ApiError:
    """403: not allowed on this object."""
    return refusal(403, "PERMISSION_DENIED", message)


def no_such_endpoint(method: str, path: str) -> ApiError:
    """404: the path is not served."""
    return refusal(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")


def credential_missing() -> ApiError:
    """401: no bearer token; the platform repeats the number as its error code."""
    text = "Credential was not sent or was of an unsupported type for this API."
    return refusal(401, 401, text)


def credential_invalid() -> ApiError:
    """403: a token nobody knows, which the platform does not call 401."""
    return refusal(403, 403, "Invalid access token.")


def credential_expired() -> ApiError:
    """401: a token that was good once."""
    return refusal(401, 401, "Token is expired.")


def cluster_unknown(cluster_id: str) -> ApiError:
    """400, not 404: the SDK maps this very text to ResourceDoesNotExist."""
    return invalid_parameter(f"Cluster {cluster_id} does not exist")


def unexpected_state(cluster_id: str, state: str) -> ApiError:
    """What clusters/start answers for a running cluster, as users have reported it."""
    return invalid_state(f"Cluster {cluster_id} is in unexpected state {state.capitalize()}.")


def warehouse_id_invalid(warehouse_id: str) -> ApiError:
    """400: the answer to what cannot be the id of a warehouse, as users have reported it."""
    return invalid_parameter(f"{warehouse_id} is not a valid endpoint id.")


def statement_unknown(statement_id: str) -> ApiError:
    """404: no such statement, or it is long over."""
    return refusal(404, "NOT_FOUND", f"The statement {statement_id} was not found.")


def node_type_unknown(name: str, known: list[str]) -> ApiError:
    """400: the workspace does not offer this node type."""
    text = f"Node type {name} is not supported. Supported node types: {', '.join(known)}"
    return invalid_parameter(text)
