"""Shapes to test and measure the kernels with: small ones to run anywhere, and those of the backbones."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One chunk's keys ``[*leading, tokens, heads, head_dim]``, of which `picks` tokens stay."""

    name: str
    leading: tuple[int, ...]
    tokens: int
    picks: int
    heads: int
    head_dim: int
    dtype: str = "bfloat16"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the keys."""
        return (*self.leading, self.tokens, self.heads, self.head_dim)


# Between them: no, one and two leading axes, whole and ragged blocks of 16 and 64 rows, one block of columns and
# several.
TINY = (
    ArgSpec(name="whole", leading=(), tokens=64, picks=32, heads=2, head_dim=64),
    ArgSpec(name="ragged", leading=(2,), tokens=75, picks=29, heads=3, head_dim=64),
    ArgSpec(name="worlds", leading=(2, 1), tokens=67, picks=5, heads=1, head_dim=128, dtype="float32"),
)

# Layers of one chunk of three latent frames; the anchor frame and half of the others stay.
LINGBOT = ArgSpec(name="lingbot_480x832", leading=(40,), tokens=4680, picks=3120, heads=40, head_dim=128)
LINGBOT_464 = ArgSpec(name="lingbot_464x832", leading=(40,), tokens=4524, picks=3016, heads=40, head_dim=128)
MATRIX_GAME = ArgSpec(name="matrix_game2", leading=(30,), tokens=2640, picks=1760, heads=12, head_dim=128)
INSPATIO = ArgSpec(name="inspatio", leading=(30,), tokens=4680, picks=3120, heads=12, head_dim=128)
LINGBOT_SHARDED = ArgSpec(name="lingbot_8_devices", leading=(40,), tokens=4680, picks=3120, heads=5, head_dim=128)
DEMO = ArgSpec(name="demo_world", leading=(5, 1), tokens=72, picks=48, heads=4, head_dim=40, dtype="float32")

REAL = (LINGBOT, LINGBOT_464, MATRIX_GAME, INSPATIO, LINGBOT_SHARDED, DEMO)
