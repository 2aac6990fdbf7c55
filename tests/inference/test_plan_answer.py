import pytest

from motiongpt3_jax.inference.plan_answer import Plan, read_plan
from motiongpt3_jax.text.split_request import Step


@pytest.mark.parametrize(
    "answer",
    [
        '{"steps": [{"motion": "a person\'s arm rises", "seconds": 2}, {"motion": "he sits", "seconds": null}]}',
        'Sure {:-)\n```json\n{"steps": [{"motion": "a person\'s arm rises", "seconds": 2.0}, "he sits"]}\n``` {"x": 1}',
    ],
)
def test_a_plan_is_found_among_words_and_fences(answer):
    assert read_plan(answer) == Plan((Step("a person's arm rises", 2.0), Step("he sits")))


def test_an_answer_in_words_has_no_steps():
    assert read_plan('{"answer": "It is a walk; done."}') == Plan(answer="It is a walk; done.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1. MotionLLM.generate('walk'); " * 9, r"holds no JSON object .*\.\.\.'$"),
        ('{"steps": "walk"}', "no list of up to 20"),
        ('{"steps": [' + ", ".join(['"walk"'] * 21) + "]}", "no list of up to 20"),
        ('{"steps": [{"seconds": 3}]}', 'step 1 has no "motion"'),
        ('{"steps": ["walk", {"motion": "sit", "seconds": "2"}]}', '"seconds" of step 2'),
        ('{"steps": [{"motion": "sit", "seconds": Infinity}]}', '"seconds" of step 1'),
        ('{"steps": ["walk </s>"]}', "step 1 holds </s>"),
        ('{"answer": 3}', '"answer" is no text'),
        ("[" * 100_000 + "{" * 100_000, "holds no JSON object"),
        (None, "answers with a NoneType"),
    ],
)
def test_what_is_no_plan_is_said_in_one_sentence(answer, said):
    with pytest.raises(ValueError, match=said) as caught:
        read_plan(answer)
    assert len(str(caught.value)) < 400
