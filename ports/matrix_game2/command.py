"""Matrix-Game 2.0 on the command line: `worldkv rollout matrix-game-2`, `worldkv plan matrix-game-2`."""

import argparse

HELP = "Matrix-Game 2.0, 1.6 billion parameters: game worlds played with keys and mouse"

_VARIANTS = ("universal", "gta_drive", "templerun")
_DTYPES = ("bfloat16", "float32")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this model."""
    add = parser.add_argument
    add("--variant", choices=_VARIANTS, default=_VARIANTS[0], help="which of the released models (default: universal)")
    add("--ckpt", metavar="DIR", help="model folder as released, or a converted one")
    add("--image", action="append", metavar="FILE", help="picture that the world begins with; repeat for more worlds")
    keys = (
        "what is pressed, chunk by chunk: a script such as 'W2 WL10 Q' (universal: WASD walk, IJKL look; gta_drive: WS "
        "pedals, AD steer; templerun: W jump, S slide, AD aside, ZC turn; Q nothing), a .txt file with one, a .npz or "
        ".safetensors file with keyboard and mouse of every frame, random:SEED for the released benchmark's, or - to "
        "type them live; repeat for more worlds"
    )
    add("--actions", action="append", metavar="SCRIPT|FILE", help=keys)
    add("--chunks", type=int, metavar="N", help="chunks of 12 frames, the first of 9 (default: the actions')")
    add("--size", metavar="HxW", help="height and width, multiples of 16 (default: 352x640, what it was trained on)")
    add("--fps", type=float, default=12.0, metavar="F", help="frames a second of the video (default: 12, as released)")
    add("--dtype", choices=_DTYPES, default=_DTYPES[0], help="of weights and products (default: bfloat16)")
    add("--decoder", choices=("vae", "taehv"), default="vae", help="what makes frames: the VAE, or a tiny fast one")
    precise = "of the decoder's activations (default: float16 as released, float32 with --dtype float32)"
    add("--decoder-dtype", choices=("float16", *_DTYPES), help=precise)

    add = parser.add_argument_group("where actions lead the camera, for retrieval alone").add_argument
    add("--degrees-per-mouse-unit", type=float, metavar="D", help="(default: 15, Matrix-Game 3's; uncalibrated)")
    add("--step", type=float, metavar="S", help="scene units a frame (default: 0.1235, Matrix-Game 3's; uncalibrated)")

    add = parser.add_argument_group("without a checkpoint").add_argument
    add("--random-weights", action="store_true", help="draw the weights, to measure speed and memory; needs no file")
    add("--tiny", action="store_true", help="a tiny model with random weights, for any machine")


def request(args: argparse.Namespace, memory):
    """Check everything that was given and describe the rollout; loads no weights."""
    from ports.matrix_game2.request import make_request

    return make_request(args, memory)
