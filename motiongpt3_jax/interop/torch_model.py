"""The old place of MotionGPT3's reader in PyTorch, which is `systems/motiongpt3/torch_reader.py`."""

from motiongpt3_jax.systems.motiongpt3.torch_reader import *  # noqa: F403
