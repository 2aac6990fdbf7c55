import pytest

from motiongpt3_jax.text.split_request import Step, split_request


@pytest.mark.parametrize(
    ("request_", "sentences"),
    [
        (
            "walk forward, then sit down and after that wave twice",
            ["a person walks forward", "a person sits down", "a person waves twice"],
        ),
        ("someone kicks and then bows again", ["someone kicks", "someone bows again"]),
        ("The old man walks. He jumps; they watch.", ["the old man walks", "the old man jumps", "the old man watches"]),
        ("First, carry a box\n2. Please slowly go home\n- do it", [
            "a person carries a box", "a person slowly goes home", "a person does it"
        ]),
        ("two people hug, then walk apart", ["two people hug", "two people walk apart"]),
        ("First person waves, then bows", ["first person waves", "first person bows"]),
    ],
)  # fmt: skip
def test_what_follows_each_other_is_split_and_its_subject_carried_along(request_, sentences):
    assert [step.sentence for step in split_request(request_)] == sentences


@pytest.mark.parametrize(
    "request_",
    ["a person raises the left arm and then the right arm", "a person walks 3.5 metres while waving, and turns"],
)
def test_what_may_be_one_motion_stays_one(request_):
    assert split_request(request_) == [Step(request_)]


def test_lengths_are_taken_out_of_the_sentences_and_numbers_stay():
    steps = split_request("Walk for 2.5 s, then jump three times in about two seconds. Bow. For a second.")
    assert steps == [Step("a person walks", 2.5), Step("a person jumps three times", 2.0), Step("a person bows", 1.0)]


@pytest.mark.parametrize(("request_", "said"), [(" then ", "is empty"), ("walk <end_of_motion>", "meaning of its own")])
def test_what_is_no_request_is_refused(request_, said):
    with pytest.raises(ValueError, match=said):
        split_request(request_)
