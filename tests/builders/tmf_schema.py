"""Validates documents against the TM Forum specifications in ../shared/data/tmf, made usable.

As published they reject what they mean to allow: discriminators recurse for ever, `oneOf` over open schemas
matches several. Here every schema becomes two: `X__own` (what X itself says, for inheritance) and `X` (that,
plus what the subtype named by `@type` says, and nothing else: unknown attributes are errors).
"""

import json
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

_FOLDER = Path(__file__).parents[3] / "shared" / "data" / "tmf"
_ROOT = "#/components/schemas/"
_checker = FormatChecker(formats=())


@_checker.checks("date-time")
def _is_instant(value: object) -> bool:
    """RFC 3339 in UTC, with Z."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value))


def complaints(specification: str, schema: str, document: Any, *, own: Collection[str] = ()) -> list[str]:
    """What is wrong with the document, by path; skips the test where the specifications are absent.

    `specification` is the start of the file's name, ``TMF622-5``; `own` names attributes that are Turnup's
    additions, anywhere in the document.
    """
    document = _without(document, own)
    validator = _validator(_file(specification), schema)
    return [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message[:300]}"
        for error in validator.iter_errors(document)
    ]


def _without(node: Any, names: Collection[str]) -> Any:
    if isinstance(node, dict):
        return {name: _without(value, names) for name, value in node.items() if name not in names}
    return [_without(value, names) for value in node] if isinstance(node, list) else node


def _file(specification: str) -> Path:
    found = sorted(_FOLDER.glob(f"{specification}*"))
    if not found:
        pytest.skip(f"no {specification} in ../shared/data/tmf")
    return found[-1]


@cache
def _schemas(path: Path) -> dict[str, Any]:
    # Swagger 2 (v4) keeps under `definitions` what OpenAPI 3 (v5) has under `components`
    text = path.read_text().replace("#/definitions/", _ROOT)
    read = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
    published = read["definitions"] if "definitions" in read else read["components"]["schemas"]
    usable: dict[str, Any] = {}
    for name, schema in published.items():
        usable[f"{name}__own"] = _own(schema)
        usable[name] = _dispatching(name, schema, published)
    return usable


@cache
def _validator(path: Path, name: str) -> Draft202012Validator:
    root = {"$ref": f"{_ROOT}{name}", "components": {"schemas": _schemas(path)}}
    return Draft202012Validator(root, format_checker=_checker)


def _own(schema: Any) -> Any:
    """The schema without polymorphism; what it inherits points to the others' own part."""
    result = {key: value for key, value in schema.items() if key not in {"discriminator", "oneOf", "anyOf"}}
    if "allOf" in result:
        result["allOf"] = [
            {"$ref": part["$ref"] + "__own"} if "$ref" in part else _own(part) for part in result["allOf"]
        ]
    return result


def _dispatching(name: str, schema: Any, published: dict[str, Any]) -> Any:
    if "type" in schema and schema["type"] != "object":
        return schema
    alternatives = [part["$ref"].removeprefix(_ROOT) for part in schema.get("oneOf", ()) if "$ref" in part]
    mapped = [target.removeprefix(_ROOT) for target in _discriminator(schema).get("mapping", {}).values()]
    if alternatives:
        known = sorted({*alternatives, *mapped} & set(published))
        return {
            "required": ["@type"],
            "properties": {"@type": {"enum": known}},
            "allOf": [_when(kind, kind) for kind in known],
        }
    # the mappings are incomplete (TMF620 forgets the boolean values): who inherits is a subtype too
    heirs = [kind for kind in published if _inherits(kind, name, published)] if mapped else []
    subtypes = sorted({*mapped, *heirs} & set(published) - {name})
    return {
        "allOf": [{"$ref": f"{_ROOT}{name}__own"}, *(_when(kind, f"{kind}__own") for kind in subtypes)],
        "unevaluatedProperties": False,
    }


def _discriminator(schema: Any) -> Any:
    """Swagger 2 names a property only."""
    found = schema.get("discriminator", {})
    return found if isinstance(found, dict) else {}


def _inherits(kind: str, ancestor: str, published: dict[str, Any]) -> bool:
    parents = [
        part["$ref"].removeprefix(_ROOT) for part in published[kind].get("allOf", ()) if "$ref" in part
    ]
    return any(parent == ancestor or _inherits(parent, ancestor, published) for parent in parents)


def _when(kind: str, target: str) -> dict[str, Any]:
    return {
        "if": {"required": ["@type"], "properties": {"@type": {"const": kind}}},
        "then": {"$ref": f"{_ROOT}{target}"},
    }
