"""Trains the toy and moves a codebook on one device and on 2 x 2 x 2 of eight, and prints what must agree as JSON."""

import json
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax

from motiongpt3_jax.models import Codebook, advance_codebook, empty_codebook, quantise, reseed_slots
from motiongpt3_jax.parallel import ShardingOptions, constrain, make_mesh, put_batch
from motiongpt3_jax.training import restore_params, run
from motiongpt3_jax.training.program import make_program
from tests.models.packed_streams import CONFIG, packed_streams, parameters, run_kernels_stepwise
from tests.models.packed_streams import gradients as attention_gradients
from tests.training.toy import ToyData, ToySystem, adamw, stage

ROWS = 16
SPLIT = ShardingOptions(whole_below=0, reduce_dtype="compute")


def losses(mesh: jax.sharding.Mesh, accumulate: int = 1) -> tuple[list[float], object]:
    of = stage(optimizer=adamw(learning_rate=1e-2, accumulate=accumulate), log_every=1)
    data, variables = ToyData(rows=ROWS), ToySystem().init(jax.random.key(0))
    with jax.set_mesh(mesh):
        program = make_program(ToySystem(), of, mesh, 0, variables, data.batch(0), SPLIT)
        state, frozen = program.start(variables)
        found = []
        for step in range(4):
            state, report = program.step(state, frozen, put_batch(mesh, data.batch(step)))
            found.append(float(report.tally["loss"][0]))
    return found, state


def codebook_steps(mesh: jax.sharding.Mesh) -> dict[str, list]:
    """Codes of five steps from the first batch on, by how much each is the nearest, and the codebook in the end."""

    @jax.jit
    def step(codebook: Codebook, vectors: jax.Array, valid: jax.Array, key: jax.Array) -> tuple:
        codes, width = codebook["table"].shape
        quantised = quantise(codebook, vectors, reseed_slots(key, valid, codes, width))
        table = jnp.where(codebook["initialised"], codebook["table"], quantised.sums["seeds"])
        distances = jnp.square(vectors[:, :, None] - table).sum(axis=-1)
        least = jax.lax.top_k(-distances, 2)[0]
        return advance_codebook(codebook, quantised.sums), quantised.codes, least[..., 0] - least[..., 1]

    keys = jax.random.split(jax.random.key(0), 5)
    batches = [(jax.random.normal(key, (ROWS, 3, 4)), jax.random.bernoulli(key, 0.7, (ROWS, 3))) for key in keys]
    codebook, codes, margins = empty_codebook(12, 4), [], []
    with jax.set_mesh(mesh):
        for batch, key in zip(batches, keys):
            codebook, chosen, margin = step(codebook, *put_batch(mesh, jax.tree.map(np.asarray, batch)), key)
            codes.append(chosen)
            margins.append(margin)
    state = {name: codebook[name] for name in ("table", "sums", "counts")}
    return {name: np.asarray(x).tolist() for name, x in {"codes": codes, "margins": margins, **state}.items()}


def main() -> None:
    eight = make_mesh(2, 2, 2)
    one = make_mesh(devices=jax.devices()[:1])
    found, state = losses(eight)

    def kernel(tree: object) -> jax.Array:
        return tree["body"]["layers"]["text"]["up"]["kernel"]

    def shard(x: jax.Array) -> list[int]:
        return list(x.sharding.shard_shape(x.shape))

    settings = {"steps": 4, "checkpoint_every": 2, "evaluate_every": 0}
    run(ToySystem(), [stage(**settings)], lambda of: ToyData(rows=ROWS), sys.argv[1], mesh=eight, sharding=SPLIT)
    saved = restore_params(sys.argv[1], ema=False)[2]
    # The same run ended on eight devices goes on, on one; a step of learning rate 0 leaves what they saved.
    still = stage(**settings | {"steps": 5, "optimizer": adamw(learning_rate=0.0, ema=0.9)})
    run(ToySystem(), [still], lambda of: ToyData(rows=ROWS), sys.argv[1], mesh=one, sharding=SPLIT)
    _, restored_at, again = restore_params(sys.argv[1], "first", ema=False)
    # Stages on other meshes start from what they freeze, and go on.
    ended, folder = restore_params(sys.argv[1], ema=False)[2], sys.argv[1]
    for mesh, stages in ((eight, [("head", 2)]), (one, [("head", 3)]), (eight, [("head", 3), ("bias", 1)])):
        later = [stage(name, trainable=("head/.*",), **settings | {"steps": steps}) for name, steps in stages]
        run(
            ToySystem(),
            [stage(**settings | {"steps": 5}), *later],
            lambda of: ToyData(rows=ROWS),
            folder,
            mesh=mesh,
            sharding=SPLIT,
        )
    frozen = restore_params(sys.argv[1], "bias", ema=False)[2]["body"]
    with jax.set_mesh(eight):
        hidden = jax.jit(lambda x: constrain("mlp", x))(jnp.ones((8, 3, 4)))
    run_kernels_stepwise(setattr)
    streams = packed_streams(rows=4)
    params, splash = parameters(CONFIG, streams), replace(CONFIG, attention="splash")
    with jax.set_mesh(eight):
        of_attention = attention_gradients(splash, params, streams, constrain)
    result = {
        "attention": [
            [np.asarray(x).tolist() for x in jax.tree.leaves(found)]
            for found in (attention_gradients(CONFIG, params, streams), of_attention)
        ],
        "one": losses(one)[0],
        "eight": found,
        "accumulated": losses(eight, accumulate=2)[0],
        "kernel": shard(kernel(state.params)),
        "first_moment": shard(kernel(optax.tree_utils.tree_get(state.optimizer, "mu"))),
        "restored_equal": bool(np.array_equal(kernel(saved), kernel(again)) and restored_at == 5),
        "frozen_equal": all(map(np.array_equal, *map(jax.tree.leaves, (frozen, ended["body"])))),
        "mlp": shard(hidden),
        "codebooks": [codebook_steps(mesh) for mesh in (one, eight)],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
