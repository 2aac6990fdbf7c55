"""What each policy keeps: the products that a gradient computes again, counted before anything is compiled."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from jax.extend import core

from motiongpt3_jax.models import T5, Decoder, MotionVae, VaeConfig
from motiongpt3_jax.models.remat import POLICIES, policy_name
from tests.models.t5_rows import TINY
from tests.models.t5_rows import parameters as t5_parameters
from tests.models.test_t5 import stream as t5_stream
from tests.models.tiny import CONFIG, parameters, sequence

VAE = VaeConfig(
    features=7,
    width=8,
    layers=3,
    heads=2,
    mlp_width=12,
    latents=1,
    max_frames=9,
    dropout=0.0,
    dtype="float32",
    remat="none",
)


def products(jaxpr: core.Jaxpr, batched: bool | None = None) -> int:
    """Matrix products in a program, loops once; with a batch axis, without one, or all."""
    count = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            has = bool(equation.params["dimension_numbers"][1][0])
            count += batched is None or has == batched
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr)):
            if isinstance(value, core.Jaxpr | core.ClosedJaxpr):
                count += products(getattr(value, "jaxpr", value), batched)
    return count


def decoder(policy: str) -> core.Jaxpr:
    model = Decoder(replace(CONFIG, remat=policy, scan=False))

    def loss(params):
        return sum(jnp.sum(hidden**3) for hidden in model.apply({"params": params}, sequence()).values())

    return jax.make_jaxpr(jax.grad(loss))(parameters()).jaxpr


def t5(policy: str) -> core.Jaxpr:
    model, pair = T5(replace(TINY, remat=policy, scan=False)), (t5_stream(0, 3), t5_stream(1, 4))
    return jax.make_jaxpr(jax.grad(lambda p: jnp.sum(model.apply({"params": p}, *pair) ** 3)))(
        t5_parameters()["t5"]
    ).jaxpr


def vae(policy: str) -> core.Jaxpr:
    model, clips = MotionVae(replace(VAE, remat=policy)), jnp.ones((2, 5, 7))
    params = jax.eval_shape(lambda key: model.init(key, clips, jnp.array([5, 3])), jax.random.key(0))["params"]
    return jax.make_jaxpr(jax.grad(lambda p: jnp.sum(model.apply({"params": p}, clips, jnp.array([5, 3])) ** 3)))(
        params
    ).jaxpr


@pytest.mark.slow
@pytest.mark.parametrize("model", [decoder, t5, vae])
def test_a_policy_decides_which_products_are_computed_again(model: Callable[[str], core.Jaxpr]):
    all_products = {policy: products(model(policy)) for policy in POLICIES}
    of_kernels = {policy: products(model(policy), batched=False) for policy in POLICIES}
    assert all_products["none"] <= all_products["dots"] < all_products["dots_no_batch"] < all_products["full"]
    assert of_kernels["none"] <= of_kernels["dots_no_batch"] < of_kernels["full"]


def test_a_scan_over_layers_computes_attention_scores_again():
    found = {}
    for scan in (True, False):
        model = Decoder(replace(CONFIG, scan=scan))

        def loss(params, model=model):
            hidden = model.apply({"params": params}, sequence())
            return sum(jnp.sum(x**3) for x in hidden.values())

        found[scan] = products(jax.make_jaxpr(jax.grad(loss))(parameters()).jaxpr, batched=True)
    # Layers stand once in a loop, whether it is unrolled or not.
    assert found[True] == found[False] + 1


def test_truth_values_of_older_configs_are_policies():
    assert [policy_name(value) for value in (False, True, "dots", 3)] == ["none", "full", "dots", 3]
