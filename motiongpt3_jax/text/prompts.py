"""Prompt templates: filling in placeholders, and validation of sentences."""

from collections.abc import Mapping

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.text.odd_text import odd_text
from motiongpt3_jax.text.subtasks import PLACEHOLDER
from motiongpt3_jax.text.tokenizer import require_unicode


def fill(
    template: str, caption: str, frames: int, coin: float, motions: Mapping[str, str] | None = None, fps: float = 20.0
) -> str:
    """A template with its placeholders filled in, all at once: what a caption says is never taken for a placeholder.

    Args:
      template: text with placeholders.
      caption: the clip's sentence.
      frames: the clip's length; whole seconds are told as "2.0".
      coin: below 0.5 the caption is put in double quotes, unless it has one already.
      motions: what stands for a motion, by its placeholder; those that are not named stay.
      fps: frames in a second.
    """
    fillings = {
        # The official instructions of MotionGPT mean the frames by that, and leave it as it is.
        "<Framelen_Placeholder>": str(frames),
        **(motions or {}),
        "<Caption_Placeholder>": f'"{caption}"' if coin < 0.5 and '"' not in caption else caption,
        "<Frame_Placeholder>": str(frames),
        "<Second_Placeholder>": f"{frames // fps:.1f}",
    }
    return PLACEHOLDER.sub(lambda match: fillings.get(match[0], match[0]), template)


def check_words(sentence: str) -> None:
    """Raises UserError when a sentence holds a special token, or what is no text."""
    require_unicode(sentence)
    odd = odd_text(sentence)
    if odd:
        raise UserError(f"the sentence {sentence!r:.200} holds {odd}; leave it out")
