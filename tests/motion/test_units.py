"""Units are those that make a body most like a grown-up, by its whole body."""

import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.motion.units import UNITS, likeliest_unit
from tests.motion.bvh_files import standing


def name_of(metres: float) -> str:
    return next(name for name, value in UNITS.items() if value == metres)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("tall", [0.85, 1.0, 1.15])
def test_grown_ups_are_read_in_their_unit_whatever_it_is(unit, tall):
    metres, note = likeliest_unit(tall * standing()[None] / UNITS[unit])
    assert name_of(metres) == unit
    assert note.startswith(f"lengths are read as {unit}: legs of {0.82 * tall:.2f} m, arms of {0.51 * tall:.2f} m")


@pytest.mark.parametrize("leg", [0.8, 0.83, 0.9, 1.0, 1.05])
def test_bodies_in_decimetres_are_not_taken_for_cmus(leg):
    metres, note = likeliest_unit(leg / 0.82 * standing()[None] * 10)
    assert name_of(metres) == "decimetres"
    assert f"(if it is CMU's units of 5.64 cm, legs of {leg * 0.564444:.2f} m, give --mapping" in note
    assert note.endswith("""'{"unit": 0.0564444}')""")


@pytest.mark.parametrize("part", ["legs", "arms"])
def test_one_odd_part_does_not_decide(part):
    joints = standing()
    names = {"legs": ("knee", "ankle", "foot"), "arms": ("elbow", "wrist")}[part]
    for side in ("left", "right"):
        moved = [HUMANML3D.joints.index(f"{side}_{name}") for name in names]
        joints[moved] = joints[moved[0]] + 0.4 * (joints[moved] - joints[moved[0]])
    assert name_of(likeliest_unit(joints[None] * 10)[0]) == "decimetres"


def test_a_child_is_read_in_centimetres():
    assert name_of(likeliest_unit(0.65 * standing()[None] * 100)[0]) == "centimetres"


def test_a_body_without_size_is_refused():
    with pytest.raises(ValueError, match="legs have no length"):
        likeliest_unit(np.ones((1, 3, 22, 3)))
