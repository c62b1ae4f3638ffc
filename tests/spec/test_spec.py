"""The spec: round trips, changes, refusals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from aetui.spec import RunSpec, SpecError, changed, differences, dumps, from_mapping, load, loads, to_mapping
from aetui.spec.fields import SECTIONS, Field, fields_of, variants
from aetui.spec.sections import LIVE_KINDS
from aetui.spec.toml import reference
from tests.conftest import spec_fields


def values_of(field: Field) -> st.SearchStrategy:
    """Values that the field accepts."""
    kind = field.type
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, inspect.BoolType):
        return st.booleans()
    if isinstance(kind, inspect.IntType):
        return st.integers(kind.ge or 0, min(kind.le or 10**6, 10**6))
    if isinstance(kind, inspect.FloatType):
        low = kind.ge if kind.ge is not None else kind.gt
        high = kind.le if kind.le is not None else kind.lt
        return st.floats(
            low,
            high,
            exclude_min=kind.gt is not None,
            exclude_max=kind.lt is not None,
            allow_nan=False,
            allow_infinity=False,
        )
    if field.path == "train.device":
        return st.sampled_from(["auto", "cpu", "cuda", "cuda:3", "mps"])
    if isinstance(kind, inspect.StrType):
        return st.text(min_size=kind.min_length or 0, max_size=20)
    if field.path == "about.knobs":
        return st.lists(st.text(max_size=9), max_size=3).map(tuple)
    least = 2 if field.path == "data.image_shape" else kind.min_length or 0
    return st.lists(st.integers(1, 512), min_size=least, max_size=3).map(tuple)


@st.composite
def specs(draw: st.DrawFn) -> RunSpec:
    parts = {}
    for section in SECTIONS:
        struct = draw(st.sampled_from(list(variants(section).values())))
        parts[section] = struct(**{name: draw(values_of(field)) for name, field in fields_of(struct).items()})
    return RunSpec(**parts)


def coherent(spec: RunSpec) -> bool:
    try:
        changed(spec, {})
    except SpecError:
        return False
    return True


@given(specs().filter(coherent))
def test_every_spec_survives_toml(spec: RunSpec):
    assert loads(dumps(spec)) == spec


@given(specs().filter(coherent))
def test_every_spec_survives_plain_mappings(spec: RunSpec):
    assert from_mapping(to_mapping(spec)) == spec


@given(specs())
def test_every_number_and_choice_survives_its_own_text(spec: RunSpec):
    for field, value in spec_fields(spec):
        if field.is_number or field.choices or field.is_bool or field.name in ("hidden", "image_shape"):
            assert field.parse(field.format(value)) == value


@given(specs().filter(coherent), specs().filter(coherent))
def test_differences_lead_from_one_spec_to_the_other(old: RunSpec, new: RunSpec):
    changes = {item.path: getattr(getattr(new, item.path.split(".")[0]), item.path.split(".")[1], item.new)
               for item in differences(old, new) if item.new or not item.path.endswith(".kind")}  # fmt: skip
    kinds = {item.path: item.new for item in differences(old, new) if item.path.endswith(".kind")}
    known = {field.path for field, _ in spec_fields(new)} | {f"{section}.kind" for section in SECTIONS}
    wanted = {path: value for path, value in (changes | kinds).items() if path in known}
    reached = changed(old, wanted)
    # What both kinds share and the old one had set away from its default is carried over.
    carried = {item.path for item in differences(reached, new)}
    assert all(path.split(".")[0] in {kind.split(".")[0] for kind in kinds} for path in carried)


def test_nothing_differs_from_itself():
    assert differences(RunSpec(), RunSpec()) == []


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("optim.kind", "nadm", ["optim.kind", "'nadm'", "did you mean nadam?"]),
        ("optim.lr", "-1", ["optim.lr", "'-1'", "a number from 0"]),
        ("optim.lr", "fast", ["optim.lr", "'fast'", "a number"]),
        ("optim.lr", "nan", ["optim.lr", "'nan'", "a number"]),
        ("optim.lr", "inf", ["optim.lr", "a number"]),
        ("optim.momentum", "0.9", ["optim.momentum", "adam has no momentum", "sgd"]),
        ("optm.lr", "1", ["optm", "did you mean optim?"]),
        ("optim.lrr", "1", ["optim.lrr", "did you mean optim.lr?"]),
        ("train.lr", "1", ["train.lr", "did you mean optim.lr?"]),
        ("optim", "1", ["optim.key", "known: lr"]),
        ("model.hidden", "64, many", ["model.hidden", "whole numbers"]),
        ("model.code", "2.5", ["model.code", "a whole number from 1"]),
        ("model.dropout", "1", ["model.dropout", "below 1"]),
        ("model.activation", "rulu", ["model.activation", "did you mean relu?"]),
        ("model.batch_norm", "maybe", ["model.batch_norm", "true or false"]),
        ("data.kind", "file", ["data.path", "missing"]),
        ("train.device", "gpu", ["train.device", "cuda"]),
        ("data.image_shape", "8", ["data.image_shape", "height, width"]),
    ],
)
def test_bad_values_are_refused_with_path_value_and_what_is_allowed(path: str, text: str, words: list[str]):
    with pytest.raises(SpecError) as caught:
        changed(RunSpec(), {path: text}, text=True)
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_toml_refuses_alike_and_lists_every_problem():
    with pytest.raises(SpecError) as caught:
        loads("[optim]\nlr = -1.0\n[model]\ncode = 'ten'\n[optimizer]\nlr = 1.0\n")
    assert {problem.path for problem in caught.value.problems} == {"optim.lr", "model.code", "optimizer"}
    with pytest.raises(SpecError, match="not valid TOML"):
        loads("[optim\n")
    with pytest.raises(SpecError, match="takes a table"):
        loads("optim = 3\n")


def test_a_text_where_a_number_belongs_is_refused_in_toml():
    with pytest.raises(SpecError, match=r"optim\.lr"):
        loads('[optim]\nlr = "3e-4"\n')


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.toml: can't be read"):
        load(tmp_path / "nowhere.toml")


def test_nothing_is_changed_in_part():
    spec = RunSpec()
    with pytest.raises(SpecError):
        changed(spec, {"optim.lr": "1e-4", "model.code": "0"}, text=True)
    assert spec == RunSpec()


def test_a_new_kind_keeps_what_was_set_and_takes_its_own_defaults_otherwise():
    spec = changed(RunSpec(), {"optim.kind": "sgd"}, text=True)
    assert spec.optim.lr == 1e-2
    spec = changed(changed(RunSpec(), {"optim.lr": 3e-4}), {"optim.kind": "sgd", "optim.momentum": 0.9})
    assert (spec.optim.lr, spec.optim.momentum) == (3e-4, 0.9)


def test_order_of_changes_does_not_matter():
    one = changed(RunSpec(), {"optim.momentum": "0.9", "optim.kind": "sgd"}, text=True)
    two = changed(RunSpec(), {"optim.kind": "sgd", "optim.momentum": "0.9"}, text=True)
    assert one == two


@pytest.mark.parametrize("text", ["3e-4", "0.0003", " 3E-4 ", "3.0e-04"])
def test_numbers_are_read_as_people_write_them(text: str):
    assert changed(RunSpec(), {"optim.lr": text}, text=True).optim.lr == 3e-4


@pytest.mark.parametrize("text", ["128,64", "[128, 64]", "128 64", "128x64", "(128, 64)"])
def test_widths_are_read_as_people_write_them(text: str):
    assert changed(RunSpec(), {"model.hidden": text}, text=True).model.hidden == (128, 64)


def test_nesterov_needs_momentum():
    with pytest.raises(SpecError, match=r"optim\.nesterov.*momentum"):
        changed(RunSpec(), {"optim.kind": "sgd", "optim.nesterov": True})


def test_live_and_structural_differences():
    new = changed(RunSpec(), {"optim.kind": "sgd", "clip.kind": "global", "clip.threshold": 5.0, "model.code": 4})
    found = {item.path: item.live for item in differences(RunSpec(), new)}
    assert found == {
        "optim.kind": True, "optim.lr": True, "clip.kind": True, "clip.threshold": True, "model.code": False,
    }  # fmt: skip
    assert {"optim", "clip", "schedule", "loss"} == LIVE_KINDS


def test_every_setting_has_help_and_a_sound_default():
    for section in SECTIONS:
        for struct in variants(section).values():
            for field in fields_of(struct).values():
                assert field.help
                assert field.required or field.check(field.default) == field.default
                assert field.allowed


def test_the_reference_lists_every_setting():
    listed = {row[0] for row in reference()}
    assert {field.path for field, _ in spec_fields(RunSpec())} <= listed


def test_toml_holds_help_kinds_and_defaults():
    text = dumps(RunSpec())
    assert "# learning rate: step size of the optimizer" in text
    assert "one of adam, adamw, nadam" in text
    assert "lr = 0.001" in text
    assert math.isclose(loads(text).optim.lr, 1e-3)
