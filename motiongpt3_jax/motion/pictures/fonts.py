"""Font fallback for titles: a system font that has the letters, where Pillow's own lacks them."""

import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

from motiongpt3_jax.motion.notes import note

PLACES = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("${WINDIR}/Fonts", "${LOCALAPPDATA}/Microsoft/Windows/Fonts"),
}
"""Folders of fonts, by `sys.platform`."""

ENDINGS = (".ttf", ".otf", ".ttc", ".otc")
"""Endings of font files."""

WIDE = (
    "notosanscjk",
    "notosans-regular",
    "notosans",
    "dejavusans.ttf",
    "arial unicode",
    "pingfang",
    "msyh",
    "arial.ttf",
)
"""Beginnings of names of plain fonts with many letters, the best first; others come after them."""

STYLES = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black")
"""Parts of names of fonts that come last."""

NOWHERE = "\U0010fffe"
"""A code point that stands for no letter: every font shows its box for it."""

MOST_SHOWN = 12
"""Letters that a note lists."""

REMEDY = "install one, such as Noto Sans CJK for Chinese, Japanese and Korean, or Symbola for emoji"


@dataclass(frozen=True)
class Face:
    """A font of one size, with others for the letters that it lacks.

    Attributes:
      size: in pixels.
      fonts: the font, and then those that stand in for it.
      places: which of the fonts has a letter, where it is not the first.
    """

    size: float
    fonts: tuple[ImageFont.FreeTypeFont, ...]
    places: Mapping[str, int] = field(default_factory=dict)

    def getlength(self, text: str) -> float:
        """Pixels from the beginning of a text to its end."""
        return sum(self.fonts[place].getlength(run) for place, run in self._runs(text))

    def write(self, draw: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: tuple[int, int, int]) -> None:
        """A row of text, centred at x, with its top at y."""
        left, base = x - self.getlength(text) / 2, y + self.fonts[0].getmetrics()[0]
        for place, run in self._runs(text):
            draw.text((left, base), run, fill=colour, font=self.fonts[place], anchor="ls")
            left += self.fonts[place].getlength(run)

    def _runs(self, text: str) -> list[tuple[int, str]]:
        return [(place, "".join(run)) for place, run in groupby(text, lambda letter: self.places.get(letter, 0))]


def font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which has the letters of English."""
    return ImageFont.load_default(size)


def title_face(size: float, text: str = "") -> Face:
    """Pillow's own font, or what of the fonts of this machine has the letters of a text.

    Warns with a `Note` of letters that no font has: pictures show boxes in their place.
    """
    names, places, missing = _cover("".join(sorted(set(filter(_is_shown, text)))))
    if missing:
        shown = " ".join(missing[:MOST_SHOWN]) + (" ..." if len(missing) > MOST_SHOWN else "")
        note(f"no font of this machine has {shown}: pictures show boxes there; {REMEDY}")
    fonts = tuple(ImageFont.truetype(name, size) if name else font(size) for name in names)
    return Face(size, fonts, dict(places))


@lru_cache(maxsize=256)
def _cover(letters: str) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...], str]:
    """(fonts, which of them has a letter that the first lacks, letters that none has); "" is Pillow's own font.

    One font for all letters where there is one; else greedy set cover.
    """
    missing = _lacking("", letters)
    if not missing:
        return ("",), (), ""
    lacking = {place: lacked for place in _fonts() if (lacked := _lacking(place, letters)) != letters}
    for place, lacked in lacking.items():
        if not lacked:
            return (place,), (), ""
    names, places = [""], []
    while lacking and missing:
        best = min(lacking, key=lambda place: len(set(missing) & set(lacking[place])))
        covered = set(missing) - set(lacking.pop(best))
        if not covered:
            break
        places += [(letter, len(names)) for letter in sorted(covered)]
        names.append(best)
        missing = "".join(letter for letter in missing if letter not in covered)
    return tuple(names), tuple(places), missing


def _lacking(place: str, letters: str) -> str:
    """The letters that a font shows as its box; all of them where it is no font that can be read."""
    try:
        face = ImageFont.truetype(place, 24) if place else ImageFont.load_default(24)
        box = bytes(face.getmask(NOWHERE))
        return "".join(letter for letter in letters if bytes(face.getmask(letter)) in (box, b""))
    except (OSError, ValueError):  # bitmaps of other sizes, damaged files
        return letters


@lru_cache(maxsize=1)
def _fonts() -> tuple[str, ...]:
    """Files of the fonts of this machine, plain ones with many letters first."""
    return tuple(sorted(_files(), key=_rank))


def _files() -> Iterator[str]:
    for place in PLACES.get(sys.platform, PLACES["linux"]):
        for folder, _, names in os.walk(Path(os.path.expandvars(place)).expanduser()):
            yield from (os.path.join(folder, name) for name in names if name.lower().endswith(ENDINGS))


def _rank(path: str) -> tuple[int, int, str]:
    name = os.path.basename(path).lower()
    styled = any(style in name for style in STYLES)
    first = next((place for place, start in enumerate(WIDE) if name.startswith(start)), len(WIDE))
    return int(styled), first, path


def _is_shown(letter: str) -> bool:
    """Whether a letter has a shape of its own: no blank, joiner or variation selector."""
    return unicodedata.category(letter)[0] not in "ZC" and not "\ufe00" <= letter <= "\ufe0f"
