"""Objects that the caller may not touch, as scripted."""

from sandbox.databricks.errors import forbidden


class Access:
    """Remembers what is forbidden; everything else is allowed."""

    def __init__(self) -> None:
        self._forbidden: set[tuple[str, str]] = set()

    def forbid(self, kind: str, name: str) -> None:
        """Take away an object."""
        self._forbidden.add((kind, name))

    def allow(self, kind: str, name: str) -> None:
        """Give it back."""
        self._forbidden.discard((kind, name))

    def denies(self, kind: str, name: str) -> bool:
        """Say whether an object is out of reach."""
        return (kind, name) in self._forbidden

    def check(self, kind: str, name: str | int) -> None:
        """Refuse if the object is out of reach."""
        if self.denies(kind, str(name)):
            raise forbidden(f"sandbox@example.com does not have permissions on {kind} {name}.")
