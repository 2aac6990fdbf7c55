"""Generate English sentences for interactions from templates.

A sentence names the action and, where it has them, its direction, its side and the distance; who does it to whom it
names mostly, "the first person ... the second person", and else says "one person ... the other".
"""

import numpy as np

from motiongpt3_jax.data_pipelines.procedural.captions import PACE, PACE_RATE
from motiongpt3_jax.data_pipelines.procedural_pairs.interaction import Interaction

NAMED = (
    ("the first person", "the second person"),
    ("the first one", "the second one"),
    ("person one", "person two"),
    ("the first", "the second"),
)
"""Names of the two that say which is which."""

UNNAMED = (
    ("one person", "the other"),
    ("a person", "the other person"),
    ("someone", "another person"),
    ("one", "the other one"),
    ("a man", "another man"),
)
"""Names that do not."""

NAMED_RATE = 0.7
"""How often a sentence says which is which, where one does something to the other."""

BOTH = ("two people", "the two", "both people", "the two people", "two persons", "a pair of people", "both")

HAND = {"left": "the left hand", "right": "the right hand", "both": "both hands"}
HANDS = {"left": "left hands", "right": "right hands", "both": "both hands"}
ARM = {"left": "the left arm", "right": "the right arm", "both": "both arms"}
RAISED = {
    ("up", True): ("up", "overhead", "up in the air"),
    ("sideways", True): ("out to the side", "sideways"),
    ("up", False): ("up", "overhead", "up in the air"),
    ("sideways", False): ("out to the sides", "sideways"),
}
AROUND = {
    "clockwise": ("clockwise", "in a clockwise direction"),
    "counterclockwise": ("counterclockwise", "in a counterclockwise direction"),
}

TOGETHER: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("shake-hands", None): (
        "{both} shake {hands}",
        "{both} give each other {hand} and shake",
        "{both} greet each other by shaking {hands}",
        "{both} face each other and shake {hands}",
        "{both} do a handshake with their {hands}",
    ),
    ("high-five", None): (
        "{both} high five with {hand}",
        "{both} give each other a high five with {hand}",
        "{both} do a high five with {hand}",
        "{both} raise {hand} for a high five",
        "{both} slap {hands} together in a high five",
    ),
    ("walk", "toward"): (
        "{both} walk toward each other",
        "{both} walk up to each other",
        "{both} approach each other",
        "{both} come closer to each other",
        "{both} walk towards one another",
    ),
    ("walk", "apart"): (
        "{both} walk away from each other",
        "{both} walk apart",
        "{both} move away from each other",
        "{both} leave each other and walk away",
        "{both} part and walk away",
    ),
    ("pass-by", None): (
        "{both} walk past each other on the {side}",
        "{both} pass each other on the {side} side",
        "{both} pass by each other on the {side}",
        "{both} walk by each other, {side} shoulder to {side} shoulder",
        "{both} pass one another on their {side}",
    ),
    ("bow", None): (
        "{both} bow to each other",
        "{both} take a bow in front of each other",
        "{both} greet each other with a bow",
        "{both} bow politely to one another",
        "{both} make a bow to each other",
    ),
}
"""Sentences in which both do the same."""

ALONE: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("walk", "toward"): (
        "{A} walks toward {B}",
        "{A} walks up to {B}",
        "{A} approaches {B}",
        "{A} comes closer to {B}",
        "{B} is approached by {A}",
    ),
    ("walk", "apart"): (
        "{A} walks away from {B}",
        "{A} moves away from {B}",
        "{A} leaves {B} and walks away",
        "{A} turns away from {B} and walks away",
        "{B} is left behind by {A}, walking away",
    ),
    ("push", None): (
        "{A} pushes {B} with {hand}",
        "{A} shoves {B} back with {hand}",
        "{A} gives {B} a push with {hand}",
        "{B} is pushed by {A} with {hand}",
        "{A} pushes {B} away with {hand}",
    ),
    ("follow", "close"): (
        "{A} follows {B} closely",
        "{A} walks close behind {B}",
        "{A} follows close behind {B}",
        "{B} is followed closely by {A}",
        "{A} closely follows {B}",
    ),
    ("follow", "far"): (
        "{A} follows {B} at a distance",
        "{A} walks far behind {B}",
        "{A} follows far behind {B}",
        "{B} is followed from a distance by {A}",
        "{A} follows {B} from afar",
    ),
    ("mirror", None): (
        "{A} raises {arm} {way} and {B} mirrors it",
        "{A} lifts {arm} {way} and {B} imitates it",
        "{A} raises {arm} {way}, and {B} does the same like a mirror",
        "{A} stretches {arm} {way} and is copied by {B}",
        "{A} is mirrored by {B} while raising {arm} {way}",
    ),
    ("circle", None): (
        "{A} walks around {B} {way}",
        "{A} circles {B} {way}",
        "{A} walks in a circle around {B} {way}",
        "{A} goes around {B} {way}",
        "{B} is circled by {A} {way}",
    ),
    ("hand-over", None): (
        "{A} hands something to {B} with {hand}",
        "{A} gives {B} something with {hand}",
        "{A} passes an object to {B} with {hand}",
        "{A} hands {B} something with {hand}",
        "{B} is given something by {A} with {hand}",
    ),
    ("bow", None): (
        "{A} bows to {B}",
        "{A} takes a bow in front of {B}",
        "{A} greets {B} with a bow",
        "{A} bows politely to {B}",
        "{B} is greeted by {A} with a bow",
    ),
}
"""Sentences in which one does something to the other."""


def sentence(do: Interaction, rng: np.random.Generator) -> str:
    """One sentence."""
    if do.who == "both":
        names = {"both": _choose(BOTH, rng)}
        phrases = TOGETHER[do.action, do.direction]
    else:
        pair = _choose(NAMED if rng.random() < NAMED_RATE else UNNAMED, rng)
        if pair in NAMED and do.who == "second":
            pair = pair[::-1]
        names = {"A": pair[0], "B": pair[1]}
        key = do.distance if do.action == "follow" else do.direction
        phrases = ALONE.get((do.action, key)) or ALONE[do.action, None]
    text = _choose(phrases, rng).format(**names, **_words(do, rng))
    if do.speed and rng.random() < PACE_RATE[do.speed]:
        text = f"{text} {_choose(PACE[do.speed], rng)}"
    return text


def _words(do: Interaction, rng: np.random.Generator) -> dict[str, str]:
    words = {"side": do.side or ""}
    if do.side:
        words |= {"hand": HAND[do.side], "hands": HANDS[do.side], "arm": ARM[do.side]}
    if do.action == "mirror":
        words["way"] = _choose(RAISED[do.direction, do.side != "both"], rng)
    if do.action == "circle":
        words["way"] = _choose(AROUND[do.direction], rng)
    return words


def _choose(choices: tuple, rng: np.random.Generator):
    return choices[int(rng.random() * len(choices))]
