"""Token ids of two people, behind those of one person's motions: roles, and where the second one is.

    <P1> </P1> <P2> </P2>    before and behind the codes of the first and of the second person
    64, 128, 128             yaw, x and z of the second person in the frame of the first, see `motion.place_codes`

Codes of motion are those of one person.
"""

from dataclasses import dataclass

from motiongpt3_jax.motion.place_codes import STEPS, YAWS

ROLES = 4
"""Ids of the roles."""

PAIR_IDS = ROLES + YAWS + 2 * STEPS
"""All of them."""


@dataclass(frozen=True)
class PairTokens:
    """Ids of two people.

    Attributes:
      first: the first of them.
    """

    first: int

    def start(self, person: int) -> int:
        """Stands before the codes of a person, 0 or 1."""
        return self.first + 2 * person

    def end(self, person: int) -> int:
        """Stands behind the codes of a person."""
        return self.first + 2 * person + 1

    @property
    def places(self) -> tuple[int, int, int]:
        """The first id of yaws, of x and of z."""
        yaw = self.first + ROLES
        return yaw, yaw + YAWS, yaw + YAWS + STEPS

    @property
    def size(self) -> int:
        """Number of all ids up to the last of them."""
        return self.first + PAIR_IDS
