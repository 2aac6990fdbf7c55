"""The table of all actions: which parameters each has, how long it takes, and what performs it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from motiongpt3_jax.data_pipelines.procedural import gestures, locomotion
from motiongpt3_jax.data_pipelines.procedural.move import Move
from motiongpt3_jax.data_pipelines.procedural.score import Score
from motiongpt3_jax.errors import UserError

NONE = (None,)
SPEEDS = ("slowly", "normal", "quickly")
ONE = ("left", "right")
TWO = ("left", "right", "both")


@dataclass(frozen=True)
class Action:
    """One action and its choices.

    Attributes:
      perform: writes a performance into a score.
      unit: frames of one repetition at each speed; of the shortest performance, where nothing is repeated.
      directions: where it may go.
      sides: limbs that may do it.
      counts: how often it may be done.
      lead: frames that it takes beside its repetitions.
      most: frames of the longest performance, where nothing is repeated and any length will do.
      closes: whether nothing can follow, because the body does not stand afterwards.
    """

    perform: Callable[[Score, Move], None]
    unit: dict[str | None, float]
    directions: tuple[str | None, ...] = NONE
    sides: tuple[str | None, ...] = NONE
    counts: tuple[int | None, ...] = NONE
    lead: int = 0
    most: int = 0
    closes: bool = False

    def shortest(self, move: Move) -> int:
        """Frames that `move` takes at least."""
        return round(self.lead + self.unit[move.speed] * (move.count or 1) * (0.95 if move.count else 1.0))

    def longest(self, move: Move) -> int:
        """Frames that `move` takes at most; what is left of a clip is standing still."""
        return max(self.most, round(self.lead + self.unit[move.speed] * move.count * 1.1) if move.count else 0)


def _speeds(slowly: float, normal: float, quickly: float) -> dict[str | None, float]:
    return dict(zip(SPEEDS, (slowly, normal, quickly)))


ALONG = ("forward", "backward")

ACTIONS: dict[str, Action] = {
    "walk": Action(locomotion.walk, _speeds(46, 36, 30), ALONG, most=110),
    "run": Action(locomotion.run, _speeds(32, 30, 27), ALONG, most=70),
    "crouch-walk": Action(locomotion.crouch_walk, _speeds(48, 40, 34), ALONG, most=100),
    "side-step": Action(locomotion.side_step, _speeds(39, 24, 19), ONE, most=90),
    "turn": Action(locomotion.turn, _speeds(36, 28, 20), ("left", "right", "around"), most=44),
    "march": Action(locomotion.march, _speeds(34, 27, 22), most=100),
    "jump": Action(locomotion.jump, {None: 25}, tuple(locomotion.JUMP), counts=(1, 2, 3)),
    "hop": Action(locomotion.hop, {None: 11}, tuple(locomotion.HOPS), ONE, (2, 3, 4), lead=13),
    "jumping-jack": Action(locomotion.jumping_jack, {None: 21}, counts=(1, 2, 3, 4)),
    "wave": Action(gestures.wave, _speeds(42, 32, 26), sides=TWO, most=90),
    "raise": Action(gestures.raise_arms, _speeds(40, 30, 22), ("up", "sideways"), TWO, most=70),
    "kick": Action(gestures.kick, _speeds(36, 27, 20), ("forward", "sideways"), ONE, (1, 2, 3)),
    "punch": Action(gestures.punch, _speeds(19, 14, 11), sides=TWO, counts=(1, 2, 3, 4), lead=9),
    "clap": Action(gestures.clap, _speeds(19, 15, 12), counts=(2, 3, 4), lead=12),
    "squat": Action(gestures.squat, _speeds(42, 32, 23), counts=(1, 2, 3)),
    "sit": Action(gestures.sit, _speeds(42, 32, 24), most=80, closes=True),
    "bow": Action(gestures.bow, _speeds(46, 35, 26), counts=(1, 2)),
    "lunge": Action(gestures.lunge, _speeds(46, 36, 27), sides=ONE, counts=(1, 2)),
}
"""All actions by name."""


def moves(names: tuple[str, ...]) -> list[Move]:
    """Every combination of parameters that the named actions have.

    Raises:
      UserError: no or unknown names.
    """
    unknown = sorted(set(names) - set(ACTIONS))
    if unknown or not names:
        raise UserError(f"actions {unknown or '()'} are not known; choose some of {', '.join(ACTIONS)}.")
    return [
        Move(name, *values)
        for name in names
        for values in product(
            ACTIONS[name].directions, ACTIONS[name].sides, tuple(ACTIONS[name].unit), ACTIONS[name].counts
        )
    ]
