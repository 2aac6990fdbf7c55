"""A MotionGPT3 of a few thousand parameters, and three samples for it."""

from functools import cache

import jax
import numpy as np

from motiongpt3_jax.batch import Batch, ClipRange, Example, RowShape
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.models import DecoderConfig, HeadConfig, StreamConfig, VaeConfig
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionGPT3Config, sequence_example
from motiongpt3_jax.systems.motiongpt3.layout import SCHEMA
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.systems.motiongpt3.prompts import TokenIds

COMMON = {"dropout": 0.1, "dtype": "float32"}
CONFIG = MotionGPT3Config(
    vae=VaeConfig(
        features=9, width=8, layers=3, heads=2, mlp_width=12, latents=1, max_frames=20, remat="none", **COMMON
    ),
    decoder=DecoderConfig(
        streams=(StreamConfig("text", 8, 16), StreamConfig("motion", 8, 16)),
        layers=2,
        heads=2,
        head_width=4,
        max_positions=32,
        shared=(True, True),
        attention_dropout=0.0,
        attention="reference",
        scan=True,
        remat="none",
        **COMMON,
    ),
    head=HeadConfig(latent=8, condition=8, width=12, depth=2, heads=2, pool_mlp=12, time=8, max_positions=8, **COMMON),
    vocabulary=20,
    latent_scale=0.8457,
    diffusion_steps=1000,
    betas=(0.00085, 0.012),
    repeats=4,
    flow=False,
    times="uniform",
    holders=4,
    new_ids=2,
)


# Special ids that follow eighteen words.
IDS = TokenIds(end=19, start_of_motion=20, end_of_motion=21, text_vocabulary=22, output_holder=24, input_holder=25)
MADE = [IDS.start_of_motion, *[IDS.output_holder] * 4, IDS.end_of_motion]
GIVEN = [IDS.start_of_motion, *[IDS.input_holder] * 4, IDS.end_of_motion]
SHAPE = RowShape((("text", 24), ("motion", 16)), clips=((16, 4),), samples=3, capacities=(("outputs", 3),))


def variables(config: MotionGPT3Config = CONFIG, seed: int = 0) -> Variables:
    """Weights large enough that everything matters to everything it may matter to."""
    return jax.tree.map(lambda x: x, _drawn(config, seed))


@cache
def _drawn(config: MotionGPT3Config, seed: int) -> Variables:
    made = jax.eval_shape(MotionGPT3(config).init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.4).astype(np.float32), made.params)
    # A function that is being traced may be the first to ask.
    with jax.ensure_compile_time_eval():
        return Variables(params, latent_state(config))


def features(number: int, person: int = 0) -> np.ndarray:
    """Sixteen frames of a sample's clip."""
    return np.random.default_rng(number).normal(size=(16, CONFIG.vae.features)).astype(np.float32)


def example(number: int, ids: list[int], clips: tuple[tuple[int, int], ...], inputs: int) -> Example:
    """A sample of these ids, every text id a target."""
    whole = np.ones(len(ids), bool)
    ranges = tuple(ClipRange(*clip) for clip in clips)
    return sequence_example(number, np.array(ids), whole, whole, IDS, ranges, inputs=inputs)


GENERATION = example(3, [5, 7, 2, *MADE, IDS.end], ((0, 12),), inputs=0)
CAPTIONING = example(4, [*GIVEN, 9, 8, 11, IDS.end], ((2, 16),), inputs=1)
CONTINUATION = example(6, [13, *GIVEN, 4, *MADE, IDS.end], ((0, 5), (5, 16)), inputs=1)
EXAMPLES = (GENERATION, CAPTIONING, CONTINUATION)


def rows(*examples: list[Example]) -> Batch:
    """Rows of examples."""
    return build(examples, features, SHAPE, SCHEMA, CONFIG.vae.features)
