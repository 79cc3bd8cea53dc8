"""The schema that editors read: in step with the table, and as strict as the loader where it can be."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from policy_made import MINIMAL, POLICIES
from retraind import strict_yaml
from retraind.core.binding import Mistakes
from retraind.core.policy.conditions import KINDS
from retraind.core.policy.document import LISTS, bind_policy
from retraind.core.policy.schema import json_schema, printed

jsonschema = pytest.importorskip("jsonschema")
SHIPPED = sorted([*POLICIES.glob("*.yaml"), *(POLICIES / "examples").glob("*.yaml")])


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft7Validator.check_schema(json_schema())
    return jsonschema.Draft7Validator(json_schema())


def test_the_shipped_schema_is_the_generated_one() -> None:
    stale = "python -m retraind.core.policy.schema > policies/schema.json"
    assert (POLICIES / "schema.json").read_text(encoding="utf-8") == printed(), stale


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_schema_takes_what_the_project_ships(path: Any, validator: Any) -> None:
    value = strict_yaml.read(path).value
    assert [e.message for e in validator.iter_errors(value)] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_file_names_the_schema_for_editors(path: Any) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve() == (POLICIES / "schema.json").resolve()


def spoilt(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The document with one key misspelt, or one value of another kind, everywhere in turn."""
    if isinstance(value, dict):
        for key in value:
            yield f"{path}: {key} misspelt", ("key", (*path, key))
            yield from spoilt(value[key], (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from spoilt(item, (*path, i))
    yield f"{path}: emptied", ("value", path)


def put(document: Any, how: str, path: tuple[str | int, ...]) -> Any:
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if how == "key":
        inner[f"{path[-1]}x"] = inner.pop(path[-1])
    else:
        inner[path[-1]] = {}
    return changed


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_schema_and_the_loader_refuse_the_same_misspellings(path: Any, validator: Any) -> None:
    document = strict_yaml.read(path).value
    tried = 0
    for words, (how, where) in spoilt(document):
        if not where:
            continue
        changed = put(document, how, where)
        by_schema = not validator.is_valid(changed)
        try:
            bind_policy(changed)
            by_loader = False
        except Mistakes:
            by_loader = True
        if where[-1] == "limits" and how == "value":
            continue  # an empty block of bounds is no mistake
        assert by_schema == by_loader, words
        tried += by_loader
    assert tried > 40


def words_of(schema: Any) -> Iterator[str]:
    """Every key and every word that a file may hold."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (w for w in [*schema.get("enum", []), schema.get("const")] if isinstance(w, str))
        for inner in schema.values():
            yield from words_of(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from words_of(inner)


def test_no_key_and_no_word_means_something_else_to_a_reader_of_yaml_1_1() -> None:
    yaml_1_1 = re.compile(r"(y|n|yes|no|on|off|true|false|null|~)", re.IGNORECASE)
    words = set(words_of(json_schema()))
    assert {"measured", "wape", "mon", "lenient"} <= words
    assert not [w for w in words if yaml_1_1.fullmatch(w)]


def test_the_schema_lets_each_kind_stand_where_the_table_does() -> None:
    definitions = json_schema()["definitions"]
    for place in LISTS:
        kinds = {key for key in definitions[f"{place}_condition"]["properties"] if key in KINDS}
        assert kinds == {k.name for k in KINDS.values() if place in k.places}


def test_rollback_asks_on_live_days_only(validator: Any) -> None:
    rollback = {
        "when_any": [{"id": "r", "for": "1 drop", "limit": {"metric": "wape", "horizon": 1, "measured": "live", "at_least": 80}}],
        "to": "last_good", "watch": "3 drops", "cooldown": "24h",
    }  # fmt: skip
    good = {**MINIMAL, "rollback": rollback}
    assert validator.is_valid(good)
    bad = json.loads(json.dumps(good).replace('"live"', '"test"'))
    assert not validator.is_valid(bad)
    with pytest.raises(Mistakes, match='"test" is not one of live'):
        bind_policy(bad)
