"""The decoder against hidden states, logits and losses recorded from the official implementation."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Decoder, Vocabulary
from tests.golden import compare, golden
from tests.models.sequences import Rows, embedded, sizes, weights

pytestmark = pytest.mark.golden

TINY = ("mot_gpt2_tiny_all_l2", "mot_gpt2_tiny_all_l2_f0.5_repaired")
TINY_HEADS, FULL_HEADS = 4, 12


@cache
def run(name: str, heads: int, ids: str):
    """(config, parameters, rows, streams, final hidden states, what every submodule returned)."""
    data, config = golden(name), sizes(name, heads)
    params = weights(name, config)
    rows = Rows(data["type_ids"], data["attention_mask"])
    streams = embedded(config, params, rows, data[ids], data["injected"])
    decoder = Decoder(config.decoder)
    apply = jax.jit(
        lambda p, s: decoder.apply(
            {"params": p}, s, capture_intermediates=lambda _, name: name in ("__call__", "project")
        )
    )
    hidden, captured = apply(params["decoder"], streams)
    return data, config, params, rows, streams, hidden, captured["intermediates"]


def entries(config, streams, params, captured, hidden, name):
    """A stream's states on entry to every layer, then after the final norm, as the fixtures count them."""
    table = params["decoder"]["positions"].get(name, params["decoder"]["positions"]["text"])
    first = streams[name].embeddings + table[streams[name].positions]
    after = captured["layers"]["__call__"][0][0][name]
    return [first, *after[:-1], hidden[name]]


def text_logits(config, params, hidden):
    vocabulary = Vocabulary(config.vocabulary, config.new_ids, hidden.shape[-1])
    return jax.jit(lambda p, h: vocabulary.apply({"params": p}, h, method="logits"))(
        params["vocabulary"]["text"], hidden
    )


def lm_loss(data, rows, logits):
    """Mean over positions whose target is text and not -100; a text target after a motion slot sees zero logits."""
    labels, types = data["labels"], data["type_ids"]
    counted = (labels[:, 1:] != -100) & (types[:, 1:] == 0)
    dense = np.zeros((*labels.shape, logits.shape[-1]), np.float32)
    for sample, places in enumerate(rows.places["text"]):
        real = places >= 0
        dense[sample, places[real]] = logits[sample][real]
    before = dense[:, :-1][counted].astype(np.float64)
    largest = before.max(-1, keepdims=True)
    sums = np.log(np.exp(before - largest).sum(-1)) + largest[:, 0]
    return float(np.mean(sums - before[np.arange(len(before)), labels[:, 1:][counted]]))


@pytest.mark.parametrize("name", TINY)
def test_every_layers_states_equal_the_official_ones_at_their_own_positions(name):
    data, config, params, rows, streams, hidden, captured = run(name, TINY_HEADS, "ids")
    for stream in ("text", "motion"):
        real = rows.real(stream)
        for number, states in enumerate(entries(config, streams, params, captured, hidden, stream)):
            wanted = rows.pick(stream, data[f"hidden_{stream}_{number}"])
            compare(f"{name}/hidden_{stream}_{number}", np.asarray(states)[real], wanted[real], atol=3e-5)


@pytest.mark.parametrize("name", TINY)
def test_embeddings_equal_the_official_ones(name):
    data, _, _, rows, streams, _, _ = run(name, TINY_HEADS, "ids")
    for stream in ("text", "motion"):
        real = rows.real(stream)
        ours, wanted = np.asarray(streams[stream].embeddings)[real], rows.pick(stream, data[f"embed_{stream}"])[real]
        compare(f"{name}/embed_{stream}", ours, wanted, atol=0, rtol=0)


@pytest.mark.parametrize("name", TINY)
def test_every_blocks_parts_equal_the_official_ones_at_their_own_positions(name):
    data, config, _, rows, _, _, captured = run(name, TINY_HEADS, "ids")
    parts = {"ln1": "attention_norm", "ln2": "mlp_norm", "mlp": "down"}
    for number, stream in enumerate(("text", "motion")):
        ours = {k: np.asarray(captured["layers"][stream][v]["__call__"][0]) for k, v in parts.items()}
        real, heads = rows.real(stream), captured["layers"][stream]["project"][0]
        for layer in range(config.decoder.layers):
            for part, key in (("ln1", f"ln1_{stream}"), ("ln2", f"ln2_{stream}"), ("mlp", f"mlp{number}")):
                wanted = rows.pick(stream, data[f"b{layer}_{key}"])
                compare(f"{name}/b{layer}_{key}", ours[part][layer][real], wanted[real], atol=3e-5)
            for part, x in zip("qkv", (y[layer] for y in heads)):
                dense = np.moveaxis(data[f"b{layer}_attn_{part}"], 1, 2)
                wanted = rows.pick(stream, dense.reshape(*dense.shape[:2], -1))
                x = np.moveaxis(np.asarray(x), 1, 2).reshape(wanted.shape)
                compare(f"{name}/b{layer}_attn_{part}_{stream}", x[real], wanted[real], atol=3e-5)


