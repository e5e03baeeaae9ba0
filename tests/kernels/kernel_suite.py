"""What every implementation of every kernel must do: the base that each test file subclasses."""

import functools
import re

import jax
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from kernels_pallas.arg_specs import REAL, TINY
from kernels_pallas.dispatch import PLATFORMS

# What the compiled program calls: the sign that a kernel was lowered and not its XLA twin.
TARGETS = {"mosaic_gpu": "mosaic_gpu", "triton": "triton"}
# A chip that this machine does not have, by platform: kind, cores, and what JAX calls it when it lowers.
CHIPS = {"gpu": ("NVIDIA H200", 132, "cuda"), "tpu": ("TPU v5 lite", 1, "tpu")}


def named(spec):
    return spec.name


def lower_for(platform, function, *shapes):
    """Lower for one of `CHIPS`; returns the program's text."""
    kind, cores, name = CHIPS[platform]
    device = AbstractDevice(device_kind=kind, num_cores=cores, platform=platform)
    with use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):
        return jax.jit(function).trace(*shapes).lower(lowering_platforms=(name,)).as_text()


class KernelSuite:
    """Tests of one implementation of one kernel.

    A kernel's suite gives `inputs`, `structs`, `oracle` and `check`; each class of it sets `implementation`.
    """

    implementation: str

    @staticmethod
    def function(*args, **options):
        """Call the kernel's public function."""
        raise NotImplementedError

    def inputs(self, spec, seed=0):
        """Return random arguments."""
        raise NotImplementedError

    def structs(self, spec):
        """Return the arguments' shapes and dtypes."""
        raise NotImplementedError

    def static(self, spec):
        """Return the arguments that are not arrays, by name."""
        return {}

    def oracle(self, spec, *args):
        """Compute the result in NumPy, by other means than the reference."""
        raise NotImplementedError

    def check(self, got, want):
        """Assert that two results agree; exactly, unless a kernel says otherwise."""
        jax.tree.map(np.testing.assert_array_equal, got, want)

    def kernel(self, spec, *, interpret=True):
        """Return the implementation under test as a function of arrays only."""
        if self.implementation == "mosaic_gpu" and interpret:
            from jax.experimental.pallas import mosaic_gpu as plgpu

            if not hasattr(plgpu, "InterpretGPUParams"):
                pytest.skip("this jax has no interpreter for Mosaic GPU kernels")
        options = {"implementation": self.implementation, "interpret": interpret} | self.static(spec)
        return functools.partial(self.function, **options)

    def skip_if_unfit(self, spec):
        """Skip a spec that the implementation refuses; overridden where it does."""

    @pytest.mark.parametrize("spec", TINY, ids=named)
    def test_matches_numpy(self, spec):
        args = self.inputs(spec)
        self.check(jax.jit(self.kernel(spec))(*args), self.oracle(spec, *args))

    def test_same_without_jit(self):
        spec = TINY[1]
        args = self.inputs(spec)
        self.check(self.kernel(spec)(*args), self.oracle(spec, *args))

    def test_vmap_over_worlds_and_layers(self):
        spec = TINY[0]
        worlds = [[self.inputs(spec, seed=3 * i + j) for j in range(3)] for i in range(2)]

        def stack(trees):
            return jax.tree.map(lambda *xs: np.stack([np.asarray(x) for x in xs]), *trees)

        want = stack([stack([self.oracle(spec, *args) for args in layers]) for layers in worlds])
        args = stack([stack(layers) for layers in worlds])
        self.check(jax.jit(jax.vmap(jax.vmap(self.kernel(spec))))(*args), want)

    @pytest.mark.parametrize("spec", REAL, ids=named)
    def test_lowers_without_its_chip(self, spec):
        self.skip_if_unfit(spec)
        platform = PLATFORMS.get(self.implementation, ("gpu",))[0]
        text = lower_for(platform, self.kernel(spec, interpret=False), *self.structs(spec))
        calls = re.findall(r"custom_call @([\w$.]+)", text)
        if self.implementation in TARGETS:
            assert len(calls) == 1 and TARGETS[self.implementation] in calls[0]
        else:
            assert calls == []
