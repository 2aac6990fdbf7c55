"""A base in bfloat16: what trains has the gradients that it has beside the same numbers in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training.partition import cast, merge, split
from tests.systems.motion_codes.test_flops import full, stage_program
from tests.systems.motiongpt.small import variables_of

GEMMA = ("model.language.family=gemma2", "model.language.kv_heads=2", "model.language.logit_cap=10.0")


@pytest.mark.slow
def test_what_is_held_in_bfloat16_is_computed_with_as_what_is_rounded_to_it():
    program = stage_program("motionllm:test", "t2m", *GEMMA, "model.base_dtype=bfloat16")
    system, stage, batch = program.system, program.stage, full(program)
    tokens = batch.streams["tokens"]
    ids = np.arange(tokens.ids.size).reshape(tokens.ids.shape) % 200
    batch = batch.replace(streams={"tokens": tokens.replace(ids=ids, targets=(ids + 1) % 200)})
    filled = variables_of(system)
    trained, frozen = split(filled.params, stage.trainable)
    held = cast(frozen, system.dtypes)
    dtypes = {str(x.dtype) for x in jax.tree.leaves({name: held[name] for name in ("decoder", "vocabulary")})}
    assert "bfloat16" in dtypes

    @jax.jit
    def gradients(trained, frozen):
        def loss(trained):
            draws = system.draw(jax.random.key(2), batch, False)
            variables = Variables(merge(trained, frozen), filled.state)
            return system.losses[stage.loss](variables, batch, draws, stage.objective).sums["text"]

        return jax.grad(loss)(trained)

    found = gradients(trained, held)
    wanted = gradients(trained, jax.tree.map(lambda x: x.astype(jnp.float32), held))
    assert all(jax.tree.leaves(jax.tree.map(lambda x: x.dtype == jnp.float32, found)))
    assert max(jax.tree.leaves(jax.tree.map(lambda x: float(jnp.abs(x).max()), wanted))) > 1e-3
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6), found, wanted)
