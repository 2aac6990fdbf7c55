"""Pictures of motion: GIF and MP4 clips, strips of key poses, and a page with an interactive player."""

from motiongpt3_jax.motion.pictures.clip import write_gif, write_mp4
from motiongpt3_jax.motion.pictures.page import Entry, write_page
from motiongpt3_jax.motion.pictures.strip import write_strip

__all__ = ["Entry", "write_gif", "write_mp4", "write_page", "write_strip"]
