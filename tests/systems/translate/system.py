"""Words of one language to words of another: layout, data, modules, loss and greedy decoding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.batch import Batch, Example, RowShape, Sample, Schema, Slots, StreamSlots
from motiongpt3_jax.data_pipelines.packing import build, pack, size_of
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.models.generate_text import generate_text
from motiongpt3_jax.systems.interface import Loss, System, Terms, Tree, Variables

SOURCE = {word: number for number, word in enumerate(("pad", "hidden", "one", "two", "three", "four", "five"))}
TARGET = {word: number for number, word in enumerate(("pad", "begin", "end", "un", "deux", "trois", "quatre", "cinq"))}
DICTIONARY = dict(zip([*SOURCE][2:], [*TARGET][3:]))
LONGEST = 4
"""Words of a sentence."""

WIDTH, HEADS = 16, 2
SHAPE = RowShape((("source", 10), ("target", 13)), (), samples=4)
HIDE = 0.1
"""Share of source words that training hides."""


class TranslateLayout:
    """A caption of `SOURCE` words and its translation; only `target` has targets."""

    schema = Schema(targets=("target",))

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample."""
        return [self._example(sample) for sample in samples]

    def _example(self, sample: Sample) -> Example:
        words = sample.caption.split()
        target = [TARGET["begin"], *(TARGET[DICTIONARY[word]] for word in words), TARGET["end"]]
        read, predicted = np.array(target[:-1], np.int32), np.array(target[1:], np.int32)
        streams = {
            "source": slots_of(np.array([SOURCE[word] for word in words], np.int32)),
            "target": replace(slots_of(read), targets=predicted, weights=np.ones(len(read), np.float32)),
        }
        return Example(sample.number, streams)


def slots_of(ids: Int[np.ndarray, "slots"]) -> Slots:
    """Slots with positions from 0."""
    return Slots(ids, np.arange(len(ids), dtype=np.int32), np.ones(len(ids), bool))


def examples(first: int, count: int) -> list[Example]:
    """So many samples, from a number on."""
    samples = []
    for number in range(first, first + count):
        draws = np.random.default_rng(number)
        words = draws.choice([*DICTIONARY], draws.integers(1, LONGEST + 1))
        samples.append(Sample(number, 0, " ".join(words), ""))
    return TranslateLayout()(samples)


def packed(examples: Sequence[Example], shape: RowShape, rows: int | None = None) -> Batch:
    """The rows of some samples; empty ones up to a number."""
    schema = TranslateLayout.schema
    order = pack([size_of(example, shape, schema) for example in examples], shape)
    full = [[examples[i] for i in row] for row in order] + [[]] * max((rows or 0) - len(order), 0)
    return build(full[:rows], lambda number, person: np.zeros((0, 0)), shape, schema, 0)


@dataclass(frozen=True)
class TranslateData:
    """Packed batches as a function of the step."""

    rows: int = 8
    order: int = 1

    def batch(self, step: int) -> Batch:
        """Batch `step`."""
        return packed(examples(step * 2 * self.rows, 2 * self.rows), SHAPE, self.rows)

    def batches(self, start_step: int) -> Iterator[Batch]:
        """Batches without end."""
        while True:
            yield self.batch(start_step)
            start_step += 1

    def validation(self) -> list[Batch]:
        """One batch."""
        return [self.batch(10**6)]

    def describe(self, numbers: Sequence[int]) -> list[str]:
        """Names of samples."""
        return [f"sentence {number}" for number in numbers]

    def useful(self, batch: Batch) -> dict[str, float]:
        """Samples and tokens."""
        return {"samples": float((batch.samples >= 0).sum()), "tokens": float(batch.streams["target"].weights.sum())}