@pytest.mark.parametrize("name", TINY)
def test_logits_and_loss_equal_the_official_ones(name):
    data, config, params, rows, _, hidden, _ = run(name, TINY_HEADS, "ids")
    logits = np.asarray(text_logits(config, params, hidden["text"]))
    real, ids = rows.real("text"), config.vocabulary + config.new_ids
    compare(f"{name}/logits_text", logits[real][:, :ids], rows.pick("text", data["logits_text"])[real], atol=3e-5)
    motion = np.asarray(hidden["motion"] @ params["motion_head"]["kernel"])[rows.real("motion")]
    compare(f"{name}/logits_motion", motion, rows.pick("motion", data["logits_motion"])[rows.real("motion")], atol=3e-5)
    compare(f"{name}/lm_loss", lm_loss(data, rows, logits[..., :ids]), data["lm_loss"], atol=3e-6, rtol=0)


@pytest.mark.slow
def test_the_full_size_decoders_states_equal_the_official_ones():
    data, config, params, rows, streams, hidden, captured = run("mot_gpt2", FULL_HEADS, "input_ids")
    real = rows.real("text")
    compare("mot_gpt2/hidden_text", np.asarray(hidden["text"])[real], rows.pick("text", data["hidden_text"])[real])
    samples, places = data["motion_pos"].T
    slots = [list(rows.places["motion"][s]).index(p) for s, p in zip(samples, places)]
    compare("mot_gpt2/hidden_motion", np.asarray(hidden["motion"])[samples, slots], data["hidden_motion_at_motion_pos"])
    for stream, type_id in (("text", 0), ("motion", 1)):
        states = entries(config, streams, params, captured, hidden, stream)
        for probe, (sample, position) in enumerate(probes(data)):
            if data["type_ids"][sample, position] != type_id:
                continue
            slot = list(rows.places[stream][sample]).index(position)
            ours = np.stack([np.asarray(x)[sample, slot] for x in states])
            wanted = data[f"layers_{stream}_probe"].reshape(len(states), -1, ours.shape[-1])[:, probe]
            compare(f"mot_gpt2/layers_{stream}_probe[{probe}]", ours, wanted, atol=3e-4)


def probes(data):
    """(sample, position) of every probe, in the order in which they were recorded."""
    return [(sample, position) for row in data["probe_pos"] for sample, position in enumerate(row)]


@pytest.mark.slow
def test_the_full_size_decoders_logits_and_loss_equal_the_official_ones():
    data, config, params, rows, _, hidden, _ = run("mot_gpt2", FULL_HEADS, "input_ids")
    logits = np.asarray(text_logits(config, params, hidden["text"]))
    real, ids = rows.real("text"), config.vocabulary + config.new_ids
    sums = np.asarray(jax.nn.logsumexp(jnp.asarray(logits), axis=-1))
    compare("mot_gpt2/text_logsumexp", sums[real], rows.pick("text", data["text_logsumexp"])[real], atol=5e-5)
    best = logits.argmax(-1)[real]
    compare("mot_gpt2/text_argmax", best, rows.pick("text", data["text_argmax"])[real], atol=0, rtol=0)
    wanted = data["text_logits_probe"].reshape(-1, len(data["logit_cols"]))
    for probe, (sample, position) in enumerate(probes(data)):
        if data["type_ids"][sample, position] == 0:
            slot = list(rows.places["text"][sample]).index(position)
            ours = logits[sample, slot, data["logit_cols"]]
            compare(f"mot_gpt2/text_logits_probe[{probe}]", ours, wanted[probe], atol=3e-4)
    compare("mot_gpt2/lm_loss", lm_loss(data, rows, logits[..., :ids]), data["lm_loss"], atol=2e-5, rtol=0)
