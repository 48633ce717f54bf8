"""The JAX backend: an Equinox network, Optax, and a whole update in one jitted scan."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from sb3_ext.backends.autograd import (
    AutogradActorCritic,
    Outputs,
    chosen,
    loss_of,
    predictions_of,
    raise_not_finite,
)
from sb3_ext.backends.base import Batch, Rates, UpdateSettings, UpdateStats, take
from sb3_ext.backends.jax_network import OwnNetwork, named_leaves
from sb3_ext.backends.parameters import check_names_and_shapes, is_value_parameter, shapes
from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec
from sb3_ext.functional.losses import Coefficients, Predictions, ppo_rows
from sb3_ext.functional.xp import namespace

__all__ = ["JaxActorCritic", "Network"]

ACTIVATIONS: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "identity": lambda x: x,
}
_XP = namespace("jax")


# The network. Its leaves are taken from a mapping of canonical names, so that the same constructor
# called with names in place of arrays gives a tree which tells each leaf's name.


class Linear(eqx.Module):
    """``W x + b`` for columns x, ``[in, B]`` to ``[out, B]``.

    The derivative of W, a sum over the B columns, is then a product of rows with rows: on a CPU
    XLA has a faster one for it than for columns with columns.
    """

    weight: Any
    bias: Any

    def __init__(self, parameters: Mapping[str, Any], name: str) -> None:
        self.weight, self.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.weight @ x + self.bias[:, None]


class Convolution(Linear):
    """``[B, C, H, W]``; the kernel lies ``[out, in, size, size]``."""

    stride: int = eqx.field(static=True)

    def __init__(self, parameters: Mapping[str, Any], name: str, stride: int) -> None:
        super().__init__(parameters, name)
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        y = jax.lax.conv_general_dilated(x, self.weight, strides, "VALID")
        return y + self.bias[:, None, None]


class Tower(eqx.Module):
    """Linear layers with an activation after each, ``[in, B]`` to ``[out, B]``."""

    layers: list[Linear]
    activation: str = eqx.field(static=True)

    def __init__(
        self, parameters: Mapping[str, Any], name: str, n_layers: int, activation: str
    ) -> None:
        self.layers = [Linear(parameters, f"{name}.{2 * k}") for k in range(n_layers)]
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x


class NatureCNN(eqx.Module):
    """Three convolutions and a linear layer, a ReLU after each (Mnih et al. 2015)."""

    convolutions: list[Convolution]
    linear: Linear
    scale: float = eqx.field(static=True)

    def __init__(self, parameters: Mapping[str, Any], name: str, scale: float) -> None:
        self.convolutions = [
            Convolution(parameters, f"{name}cnn.{2 * k}", stride)
            for k, (_, _, stride) in enumerate(NATURE_CNN)
        ]
        self.linear = Linear(parameters, f"{name}linear.0")
        self.scale = scale

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32) * self.scale
        for convolution in self.convolutions:
            x = jax.nn.relu(convolution(x))
        return jax.nn.relu(self.linear(x.reshape(len(x), -1).T)).T


class Extractor(eqx.Module):
    """Images through a NatureCNN each, the rest flattened, side by side."""

    cnns: dict[str, NatureCNN]

    def __init__(self, parameters: Mapping[str, Any], name: str, spec: NetworkSpec) -> None:
        self.cnns = {
            key: NatureCNN(
                parameters,
                f"{name}.extractors.{key}." if key else f"{name}.",
                spec.image_scale(key),
            )
            for key in spec.images
        }

    def __call__(self, x: Any) -> jax.Array:
        if not isinstance(x, dict):
            return self.cnns[""](x) if self.cnns else x.reshape(len(x), -1)
        parts = [
            self.cnns[key](part) if key in self.cnns else part.reshape(len(part), -1)
            for key, part in x.items()
        ]
        return jnp.concatenate(parts, axis=1)


class Network(eqx.Module):
    """Actor and critic, from encoded observations to :class:`Outputs`."""

    log_std: Any
    extractor: Extractor
    vf_extractor: Extractor | None
    policy_net: Tower
    value_net: Tower
    action_head: Linear
    value_head: Linear

    def __init__(self, spec: NetworkSpec, parameters: Mapping[str, Any]) -> None:
        self.log_std = parameters.get("log_std")
        self.extractor = Extractor(parameters, "features_extractor", spec)
        self.vf_extractor = None
        if not spec.share_features_extractor:
            self.vf_extractor = Extractor(parameters, "vf_features_extractor", spec)
        tower = partial(Tower, parameters, activation=spec.activation)
        self.policy_net = tower("mlp_extractor.policy_net", len(spec.pi))
        self.value_net = tower("mlp_extractor.value_net", len(spec.vf))
        self.action_head = Linear(parameters, "action_net")
        self.value_head = Linear(parameters, "value_net")

    def __call__(self, x: Any, actor_only: bool = False) -> Outputs:
        features = _columns(self.extractor(x))
        latent = self.policy_net(features)
        actions = _columns(self.action_head(latent))
        if actor_only:
            return Outputs(actions, latent.T, None, self.log_std)
        if self.vf_extractor is not None:
            features = _columns(self.vf_extractor(x))
        values = self.value_head(self.value_net(features))[0]
        return Outputs(actions, latent.T, values, self.log_std)


def _columns(rows: jax.Array) -> jax.Array:
    """Rows as columns or the other way round, laid out so: XLA would rather turn the products."""
    return jax.lax.optimization_barrier(jax.lax.optimization_barrier(rows).T)


# One optimizer step, as pure functions.


class Learner(NamedTuple):
    """What an optimizer step changes; the network's parameters lie in one vector, ``[P]``."""

    parameters: jax.Array
    optimizer: Any


