import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.deciding.argument_schema import MAX_ENUM, MAX_ITEMS, MAX_TEXT_CHARS, Unbounded, bounded, mistakes


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def one(prop: Any) -> dict[str, Any]:
    made: dict[str, Any] = bounded(schema(x=prop))["properties"]["x"]
    return made


def test_every_text_and_list_gets_a_bound() -> None:
    assert one({"type": "string"}) == {"type": "string", "minLength": 0, "maxLength": MAX_TEXT_CHARS}
    assert one({"type": "string", "maxLength": 10**9, "minLength": 10**9})["maxLength"] == MAX_TEXT_CHARS
    assert one({"type": "string", "maxLength": 5})["maxLength"] == 5
    listed = one({"type": "array", "items": {"type": "string"}, "minItems": 10**9})
    assert (listed["minItems"], listed["maxItems"]) == (MAX_ITEMS, MAX_ITEMS)
    assert listed["items"]["maxLength"] == MAX_TEXT_CHARS
    assert bounded(schema(x={"type": "object"}))["properties"]["x"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("^[A-Z]{3}$", True),
        ("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", True),
        ("^(a+)+$", False),
        ("^[a-z]{1000}$", False),
        ("^.*$", False),
        ("[a-z]{2}", False),
    ],
)
def test_only_small_patterns_are_kept(pattern: str, kept: bool) -> None:
    made = one({"type": "string", "pattern": pattern})
    assert (made.get("pattern") == pattern) is kept
    assert kept or made["maxLength"] == MAX_TEXT_CHARS


@pytest.mark.parametrize("prop", [{}, True, {"$ref": "#"}, {"not": {}}, {"allOf": [{"type": "string"}]}])
def test_what_is_not_understood_is_a_short_value(prop: Any) -> None:
    assert one(prop)["maxLength"] == MAX_TEXT_CHARS
    assert "object" not in one(prop)["type"]


def test_choices_and_alternatives_stay() -> None:
    assert one({"enum": ["a", 1, None]}) == {"enum": ["a", 1, None]}
    assert "enum" not in one({"type": "string", "enum": [str(number) for number in range(MAX_ENUM + 1)]})
    assert [each["type"] for each in one({"type": ["string", "null"]})["anyOf"]] == ["string", "null"]
    assert one({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})["anyOf"][0]["minimum"] == 1


@pytest.mark.parametrize(
    "hostile",
    [
        schema(**{f"p{number}": {"type": "string"} for number in range(25)}),
        schema(x={"type": "string", "description": "x" * 20_000}),
        {"type": "object", "properties": ["x"]},
        {"type": "object", "properties": {"x": {"type": "string", "default": {1, 2}}}},
    ],
    ids=["properties", "bytes", "no object", "no JSON"],
)
def test_what_is_too_much_is_refused(hostile: dict[str, Any]) -> None:
    with pytest.raises(Unbounded):
        bounded(hostile)


def test_depth_is_bounded() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(50):
        deep = {"type": "array", "items": deep}
    with pytest.raises(Unbounded, match="deep"):
        bounded(schema(x=deep))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
keywords = st.dictionaries(
    st.sampled_from(
        [
            "type",
            "properties",
            "items",
            "enum",
            "anyOf",
            "pattern",
            "format",
            "required",
            "maxLength",
            "minItems",
        ]
    ),
    values
    | st.sampled_from(["object", "array", "string", "integer", "number", ["string", "null"]])
    | st.dictionaries(st.text(max_size=5), st.deferred(lambda: keywords), max_size=3),
    max_size=5,
)


@given(keywords)
def test_any_schema_gives_a_bounded_one_or_is_refused(hostile: dict[str, Any]) -> None:
    try:
        made = bounded(hostile)
    except Unbounded:
        return
    assert len(json.dumps(made)) < 100_000
    jsonschema_rs.validator_for(made)


def test_mistakes_are_named_and_never_raised() -> None:
    wanted = schema(x={"type": "integer", "minimum": 3})
    assert mistakes({"x": 3}, wanted) == ()
    assert len(mistakes({"x": 1}, wanted)) == 1
    assert mistakes({"x": 1}, {"type": 7}) != ()
