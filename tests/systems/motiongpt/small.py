"""Small MotionGPTs of both kinds, with weights large enough that everything matters, and batches of questions."""

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.batch import RowShape
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.systems.interface import ModelSpec, Question, Variables
from motiongpt3_jax.systems.motiongpt.kind import KIND
from motiongpt3_jax.text import train_tokenizer

FEATURES = 23
SENTENCES = ["a person walks forward slowly", "someone jumps twice", "a human sits down", "he waves with his left hand"]


def spec_of(lm="t5"):
    """What fixes a model with a vocabulary of four sentences."""
    config = plain(load_config("motiongpt:test").to_dict())
    config["model"]["lm"] = lm
    if lm == "gpt2":
        config["model"]["language"]["max_positions"] = 256
        config["stages"]["pretrain"]["batch"]["slots"] = {"tokens": 300}
    return ModelSpec(config, FEATURES, train_tokenizer(SENTENCES, 300, KIND.tokens(config)))


def variables_of(system, seed=0):
    """Random weights, and codes that are far from each other."""
    shapes = jax.eval_shape(system.init, jax.random.key(0))
    rng = np.random.default_rng(seed)

    def fill(x):
        return jnp.asarray(rng.normal(size=x.shape, scale=0.3), jnp.float32)

    codebook = {**shapes.state["codebook"], "initialised": jnp.ones((), bool)}
    codebook |= {name: fill(codebook[name]) for name in ("table", "sums")}
    codebook["counts"] = jnp.ones(codebook["counts"].shape)
    return Variables(jax.tree.map(fill, shapes.params), {"codebook": codebook})


def clip(frames, seed=0):
    """A motion's features."""
    return np.random.default_rng(seed).normal(size=(frames, FEATURES)).astype(np.float32)


def questions(count):
    """As many sentences of several lengths."""
    return [Question(SENTENCES[number % len(SENTENCES)]) for number in range(count)]


def batch_of(answers, asked, makes, options, frames=0):
    """One question a row."""
    frames = frames if isinstance(frames, list) else [frames] * len(asked)
    examples = [answers.example(n, question, makes, options, frames[n]) for n, question in enumerate(asked)]
    slots = {name: max(len(e.streams[name].ids) for e in examples) for name in examples[0].streams}
    longest = max([piece.frames for e in examples for piece in e.clips], default=0)
    clips = ((longest, max(len(e.clips) for e in examples)),) if longest else ()

    def features(number, person):
        return np.concatenate([*asked[number].clips, *asked[number].answer_clips])

    return build([[e] for e in examples], features, RowShape((*slots.items(),), clips, 1), answers.schema, FEATURES)
