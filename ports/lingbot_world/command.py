"""LingBot-World-Fast on the command line: `worldkv rollout lingbot-world-fast`, `worldkv plan lingbot-world-fast`."""

import argparse

HELP = "LingBot-World-Fast, 14 billion parameters, steered by camera poses; needs its checkpoint"

MEMORY_FLAGS = {
    "--full_kv": {"action": "store_true", "help": "--memory full"},
    "--sliding_window": {"type": int, "metavar": "N", "help": "--memory sliding: N latent frames, own ones included"},
    "--use_retrieval": {"action": "store_true", "help": "--profile official, in parts that the other flags choose:"},
    "--retrieval_frames": {"type": int, "metavar": "N", "help": "latent frames brought back (default: 6)"},
    "--retrieval_rope_correction": {"action": "store_true", "help": "move them in time to before the recent frames"},
    "--kv_compression_enable": {"action": "store_true", "help": "prune stored chunks"},
    "--kv_compression_keep_ratio": {"type": float, "metavar": "R", "help": "tokens kept of a frame (default: 0.5)"},
    "--kv_compression_at_store": {"action": "store_true", "help": "prune once, not at every retrieval"},
    "--kv_compression_pooled": {"action": "store_true", "help": "choose tokens over all but the anchor together"},
    "--kv_compression_anchor_rotate": {"action": "store_true", "help": "let a chunk's rank choose its anchor"},
    "--kv_bank_on_gpu": {"action": "store_true", "help": "keep stored chunks on the device, else in host memory"},
}
"""Flags of the released program that choose the memory."""

_SWITCHES = ("--dit_fsdp", "--t5_fsdp", "--t5_cpu", "--convert_model_dtype", "--use_prompt_extend")
IGNORED_FLAGS = {
    **{flag: {"action": "store_true"} for flag in _SWITCHES},
    **{flag: {} for flag in ("--task", "--ulysses_size", "--offload_model")},
}
"""Flags of the released program that tell PyTorch how to run, or do nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this model, and the flags of the released program."""
    add = parser.add_argument
    add("--ckpt", "--ckpt_dir", metavar="DIR", help="model folder as released, or a converted one")
    add("--image", metavar="FILE", help="picture that the video begins with")
    add("--prompt", metavar="TEXT", help="what is to be seen; or an embedding: a .npy or .safetensors file")
    moves = "folder with poses.npy and intrinsics.npy, or camera moves such as R_L_R_L90"
    add("--trajectory", "--action_path", metavar="DIR|SCRIPT", help=moves)
    add("--frames", "--frame_num", type=int, metavar="N", help="video frames, cut to whole chunks (default: the path)")
    add("--size", default="480*832", metavar="H*W", help="area of a frame; its shape is the image's (default: 480*832)")
    add("--resolution", metavar="HxW", help="exact size instead, in multiples of 16; the image is stretched to it")
    scale = "scene units of the fastest motion between latent frames (default: measured along the whole path)"
    add("--translation-scale", type=float, metavar="S", help=scale)
    add("--shift", "--sample_shift", type=float, default=10.0, metavar="S", help="of the noise levels (default: 10)")
    types = ("bfloat16", "float32")
    add("--dtype", choices=types, default=types[0], help="of weights and products (default: bfloat16)")

    add = parser.add_argument_group("without a checkpoint").add_argument
    add("--random-weights", action="store_true", help="draw the weights, to measure speed and memory; needs no file")
    add("--dim", type=int, metavar="N", help="width of the transformer, a multiple of 128 (default: 5120)")
    add("--layers", type=int, metavar="N", help="depth of the transformer (default: 40)")
    add("--control", choices=("cam", "act"), help="steered by poses (default), or by poses and keys")

    group = parser.add_argument_group("flags of the released generate_fast.py, for which this program has others")
    flags = {
        **MEMORY_FLAGS,
        "--save_dir": {"dest": "out", "metavar": "DIR", "help": "--out"},
        "--base_seed": {"dest": "seed", "type": int, "metavar": "N", "help": "--seed"},
        **{flag: options | {"help": argparse.SUPPRESS} for flag, options in IGNORED_FLAGS.items()},
    }
    for flag, options in flags.items():  # what is not given is not in the namespace
        group.add_argument(flag, default=argparse.SUPPRESS, **options)


def request(args: argparse.Namespace, memory):
    """Check everything that was given and describe the rollout; loads no weights."""
    from ports.lingbot_world.request import make_request

    return make_request(args, memory)