class Translator(nn.Module):
    """One layer of encoder and decoder."""

    def setup(self) -> None:
        self.source, self.target = nn.Embed(len(SOURCE), WIDTH), nn.Embed(len(TARGET), WIDTH)
        self.positions = nn.Embed(LONGEST + 1, WIDTH)
        self.encoder, self.decoder, self.cross = (nn.MultiHeadDotProductAttention(HEADS) for _ in range(3))
        self.up, self.down = nn.Dense(4 * WIDTH), nn.Dense(WIDTH)
        self.logits = nn.Dense(len(TARGET))

    def encode(self, slots: StreamSlots, ids: Int[Array, "rows slots"]) -> Float[Array, "rows slots width"]:
        """Memory that the decoder cross-attends to."""
        x = self.source(ids) + self.positions(slots.positions)
        return x + self.encoder(x, x, mask=same_segment(slots, slots)[:, None])

    def decode(self, slots: StreamSlots, memory: Float[Array, "rows sources width"], of: StreamSlots) -> Array:
        """Logits of the word behind each target slot."""
        x = self.target(slots.ids) + self.positions(slots.positions)
        past = slots.positions[:, :, None] >= slots.positions[:, None, :]
        x = x + self.decoder(x, x, mask=(same_segment(slots, slots) & past)[:, None])
        x = x + self.cross(x, memory, mask=same_segment(slots, of)[:, None])
        return self.logits(x + self.down(nn.gelu(self.up(x))))

    def __call__(self, batch: Batch, ids: Int[Array, "rows slots"]) -> Array:
        """Logits of all target slots."""
        source = batch.streams["source"]
        return self.decode(batch.streams["target"], self.encode(source, ids), source)


def same_segment(queries: StreamSlots, keys: StreamSlots) -> Bool[Array, "rows queries keys"]:
    """Which keys are of each query's sample."""
    return (queries.segments[:, :, None] == keys.segments[:, None, :]) & keys.attended[:, None, :]


@dataclass(frozen=True)
class TranslateObjective:
    """The weight of the only term."""

    words: float = 1.0

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each term."""
        return {"words": self.words}


class Translate(System):
    """The system as training knows it."""

    def __init__(self) -> None:
        self.module = Translator()

    @cached_property
    def losses(self) -> Mapping[str, Loss]:
        """Next-word prediction."""
        return {"translation": self.translation}

    def init(self, rng: jax.Array) -> Variables:
        """Fresh variables."""
        probe = packed(examples(0, 1), SHAPE)
        return Variables(self.module.init(rng, probe, probe.streams["source"].ids)["params"])

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Tree:
        """Which source words are hidden: keyed by sample and position, so that packing changes nothing."""
        slots = batch.streams["source"]
        numbers = jnp.take_along_axis(jnp.asarray(batch.samples), jnp.maximum(slots.segments - 1, 0), axis=1)

        def uniform(number: Array, position: Array) -> Array:
            return jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key, number), position))

        return {"hidden": jax.vmap(jax.vmap(uniform))(numbers, slots.positions) < (HIDE if train else 0.0)}

    def translation(self, variables: Variables, batch: Batch, draws: Tree, objective: TranslateObjective) -> Terms:
        """Cross-entropy of the targets."""
        slots = batch.streams["target"]
        ids = jnp.where(draws["hidden"], SOURCE["hidden"], batch.streams["source"].ids)
        logits = self.module.apply({"params": variables.params}, batch, ids)
        losses = jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, slots.targets[..., None], -1)[..., 0]
        return Terms({"words": (losses * slots.weights).sum()}, {"words": slots.weights.sum()})

    def translate(self, variables: Variables, batch: Batch) -> Int[Array, "rows tokens"]:
        """Greedy translations of one sample a row."""
        params, source = {"params": variables.params}, batch.streams["source"]
        memory = self.module.apply(params, source, source.ids, method="encode")
        rows = len(source.ids)

        def logits_at(ids: Int[Array, "rows slots"], place: Int[Array, ""]) -> Array:
            positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
            slots = StreamSlots(ids, positions, jnp.ones_like(ids), positions <= place)
            logits = self.module.apply(params, slots, memory, source, method="decode")
            return jax.lax.dynamic_index_in_dim(logits, place, axis=1, keepdims=False)

        def decode_step(ids: Array, tokens: Array, positions: Array, index: Array, only: None) -> tuple[Array, Array]:
            ids = jax.lax.dynamic_update_slice_in_dim(ids, tokens, index, axis=1)
            return logits_at(ids, index)[:, None], ids

        options = TextOptions(TARGET["end"], max_new=LONGEST, repetition_penalty=1.0)
        begun = jnp.zeros((rows, 1 + options.cache_slots), jnp.int32).at[:, 0].set(TARGET["begin"])
        first, ones = logits_at(begun, jnp.zeros((), jnp.int32)), jnp.ones(rows, jnp.int32)
        return generate_text(
            first, begun, decode_step, options, vocabulary=len(TARGET), positions=ones, index=1, seeds=None
        )
