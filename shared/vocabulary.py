"""The words of the field, one per idea: they are the values in tables, API and timeline."""

from __future__ import annotations

from enum import StrEnum


class FailureKind(StrEnum):
    """What kind of thing failed."""

    PIPELINE_RUN = "pipeline_run"  # an ADF pipeline run
    JOB_RUN = "job_run"  # a Databricks job run
    CLUSTER = "cluster"
    LIBRARY = "library"  # a library on a cluster
    UPDATE = "update"  # a DLT (Lakeflow declarative pipeline) update
    STORM = "storm"  # many failures of one kind: the platform's trouble
    PROPOSAL = "proposal"  # nothing failed: a change that a finding proposes and a person approved


class Condition(StrEnum):
    """What an alert says about its subject."""

    FIRED = "fired"
    RESOLVED = "resolved"
    INFORMATION = "information"  # a start, a success, a warning: nothing failed


class Disposition(StrEnum):
    """What became of an alert."""

    ACCEPTED = "accepted"  # stored, its healing not yet started
    DISPATCHED = "dispatched"  # its failures are incidents now
    IGNORED = "ignored"  # nothing failed
    REFUSED = "refused"  # names something that is not a listed target
    NOTHING_FOUND = "nothing_found"  # the platform knows no failure that it could mean
    POISON = "poison"  # could not be understood, set aside


class IncidentState(StrEnum):
    """Where in its life an incident is."""

    RECEIVED = "received"
    DIAGNOSING = "diagnosing"
    AWAITING_APPROVAL = "awaiting_approval"
    WAITING = "waiting"
    REMEDIATING = "remediating"
    VERIFYING = "verifying"
    HEALED = "healed"
    ESCALATED = "escalated"
    OBSERVED = "observed"
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen."""
        return self in _CLOSED


_CLOSED = frozenset(
    {
        IncidentState.HEALED,
        IncidentState.ESCALATED,
        IncidentState.OBSERVED,
        IncidentState.CANCELLED,
    }
)


class Mode(StrEnum):
    """How far automation may go."""

    OBSERVE = "observe"
    PILOT = "pilot"
    PRODUCTION = "production"


class DecisionKind(StrEnum):
    """What policy lets us do now."""

    ACT = "act"
    ASK = "ask"
    OBSERVE = "observe"
    WAIT = "wait"  # look again soon: something else is under way
    HOLD = "hold"  # look again later: somebody stopped us
    ESCALATE = "escalate"


class Reason(StrEnum):
    """Why policy decided so. Closed: nothing is decided for a reason not listed here."""

    PAUSED = "paused"
    OUT_OF_SCOPE = "out_of_scope"
    MAINTENANCE_WINDOW = "maintenance_window"
    GRACE_PERIOD = "grace_period"
    ALREADY_RECOVERED = "already_recovered"
    STOPPED_BY_SOMEBODY = "stopped_by_somebody"
    PLATFORM_BUSY = "platform_busy"
    PLATFORM_RETRYING = "platform_retrying"
    NOT_FOUND = "not_found"
    TARGET_LOCKED = "target_locked"
    NEVER_AUTOMATED = "never_automated"
    NOT_REMEDIABLE = "not_remediable"
    LOW_CONFIDENCE = "low_confidence"
    NOT_RERUNNABLE = "not_rerunnable"
    UNDECLARED_RERUNNABLE = "undeclared_rerunnable"
    ATTEMPTS_USED_UP = "attempts_used_up"
    COOLDOWN = "cooldown"
    STORM = "storm"
    BLAST_RADIUS = "blast_radius"
    BREAKER_OPEN = "breaker_open"
    OVER_BUDGET = "over_budget"
    NO_REMEDY_APPLIES = "no_remedy_applies"
    WAITED_TOO_LONG = "waited_too_long"
    CHANGE_IN_DOUBT = "change_in_doubt"
    OBSERVE_MODE = "observe_mode"
    NOT_PERMITTED = "not_permitted"
    APPROVAL_REQUIRED = "approval_required"
    APPROVED = "approved"
    APPROVAL_REFUSED = "approval_refused"
    APPROVAL_EXPIRED = "approval_expired"
    ALLOWED = "allowed"


class Verdict(StrEnum):
    """What became of a remedy."""

    HEALED = "healed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


class RunState(StrEnum):
    """Where a run, an update or a cluster stands, in one vocabulary for both platforms."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MISSING = "missing"
    UNKNOWN = "unknown"