def _norm(gradient: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(gradient * gradient))


def _clip(gradient: jax.Array, is_value: NDArray, limits: Rates) -> tuple[jax.Array, jax.Array]:
    """The gradient within its limits, and its norm before."""
    norm = _norm(gradient)
    if limits.value is None:
        return gradient * jnp.minimum(limits.policy / (norm + 1e-6), 1.0), norm
    policy, value = (
        jnp.minimum(limit / (_norm(jnp.where(part, gradient, 0.0)) + 1e-6), 1.0)
        for limit, part in ((limits.policy, ~is_value), (limits.value, is_value))
    )
    return gradient * jnp.where(is_value, value, policy), norm


def _apply(
    transform: optax.GradientTransformation,
    is_value: NDArray,
    learner: Learner,
    gradient: jax.Array,
    rates: Rates,
    limits: Rates,
) -> tuple[Learner, jax.Array]:
    """Clip the gradient, move the parameters; also returns the norm before clipping."""
    gradient, norm = _clip(gradient, is_value, limits)
    moves, optimizer = transform.update(gradient, learner.optimizer)
    rate: Any = rates.policy
    if rates.value is not None:
        rate = jnp.where(is_value, rates.value, rates.policy)
    return Learner(learner.parameters - rate * moves, optimizer), norm


