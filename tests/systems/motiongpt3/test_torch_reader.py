"""The PyTorch reader of an exported model answers as the JAX model does."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from motiongpt3_jax.batch import Batch, ClipRange, RowShape
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.inference.exported import write_exported
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import features_to_joints
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionOptions, TextOptions, sequence_example
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.generate_motion import read_conditions, sample_latents, understand
from motiongpt3_jax.systems.motiongpt3.layout import SCHEMA
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.systems.motiongpt3.name_table import TIED
from motiongpt3_jax.systems.motiongpt3.official import to_official
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC, TokenIds, fill_input, motion_prompt, text_prompt
from motiongpt3_jax.text import train_tokenizer
from tests.extras import torch_module

pytestmark = pytest.mark.torch
torch = torch_module()
torch.set_num_threads(1)

from motiongpt3_jax.systems.motiongpt3 import torch_reader as torch_model  # noqa: E402

SENTENCES = ["a person walks", "a person jumps high and then turns around"]
FRAMES = [12, 20]
VARIANTS = {
    "as published": {},
    "apart, narrow motion, other noise": {
        **{"attention_mode": "none", "motion_factor": 0.5},
        "noise": {"diffusion_steps": 300, "betas": (0.001, 0.02)},
    },
    "odd layers, two latents, instructions": {
        **{"attention_mode": "odd", "layers": 3, "latents": 2},
        "templates": "instructions",
    },
    "last third, narrow motion, flow": {"attention_mode": "last_third", "motion_factor": 0.5, "flow": True},
}
FULL, NARROW, TWO, FLOW = VARIANTS


@dataclass(frozen=True)
class Both:
    """One model in JAX and in PyTorch."""

    system: MotionGPT3
    variables: Variables
    folder: ModelFolder
    torch: "torch_model.MotionGPT3"

    def batch(self, texts: list[str], clips: list[np.ndarray] = ()) -> Batch:
        """A request a row, as the engine lays them out."""
        tokenizer, body, examples = self.folder.tokenizer, self.folder.statistics, []
        for number, text in enumerate(texts):
            ids = np.array(tokenizer.encode(text))
            ranges = (ClipRange(0, len(clips[number])),) if clips else ()
            whole, tokens = np.ones(len(ids), bool), TokenIds.of(tokenizer)
            examples.append(sequence_example(number, ids, whole, whole, tokens, ranges, inputs=len(ranges)))
        buckets = ((32, 1),) if clips else ()
        shape = RowShape((("text", 64), ("motion", 4)), buckets, samples=1, capacities=(("outputs", 1),))
        rows = [[example] for example in examples]
        return build(rows, lambda n, _: (clips[n] - body.mean) / body.std, shape, SCHEMA, len(body.mean))

    def prompts(self) -> Prompts:
        """The words of training."""
        return Prompts.of(self.folder, "generate")

    def asking(self) -> Batch:
        """Requests for the sentences' motions."""
        questions = [self.prompts().question("t2m", caption=sentence) for sentence in SENTENCES]
        return self.batch([motion_prompt(fill_input(question, "", 0, 1.0)) for question in questions])

    def captioning(self) -> str:
        """A request for a caption."""
        return text_prompt(fill_input(self.prompts().question("m2t"), "", 0, 1.0))


def make(
    path: Path,
    *,
    latents: int = 1,
    flow: bool = False,
    templates: str = "pretrain",
    noise: Mapping[str, object] = MappingProxyType({}),
    **decoder: object,
) -> Both:
    """Writes a tiny model with random weights as an exported folder, and reads it back."""
    config = load_config("motiongpt3:test").to_dict()
    config["model"]["decoder"].update(decoder)
    config["model"]["vae"]["latents"] = latents
    config["model"].update({"flow": flow, **noise})
    config["stages"]["generate"]["templates"] = templates
    rng = np.random.default_rng(9)
    body = MotionStatistics(
        rng.normal(size=263).astype(np.float32),
        rng.uniform(0.5, 1.5, 263).astype(np.float32),
        np.zeros((22, 3), np.float32),
    )
    given = ModelFolder(Path("nowhere"), config, train_tokenizer(SENTENCES, 300, TOKEN_SPEC), body)
    sizes = build_config(config["model"], features=263, vocabulary=given.tokenizer.base_vocabulary)
    system = MotionGPT3(sizes)
    shapes = jax.eval_shape(system.init, jax.random.key(0)).params
    params = jax.tree.map_with_path(lambda path, x: random(rng, path[-1].key, x.shape), shapes)
    mean = rng.normal(size=latent_state(sizes)["latent_mean"].shape).astype(np.float32)
    state = {"latent_mean": mean, "latent_square": mean**2 + rng.uniform(0.5, 2, mean.shape).astype(np.float32)}
    folder = write_exported(path, given, Variables(params, state), ("generate", 1))
    return Both(system, Variables(params, state), folder, torch_model.MotionGPT3.from_folder(path))


