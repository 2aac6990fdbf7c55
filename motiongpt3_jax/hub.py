"""Downloads from the Hugging Face hub: said before they are waited for, given up soon, and one error for all causes."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

SECONDS = "10"
"""Longest wait for an answer of the hub, unless the environment says another."""


def snapshot(name: str, files: Sequence[str]) -> str:
    """The local copy of some files of a repository on the hub.

    Raises:
      FileNotFoundError: the hub did not give it.
    """
    return ask_hub(name, lambda hub: hub.snapshot_download(name, allow_patterns=list(files)))


def file(name: str, path: str) -> str:
    """The local copy of one file of a repository on the hub.

    Raises:
      FileNotFoundError: the hub did not give it.
    """
    return ask_hub(f"{name}/{path}", lambda hub: hub.hf_hub_download(name, path))


def files(name: str) -> list[str]:
    """Names of the files of a repository on the hub.

    Raises:
      FileNotFoundError: the hub did not list them.
    """
    return ask_hub(name, lambda hub: hub.list_repo_files(name))


def ask_hub(what: str, call: Callable[[Any], Any]) -> Any:
    """What a call of `huggingface_hub` returns; the library reads its limits when it is first imported.

    Raises:
      FileNotFoundError: the hub did not answer, or has no such thing.
    """
    for limit in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        os.environ.setdefault(limit, SECONDS)
    import huggingface_hub
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        print(f"there is no {what!r} here; asking the Hugging Face hub ...", file=sys.stderr, flush=True)
    try:
        return call(huggingface_hub)
    except Exception as error:  # the library, and the network below it, raise many kinds
        raise FileNotFoundError(f"the hub did not give it ({type(error).__name__})") from error
