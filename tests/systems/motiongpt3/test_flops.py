"""FLOPs of real tokens, against the products of the traced step on rows without padding."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Example, Slots
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.configs.sections import adapter
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.models.lora import NO_ADAPTERS
from motiongpt3_jax.parallel import make_mesh
from motiongpt3_jax.planning.stage_program import make_stage_program, model_spec
from motiongpt3_jax.planning.traced_flops import step_flops
from motiongpt3_jax.systems.decoder_flops import TRAINED
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.flops import (
    Lengths,
    decode_flops,
    decoder_flops,
    encode_flops,
    head_flops,
    motion_flops,
    text_flops,
)
from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT
from motiongpt3_jax.training.partition import paths_of
from tests.quick import one_quick

SIZES = ("model.decoder.width=128", "model.decoder.layers=2", "model.vae.width=64", "model.vae.mlp_width=128")
ROWS = 2


def stage_program(stage, *overrides):
    few = [f"stages.{stage}.batch.{name}" for name in ("rows=2", "samples=1")]
    config = check_config(plain(load_config("motiongpt3:test", [*SIZES, *few, *overrides]).to_dict()))
    return make_stage_program(config, stage, model_spec(config), make_mesh(devices=jax.devices()[:1]))


def full(program):
    """A batch whose rows are one sample each, every slot a word or of a motion, every clip as long as its place."""
    batch = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), program.batch)
    frames = [np.full(clips.shape[:2], clips.shape[2]) for clips in batch.clips]
    streams = {}
    for name, slots in batch.streams.items():
        count = slots.ids.shape[1]
        more = {} if slots.weights is None else {"weights": np.ones_like(slots.weights)}
        first = 0 if name == "text" else batch.streams["text"].ids.shape[1]
        places = np.broadcast_to(first + np.arange(count), slots.ids.shape)
        streams[name] = slots.replace(segments=np.ones_like(slots.segments), positions=places, **more)
    return batch.replace(streams=streams, clip_frames=np.concatenate(frames, 1) if frames else batch.clip_frames)


def counted(program, batch, frozen=()):
    return program.plain.train_flops(program.stage.loss, batch, program.stage.objective, frozen)


def traced(program):
    return step_flops(program.plain, program.stage, program.variables, program.batch)


CASES = {
    "vae": ("stages.vae.batch.clips=((48, 1),)",),
    "text": ("stages.text.batch.text_slots=16",),
    "align_bare": (
        "stages.align_bare.batch.text_slots=16",
        "stages.align_bare.batch.motion_slots=8",
        "stages.align_bare.batch.outputs=1",
        "stages.align_bare.batch.clips=((48, 1),)",
    ),
}


@one_quick("stage", list(CASES), "align_bare")
def test_rows_without_padding_need_the_products_of_the_step(stage):
    program = stage_program(stage, *CASES[stage])
    # Few slots: that a slot sees half of its sequence, where the step has scores of all, weighs little; and that the
    # VAE's attention computes its weights again.
    assert counted(program, full(program)) == pytest.approx(traced(program), rel=0.1)


ADAPTED = {
    "text": ("text/.*",),
    "align_bare": (".*",),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(ADAPTED))
def test_an_adapter_on_a_frozen_base_needs_the_products_of_the_step(stage):
    changes = (f"stages.{stage}.trainable=('.*/lora/low/.*',)", f"stages.{stage}.objective.adapter=low")
    lora = {"low": adapter(48, ADAPTED[stage], dropout=0.0)}
    program = stage_program(stage, *CASES[stage], f"model.lora={lora}", *changes)
    frozen, batch = paths_of(program.program.frozen), full(program)
    found = counted(program, batch, frozen)
    assert found == pytest.approx(traced(program), rel=0.1)
    without = replace(program.plain.config.decoder, adapters=NO_ADAPTERS)
    without = MotionGPT3(replace(program.plain.config, decoder=without))
    objective = replace(program.stage.objective, adapter="")
    assert without.train_flops(program.stage.loss, batch, objective, frozen) < 0.8 * found


def test_padding_needs_nothing_and_what_is_frozen_less():
    program = stage_program("align_bare", *CASES["align_bare"])
    batch, paths = full(program), paths_of(program.variables.params)
    whole = counted(program, batch)
    text = batch.streams["text"]
    half = text.replace(segments=text.segments * (np.arange(16) < 8), weights=text.weights * (np.arange(16) < 8))
    assert counted(program, batch.replace(streams={**batch.streams, "text": half})) < 0.8 * whole
    frozen = counted(program, batch, [path for path in paths if TEXT.fullmatch(path)])
    assert frozen < 0.7 * whole


def test_phases_of_an_answer_need_what_reading_and_denoising_it_in_training_does_forward():
    config = stage_program("align_bare").plain.config
    text, motion = 10, 4
    slots = {name: Slots(*[np.zeros(count, int)] * 3) for name, count in (("text", text), ("motion", motion))}
    question = Example(0, slots, (ClipRange(0, 40),))
    found = motion_flops(config, [question], [48], 2, guided=False)
    trained = decoder_flops(config.decoder, [Lengths(text, motion, text)], text_trains=True)
    np.testing.assert_allclose(found["condition"], trained / TRAINED)
    assert found["understand"] == encode_flops(config.vae, 40)
    assert found["decode"] == decode_flops(config.vae, 48)
    head = config.head
    level = 2 * 2.0 * (head.time * head.width + head.width**2)
    np.testing.assert_allclose(found["sample"] + level, head_flops(head, config.vae.latents, 2, config.holders))
    guided = motion_flops(config, [question], [48], 2, guided=True)
    assert 1 < guided["sample"] / found["sample"] < 2
    written = text_flops(config, [question], [5])
    scores = 2 * 5 * config.decoder.streams[0].width * (config.vocabulary + config.new_ids)
    longer = decoder_flops(config.decoder, [Lengths(text + 5, motion, text)], text_trains=True)
    np.testing.assert_allclose(written["write"], longer / TRAINED + scores)


def test_a_window_leaves_out_the_pairs_that_it_does_not_reach():
    config = check_config(plain(load_config("motiongpt3:test").to_dict()))
    whole = build_config(config.values["model"], features=263, vocabulary=300).decoder
    near = replace(whole, windows=(4, *[None] * (whole.layers - 1)))
    counts = [decoder_flops(decoder, [Lengths(10, 0, 10)], text_trains=True) for decoder in (whole, near)]
    # Of ten slots the last six do not see the first, the last five not the second: 6 * 7 / 2 pairs, nearly 6**2 / 2.
    assert counts[0] - counts[1] == 2 * TRAINED * whole.heads * whole.head_width * 6**2
