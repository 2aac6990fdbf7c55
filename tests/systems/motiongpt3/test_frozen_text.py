"""A frozen text branch: the backward pass leaves out the slots that nothing trainable reaches, and gradients stay."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.models import Decoder, DecoderConfig, Stream, StreamConfig
from motiongpt3_jax.models.constrain import unconstrained
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.frozen_text import text_is_frozen, trained_last, trained_slots
from tests.systems.published import language_objective
from tests.systems.tiny import CONFIG, EXAMPLES, rows, variables

TRAINED = re.compile(r"decoder/.+/motion/.*|vocabulary/(text/new|motion/.*)|understand/.*|head/.*|null_condition")
"""What the stage `generate` trains, where both streams share a table of positions."""

BATCH = rows(EXAMPLES, [], [])


def parts():
    """(trainable, frozen) parameters, flat."""
    flat = flatten_dict(variables().params, sep="/")
    return tuple(
        {path: x for path, x in flat.items() if bool(TRAINED.fullmatch(path)) == side} for side in (True, False)
    )


def test_slots_are_trained_from_the_first_new_id_or_motion_of_their_sample_on():
    # A generation of three words, a captioning that begins with a motion, a continuation of one word; then padding.
    trained = np.asarray(trained_slots(BATCH, CONFIG.vocabulary))
    assert trained.shape == (3, 24)
    np.testing.assert_array_equal(trained[0], [0] * 3 + [1] * 3 + [1] * 6 + [0] + [1] * 6 + [0] * 5)
    assert not trained[1:].any()


def test_trained_slots_come_last_with_all_that_belongs_to_them():
    ordered, trained = trained_last(BATCH, CONFIG.vocabulary)
    before, after = BATCH.streams["text"], ordered.streams["text"]
    np.testing.assert_array_equal(trained[0], [0] * 9 + [1] * 15)
    places = [0, 1, 2, 12, *range(19, 24), 3, 4, 5, *range(6, 12), *range(13, 19)]
    for name in ("ids", "positions", "segments", "targets", "weights"):
        np.testing.assert_array_equal(getattr(after, name)[0], getattr(before, name)[0, places])


def test_the_branch_is_frozen_when_each_of_its_parameters_is():
    _, frozen = parts()
    assert text_is_frozen(variables().replace(frozen=frozenset(frozen)))
    assert not text_is_frozen(variables())
    assert not text_is_frozen(variables().replace(frozen=frozenset({*frozen} - {"vocabulary/text/table"})))


def test_losses_and_gradients_beside_a_frozen_text_branch_are_those_of_the_whole_backward_pass():
    system, (trainable, frozen) = MotionGPT3(CONFIG), parts()
    draws = system.draw(jax.random.key(0), BATCH, False)

    def loss(trainable, paths):
        params = unflatten_dict(trainable | frozen, sep="/")
        terms = system.losses["language"](
            Variables(params, variables().state, paths), BATCH, draws, language_objective()
        )
        return terms.sums["text"] + terms.sums["diffusion"]

    def both(trainable):
        return [jax.value_and_grad(loss)(trainable, paths) for paths in (frozenset(frozen), frozenset())]

    (found, gradients), (wanted, gradients_too) = jax.jit(both)(trainable)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert all(jnp.linalg.norm(gradients[path]) > 0 for path in ("vocabulary/text/new", "understand/kernel"))
    for path, gradient in gradients.items():
        difference = np.linalg.norm(np.asarray(gradient - gradients_too[path], np.float64))
        assert difference <= 1e-5 * max(np.linalg.norm(gradients_too[path]), 0.1), path


@pytest.mark.slow
@pytest.mark.parametrize("hook", [unconstrained, lambda name, x: x], ids=["free", "pinned"])
def test_slots_that_are_not_trained_cost_no_products_backward(hook):
    slots, streams = 256, (StreamConfig("text", 16, 64), StreamConfig("motion", 16, 64))
    config = DecoderConfig(
        streams, 2, 2, 8, 512, (True,) * 2, 0.0, 0.0, "reference", scan=True, remat="none", dtype="float32"
    )
    decoder = Decoder(config, hook)

    def stream(first, count, **options):
        numbers = first + jnp.arange(count)[None]
        return Stream(jnp.ones((1, count, 16)), numbers, jnp.ones_like(numbers), numbers >= 0, **options)

    prompts, ending = stream(0, slots), stream(slots, 4)
    params = decoder.init(jax.random.key(0), {"text": prompts, "motion": ending})["params"]

    def flops(trained):
        def loss(embeddings):
            inputs = {
                "text": prompts.replace(embeddings=prompts.embeddings + embeddings, trained=trained),
                "motion": ending.replace(embeddings=embeddings[:, :4]),
            }
            return jnp.square(decoder.apply({"params": params}, inputs)["motion"]).sum()

        compiled = jax.jit(jax.grad(loss)).lower(jnp.ones((1, slots, 16))).compile()
        return compiled.cost_analysis()["flops"]

    # The compiler counts the loop over layers, and that over trailing slots, once.
    products = 2 * slots * (4 * 16 * 16 + 2 * 16 * 64)
    assert flops(None) - flops(jnp.arange(slots)[None] >= slots - 4) > 0.75 * products
