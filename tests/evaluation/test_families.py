from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aetui.diagnosis.api import subject_of
from evaluation import families

FAMILIES = [case.name for case in families.cases() if case.cause is None]


def test_each_family_has_four_bugs_and_names_are_unique():
    names = [case.name for case in families.cases()]
    assert len(set(names)) == len(names) and len(FAMILIES) >= 10
    assert all(sum(name.startswith(f"{family}.") for name in names) == 4 for family in FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_taken_as_it_is(name: str):
    """Its reconstruction and target are found without a word, and a builder gives the same each time."""
    case = next(case for case in families.cases() if case.name == name)
    made, again = case.make(0), case.make(0)
    assert all(map(torch.equal, made["model"].state_dict().values(), again["model"].state_dict().values()))
    settings = {key: value for key, value in made.items() if key not in ("model", "data")}
    subject = subject_of(made["model"], made["data"], **settings)
    found = {one.role: one for one in subject.taken}
    assert {"reconstruction", "target"} <= found.keys()
    assert isinstance(subject.judged, Tensor) and subject.judged.is_floating_point()
    assert ("mean" in found) == ("vae" in name and name != "vq-vae")
