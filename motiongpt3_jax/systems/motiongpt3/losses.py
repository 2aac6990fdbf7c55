"""The losses of MotionGPT3's stages, as sums and counts, and the random numbers that they use."""

from functools import cache, partial

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import HUMANML3D_COLUMNS, JointColumns, Tables, cross_entropy, vae_loss
from motiongpt3_jax.motion import SKELETONS
from motiongpt3_jax.systems.interface import Terms, Tree, Variables
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, MotionGPT3Config, VaeObjective
from motiongpt3_jax.systems.motiongpt3.forward import conditions, encode_clips, streams, to_language
from motiongpt3_jax.systems.motiongpt3.frozen_text import text_is_frozen, trained_last
from motiongpt3_jax.systems.motiongpt3.modules import Modules

MOMENT_DECAY = 0.99


class Draws(struct.PyTreeNode):
    """Every random number of a loss.

    Attributes:
      latent: standard normals of the clips' posteriors.
      time: uniform numbers that choose the noise level of each repeat.
      noise: standard normals added to the targets.
      drop: uniform numbers; below the chance, a repeat sees the null condition.
      dropout: key of the dropout masks; None in evaluation.
    """

    latent: Float[Array, "rows clips latents width"]
    time: Float[Array, "rows outputs repeats"]
    noise: Float[Array, "rows outputs repeats latents width"]
    drop: Float[Array, "rows outputs repeats"]
    dropout: jax.Array | None = None


def draw(config: MotionGPT3Config, key: jax.Array, batch: Batch, train: bool) -> Draws:
    """Draws keyed by the seed of each clip and output, so that batch mates change nothing but dropout."""
    latent = (config.vae.latents, config.vae.width)

    def of_clip(seed: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 0), seed), latent)

    def of_output(seed: Array) -> tuple[Array, Array, Array]:
        mine = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, 1), seed), 3)
        return (
            jax.random.uniform(mine[0], (config.repeats,)),
            jax.random.normal(mine[1], (config.repeats, *latent)),
            jax.random.uniform(mine[2], (config.repeats,)),
        )

    seeds = batch.extra.get("output_seeds", jnp.zeros((len(batch.samples), 0), jnp.uint32))
    time, noise, drop = jax.vmap(jax.vmap(of_output))(seeds)
    return Draws(
        latent=jax.vmap(jax.vmap(of_clip))(batch.clip_seeds),
        time=time,
        noise=noise,
        drop=drop,
        dropout=jax.random.fold_in(key, 2) if train else None,
    )


def vae_terms(modules: Modules, variables: Variables, batch: Batch, draws: Draws, objective: VaeObjective) -> Terms:
    """The VAE's reconstruction and divergence; measures the latents' moments when the config asks for it."""
    rngs = _rngs(draws, objective.dropout)
    mean, log_variance = encode_clips(modules, variables.params, batch, rngs)
    latents = mean + jnp.exp(0.5 * log_variance) * draws.latent
    sums: dict[str, Array] = {}
    counts: dict[str, Array] = {}
    first = 0
    for features in batch.clips:
        clips, length, width = features.shape[1:]
        here = slice(first, first + clips)
        frames = batch.clip_frames[:, here].reshape(-1)

        def flat(x: Array, clips: int = clips, here: slice = here) -> Array:
            return x[:, here].reshape(-1, *x.shape[2:])

        decoded = modules.vae.apply(
            {"params": variables.params["vae"]},
            flat(latents),
            frames,
            length,
            deterministic=rngs is None,
            method="decode",
            rngs=rngs,
        )
        new_sums, new_counts = vae_loss(
            features.reshape(-1, length, width),
            decoded,
            flat(mean),
            flat(log_variance),
            frames,
            objective.padding,
            joint_columns(width),
        )
        sums = {k: sums.get(k, 0.0) + v for k, v in new_sums.items()}
        counts = {k: counts.get(k, 0.0) + v for k, v in new_counts.items()}
        first += clips
    moments = {}
    if modules.config.latent_scale is None:
        moments = _moment_sums(jax.lax.stop_gradient(latents), batch.clip_frames > 0)
    return Terms(sums=sums, counts=counts, state_sums=moments)


@cache
def joint_columns(features: int) -> JointColumns:
    """Where the joints stand among so many features; as HumanML3D's where no skeleton has so many."""
    skeleton = next((skeleton for skeleton in SKELETONS.values() if skeleton.features == features), None)
    if skeleton is None:
        return HUMANML3D_COLUMNS
    return JointColumns.of(len(skeleton.joints), sorted(joint for foot in skeleton.feet for joint in foot))


def _moment_sums(latents: Float[Array, "rows clips latents width"], real: Bool[Array, "rows clips"]) -> Tree:
    """Sums over the real clips of their latents and of their squares, and how many clips there are."""
    weights = real.astype(latents.dtype)
    return {
        "clips": weights.sum(),
        "latent_mean": jnp.einsum("rc,rclw->lw", weights, latents),
        "latent_square": jnp.einsum("rc,rclw->lw", weights, latents**2),
    }


def advance(state: Tree, sums: Tree) -> Tree:
    """Exponential moving average of the latents' first and second moments; a batch without clips leaves them."""
    step = jnp.where(sums["clips"] > 0, 1 - MOMENT_DECAY, 0.0)
    means = {name: sums[name] / jnp.maximum(sums["clips"], 1) for name in state}
    return {name: old + step * (means[name] - old) for name, old in state.items()}


