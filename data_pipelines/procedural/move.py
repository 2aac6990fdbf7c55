"""Parameters of one action."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Move:
    """One action with its parameters; what an action does not have is None.

    Attributes:
      action: name of the action.
      direction: e.g. "forward"; left and right are the performer's own.
      side: the limb, "left", "right" or "both".
      speed: "slowly", "normal" or "quickly".
      count: how many times.
    """

    action: str
    direction: str | None = None
    side: str | None = None
    speed: str | None = None
    count: int | None = None

    @property
    def kind(self) -> tuple[str, str | None, str | None]:
        """Action, direction and side: what every caption names and a measurement can check."""
        return self.action, self.direction, self.side

    def label(self) -> dict[str, str | int | None]:
        """The parameters by name."""
        return asdict(self)
