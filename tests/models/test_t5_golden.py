"""T5 against hidden states, losses and texts recorded from the official implementation."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import T5
from motiongpt3_jax.models.relative_bias import RelativeBias, relative_buckets
from tests.golden import compare, golden_motiongpt
from tests.models.t5_rows import END, embedded, generate, logits_of, options, weights
from tests.quick import one_quick

pytestmark = pytest.mark.golden

BASE = {"t5_tiny": 90, "t5_small": 32_100}
"""Where ids count as new: anywhere for the tiny one."""


@cache
def model(name):
    return weights(name, BASE[name])


@cache
def run(name):
    """(data, real slots of both sides, hidden states of encoder and decoder, logits, what submodules returned)."""
    data, (config, words, params) = golden_motiongpt(name), model(name)
    module, sides = T5(config), {"source": data["src_mask"] > 0, "target": data["tgt_mask"] > 0}
    ids = np.where(sides["target"], np.pad(data["labels"], ((0, 0), (1, 0)))[:, :-1], 0)
    if "dec_in" in data:
        np.testing.assert_array_equal(ids[sides["target"]], data["dec_in"][sides["target"]])

    @jax.jit
    def apply(params):
        source = embedded(words, params, data["src"], sides["source"])
        target = embedded(words, params, ids, sides["target"])
        captured = lambda _, name: name in ("__call__", "encode", "project", "query", "keys_values")  # noqa: E731
        hidden, kept = module.apply({"params": params["t5"]}, source, target, capture_intermediates=captured)
        kept = kept["intermediates"]
        return kept["encode"][0].embeddings, hidden, logits_of(words, params, hidden), kept

    return data, sides, *apply(params)


def losses(data, real, logits):
    """Negative log likelihood of every label."""
    labels = np.where(real, data["labels"], 0)
    found = jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    return np.where(real, found, 0.0)


def test_every_distances_bucket_is_the_official_one():
    data = golden_motiongpt("t5_tiny")
    for half, both_sides in (("enc", True), ("dec", False)):
        found = relative_buckets(jnp.asarray(data["rel"]), 32, 128, both_sides)
        compare(f"t5_tiny/bucket_{half}", found, data[f"bucket_{half}"], atol=0, rtol=0)


def test_both_halves_bias_is_the_official_one():
    data, (config, _, params) = golden_motiongpt("t5_tiny"), model("t5_tiny")
    for half, name in (("enc", "encoder"), ("dec", "decoder")):
        wanted = data[f"{half}_pos_bias12"]
        places = jnp.arange(wanted.shape[2])[None]
        bias = RelativeBias(config.heads, config.buckets, config.max_distance, half == "enc")
        found = bias.apply({"params": params["t5"][name]["relative"]}, places, places)
        compare(f"t5_tiny/{half}_pos_bias12", found, wanted, atol=0, rtol=0)


@pytest.mark.parametrize(("half", "side"), [("enc", "source"), ("dec", "target")])
def test_every_layers_parts_equal_the_official_ones(half, side):
    data, sides, _, _, _, kept = run("t5_tiny")
    config, (real, source) = model("t5_tiny")[0], (sides[side], sides["source"])
    stack = kept["encoder" if half == "enc" else "decoder"]["layers"]
    block, entry = stack[side], data[f"{half}_emb"]

    def flat(x):
        return np.moveaxis(np.asarray(x), 1, 2).reshape(x.shape[0], x.shape[2], -1)

    for layer in range(config.layers if half == "enc" else config.decoder_layers):

        def part(name, method="__call__", block=block, layer=layer):
            return np.asarray(block[name][method][0][layer])

        found = {"self_norm": part("attention_norm"), "ff_norm": part("mlp_norm"), "self": entry + part("o")}
        found |= {f"self_{letter}": flat(x[layer]) for letter, x in zip("qkv", block["project"][0])}
        found["ff"] = np.asarray(stack["__call__"][0][0][side][layer])
        before = found["self"]
        if half == "dec":
            cross = block["cross"]
            found["cross_norm"], found["cross_q"] = part("cross_norm"), flat(cross["query"][0][layer])
            for letter, x in zip("kv", cross["keys_values"][0]):
                wanted = data[f"dec{layer}_cross_{letter}"]
                compare(f"t5_tiny/dec{layer}_cross_{letter}", flat(x[layer])[source], wanted[source], atol=3e-5)
            found["cross"] = before = before + np.asarray(cross["o"]["__call__"][0][layer])
        compare(f"t5_tiny/{half}{layer}_mlp", (before + part("down"))[real], data[f"{half}{layer}_ff"][real], atol=3e-5)
        for name, x in found.items():
            compare(f"t5_tiny/{half}{layer}_{name}", x[real], data[f"{half}{layer}_{name}"][real], atol=3e-5)
        entry = found["ff"]


def test_hidden_states_logits_and_loss_of_the_tiny_one_equal_the_official_ones():
    data, sides, encoded, hidden, logits, _ = run("t5_tiny")
    source, target = sides["source"], sides["target"]
    compare("t5_tiny/enc_final", np.asarray(encoded)[source], data["enc_final"][source], atol=3e-5)
    compare("t5_tiny/dec_final", np.asarray(hidden)[target], data["dec_final"][target], atol=3e-5)
    ids = data["logits"].shape[-1]
    compare("t5_tiny/logits", np.asarray(logits)[target][:, :ids], data["logits"][target], atol=3e-5)
    loss = losses(data, target, logits).sum() / target.sum()
    compare("t5_tiny/loss", loss, data["loss"], atol=5e-6, rtol=0)


@pytest.mark.slow
def test_hidden_states_logits_and_losses_of_the_small_one_equal_the_official_ones():
    data, sides, encoded, hidden, logits, _ = run("t5_small")
    source, target = sides["source"], sides["target"]
    compare("t5_small/enc_last", np.asarray(encoded)[source], data["enc_last"][source])
    compare("t5_small/dec_last", np.asarray(hidden)[target], data["dec_last"][target], atol=1.6e-4)
    compare("t5_small/logits", np.asarray(logits)[..., data["probe"]][target], data["logits"][target], atol=3.4e-4)
    found = losses(data, target, logits)
    compare("t5_small/nll", found, data["nll"], atol=1.5e-4)
    compare("t5_small/loss", found.sum() / target.sum(), data["loss"], atol=1.4e-5, rtol=0)


def official_texts(recorded):
    """Recorded ids behind the start id; what follows an end is the end, as ours."""
    ids = recorded[..., 1:]
    behind = np.cumsum(np.pad(ids, [(0, 0)] * (ids.ndim - 1) + [(1, 0)])[..., :-1] == END, axis=-1) > 0
    return np.where(behind, END, ids)


def cases(data):
    """Names of the recorded decodings."""
    return sorted(name.removesuffix("_src") for name in data if name.endswith("_src"))


def batched(data, key):
    """The rows of all decodings, padded with the start id."""
    rows = [row for case in cases(data) for row in data[f"{case}_{key}"]]
    width = max(map(len, rows))
    return np.stack([np.pad(row, (0, width - len(row))) for row in rows]), [len(row) for row in rows]


@one_quick("name", list(BASE), "t5_tiny")
def test_greedy_texts_equal_the_official_ones_up_to_a_choice_that_rounding_may_turn(name):
    data, (config, words, params) = golden_motiongpt(name), model(name)
    (source, _), (wanted, lengths), (margin, _) = (batched(data, key) for key in ("src", "greedy", "greedy_margin"))
    found = np.asarray(generate(config, words, options(wanted.shape[1] - 1), params, source, source > 0))
    for row, (ours, theirs, length) in enumerate(zip(found, wanted, lengths)):
        theirs = official_texts(theirs[:length])
        unsure = np.flatnonzero((margin[row, : length - 1] < 1e-3) & (theirs != END))
        sure = min([length - 1, *unsure])
        assert sure > 0
        compare(f"{name}/greedy[{row}]", ours[:sure], theirs[:sure], atol=0, rtol=0)


def mean_log_p(config, words, params, source, texts):
    """Log p of texts over their tokens with the end, by one pass over whole texts."""

    @jax.jit
    def log_p(params):
        before = embedded(words, params, np.pad(texts, ((0, 0), (1, 0)))[:, :-1])
        hidden = T5(config).apply({"params": params["t5"]}, embedded(words, params, source, source > 0), before)
        chances = jax.nn.log_softmax(logits_of(words, params, hidden), -1)
        return jnp.take_along_axis(chances, jnp.asarray(texts)[..., None], -1)[..., 0]

    counted = np.cumsum(np.pad(texts, ((0, 0), (1, 0)))[:, :-1] == END, axis=1) == 0
    return np.where(counted, np.asarray(log_p(params)), 0.0).sum(axis=1) / counted.sum(axis=1)


@one_quick(("name", "case"), [("t5_tiny", "d"), ("t5_tiny", "e"), ("t5_tiny", "f"), ("t5_small", "d")])
def test_beam_searchs_texts_are_the_official_best_ones_or_score_as_well_where_rounding_may_swap_two(name, case):
    data, (config, words, params) = golden_motiongpt(name), model(name)
    source, wanted = data[f"{case}_src"], official_texts(data[f"{case}_beam"])
    rows, beams, slots = wanted.shape
    search = replace(options(slots, beams), collect_finished=True)
    found = np.asarray(generate(config, words, search, params, source, source > 0))
    everything = np.concatenate([found[:, None], wanted], axis=1).reshape(-1, slots)
    scores = mean_log_p(config, words, params, np.repeat(source, beams + 1, axis=0), everything)
    scores = scores.reshape(rows, beams + 1)
    compare(f"{name}/{case}_beam_scores", scores[:, 1:], data[f"{case}_beam_scores"], atol=2e-5, rtol=1e-5)
    compare(f"{name}/{case}_best_score", scores[:, 0], data[f"{case}_beam_scores"][:, 0], atol=2e-5, rtol=1e-5)
    tops = data[f"{case}_beam_top"]
    sure = ~(np.abs(np.diff(tops, axis=-1)) < 3e-4).any(axis=(1, 2))
    compare(f"{name}/{case}_beam", found[sure], wanted[sure, 0], atol=0, rtol=0)
