"""Why the engine refuses a request."""


class EngineError(Exception):
    """A request to the engine was refused."""


class UnknownOrchestratorError(EngineError):
    """No orchestrator has this name."""


class UnknownInstanceError(EngineError):
    """No instance has this id."""


class AlreadyRunningError(EngineError):
    """The instance has not finished."""


class FinishedInstanceError(EngineError):
    """The instance has finished."""
