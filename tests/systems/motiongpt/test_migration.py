import pytest

from motiongpt3_jax.systems.registry import find_system


@pytest.mark.parametrize(("value", "policy"), [(False, "none"), (True, "full"), ("dots", "dots")])
def test_a_config_from_before_policies_of_rematerialization_had_names_reads_as_it_was_meant(value, policy):
    upgrade = find_system("motiongpt").upgrade_config
    new = upgrade({"model": {"lm": "t5", "language": {"layers": 2, "remat": value}}, "seed": 0}, 2)
    assert new == {"model": {"lm": "t5", "language": {"layers": 2, "remat": policy}}, "seed": 0}


def test_a_config_from_before_the_tokenizers_distance_had_a_choice_reads_as_it_was_meant():
    stages = {name: {"loss": name, "objective": {"positions": 0.5}} for name in ("tokenizer", "other")}
    new = find_system("motiongpt").upgrade_config({"stages": stages}, 2)["stages"]
    assert new == {
        **stages,
        "tokenizer": {"loss": "tokenizer", "objective": {"distance": "smooth_l1", "positions": 0.5}},
    }


@pytest.mark.parametrize("damaged", [{}, {"model": 3}, {"model": {"language": None}}, {"model": {"language": {}}}])
def test_a_damaged_config_is_left_for_its_check(damaged):
    assert find_system("motiongpt").upgrade_config(damaged, 2) == damaged
