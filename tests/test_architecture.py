"""The file list is the architecture: a file imports only from the layers below its own."""

from __future__ import annotations

import ast
import itertools
import pathlib
import re
import sys
from collections.abc import Iterator

import pytest

import flask_connector_health.engine

from .conftest import ROOT

PACKAGE = "flask_connector_health"

LAYERS = {
    "errors": 0,
    "model": 0,
    "checks": 0,
    "access_log": 0,
    "report": 1,
    "settings": 1,
    "probes": 1,
    "probes.spec": 1,
    "probes.groups": 2,
    "probes.policy": 2,
    "engine": 2,
    "engine.cache": 2,
    "engine.environment": 2,
    "engine.outcome": 2,
    "engine.threads": 2,
    "engine.background": 3,
    "engine.coroutines": 3,
    "engine.entry": 3,
    "engine.groups": 3,
    "engine.events": 4,
    "engine.flight": 4,
    "engine.runner": 4,
    "engine.history": 5,
    "engine.pauses": 5,
    "engine.slots": 5,
    "engine.record": 6,
    "engine.lane": 7,
    "engine.details": 8,
    "engine.scope": 8,
    "engine.overview": 9,
    "engine.process": 9,
    "engine.current": 10,
    "engine.monitor": 11,
    "lines": 12,
    "schemas": 12,
    "gates": 12,
    "mounting": 12,
    "cli.scene": 12,
    "cli.heard": 12,
    "log": 13,
    "auth": 13,
    "cli.findings": 13,
    "cli.nagios": 13,
    "servers": 14,
    "signals": 14,
    "responses": 14,
    "query": 15,
    "views": 15,
    "detail_views": 16,
    "fast_path": 16,
    "routes": 17,
    "blueprint": 18,
    "": 19,
    "cli.app": 19,
    "cli.check": 20,
    "cli.drain": 20,
    "cli.probes": 20,
    "cli.doctor": 21,
    "cli": 22,
}
WEB = {"flask", "werkzeug"}
THIRD_PARTY = {
    "schemas": {"marshmallow"},
    "auth": WEB,
    "gates": WEB | {"flask_httpauth"},
    "signals": WEB | {"blinker"},
    "mounting": WEB,
    "responses": WEB,
    "query": WEB,
    "views": WEB,
    "detail_views": WEB,
    "routes": WEB,
    "fast_path": WEB | {"_typeshed"},
    "blueprint": WEB,
    "cli": {"click"},
    "cli.app": {"click"} | WEB,
    "cli.check": {"click"},
    "cli.doctor": {"click"} | WEB,
    "cli.drain": {"click"},
    "cli.nagios": {"click"},
    "cli.probes": {"click"},
}


def modules() -> dict[str, pathlib.Path]:
    folder = ROOT / PACKAGE
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        .removesuffix("__init__")
        .removesuffix("."): path
        for path in folder.rglob("*.py")
    }


def imports(path: pathlib.Path) -> Iterator[str]:
    """Name what a file imports: our own modules in full, of others the first part alone."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*base, *filter(None, [node.module])))
            names = [f"{source}.{alias.name}" for alias in node.names]
        for name in names:
            yield name if name.startswith(PACKAGE) else name.partition(".")[0]


def own_module(name: str) -> str:
    """Turn ``flask_connector_health.model.Status`` into ``model``."""
    known = modules()
    inner = name.removeprefix(PACKAGE).lstrip(".")
    while inner and inner not in known:
        inner = inner.rpartition(".")[0]
    return inner


def test_every_module_has_its_layer() -> None:
    assert set(modules()) == set(LAYERS)


# Modules whose tests stand with those of another one.
TESTED_WITH = {
    "": "web/test_blueprint",
    "checks": "web/test_settings",
    "errors": "engine/test_outcome",
    "model": "engine/test_entry",
    "report": "web/test_blueprint",
    "probes": "web/test_probes",
    "probes.groups": "engine/test_groups",
    "probes.policy": "web/test_probes",
    "probes.spec": "web/test_probes",
    "engine": "test_architecture",
    "lines": "web/test_log",
    "cli": "cli/test_app",
    "cli.nagios": "cli/test_check",
    "cli.findings": "cli/test_doctor",
    "cli.heard": "cli/test_check",
    "cli.scene": "cli/test_doctor",
    "gates": "web/test_auth",
    "schemas": "web/test_contract",
}


@pytest.mark.parametrize("module", LAYERS)
def test_a_modules_tests_are_where_its_name_says(module: str) -> None:
    folder, _, name = module.rpartition(".")
    path = TESTED_WITH.get(module, f"{folder or 'web'}/test_{name}")

    assert (ROOT / "tests" / f"{path}.py").exists()


def test_the_engines_story_names_every_room() -> None:
    story = flask_connector_health.engine.__doc__ or ""
    rooms = {name.removeprefix("engine.") for name in modules() if name.startswith("engine.")}

    assert set(re.findall(r":mod:`\.(\w+)`", story)) == rooms


def test_every_rule_of_the_engine_names_tests_that_exist() -> None:
    story = (flask_connector_health.engine.__doc__ or "").partition("What always holds")[2]
    _, *rules = re.split(r"^\d+\. ", story, flags=re.MULTILINE)
    named = [re.findall(r"``(\w+/\w+\.py)::(test_\w+)``", rule) for rule in rules]
    missing = [
        (path, test)
        for path, test in itertools.chain(*named)
        if f"def {test}(" not in (ROOT / "tests" / path).read_text()
    ]

    assert len(rules) > 10
    assert [rule for rule, tests in zip(rules, named, strict=True) if not tests] == []
    assert missing == []


@pytest.mark.parametrize("module", LAYERS)
def test_a_module_imports_only_from_layers_below(module: str) -> None:
    path = modules()[module]
    ours = {own_module(name) for name in imports(path) if name.startswith(PACKAGE)}

    assert {name for name in ours if LAYERS[name] >= LAYERS[module]} == set()


@pytest.mark.parametrize("module", LAYERS)
def test_a_module_imports_only_the_libraries_that_are_its_own(module: str) -> None:
    names = {name for name in imports(modules()[module]) if not name.startswith(PACKAGE)}

    assert names - sys.stdlib_module_names <= THIRD_PARTY.get(module, set())


@pytest.mark.parametrize(
    ("module", "planted", "named"),
    [
        ("model", "from .views import Views", "flask_connector_health.views.Views"),
        ("model", "from . import views", "flask_connector_health.views"),
        ("engine/cache", "from ..views import Views", "flask_connector_health.views.Views"),
        ("model", "import flask_connector_health.views", "flask_connector_health.views"),
        ("model", "def f():\n    import flask.json", "flask"),
        ("model", "from flask.json import dumps", "flask"),
    ],
)
def test_no_form_of_import_goes_unseen(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    planted: str,
    named: str,
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / PACKAGE / f"{module}.py"
    path.parent.mkdir(parents=True)
    path.write_text(planted)

    assert list(imports(path)) == [named]
