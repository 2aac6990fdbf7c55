"""Geometry of motion, no learning: skeletons, joints <-> features, files, pictures."""

from motiongpt3_jax.motion.amass import write_amass
from motiongpt3_jax.motion.bvh import write_bvh
from motiongpt3_jax.motion.canonical import canonicalise
from motiongpt3_jax.motion.features import foot_contacts, joints_to_features
from motiongpt3_jax.motion.feet import clean_feet, skating
from motiongpt3_jax.motion.files import load_motion, read_motion, save_motion
from motiongpt3_jax.motion.fitting import Fitted, fit, posed
from motiongpt3_jax.motion.gltf import write_glb
from motiongpt3_jax.motion.mirror import mirror, mirror_caption
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.recover import features_to_joints
from motiongpt3_jax.motion.resample import resampled
from motiongpt3_jax.motion.skeleton import HUMANML3D, KIT, SKELETONS, Skeleton

__all__ = [
    "HUMANML3D",
    "KIT",
    "SKELETONS",
    "Fitted",
    "Motion",
    "Skeleton",
    "canonicalise",
    "clean_feet",
    "features_to_joints",
    "fit",
    "foot_contacts",
    "joints_to_features",
    "load_motion",
    "mirror",
    "mirror_caption",
    "posed",
    "read_motion",
    "resampled",
    "save_motion",
    "skating",
    "write_amass",
    "write_bvh",
    "write_glb",
]
