"""What people write who use the package from Python."""

import subprocess
import sys

import numpy as np
import pytest

import motiongpt3_jax


def test_three_lines_to_a_motion_and_three_to_a_sentence(trained):
    model = motiongpt3_jax.load(trained)
    motion = model.generate("a person walks forward", seconds=1.5)
    assert isinstance(motion, motiongpt3_jax.Motion)
    assert motion.joints.shape == (1, 30, 22, 3)
    assert isinstance(model.caption(motion), str)


def test_several_sentences_make_several_motions(trained):
    found = motiongpt3_jax.load(trained).generate(["a person walks", "a person jumps"], seconds=1.0, seed=3)
    assert [motion.frames for motion in found] == [20, 20]
    assert np.abs(found[0].joints - found[1].joints).max() > 0


def test_a_file_can_be_captioned_as_it_is(trained, tmp_path):
    model = motiongpt3_jax.load(trained)
    path = tmp_path / "walk.npy"
    motiongpt3_jax.save_motion(path, model.generate("a person walks forward", seconds=1.5))
    assert model.caption([path, str(path)]) == [model.caption(path)] * 2


def test_importing_the_package_does_not_import_jax():
    code = "import sys, motiongpt3_jax; assert 'jax' not in sys.modules; dir(motiongpt3_jax)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_name_that_is_offered_is_there():
    assert all(getattr(motiongpt3_jax, name) is not None for name in motiongpt3_jax.__all__)
    with pytest.raises(AttributeError, match="it has: Chat"):
        motiongpt3_jax.nothing  # noqa: B018
