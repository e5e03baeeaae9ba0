"""Size of the Wan 2.1 VAE, and the statistics that its latents are normalised with."""

import dataclasses
from typing import Literal, get_args

import jax.numpy as jnp

LATENT_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
"""Mean of each latent channel over the data the VAE was trained on."""
LATENT_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
"""Standard deviation of each."""

DecoderRule = Literal["wan", "inspatio"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Size of a Wan 2.1 VAE; the released one unless told otherwise."""

    dim: int = 96
    """Channels at full resolution."""
    z_dim: int = 16
    """Channels of the latents."""
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of each stage, finest first, in multiples of ``dim``."""
    num_res_blocks: int = 2
    """Residual blocks of each stage of the encoder; the decoder has one more."""
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    """Which of the changes of resolution, finest first, also halve the frames."""
    decoder_rule: DecoderRule = "wan"
    """``"inspatio"``: where frames are first doubled, remember the newest frame twice, as InSpatio-World does."""
    compute_dtype: str = "float32"
    """What activations are computed in; statistics of norms and softmax are always float32."""

    def __post_init__(self):
        for name in ("dim_mult", "temporal_downsample"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.z_dim != len(LATENT_MEAN):
            raise ValueError(
                f"z_dim={self.z_dim}, but the latent statistics of Wan 2.1 have {len(LATENT_MEAN)} channels"
            )
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise ValueError(
                f"temporal_downsample={self.temporal_downsample} must have one entry less than "
                f"dim_mult={self.dim_mult}: one for each step between stages"
            )
        if self.decoder_rule not in get_args(DecoderRule):
            raise ValueError(f"decoder_rule={self.decoder_rule!r} is not one of {', '.join(get_args(DecoderRule))}")
        if not jnp.issubdtype(jnp.dtype(self.compute_dtype), jnp.floating):
            raise ValueError(
                f"compute_dtype={self.compute_dtype!r} is not a floating-point type; use float32 or bfloat16"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, finest first."""
        return tuple(self.dim * multiple for multiple in self.dim_mult)

    @property
    def spatial_factor(self) -> int:
        """Pixels along one side of a latent cell."""
        return 2 ** len(self.temporal_downsample)

    @property
    def temporal_factor(self) -> int:
        """Frames of a latent; the first latent of a clip has one."""
        return 2 ** sum(self.temporal_downsample)

    @property
    def encoder_reach(self) -> int:
        """How many frames back the last frame of a latent's group looks: 112 for the released VAE."""
        rate, reach = 1, 2  # frames between two features; every causal convolution looks two features back
        for stage in range(len(self.dim_mult)):
            reach += 2 * 2 * self.num_res_blocks * rate
            if stage < len(self.temporal_downsample) and self.temporal_downsample[stage]:
                reach += 2 * rate
                rate *= 2
        return reach + (2 * 2 * 2 + 2) * rate  # two residual blocks in the middle, one convolution in the head

    @property
    def still_latents(self) -> int:
        """How many latents of an image followed by equal frames differ; all later ones repeat the last of them."""
        return self.encoder_reach // self.temporal_factor + 2
