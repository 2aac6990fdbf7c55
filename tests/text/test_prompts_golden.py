"""Texts and ids of the official implementation, built again."""

import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3.prompts import (
    MOTION_INPUT,
    MOTION_OUTPUT,
    OFFICIAL_QUESTIONS,
    compose,
    fill_input,
    fill_output,
    motion_prompt,
    text_prompt,
)
from motiongpt3_jax.text import load_templates
from tests.golden import golden

pytestmark = pytest.mark.golden
SLOTS = 192
LEFT = ("infer_t2m_left", "m2t", "m2t_len")
RIGHT = ("train_t2m", "train_m2t", "train_pred", "train_inbetween", "train_mixed")
RIGHT += ("infer_t2m", "infer_pred", "infer_inbetween")
CAPTION = "<Caption_Placeholder>"


@pytest.fixture(scope="module")
def e2e():
    return golden("e2e")


def clips(e2e, case):
    """(caption, frames, coin of the question, coin of the answer, recorded text) of both samples."""
    coins = e2e[f"{case}_coins"].reshape(2, 2).tolist() if f"{case}_coins" in e2e else [(1.0, 1.0)] * 2
    rows = zip(e2e["captions"].tolist(), e2e["lengths"].tolist(), coins, e2e[f"{case}_strings"].tolist())
    return [(caption, frames, *pair, text) for caption, frames, pair, text in rows]


@pytest.mark.parametrize("case", RIGHT + LEFT)
def test_ids_of_recorded_texts(e2e, gpt2, case):
    ids = np.full((2, SLOTS), gpt2.end)
    mask = np.zeros((2, SLOTS))
    for row, own in enumerate(gpt2.encode_batch(e2e[f"{case}_strings"].tolist())):
        where = slice(SLOTS - len(own), None) if case in LEFT else slice(len(own))
        ids[row, where] = own
        mask[row, where] = 1
    np.testing.assert_array_equal(ids, e2e[f"{case}_ids"])
    np.testing.assert_array_equal(mask, e2e[f"{case}_mask"])


@pytest.mark.parametrize("case", RIGHT + LEFT)
def test_recorded_ids_decode_to_their_texts(e2e, gpt2, case):
    for ids, mask, text in zip(e2e[f"{case}_ids"], e2e[f"{case}_mask"], e2e[f"{case}_strings"].tolist()):
        assert gpt2.decode(ids[mask == 1], skip_special=False) == text


@pytest.mark.parametrize("case", RIGHT[:5])
def test_trained_texts_are_question_and_answer(e2e, case):
    for caption, frames, first, second, text in clips(e2e, case):
        question, answer = text.removesuffix("<|endoftext|>").split(" \n ")
        # The templates are not recorded: take the filled placeholders out, and fill them again.
        asked = _template(question, fill_input(CAPTION, caption, frames, first), MOTION_INPUT)
        answered = _template(answer, fill_output(CAPTION, caption, frames, second), MOTION_OUTPUT)
        for template in (asked, answered):
            assert caption not in template
            assert "<start_of_motion>" not in template
        assert (
            compose(fill_input(asked, caption, frames, first), fill_output(answered, caption, frames, second)) == text
        )


def test_the_stage_of_bare_captions_is_the_recorded_mixture(e2e):
    subtasks = load_templates("pretrain")
    for name, (caption, frames, first, second, text) in zip(("t2m", "m2t"), clips(e2e, "train_mixed")):
        question = fill_input(subtasks[name].inputs[0], caption, frames, first)
        assert compose(question, fill_output(subtasks[name].outputs[0], caption, frames, second)) == text


@pytest.mark.parametrize(
    ("case", "task"), [("infer_t2m", "t2m"), ("infer_pred", "predict"), ("infer_inbetween", "inbetween")]
)
def test_motion_prompts_of_the_official_evaluation(e2e, case, task):
    for caption, frames, coin, _, text in clips(e2e, case):
        question = fill_input(OFFICIAL_QUESTIONS["official_eval"][task], caption, frames, coin)
        assert motion_prompt(question) == text


@pytest.mark.parametrize(("case", "style"), [("m2t", "official_eval"), ("m2t_len", "official_eval_length")])
def test_caption_prompts_of_the_official_evaluation(e2e, case, style):
    for _, frames, *_, text in clips(e2e, case):
        assert text_prompt(fill_input(OFFICIAL_QUESTIONS[style]["m2t"], "", frames, 1.0)) == text


def _template(text, caption, motion):
    masked = fill_input("<Motion_Placeholder_Masked>", "", 0, 1.0)
    text = text.replace(masked, "<Motion_Placeholder_Masked>").replace(motion, "<Motion_Placeholder>")
    return text.replace(caption, CAPTION)
