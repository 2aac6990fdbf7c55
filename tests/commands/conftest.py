"""The commands, called as a shell calls them."""

from tests.trained import call

__all__ = ["call"]
