"""A released model from Python, with tiny random weights: its pictures mean nothing, the way is the real one's."""

from worldkv_jax import open_model
from worldkv_jax.sessions import MemoryOptions

# %% What was asked for is checked, and planned, before anything is allocated.
options = open_model("matrix-game-2", tiny=True, actions="W2 WL4 W2", size=(32, 48))  # with weights: ckpt="DIR"
session = options.check(memory=MemoryOptions(tier="pinned_host"))
print(session)

# %% The actions that the options name.
session = session.load()
for chunk in session.stream(session.start(), seed=0):
    print(chunk.index, chunk.frames.shape, chunk.attended_tokens, chunk.kv_bytes)


# %% Actions that come live: whoever answers has seen all chunks before.
def turn_around(chunk: int) -> str | None:
    return "L" if chunk < 4 else None


for chunk in session.stream(session.start(), session.inputs(turn_around), seed=1):
    print(chunk.index, "recalls", chunk.retrieved[0].tolist())
