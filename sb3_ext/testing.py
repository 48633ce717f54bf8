"""The conformance kit: what a backend has to get right, for one of your own as for ours.

    from sb3_ext.testing import check_backend
    check_backend(MyActorCritic)

The yardstick is the NumPy backend, whose gradients are themselves held against finite differences
and stable-baselines3's. Every check raises AssertionError and says what differs.

And what a network of your own has to get right, in whatever framework::

    from sb3_ext.testing import check_network
    check_network(MyNetwork, observation_space, action_space, width=32)
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends import backend_class
from sb3_ext.backends.base import ActorCritic, Batch, Rates, UpdateSettings, UpdateStats, take
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.backends.options import NeedsBackendError
from sb3_ext.backends.own_network import build
from sb3_ext.backends.parameters import initialize
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional import noise
from sb3_ext.functional.losses import Coefficients, ppo_loss, ppo_rows
from sb3_ext.functional.xp import namespace
from sb3_ext.parity.compare import Ledger
from sb3_ext.parity.steps import BackendSide, State, replay_update

__all__ = [
    "SPECS",
    "check_acting",
    "check_backend",
    "check_derivatives",
    "check_gradients",
    "check_network",
    "check_not_finite",
    "check_persistence",
    "check_rows",
    "check_settings",
    "check_updates",
    "minibatch",
    "observations",
    "parameters_of",
]

Backend = Callable[[NetworkSpec, Any], ActorCritic]

_BOX = spaces.Box(-2, 2, (3,), np.float32)
_ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
_IMAGE = spaces.Box(0, 255, (2, 36, 36), np.uint8)
_DICT = spaces.Dict({"camera": _IMAGE, "speed": _BOX, "gear": spaces.Discrete(3)})
_SMALL: dict[str, Any] = {"pi": (8, 6), "vf": (8, 6)}
_CNN: dict[str, Any] = {"extractor": "nature_cnn", "cnn_features": 5}

SPECS: dict[str, NetworkSpec] = {
    "gaussian": NetworkSpec(_BOX, _ACTIONS, **_SMALL),
    "categorical": NetworkSpec(_BOX, spaces.Discrete(3), **_SMALL),
    "multi-categorical": NetworkSpec(_BOX, spaces.MultiDiscrete([2, 3]), **_SMALL),
    "bernoulli": NetworkSpec(_BOX, spaces.MultiBinary(3), **_SMALL),
    "tanh mean": NetworkSpec(_BOX, _ACTIONS, mean="tanh", **_SMALL),
    "fixed std": NetworkSpec(_BOX, _ACTIONS, std="fixed", log_std_init=-0.5, **_SMALL),
    "state std": NetworkSpec(_BOX, _ACTIONS, std="state", std_range=(0.1, 1.0), **_SMALL),
    "gsde": NetworkSpec(_BOX, _ACTIONS, use_sde=True, log_std_init=-1.0, **_SMALL),
    "gsde, squashed": NetworkSpec(_BOX, _ACTIONS, use_sde=True, squash_output=True, **_SMALL),
    "gsde, expln, few stds": NetworkSpec(
        _BOX, _ACTIONS, use_sde=True, full_std=False, use_expln=True, **_SMALL
    ),
    "towers of their own": NetworkSpec(_BOX, _ACTIONS, pi=(5,), vf=(8, 4), activation="relu"),
    "linear": NetworkSpec(_BOX, _ACTIONS, pi=(), vf=()),
    "discrete observation": NetworkSpec(spaces.Discrete(4), _ACTIONS, **_SMALL),
    "multi-discrete observation": NetworkSpec(spaces.MultiDiscrete([2, 4]), _ACTIONS, **_SMALL),
    "cnn": NetworkSpec(_IMAGE, spaces.Discrete(3), **_CNN, **_SMALL),
    "cnn, not shared": NetworkSpec(
        _IMAGE, _ACTIONS, share_features_extractor=False, **_CNN, **_SMALL
    ),
    "dict": NetworkSpec(_DICT, spaces.Discrete(3), extractor="combined", cnn_features=5, **_SMALL),
    "sgd": NetworkSpec(_BOX, _ACTIONS, optimizer="sgd", optimizer_kwargs={}, **_SMALL),
    "sgd, momentum": NetworkSpec(
        _BOX, _ACTIONS, optimizer="sgd", optimizer_kwargs={"momentum": 0.9}, **_SMALL
    ),
    "adam, betas": NetworkSpec(
        _BOX, _ACTIONS, optimizer_kwargs={"betas": (0.8, 0.99), "eps": 1e-7}, **_SMALL
    ),
}
SPECS |= {
    f"activation {name}": NetworkSpec(_BOX, _ACTIONS, activation=name, **_SMALL)
    for name in ("relu", "leaky_relu", "elu", "sigmoid", "silu", "softplus", "identity")
}
"""A network for every space, distribution, extractor, activation and optimizer."""

COEFFICIENTS = (Coefficients(0.2), Coefficients(0.2, 0.3, 0.01, 0.7))


# What to feed a backend


def parameters_of(spec: NetworkSpec, seed: int = 0) -> dict[str, NDArray]:
    """Initial parameters, moved so that no bias is 0 and the policy depends on the state."""
    rng = np.random.default_rng(seed)
    return {
        name: (value + 0.1 * rng.standard_normal(value.shape)).astype(np.float32)
        for name, value in initialize(spec, rng).items()
    }


def observations(space: spaces.Space, n: int, rng: np.random.Generator) -> Any:
    """``n`` random observations, or actions, of a space."""
    if isinstance(space, spaces.Dict):
        return {key: observations(part, n, rng) for key, part in space.spaces.items()}
    space.seed(int(rng.integers(1000)))
    return np.stack([space.sample() for _ in range(n)])


def minibatch(
    spec: NetworkSpec, n: int = 12, seed: int = 1, backend: ActorCritic | None = None
) -> Batch:
    """Random transitions; with a backend, ratios on both sides of the clip range and inside."""
    rng = np.random.default_rng(seed)
    obs = observations(spec.observation_space, n, rng)
    actions = observations(spec.action_space, n, rng)
    log_prob, values = rng.standard_normal(n), rng.standard_normal(n)
    if backend is not None:
        predictions = backend.evaluate(obs, actions)
        log_prob = predictions.log_prob + rng.uniform(-0.5, 0.5, n)
        values = predictions.values + rng.uniform(-0.6, 0.6, n)
    columns = (log_prob, values, rng.standard_normal(n), rng.standard_normal(n))
    return Batch(obs, actions, *(column.astype(np.float32) for column in columns))


def _pair(
    make: Backend, spec: NetworkSpec, reference: Backend = NumpyActorCritic
) -> tuple[ActorCritic, ActorCritic]:
    parameters = parameters_of(spec)
    return reference(spec, parameters), make(spec, parameters)


def _close(
    found: Mapping[str, Any], wanted: Mapping[str, Any], tolerance: float, what: str
) -> None:
    """Compare named arrays; the tolerance is a share of each array's largest number, or of 1."""
    assert list(found) == list(wanted), f"{what}: the names are {list(found)}, not {list(wanted)}"
    for name, expected in wanted.items():
        value, expected = np.asarray(found[name]), np.asarray(expected)
        assert value.shape == expected.shape, (
            f"{what} {name}: the shape is {value.shape}, not {expected.shape}"
        )
        error = float(np.max(np.abs(value - expected), initial=0.0))
        scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
        assert error <= tolerance * scale, (
            f"{what} {name}: differs by {error:.2e}, allowed are {tolerance * scale:.2e}"
        )


