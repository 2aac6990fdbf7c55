"""Texts and ids of the official implementation, put together again from words and codes."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Sample
from motiongpt3_jax.systems.motion_codes.drafts import LayoutOptions, UnpairedOptions, draws_of
from motiongpt3_jax.systems.motion_codes.layout import PairLayout, TextLayout
from motiongpt3_jax.systems.motion_codes.pieces import encode_parts, known, motion, plain
from motiongpt3_jax.systems.motion_codes.prompts import Filling, fill_parts, official_cuts
from motiongpt3_jax.systems.motion_codes.questions import QuestionParts, Questions, read_reply
from motiongpt3_jax.systems.motion_codes.span_corruption import corrupt
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.systems.motiongpt.kind import TOKENIZERS
from motiongpt3_jax.systems.motiongpt.prompts import OFFICIAL_QUESTIONS
from motiongpt3_jax.text import TASKS, Subtask, load_tokenizer
from tests.golden import FOLDER, MOTIONGPT, golden_motiongpt

pytestmark = pytest.mark.golden
CODES = 512
LONGEST = 256
TASK = {"pred": "predict"}
CUT_UP = {"_s1": ("predict", 0), "_s2": ("predict", 1), "_Masked": ("inbetween", 0)}


@pytest.fixture(scope="module")
def strings():
    return MOTIONGPT.json("strings")


@pytest.fixture(scope="module")
def e2e():
    return golden_motiongpt("e2e")


@pytest.fixture(scope="module")
def t5():
    return load_tokenizer(MOTIONGPT.path("tokenizer"), TOKENIZERS["t5"])


@pytest.fixture(scope="module")
def tokens(t5):
    return MotionTokens.of(t5, CODES)


@pytest.fixture(scope="module")
def gpt2():
    folder = FOLDER.parent / "tokenizer" / "gpt2"
    if not folder.is_dir() and not os.environ.get("MOTION_GPT2_DIR"):
        pytest.skip("GPT-2's tokenizer is not there; set MOTION_GPT2_DIR")
    return load_tokenizer(os.environ.get("MOTION_GPT2_DIR") or folder, TOKENIZERS["gpt2"])


def cut_up(template, codes, length):
    """The motions that a template shows, and how many codes are hidden."""
    for ending, (task, side) in CUT_UP.items():
        if f"<Motion_Placeholder{ending}>" in template:
            given, made, masks = official_cuts(codes, TASKS[task], length)
            return (given, made)[side], masks
    return [codes], 0


def written(tokens, parts):
    """Words and motions as the official code writes them."""
    return "".join(
        part if isinstance(part, str) else "".join(f"<motion_id_{i - tokens.first_code}>" for i in part.ids)
        for part in parts
    )


def test_filled_templates(strings, t5, tokens):
    assert strings["fill"]
    for entry in strings["fill"]:
        codes = known(tokens, strings["tokens"][entry["tokens"]])
        motions, masks = cut_up(entry["template"], codes, entry["length"])
        filling = Filling(entry["caption"], entry["length"], 20.0, entry["coin"], motions, masks)
        parts = fill_parts(entry["template"], filling, tokens, official=True)
        assert written(tokens, parts) == entry["string"]
        spaced, trimmed = ([*encode_parts(t5, [parts], trim)[0].ids.tolist(), t5.end] for trim in (False, True))
        assert spaced == entry["ids"]
        assert trimmed == entry.get("ids_slow", entry["ids"])


def test_questions_of_the_official_evaluation(strings, t5, tokens):
    questions = Questions(t5, tokens, official=True)
    assert strings["generate"]
    for entry in strings["generate"]:
        style, task = "official_eval" + "_length" * entry["with_len"], TASK.get(entry["task"], entry["task"])
        for row, (length, text, ids) in enumerate(zip(entry["lengths"], entry["strings"], entry["ids"])):
            template = OFFICIAL_QUESTIONS[style][task]
            caption = entry["captions"][row] if entry["captions"] else ""
            codes = known(tokens, entry["tokens"][row] if entry["tokens"] else ())
            motions, masks = cut_up(template, codes, length)
            filling = Filling(caption, length, 20.0, entry["coins"][2 * row], motions, masks)
            parts = fill_parts(template, filling, tokens, official=True)
            assert written(tokens, parts) == text
            words = "".join(part if isinstance(part, str) else template[template.index("<Motion") :] for part in parts)
            example = questions.pair(0, QuestionParts(words, masks=masks, motions=motions))
            assert example.streams["source"].ids.tolist() == [i for i in ids if i]


def ids_of(string, t5, tokens):
    """A reply that is written out, as ids."""
    parts = [part for part in re.split(r"(<motion_id_\d+>|<extra_id_0>)", string) if part]
    pieces = [
        known(tokens, [int(part[11:-1])])
        if part.startswith("<motion_id_") and part.endswith(">")
        else plain(tokens.sentinels[:1])
        if part == "<extra_id_0>"
        else part
        for part in parts
    ]
    return encode_parts(t5, [pieces], trim=False)[0].ids.tolist()


def test_replies_are_read_as_officially_where_they_are_well_formed(strings, t5, tokens):
    read = 0
    for entry in strings["parse"]:
        string = entry.get("decoded", entry.get("string"))
        whole = re.fullmatch(
            r"((?:[^<]*<motion_id_512>(?:<motion_id_(?:\d|\d\d|[1-4]\d\d|50\d|51[01])>)*<motion_id_513>)+)[^<]*", string
        )
        if not whole:
            continue
        read += 1
        reply = read_reply(entry.get("ids") or ids_of(string, t5, tokens), t5, tokens)
        motions = [part.tolist() for part in reply if not isinstance(part, str)]
        # Of a motion without codes nothing is left, where the official code makes code 0.
        assert motions[:1] == [entry["tokens"]] or (entry["tokens"] == [0] and not motions)
        words = [part.strip() for part in re.split(r"<Motion_Placeholder>|<[^ ]*>", entry["text"]) if part.strip()]
        assert [part for part in reply if isinstance(part, str)] == words
    assert read


def test_spans_and_sentinels(strings, tokens):
    assert strings["corruption"]
    for entry in strings["corruption"]:
        piece, hidden = plain(entry["input"]), np.array(entry["mask"], bool)
        source, target = corrupt(piece, hidden, tokens.sentinels)
        assert [*source.ids, tokens.end] == entry["source"]
        assert [*target.ids, tokens.end] == entry["target"]


def sample(number, caption, codes, picks, coins):
    """A clip whose codes are known, and which keeps all of them."""
    frames = 4 * len(codes)
    clip = Sample(number, frames, caption, "asked", picks, coins, codes={ClipRange(0, frames): codes})
    return next(kept for draw in np.arange(0, 1, 0.1) if draws_of(kept := replace(clip, draw=draw)).random() >= 1 / 3)


def subtask_of(task, template):
    return {"asked": Subtask("asked", TASK.get(task, task), tuple(template["input"]), tuple(template["output"]))}


def test_gpt2_texts(strings, gpt2):
    tokens = MotionTokens.of(gpt2, CODES)
    options = LayoutOptions(LONGEST, official=True)
    alone = {"supervised": None, "text": UnpairedOptions(1, 0, 0.15, 3), "motion": UnpairedOptions(0, 1, 0.15, 3)}
    trained = [entry for entry in strings["gpt2"] if entry["kind"] == "train"]
    assert trained
    for entry in trained:
        unpaired, template = alone[entry["condition"]], entry["template"]
        layout = TextLayout(gpt2, tokens, subtask_of(entry["task"], template), options, 20.0, unpaired)
        coins = entry["coins"] or [1.0] * 4
        samples = [
            sample(row, text, codes[:length], (0, 0), tuple(coins[2 * row : 2 * row + 2]))
            for row, (text, codes, length) in enumerate(zip(entry["texts"], entry["motion"], entry["lengths"]))
        ]
        for example, ids in zip(layout(samples), entry["ids"]):
            slots = example.streams["tokens"]
            assert len(slots.ids) == entry["padded_to"]
            assert slots.ids[slots.attended].tolist() == ids
            assert {*slots.ids[~slots.attended].tolist()} == {entry["pad_id"]}
            assert slots.targets[:-1].tolist() == slots.ids[1:].tolist()
            assert slots.weights.tolist() == [1.0] * (LONGEST - 1) + [0.0]


def test_gpt2_questions(strings, gpt2):
    questions = Questions(gpt2, MotionTokens.of(gpt2, CODES), official=True)
    for entry in strings["gpt2"]:
        if entry["kind"] == "generate":
            for prompt, ids in zip(entry["prompts"], entry["ids"]):
                assert questions.one_text(0, QuestionParts(prompt)).streams["tokens"].ids.tolist() == ids


@pytest.mark.parametrize("case", ["t2m", "m2t", "pred", "inbetween", "mixed", "long"])
def test_sources_and_labels_of_the_whole_model(e2e, t5, tokens, case):
    order = {"long": ["m2t"], "mixed": ["t2m", "m2t", "pred", "inbetween"]}.get(case, [case, case])
    texts, templates = e2e[f"{case}_texts"].tolist(), [json.loads(text) for text in e2e[f"{case}_templates"]]
    choices, coins = e2e[f"{case}_choices"].tolist()[1:], e2e[f"{case}_coins"].tolist()
    for row, (task, template, text) in enumerate(zip(order, templates, texts, strict=True)):
        layout = PairLayout(t5, tokens, subtask_of(task, template), LayoutOptions(LONGEST, official=True))
        codes = e2e[f"{case}_tokens"][row][: e2e[f"{case}_lengths"][row]]
        counts = len(template["input"]), len(template["output"])
        picks = tuple((choices[2 * row + i] + 0.5) / counts[i] for i in range(2))
        [example] = layout([sample(row, text, codes, picks, tuple(coins[2 * row : 2 * row + 2]))])
        source, target = example.streams["source"], example.streams["target"]
        labels = e2e[f"{case}_labels"][row]
        assert source.ids.tolist() == e2e[f"{case}_src"][row][e2e[f"{case}_src_mask"][row] > 0].tolist()
        assert target.targets.tolist() == labels[labels >= 0].tolist()
        assert target.ids.tolist() == [0, *target.targets[:-1]]


def test_captioning_questions(e2e, t5, tokens):
    questions = Questions(t5, tokens, official=True)
    text = OFFICIAL_QUESTIONS["official_eval"]["m2t"]
    for row in range(len(e2e["cap_src"])):
        codes = known(tokens, e2e[f"cap_tokens{row}"])
        ids = questions.pair(0, QuestionParts(text, motions=[codes])).streams["source"].ids.tolist()
        assert ids == [i for i in e2e["cap_src"][row].tolist() if i]


def test_a_reply_of_codes(e2e, t5, tokens):
    ids = e2e["reply_ids"].tolist()
    [codes] = [
        part for part in read_reply([i for i in ids if i != tokens.mask], t5, tokens) if not isinstance(part, str)
    ]
    theirs = e2e["reply_tokens"]
    kept = [i - tokens.first_code != CODES + 2 for i in ids[ids.index(tokens.start_of_motion) + 1 :]][: len(theirs)]
    np.testing.assert_array_equal(codes, theirs[kept])
    assert motion(tokens, known(tokens, codes)).ids[0] == tokens.start_of_motion
