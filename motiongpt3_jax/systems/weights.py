"""Where a system's parameters may come from and go to, other than its own checkpoints: parts, import, export."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from motiongpt3_jax.systems.interface import ModelSpec, Tree, Variables
from motiongpt3_jax.tensors.name_table import NameTable


class Identified(NamedTuple):
    """What a file of tensors of other code is.

    Attributes:
      tensors: those of the model, by the names that its reader knows.
      config: plain values, with the sizes that the tensors have.
      features: width of a frame; None where no part that reads frames is there.
      vocabulary: base ids of the tokenizer; None where the tensors do not say.
      tokenizer: hub name of the one that such models have.
      untrained: parts that are not there, and will be fresh.
      questions: how the model is asked, by task, where its templates are not those that it was trained with.
      notes: what else there is to say, a sentence each.
    """

    tensors: Mapping[str, np.ndarray]
    config: Mapping[str, Any]
    features: int | None
    vocabulary: int | None
    tokenizer: str
    untrained: tuple[str, ...] = ()
    questions: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()


class Importer(Protocol):
    """Makes a model of the tensors of other code.

    Attributes:
      reads: the models, in words.
      companions: names of files that hold other parts of such a model, and are read too where they lie beside its file.
    """

    reads: str
    companions: Sequence[str]

    def find_config(self, names: Collection[str]) -> str | None:
        """Name of the config that says what the tensors of these names do not; None where they are not read here."""

    def identify(
        self, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any], chosen: Collection[str]
    ) -> Identified:
        """What the tensors are.

        Args:
          tensors: by their names.
          config: plain values of the config that says what tensors do not.
          chosen: names of its values that the user has set ("model.decoder.heads").

        Raises:
          UserError: they are of no known model, or say too little.
        """

    def variables(self, identified: Identified, spec: ModelSpec) -> Variables:
        """All arrays of the model: those of the tensors, the others fresh.

        Raises:
          UserError: names everything that is missing, unexpected or of another shape.
        """


class Exporter(Protocol):
    """Writes a model as a file of other code."""

    def __call__(self, out: Path, spec: ModelSpec, variables: Variables) -> list[str]:
        """Writes the file; returns what there is to say of it.

        Raises:
          UserError: the other code cannot express the model.
        """


@dataclass(frozen=True)
class Weights:
    """Where a system's parameters may come from and go to, other than its own checkpoints.

    Attributes:
      parts: patterns of the parameter paths of each part that may come trained; the first that matches counts.
      part_sizes: the values of the config's section `model` that each part cannot do without, by sections.
      state_part, tokenizer_part, statistics_part: the part that the state, the tokenizer and the statistics of the
        features come with.
      captions_part: the part that has learned the words of captions.
      pretrained: (place, model) -> parameters of a part that a published model has trained, such as a GPT-2: arrays, or
        `tensors.stored_tensors.StoredParameter`, which are read where they are needed.
      pretrained_part: which part that is.
      pretrained_files: place -> the files of one folder that they are read from.
      from_official: (tensors by their official names, model) -> parameters, for weights of format 1; None where there
        are no official names.
      importer: makes a model of the tensors of other code; None where none is read.
      exporters: by the name of a format, what writes a model as a file of other code.
      adapter_formats: the formats of these that have a place for LoRA adapters.
      published_names: names of the language model's tensors as Hugging Face's models have them, by which LoRA adapters
        go to PEFT and come from it; None where there are none.
    """

    parts: Mapping[str, str] = field(default_factory=lambda: {"model": ".*"})
    part_sizes: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    state_part: str = "model"
    tokenizer_part: str = "model"
    statistics_part: str = "model"
    captions_part: str = "model"
    pretrained: Callable[[str, ModelSpec], Tree] | None = None
    pretrained_part: str = "model"
    pretrained_files: Callable[[str], Sequence[Path]] | None = None
    from_official: Callable[[Mapping[str, np.ndarray], ModelSpec], Tree] | None = None
    importer: Importer | None = None
    exporters: Mapping[str, Exporter] = field(default_factory=dict)
    adapter_formats: Collection[str] = ()
    published_names: Callable[[ModelSpec], NameTable] | None = None
