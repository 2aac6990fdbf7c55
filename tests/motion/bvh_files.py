"""BVH files written in tests."""

from itertools import pairwise

import numpy as np

from motiongpt3_jax.motion import HUMANML3D

REST = {
    "pelvis": (0.0, 0.0, 0.0),
    **{"left_hip": (0.1, -0.05, 0.0), "left_knee": (0.0, -0.4, 0.0), "left_ankle": (0.0, -0.42, 0.0)},
    **{"right_hip": (-0.1, -0.05, 0.0), "right_knee": (0.0, -0.4, 0.0), "right_ankle": (0.0, -0.42, 0.0)},
    **{"left_foot": (0.0, -0.06, 0.12), "right_foot": (0.0, -0.06, 0.12)},
    **{"spine1": (0.0, 0.11, 0.0), "spine2": (0.0, 0.13, 0.0), "spine3": (0.0, 0.06, 0.0)},
    **{"neck": (0.0, 0.2, 0.0), "head": (0.0, 0.1, 0.02)},
    **{"left_collar": (0.08, 0.11, 0.0), "left_shoulder": (0.1, 0.03, 0.0)},
    **{"left_elbow": (0.26, 0.0, 0.0), "left_wrist": (0.25, 0.0, 0.0)},
    **{"right_collar": (-0.08, 0.11, 0.0), "right_shoulder": (-0.1, 0.03, 0.0)},
    **{"right_elbow": (-0.26, 0.0, 0.0), "right_wrist": (-0.25, 0.0, 0.0)},
}
"""A grown-up's bones in metres, by our joint at their end."""


def standing(at=(0.0, 0.93, 0.0)) -> np.ndarray:
    joints = np.zeros((22, 3))
    for chain in HUMANML3D.chains:
        for parent, child in pairwise(chain):
            joints[child] = joints[parent] + REST[HUMANML3D.joints[child]]
    return joints + at


def tree_of(names=lambda joint: joint) -> list[tuple[str, int, tuple]]:
    """(name, parent, offset) of our skeleton, parents first."""
    return [(names(j), p, REST[j]) for j, p in zip(HUMANML3D.joints, HUMANML3D.parents)]


def write(path, joints, rows, order="ZXY", time="0.05", tabs=False, unit=1.0, places=(), frames=None, rest=True):
    """A BVH file of (name, parent, offset) joints; `rows` are channels of the frames, lengths in metres."""
    channels = [f"{axis}rotation" for axis in order]
    six = ["Xposition", "Yposition", "Zposition", *channels]

    def joint(index, depth):
        name, parent, offset = joints[index]
        space, gap = ("\t" * depth, "\t") if tabs else ("  " * depth, " ")
        children = [child for child, other in enumerate(joints) if other[1] == index]
        joint_channels = six if parent < 0 or name in places else channels
        lines = [f"{'ROOT' if parent < 0 else 'JOINT'} {name}", "{", "  OFFSET" + numbers(offset, gap)]
        if name is None:
            lines, joint_channels = ["End Site", "{", "  OFFSET" + numbers(offset, gap)], ()
        else:
            lines.append(f"  CHANNELS {len(joint_channels)} {gap.join(joint_channels)}")
        body = [line for child in children for line in joint(child, depth + 1)]
        return [space + line for line in lines] + body + [space + "}"]

    def numbers(offset, gap):
        return "".join(f"{gap}{value / unit:.6f}" for value in offset)

    roots = [index for index, (_, parent, _) in enumerate(joints) if parent < 0]
    lines = ["HIERARCHY", *(line for root in roots for line in joint(root, 0)), "MOTION"]
    lines += [f"Frames: {len(rows) if frames is None else frames}", f"Frame Time: {time}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def still(joints, at=(0.0, 0.93, 0.0), unit=1.0) -> list[float]:
    """A frame in which nothing is turned."""
    named = sum(name is not None for name, _, _ in joints)
    return [*(value / unit for value in at), *[0.0] * (3 * named)]


def ordered(joints):
    """Joints as a file has them: depth first."""

    def below(index):
        return [joints[index], *(j for c, other in enumerate(joints) if other[1] == index for j in below(c))]

    named = (j for root, other in enumerate(joints) if other[1] < 0 for j in below(root))
    return [joint for joint in named if joint[0] is not None]
