"""Geometry of human motion, no learning: skeletons, joints <-> features, kinematics, file formats, rendering."""

from motiongpt3_jax.motion.amass import write_amass
from motiongpt3_jax.motion.bvh_write import write_bvh
from motiongpt3_jax.motion.canonical import canonicalise
from motiongpt3_jax.motion.features import foot_contacts, joints_to_features
from motiongpt3_jax.motion.feet import clean_feet, skating
from motiongpt3_jax.motion.files import load_motion, read_motion, save_motion
from motiongpt3_jax.motion.fitting import Fitted, fit, forward_kinematics
from motiongpt3_jax.motion.gltf import write_glb
from motiongpt3_jax.motion.mirror import mirror, mirror_caption
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.pairs import canonicalise_pair, join_pair
from motiongpt3_jax.motion.recover import features_to_joints
from motiongpt3_jax.motion.resample import resample_motion
from motiongpt3_jax.motion.skeleton import HUMANML3D, KIT, SKELETONS, Skeleton

posed = forward_kinematics
"""Earlier name of `forward_kinematics`, which keeps working."""

resampled = resample_motion
"""Earlier name of `resample_motion`, which keeps working."""

__all__ = [
    "HUMANML3D",
    "KIT",
    "SKELETONS",
    "Fitted",
    "Motion",
    "Skeleton",
    "canonicalise",
    "canonicalise_pair",
    "clean_feet",
    "features_to_joints",
    "fit",
    "foot_contacts",
    "forward_kinematics",
    "join_pair",
    "joints_to_features",
    "load_motion",
    "mirror",
    "mirror_caption",
    "read_motion",
    "resample_motion",
    "save_motion",
    "skating",
    "write_amass",
    "write_bvh",
    "write_glb",
]
