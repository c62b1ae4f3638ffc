"""The table of settings says of each what its field says."""

import pytest

from aetui.spec import RunSpec, SpecError, changed, dumps, loads
from aetui.training.setting_table import table
from tests.conftest import spec_fields


def test_the_table_has_every_setting_and_kind_but_those_about_the_spec():
    spec = RunSpec()
    found = {one.path: one for one in table(spec)}
    fields = {field.path: (field, value) for field, value in spec_fields(spec) if not field.path.startswith("about.")}
    assert fields.keys() == {path for path in found if not path.endswith(".kind") or path in fields}
    for path, (field, value) in fields.items():
        assert found[path].value == field.format(value)
        assert (found[path].live, found[path].help, found[path].allowed) == (field.live, field.help, field.allowed)
    assert found["optim.kind"].live and not found["model.kind"].live
    assert found["optim.kind"].value in found["optim.kind"].choices


@pytest.mark.parametrize("kind", ["mlp", "conv", "vae"])
def test_its_values_are_text_that_a_change_takes(kind: str):
    spec = changed(RunSpec(), {"model.kind": kind, "clip.kind": "global"})
    values = {one.path: one.value for one in table(spec)}
    assert changed(spec, values, text=True) == loads(dumps(spec))


def test_bounds_are_those_that_are_checked():
    fields = {field.path: field for field, _ in spec_fields(RunSpec())}
    bounded = [one for one in table(RunSpec()) if one.type in ("number", "integer") and one.low is not None]
    assert {"optim.lr", "train.batch_size"} <= {one.path for one in bounded}
    for one in bounded:
        field, low = fields[one.path], one.low
        assert low is not None
        if one.above_low:
            with pytest.raises(SpecError):
                field.check(low)
        else:
            field.check(low)
        with pytest.raises(SpecError):
            field.check(low - 1)
