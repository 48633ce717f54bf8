"""Every backend through the conformance kit."""

import pytest

from sb3_ext import testing
from sb3_ext.backends import BACKENDS, backend_class

OTHERS = [name for name in BACKENDS if name != "numpy"]


def backend(name):
    pytest.importorskip({"jax": "jax", "mlx": "mlx.core", "torch": "torch"}[name])
    return backend_class(name)


@pytest.mark.parametrize("network", testing.SPECS)
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    "check", [testing.check_gradients, testing.check_acting, testing.check_persistence]
)
def test_every_network(name, network, check):
    check(backend(name), testing.SPECS[network])


@pytest.mark.parametrize("network", ["gaussian", "categorical", "cnn", "gsde", "sgd, momentum"])
@pytest.mark.parametrize("name", OTHERS)
def test_twenty_updates(name, network):
    testing.check_updates(backend(name), testing.SPECS[network])


@pytest.mark.parametrize("name", OTHERS)
def test_settings(name):
    testing.check_settings(backend(name))


@pytest.mark.parametrize("name", OTHERS)
def test_not_finite(name):
    testing.check_not_finite(backend(name))
