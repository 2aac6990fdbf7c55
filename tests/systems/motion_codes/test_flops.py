"""FLOPs of real tokens of a language model with codes, against the products of the traced step on full rows."""

import jax
import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.configs.sections import adapter
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel import make_mesh
from motiongpt3_jax.planning.stage_program import make_stage_program, model_spec
from motiongpt3_jax.planning.traced_flops import step_flops
from motiongpt3_jax.systems.motion_codes.flops import train_flops
from motiongpt3_jax.training.partition import paths_of
from tests.quick import one_quick

FEW = ("rows=2", "samples=1", "clips=((48, 1),)")
LOW = adapter(24, (".*",), dropout=0.0)
T5 = (
    "model.language.width=64",
    "model.language.mlp_width=128",
    "stages.t2m.batch.slots.source=64",
    "stages.t2m.batch.slots.target=64",
)


def stage_program(config, stage, *overrides):
    few = [f"stages.{stage}.batch.{change}" for change in FEW]
    checked = check_config(plain(load_config(config, [*few, *overrides]).to_dict()))
    return make_stage_program(checked, stage, model_spec(checked), make_mesh(devices=jax.devices()[:1]))


def full(program):
    """A batch whose rows are one sample each, every slot a word or of a motion, every clip as long as its place."""
    batch = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), program.batch)
    streams = {}
    for name, slots in batch.streams.items():
        more = {} if slots.weights is None else {"weights": np.ones_like(slots.weights)}
        streams[name] = slots.replace(segments=np.ones_like(slots.segments), **more)
    frames = [np.full(clips.shape[:2], clips.shape[2]) for clips in batch.clips]
    return batch.replace(streams=streams, clip_frames=np.concatenate(frames, 1) if frames else batch.clip_frames)


def low_rank(stage, rows=""):
    trainable = ".*/lora/low/.*", *([rows] if rows else [])
    return (
        f"model.lora={ {'low': LOW} }",
        f"stages.{stage}.trainable={trainable!r}",
        f"stages.{stage}.objective.adapter=low",
    )


@one_quick("changes", [(), low_rank("t2m"), low_rank("t2m", "vocabulary/new.*")], low_rank("t2m", "vocabulary/new.*"))
def test_rows_without_padding_need_the_products_of_the_step(changes):
    program = stage_program("motiongpt:test", "t2m", *T5, *changes)
    frozen, batch = paths_of(program.program.frozen), full(program)
    found = program.plain.train_flops(program.stage.loss, batch, program.stage.objective, frozen)
    traced = step_flops(program.plain, program.stage, program.variables, program.batch)
    # Few slots: that a slot of the target sees half of it, where the step has scores of all, weighs little.
    assert found == pytest.approx(traced, rel=0.1)
    if changes:
        without = train_flops(program.plain.config, program.stage.loss, batch, "", frozen)
        assert without < 0.9 * found
