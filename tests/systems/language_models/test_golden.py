"""Decoders of every family against hidden states, logits and losses recorded from their published implementations."""

import json
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from motiongpt3_jax.models import cross_entropy
from motiongpt3_jax.systems.language_models import language_model_table
from motiongpt3_jax.tensors.name_table import from_state_dict
from tests.golden import MOTIONLLM, compare, golden_motionllm
from tests.systems.language_models.models import decoder_of, logits_of, section_of, vocabulary_of

pytestmark = pytest.mark.golden

FAMILIES = ("gemma2", "llama", "qwen2", "qwen3", "gemma3")
LOGITS = {"atol": 5e-4, "rtol": 0}
"""Of logits up to 15."""


@cache
def model(family):
    """(section, decoder, vocabulary, parameters, the fixture's arrays)."""
    data = golden_motionllm(f"{family}_tiny")
    values = json.loads(str(data["config"]))
    section, ids = section_of(family, values), values["vocab_size"]
    config = decoder_of(section)
    state = {key.removeprefix(f"{family}."): x for key, x in MOTIONLLM.filled(f"{family}_tiny").items()}
    params = from_state_dict(state, language_model_table(config, ids, ids, section.tied))
    return section, config, vocabulary_of(section, config, ids), params, data


@cache
def run(family, changed=(), windows=None):
    """Logits, hidden states of every layer, and those after the final norm, of each batch of a fixture: in one pass.

    Args:
      family: of the blocks.
      changed: values of the flavour that are others.
      windows: of the layers, where they are others.
    """
    _, config, vocabulary, params, data = model(family)
    config = replace(config, flavour=replace(config.flavour, **dict(changed)))
    config = config if windows is None else replace(config, windows=windows)
    batches = {name: data[f"{name}_ids"] for name in "urlg"}
    # What is padded on the left counts positions from its first id, or from its first pad; ids may also lie apart.
    positions = {"l": data["l_pos"]}
    batches["n"] = data["l_ids"]
    if "p_pos" in data:
        batches["p"], positions["p"] = data["u_ids"], data["p_pos"]
    masks = {"r": data["r_mask"], "l": data["l_mask"], "n": data["l_mask"]}
    slots, rows = max(ids.shape[1] for ids in batches.values()), {}

    def padded(arrays):
        return np.concatenate([np.pad(x, ((0, 0), (0, slots - x.shape[1]))) for x in arrays])

    for name, ids in batches.items():
        first = sum(len(batches[other]) for other in rows)
        rows[name] = slice(first, first + len(ids)), slice(ids.shape[1]), masks.get(name, np.ones(ids.shape, int)) > 0
        positions.setdefault(name, np.broadcast_to(np.arange(ids.shape[1]), ids.shape))
    segments = padded([real.astype(np.int32) for _, _, real in rows.values()])
    found = logits_of(
        config, vocabulary, params, padded(batches.values()), padded([positions[name] for name in batches]), segments
    )
    return {
        # What fixtures hold of padding is zero.
        name: tuple(np.where(real[..., None], np.asarray(x)[..., chosen, length, :], 0) for x in found)
        for name, (chosen, length, real) in rows.items()
    }


