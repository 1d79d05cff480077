"""Refusals as Logic Apps words them: `{"error": {"code", "message"}}`."""

from sandbox.wire import ApiError


def refusal(status: int, code: str, message: str) -> ApiError:
    """Build a refusal."""
    return ApiError(status, {"error": {"code": code, "message": message}})


def api_version_missing() -> ApiError:
    """400: every request names the version of the API."""
    text = "The api-version query parameter (?api-version=) is required for all requests."
    return refusal(400, "MissingApiVersionParameter", text)


def signature_missing() -> ApiError:
    """401: an address without its signature."""
    text = "The request must be authenticated only by Shared Access scheme."
    return refusal(401, "DirectApiAuthorizationRequired", text)


def signature_wrong() -> ApiError:
    """401: a signature that is not this trigger's."""
    return refusal(401, "AuthorizationFailed", "The authentication credentials are not valid.")


def two_schemes() -> ApiError:
    """401: a signed address and an Authorization header, of which 'only one should be used'."""
    text = (
        "The request has SAS authentication scheme, 'Bearer' authorization scheme or internal "
        "token scheme. Only one scheme should be used."
    )
    return refusal(401, "DirectApiRequestHasMoreThanOneAuthorization", text)


def workflow_unknown(workflow_id: str) -> ApiError:
    """404: no such workflow."""
    text = f"The workflow '{workflow_id}' could not be found."
    return refusal(404, "WorkflowNotFound", text)


def trigger_disabled(workflow_id: str) -> ApiError:
    """400: the workflow is switched off."""
    text = (
        f"Could not execute workflow '{workflow_id}' trigger 'manual' with state 'Disabled': "
        "trigger is not enabled."
    )
    return refusal(400, "WorkflowTriggerIsNotEnabled", text)


def no_response(run_name: str) -> ApiError:
    """502: the workflow failed before it came to its response."""
    text = (
        "The server did not receive a response from an upstream server. Request tracking id "
        f"'{run_name}'."
    )
    return refusal(502, "NoResponse", text)
