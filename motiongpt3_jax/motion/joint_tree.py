"""A file's skeleton as a tree of named joints with their places."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

TOGETHER = 1e-3
"""Share of the body's size within which joints lie at one place."""


@dataclass(frozen=True, eq=False)
class JointTree:
    """The joints of one body of a file.

    Attributes:
      names: what the file calls them, parents first; the end of a last bone is its joint's name and `_end`.
      parents: for each the joint before it; -1 for the root.
      poses: where they are in some frames, in any unit.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    poses: Float[np.ndarray, "poses file_joints 3"]

    @property
    def pose(self) -> Float[np.ndarray, "file_joints 3"]:
        """The first of the poses."""
        return self.poses[0]

    @cached_property
    def size(self) -> float:
        """The largest extent of the poses."""
        return float(np.ptp(self.poses, axis=1).max())

    @cached_property
    def _children(self) -> list[list[int]]:
        children: list[list[int]] = [[] for _ in self.names]
        for child, parent in enumerate(self.parents):
            if parent >= 0:
                children[parent].append(child)
        return children

    def children(self, joint: int) -> list[int]:
        """The joints whose parent this one is."""
        return self._children[joint]

    def one_hot(self, joint: int) -> Float[np.ndarray, "file_joints"]:
        """One-hot weights: this joint alone."""
        row = np.zeros(len(self.names))
        row[joint] = 1
        return row

    def coincide(self, a: int, b: int) -> bool:
        """Whether two joints lie at one place in all of the poses."""
        apart = np.linalg.norm(self.poses[:, a] - self.poses[:, b], axis=-1).max()
        return b >= 0 and a != b and bool(apart <= TOGETHER * self.size)

    def path(self, joint: int) -> list[int]:
        """The joints from the root to this one."""
        path = [joint]
        while self.parents[path[-1]] >= 0:
            path.append(self.parents[path[-1]])
        return path[::-1]

    def lowest_common_ancestor(self, a: int, b: int) -> int:
        """The lowest common ancestor of two joints; -1 where there is none."""
        shared = [one for one, other in zip(self.path(a), self.path(b)) if one == other]
        return shared[-1] if shared and shared[-1] not in (a, b) else -1

    def chain_along(self, joint: int, direction: Float[np.ndarray, "3"], starts: Sequence[int]) -> list[int]:
        """The unbranched chain that goes furthest in a direction from a joint, without the end of its last bone.

        Args:
          joint: where it begins.
          direction: where to.
          starts: children of `joint` that it may begin with.
        """
        chains = []
        for start in starts:
            chain = [start]
            while len(self.children(chain[-1])) == 1:
                chain += self.children(chain[-1])
            if self.names[chain[-1]] == f"{self.names[self.parents[chain[-1]]]}_end":
                chain.pop()
            if chain:
                chains.append(chain)
        reach = [float((self.pose[chain[-1]] - self.pose[joint]) @ direction) for chain in chains]
        return chains[int(np.argmax(reach))] if chains and max(reach) > 0 else []
