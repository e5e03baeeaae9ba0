"""Choosing an implementation: the default, names that do not exist, versions that cannot run here."""

import ast
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import kernels_pallas
from kernels_pallas.anchor_similarity import anchor_similarity
from kernels_pallas.compact import compact
from kernels_pallas.select_lowest import select_lowest

KEYS = jnp.ones((64, 2, 64), jnp.bfloat16)
CALLS = {
    "anchor_similarity": lambda **options: anchor_similarity(KEYS, KEYS[0], **options),
    "select_lowest": lambda **options: select_lowest(jnp.zeros(9), 3, **options),
    "compact": lambda **options: compact(KEYS, jnp.zeros(3, jnp.int32), **options),
}
each_kernel = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_kernel
def test_default_is_xla(call):
    def program(**options):
        return jax.jit(lambda: call(**options)).lower().as_text()

    assert program() == program(implementation="xla") == program(implementation=None, interpret=True)


@each_kernel
@pytest.mark.parametrize("name, near", [("mosaic_gp", "mosaic_gpu"), ("Triton", "triton"), ("xls", "xla")])
def test_unknown_name_is_told_its_neighbour(call, name, near):
    with pytest.raises(ValueError, match=rf"{name!r} is unknown to .*'xla'.*did you mean {near!r}\?"):
        call(implementation=name)
    with pytest.raises(ValueError, match="is unknown"):
        call(implementation=("xla", name))


@each_kernel
def test_no_name_at_all(call):
    with pytest.raises(ValueError, match="names no version"):
        call(implementation=())


@each_kernel
def test_pallas_on_a_cpu_says_what_to_use(call):
    with pytest.raises(NotImplementedError, match="cannot run on 'cpu'; use implementation=None for XLA"):
        call(implementation="triton")
    call(implementation=("triton", "xla"))


def test_all_reasons_are_given():
    with pytest.raises(NotImplementedError) as error:
        select_lowest(jnp.zeros(9), 3, implementation=("mosaic_gpu", "triton"))
    assert "as 'mosaic_gpu': there is no such version" in str(error.value)
    assert "as 'triton': a Pallas GPU kernel cannot run" in str(error.value)


def test_importing_the_kernels_does_not_import_pallas():
    names = ", ".join(f"kernels_pallas.{name}" for name in CALLS)
    code = f"import sys, {names}; assert 'jax.experimental.pallas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(kernels_pallas.__file__).parents[1])


def test_kernels_import_jax_only():
    """And jaxtyping, which has shapes in annotations and does nothing else."""
    allowed = {"jax", "jaxtyping", "kernels_pallas"} | set(sys.stdlib_module_names)
    for path in Path(kernels_pallas.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path
