"""The fingerprint and the record: what the store's trust rests on."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.provenance import (
    RECORD_SCHEMA,
    NewerRecordError,
    Record,
    canonical_json,
    fingerprint,
    sha256,
)
from tests.paid_images import paid_image

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
"""Lone surrogates included: a JSON file may hold them."""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
MAPPINGS = st.dictionaries(TEXTS, VALUES, max_size=5)


def shuffled(value: Any) -> Any:
    """The same value with every mapping built the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(each) for key, each in reversed(value.items())}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


def from_file(value: Any) -> Any:
    """The value as it is after a way through a JSON file."""
    return json.loads(json.dumps(value))


@given(MAPPINGS, MAPPINGS)
def test_order_does_not_matter(model: dict[str, Any], request: dict[str, Any]) -> None:
    """Equal mappings have one fingerprint, whatever the order in which they were built."""
    assert fingerprint(model, request) == fingerprint(shuffled(model), shuffled(request))


@given(MAPPINGS, MAPPINGS)
def test_every_change_matters(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two requests, or two models, that differ as JSON have different fingerprints."""
    differ = json.dumps(from_file(one), sort_keys=True) != json.dumps(from_file(other), sort_keys=True)
    assert (fingerprint({}, one) != fingerprint({}, other)) == differ
    assert (fingerprint(one, {}) != fingerprint(other, {})) == differ


@given(MAPPINGS)
def test_model_and_request_are_told_apart(values: dict[str, Any]) -> None:
    """What belongs to the model never gives the fingerprint of the same thing in the request."""
    assert (fingerprint(values, {}) != fingerprint({}, values)) == bool(values)


@given(
    st.dictionaries(st.integers() | TEXTS, VALUES, max_size=5).filter(lambda each: len(each) == len(from_file(each)))
)
def test_canonical_json_survives_a_file(value: dict[Any, Any]) -> None:
    """A value read back from JSON has the spelling that it had before, even with numbers as keys."""
    assert canonical_json(from_file(value)) == canonical_json(value)


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (float("inf"), ValueError), (b"", TypeError)])
def test_only_json_has_a_fingerprint(value: Any, error: type[Exception]) -> None:
    """What JSON cannot hold is refused before anything is asked."""
    with pytest.raises(error):
        fingerprint({}, {"option": value})


GOLDEN = ({"model": "a/b", "options": {"steps": 4, "scale": 2.5}}, {"prompt": "größe \ud83d\ude00", "number": 0})


def test_fingerprint_is_stable() -> None:
    """A fingerprint never changes: another value here would ask again for every image ever paid."""
    assert fingerprint(*GOLDEN) == "c71fadde2486a40b9ba486651c6c408f3f9d1f2906236ffecbbc0060d584cc21"


def test_fingerprint_is_the_same_in_another_process() -> None:
    """Another process with another hash seed finds the same key."""
    code = f"from tasks_lib.provenance import fingerprint; print(fingerprint(*{GOLDEN!a}))"
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(filter(None, sys.path))}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == fingerprint(*GOLDEN)


def test_sha256_takes_a_lone_surrogate() -> None:
    """A text that UTF-8 cannot hold has a digest all the same."""
    assert sha256("\ud800") != sha256("\ud801")


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record."""
    model, request = draw(MAPPINGS), draw(MAPPINGS)
    whole, amount = st.integers(0, 2**40), st.floats(0, 1e6)
    return Record(
        fingerprint=fingerprint(model, request),
        model_name=draw(st.text(max_size=8)),
        model=model,
        request=request,
        sha256=sha256(draw(st.binary(max_size=4))),
        size=draw(whole),
        format=draw(st.sampled_from(["PNG", "JPEG", "WEBP", "JPEG2000"])),
        width=draw(whole),
        height=draw(whole),
        seconds=draw(amount),
        attempts=draw(whole),
        cost_usd=draw(st.none() | amount),
        created="2026-11-22T10:00:00+00:00",
        metadata=draw(MAPPINGS),
    )


@given(records())
def test_record_survives_its_file(record: Record) -> None:
    """A record read back says what it said, and is spelled the same when written again."""
    read = Record.from_json(record.to_json().encode())
    assert read.to_json() == record.to_json()
    assert read == replace(
        record, model=from_file(record.model), request=from_file(record.request), metadata=from_file(record.metadata)
    )


def test_odd_metadata_never_costs_the_image() -> None:
    """A provider's answer that JSON cannot hold is kept as text."""
    record = replace(paid_image(1)[0], metadata={"at": b"\x00"})
    assert Record.from_json(record.to_json()).metadata == {"at": "b'\\x00'"}


def changed(**changes: Any) -> str:
    return json.dumps({**vars(paid_image(1)[0]), **changes})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in vars(paid_image(1)[0]).items() if key != name})


@pytest.mark.parametrize("name", ["fingerprint", "request", "sha256", "size", "format", "created", "schema"])
def test_record_without_a_field_is_refused(name: str) -> None:
    """A record that lacks a fact is not taken for one."""
    with pytest.raises(ValueError, match=name):
        Record.from_json(without(name))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        b"\xff\xfe\x00",
        changed(size="large"),
        changed(request=None),
        changed(format="../../png"),
        changed(fingerprint="../" * 21 + "x"),
        changed(sha256="short"),
        changed(schema="1"),
        changed(schema=RECORD_SCHEMA - 1),
        changed(request={"prompt": "another"}),
        changed(model={}),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_damaged_record_is_refused(text: str | bytes) -> None:
    """Whatever is not a whole and fitting record is a ValueError, never another error and never a record."""
    with pytest.raises(ValueError) as caught:
        Record.from_json(text)
    assert not isinstance(caught.value, NewerRecordError)


def test_newer_record_is_told_apart() -> None:
    """A record of a newer version is not taken for a damaged one."""
    with pytest.raises(NewerRecordError, match=str(RECORD_SCHEMA + 1)):
        Record.from_json(changed(schema=RECORD_SCHEMA + 1))


def test_unknown_fields_are_passed_over() -> None:
    """A field added later within the schema does not hinder this version."""
    assert Record.from_json(changed(added_later=1)) == paid_image(1)[0]
