"""The built-in towers written anew in each framework, and other networks of one's own."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import mlx.core as mx
import mlx.nn as mlx_nn
import numpy as np
import torch
from gymnasium import spaces

from sb3_ext.backends.numpy_backend import ACTIVATIONS, Conv2d, Linear, Module, Tower

# The towers. Every parameter's path is the built-in parameter's name.


def widths_of(observation_space, pi, n_outputs):
    """(in, out) of the layers from the observation to the outputs."""
    sizes = [observation_space.shape[0], *pi, n_outputs]
    return list(pairwise(sizes))


class NumpyTowers(Module):
    def __init__(self, observation_space, n_outputs, rng, pi=(64, 64)):
        def layers(n):
            return [Linear.orthogonal(rng, *width) for width in widths_of(observation_space, pi, n)]

        actor, critic = layers(n_outputs), layers(1)
        self.mlp_extractor = {
            "policy_net": self.with_gaps(actor[:-1]),
            "value_net": self.with_gaps(critic[:-1]),
        }
        self.action_net, self.value_net = actor[-1], critic[-1]
        self.actor = Tower(actor[:-1], ACTIVATIONS["tanh"])
        self.critic = Tower(critic[:-1], ACTIVATIONS["tanh"])

    @staticmethod
    def with_gaps(layers):
        """Numbered 0, 2, 4: torch counts the activations too."""
        return {2 * k: layer for k, layer in enumerate(layers)}

    def forward(self, x):
        outputs = self.action_net.forward(self.actor.forward(x))
        return outputs, self.value_net.forward(self.critic.forward(x))

    def backward(self, d_outputs, d_values):
        self.actor.backward(self.action_net.backward(d_outputs))
        self.critic.backward(self.value_net.backward(d_values))


class TorchTowers(torch.nn.Module):
    def __init__(self, observation_space, n_outputs, pi=(64, 64)):
        super().__init__()

        def layers(n):
            return [torch.nn.Linear(*width) for width in widths_of(observation_space, pi, n)]

        actor, critic = layers(n_outputs), layers(1)
        self.mlp_extractor = torch.nn.ModuleDict(
            {"policy_net": self.tower(actor[:-1]), "value_net": self.tower(critic[:-1])}
        )
        self.action_net, self.value_net = actor[-1], critic[-1]

    @staticmethod
    def tower(layers):
        return torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.Tanh())))

    def forward(self, x):
        outputs = self.action_net(self.mlp_extractor["policy_net"](x))
        return outputs, self.value_net(self.mlp_extractor["value_net"](x))


class JaxTowers(eqx.Module):
    mlp_extractor: dict
    action_net: eqx.nn.Linear
    value_net: eqx.nn.Linear

    def __init__(self, observation_space, n_outputs, key, pi=(64, 64)):
        keys = iter(jax.random.split(key, 2 * len(pi) + 2))

        def layers(n):
            return [
                eqx.nn.Linear(*width, key=next(keys))
                for width in widths_of(observation_space, pi, n)
            ]

        actor, critic = layers(n_outputs), layers(1)
        self.mlp_extractor = {
            "policy_net": self.tower(actor[:-1]),
            "value_net": self.tower(critic[:-1]),
        }
        self.action_net, self.value_net = actor[-1], critic[-1]

    @staticmethod
    def tower(layers):
        return [part for layer in layers for part in (layer, jnp.tanh)]

    def single(self, x):
        h_pi = h_vf = x
        for layer in self.mlp_extractor["policy_net"]:
            h_pi = layer(h_pi)
        for layer in self.mlp_extractor["value_net"]:
            h_vf = layer(h_vf)
        return self.action_net(h_pi), self.value_net(h_vf)[0]

    def __call__(self, x):
        return jax.vmap(self.single)(x)


class MlxTowers(mlx_nn.Module):
    def __init__(self, observation_space, n_outputs, pi=(64, 64)):
        super().__init__()

        def layers(n):
            return [mlx_nn.Linear(*width) for width in widths_of(observation_space, pi, n)]

        actor, critic = layers(n_outputs), layers(1)
        self.mlp_extractor = {
            "policy_net": [part for layer in actor[:-1] for part in (layer, mx.tanh)],
            "value_net": [part for layer in critic[:-1] for part in (layer, mx.tanh)],
        }
        self.action_net, self.value_net = actor[-1], critic[-1]

    def __call__(self, x):
        h_pi = h_vf = x
        for layer in self.mlp_extractor["policy_net"]:
            h_pi = layer(h_pi)
        for layer in self.mlp_extractor["value_net"]:
            h_vf = layer(h_vf)
        return self.action_net(h_pi), self.value_net(h_vf)


TOWERS = {"numpy": NumpyTowers, "torch": TorchTowers, "jax": JaxTowers, "mlx": MlxTowers}


# One linear layer over everything that is observed, in its order: shows what a network reads.


def n_numbers(space):
    """How many numbers a network reads."""
    if isinstance(space, spaces.Dict):
        return sum(map(n_numbers, space.spaces.values()))
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))


def row_shape(space):
    """How one row of it is read."""
    if isinstance(space, spaces.Dict):
        return {key: row_shape(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return space.shape
    return (n_numbers(space),)


def flat(x, shape, concatenate):
    """Everything in a row, its shapes checked."""
    if isinstance(shape, dict):
        return concatenate([flat(x[key], shape[key], concatenate) for key in shape])
    assert tuple(x.shape[1:]) == tuple(shape), (x.shape, shape)
    assert "float" in str(x.dtype)
    return x.reshape(x.shape[0], -1)


class NumpyFlat(Module):
    def __init__(self, observation_space, n_outputs, rng):
        self.shape, self.n = row_shape(observation_space), n_outputs
        self.layer = Linear.orthogonal(rng, n_numbers(observation_space), n_outputs + 1)

    def forward(self, x):
        y = self.layer.forward(flat(x, self.shape, lambda parts: np.concatenate(parts, 1)))
        return y[:, : self.n], y[:, self.n]

    def backward(self, d_outputs, d_values):
        self.layer.backward(np.concatenate([d_outputs, d_values[:, None]], 1), needs_d_x=False)


class TorchFlat(torch.nn.Module):
    def __init__(self, observation_space, n_outputs):
        super().__init__()
        self.shape, self.n = row_shape(observation_space), n_outputs
        self.layer = torch.nn.Linear(n_numbers(observation_space), n_outputs + 1)

    def forward(self, x):
        y = self.layer(flat(x, self.shape, lambda parts: torch.cat(parts, 1)))
        return y[:, : self.n], y[:, self.n]


class JaxFlat(eqx.Module):
    layer: eqx.nn.Linear
    shape: object = eqx.field(static=True)
    n: int = eqx.field(static=True)

    def __init__(self, observation_space, n_outputs, *, key):
        shape = row_shape(observation_space)
        self.shape = tuple(shape.items()) if isinstance(shape, dict) else shape
        self.n = n_outputs
        self.layer = eqx.nn.Linear(n_numbers(observation_space), n_outputs + 1, key=key)

    def __call__(self, x):
        shape = dict(self.shape) if isinstance(x, dict) else self.shape
        y = jax.vmap(self.layer)(flat(x, shape, lambda parts: jnp.concatenate(parts, 1)))
        return y[:, : self.n], y[:, self.n]


class MlxFlat(mlx_nn.Module):
    def __init__(self, observation_space, n_outputs):
        super().__init__()
        self._shape, self.n = row_shape(observation_space), n_outputs
        self.layer = mlx_nn.Linear(n_numbers(observation_space), n_outputs + 1)

    def __call__(self, x):
        y = self.layer(flat(x, self._shape, lambda parts: mx.concatenate(parts, 1)))
        return y[:, : self.n], y[:, self.n]


FLAT = {"numpy": NumpyFlat, "torch": TorchFlat, "jax": JaxFlat, "mlx": MlxFlat}


# NumPy: a layer of one's own, and images


class Scale(Module):
    """Each feature times a number of its own."""

    arrays = ("gain",)

    def __init__(self, n):
        self.gain = np.ones(n)

    def forward(self, x):
        self.x = x
        return x * self.gain

    def backward(self, d_y):
        self.d_gain += (d_y * self.x).sum(0)
        return d_y * self.gain


class Scaled(Module):
    """A shared body whose features are scaled twice by the same numbers."""

    def __init__(self, observation_space, n_outputs, rng, width=6):
        self.body = Tower(
            [Linear.orthogonal(rng, observation_space.shape[0], width)], ACTIVATIONS["silu"]
        )
        self.scales = [Scale(width)]
        self.scales.append(self.scales[0])
        self.actor = Linear.orthogonal(rng, width, n_outputs, gain=0.5)
        self.critic = Linear.orthogonal(rng, width, 1)

    def forward(self, x):
        h = self.body.forward(x)
        self.first = h * self.scales[0].gain
        h = self.scales[0].forward(self.first)
        return self.actor.forward(h), self.critic.forward(h)[:, 0]

    def backward(self, d_outputs, d_values):
        d_h = self.actor.backward(d_outputs) + self.critic.backward(d_values[:, None])
        d_h = self.scales[0].backward(d_h)
        self.scales[0].d_gain += (d_h * self.first / self.scales[0].gain).sum(0)
        self.body.backward(d_h * self.scales[0].gain)


class Forgetful(Scaled):
    """Forgets that the gain is used twice."""

    def backward(self, d_outputs, d_values):
        d_h = self.actor.backward(d_outputs) + self.critic.backward(d_values[:, None])
        self.body.backward(self.scales[0].backward(d_h) * self.scales[0].gain)


class SmallConvolution(Module):
    """An image through one convolution and a ReLU."""

    def __init__(self, observation_space, n_outputs, rng):
        channels, height, width = observation_space.shape
        self.convolution = Conv2d.orthogonal(rng, channels, 3, size=8, stride=8)
        n = 3 * ((height - 8) // 8 + 1) * ((width - 8) // 8 + 1)
        self.relu = ACTIVATIONS["relu"]
        self.actor = Linear.orthogonal(rng, n, n_outputs)
        self.critic = Linear.orthogonal(rng, n, 1)

    def forward(self, x):
        channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        self.map = self.relu.forward(self.convolution.forward(channels_last))
        h = self.map.reshape(len(x), -1)
        return self.actor.forward(h), self.critic.forward(h)

    def backward(self, d_outputs, d_values):
        d_h = self.actor.backward(d_outputs) + self.critic.backward(d_values)
        d_map = self.relu.backward(d_h.reshape(self.map.shape), self.map, self.map, self.map)
        self.convolution.backward(d_map, needs_d_x=False)


# What mixes rows, forgets or gives something else


class MixesRows(TorchTowers):
    def forward(self, x):
        outputs, values = super().forward(x)
        return outputs - outputs.mean(0, keepdim=True), values


class Frozen(TorchTowers):
    """Its critic's first layer isn't learned."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mlp_extractor["value_net"][0].requires_grad_(False)


