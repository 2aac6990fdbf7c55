"""Parameters of what two people do together."""

from dataclasses import asdict, dataclass
from typing import Literal

Who = Literal["first", "second", "both"]


@dataclass(frozen=True)
class Interaction:
    """One interaction with its parameters; what it does not have is None.

    Attributes:
      action: its name.
      who: which person does it to the other; "both" where they do the same.
      direction: e.g. "toward", "clockwise"; as the one who does it sees it.
      side: the hand, arm or side, "left", "right" or "both": of the one who does it.
      distance: "close" or "far".
      speed: "slowly", "normal" or "quickly".
    """

    action: str
    who: Who
    direction: str | None = None
    side: str | None = None
    distance: str | None = None
    speed: str | None = None

    @property
    def kind(self) -> tuple[str, str, str | None, str | None, str | None]:
        """All but the speed: what every caption names, but for who, and a measurement can check."""
        return self.action, self.who, self.direction, self.side, self.distance

    def label(self) -> dict[str, str | None]:
        """The parameters by name."""
        return asdict(self)
