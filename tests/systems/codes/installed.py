"""The package that brings the systems, as an installer would leave it: a `.dist-info` folder with its entry points."""

from pathlib import Path

ENTRY_POINTS = """[motiongpt3_jax.systems]
codescript = tests.systems.codes.kind:KIND
bytescript = tests.systems.codes.kind:WITHOUT_TOKENIZER
"""


def install(folder: Path) -> Path:
    """Writes the metadata of the package; whoever has the folder on `sys.path` has the systems."""
    metadata = folder / "codescript-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: codescript\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder
