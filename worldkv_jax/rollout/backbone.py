"""What a model must offer to live on a world memory."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int32

from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout.sampler import Schedule


class CommittedSpan(NamedTuple):
    """Keys and values of an earlier chunk, to be remembered under the cameras that saw them."""

    span: KVSpan
    cameras: Float[Array, "B F 4 4"]
    scores: Float[Array, "L B T"] | None = None
    """For compression rules that want them, see `remember`."""


class ChunkInput(NamedTuple):
    """What is given for one chunk."""

    cameras: Float[Array, "B F 4 4"]  # camera-to-world poses, the memory's index
    conditions: Any = None  # whatever else the backbone conditions on, a pytree


@runtime_checkable
class Backbone(Protocol):
    """A chunk-wise causal video model; hashable, because it is a static argument of the jitted step.

    ``prepared`` is all that stays the same over the passes of one chunk; ``carry`` is model state that is not
    world memory (windows of actions, say); ``decoder`` is what a streaming decoder keeps between chunks. All
    three are pytrees of the backbone's own making. What is a property here may be a field.
    """

    @property
    def spec(self) -> KVSpec:
        """Shape of the keys and values."""
        ...

    @property
    def schedule(self) -> Schedule:
        """Passes that make a chunk."""
        ...

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one world's latents of one chunk, without the batch axis."""
        ...

    @property
    def lag(self) -> int:
        """Chunks that a chunk's clean keys and values are late: 0, or 1 where they are known only while the next one is
        made (InSpatio-World). Then `commit` returns ``None`` for the first chunk and `CommittedSpan` for all others."""
        ...

    def init_carry(self, params: Any, worlds: int) -> Any:
        """Return the carry before the first chunk."""
        ...

    def prepare_chunk(self, params: Any, carry: Any, chunk: ChunkInput, position: Int32[Array, ""]) -> Any:
        """Compute what is constant over the passes of the chunk; ``position`` is its id, traced int32."""
        ...

    def flow(
        self, params: Any, x: Float[Array, "B ..."], t: Float[Array, ""], prepared: Any, context: Context
    ) -> Float[Array, "B ..."]:
        """Predict the flow (noise minus clean) of latents ``[B, *latent_shape]`` at time ``t``, a scalar."""
        ...

    def commit(
        self, params: Any, x0: Float[Array, "B ..."], prepared: Any, context: Context
    ) -> tuple[KVSpan | CommittedSpan | None, Any]:
        """Run the clean pass: the chunk's own keys and values ``[L, B, T, N, H]``, and the new carry."""
        ...

    def init_decoder(self, params: Any, worlds: int) -> Any:
        """Return the decoder's state before the first chunk."""
        ...

    def decode(
        self, params: Any, latents: Float[Array, "B ..."], decoder: Any
    ) -> tuple[Float[Array, "B n height width 3"], Any]:
        """Decode latents to frames ``[B, n, height, width, 3]`` in [0, 1], and the decoder's new state."""
        ...


@runtime_checkable
class CommitsLastPass(Backbone, Protocol):
    """What a backbone also offers if a denoising pass can yield what is remembered, see `Schedule.commit`."""

    def flow_and_commit(
        self, params: Any, x: Float[Array, "B ..."], t: Float[Array, ""], prepared: Any, context: Context
    ) -> tuple[Float[Array, "B ..."], KVSpan, Any]:
        """Run one pass for its flow, the keys and values of its tokens ``[L, B, T, N, H]``, and the new carry."""
        ...


class AttentionQueries(NamedTuple):
    """What every layer of a pass asks with, and what it sees besides its memory; all after RoPE.

    Under jit, what is not used of it is not computed: retrieval takes the mean alone.
    """

    mean: Float[Array, "L B N H"]  # over the tokens
    query: Float[Array, "L B T N H"]
    keys: Float[Array, "L B n N H"]  # own keys, and others that are always seen
    length: Int32[Array, ""] | None = None  # rows of the context that are seen, where not all that are valid


@runtime_checkable
class AttentionProbe(Backbone, Protocol):
    """What a backbone also offers if chunks are to be retrieved by attention, or its attention is to be analysed."""

    def attention_queries(
        self, params: Any, x: Float[Array, "B ..."], t: Float[Array, ""], prepared: Any, context: Context
    ) -> AttentionQueries:
        """Run one pass over noisy latents for what its attention asks with."""
        ...
