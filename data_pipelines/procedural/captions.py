"""Generate English sentences for moves from templates.

A sentence always names the action and, where the action has them, its direction and its limb; the speed and the count
it names sometimes.
"""

from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.data_pipelines.procedural.move import Move


@dataclass(frozen=True)
class Subject:
    """Subject of a sentence and its possessive pronoun."""

    name: str
    their: str = "their"


SUBJECTS = (
    Subject("a person"),
    Subject("someone"),
    Subject("the person"),
    Subject("a figure"),
    Subject("a human"),
    Subject("a man", "his"),
    Subject("the man", "his"),
    Subject("a woman", "her"),
    Subject("the woman", "her"),
)

ALONG = {"forward": ("forward", "forwards", "straight ahead"), "backward": ("backward", "backwards")}
ASIDE = {side: (f"to the {side}", f"to {{their}} {side}", f"towards the {side}") for side in ("left", "right")}
LIMB = {side: (f"the {side}", f"{{their}} {side}") for side in ("left", "right")}

PHRASES: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("walk", None): ("walks {way}", "is walking {way}", "strolls {way}", "takes some steps {way}", "paces {way}"),
    ("run", None): ("runs {way}", "is running {way}", "jogs {way}", "goes for a run {way}"),
    ("crouch-walk", None): (
        "walks {way} in a crouch",
        "sneaks {way} with bent knees",
        "is crouching while walking {way}",
        "creeps {way} in a crouch",
        "crouches low and walks {way}",
    ),
    ("side-step", None): (
        "side steps {way}",
        "sidesteps {way}",
        "steps sideways {way}",
        "shuffles sideways {way}",
        "moves sideways {way} step by step",
    ),
    ("turn", None): ("turns {way}", "rotates {way}", "is turning {way}", "makes a turn {way}", "pivots {way}"),
    ("turn", "around"): (
        "turns around",
        "turns around on the spot",
        "turns around to face the other way",
        "is turning around",
        "makes a half turn around",
        "rotates around to face the other way",
    ),
    ("march", None): (
        "marches in place",
        "marches on the spot",
        "is marching in place",
        "marches in place with high knees",
        "lifts {their} knees high while marching on the spot",
    ),
    ("jump", None): (
        "jumps {way}",
        "leaps {way}",
        "is jumping {way}",
        "does a jump {way}",
        "jumps {way} with both feet",
    ),
    ("jump", "up"): ("jumps up", "jumps in place", "jumps straight up", "leaps up into the air", "is jumping up"),
    ("hop", None): (
        "hops on {limb} foot",
        "hops on {limb} leg",
        "is hopping on {limb} foot",
        "hops in place on {limb} foot",
        "hops up and down on {limb} leg",
    ),
    ("hop", "forward"): (
        "hops forward on {limb} foot",
        "hops forward on {limb} leg",
        "is hopping forward on {limb} foot",
        "hops ahead on {limb} leg",
    ),
    ("jumping-jack", None): (
        "does a jumping jack",
        "performs a jumping jack",
        "is doing a jumping jack",
        "does a star jump",
        "exercises with a jumping jack",
    ),
    ("wave", None): (
        "waves with {limb} hand",
        "waves {limb} hand",
        "is waving with {limb} arm",
        "waves hello with {limb} hand",
        "greets by waving {limb} hand",
    ),
    ("raise", "up"): (
        "raises {limb} arm up",
        "raises {limb} arm overhead",
        "lifts {limb} arm above {their} head",
        "puts {limb} hand up in the air",
        "stretches {limb} arm up over {their} head",
    ),
    ("raise", "sideways"): (
        "raises {limb} arm sideways",
        "raises {limb} arm out to the side",
        "lifts {limb} arm to the side",
        "stretches {limb} arm out to the side",
        "extends {limb} arm sideways",
    ),
    ("kick", "forward"): (
        "kicks forward with {limb} leg",
        "kicks {limb} leg forward",
        "does a front kick with {limb} foot",
        "swings {limb} leg forward in a kick",
        "is kicking forward with {limb} foot",
    ),
    ("kick", "sideways"): (
        "kicks sideways with {limb} leg",
        "kicks {limb} leg out to the side",
        "does a side kick with {limb} foot",
        "swings {limb} leg to the side in a kick",
        "is kicking sideways with {limb} foot",
    ),
    ("punch", None): (
        "punches with {limb} hand",
        "throws a punch with {limb} fist",
        "punches forward with {limb} arm",
        "is punching with {limb} fist",
        "boxes with {limb} hand",
    ),
    ("clap", None): (
        "claps",
        "claps {their} hands",
        "claps both hands together",
        "is clapping",
        "is clapping {their} hands",
        "applauds",
    ),
    ("squat", None): (
        "squats",
        "does a squat",
        "squats down and stands up again",
        "performs a squat",
        "is squatting",
        "bends {their} knees into a deep squat",
    ),
    ("sit", None): (
        "sits down",
        "takes a seat",
        "sits down on a chair",
        "is sitting down",
        "lowers into a seat",
    ),
    ("bow", None): (
        "bows",
        "takes a bow",
        "bends forward in a bow",
        "bows from the waist",
        "bows politely",
        "is bowing",
        "makes a deep bow",
    ),
    ("lunge", None): (
        "lunges with {limb} leg",
        "does a lunge with {limb} leg",
        "steps into a lunge with {limb} foot",
        "performs a lunge on {limb} leg",
        "is lunging with {limb} leg",
    ),
}
"""Phrases of an action and direction (None: of any)."""