# The checks


def check_gradients(
    make: Backend,
    spec: NetworkSpec,
    tolerance: float = 1e-5,
    against: Backend = NumpyActorCritic,
) -> None:
    """One minibatch's predictions and the gradient of every parameter."""
    reference, backend = _pair(make, spec, against)
    batch = minibatch(spec, backend=reference)
    for coefs in COEFFICIENTS:
        wanted, gradient = reference.loss_and_grad(batch, coefs)
        expected = reference.named_gradients(gradient)
        found, gradient = backend.loss_and_grad(batch, coefs)
        for name, mine, theirs in zip(found._fields, found, wanted, strict=True):
            assert (mine is None) == (theirs is None), f"{name}: {mine} is not {theirs}"
            if theirs is not None:
                _close({name: mine}, {name: theirs}, tolerance, "the prediction")
        _close(backend.named_gradients(gradient), expected, tolerance, "the gradient of")


def check_acting(
    make: Backend,
    spec: NetworkSpec,
    tolerance: float = 1e-4,
    against: Backend = NumpyActorCritic,
) -> None:
    """From the same noise the same actions; values and log-probabilities of a whole rollout."""
    reference, backend = _pair(make, spec, against)
    n = 300 if spec.images else 5000
    batch = minibatch(spec, n)
    block = noise.draw(spec.distribution.noise_kind, 0, 1, 0, 2, n, spec.noise_shape)
    for given in (None, block[1]):
        wanted, found = reference.act(batch.obs, given), backend.act(batch.obs, given)
        assert found.dtype == wanted.dtype, f"actions are {found.dtype}, not {wanted.dtype}"
        # Rounding may turn a draw between two nearly equal choices.
        n_other = int((np.abs(found - wanted) > tolerance * 10).sum())
        assert n_other <= n // 1000 + 1, f"{n_other} of {n} actions differ"
    act = backend.actor(block)
    same = np.isclose(act(1, batch.obs), found, atol=tolerance)
    assert same.mean() > 0.999, "actor(noise)(k, obs) differs from act(obs, noise)"
    on_the_way = backend.acted_predictions()
    if on_the_way is not None:
        afterwards = backend.evaluate(batch.obs, found)
        for name, mine, theirs in zip(on_the_way._fields, on_the_way, afterwards, strict=True):
            if theirs is not None:
                _close({name: mine}, {name: theirs}, tolerance, "the acted predictions'")
    both = [each.evaluate(batch.obs, batch.actions) for each in (backend, reference)]
    for name, mine, theirs in zip(both[0]._fields, *both, strict=True):
        if theirs is not None:
            _close({name: mine}, {name: theirs}, tolerance, "evaluate's")
    _close({"": backend.values(batch.obs)}, {"": reference.values(batch.obs)}, tolerance, "values")
    for k, (mine, theirs) in enumerate(
        zip(
            backend.distribution_params(batch.obs),
            reference.distribution_params(batch.obs),
            strict=True,
        )
    ):
        _close({str(k): mine}, {str(k): theirs}, tolerance, "the distribution's parameter")


