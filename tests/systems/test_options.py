from dataclasses import dataclass

import numpy as np
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.options import known_options


@dataclass(frozen=True)
class Options:
    end: int = 0
    steps: int = 20
    scale: float = 1.0
    draw: bool = False
    name: str = "a"
    ids: tuple[int, ...] = ()


def test_options_of_their_kinds_pass_as_they_are():
    options = {"steps": np.int64(3), "scale": 2, "draw": True, "name": "b", "ids": (1, 2)}
    assert known_options(options, Options) == options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 1}, "there is no option 'speed'; there are: steps, scale, draw, name, ids"),
        ({"end": 1}, "there is no option 'end'"),
        ({"steps": 2.5}, "the option steps is 2.5: give a whole number"),
        ({"steps": True}, "the option steps is True: give a whole number"),
        ({"scale": "high"}, "the option scale is 'high': give a number"),
        ({"draw": 1}, "the option draw is 1: give True or False"),
        ({"name": 3}, "the option name is 3: give a word"),
    ],
)
def test_an_unknown_option_or_another_kind_of_value_is_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        known_options(options, Options)
