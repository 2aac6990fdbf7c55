"""The system interface over MotionGPT3's parts."""

from collections.abc import Collection, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch, Places
from motiongpt3_jax.models import DECODER_RULES, TextOptions, unstack_blocks, unstack_layers
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import Loss, System, Tree, Variables
from motiongpt3_jax.systems.motiongpt3 import generate_motion, generate_text
from motiongpt3_jax.systems.motiongpt3.config import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.flops import train_flops
from motiongpt3_jax.systems.motiongpt3.losses import Draws, advance, draw, language_terms, vae_terms
from motiongpt3_jax.systems.motiongpt3.migration import upgrade_tree
from motiongpt3_jax.systems.motiongpt3.modules import Modules, init

CLIPS = 2**31
"""What is folded into a request's key for the noise of its input clips."""


class MotionGPT3(System):
    """Losses and answers of a MotionGPT3 as pure functions of arrays.

    Attributes:
      config: the sizes.
      modules: the parts.
    """

    sharding_rules = DECODER_RULES

    def __init__(self, config: MotionGPT3Config, constrain: Constrain | None = None):
        self.config = config
        self.modules = Modules(config, constrain)

    def using(self, adapter: str | None) -> "MotionGPT3":
        """The same with a LoRA adapter in use, see `MotionGPT3Config.using`; losses use their objective's."""
        return MotionGPT3(self.config.using(adapter), self.modules.constrain)

    @cached_property
    def losses(self) -> Mapping[str, Loss]:
        """`vae` trains the autoencoder; `language` text and motion; `text` is the same without any clip."""
        language = partial(language_terms, self.modules)
        return MappingProxyType({"vae": partial(vae_terms, self.modules), "language": language, "text": language})

    def init(self, rng: jax.Array) -> Variables:
        """Fresh variables."""
        return init(self.config, rng)

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Draws:
        """Every random number of a loss on `batch`."""
        return draw(self.config, key, batch, train)

    def advance(self, state: Tree, sums: Tree) -> Tree:
        """The state after one update: the moments of the latents, moved towards the batch's."""
        return advance(state, sums)

    def train_flops(self, loss: str, batch: Batch, objective: Any = None, frozen: Collection[str] = ()) -> float:
        """FLOPs of a training step's products for real tokens and frames."""
        return train_flops(self.config, loss, batch, objective, frozen)

    def upgrade(self, version: int, tree: Tree) -> Tree:
        """Trees of checkpoints from before queries, keys and values lay apart, in format 3."""
        return upgrade_tree(tree, self.config.decoder.heads) if version < 3 else tree

    def unstacked(self, variables: Variables) -> Variables:
        """The variables with layers and the head's blocks one by one: answers copy none then; losses need stacks."""
        decoder, head = (variables.params[name] for name in ("decoder", "head"))
        unstacked = {"decoder": unstack_layers(decoder), "head": unstack_blocks(head)}
        return variables.replace(params={**variables.params, **unstacked})

    def understand(
        self, variables: Variables, batch: Batch, seeds: Int[Array, "rows"] | None = None
    ) -> Float[Array, "rows clips latents width"]:
        """Latents of the clips that enter: their means, or drawn by each request's seed."""
        noise = None
        if seeds is not None:
            shape = (batch.clip_frames.shape[1], self.config.vae.latents, self.config.vae.width)
            # A stream of its own, beside the one that the motion is sampled with.
            keys = jax.vmap(lambda key: jax.random.fold_in(key, CLIPS))(generate_motion.keys_for(seeds))
            noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        return generate_motion.understand(self.modules, variables, batch, noise)

    def conditions(
        self,
        variables: Variables,
        batch: Batch,
        latents: Float[Array, "rows clips latents width"] | None = None,
        places: Places | None = None,
    ) -> Float[Array, "requests holders width"]:
        """What each request's motion is made from, see `generate_motion.read_conditions`."""
        return generate_motion.read_conditions(self.modules, variables, batch, latents, places)

    def null_conditions(self, variables: Variables, rows: int) -> Float[Array, "rows holders width"]:
        """What so many motions of no sentence are made from; guidance has nothing to add to it."""
        null = variables.params["null_condition"]
        return jnp.broadcast_to(null, (rows, *null.shape))

    def latents(
        self,
        variables: Variables,
        conditions: Float[Array, "rows holders width"],
        seeds: Int[Array, "rows"],
        options: generate_motion.MotionOptions,
    ) -> Float[Array, "rows latents width"]:
        """One latent a row; each depends on its own condition and seed alone."""
        return generate_motion.sample_latents(
            self.modules, variables, conditions, generate_motion.keys_for(seeds), options
        )

    def features(
        self,
        variables: Variables,
        latents: Float[Array, "rows latents width"],
        frames: Int[Array, "rows"],
        length: int,
    ) -> Float[Array, "rows length features"]:
        """Normalised features of each latent, `frames` of them, zero beyond."""
        return generate_motion.decode_latents(self.modules, variables, latents, frames, length)

    def respond_text(
        self,
        variables: Variables,
        batch: Batch,
        latents: Float[Array, "rows clips latents width"] | None,
        seeds: Int[Array, "rows"] | None,
        options: TextOptions,
        places: Places | None = None,
    ) -> Int[Array, "requests tokens"]:
        """Token ids that continue every prompt; drawn tokens depend on their own request and seed alone."""
        return generate_text.respond_text(self.modules, variables, batch, options, latents, seeds, places)

    def reconstruct(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """Clips through the VAE and back, at the mean of their posterior."""
        vae, params = self.modules.vae, {"params": variables.params["vae"]}
        mean, _ = vae.apply(params, features, frames, method="encode")
        return vae.apply(params, mean, frames, features.shape[1], method="decode")
