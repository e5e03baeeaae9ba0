"""Names under which `jax.export` writes a memory, so that exported programs can take and give one."""

import pickle

from jax import export

from worldkv_jax.memory.context import Context
from worldkv_jax.memory.device_bank import DeviceBank
from worldkv_jax.memory.digest import Drafts
from worldkv_jax.memory.index import Index, Picks
from worldkv_jax.memory.quantization import Quantized
from worldkv_jax.memory.spans import KVSpan
from worldkv_jax.memory.window import Window
from worldkv_jax.memory.world_memory import WorldMemory


def register() -> None:
    """Register all types of a memory that can pass through jit.

    What is static in a memory is pickled, because rules may be anybody's: load only what you trust.
    """
    for kind in (KVSpan, Quantized, Window, Drafts, Index, Picks, Context):
        export.register_namedtuple_serialization(kind, serialized_name=f"worldkv_jax.{kind.__name__}")
    for kind in (DeviceBank, WorldMemory):
        export.register_pytree_node_serialization(
            kind,
            serialized_name=f"worldkv_jax.{kind.__name__}",
            serialize_auxdata=pickle.dumps,
            deserialize_auxdata=pickle.loads,
        )