def language_terms(
    modules: Modules, variables: Variables, batch: Batch, draws: Draws, objective: LanguageObjective
) -> Terms:
    """Next-token cross-entropy of the text and noise prediction of the motion, whichever has a weight."""
    modules = modules.using(objective.adapter)
    params, rngs = variables.params, _rngs(draws, objective.dropout)
    trained = None
    if text_is_frozen(variables):
        batch, trained = trained_last(batch, modules.config.vocabulary)
    latents = None
    if batch.clips or batch.encoded is not None:
        vae_rngs = _rngs(draws, objective.vae_dropout)
        mean, log_variance = encode_clips(modules, params, batch, vae_rngs)
        latents = to_language(variables.state, mean + jnp.exp(0.5 * log_variance) * draws.latent)
        latents = jax.lax.stop_gradient(latents)
    tables = text_tables(modules, params)
    entering = streams(modules, params, batch, latents, tables)
    entering["text"] = entering["text"].replace(trained=trained)
    hidden = modules.decoder.apply({"params": params["decoder"]}, entering, deterministic=rngs is None, rngs=rngs)
    terms = Terms(sums={}, counts={})
    if objective.text:
        terms = _join(terms, text_terms(modules, params, hidden["text"], batch, tables))
    if objective.diffusion and latents is not None:
        holders = conditions(hidden["motion"], batch.extra["outputs"])
        terms = _join(terms, diffusion_terms(modules, params, holders, latents, batch, draws, objective, rngs))
    return terms


def text_tables(modules: Modules, params: Tree) -> Tables | None:
    """What embeddings and logits share on a mesh; on one device they need nothing."""
    vocabulary = {"params": params["vocabulary"]["text"]}
    return modules.text.apply(vocabulary, method="tables") if modules.constrain else None


def text_terms(
    modules: Modules,
    params: Tree,
    hidden: Float[Array, "rows slots width"],
    batch: Batch,
    tables: Tables | None = None,
) -> Terms:
    """Cross-entropy of the weighted targets; unpredictable ones count as ln(vocabulary), the uniform guess."""
    slots, unpredictable = batch.streams["text"], batch.extra["unpredictable"].sum()
    params = params["vocabulary"]["text"]
    found = cross_entropy(modules.text, params, hidden, slots.targets, slots.weights, tables)
    vocabulary = modules.config.vocabulary + modules.config.new_ids
    return Terms(
        sums={"text": found.loss + unpredictable * jnp.log(vocabulary)},
        counts={"text": slots.weights.sum() + unpredictable},
        metrics={"text_accuracy": ((found.right * slots.weights).sum(), slots.weights.sum())},
    )


def diffusion_terms(
    modules: Modules,
    params: Tree,
    holders: Float[Array, "rows outputs holders width"],
    latents: Float[Array, "rows clips latents channels"],
    batch: Batch,
    draws: Draws,
    objective: LanguageObjective,
    rngs: dict[str, jax.Array] | None,
) -> Terms:
    """Mean squared error of the predicted noise (or flow), over repeats that each draw their own noise level."""
    rows, outputs, repeats = draws.time.shape
    real = batch.extra["output_clip"] >= 0
    place = jnp.maximum(batch.extra["output_clip"], 0)[..., None, None]
    clean = jnp.take_along_axis(latents, place, axis=1)[:, :, None]
    noisy, time, target = add_noise(modules, clean, draws)

    head = partial(modules.head.apply, {"params": params["head"]})
    pool = partial(head, method="pool", deterministic=rngs is None, rngs=rngs)
    pooled = pool(holders.reshape(rows * outputs, *holders.shape[2:])).reshape(rows, outputs, 1, -1)
    dropped = (draws.drop < objective.condition_dropout)[..., None]
    pooled = jnp.where(dropped, pool(params["null_condition"][None])[0], pooled)
    condition = pooled.reshape(rows * outputs * repeats, -1) + head(time.reshape(-1), method="time")
    guess = head(noisy.reshape(-1, *noisy.shape[3:]), condition, method="denoise")
    errors = jnp.mean((guess.reshape(target.shape) - target) ** 2, axis=(-2, -1))
    return Terms(
        sums={"diffusion": jnp.where(real[..., None], errors, 0.0).sum()},
        counts={"diffusion": real.sum() * float(repeats)},
    )


def add_noise(modules: Modules, clean: Array, draws: Draws) -> tuple[Array, Array, Array]:
    """(noisy latents, the time that the head is told, what it is to predict): q_sample, or a rectified flow's point."""
    drawn = draws.time
    if modules.config.times == "logit_normal":
        drawn = jax.nn.sigmoid(jax.scipy.special.ndtri(drawn))
    if modules.config.flow:
        time = drawn[..., None, None]
        return (1 - time) * draws.noise + time * clean, drawn, clean - draws.noise
    steps = modules.config.diffusion_steps
    time = jnp.minimum((drawn * steps).astype(jnp.int32), steps - 1)
    return modules.schedule.q_sample(clean, time, draws.noise), time, draws.noise


def _rngs(draws: Draws, dropout: bool) -> dict[str, jax.Array] | None:
    return {"dropout": draws.dropout} if dropout and draws.dropout is not None else None


def _join(a: Terms, b: Terms) -> Terms:
    return Terms({**a.sums, **b.sums}, {**a.counts, **b.counts}, {**a.metrics, **b.metrics})
