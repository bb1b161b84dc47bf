"""Groups of the service's probes, and draining, which takes their routes out of use."""

from __future__ import annotations

import os
from collections.abc import Sequence

from flask_connector_health.checks import suggestion
from flask_connector_health.errors import ConfigurationError
from flask_connector_health.probes.groups import LIVE, resolve
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import PREFIX, Settings


class Groups:
    """The groups of a monitor, and whether its instance drains.

    An instance is one running server, with all of its workers.

    :raises ConfigurationError: if a group names what is no probe of the service, or if there is
        a file for draining and no group that drains.
    """

    def __init__(self, settings: Settings, probes: Sequence[Probe]) -> None:
        #: For each group, the names of its probes.
        self.members = resolve(settings.groups or {}, probes)
        #: For each group, its index in the service's record.
        self.places = {name: place for place, name in enumerate(self.members)}
        #: Whether this process drains, whatever the others do.
        self.drains = False
        self._file = settings.drain_file
        if self._file is not None and not any(self.members.values()):
            raise ConfigurationError(
                f"{PREFIX}DRAIN_FILE (str) has no effect, since there is no group that drains:"
                f" add one to {PREFIX}GROUPS, such as {{'ready': ['database']}}, or remove it"
            )

    def is_draining(self) -> bool:
        """Tell whether the instance drains. This costs one ``stat`` if a file is configured."""
        return self.drains or (self._file is not None and os.path.exists(self._file))

    def drained(self) -> set[str]:
        """Give the groups that are unavailable because the instance drains."""
        return {name for name in self.members if name != LIVE} if self.is_draining() else set()

    def check(self, organization_id: str | None, group: str) -> None:
        """Check a question about a group.

        :raises LookupError: if there is no such group.
        :raises ValueError: if an organization is given as well.
        """
        if group not in self.members:
            known = f"{PREFIX}GROUPS has none"
            if self.members:
                known = suggestion(group, self.members)
            raise LookupError(f"there is no group {group!r}; {known}")
        if organization_id is not None:
            raise ValueError(
                f"the group {group!r} is about the service, and not about an organization: give"
                " either a group or an organization"
            )
