"""Packed rows of two streams, and gradients of a decoder on them."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import Decoder, Stream, StreamConfig, attention_kernels
from tests.models.tiny import CONFIG as TINY
from tests.models.tiny import drawn

WIDTHS = {"text": 16, "motion": 8}
CONFIG = replace(
    TINY,
    streams=tuple(StreamConfig(name, width, 2 * width) for name, width in WIDTHS.items()),
    head_width=8,
    max_positions=64,
    shared=(True, False),
    dropout=0.0,
)
HOLDERS = 4


def run_kernels_stepwise(put):
    """Lets the kernel for TPUs run on any backend; `put(owner, name, value)` sets an attribute."""
    kernels = attention_kernels.splash
    stepwise = partial(kernels.make_splash_mha_single_device, interpret=True)
    put(kernels, "make_splash_mha_single_device", stepwise)


def packed_streams(rows):
    """Rows of sequences of text, four motion slots, and text again; the rest is padding."""
    rng = np.random.default_rng(0)
    found = {name: np.zeros((3, rows, slots), np.int32) for name, slots in {"text": 80, "motion": 60}.items()}
    for row in range(rows):
        used = dict.fromkeys(found, 0)
        for segment in range(1, 5 + row):
            before, after = rng.integers(2, 7, 2)
            motion = range(before, before + HOLDERS)
            for name, places in {
                "motion": motion,
                "text": [*range(before), *range(motion.stop, motion.stop + after)],
            }.items():
                here = slice(used[name], used[name] + len(places))
                found[name][0, row, here], found[name][1, row, here], found[name][2, row, here] = places, segment, 1
                used[name] = here.stop
    # A slot that asks and is never asked, as the official layout's padding.
    found["text"][2, 0, 1] = 0
    return {
        name: Stream(
            jnp.asarray(rng.normal(size=(rows, slots.shape[2], WIDTHS[name])), jnp.float32), *slots[:2], slots[2] > 0
        )
        for name, slots in found.items()
    }


def gradients(config, params, streams, hook=None):
    """Of a sum over real slots, by parameters and inputs."""
    decoder = Decoder(config, hook) if hook else Decoder(config)

    def loss(params, inputs):
        given = {name: stream.replace(embeddings=inputs[name]) for name, stream in streams.items()}
        hidden = decoder.apply({"params": params}, given)
        return sum(jnp.sum(jnp.sin(x) * (streams[name].segments > 0)[..., None]) for name, x in hidden.items())

    inputs = {name: stream.embeddings for name, stream in streams.items()}
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, inputs)


def parameters(config, streams):
    return jax.tree.map(jnp.asarray, drawn(Decoder(config).init, streams, scale=0.3))
