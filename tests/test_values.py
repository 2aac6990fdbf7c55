"""What plain values must be."""

import math
from dataclasses import dataclass

import pytest

from motiongpt3_jax.values import (
    FLAG,
    NAME,
    PATTERN,
    check_value,
    check_values,
    from_values,
    none_or,
    one_of,
    pair_of,
    real,
    section,
    sequence_of,
    setting,
    whole,
)


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (whole(1, 4), (1, 4), (0, 5, True, 2.0, "2", None, 10**400)),
        (real(0, 1), (0, 1, 0.5), (-0.1, 1.1, math.nan, math.inf, True, "0", 10**400)),
        (real(0, 1, above=True, below=True), (0.5,), (0, 1)),
        (none_or(whole(1, 4)), (None, 1), (0, "")),
        (one_of("a", "b"), ("a",), ("c", None, [])),
        (sequence_of(whole(1, 4), least=1), ((1,), [1, 2]), ((), (0,), "1", None)),
        (pair_of(whole(1, 4), one_of("a")), ((1, "a"),), ((1,), (1, "a", "a"), ("a", 1))),
        (FLAG, (True, False), (0, 1, None)),
        (NAME, ("a",), ("", " ", "a\0", None)),
        (PATTERN, ("a.*",), ("(", None, "a{9999999999}")),
    ],
)
def test_a_rule_takes_what_it_says(rule, right, wrong):
    assert all(rule.holds(value) for value in right)
    assert not any(rule.holds(value) for value in wrong)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"heads": 0, "width": 1}, r"^vae\.heads is 0; it must be a whole number from 1 to 8$"),
        ({"width": 1}, r"^vae has no 'heads'$"),
        ({"hheads": 2, "width": 1}, r"^vae has no 'heads'; is 'hheads' meant to be it\?$"),
        ({"heads": 2, "width": 1, "depth": 3}, r"^vae has the unknown key 'depth'; there are: heads, width$"),
        (5, r"^vae is 5; it must be a section with keys$"),
    ],
)
def test_a_section_is_refused_by_the_key_that_is_wrong(values, said):
    with pytest.raises(ValueError, match=said):
        check_values("vae", values, {"heads": whole(1, 8), "width": whole(1, 8)})


def test_a_value_too_large_to_show_is_refused_in_a_short_sentence():
    for value in (10**5000, "a" * 5000):
        with pytest.raises(ValueError, match=r"seed is .{1,80}; it must be") as error:
            check_value("seed", value, whole(0, 1))
        assert len(str(error.value)) < 150


@dataclass(frozen=True)
class Head:
    depth: int = setting(whole(1, 8))


@dataclass(frozen=True)
class Model:
    heads: int = setting(whole(1, 8))
    head: Head = section(Head)
    name: str = "fresh"


def test_a_section_becomes_a_dataclass_with_its_sections_nested():
    assert from_values(Model, {"heads": 2, "head": {"depth": 3}}, "model") == Model(2, Head(3), "fresh")
    assert from_values(Model, {"heads": 2, "head": {"depth": 3}}, "model", name="old").name == "old"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"heads": 2, "head": {"depth": 9}}, r"^model\.head\.depth is 9; it must be a whole number from 1 to 8$"),
        ({"heads": 2, "head": 5}, r"^model\.head is 5; it must be a section with keys$"),
        ({"heads": 2, "head": {"deph": 3}}, r"^model\.head has no 'depth'; is 'deph' meant to be it\?$"),
        ({"heads": 2}, r"^model has no 'head'$"),
        (
            {"heads": 2, "head": {"depth": 3}, "name": "x"},
            r"^model has the unknown key 'name'; there are: heads, head$",
        ),
    ],
)
def test_a_section_becomes_no_dataclass_where_a_key_is_wrong(values, said):
    with pytest.raises(ValueError, match=said):
        from_values(Model, values, "model")