def enable_compilation_cache() -> None:
    """Keep compiled programs on disk between runs, unless the user has chosen a place himself."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "sb3_ext" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


class JaxActorCritic(AutogradActorCritic):
    """PPO's network in Equinox, moved by Optax.

    Args:
        spec: The network to build.
        parameters: Canonical initial parameters; None: the user's own network's.
    """

    name = "jax"

    def __init__(self, spec: NetworkSpec, parameters: dict[str, NDArray] | None) -> None:
        super().__init__(spec, parameters)
        enable_compilation_cache()
        if spec.network is None:
            self.shapes = shapes(spec)
            # A tree like the network, with names in place of arrays.
            names = Network(spec, {name: name for name in self.shapes})
            self.names, self.structure = jax.tree.flatten(names)
        else:
            own = OwnNetwork(spec)
            initial = named_leaves(own)
            self.shapes = {name: leaf.shape for name, leaf in initial.items()}
            self.names, self.structure = list(initial), jax.tree.structure(own)
            parameters = initial if parameters is None else parameters
        assert parameters is not None
        self.sizes = [int(np.prod(self.shapes[name])) for name in self.names]
        self.transform = _transform(spec.optimizer, **spec.optimizer_kwargs)
        self.learner: Learner
        self._set(parameters)
        self.step_count = 0
        self._compile()

    def _compile(self) -> None:
        """The functions that XLA runs; each is compiled at its first call with new shapes."""
        spec = self.spec
        is_value = np.repeat([is_value_parameter(name) for name in self.names], self.sizes)
        step = partial(_apply, self.transform, is_value)

        def loss(network: Any, batch: Batch, mask: Any, coefs: Coefficients) -> Any:
            predictions = predictions_of(_XP, spec, network(batch.obs), batch.actions)
            return loss_of(_XP, predictions, batch, coefs, mask), predictions

        def choose(parameters: jax.Array, x: Any, noise: Any) -> Any:
            return chosen(_XP, spec, partial(self.network_of(parameters), x), noise)

        # Derived by the leaves: a derivative through slices of one vector is a sum of padded ones.
        of_tree = jax.value_and_grad(loss, has_aux=True)

        def gradient(parameters: jax.Array, *rest: Any) -> Any:
            found, tree = of_tree(self.network_of(parameters), *rest)
            return found, jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(tree)])

        self._infer = jax.jit(lambda parameters, x: self.network_of(parameters)(x))
        self._infer_actor = jax.jit(
            lambda parameters, x: self.network_of(parameters)(x, actor_only=True)
        )
        self._choose = jax.jit(choose)
        self._gradient = jax.jit(gradient)
        self._apply = jax.jit(step)
        self.learn = partial(_scan, gradient, step)  # pure: a program of programs can have it
        self._scan = jax.jit(self.learn, static_argnames=("size", "normalized"))

    def _set(self, parameters: Mapping[str, Any], optimizer: Any = None) -> None:
        check_names_and_shapes(self.shapes, parameters)
        vector = self._vector(parameters)
        self.learner = Learner(vector, optimizer or self.transform.init(vector))
        self._is_twin_old = True

    def _vector(self, named: Mapping[str, Any]) -> jax.Array:
        """Canonical arrays, one after the other."""
        parts = [np.asarray(named[name], np.float32).reshape(-1) for name in self.names]
        return jnp.array(np.concatenate(parts))

    def _views(self, vector: Any) -> list[Any]:
        """Each parameter's part of a vector, in the order of the tree's leaves."""
        views, start = [], 0
        for name, size in zip(self.names, self.sizes, strict=True):
            views.append(vector[start : start + size].reshape(self.shapes[name]))
            start += size
        return views

    def network_of(self, parameters: jax.Array) -> Any:
        """The network whose parameters a vector holds."""
        return jax.tree.unflatten(self.structure, self._views(parameters))

    def _named(self, vector: Any) -> dict[str, NDArray]:
        found = dict(zip(self.names, self._views(np.asarray(vector)), strict=True))
        return {name: found[name].copy() for name in self.shapes}

    def tensor(self, array: NDArray) -> NDArray:
        """As it is: jitted functions take NumPy's arrays, faster than ``jnp.asarray`` does."""
        return array

    @property
    def own_network(self) -> Any:
        """The user's module, or None."""
        network: Any = self.network_of(self.learner.parameters)
        return None if self.spec.network is None else network.module

    def infer(self, x: Any, actor_only: bool) -> Outputs:
        """One jitted forward pass."""
        return (self._infer_actor if actor_only else self._infer)(self.learner.parameters, x)

    def chooser(self) -> Callable[[Any, Any], Any]:
        """One jitted function; the network is taken apart once, not at every call."""
        return partial(self._choose, self.learner.parameters)

    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""
        if self._twin is not None:
            return super().values(obs)
        # XLA compiles anew for every B, and rollouts end with any number of truncations.
        n = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
        rows = np.arange(1 << (n - 1).bit_length()) % n
        return super().values(take(obs, rows))[:n]

    # The update

    def loss_and_grad(self, minibatch: Batch, coefs: Coefficients) -> tuple[Predictions, Any]:
        """A jitted minibatch; :meth:`update` does the same without leaving XLA."""
        batch = self.minibatch_tensors(minibatch)
        (_, predictions), gradient = self._gradient(self.learner.parameters, batch, None, coefs)
        return Predictions(*(None if p is None else np.asarray(p) for p in predictions)), gradient

    def named_gradients(self, gradient: Any) -> dict[str, NDArray]:
        """A gradient under the parameters' names."""
        return self._named(gradient)

    def combine(self, total: Any, gradient: Any, weight: float) -> Any:
        """``total + weight * gradient``."""
        if total is None:
            return gradient * weight
        return total + gradient * weight

    def apply_gradients(self, gradient: Any, learning_rate: Rates, max_grad_norm: Rates) -> float:
        """Clip by the norm and step."""
        learner, norm = self._apply(self.learner, gradient, learning_rate, max_grad_norm)
        if not np.isfinite(norm):
            raise_not_finite(self._named(gradient))
        self.learner, self._is_twin_old = learner, True
        self.step_count += 1
        return float(norm)

    def update(
        self,
        rollout: Batch | Callable[[int], Batch],
        settings: UpdateSettings,
        order: Callable[[int], NDArray] | None,
    ) -> UpdateStats:
        """All epochs and minibatches in one scan.

        But minibatch by minibatch with convolutions on a CPU: inside a loop XLA takes its plainest
        code for them, and 20 times as long.
        """
        in_steps = bool(self.spec.images) and jax.default_backend() == "cpu"
        if in_steps or order is None or not isinstance(rollout, Batch):
            return super().update(rollout, settings, order)
        plan = make_plan(rollout.n_rows, settings, order)
        result = self._scan(
            self.learner,
            self.minibatch_tensors(rollout),
            plan,
            *numbers_of(settings),
            size=settings.batch_size,
            normalized=settings.normalize_minibatch,
        )
        # Not finite: step by step from the same state; it stops at the culprit and says what it is.
        return self.accept(result, plan, rollout, settings) or super().update(
            rollout, settings, order
        )

    def accept(
        self, result: "Learned", plan: "Plan", rollout: Batch, settings: UpdateSettings
    ) -> UpdateStats | None:
        """Go on from what a scan has learned; None, and nothing changes, if it isn't finite."""
        norms = np.asarray(result.norms)
        if not np.isfinite(norms).all():
            return None
        stats, n_steps = _read(plan, rollout, settings, result, norms)
        self.learner, self._is_twin_old = result.learner, True
        self.step_count += n_steps
        return stats

    # Canonical dictionaries

    def parameters(self) -> dict[str, NDArray]:
        """Copies of the parameters."""
        return self._named(self.learner.parameters)

    def load_parameters(self, parameters: dict[str, NDArray]) -> None:
        """Set all parameters."""
        self._set(parameters, self.learner.optimizer)

    def optimizer_state(self) -> dict[str, Any]:
        """``{"step": int, moment: {name: array}}``."""
        state = self.learner.optimizer
        result: dict[str, Any] = {"step": self.step_count}
        if self.step_count:
            for field, moment in _MOMENTS.items():
                if hasattr(state, field):
                    result[moment] = self._named(getattr(state, field))
        return result

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Set what :meth:`optimizer_state` gave."""
        self.step_count = max(int(state["step"]), int("momentum_buffer" in state))
        new = self.transform.init(self.learner.parameters)
        for field, moment in _MOMENTS.items():
            if moment in state and hasattr(new, field):
                new = new._replace(**{field: self._vector(state[moment])})
        if isinstance(new, optax.ScaleByAdamState):
            new = new._replace(count=jnp.array(self.step_count, jnp.int32))
        self.learner = self.learner._replace(optimizer=new)


_MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq", "trace": "momentum_buffer"}
"""Optax's names for the moments, and ours, which are torch's."""


def _transform(
    name: str,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> optax.GradientTransformation:
    """The optimizer without its learning rate, which changes from update to update."""
    if name == "adam":
        return optax.scale_by_adam(*betas, eps)
    return optax.trace(momentum) if momentum else optax.identity()


class Plan(NamedTuple):
    """What each of an update's T optimizer steps reads: S rows of the rollout.

    A step of several accumulated minibatches is one of all their rows: the mean over them is the
    weighted mean of the minibatches' means.
    """

    rows: Any  # [T, S], which rows of the rollout
    mask: Any  # [T, S], 0 for what pads an epoch's last step; None: nothing does


class Columns(NamedTuple):
    """A :class:`Batch` without what the network reads, laid out in the plan's order, ``[T, S]``."""

    old_log_prob: Any
    old_values: Any
    advantages: Any
    returns: Any


