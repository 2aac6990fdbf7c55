"""Motion and language in one model, in JAX.

import motiongpt3_jax

model = motiongpt3_jax.load("runs/demo")
motion = model.generate("a person walks forward", seconds=2.4)
sentence = model.caption(motion)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motiongpt3_jax.data_pipelines.sources import SourceOptions, build_source
    from motiongpt3_jax.experiment.train import train
    from motiongpt3_jax.inference.chat import Chat, Reply
    from motiongpt3_jax.inference.continuation import Joined
    from motiongpt3_jax.inference.model import Model
    from motiongpt3_jax.inference.planner import Planner
    from motiongpt3_jax.interop.export_model import export_model
    from motiongpt3_jax.interop.import_model import import_model
    from motiongpt3_jax.motion import Motion, load_motion, save_motion
    from motiongpt3_jax.motion.notes import Note
    from motiongpt3_jax.motion.write_kind import write_motion
    from motiongpt3_jax.planning import plan

    load = Model.load

_HOMES = {
    "Chat": "inference.chat",
    "Joined": "inference.continuation",
    "Model": "inference.model",
    "Motion": "motion",
    "Note": "motion.notes",
    "Planner": "inference.planner",
    "Reply": "inference.chat",
    "SourceOptions": "data_pipelines.sources",
    "build_source": "data_pipelines.sources",
    "export_model": "interop.export_model",
    "import_model": "interop.import_model",
    "load_motion": "motion",
    "plan": "planning",
    "save_motion": "motion",
    "train": "experiment.train",
    "write_motion": "motion.write_kind",
}

__all__ = [
    "Chat",
    "Joined",
    "Model",
    "Motion",
    "Note",
    "Planner",
    "Reply",
    "SourceOptions",
    "build_source",
    "export_model",
    "import_model",
    "load",
    "load_motion",
    "plan",
    "save_motion",
    "train",
    "write_motion",
]


def __getattr__(name: str) -> Any:
    # Looked up when asked for: commands and data workers must not pay for JAX that they do not use.
    if name == "load":
        return __getattr__("Model").load
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
