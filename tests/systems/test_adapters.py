"""Section `model.lora`: what it may say, which adapter is used when, and what trains."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.configs.sections import adapter
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.models import Adapter, Adapters, merge_adapter
from motiongpt3_jax.systems.adapters import adapter_for, read_adapters
from motiongpt3_jax.systems.interface import Question, Variables
from motiongpt3_jax.systems.motiongpt.kind import KIND as MOTIONGPT
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.flops import train_flops
from motiongpt3_jax.systems.motiongpt3.frozen_text import text_is_frozen
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.training.partition import matches
from tests.systems.motiongpt import small
from tests.systems.published import language_objective
from tests.systems.tiny import CONFIG, EXAMPLES, rows, variables

WORDS = Adapter("words", 2, 4.0, 0.0, ("text/.*",))
ADAPTED = replace(CONFIG, decoder=replace(CONFIG.decoder, adapters=Adapters((WORDS, replace(WORDS, name="other")))))
BATCH = rows(EXAMPLES)


def arrays():
    """(the adapter's factors, all other parameters) by path."""
    flat = flatten_dict(variables(ADAPTED).params, sep="/")
    factors = {path: x for path, x in flat.items() if "/lora/words/" in path}
    return factors, {path: x for path, x in flat.items() if path not in factors}


def config(system="motiongpt3", lora=None, stage="generate", **changed):
    """Plain values of the smallest config, with these adapters and changes of a stage."""
    values = plain(load_config(f"{system}:test").to_dict())
    values["model"]["lora"] = lora or {}
    values["stages"][stage] |= changed
    return values


def using(values, stage, name):
    """The same with an adapter in use in a stage, which it trains alone."""
    values["stages"][stage]["objective"]["adapter"] = name
    values["stages"][stage]["trainable"] = (f".*/lora/{name}/.*",)
    values["stages"][stage]["optimizer"] |= {"muon": (), "groups": ()}
    return values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rank": 1.5}, "model.lora.a.rank is 1.5; it must be a whole number from 1"),
        ({"dropout": 1.0}, "model.lora.a.dropout is 1.0"),
        ({"targets": ()}, "model.lora.a.targets is \\(\\); it must be one or more in a tuple"),
        ({"makes": ("dance",)}, "each one of motion, text"),
    ],
)
def test_a_value_that_is_none_is_named(change, said):
    with pytest.raises(UserError, match=said):
        read_adapters({"a": {**adapter(4, (".*",)), **change}})


def test_what_adapters_are_used_for_is_said_once():
    both = {"t2m": adapter(4, (".*",), makes=("motion",)), "m2t": adapter(2, (".*",), makes=("text",))}
    assert [adapter_for(both, makes) for makes in ("motion", "text")] == ["t2m", "m2t"]
    assert adapter_for({}, "text") is None
    with pytest.raises(UserError, match="t2m and m2t are both used for motion; leave it out of `makes` of one"):
        read_adapters({**both, "m2t": adapter(2, (".*",))})
    with pytest.raises(UserError, match=r"a name in model\.lora is 'a/b'"):
        read_adapters({"a/b": adapter(2, (".*",))})


@pytest.mark.parametrize(
    ("system", "stage", "stream"), [("motiongpt3", "generate", "text"), ("motiongpt", "t2m", "target")]
)
def test_a_stage_trains_the_adapter_that_it_uses(system, stage, stream):
    lora = {"a": adapter(4, (f"{stream}/(q|v)",))}
    stages = check_config(using(config(system, lora, stage), stage, "a")).stages
    factor = next(iter(arrays()[0])).replace("/words/", "/a/")
    # Patterns that match all parameters do not train an adapter that is not used.
    assert [name for name in stages if matches(factor, stages[name].trainable)] == [stage]
    other = using(config(system, lora, stage), stage, "b") | {"run": (stage,)}
    other["stages"][stage]["trainable"] = (".*/kernel",)
    with pytest.raises(UserError, match=f"stages.{stage}.objective.adapter is 'b', and config.model.lora has: a"):
        check_config(other)
    with pytest.raises(UserError, match=r"an adapter that has no gradient, as the stage's objective.adapter is ''"):
        check_config(config(system, lora, stage, trainable=(".*/lora/a/.*",)))
    odd = config(system, lora, stage, trainable=(".*/lora/a/.*",))
    odd["stages"][stage]["objective"]["adapter"] = {"a": 1}
    with pytest.raises(UserError, match=r"objective.adapter is \{'a': 1\}; it must be text"):
        check_config(odd)
    with pytest.raises(UserError, match=r"config\.model\.lora\.a\.targets matches no projection"):
        check_config(config(system, {"a": adapter(4, ("txt/.*",))}, stage))