def random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter large enough that everything matters."""
    scale = {"table": 0.1, "null_condition": 1.0}.get(name, 0.2)
    return (rng.normal(size=shape, scale=scale) + (name == "scale")).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The variants by name, made when first asked for."""
    found = {}

    def get(name):
        if name not in found:
            found[name] = make(tmp_path_factory.mktemp("exported"), **VARIANTS[name])
        return found[name]

    return get


@pytest.fixture(params=VARIANTS)
def both(made, request):
    return made(request.param)


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(1)
    return [rng.normal(size=(frames, 263)).astype(np.float32) for frames in (9, 30)]


def close(found, wanted, tolerance=1e-4):
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=tolerance, atol=tolerance)


def test_hidden_states_are_the_same(both, clips):
    texts = [both.captioning() + " " + sentence for sentence in SENTENCES]
    modules = both.system.modules

    @jax.jit
    def read(variables, batch):
        latents, decoder = understand(modules, variables, batch, None), {"params": variables.params["decoder"]}
        return latents, modules.decoder.apply(decoder, streams(modules, variables.params, batch, latents))

    latents, hidden = read(both.variables, both.batch(texts, clips))
    with torch.no_grad():
        given = both.torch.understand(clips)
        close(given, latents[:, 0])
        ids, (text, motion), _ = both.torch.read(texts, given)
    is_motion = ids >= TokenIds.of(both.folder.tokenizer).text_vocabulary
    for row, tokens in enumerate(texts):
        count = len(both.folder.tokenizer.encode(tokens))
        own = is_motion[row, :count]
        close(text[row, :count][~own], hidden["text"][row, : int((~own).sum())])
        close(motion[row, :count][own], hidden["motion"][row])


def noise_of(both, steps):
    rng = np.random.default_rng(3)
    shape = (len(SENTENCES), both.system.config.vae.latents, both.system.config.vae.width)
    return tuple(jnp.asarray(rng.normal(size=size), jnp.float32) for size in (shape, (steps, *shape)))


def latents_of(both, steps, sampler, scale):
    noise = noise_of(both, steps)
    options = MotionOptions(sampler=sampler, steps=steps, guidance_scale=scale)

    @jax.jit
    def ask(variables, batch, noise):
        condition = read_conditions(both.system.modules, variables, batch)
        return sample_latents(both.system.modules, variables, condition, noise, options)

    wanted = ask(both.variables, both.asking(), noise)
    given = tuple(torch.tensor(np.asarray(x)) for x in noise)
    return given, wanted, {"sampler": sampler, "steps": steps, "guidance_scale": scale}


@pytest.mark.parametrize(
    ("variant", "sampler", "scale"),
    [
        (FULL, "ancestral", 2.5),
        (FULL, "ddim", 1.0),
        (FULL, "dpm++", 2.5),
        (NARROW, "dpm++", 1.0),
        (FLOW, "euler", 2.5),
    ],
)
def test_latents_of_the_same_noise_are_the_same(made, variant, sampler, scale):
    both = made(variant)
    noise, wanted, options = latents_of(both, 6, sampler, scale)
    latents = both.torch.sample_latents(SENTENCES, noise=noise, **options).detach().numpy()
    # Guidance takes differences of hundreds: float32 is right to their size, and not to that of what is left.
    np.testing.assert_allclose(latents, wanted, rtol=0, atol=4e-6 * np.abs(wanted).max())


def test_joints_of_the_same_noise_are_the_same(made):
    both, sampler = made(TWO), "dpm++"
    noise, latents, options = latents_of(both, 4, sampler, 2.0)
    decode = jax.jit(partial(both.system.modules.vae.apply, method="decode"), static_argnums=3)
    features = decode({"params": both.variables.params["vae"]}, latents, np.array(FRAMES), max(FRAMES))
    raw = np.asarray(features) * both.folder.statistics.std + both.folder.statistics.mean
    found = both.torch.text_to_motion(SENTENCES, FRAMES, noise=noise, **options)
    for row, frames, joints in zip(raw, FRAMES, found):
        assert joints.shape == (frames, 22, 3)
        close(joints, features_to_joints(row[:frames]), 1e-3)


