"""The command line of the released program, as far as it is taken over (cvlab-kaist/WorldKV, generate_fast.py)."""

from worldkv_jax.sessions.options import ReleasedCommand, option, options_class

_SWITCHES = ("--dit_fsdp", "--t5_fsdp", "--t5_cpu", "--convert_model_dtype", "--use_prompt_extend")
RELEASED = ReleasedCommand(
    program="generate_fast.py",
    same={"--save_dir": "out", "--base_seed": "seed"},
    ignored={
        **dict.fromkeys(_SWITCHES, 0),  # tell PyTorch how to run, or do nothing
        **dict.fromkeys(("--task", "--ulysses_size", "--offload_model"), 1),
    },
)


@options_class
class ReleasedMemory:
    """Flags of the released program that choose the memory; what they leave open is as it is there."""

    full_kv: bool = option(False, "--memory full", flag="--full_kv")
    sliding_window: int = option(
        0, "--memory sliding: N latent frames, own ones included", metavar="N", flag="--sliding_window"
    )
    max_attention_size: int | None = option(
        None,
        "attend to the last N latent frames alone, own ones included; ignored with --use_retrieval",
        metavar="N",
        flag="--max_attention_size",
    )
    use_retrieval: bool = option(
        False, "--profile official, in parts that the other flags choose:", flag="--use_retrieval"
    )
    retrieval_frames: int = option(6, "latent frames brought back (default: 6)", metavar="N", flag="--retrieval_frames")
    retrieval_rope_correction: bool = option(
        False, "move them in time to before the recent frames", flag="--retrieval_rope_correction"
    )
    kv_compression_enable: bool = option(False, "prune stored chunks", flag="--kv_compression_enable")
    kv_compression_keep_ratio: float = option(
        0.5, "tokens kept of a frame (default: 0.5)", metavar="R", flag="--kv_compression_keep_ratio"
    )
    kv_compression_at_store: bool = option(
        False, "prune once, not at every retrieval", flag="--kv_compression_at_store"
    )
    kv_compression_pooled: bool = option(
        False, "choose tokens over all but the anchor together", flag="--kv_compression_pooled"
    )
    kv_compression_anchor_rotate: bool = option(
        False, "let a chunk's rank choose its anchor", flag="--kv_compression_anchor_rotate"
    )
    kv_bank_on_gpu: bool = option(
        False, "keep stored chunks on the device, else in host memory", flag="--kv_bank_on_gpu"
    )
