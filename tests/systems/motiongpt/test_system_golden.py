"""Losses, captions and decoded motions of the whole model against those of the official implementation."""

import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.batch import Batch, StreamSlots
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motion_codes import generate
from motiongpt3_jax.systems.motion_codes.codes import codes_of_clips
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig, LanguageObjective
from motiongpt3_jax.systems.motion_codes.losses import Draws, language_terms
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.tokens import DECODER_START
from motiongpt3_jax.systems.motiongpt.t5_weights import from_t5
from tests.golden import MOTIONGPT, compare, golden_motiongpt
from tests.models.published_vqvae import CONFIG, from_official
from tests.models.t5_rows import END, PREFIX, sizes

pytestmark = pytest.mark.golden

LARGEST_TIE = 1e-3
"""A token may differ from the official one where its best two logits are closer than this."""

OBJECTIVE = LanguageObjective(1.0, True, 0.0, 0.0, 0.15, 3.0, adapter="")


@pytest.fixture(scope="module")
def data():
    return golden_motiongpt("e2e")


@cache
def model():
    """(parts, arrays) with the weights that both sides fill by one rule."""
    config, ids = sizes("e2e")
    words = ids - CONFIG.codes - 3
    state = MOTIONGPT.filled("e2e")
    vqvae, table = from_official(state)
    language = from_t5({k.removeprefix(PREFIX): x for k, x in state.items() if k.startswith(PREFIX)}, config, words)
    params = jax.tree.map(jnp.asarray, {"vqvae": vqvae, **language})
    modules = Modules(CodeModelConfig(CONFIG, True, config, words, ids - words))
    return modules, Variables(params, {"codebook": {"table": jnp.asarray(table)}})


def slots_of(ids, mask, **others):
    """Slots of one sample a row."""
    positions = np.broadcast_to(np.arange(ids.shape[1], dtype=np.int32), ids.shape)
    return StreamSlots(ids.astype(np.int32), positions, mask.astype(np.int32), mask, **others)


def batch_of(source, target):
    """Rows of a question and what is answered, without clips."""
    rows, none = len(source.ids), np.zeros((len(source.ids), 0), np.int32)
    return Batch({"source": source, "target": target}, (), none, none.astype(np.uint32), np.arange(rows)[:, None])


def rounded(mask):
    """Slots that hold the longest row: a power of two, so that programs are few."""
    return max(64, 1 << int(mask.sum(axis=1).max() - 1).bit_length())


def pairs(data, case, rows):
    """The batch of a recorded training step, cut short; behind its own rows its first one, without targets."""
    padded = [*range(len(data[f"{case}_src"]))] + [0] * (rows - len(data[f"{case}_src"]))
    source, target = (data[f"{case}_{side}_mask"][padded] > 0 for side in ("src", "tgt"))
    asked, answered = (slice(0, rounded(mask)) for mask in (source, target))
    source, target = source[:, asked], target[:, answered]
    labels = np.where(target, data[f"{case}_labels"][padded][:, answered], 0)
    read = np.pad(labels[:, :-1], ((0, 0), (1, 0)), constant_values=DECODER_START)
    weights = target * (np.arange(rows) < len(data[f"{case}_src"]))[:, None]
    written = slots_of(read, target, targets=labels.astype(np.int32), weights=weights.astype(np.float32))
    return batch_of(slots_of(data[f"{case}_src"][padded][:, asked], source), written)


@jax.jit
def loss(variables, batch):
    modules, _ = model()
    terms = language_terms(modules, variables, batch, Draws(None), OBJECTIVE)
    return terms.sums["text"] / terms.counts["text"]


def cases(data):
    return sorted(match[1] for name in data if (match := re.fullmatch(r"(\w+)_loss", name)))


def test_the_losses_of_all_tasks_equal_the_official_ones(data):
    found = cases(data)
    assert len(found) >= 4
    rows = max(len(data[f"{case}_src"]) for case in found)
    for case in found:
        compare(f"e2e/{case}_loss", loss(model()[1], pairs(data, case, rows)), data[f"{case}_loss"], atol=3e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["cap", "capl"])
def test_captions_equal_the_official_ones(data, case):
    modules, variables = model()
    source = data[f"{case}_src"]
    mask = source != DECODER_START
    width = int(mask.sum(axis=1).max())
    begun = np.full((len(source), 1), DECODER_START)
    batch = batch_of(slots_of(source[:, :width], mask[:, :width]), slots_of(begun, begun == DECODER_START))
    wanted = data[f"{case}_out"][:, 1:]
    options = TextOptions(END, max_new=wanted.shape[1], repetition_penalty=1.0)

    @jax.jit
    def write(variables, batch):
        prefix = generate.prefill(modules, options.cache_slots, variables, batch, None)["prefix"]
        return generate.decode(modules, options, False, variables, prefix, None, None)["tokens"]

    found = np.asarray(write(variables, batch))
    for row, official, margin in zip(found, wanted, data[f"{case}_margin"]):
        ended = np.flatnonzero(official == END)[:1].tolist() or [len(official)]
        unsure = np.flatnonzero(margin < LARGEST_TIE)[:1].tolist() or [len(official)]
        sure = slice(0, min(*ended, *unsure))
        assert sure.stop
        compare(f"e2e/{case}_out", row[sure], official[sure], atol=0, rtol=0)


def test_clips_that_enter_a_question_have_the_official_codes(data):
    modules, variables = model()
    read = jax.jit(partial(codes_of_clips, modules))
    clips = [name for name in data if re.fullmatch(r"cap_feats\d+", name)]
    assert clips
    longest = max(len(data[name]) for name in clips)
    batch = np.stack([np.pad(data[name], ((0, longest - len(data[name])), (0, 0))) for name in clips])
    found = np.asarray(read(variables, batch, np.array([len(data[name]) for name in clips])))
    words = modules.config.words
    for row, name, source in zip(found, clips, data["cap_src"]):
        wanted = data[name.replace("feats", "tokens")]
        compare(f"e2e/{name}", row[: len(wanted)], wanted, atol=0, rtol=0)
        entered = source[(source >= words) & (source < words + CONFIG.codes)] - words
        np.testing.assert_array_equal(entered, wanted)


def test_a_replys_codes_become_the_official_motion(data):
    modules, variables = model()
    codes = data["reply_tokens"]
    tokens = np.append(codes, CONFIG.codes)[None]
    found = jax.jit(partial(generate.render, modules, CONFIG.codes))(variables, tokens, np.zeros(1, int))
    assert int(found["frames"][0]) == data["reply_feats"].shape[1]
    compare("e2e/reply_feats", found["features"][:, : int(found["frames"][0])], data["reply_feats"])


def test_the_manifest_lists_every_parameter_of_ours():
    _, variables = model()
    manifest = {k: e for k, e in MOTIONGPT.json("e2e.manifest").items() if "alias_of" not in e}
    wanted = sum(int(np.prod(e["shape"])) for e in manifest.values())
    found = sum(x.size for x in jax.tree.leaves((variables.params, variables.state["codebook"]["table"])))
    assert found == wanted