@pytest.mark.parametrize("variant", [FULL, TWO])
def test_a_clips_posterior_is_the_same(made, variant, clips):
    both = made(variant)
    features = np.zeros((2, 30, 263), np.float32)
    for row, clip in zip(features, clips):
        row[: len(clip)] = clip
    encode = jax.jit(partial(both.system.modules.vae.apply, method="encode"))
    wanted = encode({"params": both.variables.params["vae"]}, features, np.array([9, 30]))
    with torch.no_grad():
        found = both.torch.vae.encode(torch.from_numpy(features), torch.tensor([9, 30]))
    for ours, theirs in zip(found, wanted):
        close(ours, theirs)


def test_captions_are_the_same_token_by_token(both, clips):
    tokenizer = both.folder.tokenizer
    tokens = TokenIds.of(tokenizer)
    options = TextOptions(tokens.end, (tokens.start_of_motion, tokens.end_of_motion), max_new=12)
    batch = both.batch([both.captioning()] * len(clips), clips)
    write = jax.jit(partial(both.system.respond_text, options=options))
    wanted = np.asarray(write(both.variables, batch, both.system.understand(both.variables, batch), None))
    with torch.no_grad():
        found = both.torch.write(both.torch.understand(clips), 12, 1.1)
    assert found == [row[np.cumsum(row == tokenizer.end) == 0].tolist() for row in wanted]
    assert len({*found[0], *found[1]}) > 5
    assert (found[0] != found[1]) == any(both.system.config.decoder.shared)


def test_nothing_asked_is_nothing_answered(both):
    assert both.torch.text_to_motion([], []) == both.torch.caption([]) == []


def test_a_motion_depends_on_its_own_sentence_and_seed_alone(made):
    model = made(FULL).torch
    both = model.text_to_motion(SENTENCES, FRAMES, seeds=[3, 4], steps=3)
    (second,) = model.text_to_motion(SENTENCES[1:], FRAMES[1:], seeds=[4], steps=3)
    close(both[1], second, 1e-3)
    (other,) = model.text_to_motion(SENTENCES[1:], FRAMES[1:], seeds=[5], steps=3)
    assert (other - second).abs().max() > 0.1


def test_the_state_dict_has_the_official_names(both):
    official = to_official(both.variables.params, both.system.config)
    state = both.torch.state_dict()
    assert state.keys() == official.keys()
    for name, tensor in official.items():
        np.testing.assert_array_equal(state[name], tensor, err_msg=name)


@pytest.fixture
def copied(made, tmp_path):
    """Writes a model's folder anew with the parameters by their official names, format 1, and other tensors."""

    def write(change):
        both = made(FULL)
        shutil.copytree(both.folder.path, tmp_path, dirs_exist_ok=True)
        tensors = to_official(both.variables.params, both.system.config)
        tensors = {name: tensor for name, tensor in tensors.items() if name not in TIED}
        tensors |= {f"state.{name}": array for name, array in both.variables.state.items()}
        save_file(change(tensors), tmp_path / "model.safetensors", metadata={"format_version": "1"})
        return tmp_path

    return write


def test_tied_copies_may_be_in_the_file(made, copied):
    wte = made(FULL).variables.params["vocabulary"]["text"]["table"]
    folder = copied(lambda tensors: tensors | dict.fromkeys(TIED, tensors["lm.language_model.transformer.wte.weight"]))
    state = torch_model.MotionGPT3.from_folder(folder).state_dict()
    np.testing.assert_array_equal(state["lm.language_model.lm_head.weight"][: len(wte)], wte)


@pytest.fixture
def by_path(tmp_path):
    """Writes a model's folder anew with the parameters by their own paths, format 2."""

    def write(both, change=lambda tensors: tensors, version="2"):
        shutil.copytree(both.folder.path, tmp_path, dirs_exist_ok=True)
        tensors = flatten_dict(both.variables.params, sep="/")
        tensors |= {f"state/{name}": x for name, x in both.variables.state.items()}
        save_file(change(tensors), tmp_path / "model.safetensors", metadata={"format_version": version})
        return tmp_path

    return write


def test_parameters_by_their_paths_are_the_same_model(both, by_path, clips):
    second = torch_model.MotionGPT3.from_folder(by_path(both))
    first = both.torch.state_dict()
    assert first.keys() == second.state_dict().keys()
    for name, tensor in second.state_dict().items():
        np.testing.assert_array_equal(tensor, first[name], err_msg=name)
    assert second.caption(clips, max_new=4) == both.torch.caption(clips, max_new=4)
    options = {"frames": FRAMES, "steps": 2}
    for ours, wanted in zip(*(model.text_to_motion(SENTENCES, **options) for model in (second, both.torch))):
        np.testing.assert_array_equal(ours, wanted)


