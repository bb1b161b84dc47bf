"""These tests need the dependency group ``stacks``, which the other tests do without."""

from __future__ import annotations

import pathlib

import pytest


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Import no file from here unless ``-m stacks`` asks for it: libraries may be missing."""
    return None if config.option.markexpr == "stacks" else True
