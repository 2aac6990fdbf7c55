"""Render motions: GIF and MP4 videos, strips of key poses, and a page with an interactive player."""

from motiongpt3_jax.motion.pictures.page import Entry, write_page
from motiongpt3_jax.motion.pictures.strip import write_strip
from motiongpt3_jax.motion.pictures.video import write_gif, write_mp4

__all__ = ["Entry", "write_gif", "write_mp4", "write_page", "write_strip"]
