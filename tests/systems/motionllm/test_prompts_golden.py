"""Strings, ids and labels of the official implementation, and what it makes of generated ids."""

import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, RowShape, Sample
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.systems.interface import Question
from motiongpt3_jax.systems.motionllm.answers import official_codes
from motiongpt3_jax.systems.motionllm.kind import KIND
from motiongpt3_jax.systems.motionllm.prompts import official_questions
from motiongpt3_jax.systems.motionllm.tokens import with_motion_tokens
from motiongpt3_jax.text import fill
from tests.golden import MOTIONLLM
from tests.systems.motionllm.published import LONGEST, layout_of, spec_of, tokenizer
from tests.systems.motionllm.released_planner import descriptions_of

pytestmark = pytest.mark.golden

IGNORED = -100


@pytest.fixture(scope="module")
def strings():
    return MOTIONLLM.json("prompts")


@pytest.fixture(scope="module")
def answers():
    spec = spec_of()
    return KIND.make_answers(spec, KIND.make_system(spec))


def sample(instance, number, task):
    codes, frames = np.array(instance["codes"], np.int32), 4 * len(instance["codes"])
    return Sample(number, frames, instance["caption"], task, codes={ClipRange(0, frames): codes})


def labels_of(slots):
    """The labels of sequences: what the slot before predicts, where that counts."""
    labels = np.where(slots.weights > 0, slots.targets, IGNORED)
    labels = np.roll(labels, 1, axis=-1)
    labels[..., 0] = IGNORED
    return labels.tolist()


@pytest.mark.parametrize("task", ["t2m", "m2t"])
def test_ids_and_labels_of_training_samples(strings, task):
    instances = strings["instances"]
    layout = layout_of(task, max_length=max(len(x[task]["ids"]) for x in instances))
    examples = layout([sample(instance, n, task) for n, instance in enumerate(instances)])
    for instance, example in zip(instances, examples):
        slots = example.streams["tokens"]
        assert slots.ids.tolist() == instance[task]["ids"], instance["caption"]
        assert labels_of(slots) == instance[task]["labels"], instance["caption"]
        assert example.clips == ()


def test_batches_are_cut_and_padded_at_the_right(strings):
    for batch in strings["batches"]:
        layout = layout_of(batch["task"], max_length=batch["max_tgt_len"])
        examples = layout([sample(strings["instances"][n], n, batch["task"]) for n in batch["instances"]])
        shape = RowShape((("tokens", len(batch["ids"][0])),), (), 1)
        rows = build([[example] for example in examples], lambda *_: None, shape, layout.schema, 263).streams["tokens"]
        assert rows.ids.tolist() == batch["ids"]
        assert labels_of(rows) == batch["labels"]
        seen = rows.attended & (rows.segments > 0)
        assert seen.astype(int).tolist() == batch["mask"]


def test_a_sample_without_room_for_its_answer_counts_nothing(strings):
    longest = max(strings["instances"], key=lambda instance: len(instance["t2m"]["ids"]))
    [example] = layout_of("t2m", max_length=LONGEST)([sample(longest, 0, "t2m")])
    cut = longest["t2m"]["labels"][:LONGEST]
    assert example.streams["tokens"].weights.sum() == sum(label != IGNORED for label in cut)


def test_prompts_of_answers(strings, answers):
    questions = official_questions()["official_eval"]
    for entry in strings["generate_prompts"]:
        task = entry["task"]
        text = fill(questions[task], entry.get("caption", ""), 0, 1.0)
        makes = "motion" if task == "t2m" else "text"
        options = answers.motion_options() if makes == "motion" else answers.text_options()
        frames = entry["frames"][1] - entry["frames"][0] if task == "m2t" else 0
        clips = (np.zeros((frames, 263), np.float32),) if frames else ()
        slots = answers.example(0, Question(text, clips), makes, options).streams["tokens"]
        codes = slots.sources[:, 0] >= 0
        ids = slots.ids.copy()
        ids[codes] += np.array(entry.get("codes", ()), np.int32)[: codes.sum()]
        assert ids.tolist() == entry["ids"]
        settings = entry["settings"]
        assert settings["max_length"] == answers.most_positions
        assert settings["num_beams"] == options.beams
        assert not settings.get("early_stopping") or makes == "motion"


def test_codes_of_generated_ids(strings, answers):
    """Up to the end of the motion; what is no code becomes code 0."""
    for entry in (*strings["postprocess_t2m"], *strings["postprocess_agent_generate"]):
        ids = entry["new_ids"] if "new_ids" in entry else entry["argmax_ids"]
        decoded = np.full((1, LONGEST), answers.tokens.end, np.int32)
        decoded[0, : len(ids)] = ids
        codes, counts = official_codes(jnp.asarray(decoded), jnp.array([len(ids)]), answers.tokens)
        assert codes[0, : counts[0]].tolist() == entry["codes"], entry["case"]


def test_captions_of_generated_ids(strings, answers):
    options = answers.text_options()
    for entry in strings["postprocess_m2t"]:
        assert answers.text_of(entry["new_ids"], options).words == entry["caption"], entry["case"]


def test_texts_with_ids_of_motions_and_back(strings):
    words = with_motion_tokens(tokenizer(), KIND.motion_tokens(spec_of()))
    for entry in strings["encode"]:
        assert words.encode(entry["text"]) == entry["ids_no_special"], entry["text"]
    for entry in strings["decode"]:
        assert words.decode(entry["ids"], skip_special=False) == entry["text"]


def test_special_ids(strings):
    theirs, tokens = strings["tokenizer"], KIND.motion_tokens(spec_of())
    assert tokens.words == theirs["vocab_base"]
    assert (tokens.begin, tokens.end) == (theirs["bos"], theirs["eos"])
    assert (tokens.start_of_motion, tokens.end_of_motion) == (theirs["motion_begin"], theirs["motion_end"])
    assert (tokens.first_code, tokens.first_code + tokens.codes - 1) == (theirs["motion_0"], theirs["motion_511"])
    assert tokens.size == theirs["length"]


def test_what_the_released_planner_reads_of_responses(strings):
    for entry in strings["planner"]:
        found, error = descriptions_of(entry["response"])
        assert [*dict.fromkeys(found)] == entry["descriptions_generated"], entry["case"]
        assert error == (entry["error"].partition(":")[0] if "error" in entry else None), entry["case"]
        if "frames" in entry:
            # Repeated descriptions use their codes again, and all codes are decoded once.
            assert 4 * sum(len(entry["codes"][text]) for text in found) == entry["frames"]
