"""Which system reads a checkpoint, by the names of its tensors."""

import pytest

from motiongpt3_jax.interop.identify_system import choose_config, find_configs

MOTIONGPT3 = ["lm.language_model.transformer.h.0.c_attn.fn.0.weight", "lm.diffloss.net.input_proj.weight"]
MOTIONGPT = ["lm.language_model.shared.weight", "vae.quantizer.codebook"]
GPT2 = ["wte.weight", "h.0.attn.c_attn.weight"]


@pytest.mark.parametrize(
    ("names", "configs"),
    [
        (MOTIONGPT3, {"motiongpt3": "motiongpt3:base:official"}),
        (["motion_vae.skel_embedding.weight"], {"motiongpt3": "motiongpt3:base:official"}),
        (MOTIONGPT, {"motiongpt": "motiongpt:base:official"}),
        (["vae.encoder.model.0.weight", "vae.quantizer.codebook"], {"motiongpt": "motiongpt:base:official"}),
        (
            ["shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"],
            {"motiongpt": "motiongpt:base:official"},
        ),
        (
            ["vae.quantizer.codebook", "lm.language_model.transformer.h.0.attn.c_attn.weight"],
            {"motiongpt": "motiongpt:gpt2:official"},
        ),
        (GPT2, {"motiongpt3": "motiongpt3:base:official", "motiongpt": "motiongpt:gpt2:official"}),
    ],
)
def test_the_systems_that_read_a_checkpoint_and_their_configs(names, configs):
    assert list(find_configs(names).items()) == list(configs.items())
    assert choose_config(names, "", "") == next(iter(configs.values()))


def test_a_config_that_is_given_counts_where_its_system_reads_the_tensors():
    assert choose_config(GPT2, "motiongpt:gpt2", "motiongpt") == "motiongpt:gpt2"
    assert choose_config(MOTIONGPT, "mine.py", "motiongpt") == "mine.py"


def test_a_config_of_another_system_than_the_tensors_is_refused():
    with pytest.raises(ValueError, match=r"are read as a MotionGPT, and --config motiongpt3:tiny is of a MotionGPT3: "):
        choose_config(MOTIONGPT, "motiongpt3:tiny", "motiongpt3")
    with pytest.raises(ValueError, match="leave --config out, or give one such as motiongpt3:base:official"):
        choose_config(MOTIONGPT3, "motiongpt:base", "motiongpt")


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (["encoder.conv.weight", "quantizer.layers.0.codebook"], "a VQ-VAE such as that of MoMask"),
        (["input_process.poseEmbedding.weight", "seqTransEncoder.layers.0.linear1.weight"], "MDM"),
        (["seqTransformer.layers.0.linear1.weight"], "MoMask"),
        (["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"], "a Llama"),
    ],
)
def test_other_models_are_named(names, model):
    with pytest.raises(
        ValueError, match=rf"are those of {model}.*, another model, .*: give a MotionGPT3, .*, or a Mot"
    ):
        choose_config(names, "", "")


def test_unknown_tensors_are_said_to_be_of_no_known_model():
    with pytest.raises(ValueError, match=r"the tensors \(bert\.a, bert\.b \.\.\.\) are of no known model: give a"):
        choose_config(["bert.a", "bert.b"], "motiongpt3:test", "motiongpt3")
