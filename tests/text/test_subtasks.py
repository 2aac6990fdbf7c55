"""Tasks and templates: pieces of clips, the sets that come with the package, and files from elsewhere."""

import json
import re
from pathlib import Path

import pytest

from motiongpt3_jax.text import TASKS, TEMPLATES, Subtask, load_templates

MOTIONS = ("t2m_caption", "t2m_framelen", "t2m_seclen", "t2m_random", "m2t_caption", "m2t_framelen", "m2t_seclen")
INSTRUCTIONS = (*MOTIONS, "pred", "inbetween")
LENGTHS = ("l2m_framelen", "l2m_seclen", "m2l_count_frame", "m2l_count_sec")
TEXTS = ("caption_to_framelen", "caption_to_seclen", "framelen_to_caption", "seclen_to_caption", "random_caption")
NEEDED = {"caption": "<Caption_", "framelen": "<Frame_", "seclen": "<Second_"}


def entry(**changes):
    return {"class": "t2m", "input": ["Show <Caption_Placeholder>"], "output": ["<Motion_Placeholder>"]} | changes


def written(folder: Path, groups) -> Path:
    path = folder / "templates.json"
    path.write_text(groups if isinstance(groups, str) else json.dumps(groups), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("task", "inputs", "ranges"),
    [
        ("t2m", 0, [(0, 99)]),
        ("n2m", 0, [(0, 99)]),
        ("l2m", 0, [(0, 99)]),
        ("m2t", 1, [(0, 99)]),
        ("m2l", 1, [(0, 99)]),
        ("predict", 1, [(0, 19), (19, 99)]),
        ("inbetween", 2, [(0, 24), (74, 99), (0, 99)]),
        ("t2t", 0, []),
        ("n2t", 0, []),
        ("text", 0, []),
    ],
)
def test_pieces_of_a_clip(task, inputs, ranges):
    assert (len(TASKS[task].input_spans), TASKS[task].ranges(99)) == (inputs, ranges)


@pytest.mark.parametrize(
    ("name", "subtasks"),
    [
        ("text", ["text"]),
        ("t2m_pretrain", ["t2m"]),
        ("m2t_pretrain", ["m2t"]),
        ("pretrain", ["t2m", "m2t", "pred"]),
        ("instructions", [*INSTRUCTIONS]),
        ("witht2t_instructions", [*INSTRUCTIONS, *(f"t2t_{name}" for name in TEXTS)]),
        ("all_instructions", [*INSTRUCTIONS, *LENGTHS, *(f"t2t_{name}" for name in TEXTS)]),
    ],
)
def test_sub_tasks_of_each_set(name, subtasks):
    assert [*load_templates(name)] == subtasks
    assert all(name == subtask.name for name, subtask in load_templates(name).items())


@pytest.mark.parametrize("subtask", load_templates("all_instructions").values(), ids=lambda subtask: subtask.name)
def test_instructions_are_many_and_tell_what_the_answer_needs(subtask):
    many = 2 if subtask.task in ("predict", "inbetween") else 30
    assert len(set(subtask.inputs)) == len(subtask.inputs) >= many
    assert all(text == text.strip() for text in (*subtask.inputs, *subtask.outputs))
    known = re.sub("^(t2m|l2m|t2t)_", "", subtask.name).split("_to_")[0]
    for text in subtask.inputs if known in NEEDED else ():
        assert NEEDED[known] in text
    if subtask.task not in ("t2m", "t2t"):
        assert not any("<Caption_" in text for text in subtask.inputs)
    for text in subtask.inputs:
        assert len(re.findall("<Motion_", text)) == min(len(TASKS[subtask.task].input_spans), 1)


@pytest.mark.parametrize(
    ("name", "placeholder", "many"),
    [
        ("t2t_caption_to_framelen", "<Frame_", 30),
        ("t2t_caption_to_seclen", "<Second_", 30),
        ("m2l_count_frame", "<Frame_", 15),
        ("m2l_count_sec", "<Second_", 15),
    ],
)
def test_lengths_are_answered_in_many_ways(name, placeholder, many):
    outputs = load_templates("all_instructions")[name].outputs
    assert len(set(outputs)) == len(outputs) >= many
    assert all(placeholder in text for text in outputs)


def test_keys_of_several_groups_are_told_apart_by_their_group(tmp_path):
    back = entry(**{"class": "m2t", "input": ["<Motion_Placeholder>"], "output": ["<Caption_Placeholder>"]})
    predict = entry(**{"class": "predict", "input": ["<Motion_Placeholder_s1>"]})
    groups = {
        "Text-to-Motion": {"caption": entry(), "caption_framelen": entry()},
        "Motion-to-Text": {"caption": back},
        "Motion-to-Motion": {"motion_prediction": predict},
        "My own": {"caption-twice": entry()},
    }
    names = ["t2m_caption", "t2m_framelen", "m2t_caption", "pred", "caption_twice"]
    assert [*load_templates(written(tmp_path, groups))] == names


def test_a_file_gives_its_templates(tmp_path):
    found = load_templates(str(written(tmp_path, {"Text-to-Motion": {"t2m": entry()}})))
    assert found == {"t2m": Subtask("t2m", "t2m", ("Show <Caption_Placeholder>",), ("<Motion_Placeholder>",))}


def test_a_missing_file_is_named_with_the_sets_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no templates .*nowhere.json.*one of {', '.join(TEMPLATES)}"):
        load_templates(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{", "is not JSON: .* in line 1"),
        ([], "must hold groups of sub-tasks"),
        ({}, "holds no sub-task"),
        ({"G": {"k": {"class": "t2m"}}}, 'must have "class", "input" and "output"'),
        ({"G": {"k": entry(**{"class": "t2x"})}}, "'G' / 'k' has the class 't2x'; there are t2m"),
        ({"G": {"k": entry(input=[])}}, "its 'input' must be a list of one or more texts"),
        ({"G": {"k": entry(input=["<Motion_Placeholder>"])}}, "is given 0 motions"),
        ({"G": {"k": entry(output=["no motion"])}}, "answers with 1 motions, unlike 'no motion'"),
        ({"G": {"k": entry(input=["<Captoin_Placeholder>"])}}, "unknown placeholder <Captoin_Placeholder>"),
        ({"G": {"a-b": entry(), "a_b": entry()}}, "there are two sub-tasks called 'a_b'"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, groups, message):
    with pytest.raises(ValueError, match=message):
        load_templates(written(tmp_path, groups))
