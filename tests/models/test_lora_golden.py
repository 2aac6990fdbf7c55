"""LoRA against PEFT, as the official MotionLLM uses it: two adapters on a tiny Gemma 2, with and without a cap."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.models import (
    Decoder,
    Stream,
    Vocabulary,
    merge_adapter,
)
from motiongpt3_jax.models.lora import ADAPTER
from motiongpt3_jax.tensors.name_table import to_state_dict
from tests.golden import compare, golden_motionllm
from tests.models.motionllm_tiny import NEW, named, sizes, tables, weights
from tests.quick import one_quick

pytestmark = pytest.mark.golden
EACH_TASK = one_quick("task", ["t2m", "m2t"])


def logits(params, ids, mask, used, capped=True):
    """Logits of all ids in their order."""
    decoder, base, cap = sizes()
    flavour = decoder.flavour if capped else replace(decoder.flavour, attention_cap=None)
    decoder = replace(decoder, flavour=flavour, adapters=decoder.adapters.using(used))
    params = unflatten_dict(params, sep="/")
    vocabulary = Vocabulary(base, NEW, decoder.streams[0].width, scale=decoder.embedding_scale, cap=cap)
    vectors = vocabulary.apply({"params": params["vocabulary"]}, ids, method="embed")
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    stream = Stream(vectors, positions, jnp.asarray(mask, jnp.int32), mask > 0)
    hidden = Decoder(decoder).apply({"params": params["decoder"]}, {"tokens": stream})["tokens"]
    return vocabulary.apply({"params": params["vocabulary"]}, hidden, method="logits")[..., : base + NEW]


def loss(trained, frozen, ids, mask, labels, used, capped=True):
    """Mean cross-entropy of the labels that count, each by the slot before it."""
    scores = logits({**frozen, **trained}, ids, mask, used, capped)[:, :-1]
    targets = labels[:, 1:]
    each = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.maximum(targets, 0))
    counts = targets >= 0
    return jnp.sum(each * counts) / jnp.sum(counts)


def split(task):
    """(factors of the task's adapter, all other parameters)."""
    own = {path for path in weights() if (match := ADAPTER.fullmatch(path)) and match["name"] == task}
    return tuple({path: x for path, x in weights().items() if (path in own) == side} for side in (True, False))


def batch(data, task):
    return [jnp.asarray(data[f"{task}_{name}"]) for name in ("ids", "mask", "labels")]


@EACH_TASK
def test_logits_with_an_adapter_without_and_merged(task):
    data = golden_motionllm("lora")
    ids, mask, _ = batch(data, task)
    run = jax.jit(logits, static_argnums=(3, 4))
    params, adapters = weights(), sizes()[0].adapters
    merged, _ = merge_adapter(unflatten_dict(params, sep="/"), adapters, task)
    merged = flatten_dict(merged, sep="/")
    cases = {
        f"{task}_logits": (params, task, True),
        f"{task}_logits_base": (params, None, True),
        f"{task}_logits_merged": (merged, None, True),
        f"sdpa_{task}_logits": (params, task, False),
    }
    for name, (arrays, used, capped) in cases.items():
        found = run(arrays, ids, mask, used, capped)[..., data["cols"]] * mask[..., None]
        compare(f"lora/{name}", found, data[name], atol=5e-4)
    theirs = to_state_dict(
        unflatten_dict(merged | {"vocabulary/table": np.zeros((0, 64))}, sep="/"), tables()[0].select("model.layers")
    )
    compare(
        f"lora/{task}_merged_q0", theirs["model.layers.0.self_attn.q_proj.weight"], data[f"{task}_merged_q0"], atol=1e-6
    )
    compare(
        f"lora/{task}_merged_down1",
        theirs["model.layers.1.mlp.down_proj.weight"],
        data[f"{task}_merged_down1"],
        atol=1e-6,
    )


@EACH_TASK
def test_gradients_of_the_adapter_and_of_the_new_rows(task):
    data = golden_motionllm("lora")
    (own, others), values = split(task), batch(data, task)
    rows = {name: others[f"vocabulary/{name}"] for name in ("new", "table")}
    trained = {**own, **{f"vocabulary/{name}": x for name, x in rows.items()}}
    gradient = jax.jit(jax.value_and_grad(loss), static_argnums=(5, 6))
    found, gradients = gradient(trained, others, *values, task, True)
    compare(f"lora/{task}_loss", found, data[f"{task}_loss"], atol=1e-5)
    tensors = named({path: gradients[path] for path in own}, task)
    names = [
        name.removeprefix("base_model.model.").removesuffix(f".{task}.weight") for name in data[f"{task}_grad_names"]
    ]
    assert sorted(names) == sorted(tensors)
    compare(
        f"lora/{task}_grad_norms",
        [np.linalg.norm(tensors[name]) for name in names],
        data[f"{task}_grad_norms"],
        atol=1e-5,
    )
    for key in data:
        if key.startswith(f"{task}_grad:"):
            compare(f"lora/{key}", tensors[key.partition(":")[2]], data[key], atol=1e-5)
    new, old = gradients["vocabulary/new"], gradients["vocabulary/table"]
    compare(f"lora/{task}_rows_grad_norms", jnp.linalg.norm(new, axis=1), data[f"{task}_rows_grad_norms"])
    compare(f"lora/{task}_rows_grad_first4", new[:4], data[f"{task}_rows_grad_first4"])
    compare(f"lora/{task}_text_rows_grad_norm", jnp.linalg.norm(old), data[f"{task}_text_rows_grad_norm"], atol=3e-4)
    found, gradients = gradient(own, others, *values, task, False)
    tensors = named(gradients, task)
    compare(f"lora/sdpa_{task}_loss", found, data[f"sdpa_{task}_loss"], atol=1e-5)
    norms = [np.linalg.norm(tensors[name]) for name in names]
    compare(f"lora/sdpa_{task}_grad_norms", norms, data[f"sdpa_{task}_grad_norms"], atol=1e-4)


@pytest.mark.slow
@EACH_TASK
def test_three_steps_of_adam_train_the_adapter_alone(task):
    data = golden_motionllm("lora")
    (own, others), values = split(task), batch(data, task)
    names = [
        name.removeprefix("base_model.model.").removesuffix(f".{task}.weight") for name in data[f"{task}_grad_names"]
    ]
    # In use, an adapter trains whole and by itself.
    assert sorted(data[f"{task}_trainable"]) == sorted(f"llm.base_model.model.{name}.{task}.weight" for name in names)
    optimizer = optax.adam(1e-3)

    @partial(jax.jit, static_argnums=2)
    def step(own, state, capped):
        now, gradients = jax.value_and_grad(loss)(own, others, *values, task, capped)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(own, updates), state, now

    def losses_of(capped):
        trained, state, losses = [own], optimizer.init(own), []
        for _ in range(4):
            after, state, now = step(trained[-1], state, capped)
            trained.append(after)
            losses.append(now)
        return trained[3], losses

    for prefix, capped in (("", True), ("sdpa_", False)):
        trained, losses = losses_of(capped)
        compare(f"lora/{prefix}{task}_adam_losses", losses, data[f"{prefix}{task}_adam_losses"], atol=1e-5)
        if prefix:
            continue
        tensors = named(trained, task)
        compare(f"lora/{task}_adam_sums", [tensors[name].sum() for name in names], data[f"{task}_adam_sums"], atol=5e-3)
        compare(
            f"lora/{task}_adam_abs_sums",
            [np.abs(tensors[name]).sum() for name in names],
            data[f"{task}_adam_abs_sums"],
            atol=5e-3,
        )
        for key in data:
            if key.startswith(f"{task}_adam:"):
                far = np.abs(tensors[key.partition(":")[2]] - data[key]) > 1e-5
                # A gradient that is rounding noise may move an entry the other way.
                assert far.sum() <= 3, key