class Means(NamedTuple):
    """Of each minibatch's rows, ``[T, k]`` each: k minibatches make an optimizer step."""

    policy: Any
    value: Any
    entropy: Any
    kl: Any
    clipped: Any


class Learned(NamedTuple):
    """What comes of an update's T optimizer steps."""

    learner: Learner
    means: Means
    norms: Any  # [T], of the gradients before clipping


def make_plan(n_rows: int, settings: UpdateSettings, order: Callable[[int], NDArray]) -> Plan:
    """The plan of an update from a rollout of ``n_rows``; ``order`` as ActorCritic.update's."""
    n, per_step = settings.rows_of_epoch(n_rows), settings.batch_size * settings.accumulate
    n_padded = -(-n // per_step) * per_step
    index = np.zeros((settings.n_epochs, n_padded), np.int32)
    for epoch, rows in enumerate(index):
        rows[:n] = order(epoch)[:n]
    shape = (-1, per_step)
    mask: Any = None
    if n_padded > n:
        mask = np.broadcast_to(np.arange(n_padded) < n, index.shape)
        mask = mask.astype(np.float32).reshape(shape)
    return Plan(index.reshape(shape), mask)


def numbers_of(settings: UpdateSettings) -> tuple[Any, ...]:
    """Those of a scan's arguments that may change from update to update without compiling anew."""
    kl_limit = None if settings.target_kl is None else 1.5 * settings.target_kl
    return settings.coefs, settings.learning_rate, settings.max_grad_norm, kl_limit


def _scan(
    gradient: Callable,
    step: Callable,
    learner: Learner,
    rollout: Batch,
    plan: Plan,
    coefs: Coefficients,
    rates: Rates,
    limits: Rates,
    kl_limit: jax.Array | None,
    *,
    size: int,
    normalized: bool,
) -> Learned:
    """All steps of an update, from minibatches of ``size`` rows."""
    columns = Columns(*(column[plan.rows] for column in rollout[2:]))
    if normalized:
        columns = columns._replace(advantages=_normalize(columns.advantages, plan.mask, size))

    def take_step(learner: Learner, steps: tuple[Plan, Columns]) -> Any:
        plan, columns = steps
        obs, actions = jax.tree.map(lambda rows: rows[plan.rows], rollout[:2])
        batch = Batch(obs, actions, *columns)
        (_, predictions), grads = gradient(learner.parameters, batch, plan.mask, coefs)
        moved, norm = step(learner, grads, rates, limits)
        return moved, (predictions, norm)

    def take_step_or_stop(carry: Any, steps: tuple[Plan, Columns]) -> Any:
        learner, goes_on = carry
        plan, columns = steps

        def go(learner: Learner) -> Any:
            moved, results = take_step(learner, steps)
            means = _means(results[0], columns, coefs, plan.mask, size)
            goes_on = (means.kl <= kl_limit).all()
            kept = jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), moved, learner)
            return (kept, goes_on), results

        nothing = jax.eval_shape(go, learner)[1]

        def stay(learner: Learner) -> Any:
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), nothing)
            return (learner, jnp.array(False)), zeros

        return jax.lax.cond(goes_on, go, stay, learner)

    steps = (plan, columns)
    if kl_limit is None:
        learner, (predictions, norms) = jax.lax.scan(take_step, learner, steps)
    else:
        begin = (learner, jnp.array(True))
        (learner, _), (predictions, norms) = jax.lax.scan(take_step_or_stop, begin, steps)
    if predictions.entropy is not None and predictions.entropy.ndim == 1:
        predictions = predictions._replace(entropy=predictions.entropy[:, None])
    return Learned(learner, _means(predictions, columns, coefs, plan.mask, size), norms)


