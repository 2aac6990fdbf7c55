"""Decoding by the official implementation: greedy, beams, the codes and captions that it makes of them."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.batch import RowShape, StreamSlots
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.systems.interface import Question
from motiongpt3_jax.systems.motion_codes import generate
from motiongpt3_jax.systems.motionllm.answers import official_codes
from motiongpt3_jax.systems.motionllm.kind import KIND
from motiongpt3_jax.systems.motionllm.prompts import official_questions
from motiongpt3_jax.text import fill
from tests.golden import compare, golden, golden_motionllm
from tests.quick import one_quick
from tests.systems.motionllm.published import LONGEST, spec_of, variables
from tests.systems.motionllm.released_planner import planner_ids

pytestmark = pytest.mark.golden

CLOSE = 1e-3
"""An id may differ from the official one where its best two logits are closer than this."""

BOTH = one_quick("capped", [False, True], ids=["released", "capped"])
"""With the soft cap of attention scores, and without, as the released code runs."""


@cache
def model(capped):
    """(answers, modules)."""
    spec = spec_of(capped)
    system = KIND.make_system(spec)
    return KIND.make_answers(spec, system), system.modules


def answered(capped, questions, makes):
    """Values of every phase for some questions, but for the rendering."""
    answers, _ = model(capped)
    options = answers.motion_options() if makes == "motion" else answers.text_options()
    examples = [answers.example(n, question, makes, options) for n, question in enumerate(questions)]
    slots = max(len(example.streams["tokens"].ids) for example in examples)
    frames = max((clip.frames for example in examples for clip in example.clips), default=0)
    shape = RowShape((("tokens", slots),), ((frames, 1),) if frames else (), 1)
    features = [np.concatenate([*question.clips, np.zeros((0, 263), np.float32)]) for question in questions]
    rows = build([[example] for example in examples], lambda n, _: features[n], shape, answers.schema, 263)
    values = {"batch": rows}
    for phase in answers.phases(examples[0], makes, options, 0):
        if phase.name != "render":
            taken = [values.get(name) for name in phase.takes]
            values |= jax.jit(phase.run)(variables(), *taken)
    return values


def captions(data):
    question = official_questions()["official_eval"]["t2m"]
    return [Question(fill(question, str(caption), 0, 1.0)) for caption in data["captions"]]


@BOTH
def test_motions_are_the_codes_of_the_official_implementation(capped):
    data, (answers, _) = golden_motionllm("generate"), model(capped)
    values = answered(capped, captions(data), "motion")
    codes, counts = official_codes(values["tokens"], values["lengths"], answers.tokens)
    for n in range(len(data["captions"])):
        wanted = data[f"{'' if capped else 'sdpa_'}t{n}_official_codes"]
        assert np.asarray(codes)[n, : counts[n]].tolist() == wanted.tolist(), n
        if capped:
            prompt = values["batch"].streams["tokens"] if "batch" in values else None
            assert (
                np.asarray(prompt.ids)[n][np.asarray(prompt.segments)[n] > 0].tolist() == data[f"t{n}_prompt"].tolist()
            )


@BOTH
def test_captions_are_those_of_the_official_implementation(capped):
    data, (answers, _) = golden_motionllm("generate"), model(capped)
    mean, std = (golden("features")[name] for name in ("mean", "std"))
    raw = golden("features")["feats"]
    clips = [((raw[a:b] - mean) / std).astype(np.float32) for a, b in data["crops"]]
    question = official_questions()["official_eval"]["m2t"]
    values = answered(capped, [Question(question, (clip,)) for clip in clips], "text")
    for n, tokens in enumerate(np.asarray(values["tokens"])):
        text = answers.text_of(tokens[: values["lengths"][n]].tolist(), answers.text_options()).words
        assert text == str(data[f"{'' if capped else 'sdpa_'}c{n}_official_text"])


def continued(prompts, options, rooms, adapter="t2m"):
    """(ids that follow each prompt, logits of the first), all ids allowed."""
    _, modules = model(True)
    modules, slots = modules.using(adapter), max(map(len, prompts))

    def rows(values):
        return np.stack([np.pad(np.asarray(x, np.int32), (0, slots - len(x))) for x in values])

    real = rows([np.ones(len(prompt)) for prompt in prompts])
    stream = StreamSlots(
        ids=rows(prompts),
        positions=np.broadcast_to(np.arange(slots, dtype=np.int32), real.shape),
        segments=real,
        attended=real > 0,
        targets=None,
        weights=None,
        sources=None,
    )

    @jax.jit
    def run(variables, rooms):
        prefix = modules.language.prefill(
            variables.params, {"tokens": stream}, {"tokens": stream.ids}, options.cache_slots
        )
        first = modules.language.vocabulary.apply(
            {"params": variables.params["vocabulary"]}, prefix.hidden, method="logits"
        )
        return generate.decode(modules, options, False, variables, prefix, None, None, rooms)["tokens"], first

    return [np.asarray(x) for x in run(variables(), jnp.asarray(rooms))]


def test_greedy_ids_and_the_first_logits():
    data, tokens = golden_motionllm("generate"), model(True)[0].tokens
    names = [name for name in ("t0", "t1", "t2", "t3") if f"{name}_greedy_ids" in data]
    wanted = [data[f"{name}_greedy_ids"] for name in names]
    options = TextOptions(end=tokens.end, max_new=max(map(len, wanted)) + 1, repetition_penalty=1.0)
    prompts = [data[f"{name}_prompt"] for name in names]
    found, first = continued(prompts, options, [LONGEST - len(prompt) for prompt in prompts])
    for name, theirs, ours, logits in zip(names, wanted, found, first):
        compare(
            f"generate/{name}_first_logits", logits[: tokens.size : 7], data[f"{name}_greedy_first_logits"], 5e-4, 0
        )
        doubtful = np.flatnonzero(data[f"{name}_greedy_margin"] < CLOSE)
        until = doubtful[0] if len(doubtful) else len(theirs)
        assert ours[:until].tolist() == theirs[:until].tolist(), name


BEAMS = {
    "t1_beam2": {"beams": 2, "early_stopping": True},
    "t1_beam5eos2": {"beams": 5, "early_stopping": True, "stops": (561,)},
    "t1_beam3lp": {"beams": 3, "length_penalty": 0.5},
}


@one_quick("name", [*BEAMS], "t1_beam5eos2")
def test_the_best_hypothesis_of_other_searches(name):
    data, tokens = golden_motionllm("generate"), model(True)[0].tokens
    if f"{name}_ids" not in data:
        pytest.skip(f"the fixtures have no {name}")
    settings = dict(BEAMS[name])
    if "stops" in settings:
        settings["stops"] = (tokens.end_of_motion,)
    prompt = data[f"{re.match('t[0-9]+', name)[0]}_prompt"]
    longest = LONGEST if name == "t1_beam2" else 120
    options = TextOptions(
        end=tokens.end, max_new=longest - len(prompt), repetition_penalty=1.0, collect_finished=True, **settings
    )
    found, _ = continued([prompt], options, [longest - len(prompt)])
    length = int(data[f"{name}_lengths"][0])
    assert found[0, :length].tolist() == data[f"{name}_ids"][0, :length].tolist()


@pytest.mark.slow
def test_codes_of_the_search_behind_the_released_planner():
    data, (answers, modules) = golden_motionllm("generate"), model(True)
    modules, tokens = modules.using("t2m"), answers.tokens

    @jax.jit
    def run(variables, ids, count):
        slots = np.broadcast_to(np.arange(LONGEST, dtype=np.int32), ids.shape)
        real = (slots < count).astype(jnp.int32)
        stream = StreamSlots(ids, slots, real, real > 0, None, None, None)
        hidden = modules.language.hidden(variables.params, {"tokens": stream}, {"tokens": ids})[:, count - 1]
        return modules.language.vocabulary.apply({"params": variables.params["vocabulary"]}, hidden, method="logits")

    def logits_after(beams):
        ids = np.zeros((len(beams), LONGEST), np.int32)
        ids[:, : len(beams[0])] = beams
        return np.asarray(run(variables(), ids, len(beams[0])))[:, : tokens.size]

    for name in [key.removesuffix("_agent_codes") for key in data if key.endswith("_agent_codes")]:
        ids = planner_ids(
            logits_after, data[f"{name}_prompt"].tolist(), tokens.end, tokens.end_of_motion, tokens.words, LONGEST
        )
        codes, counts = official_codes(jnp.asarray([ids]), jnp.array([len(ids)]), tokens)
        assert np.asarray(codes)[0, : counts[0]].tolist() == data[f"{name}_agent_codes"].tolist(), name
