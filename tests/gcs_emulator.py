"""Serves a bucket of Google Cloud Storage from memory, for TensorStore and gcsfs: `python -m tests.gcs_emulator PORT`.

The emulator leaves two things out that TensorStore needs: the generation of what it reads, and that an object is never
seen half replaced.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

BUCKET = "motion"


def main(port: int) -> None:
    """Serves until the process ends."""
    from gcp_storage_emulator import server
    from gcp_storage_emulator.handlers import objects

    for _, handlers in server.HANDLERS:
        for method, handler in handlers.items():
            if handler in (objects.get, objects.download):
                handlers[method] = with_generation(handler)
    server.Router.handle = one_at_a_time(server.Router.handle)
    server.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET).run()


def with_generation(handler: Callable[..., None]) -> Callable[..., None]:
    """A handler of reads whose answers say which generation was read."""
    from gcp_storage_emulator.exceptions import NotFound

    def answer(request: Any, response: Any, storage: Any) -> None:
        handler(request, response, storage)
        try:
            metadata = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
        except NotFound:
            return
        response["x-goog-generation"] = metadata["generation"]

    return answer


def one_at_a_time(handle: Callable[..., None]) -> Callable[..., None]:
    """Requests one after another."""
    lock = threading.Lock()

    def locked(router: Any, method: str) -> None:
        with lock:
            handle(router, method)

    return locked


if __name__ == "__main__":
    main(int(sys.argv[1]))
