"""What JAX calls the durations of compiling that it reports to listeners of `jax.monitoring`."""

COMPILED = "/jax/core/compile/backend_compile_duration"
LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