_SETTINGS = UpdateSettings(Coefficients(0.2), Rates(3e-4), Rates(0.5), batch_size=16, n_epochs=3)


def _update(
    backend: ActorCritic, rollout: Batch, settings: UpdateSettings, k: int = 0
) -> UpdateStats:
    return backend.update(
        rollout, settings, lambda epoch: noise.permutation(0, k, epoch, rollout.n_rows)
    )


def _compare_updates(
    reference: ActorCritic,
    backend: ActorCritic,
    rollout: Batch,
    settings: UpdateSettings,
    k: int = 0,
    tolerance: float = 1e-4,
) -> None:
    before = BackendSide(reference).state()
    wanted, found = (_update(b, rollout, settings, k) for b in (reference, backend))
    try:
        _compare_results(reference, backend, wanted, found, tolerance)
    except AssertionError as error:
        first = _first_difference(reference, backend, before, rollout, settings, k, tolerance)
        raise AssertionError(f"{error}{first}") from None


def _first_difference(
    reference: ActorCritic,
    backend: ActorCritic,
    before: State,
    rollout: Batch,
    settings: UpdateSettings,
    k: int,
    tolerance: float,
) -> str:
    """Where two updates part, if they do so when each step begins at the reference's state."""
    sides = BackendSide(reference), BackendSide(backend)
    sides[0].load(before)
    found = replay_update(
        *sides,
        rollout,
        settings,
        lambda epoch: noise.permutation(0, k, epoch, rollout.n_rows),
        Ledger(tolerance),
        update=k,
    )
    return "" if found is None else f"; first in {found.where}: {found}"


def _compare_results(
    reference: ActorCritic,
    backend: ActorCritic,
    wanted: UpdateStats,
    found: UpdateStats,
    tolerance: float,
) -> None:
    for name, theirs in vars(wanted).items():
        mine = getattr(found, name)
        assert (mine is None) == (theirs is None), f"{name} is {mine}, not {theirs}"
        if theirs is not None:
            _close({name: mine}, {name: theirs}, tolerance, "the statistic")
    _close(backend.parameters(), reference.parameters(), tolerance, "after an update")
    mine, theirs = backend.optimizer_state(), reference.optimizer_state()
    assert list(mine) == list(theirs), f"the optimizer has {list(mine)}, not {list(theirs)}"
    for name, value in theirs.items():
        if name == "step":
            # Only Adam needs the count.
            same = mine[name] == value or "exp_avg" not in theirs
            assert same, f"the optimizer counts {mine[name]} steps, not {value}"
        else:
            _close(mine[name], value, tolerance, f"the optimizer's {name} of")


