import pytest

from motiongpt3_jax.commands.results import bend_note
from motiongpt3_jax.inference.continuation import Bend
from motiongpt3_jax.motion.seams import Correction


@pytest.mark.parametrize(
    ("place", "stretch", "acceleration", "said"),
    [
        (0.0, 0.0, 0.02, "bent 1.0 cm on average, 20 cm at most"),
        (1.5, 0.0, 0.02, "carried 150 cm and turned 90 degrees, bent 1.0 cm on average, 20 cm at most"),
        (0.0, 0.04, 0.02, "at most, a limb whirls at the seam, where its bones give way by 4 cm"),
        (0.0, 0.04, 0.05, "at most, too few frames for the way between: ask for more with --seconds"),
    ],
)
def test_what_it_took_to_meet_the_given_frames_is_said(place, stretch, acceleration, said):
    bend = Bend(place, 1.5708, Correction(0.01, 0.2, stretch, acceleration, 0.02))
    assert bend_note(bend).endswith(said)
