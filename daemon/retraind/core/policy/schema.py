"""JSON Schema of a policy file, generated from the classes and the condition table, for completion in editors.

`python -m retraind.core.policy.schema` prints what `policies/schema.json` must hold. It is for editors; the daemon and
`policy check` word their own messages, and refuse more (`lint`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from retraind.core.policy.conditions import KINDS
from retraind.core.policy.document import LISTS, VERSION, Policy, Window
from retraind.core.policy.terms import (
    PLACES,
    Amount,
    Baseline,
    DropCount,
    Horizons,
    Measured,
    Metric,
    Name,
    Place,
    TimeOfDay,
)
from retraind.core.units import Percent, Span

__all__ = ["json_schema", "printed"]

Schema = dict[str, Any]

_DEFINITIONS: Mapping[str, Schema] = {
    "name": {"type": "string", "pattern": f"^{Name.PATTERN}$"},
    "span": {
        "type": "string",
        "pattern": "^[0-9]+(s|m|h|d|w)$",
        "description": "A whole number and s, m, h, d or w: 30m, 48h, 14d, 8w.",
    },
    "percent": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? *%$", "description": "Such as 5% or 0.5%."},
    "amount": {
        "anyOf": [{"$ref": "#/definitions/percent"}, {"type": "number", "minimum": 0}],
        "description": "'1%' is relative to the opponent; a bare number is in the metric's own unit.",
    },
    "drops": {"type": "string", "pattern": "^[1-9][0-9]{0,3} drops?$", "description": "Scored drops: 1 drop, 3 drops."},
    "time": {"type": "string", "pattern": f"^({TimeOfDay.PATTERN})$"},
    "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "metric": {
        "enum": list(get_args(Metric)),
        "description": "wape, mape and bias in percent, bias by its absolute value; rmse and mae in the target's unit.",
    },
    "measured": {
        "enum": list(get_args(Measured)),
        "description": "test: recipes on the untouched days. live: versions on days after their data.",
    },
    "horizon": {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "integer", "minimum": 1}},
        ],
        "description": "Days ahead; each of a list must hold.",
    },
    "baselines": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(get_args(Baseline))}},
}

_NAMED: tuple[tuple[Any, str], ...] = (
    (Name, "name"),
    (Span, "span"),
    (Percent, "percent"),
    (Amount, "amount"),
    (DropCount, "drops"),
    (TimeOfDay, "time"),
    (dt.date, "date"),
    (Metric, "metric"),
    (Measured, "measured"),
    (Horizons, "horizon"),
    (tuple[Baseline, ...], "baselines"),
)

_NARROWER: Mapping[str, Schema] = {
    "version": {"const": VERSION, "description": "Version of the policy language."},
    "alpha": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 0.2,
        "description": "Per year: the share of years in which chance may promote.",
    },
    "may_fail": {"type": "integer", "minimum": 0},
    "between": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"$ref": "#/definitions/time"}},
    "tests": {"type": "string", "pattern": "\\.ya?ml$", "description": "Run before an edit takes effect."},
}

_DESCRIBED: Mapping[str, str] = {
    "models": "Registered names or globs. The glob with the most literal characters wins; a tie is refused.",
    "mode": "dry_run: decided and recorded as 'would', nothing moves.",
    "timezone": "IANA name, such as Asia/Shanghai. Needed with freeze.",
    "staging": "What a candidate must show to enter Staging; asked again for Production.",
    "production": "What a version in Staging must show to become champion.",
    "refresh": "Stands in for production when the champion's own recipe was fitted on newer data.",
    "rollback": "When the champion goes back to the last good version.",
    "archive": "Archived versions past both bounds lose their artifacts.",
    "freeze": "When promotions wait.",
    "limits": "How often Production may change.",
    "give_up_after": "A candidate that waits longer is archived.",
    "first": "lenient (default): the very first champion needs no soak and no live figures.",
    "dry_run": "Shown, not counted.",
    "small": "What a slice under min_dates does: hold the decision, or be skipped.",
    "for": "Rollback: must hold that many scored drops running. Soak: so long in Staging.",
    "watch": "How long the champion before forecasts beside a new one.",
}


def json_schema() -> Schema:
    """The schema of a policy file, draft 07."""
    conditions = {f"{place}_condition": _condition(place) for place in PLACES}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "retraind promotion policy",
        **_object(Policy),
        "dependencies": {"freeze": ["timezone"]},
        "definitions": {**_DEFINITIONS, **conditions, "window": _window()},
    }


def _object(kind: type[Any]) -> Schema:
    hints = typing.get_type_hints(kind)
    properties: Schema = {}
    required = []
    for field in dataclasses.fields(kind):
        key = field.name.rstrip("_")
        properties[key] = _described(key, _property(kind, key, hints[field.name]))
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(key)
    schema: Schema = {"type": "object", "additionalProperties": False, "required": required, "properties": properties}
    if hasattr(kind, "ONE_OF"):
        schema["oneOf"] = [{"required": [key]} for key in kind.ONE_OF]
    if hasattr(kind, "SOME_OF"):
        schema["anyOf"] = [{"required": [key]} for key in kind.SOME_OF]
    return schema


def _property(kind: type[Any], key: str, hint: Any) -> Schema:
    place = kind.__name__.lower()
    if place in LISTS and key == LISTS[typing.cast("Place", place)]:
        return {"type": "array", "minItems": 1, "items": {"$ref": f"#/definitions/{place}_condition"}}
    if kind.__name__ == "DriftingDrops" and key == "at_most":
        return {"type": "integer", "minimum": 0}
    return dict(_NARROWER[key]) if key in _NARROWER else _of(hint)


def _described(key: str, schema: Schema) -> Schema:
    if key not in _DESCRIBED or "description" in schema:
        return schema
    if "$ref" in schema:  # draft 07 reads nothing beside a $ref
        return {"allOf": [schema], "description": _DESCRIBED[key]}
    return {**schema, "description": _DESCRIBED[key]}


def _of(hint: Any) -> Schema:
    """The schema of a type."""
    for kind, name in _NAMED:
        if hint == kind:
            return {"$ref": f"#/definitions/{name}"}
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):  # `X | None`; other unions are named ones
        return _of(next(a for a in args if a is not type(None)))
    if origin is Literal:
        return {"const": args[0]} if len(args) == 1 else {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "minItems": 1, "uniqueItems": True, "items": _of(args[0])}
    if hint is Window:
        return {"$ref": "#/definitions/window"}
    if dataclasses.is_dataclass(hint):
        return _object(typing.cast("type[Any]", hint))
    plain: Mapping[Any, Schema] = {
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": 1},
        float: {"type": "number"},
        str: {"type": "string", "minLength": 1},
    }
    return dict(plain[hint])


def _condition(place: Place) -> Schema:
    kinds = [kind for kind in KINDS.values() if place in kind.places]
    properties: Schema = {
        "id": {"$ref": "#/definitions/name"},
        "why": {"type": "string"},
        "dry_run": {"type": "boolean", "description": _DESCRIBED["dry_run"]},
    }
    required = ["id"]
    if place == "rollback":
        properties["for"] = {"$ref": "#/definitions/drops"}
        required.append("for")
    for kind in kinds:
        what = f"Holds when {kind.holds}." + (f" Its no: {kind.no}." if kind.no and place != "rollback" else "")
        properties[kind.name] = {**_object(kind.asks_in(place)), "description": what}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
        "oneOf": [{"required": [kind.name]} for kind in kinds],
    }


def _window() -> Schema:
    pairs = (("days", "between"), ("from", "to"))
    return {
        **_object(Window),
        "dependencies": {a: [b] for pair in pairs for a, b in (pair, pair[::-1])},
        "oneOf": [{"required": list(pair)} for pair in pairs],
    }


def printed() -> str:
    """The text of policies/schema.json."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(printed())
