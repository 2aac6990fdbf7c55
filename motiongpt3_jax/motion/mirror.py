"""Mirror motions and their captions: left and right exchanged."""

import re

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

# "all right" and "right angle" have no side. The endings are those of words that do: leftward, rightmost, lefts ...
_SIDE = re.compile(
    r"(?<!\ball )\b(left|right)(?=(?:wards?|most|s|(?:hand|foot|arm|leg|side)(?:s|ed)?)?\b)(?! angles?\b)",
    re.IGNORECASE,
)
_SPIN = re.compile(r"\b(?:(counter|anti)[- ]?)?(clock[- ]?wise)\b", re.IGNORECASE)


def mirror(
    joints: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "*batch joints 3"]:
    """Mirror a motion: x is negated, and left and right joints take each other's places."""
    joints = np.asarray(joints)
    return joints[..., skeleton.mirrored, :] * np.array([-1, 1, 1], joints.dtype)


def mirror_caption(text: str) -> str:
    """Mirror a caption: left and right, clockwise and counterclockwise exchange.

    Capitals stay as they are. Mirroring twice gives the caption back, except that all words for counterclockwise
    (anticlockwise, counter-clockwise ...) come back as that one.
    """
    return _SPIN.sub(_other_spin, _SIDE.sub(_other_side, text))


def _other_side(match: re.Match[str]) -> str:
    word = match.group(1)
    return _match_case("right" if word.lower() == "left" else "left", word)


def _other_spin(match: re.Match[str]) -> str:
    counter, clockwise = match.groups()
    return _match_case(clockwise.lower() if counter else "counter" + clockwise.lower(), match.group())


def _match_case(word: str, model: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
