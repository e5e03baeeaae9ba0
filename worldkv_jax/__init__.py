"""World memory for autoregressive video world models, in JAX.

``worldkv_jax.memory`` is the memory, ``cameras`` its index, ``rollout`` the loop around a model that lives on it;
``evaluation`` scores what it remembers, ``media`` shows it, ``cli`` is the command ``worldkv``.
"""