class MlxFrozen(MlxTowers):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mlp_extractor["value_net"][0].freeze()


class WithTables(JaxTowers):
    """Has integers, a boolean, a generator's key and a function besides what it learns."""

    order: jax.Array
    flag: bool
    generator: jax.Array
    activation: object

    def __init__(self, observation_space, n_outputs, key, pi=(8, 6)):
        super().__init__(observation_space, n_outputs, key, pi)
        self.order = jnp.arange(observation_space.shape[0])[::-1]
        self.flag, self.generator, self.activation = True, key, jnp.sin

    def __call__(self, x):
        return super().__call__(self.activation(x[:, self.order]) if self.flag else x)


class TorchDropout(TorchTowers):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        return super().forward(self.dropout(x))


class MlxDropout(MlxTowers):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.dropout = mlx_nn.Dropout(0.5)

    def __call__(self, x):
        return super().__call__(self.dropout(x))


class Normalized(torch.nn.Module):
    """Lazy layers, and a batch norm whose statistics are no parameters."""

    def __init__(self, observation_space, n_outputs):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.LazyLinear(8), torch.nn.BatchNorm1d(8), torch.nn.Tanh()
        )
        self.head = torch.nn.LazyLinear(n_outputs + 1)

    def forward(self, x):
        y = self.head(self.body(x))
        return y[:, :-1], y[:, -1]


def chosen(observation_space, n_outputs, key, framework="jax"):
    """A function that makes a network of any framework."""
    if framework == "jax":
        return JaxTowers(observation_space, n_outputs, key)
    if framework == "numpy":
        return NumpyTowers(observation_space, n_outputs, np.random.default_rng(0))
    return {"torch": TorchTowers, "mlx": MlxTowers}[framework](observation_space, n_outputs)