def loss(factors, base, objective):
    params = unflatten_dict({**factors, **base}, sep="/")
    system = MotionGPT3(ADAPTED)
    draws = system.draw(jax.random.key(0), BATCH, False)
    terms = system.losses["language"](
        Variables(params, variables(ADAPTED).state, frozenset(base)), BATCH, draws, objective
    )
    return terms.sums["text"] + terms.sums["diffusion"]


def test_the_loss_uses_the_adapter_of_its_objective_through_the_frozen_text_branch():
    used, none = (replace(language_objective(), adapter=name) for name in ("words", ""))
    gradients = jax.jit(jax.grad(loss), static_argnums=2)(*arrays(), used)
    # The last layer's queries, and what follows, reach the text's logits; each of the first layer's reaches all.
    assert all(np.any(np.asarray(x)[0]) for x in gradients.values())
    unused = jax.jit(jax.grad(loss), static_argnums=2)(*arrays(), none)
    assert not any(np.any(x) for x in unused.values())


def test_a_text_branch_with_an_adapter_that_trains_is_not_frozen():
    factors, base = arrays()
    assert not text_is_frozen(variables(ADAPTED).replace(frozen=frozenset(base)))
    assert text_is_frozen(variables(ADAPTED).replace(frozen=frozenset({*base, *factors})))
    used, none = (replace(language_objective(), adapter=name) for name in ("words", ""))
    everything, adapter_alone, nothing = (
        train_flops(ADAPTED, "language", BATCH, objective, frozen)
        for objective, frozen in ((used, ()), (used, base), (none, {*base, *factors}))
    )
    assert nothing < adapter_alone < everything


def test_configs_from_before_adapters_have_none():
    for system in ("motiongpt3", "motiongpt"):
        values = plain(load_config(f"{system}:test").to_dict())
        old = {**values, "model": {key: x for key, x in values["model"].items() if key != "lora"}}
        old["stages"] = {
            name: {**stage, "objective": {key: x for key, x in stage["objective"].items() if key != "adapter"}}
            for name, stage in values["stages"].items()
        }
        assert plain(find_system(system).upgrade_config(old, 2)) == values


@pytest.mark.slow
def test_answers_use_the_adapter_of_what_they_make():
    """Greedy codes with an adapter are those of the weights that it is merged into, and captions have another."""
    lora = {"t2m": adapter(4, (".*",), makes=("motion",)), "m2t": adapter(2, (".*/(q|v)",), makes=("text",))}
    plain_spec = small.spec_of()
    spec = replace(plain_spec, config=config("motiongpt", lora, "t2m"))
    system = MOTIONGPT.make_system(spec)
    variables = small.variables_of(system)
    answers = MOTIONGPT.make_answers(spec, system)
    question = Question(small.SENTENCES[0])
    options = {"motion": answers.motion_options(temperature=0.0), "text": answers.text_options(max_new=8)}

    def hidden(answers, variables, makes):
        example = answers.example(0, question, makes, options[makes])
        batch = small.batch_of(answers, [question], makes, options[makes])
        prefill = next(phase for phase in answers.phases(example, makes, options[makes], 0) if phase.name == "prefill")
        return np.asarray(jax.jit(prefill.run)(variables, batch, None, None)["prefix"].hidden)

    merged = {name: merge_adapter(variables.params, read_adapters(lora), name)[0] for name in lora}
    without = MOTIONGPT.make_answers(plain_spec, MOTIONGPT.make_system(plain_spec))
    for makes, name in (("motion", "t2m"), ("text", "m2t")):
        wanted = hidden(without, variables.replace(params=merged[name]), makes)
        np.testing.assert_allclose(hidden(answers, variables, makes), wanted, atol=1e-4)
        assert np.abs(hidden(without, variables, makes) - wanted).max() > 1e-2
