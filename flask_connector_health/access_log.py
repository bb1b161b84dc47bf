"""A filter that keeps health requests out of a server's access log."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

# A request line whose path ends like the path of a route of ours. The path itself must not
# hold "?" or "#": otherwise a query could keep any request out of the log.
_HEALTH = re.compile(
    "[^ ]+ [^ ?#]*/knowledge/connectors/health(?:/[a-z][a-z0-9_-]{0,62})?/?[ ?#]"
)


# A logger takes equal filters for one: however many apps add theirs, each line is read once.
@dataclass(frozen=True, kw_only=True)
class HealthRequests(logging.Filter):
    """Drops the lines of successful health requests from an access log.

    It is for the loggers ``gunicorn.access`` and ``werkzeug``. It recognizes each route of the
    blueprint by the end of the path, with every method, under every prefix, and with or without
    a query. All other records pass.

    :param drop_failures: whether to drop failed health requests as well, whose status is 400 or
        higher. By default their lines stay in the log.
    """

    drop_failures: bool = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record passes. This raises nothing, whatever the record holds."""
        match record.args:
            # The first is gunicorn's. The second is Werkzeug's, whose line may be in colour.
            case {"r": str(line), "s": str(status)} | (str(line), str(status), _):
                dropped = self.drop_failures or status.startswith(("1", "2", "3"))
                return not (dropped and _HEALTH.match(line))
        return True
