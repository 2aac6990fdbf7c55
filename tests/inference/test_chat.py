import numpy as np
import pytest

from motiongpt3_jax.inference.chat import Chat, Reply, last_motion, named_motions
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion, save_motion
from motiongpt3_jax.systems.motiongpt3.prompts import MOTION_INPUT, MOTION_OUTPUT
from tests.inference.test_model import scripted
from tests.motion.samples import dance

FAST = {"steps": 2}


@pytest.fixture(scope="module")
def trained_model(trained):
    return Model.load(trained)


def chat_with(model, *script, memory=0):
    return Chat(Model(scripted(model, *script), model.prompts), memory)


@pytest.fixture
def walk():
    return Motion(dance(frames=30, people=(1,)))


def test_a_reply_of_words_alone(trained_model):
    chat = chat_with(trained_model, " a person\nwalks")
    assert chat.say("What is walking?") == Reply("a person walks")
    assert chat.model.engine.compiled["asked"] == [["What is walking? \n"]]


def test_a_reply_of_words_and_motion(trained_model):
    chat = chat_with(trained_model, " Here:<start_of_motion>", " done")
    reply = chat.say("Show a walk", seconds=1.5, **FAST)
    assert reply.text == "Here: done"
    assert [motion.frames for motion in reply.motions] == [30]
    assert chat.model.engine.compiled["asked"][1] == [f"Show a walk \n Here:{MOTION_OUTPUT}"]


def test_a_model_that_never_stops_moving_is_stopped(trained_model):
    chat = chat_with(trained_model, *[" <start_of_motion>"] * 3, " enough")
    reply = chat.say("Dance", seconds=1.0, **FAST)
    assert len(reply.motions) == 3
    assert len({motion.joints.tobytes() for motion in reply.motions}) == 3


def test_motions_enter_where_they_stand_or_behind(trained_model, walk):
    chat = chat_with(trained_model, " one", " two")
    chat.say("Is <motion> like <motion>?", [walk, walk])
    chat.say("Describe this:", [walk])
    asked = chat.model.engine.compiled["asked"]
    assert asked[0] == [f"Is {MOTION_INPUT} like {MOTION_INPUT}? \n"]
    assert asked[1] == [f"Describe this: {MOTION_INPUT} \n"]


def test_memory_shows_earlier_turns_with_their_motions(trained_model):
    chat = chat_with(trained_model, " <start_of_motion>", "", " a walk", memory=1)
    chat.say("Walk", seconds=1.0, **FAST)
    chat.say("What was it?")
    shown = chat.model.engine.compiled["asked"][-1][0]
    assert shown == f"Walk \n {MOTION_INPUT}<|endoftext|>What was it? \n"


def test_of_an_answer_that_is_longer_than_what_is_read_later_turns_see_the_end(trained_model):
    chat = chat_with(trained_model, " <start_of_motion>", "", " a walk", memory=1)
    longest = trained_model.engine.longest_read
    reply = chat.say("Walk", seconds=trained_model.engine.frames[1] / trained_model.fps, **FAST)
    assert reply.motions[0].frames == trained_model.engine.frames[1] > longest + 1
    assert chat.say("What was it?").text == "a walk"
    assert [len(clip) for clip in chat.turns[0][2]] == [longest]


def test_the_real_model_answers(trained_model, walk):
    reply = Chat(trained_model).say("What is this?", [walk], seconds=1.0, decoding={"max_new": 4}, **FAST)
    assert isinstance(reply.text, str)
    assert all(np.isfinite(motion.joints).all() for motion in reply.motions)


def test_named_motions_are_taken_out_of_an_instruction():
    assert named_motions("Is <motion:a.npy> like <motion:last>?") == ("Is <motion> like <motion>?", ["a.npy", "last"])


def test_the_newest_motion_is_found(walk):
    assert last_motion([Reply("", (walk,)), Reply("only words")]) is walk
    with pytest.raises(ValueError, match="no motion in this conversation"):
        last_motion([Reply("only words")])


@pytest.mark.parametrize(
    ("instruction", "motions", "said"),
    [
        (" ", 0, "the instruction is empty"),
        ("<motion> and <motion>", 1, "places for a motion in the instruction: 2, motions that were given: 1"),
        ("show <end_of_motion>", 0, "has a meaning of its own"),
    ],
)
def test_what_cannot_be_understood_is_said(trained_model, walk, instruction, motions, said):
    with pytest.raises(ValueError, match=said):
        Chat(trained_model).say(instruction, [walk] * motions)


@pytest.mark.parametrize(
    ("frames", "fps", "said"),
    [
        (2, 30, "has 2 frames at 30 a second, which is 1 at the model's 20; at least 2 are needed"),
        (4, 90, "has 4 frames at 90 a second, which is 1 at the model's 20"),
        (1, 20, "has a single frame; at least 2"),
        (5, 5000, "has 5 frames at 5000 a second, which is 1"),
    ],
)
def test_files_of_too_few_frames_are_named(trained_model, tmp_path, frames, fps, said):
    save_motion(tmp_path / "few.npz", Motion(dance(frames=frames)[None], fps))
    for ask in (trained_model.caption, lambda path: Chat(trained_model).say("What is this?", path)):
        with pytest.raises(ValueError, match=rf"few.npz' {said}"):
            ask(tmp_path / "few.npz")
