"""All data factories, and what they share."""

from sandbox.adf.errors import factory_unknown, forbidden
from sandbox.adf.models import Factory
from sandbox.adf.queries import Paging
from sandbox.adf.runs import Engine
from sandbox.clock import Timeline
from sandbox.databricks.access import Access
from sandbox.ids import Ids


class Factories:
    """Everything Data Factory remembers."""

    def __init__(self, timeline: Timeline, ids: Ids, access: Access) -> None:
        self.all: list[Factory] = []
        self.engine = Engine(timeline, ids)
        self.paging = Paging()
        self.activity_paging = Paging()
        self._timeline = timeline
        self._access = access

    def create(self, subscription_id: str, resource_group: str, name: str) -> Factory:
        """Add a factory."""
        factory = Factory(subscription_id, resource_group, name)
        self.all.append(factory)
        self._timeline.mark()
        return factory

    def get(self, subscription_id: str, resource_group: str, name: str) -> Factory:
        """Return a factory or refuse."""
        wanted = (subscription_id.lower(), resource_group.lower(), name.lower())
        for factory in self.all:
            if identity(factory) == wanted:
                self._check(factory)
                return factory
        raise factory_unknown(resource_group, name)

    def named(self, name: str) -> Factory:
        """Return a factory by its name alone, which is unique in all of Azure.

        Raises:
            KeyError: There is none.
        """
        for factory in self.all:
            if factory.name.lower() == name.lower():
                return factory
        raise KeyError(name)

    def _check(self, factory: Factory) -> None:
        if self._access.denies("factory", factory.name):
            raise forbidden(factory.resource_id)


def identity(factory: Factory) -> tuple[str, str, str]:
    """Return what tells factories apart, in which case does not matter."""
    return (
        factory.subscription_id.lower(),
        factory.resource_group.lower(),
        factory.name.lower(),
    )