def check_updates(
    make: Backend,
    spec: NetworkSpec,
    n_updates: int = 20,
    against: Backend = NumpyActorCritic,
) -> None:
    """Updates in a row, each from the reference's state; the first two also freely in a row."""
    reference, backend = _pair(make, spec, against)
    n = 24 if spec.images else 64
    for k in range(n_updates):
        if k > 1:
            backend.load_parameters(reference.parameters())
            backend.load_optimizer_state(reference.optimizer_state())
        rollout = minibatch(spec, n, seed=k, backend=reference)
        _compare_updates(reference, backend, rollout, _SETTINGS, k)


def check_settings(make: Backend) -> None:
    """Truncated minibatches, accumulation, KL stop, separate rates, every normalization."""
    spec = SPECS["gaussian"]
    rates = {"learning_rate": Rates(3e-4, 1e-3), "max_grad_norm": Rates(0.3, 0.1)}
    for changes in (
        {"batch_size": 24},
        {"batch_size": 64},
        {"batch_size": 100},
        {"accumulate": 2},
        {"accumulate": 3},
        {"accumulate": 3, "drop_incomplete": True},
        {"batch_size": 24, "drop_incomplete": True},
        {"normalize_minibatch": False},
        {"coefs": COEFFICIENTS[1]},
        {"target_kl": 0.03},
        {"target_kl": 0.035, "batch_size": 12},
        {"target_kl": 0.035, "accumulate": 2, "batch_size": 12},
        {"target_kl": 1e-6},
        rates,
        rates | {"accumulate": 2, "target_kl": 0.035},
    ):
        reference, backend = _pair(make, spec)
        rollout = minibatch(spec, 64, backend=reference)
        settings = replace(_SETTINGS, **changes)
        try:
            _compare_updates(reference, backend, rollout, settings)
        except AssertionError as error:
            raise AssertionError(f"with {changes}: {error}") from None


def check_persistence(make: Backend, spec: NetworkSpec) -> None:
    """Parameters and optimizer move to a new instance, which goes on identically."""
    backend = make(spec, None if spec.network else parameters_of(spec))
    rollout = minibatch(spec, 24, backend=backend)
    _update(backend, rollout, _SETTINGS)
    twin = make(spec, backend.parameters())
    twin.load_optimizer_state(backend.optimizer_state())
    for each in (backend, twin):
        _update(each, rollout, _SETTINGS, 1)
    _close(twin.parameters(), backend.parameters(), 0.0, "after moving to another instance,")
    wrong = backend.parameters()
    wrong.pop(next(iter(wrong)))
    _raises(KeyError, lambda: backend.load_parameters(wrong), "a missing parameter")
    name, value = next(iter(backend.parameters().items()))
    wrong = backend.parameters() | {name: np.zeros((*value.shape, 2), np.float32)}
    _raises(ValueError, lambda: backend.load_parameters(wrong), "a wrong shape")


def check_not_finite(make: Backend) -> None:
    """A NaN stops the update by name, and the parameters stay as they were before that step."""
    spec = SPECS["gaussian"]
    reference, backend = _pair(make, spec)
    rollout = minibatch(spec, 64, backend=reference)
    rollout.returns[40] = np.nan
    for each in (reference, backend):
        _raises(
            FloatingPointError,
            partial(_update, each, rollout, _SETTINGS),
            "a NaN in the returns",
            "value_net",
        )
    _close(backend.parameters(), reference.parameters(), 1e-4, "after a NaN,")
    assert all(np.isfinite(value).all() for value in backend.parameters().values())


def _raises(error: type[Exception], call: Callable[[], Any], what: str, says: str = "") -> None:
    try:
        call()
    except error as found:
        assert says in str(found), f"{what}: the message doesn't say {says!r}: {found}"
    else:
        raise AssertionError(f"{what} went unnoticed: {error.__name__} was expected")


