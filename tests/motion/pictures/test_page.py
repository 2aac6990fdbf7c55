import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from motiongpt3_jax.motion.pictures import Entry, write_page

NASTY = '</script><script>alert("1")</script> it\'s {{data}} & <b>\u2028\\u003c'


class Elements(HTMLParser):
    """Collects the page's elements as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.opened, self.texts, self.inside = [], {}, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.opened.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id", tag)

    def handle_data(self, data):
        self.texts[self.inside] = self.texts.get(self.inside, "") + data


def data_of(path):
    return json.loads(Elements(path.read_text(encoding="utf-8")).texts["data"])


def joints_of(entry):
    steps = np.frombuffer(base64.b64decode(entry["joints"]), "<i2").reshape(entry["shape"])
    return steps * entry["step"] + entry["origin"]


def test_the_page_holds_every_joint_within_half_a_millimetre(tmp_path, walking):
    motions = [walking(frames=5), walking(frames=7, metres=20.0, persons=2)]
    write_page(tmp_path / "a.html", [("one", motions[0]), Entry("two", motions[1], "generated")])
    for entry, motion in zip(data_of(tmp_path / "a.html")["entries"], motions):
        expected = motion.joints - [0, motion.joints[..., 1].min(), 0]
        np.testing.assert_allclose(joints_of(entry), expected, atol=0.000501)
        assert entry["fps"] == motion.fps


def test_a_motion_over_a_hundred_metres_is_stored_coarser_and_not_cut(tmp_path, walking):
    motion = walking(frames=5, metres=130.0)
    write_page(tmp_path / "a.html", [("far", motion)])
    entry = data_of(tmp_path / "a.html")["entries"][0]
    np.testing.assert_allclose(joints_of(entry)[..., 2], motion.joints[..., 2], atol=0.0011)


def test_captions_and_titles_cannot_break_the_page(tmp_path, walking):
    write_page(tmp_path / "plain.html", [("plain", walking())])
    write_page(tmp_path / "nasty.html", [Entry(NASTY, walking(), NASTY)], title=NASTY)
    plain, nasty = (Elements((tmp_path / name).read_text(encoding="utf-8")) for name in ("plain.html", "nasty.html"))
    assert nasty.opened == plain.opened
    assert nasty.texts["h1"].strip() == NASTY
    entry = data_of(tmp_path / "nasty.html")["entries"][0]
    assert (entry["caption"], entry["info"]) == (NASTY, NASTY)


def test_the_page_needs_nothing_from_outside(tmp_path, walking):
    write_page(tmp_path / "a.html", [("one", walking())])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//cdn|@import|<link[^>]+stylesheet|<script[^>]+src", text)


def test_the_page_says_how_it_is_used(tmp_path, walking):
    write_page(tmp_path / "a.html", [("one", walking())])
    text = Elements((tmp_path / "a.html").read_text(encoding="utf-8")).texts["help"]
    assert all(word in text for word in ("Drag", "wheel", "two fingers", "space", "arrows", "double-click"))


def test_a_finger_that_moves_up_or_down_scrolls_the_page(tmp_path, walking):
    write_page(tmp_path / "a.html", [("one", walking())])
    rules = re.findall(r"touch-action: ([\w-]+)", (tmp_path / "a.html").read_text(encoding="utf-8"))
    assert rules == ["pan-y"]


def test_an_entry_brings_its_section_its_warning_and_links_to_its_files(tmp_path, walking):
    files = ("m_0.npy", "m 0#.bvh", "m_0.amass.npz", "sub/m_0_1.glb", "sub/m_0_2.glb", "plain")
    entry = Entry("one", walking(), "seed 1", "unknown: x", "Generated", files)
    write_page(tmp_path / "a.html", [entry, ("two", walking())])
    first, second = data_of(tmp_path / "a.html")["entries"]
    assert (first["section"], first["warning"]) == ("Generated", "unknown: x")
    assert first["files"] == [
        ["npy", "m_0.npy"],
        ["bvh", "m%200%23.bvh"],
        ["amass.npz", "m_0.amass.npz"],
        ["glb 1", "sub/m_0_1.glb"],
        ["glb 2", "sub/m_0_2.glb"],
        ["plain", "plain"],
    ]
    assert (second["section"], second["warning"], second["files"]) == ("", "", [])


def test_a_page_without_motions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no motions to show"):
        write_page(tmp_path / "a.html", [])


PROBE = """
<script>
const seen = {};
const press = (code) => document.dispatchEvent(new KeyboardEvent("keydown", { code, bubbles: true }));
const player = players[0];
function ink() {
  const { data } = player.pen.getImageData(0, 0, player.canvas.width, player.canvas.height);
  let orange = 0, blue = 0;
  for (let i = 0; i < data.length; i += 4) { orange += data[i] - data[i + 2] > 80; blue += data[i + 2] - data[i] > 80; }
  return [orange, blue];
}
setTimeout(() => {
  // A busy browser may not have drawn a frame yet.
  const was = player.time;
  tick(last + 90);
  seen.moved = player.time > was;
  press("Space"); seen.paused = !player.playing; press("Space"); seen.resumed = player.playing;
  player.scrub.value = player.duration / 2; player.scrub.oninput(); player.advance(0);
  seen.scrubbed = Math.abs(player.time - player.duration / 2) < 0.01 && !player.playing;
  const drag = (type, clientX) =>
    player.canvas.dispatchEvent(new PointerEvent(type, { pointerId: 1, clientX, clientY: 50 }));
  player.canvas.setPointerCapture = () => {};
  const heading = player.heading;
  drag("pointerdown", 50); drag("pointermove", 90); drag("pointerup", 90);
  seen.turned = player.heading !== heading;
  player.canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -100, cancelable: true }));
  seen.zoomed = player.zoom > 1;
  player.draw();
  seen.ink = ink();
  seen.joint = Array.from(player.joints.slice(0, 3));
  seen.players = document.querySelectorAll("canvas").length;
  seen.caption = document.querySelector("figcaption").firstChild.textContent;
  seen.headings = [...document.querySelectorAll("#grid > *")].map((e) => e.tagName === "H2" ? e.textContent : "");
  seen.links = [...document.querySelectorAll("figcaption a")].map((a) => [a.textContent, a.getAttribute("href")]);
  seen.warning = document.querySelector(".warning").textContent;
  seen.count = byId("count").textContent;
  document.body.innerHTML = ""; document.body.textContent = "SEEN" + JSON.stringify(seen) + "END";
}, 700);
</script>
"""


@pytest.mark.slow
def test_the_player_plays_turns_and_draws_in_a_browser(tmp_path, walking):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine: install one to test the player")
    motion = walking(frames=40, persons=2)
    page = tmp_path / "a.html"
    first = Entry(NASTY, motion, warning=NASTY, section="Generated", files=("a.npy", "a b.bvh"))
    write_page(page, [first, Entry("two", walking(frames=1), section="Held-out")])
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *flags, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seen = json.loads(re.search(r"SEEN(.*)END", Elements(done.stdout).texts["body"], re.S)[1])
    assert {k for k in ("moved", "paused", "resumed", "scrubbed", "turned", "zoomed") if not seen[k]} == set()
    assert min(seen["ink"]) > 300
    assert seen["players"] == 2
    assert seen["caption"] == seen["warning"] == NASTY
    assert seen["headings"] == ["Generated", "", "Held-out", ""]
    assert seen["links"] == [["npy", "a.npy"], ["bvh", "a%20b.bvh"]]
    assert seen["count"] == "2 motions of 0.1 to 2.0 s."
    lowest = motion.joints[..., 1].min()
    np.testing.assert_allclose(seen["joint"], motion.joints[0, 0, 0] - [0, lowest, 0], atol=0.001)


def test_letters_that_are_no_text_end_no_page(tmp_path, walking):
    write_page(tmp_path / "a.html", [Entry("a file called \udcff", walking(frames=2))], "w\udcff")
    assert "a file called ?" in (tmp_path / "a.html").read_text(encoding="utf-8")
