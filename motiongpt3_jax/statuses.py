"""Exit statuses of the commands that train, which schedulers go by."""

DONE = 0
"""Nothing is left to train."""

FAILED = 1
"""A loss was not finite, or the program has a fault: the same command would fail again."""

WRONG_INPUT = 2
"""Something that was given is wrong, or a disk or memory has no room."""

CONTINUES = 75
"""A signal stopped a run that has steps left; EX_TEMPFAIL of sysexits.h."""

PEER_LOST = 76
"""Another process of the run is gone or hangs, and this one cannot go on alone; EX_PROTOCOL of sysexits.h."""

MEANINGS = {
    DONE: "nothing is left to train",
    FAILED: "a loss was not finite, or the program has a fault",
    WRONG_INPUT: "something that was given is wrong, or a disk or memory has no room",
    CONTINUES: "a signal (SIGTERM, Ctrl-C) stopped the run, which is saved: the same command continues it",
    PEER_LOST: "another process of the run is gone or makes no step: start all of them again",
}
"""What each status says."""


def status_lines() -> str:
    """The statuses as an end of a command's help."""
    return "\n".join(["exit status:", *(f"  {status:<4}{meaning}" for status, meaning in MEANINGS.items())])