def test_a_lost_parameter_is_named_and_so_is_one_too_many(made, by_path):
    with pytest.raises(RuntimeError, match=r"Missing.*h\.0\.c_attn\.fn\.1\.weight"):
        torch_model.MotionGPT3.from_folder(
            by_path(
                made(FULL), lambda t: {name: x for name, x in t.items() if name != "decoder/layers/motion/k/kernel"}
            )
        )
    with pytest.raises(ValueError, match="hold decoder/layers/motion/gate/kernel, for which this model has no place"):
        torch_model.MotionGPT3.from_folder(
            by_path(made(FULL), lambda t: t | {"decoder/layers/motion/gate/kernel": np.ones((2, 2), np.float32)})
        )


def test_a_newer_format_is_refused_in_one_sentence(made, by_path):
    with pytest.raises(ValueError, match="has weights of format '3'; this file reads 1 and 2"):
        torch_model.MotionGPT3.from_folder(by_path(made(FULL), version="3"))


def test_a_lost_tensor_is_named(copied):
    folder = copied(lambda tensors: {name: x for name, x in tensors.items() if name != "vae.final_layer.bias"})
    with pytest.raises(RuntimeError, match=r"Missing.*vae\.final_layer\.bias"):
        torch_model.MotionGPT3.from_folder(folder)


ALONE = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"motiongpt3_jax", "jax", "jaxlib", "flax", "jaxtyping", "transformers"}:
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def alone(made, tmp_path):
    """Runs a copy of the file, on a model's folder, where nothing of the package can be imported."""
    script = shutil.copy(torch_model.__file__, tmp_path / "copy.py")

    def run(*arguments):
        command = [sys.executable, "-I", "-c", ALONE, script, made(FULL).folder.path, *arguments]
        return subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_the_file_alone_makes_a_motion(made, alone, tmp_path):
    done = alone("--text", SENTENCES[0], "--frames", 12, "--steps", 3, "--seed", 5, "--out", "walk.npy")
    assert (done.returncode, done.stderr) == (0, "")
    (joints,) = made(FULL).torch.text_to_motion(SENTENCES[:1], [12], seeds=[5], steps=3)
    close(joints, np.load(tmp_path / "walk.npy"), 1e-3)  # another process has other threads, which add up otherwise
    assert {path.name for path in tmp_path.iterdir()} == {"copy.py", "walk.npy"}


def test_the_file_alone_captions_a_motion(made, alone, clips, tmp_path):
    np.save(tmp_path / "clip.npy", clips[1])
    done = alone("--motion", "clip.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == made(FULL).torch.caption([clips[1]])[0].strip()


def test_joints_are_not_taken_for_features(alone, tmp_path):
    np.save(tmp_path / "joints.npy", np.zeros((30, 22, 3), np.float32))
    done = alone("--motion", "joints.npy")
    assert done.returncode == 1
    assert "shape (30, 22, 3); expected raw features" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("sentence", "options", "message"),
    [
        (
            "a person walks",
            {"frames": [999]},
            r"\[999\] frames were asked for; this model makes 1 to \d+ for each of 1 ",
        ),
        ("a person walks", {"frames": [12, 12]}, r"\[12, 12\] frames"),
        ("a person walks", {"frames": []}, r"\[\] frames"),
        ("a person walks", {"sampler": "euler"}, "euler"),
        ("a person walks", {"steps": 0}, "0 steps"),
        ("a person walks", {"seeds": [1, 2]}, "zip"),
        ("walk <start_of_motion>", {}, "<start_of_motion>"),
        ("walk " * 300, {}, "tokens are too many"),
    ],
)
def test_bad_requests_are_said(made, sentence, options, message):
    with pytest.raises(ValueError, match=message):
        made(FULL).torch.text_to_motion([sentence], **{"frames": [12], **options})


def test_a_motion_that_is_too_long_is_said(made):
    with pytest.raises(ValueError, match=r"\(300, 263\); expected raw features, 1 to 206 frames"):
        made(FULL).torch.caption([np.zeros((300, 263), np.float32)])


def test_a_model_with_fresh_parts_says_so(copied):
    folder = copied(dict)
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"untrained": ["text"]}))
    with pytest.raises(ValueError, match="cannot answer yet; not trained: text"):
        torch_model.MotionGPT3.from_folder(folder).text_to_motion(SENTENCES, FRAMES)


def test_a_folder_without_a_model_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no exported model at"):
        torch_model.MotionGPT3.from_folder(tmp_path)