def _means(
    predictions: Predictions, columns: Columns, coefs: Coefficients, mask: Any, size: int
) -> Means:
    """Over each minibatch of ``size`` rows, from ``[T, S]`` or ``[S]``."""
    terms = ppo_rows(_XP, *predictions, *columns, coefs)

    def mean(rows: jax.Array) -> jax.Array:
        rows = jnp.broadcast_to(rows, terms.ratio.shape)
        blocks = rows.reshape(*rows.shape[:-1], -1, size)
        if mask is None:
            return blocks.mean(axis=-1)
        inside = mask.reshape(blocks.shape)
        counts = jnp.maximum(inside.sum(axis=-1), 1.0)
        return jnp.where(inside > 0, blocks, 0.0).sum(axis=-1) / counts

    kl = jnp.expm1(terms.log_ratio) - terms.log_ratio
    clipped = (jnp.abs(terms.ratio - 1.0) > coefs.clip_range).astype(kl.dtype)
    return Means(*map(mean, (terms.policy, terms.value, terms.entropy, kl, clipped)))


def _normalize(advantages: jax.Array, mask: Any, size: int) -> jax.Array:
    """``functional.advantages.normalize`` of each step's minibatches, ``[T, S]``."""
    blocks = advantages.reshape(len(advantages), -1, size)
    inside = jnp.ones_like(blocks) if mask is None else mask.reshape(blocks.shape)
    counts = inside.sum(axis=2, keepdims=True)
    means = (blocks * inside).sum(axis=2, keepdims=True) / jnp.maximum(counts, 1.0)
    centered = (blocks - means) * inside
    variances = (centered * centered).sum(axis=2, keepdims=True) / jnp.maximum(counts - 1.0, 1.0)
    result = jnp.where(counts == 1.0, blocks, centered / (jnp.sqrt(variances) + 1e-8))
    return result.reshape(advantages.shape)


