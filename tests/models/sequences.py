"""Recorded sequences of two modalities as streams, and weights by the fixtures' rule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import DecoderConfig, Stream, StreamConfig, Vocabulary
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.official import from_official
from tests.golden import filled, golden_json
from tests.systems.published import PUBLISHED

TYPES = {"text": 0, "motion": 1}
NEW_IDS = 2
LANGUAGE = "lm.language_model."


def sizes(name: str, heads: int) -> MotionGPT3Config:
    """The decoder's and the vocabularies' sizes, told from a fixture's manifest; every layer is shared."""
    shapes = {key: entry["shape"] for key, entry in golden_json(f"{name}.manifest").items()}
    layers = len([key for key in shapes if key.endswith(".ln_1.fn.0.weight")])
    block = f"{LANGUAGE}transformer.h.0"
    streams = [
        StreamConfig(stream, *shapes[f"{block}.mlp.fn.{number}.c_fc.weight"]) for stream, number in TYPES.items()
    ]
    ids, _ = shapes[f"{LANGUAGE}transformer.wte.weight"]
    decoder = DecoderConfig(
        streams=tuple(streams),
        layers=layers,
        heads=heads,
        head_width=shapes[f"{block}.c_attn.fn.0.weight"][1] // 3 // heads,
        max_positions=shapes[f"{LANGUAGE}transformer.wpe.weight"][0],
        shared=(True,) * layers,
        dropout=0.1,
        attention_dropout=0.0,
        attention="reference",
        scan=True,
        remat="none",
        dtype="float32",
    )
    motion_ids = shapes[f"{LANGUAGE}pre_processors.1.weight"][0]
    return replace(PUBLISHED, decoder=decoder, vocabulary=ids - NEW_IDS, new_ids=NEW_IDS, motion_ids=motion_ids)


def weights(name: str, config: MotionGPT3Config) -> dict[str, Any]:
    """Our parameters, filled by the rule and brought in by the name table."""
    return jax.tree.map(jnp.asarray, from_official(filled(name, LANGUAGE), config, prefix=LANGUAGE))


class Rows:
    """Where the slots of a recorded (samples, positions) sequence lie in dense streams."""

    def __init__(self, types: np.ndarray, mask: np.ndarray):
        self.types, self.mask = types, mask
        self.places = {name: self._places(types == number) for name, number in TYPES.items()}

    def _places(self, mine: np.ndarray) -> np.ndarray:
        """(samples, slots) positions in order, -1 where a sample has fewer."""
        places = np.full((len(mine), int(mine.sum(1).max())), -1)
        for sample, row in enumerate(mine):
            places[sample, : row.sum()] = np.flatnonzero(row)
        return places

    def pick(self, name: str, dense: np.ndarray) -> np.ndarray:
        """(samples, slots, ...) of a stream out of (samples, positions, ...); zeros where there is no slot."""
        places = self.places[name]
        picked = np.take_along_axis(dense, np.maximum(places, 0).reshape(*places.shape, *[1] * (dense.ndim - 2)), 1)
        return np.where((places >= 0).reshape(*places.shape, *[1] * (dense.ndim - 2)), picked, 0)

    def real(self, name: str) -> np.ndarray:
        """Which slots of a stream hold something."""
        return self.places[name] >= 0

    def stream(self, name: str, embeddings: np.ndarray) -> Stream:
        """A stream of one segment a row, as the official code has it: pads query and are no keys."""
        places, real = self.places[name], self.real(name)
        return Stream(
            embeddings=jnp.asarray(embeddings),
            positions=jnp.asarray(np.maximum(places, 0)),
            segments=jnp.asarray(real.astype(np.int32)),
            attended=jnp.asarray(real & self.pick(name, self.mask).astype(bool)),
        )


def embedded(config: MotionGPT3Config, params: Mapping, rows: Rows, ids: np.ndarray, injected: np.ndarray) -> dict:
    """The streams of recorded local ids; `injected` (samples, positions, width) replaces motion rows where non-zero."""
    text, motion = config.decoder.streams
    vocabularies = {
        "text": Vocabulary(config.vocabulary, config.new_ids, text.width),
        "motion": Vocabulary(config.motion_ids, 0, motion.width),
    }
    made = {}
    for name, vocabulary in vocabularies.items():
        table = {"params": params["vocabulary"][name]}
        made[name] = vocabulary.apply(table, jnp.asarray(rows.pick(name, ids)), method="embed")
    # The narrow stream's fixture keeps vectors of the text's width, of which it used the first part.
    instead = rows.pick("motion", injected)[..., : motion.width]
    made["motion"] = np.where(instead.any(-1, keepdims=True), instead, made["motion"])
    return {name: rows.stream(name, x) for name, x in made.items()}
