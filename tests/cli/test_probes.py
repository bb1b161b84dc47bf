"""``probes``: what is registered, and where it comes from."""

from __future__ import annotations

import functools
import json
import pathlib

from flask_connector_health import ConnectorHealth
from tests.clockwork import Told
from tests.conftest import MakeApp

from .conftest import Run


def own() -> bool:
    return True


def test_each_probe_is_listed_with_its_options(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(own, ttl=2.0, tags=["local"], critical=False)
    app = make_app(GROUPS={"live": [], "ready": ["tag:local"]})

    lines = run(app, "probes").output.splitlines()

    assert [line.split("  ")[0] for line in lines] == ["PROBE", "availability", "own"]
    assert "timeout 5 s, ttl 2 s" in lines[2]
    assert "not critical" in lines[2]
    assert "ready, tag:local" in lines[2]
    assert lines[2].endswith(f"test_probes.py:{own.__code__.co_firstlineno}")


def test_json_says_where_each_is_defined(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(Told(), name="object")
    health.add_probe(bool, name="builtin")

    app = make_app(AVAILABILITY=lambda organization_id: True)

    availability, _, told, builtin = json.loads(run(app, "probes", "--json").output)

    assert availability["defined_in"].partition(":")[0].endswith("test_probes.py")
    assert told["defined_in"].partition(":")[0].endswith("clockwork.py")
    assert builtin["defined_in"] == "builtins:bool"
    assert (told["timeout"], told["tags"], told["groups"]) == (5.0, [], [])


def test_a_decorated_probe_is_defined_where_its_function_is(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    def own() -> bool:
        return True

    @functools.wraps(own)
    def retried() -> bool:
        return own()

    health.add_probe(retried)

    _, listed = json.loads(run(make_app(), "probes", "--json").output)[-2:]

    assert listed["defined_in"].endswith(f":{own.__code__.co_firstlineno}")


def test_a_file_outside_of_the_folder_is_named_in_full(
    run: Run, make_app: MakeApp, tmp_path: pathlib.Path, monkeypatch: object
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[attr-defined]

    [availability] = json.loads(run(make_app(), "probes", "--json").output)

    assert pathlib.Path(availability["defined_in"].partition(":")[0]).is_absolute()
