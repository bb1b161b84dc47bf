"""Exceptions: for bad configuration, and for a probe that chooses its own words."""

from __future__ import annotations


class ConnectorHealthError(Exception):
    """The base of every exception that this package defines."""


class ConfigurationError(ConnectorHealthError):
    """A setting or a probe that cannot work.

    It is raised while the app is being put together, and never during a request. The message
    names the key or the probe, what was found, and what to write instead.
    """


class ProbeFailed(ConnectorHealthError):
    """Raise it in a probe to fail with words of your own.

    Its text may be shown to authorized callers, as that of :exc:`ProbeDegraded`. The text of
    any other exception goes to the log alone.
    """


class ProbeDegraded(ConnectorHealthError):
    """Raise it in a probe to say that the thing still works, but not well.

    Its text may be shown to authorized callers, as that of :exc:`ProbeFailed`.
    """