class RecoveredBy(StrEnum):
    """Who made work good again that we had not healed."""

    HAND = "by_hand"  # somebody started or repaired it
    ITSELF = "by_itself"  # the next run that a schedule or a trigger started
    US_LATE = "by_us_late"  # what we had started succeeded after we had given up on it
    UNKNOWN = "unknown"  # the platform does not tell


class ComputeKind(StrEnum):
    """What work runs on; decides which levers there are."""

    ALL_PURPOSE = "all_purpose"  # a cluster that people and jobs share: can be restarted, resized
    JOB_CLUSTER = "job_cluster"  # made for one run: changed through the job's settings
    SERVERLESS = "serverless"  # no lever but a rerun
    NONE = "none"


class Scope(StrEnum):
    """What an API key may do."""

    SENDER = "sender"
    READER = "reader"
    APPROVER = "approver"
    DEPLOYER = "deployer"


class Action(StrEnum):
    """Audit actions. The first six keep the names that the field's dashboards query."""

    ATTEMPTED = "Auto-Remediation Attempted"
    SUCCEEDED = "Auto-Remediation Succeeded"
    FAILED = "Auto-Remediation Failed"
    MAX_RETRIES = "Auto-Remediation Max Retries Reached"
    WAITING_UPSTREAM = "Waiting for Upstream"
    CLUSTER_RESTARTED = "Cluster Auto-Restarted"
    OPENED = "Incident Opened"
    ALERT_JOINED = "Alert Joined"
    DIAGNOSED = "Failure Diagnosed"
    DECIDED = "Decision Made"
    INTENDED = "Action Intended"
    ACTION_TAKEN = "Action Taken"
    ACTION_FOUND = "Action Found Already Taken"
    ACTION_REFUSED = "Action Refused by Platform"
    ACTION_IN_DOUBT = "Action in Doubt"
    RUN_FOLLOWED = "New Run Followed"
    GIVEN_BACK = "Borrowed Setting Given Back"
    GIVE_BACK_FAILED = "Borrowed Setting Not Given Back"
    RESUMED = "Healing Resumed"
    APPROVAL_REQUESTED = "Approval Requested"
    APPROVAL_GIVEN = "Approval Given"
    APPROVAL_REFUSED = "Approval Refused"
    APPROVAL_EXPIRED = "Approval Expired"
    FINDING_SILENCED = "Finding Silenced"
    SILENCE_ENDED = "Finding Silence Ended"
    CHANGE_TAKEN_BACK = "Approved Change Taken Back"
    PAUSED = "Automation Paused"
    UNPAUSED = "Automation Resumed"
    BREAKER_OPENED = "Circuit Breaker Opened"
    STORM_DECLARED = "Storm Declared"
    STORM_JOINED = "Storm Joined"
    STORM_PROBED = "Storm Probed"
    STORM_RELEASED = "Storm Released"
    RECOVERY_SEEN = "Recovery Seen"
    MESSAGE_NOT_DELIVERED = "Message Not Delivered"
    DELIVERY_RECEIVED = "Delivery Received"
    GATE_STARTED = "Gate Started"
    GATE_PASSED = "Gate Passed"
    GATE_FAILED = "Gate Failed"
    SPECIFICATION_PATCHED = "Specification Patched"
    DELIVERY_HEALED = "Delivery Healing Attempted"
    DELIVERY_PROMOTED = "Delivery Promoted"
    DELIVERY_CANCELLED = "Delivery Cancelled"
    DELIVERY_RESUMED = "Delivery Resumed"
    ROLLBACK_STARTED = "Rollback Started"
    ROLLED_BACK = "Rolled Back"
    DELIVERY_CLOSED = "Delivery Closed"
    CLOSED = "Incident Closed"
    ESCALATED = "Incident Escalated"


SELFTEST = "selftest"  # the dialect of an alert that only tests the path
HEARTBEAT = "heartbeat"  # the same, but fired by a rule of Azure Monitor each hour

# Playbooks by the setting that holds their URL, and whether they are for Data Factory.
PLAYBOOKS = {
    "PLAYBOOK_RETRY_PIPELINE": True,
    "PLAYBOOK_RERUN_UPSTREAM": True,
    "PLAYBOOK_RESTART_CLUSTER": False,
    "PLAYBOOK_RETRY_JOB": False,
    "PLAYBOOK_REINSTALL_LIBRARIES": False,
}
