"""Input sanitation of sentences: special tokens, placeholders and control characters are refused."""

import re
import unicodedata

from motiongpt3_jax.text.subtasks import PLACEHOLDER

TOKEN = re.compile(r"<\|[^<>|]*\|>|</?\w*_\w*>|</?s>|<(pad|unk|bos|eos)>")
"""How tokens look that systems and tokenizers add: `<|endoftext|>`, `<start_of_motion>`, `</s>`."""

_UNPRINTED = {"Cc": "the control character", "Cs": "the half character", "Co": "the private character"}
"""Categories of Unicode that are no text, but for tabs and line breaks."""


def odd_text(sentence: str) -> str:
    """What a sentence holds that is no text: a special token, a template's placeholder, a control character; or ''."""
    placeholder = PLACEHOLDER.search(sentence)
    if placeholder:
        return f"{placeholder[0]:.60}, which stands for something else in templates"
    token = TOKEN.search(sentence)
    if token:
        return f"{token[0]:.60}, which has a meaning of its own"
    for character in sentence:
        kind = _UNPRINTED.get(unicodedata.category(character))
        if kind and character not in "\t\n\r":
            return f"{kind} U+{ord(character):04X}, which is no text"
    return ""