PACE = {
    "slowly": ("slowly", "at a slow pace", "unhurriedly"),
    "normal": ("at a normal pace", "steadily"),
    "quickly": ("quickly", "fast", "at a fast pace", "rapidly"),
}
TIMES = {1: ("once",), 2: ("twice", "two times"), 3: ("three times",), 4: ("four times",)}

PACE_RATE = {"slowly": 0.55, "normal": 0.2, "quickly": 0.55}
"""How often a speed is named."""

COUNT_RATE = 0.6
"""How often a count is named."""

LINKS = (
    "{who} {first}, then {second}",
    "{who} {first} and then {second}",
    "{who} {first}, and after that {second}",
    "{who} {first}, and afterwards {second}",
    "{who} {first} and afterwards {second}",
)


def sentence(moves: list[Move], rng: np.random.Generator) -> str:
    """One sentence for one move, or for two in a row."""
    who = _choose(SUBJECTS, rng)
    phrases = [_phrase(move, rng) for move in moves]
    if len(phrases) == 1:
        text = f"{who.name} {phrases[0]}"
    else:
        text = _choose(LINKS, rng).replace("{who}", who.name).replace("{first}", phrases[0])
        text = text.replace("{second}", phrases[1])
    return text.replace("{their}", who.their)


def _phrase(move: Move, rng: np.random.Generator) -> str:
    phrases = PHRASES.get((move.action, move.direction)) or PHRASES[move.action, None]
    text = _choose(phrases, rng)
    if move.side:
        # "both" asks for the plural of the one word that follows it.
        text = _both(text) if move.side == "both" else text.replace("{limb}", _choose(LIMB[move.side], rng))
    if "{way}" in text:
        ways = ALONG.get(move.direction) or ASIDE[move.direction]
        text = text.replace("{way}", _choose(ways, rng))
    if move.speed and rng.random() < PACE_RATE[move.speed]:
        pace = _choose(PACE[move.speed], rng)
        before = pace.endswith("ly") and not text.startswith("is ") and rng.random() < 0.4
        text = f"{pace} {text}" if before else f"{text} {pace}"
    if move.count and rng.random() < COUNT_RATE:
        text = f"{text} {_choose(TIMES[move.count], rng)}"
    return text


def _both(text: str) -> str:
    words = text.replace("{limb}", "both").split(" ")
    words[words.index("both") + 1] += "s"
    return " ".join(words).replace("to the side", "to the sides")


def _choose(choices: tuple, rng: np.random.Generator):
    return choices[int(rng.random() * len(choices))]
