"""A language model over words and motion codes: variables, losses, prefill and decoding."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import (
    DECODER_RULES,
    BlockFlavour,
    Decoder,
    DecoderConfig,
    KVCache,
    Stream,
    StreamConfig,
    TextOptions,
    Vocabulary,
    decode_step,
    grow,
    prefill,
    unstack_layers,
)
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.models.generate_text import generate_text
from motiongpt3_jax.systems.interface import Loss, System, Terms, Tree, Variables
from tests.systems.codes.alphabet import HALT, Alphabet
from tests.systems.codes.quantiser import dequantise, fixed_codebook, quantise

Cache = dict[str, KVCache]


@dataclass(frozen=True)
class MovesObjective:
    """Weights of the loss `moves`."""

    codes: float = 1.0

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        return {"codes": self.codes}


@dataclass(frozen=True)
class ScriptObjective:
    """Weights of the loss `script`."""

    words: float = 1.0
    codes: float = 1.0

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        return {"words": self.words, "codes": self.codes}


OBJECTIVES = {"moves": MovesObjective, "script": ScriptObjective}


@dataclass(frozen=True)
class Sizes:
    """What fixes the shapes."""

    width: int
    layers: int
    heads: int
    max_positions: int
    chunk: int
    features: int


class CodeScript(System):
    """Losses and decoding as pure functions of arrays."""

    sharding_rules = DECODER_RULES

    def __init__(self, sizes: Sizes, alphabet: Alphabet, constrain: Constrain | None = None):
        self.sizes, self.alphabet = sizes, alphabet
        flavour = BlockFlavour("rms", "silu", gated=True, biases=False, positions="rotary")
        config = DecoderConfig(
            streams=(StreamConfig("tokens", sizes.width, 2 * sizes.width),),
            layers=sizes.layers,
            heads=sizes.heads,
            head_width=sizes.width // sizes.heads,
            max_positions=sizes.max_positions,
            shared=(False,) * sizes.layers,
            dropout=0.0,
            attention_dropout=0.0,
            attention="reference",
            scan=True,
            remat="none",
            dtype="float32",
            flavour=flavour,
        )
        self.decoder = Decoder(config, **({"constrain": constrain} if constrain else {}))
        self.vocabulary = Vocabulary(alphabet.first_code, alphabet.codes, sizes.width)

    @cached_property
    def losses(self) -> Mapping[str, Loss]:
        """`moves` trains codes alone, `script` words and codes."""
        return MappingProxyType(dict.fromkeys(OBJECTIVES, self.next_token_terms))

    def init(self, rng: jax.Array) -> Variables:
        """Fresh variables; the codebook is in the state, which nothing moves."""
        keys = jax.random.split(rng)
        one = jnp.ones((1, 1), jnp.int32)
        probe = Stream(jnp.zeros((1, 1, self.sizes.width)), one, one, one > 0)
        params = {
            "decoder": self.decoder.init(keys[0], {"tokens": probe})["params"],
            "vocabulary": {"tokens": self.vocabulary.init(keys[1], one)["params"]},
        }
        return Variables(params, {"codebook": fixed_codebook(self.alphabet.codes, self.sizes.features)})

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Tree:
        """Nothing is drawn."""
        return {}

    def filled_ids(self, variables: Variables, batch: Batch) -> Int[Array, "rows slots"]:
        """The ids with the codes of the clips in their slots."""
        slots = batch.streams["tokens"]
        if not batch.clips:
            return slots.ids
        codes, first = [], 0
        for features in batch.clips:
            frames = batch.clip_frames[:, first : first + features.shape[1]]
            codes.append(quantise(variables.state["codebook"], features, frames, self.sizes.chunk))
            first += features.shape[1]
        longest = max(part.shape[-1] for part in codes)
        table = jnp.concatenate([jnp.pad(part, ((0, 0), (0, 0), (0, longest - part.shape[-1]))) for part in codes], 1)
        place = jnp.maximum(slots.sources[..., 0], 0) * longest + slots.sources[..., 1]
        chosen = jnp.take_along_axis(table.reshape(len(table), -1), place, axis=1)
        return jnp.where(slots.sources[..., 0] >= 0, chosen + self.alphabet.first_code, slots.ids)

    def stream(self, params: Tree, batch: Batch, ids: Int[Array, "rows slots"]) -> dict[str, Stream]:
        """What the decoder reads."""
        slots = batch.streams["tokens"]
        embedded = self._vocabulary(params, ids, "embed")
        embedded = jnp.where((slots.segments > 0)[..., None], embedded, 0.0)
        return {"tokens": Stream(embedded, slots.positions, slots.segments, slots.attended)}

    def next_token_terms(
        self, variables: Variables, batch: Batch, draws: Tree, objective: MovesObjective | ScriptObjective
    ) -> Terms:
        """Cross-entropy of the words and of the codes (with the marks) that are targets, whichever has a weight."""
        slots, ids = batch.streams["tokens"], self.filled_ids(variables, batch)
        hidden = self.decoder.apply({"params": variables.params["decoder"]}, self.stream(variables.params, batch, ids))
        logits = self._vocabulary(variables.params, hidden["tokens"], "logits")
        targets = jnp.where(jnp.roll(slots.sources[..., 0], -1, 1) >= 0, jnp.roll(ids, -1, 1), slots.targets)
        losses = jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
        is_code = targets >= self.alphabet.words
        weights = {"words": slots.weights * ~is_code, "codes": slots.weights * is_code}
        weights = {name: weights[name] for name in objective.term_weights}
        right = (jnp.argmax(logits, -1) == targets) * slots.weights
        return Terms(
            sums={name: (losses * weight).sum() for name, weight in weights.items()},
            counts={name: weight.sum() for name, weight in weights.items()},
            metrics={"accuracy": (right.sum(), slots.weights.sum())},
        )

    def prefill(self, variables: Variables, batch: Batch) -> tuple[Float[Array, "rows padded"], Cache]:
        """Logits of what follows each prompt, and the prompts' KV cache."""
        params = variables.params
        stream = self.stream(params, batch, self.filled_ids(variables, batch))
        hidden, cache = prefill(self.decoder, unstacked(params)["decoder"], stream)
        last = (batch.streams["tokens"].segments > 0).sum(axis=1) - 1
        hidden = jnp.take_along_axis(hidden["tokens"], last[:, None, None], axis=1)[:, 0]
        return self._vocabulary(params, hidden, "logits"), cache

    def decode(
        self,
        variables: Variables,
        batch: Batch,
        logits: Float[Array, "rows padded"],
        cache: Cache,
        seeds: Int[Array, "rows"],
        options: TextOptions,
    ) -> Int[Array, "rows tokens"]:
        """Ids that continue each prompt."""
        slots = batch.streams["tokens"]
        return generate_text(
            logits,
            {"tokens": grow(cache["tokens"], options.cache_slots)},
            partial(self._decode_step, unstacked(variables.params)),
            options,
            vocabulary=self.alphabet.size,
            positions=jnp.where(slots.segments > 0, slots.positions, -1).max(axis=1) + 1,
            index=slots.ids.shape[1],
            seeds=seeds,
        )

    def render(self, variables: Variables, ids: Int[Array, "rows tokens"]) -> Mapping[str, Array]:
        """Features of generated codes, and how many frames they are: where `HALT` came, the motion ends."""
        halted = jnp.cumsum(ids == self.alphabet.mark(HALT), axis=1) > 0
        codes = jnp.where(halted, 0, ids - self.alphabet.first_code)
        features = dequantise(variables.state["codebook"], codes, self.sizes.chunk)
        frames = (~halted).sum(axis=1) * self.sizes.chunk
        own = jnp.arange(features.shape[1]) < frames[:, None]
        return {"features": jnp.where(own[..., None], features, 0.0), "frames": frames}

    def _decode_step(
        self,
        params: Tree,
        cache: Cache,
        tokens: Int[Array, "rows beams"],
        positions: Int[Array, "rows beams"],
        index: Int[Array, ""],
        only: Bool[Array, "rows beams slots"] | None,
    ) -> tuple[Float[Array, "rows beams padded"], Cache]:
        embedded = self._vocabulary(params, tokens, "embed")
        stream = Stream(embedded, positions, jnp.ones_like(tokens), jnp.ones_like(tokens, bool))
        only = None if only is None else {"tokens": only}
        hidden, cache = decode_step(self.decoder, params["decoder"], {"tokens": stream}, cache, index, only)
        return self._vocabulary(params, hidden["tokens"], "logits"), cache

    def _vocabulary(self, params: Tree, x: Array, method: str) -> Array:
        return self.vocabulary.apply({"params": params["vocabulary"]["tokens"]}, x, method=method)


def unstacked(params: Tree) -> Tree:
    """Parameters with a list of layers."""
    return {**params, "decoder": unstack_layers(params["decoder"])}