def _read(
    plan: Plan, rollout: Batch, settings: UpdateSettings, result: Learned, norms: NDArray
) -> tuple[UpdateStats, int]:
    """The scan's results as the numbers that are logged, and how many steps were taken."""
    n_epochs, coefs = settings.n_epochs, settings.coefs
    per_epoch = -(-settings.rows_of_epoch(rollout.n_rows) // settings.batch_size)  # minibatches

    def flat(means: Any) -> NDArray:
        return np.asarray(means, np.float64).reshape(n_epochs, -1)[:, :per_epoch].reshape(-1)

    means = Means(*map(flat, result.means))
    end, stopped, n_steps = len(means.kl), None, len(norms)
    limit = np.inf if settings.target_kl is None else 1.5 * settings.target_kl
    too_far = np.flatnonzero(means.kl > np.float32(limit))
    if len(too_far):
        last = int(too_far[0])
        stopped, end = float(means.kl[last]), last + 1
        n_steps = _steps_before(last, per_epoch, settings.accumulate)
    epochs = -(-end // per_epoch)
    policy, value, entropy, kl, clipped = (m[:end] for m in means)
    stats = UpdateStats(
        policy_loss=float(policy.mean()),
        value_loss=float(value.mean()),
        entropy_loss=float(-entropy.mean()),
        loss=float(policy[-1] - coefs.ent_coef * entropy[-1] + coefs.vf_coef * value[-1]),
        approx_kl=float(kl[(epochs - 1) * per_epoch :].mean()),
        clip_fraction=float(clipped.mean()),
        n_epochs=epochs,
        stopped_kl=stopped,
        grad_norms=norms[:n_steps].tolist(),
    )
    return stats, n_steps


def _steps_before(minibatch: int, per_epoch: int, accumulate: int) -> int:
    """Optimizer steps completed before the one that a minibatch belongs to."""
    epoch, within = divmod(minibatch, per_epoch)
    return epoch * -(-per_epoch // accumulate) + within // accumulate