CAPLESS = (("attention_cap", None),)
"""No cap of attention scores, as the released MotionLLM runs."""


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_of_every_layer_and_logits_are_the_recorded_ones(family):
    _, config, _, _, data = model(family)
    logits, hidden, last = run(family)["u"]
    for number in range(config.layers):
        compare(f"{family}/u_hidden{number}", hidden[number], data[f"u_hidden{number}"])
    compare(f"{family}/u_prenorm", hidden[config.layers], data["u_prenorm"])
    compare(f"{family}/u_hidden{config.layers}", last, data[f"u_hidden{config.layers}"])
    compare(f"{family}/u_logits", logits, data["u_logits"], **LOGITS)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_on_either_side_changes_nothing(family):
    data = model(family)[-1]
    for side in "rl":
        logits, hidden, last = run(family)[side]
        compare(f"{family}/{side}_logits", logits[..., data["cols"]], data[f"{side}_logits"], **LOGITS)
        for number, x in enumerate([*hidden[1:-1], last], start=1):
            if f"{side}_hidden{number}" in data:
                compare(f"{family}/{side}_hidden{number}", x, data[f"{side}_hidden{number}"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sequence_longer_than_windows_is_the_recorded_one(family):
    data = model(family)[-1]
    logits, _, last = run(family)["g"]
    compare(f"{family}/g_logits", logits[..., data["cols"]], data["g_logits"], **LOGITS)
    compare(f"{family}/g_hidden_last", last, data["g_hidden_last"])
    clear = data["g_margin"] > 1e-3 if "g_margin" in data else np.ones(data["g_argmax"].shape, bool)
    compare(f"{family}/g_argmax", np.where(clear, logits.argmax(-1), 0), np.where(clear, data["g_argmax"], 0), 0, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_frequencies_of_rotary_positions_are_the_recorded_ones(family):
    _, config, _, _, data = model(family)
    tables = {"rope": config.flavour.rotary, "rope_local": config.flavour.local_rotary}
    for name, rotary in tables.items():
        if f"{name}_cos" in data:
            angles = np.arange(len(data["rope_cos"]))[:, None] * rotary.frequencies(config.head_width)
            for part, function in (("cos", np.cos), ("sin", np.sin)):
                found = np.tile(function(angles), (1, 2))
                compare(f"{family}/{name}_{part}", found, data[f"{name}_{part}"])


def compare_losses(family, names, prefix="", changed=()):
    """The mean cross-entropy of the labels of some batches."""
    _, _, vocabulary, params, data = model(family)
    for name in names:
        labels = np.pad(data[f"{name}_labels"], ((0, 0), (0, 1)), constant_values=-100)[:, 1:]
        weights = (labels >= 0).astype(np.float32)
        found = jax.jit(lambda *x: cross_entropy(vocabulary, params["vocabulary"], *x).loss)(
            run(family, changed)[name][2], np.maximum(labels, 0), weights
        )
        compare(f"{family}/{prefix}{name}_loss", found / weights.sum(), data[f"{prefix}{name}_loss"])


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_the_recorded_ones(family):
    compare_losses(family, "ur" if family == "gemma2" else "u")


def test_without_the_cap_of_attention_scores_a_gemma_2_is_what_the_released_motionllm_ran():
    data = model("gemma2")[-1]
    for name in "urlg":
        logits, hidden, _ = run("gemma2", CAPLESS)[name]
        compare(f"gemma2/sdpa_{name}_logits", logits[..., data["cols"]], data[f"sdpa_{name}_logits"], **LOGITS)
        if name == "u":
            compare("gemma2/sdpa_u_prenorm", hidden[-1], data["sdpa_u_prenorm"])
    compare_losses("gemma2", "ur", "sdpa_", CAPLESS)


def test_caps_windows_and_positions_are_each_what_they_are_said_to_be():
    section, config, vocabulary, params, data = model("gemma2")
    columns = data["cols"]
    scores = vocabulary.clone(cap=None).apply({"params": params["vocabulary"]}, run("gemma2")["u"][2], method="logits")
    compare("gemma2/u_logits_nofinalcap", np.asarray(scores)[..., columns], data["u_logits_nofinalcap"], **LOGITS)
    everywhere = run("gemma2", windows=())["g"][0]
    compare("gemma2/g_logits_nowindow", everywhere[..., columns], data["g_logits_nowindow"], **LOGITS)
    compare("gemma2/l_nopos_logits", run("gemma2")["n"][0][..., columns], data["l_nopos_logits"], **LOGITS)
    # Their windows count slots, ours positions, which are three apart here.
    spread = tuple(window and 3 * section.sliding_window for window in config.windows)
    compare("gemma2/p_logits", run("gemma2", windows=spread)["p"][0][..., columns], data["p_logits"], **LOGITS)
