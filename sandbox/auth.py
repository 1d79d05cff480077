"""Who may call: bearer tokens, refused the way each platform refuses them, and what needs none."""

from sandbox.adf import errors as arm
from sandbox.databricks import errors as databricks
from sandbox.wire import ApiError, Call
from sandbox.world import World

PREFIX = "bearer "
PUBLIC = ("/.well-known/", "/simple/", "/sink/")
# A Logic App's callers are known by the signature in its address, which it checks itself.
SIGNED = "/workflows/"


def is_databricks(path: str) -> bool:
    """Tell the two platforms apart by the path."""
    return path.startswith(("/api/", "/.well-known/", "/oidc/"))


def check_access(world: World, call: Call) -> None:
    """Refuse a request without a good token, where one is needed."""
    if call.path.startswith((*PUBLIC, SIGNED)):
        return
    verdict = judge(world, call.authorization)
    if verdict == "valid":
        return
    raise (databricks_refusal(verdict) if is_databricks(call.path) else arm_refusal(verdict))


def judge(world: World, header: str | None) -> str:
    """Say what a request's authorization is worth."""
    if not header or not header.lower().startswith(PREFIX):
        return "missing"
    token = header[len(PREFIX) :].strip()
    if token in world.expired_tokens:
        return "expired"
    return "valid" if token in world.valid_tokens else "invalid"


def databricks_refusal(verdict: str) -> ApiError:
    """Return the workspace's refusal."""
    if verdict == "missing":
        return databricks.credential_missing()
    expired = verdict == "expired"
    return databricks.credential_expired() if expired else databricks.credential_invalid()


def arm_refusal(verdict: str) -> ApiError:
    """Return ARM's refusal."""
    if verdict == "missing":
        return arm.token_missing()
    return arm.token_expired() if verdict == "expired" else arm.token_invalid()