def check_backend(make: Backend, specs: Mapping[str, NetworkSpec] = SPECS) -> None:
    """All checks.

    Args:
        make: The backend's class, or a function of (spec, parameters).
        specs: The networks that it should know.

    Raises:
        AssertionError: it says which check failed for which network, and what differed.
    """
    for name, spec in specs.items():
        for check in (check_gradients, check_acting, check_persistence):
            _named(f"{check.__name__}, {name}", check, make, spec)
    for name in ("gaussian", "categorical"):
        _named(f"check_updates, {name}", check_updates, make, specs[name])
    _named("check_settings", check_settings, make)
    _named("check_not_finite", check_not_finite, make)


# Networks of one's own


def check_network(
    network: Callable[..., Any] | str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    **network_kwargs: Any,
) -> None:
    """All that PPO needs of a network of your own.

    Args:
        network: As ``policy_kwargs`` has it.
        observation_space: Of one row.
        action_space: Of one row.
        network_kwargs: As ``policy_kwargs`` has them.

    Raises:
        AssertionError: it says what isn't right.
        ValueError: it isn't a network; the message says why.
    """
    spec = NetworkSpec(
        observation_space, action_space, network=network, network_kwargs=network_kwargs
    )
    make = _backend_of(spec)
    check_rows(make, spec)
    check_persistence(make, spec)
    if make is NumpyActorCritic:
        check_derivatives(spec)


def _backend_of(spec: NetworkSpec) -> type[ActorCritic]:
    try:
        build(spec, "numpy")
    except NeedsBackendError as error:
        return backend_class(error.backend)
    return NumpyActorCritic


def check_rows(make: Backend, spec: NetworkSpec) -> None:
    """One seed makes one network, and what it says of a row doesn't depend on the others."""
    backend, twin = make(spec, None), make(spec, None)
    _close(twin.parameters(), backend.parameters(), 0.0, "made twice from one seed,")
    backend.set_training_mode(False)
    batch = minibatch(spec, 12)
    together = backend.evaluate(batch.obs, batch.actions)
    for row in range(0, 12, 5):
        window = slice(row, row + 1)
        alone = backend.evaluate(take(batch.obs, window), batch.actions[window])
        for name in ("log_prob", "values"):
            found, wanted = getattr(alone, name), getattr(together, name)[window]
            _close({name: found}, {name: wanted}, 1e-4, "a row alone and among others:")


def check_derivatives(spec: NetworkSpec, tolerance: float = 1e-6) -> None:
    """The NumPy backend's gradient against finite differences, in float64.

    Each parameter is moved in a random direction. A kink such as a ReLU's may lie between two
    points, so there are several distances.
    """
    xp = namespace("numpy")
    initial = None if spec.network else parameters_of(spec)
    backend = NumpyActorCritic(spec, initial, dtype=np.float64)
    vector, rng = backend.network.params.vector, np.random.default_rng(2)
    vector += 0.1 * rng.standard_normal(len(vector))  # away from 0 and from symmetry
    start = vector.copy()
    batch = minibatch(spec, backend=backend)

    def loss(coefs: Coefficients, at: NDArray) -> float:
        vector[:] = at
        rows = ppo_rows(xp, *backend.evaluate(batch.obs, batch.actions), *batch[2:], coefs)
        return ppo_loss(xp, rows, coefs)

    for coefs in COEFFICIENTS:
        vector[:] = start
        gradient = backend.loss_and_grad(batch, coefs)[1].copy()
        for name, indices in backend.network.params.views_of(np.arange(len(vector))).items():
            if name == "log_std" and spec.std == "fixed":
                continue  # its gradient isn't followed
            direction = np.zeros_like(vector)
            direction[indices.ravel()] = rng.standard_normal(indices.size)
            direction /= np.linalg.norm(direction)
            slope = float(gradient @ direction)
            errors = []
            for distance in (1e-5, 1e-6, 2e-7):
                ends = [loss(coefs, start + sign * distance * direction) for sign in (1, -1)]
                errors.append(abs((ends[0] - ends[1]) / (2 * distance) - slope))
            assert min(errors) <= tolerance * max(1.0, abs(slope)), (
                f"the derivative of {name} is {slope:.6g}, which is {min(errors):.1e} off"
            )


def _named(what: str, check: Callable[..., None], *args: Any) -> None:
    try:
        check(*args)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None
