import numpy as np
import pytest

from motiongpt3_jax.training.partition import merge, split

PARAMS = {"decoder": {"text": np.zeros(1), "motion": {"up": np.ones(2)}}, "motion_head": {"kernel": np.ones(3)}}


def test_split_takes_whole_paths_only():
    trainable, frozen = split(PARAMS, ("decoder/motion/.*", "head/.*|decoder/text"))
    assert trainable == {"decoder": {"text": PARAMS["decoder"]["text"], "motion": PARAMS["decoder"]["motion"]}}
    assert frozen == {"motion_head": PARAMS["motion_head"]}


def test_merge_puts_back_what_split_took_apart():
    assert merge(*split(PARAMS, (".*/up",))) == PARAMS


def test_a_pattern_that_names_a_folder_gets_a_hint():
    with pytest.raises(ValueError, match=r"did you mean 'decoder/motion/\.\*'\?"):
        split(PARAMS, ("decoder/motion",))


def test_a_pattern_that_matches_nothing_names_near_paths():
    with pytest.raises(ValueError, match="near paths are motion_head/kernel"):
        split(PARAMS, ("motion_haed/.*",))


def test_a_stage_that_trains_nothing_is_an_error():
    with pytest.raises(ValueError, match="name at least one"):
        split(PARAMS, ())
