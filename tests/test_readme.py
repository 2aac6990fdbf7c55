"""The pieces of Python in README and docs run as they stand."""

import re
from pathlib import Path

import pytest

import motiongpt3_jax
from tests.trained import FEWER_PROGRAMS

HERE = Path(__file__).resolve().parents[1]
PIECE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("number", range(3))
def test_the_readmes_python_runs(number, trained, tmp_path, monkeypatch):
    pieces = PIECE.findall((HERE / "README.md").read_text())
    assert len(pieces) == 3, "the test runs every piece: count anew"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(trained)
    motion = motiongpt3_jax.load("runs/demo").generate("a person walks", 1.5, steps=2)
    (tmp_path / "motions").mkdir()
    motiongpt3_jax.save_motion("motions/motion_000.npy", motion)
    # The run there is of the smallest config, and few clips are enough.
    piece = (
        pieces[number]
        .replace("clips=400", "clips=20")
        .replace('train("motiongpt3:demo", "runs/demo")', f'train("motiongpt3:test", "runs/demo", {FEWER_PROGRAMS!r})')
    )
    assert "motiongpt3:demo" not in piece
    names = {}
    exec(compile(piece, f"README.md, piece {number}", "exec"), names)
    if number == 2:
        assert (tmp_path / "models" / "mine" / "model.safetensors").is_file()
        assert (tmp_path / "shown" / "kick.png").is_file()
    else:
        assert names["motion" if number == 0 else "sentence"] is not None
