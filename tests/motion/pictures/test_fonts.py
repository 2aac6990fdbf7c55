import sys
import warnings

import pytest
from PIL import ImageFont

from motiongpt3_jax.motion.notes import Note
from motiongpt3_jax.motion.pictures import fonts, write_gif
from motiongpt3_jax.motion.pictures.fonts import title_face
from motiongpt3_jax.motion.pictures.paint import wrap

NO_FONT_HAS_IT = "\ufdd0"


@pytest.fixture
def own_fonts(monkeypatch):
    """Makes the machine's fonts known by the letters that each has."""

    real = ImageFont.truetype

    def opened(name, *arguments, **options):
        # Pillow opens its own font by the same function.
        return ImageFont.load_default(20) if name == "cjk" else real(name, *arguments, **options)

    def known(**letters):
        def lacking(name, text):
            return "".join(letter for letter in text if letter not in letters.get(name, "abc"))

        fonts._cover.cache_clear()
        monkeypatch.setattr(fonts, "_fonts", lambda: tuple(letters))
        monkeypatch.setattr(fonts, "_lacking", lacking)
        monkeypatch.setattr(ImageFont, "truetype", opened)
        return fonts._cover

    yield known
    fonts._cover.cache_clear()


def test_english_is_written_in_the_font_that_comes_along(own_fonts):
    assert own_fonts(wide="abc\u6b69")("ab") == (("",), (), "")


def test_one_font_for_the_whole_title_is_taken_before_several(own_fonts):
    cover = own_fonts(cjk="\u6b69\u304f", wide="ab\u6b69\u304f")
    assert cover("a\u304f\u6b69") == (("wide",), (), "")


def test_letters_that_the_first_font_lacks_come_from_those_that_have_most_of_them(own_fonts):
    cover = own_fonts(one="\u6b69", two="\u6b69\u304f", emoji="\U0001f3c3")
    names, places, missing = cover("a\u304f\u6b69\U0001f3c3\u0936")
    assert names == ("", "two", "emoji")
    assert dict(places) == {"\u304f": 1, "\u6b69": 1, "\U0001f3c3": 2}
    assert missing == "\u0936"


def test_letters_that_no_font_has_are_said_in_a_line(tmp_path, walking, own_fonts):
    own_fonts(cjk="\u6b69")
    with pytest.warns(Note, match="no font of this machine has \u0936 \U0001f3c3: pictures show boxes"):
        write_gif(tmp_path / "a.gif", walking(frames=1), "ab \u6b69 \u0936 \U0001f3c3", size=96)


def test_what_has_no_shape_is_not_missed(own_fonts):
    own_fonts()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        title_face(20, "a\u200d b\ufe0f\n")


def test_titles_of_several_fonts_are_as_wide_as_their_parts(own_fonts):
    own_fonts(cjk="\u6b69")
    face = title_face(20, "ab \u6b69")
    assert face.getlength("ab \u6b69") == pytest.approx(face.getlength("ab ") + face.getlength("\u6b69"))
    assert len(wrap("ab \u6b69 " * 9, face, face.getlength("ab \u6b69 ") * 3, lines=2)) == 2


def test_a_letter_that_a_font_lacks_is_seen_by_its_box():
    assert fonts._lacking("", "abc") == ""
    assert fonts._lacking("", f"a{NO_FONT_HAS_IT}") == NO_FONT_HAS_IT


def test_a_file_that_is_no_font_has_no_letters(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert fonts._lacking(str(tmp_path / "broken.ttf"), "ab") == "ab"


def test_plain_fonts_with_many_letters_come_first(tmp_path, monkeypatch):
    names = ["Zapf.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "notes.txt"]
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setitem(fonts.PLACES, sys.platform, (str(tmp_path),))
    fonts._fonts.cache_clear()
    try:
        names = [name.rsplit("/")[-1] for name in fonts._fonts()]
    finally:
        fonts._fonts.cache_clear()
    assert names == ["NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Zapf.ttf", "DejaVuSans-Bold.ttf"]
