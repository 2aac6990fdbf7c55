import json

import numpy as np
import pytest

from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.planner import Planner
from motiongpt3_jax.inference.sequences import stitch
from motiongpt3_jax.motion import HUMANML3D, Motion
from motiongpt3_jax.motion.ground_pose import ground_poses
from tests.commands.conftest import call
from tests.motion.samples import dance

FAST = {"steps": 2}
ONE_WORD = {"max_new": 2}

pytestmark = pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")


@pytest.fixture(scope="module")
def trained_model(trained):
    return Model.load(trained)


class Script:
    """A chat model that says what it was given, and remembers what it was told."""

    def __init__(self, *answers):
        self.answers, self.told = list(answers), []

    def __call__(self, messages):
        self.told.append(messages)
        return json.dumps(self.answers.pop(0))


def test_stitched_motions_go_on_where_the_one_before_ends():
    parts = [dance(frames=30), dance(frames=20)[:, :, [0, 1, 2]] + [3.0, 0.0, 1.0]]
    joints, stops = stitch(parts, 20.0, HUMANML3D)
    assert stops == [30, 50]
    np.testing.assert_array_equal(joints[:30], parts[0])
    before, after = ground_poses(joints[29]), ground_poses(joints[30])
    assert np.linalg.norm(after.place - before.place) < 0.05
    assert abs(float(after.yaw - before.yaw)) < 0.2


def test_rules_split_a_request_into_one_motion_of_several_steps(trained_model):
    reply = Planner(trained_model).say("walk for 1 second, then jump for 2 seconds", seed=3, **FAST)
    assert reply.steps == ("a person walks", "a person jumps")
    (motion,) = reply.motions
    assert motion.frames == 60
    alone = trained_model.generate("a person walks", seconds=1.0, seed=3, **FAST)
    np.testing.assert_allclose(motion.joints[:, :20], alone.joints, atol=1e-4)


def test_a_chat_model_plans_is_shown_captions_and_may_plan_anew(trained_model):
    script = Script(
        {"steps": ["a person walks", {"motion": "a person sits", "seconds": 1}]},
        {"steps": [{"motion": "a person runs", "seconds": 1.5}]},
        {"answer": "There."},
    )
    planner = Planner(trained_model, script)
    reply = planner.say("go and rest", seconds=1.0, decoding=ONE_WORD, **FAST)
    assert (reply.text, reply.steps, reply.motions[0].frames) == ("There.", ("a person runs",), 30)
    system, request, _, captions, *_ = script.told[1]
    assert (system["role"], request["content"]) == ("system", "go and rest")
    assert [line[:12] for line in captions["content"].splitlines()[1:]] == ["0.0 to 1.0 s", "1.0 to 2.0 s"]
    script.answers = [{"answer": "A person."}]
    assert planner.say("Who was it?").text == "A person."
    assert len(script.told[-1]) == 8


def test_a_chat_model_that_is_never_content_is_stopped(trained_model):
    script = Script(*[{"steps": [{"motion": "a person walks", "seconds": 1}]}] * 3)
    reply = Planner(trained_model, script, revisions=1).say("walk", decoding=ONE_WORD, **FAST)
    assert (len(reply.motions), reply.text, script.answers) == (1, "", [])


def test_a_given_motion_is_told_by_its_caption(trained_model):
    script = Script({"answer": "A walk."})
    walk = Motion(dance(frames=30, people=(1,)))
    assert Planner(trained_model, script).say("What is <motion>?", walk, decoding=ONE_WORD).text == "A walk."
    assert script.told[0][-1]["content"].startswith("What is (a motion: ")
    with pytest.raises(ValueError, match="rules split requests alone"):
        Planner(trained_model).say("What is <motion>?", walk)


def test_a_planner_in_the_shell(trained, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def answer(messages):\n    return '{\"answer\": \"I heard ' + messages[-1]['content'] + '\"}'\n"
    )
    how = ("--steps", "2", "--format", "none", "--seconds", "1", "--out", tmp_path / "chat")
    status, out, error = call("chat", "--model", trained, "--planner", "rules", "walk, then jump", *how)
    assert (status, out) == (0, "[motion_000: 2.0 s: a person walks; a person jumps]\n"), error
    manifest = json.loads((tmp_path / "chat" / "manifest.json").read_text())
    assert manifest["motions"][0]["steps"] == ["a person walks", "a person jumps"]
    mine = f"{tmp_path / 'mine.py'}:answer"
    status, out, error = call("chat", "--model", trained, "--planner", mine, "hello", *how)
    assert (status, out) == (0, "I heard hello\n"), error


@pytest.mark.parametrize(
    ("planner", "said"),
    [("gpt", "FILE.py:FUNCTION or MODULE:FUNCTION"), ("none.py:f", "does not exist"), ("json:f", "no function 'f'")],
)
def test_a_planner_that_is_none_is_said(planner, said):
    status, _, error = call("chat", "--model", "none", "--planner", planner, "walk")
    assert status != 0
    assert said in error
