"""Name what is no checkpoint of a model, so that an error can say what it is: adapters, quantised and other files."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; download it with git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex, not the file itself; get it with git annex get"),
    (b"\0\5\x16\7", "an AppleDouble file, which macOS writes beside the real one (its name begins with ._)"),
    (b"GGUF", "a GGUF file of quantised weights, which are not read; get the model in bfloat16 as safetensors"),
    (b"\x80\2", "in the PyTorch format before 1.6; load it with PyTorch and save it again"),
    (b"\x80\3", "in the PyTorch format before 1.6; load it with PyTorch and save it again"),
    (b"\x80\4", "in the PyTorch format before 1.6 or another pickle; load it with PyTorch and save it again"),
)
_NEITHER: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "a web page; the download asked for a login or went wrong"),
    (b"<html", "a web page; the download asked for a login or went wrong"),
    (b'{"error"', "the error message of a server; get the file again"),
    (b"\x1f\x8b", "compressed with gzip; unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it"),
    (b"\x89hdf", "an HDF5 file, as Keras writes it"),
    (b"\x93numpy", "a NumPy array"),
)


def name_start(start: bytes) -> tuple[str, bool] | None:
    """Name a file by its first bytes.

    Returns:
        What it is, and whether that says all; ``None`` where nothing is known of it.
    """
    for magic, text in _STARTS:
        if start.startswith(magic):
            return text, True
    for magic, text in _NEITHER:
        if start.lstrip().lower().startswith(magic):
            return text, False
    if start and not any(start):
        return "zeros, as an unfinished or broken download leaves them; get it again", False
    return None


# Names of tensors, whatever stands before them; a kind is what any of its names says.
_KINDS: tuple[tuple[str, str], ...] = (
    (
        r"(lora_(A|B|up|down|magnitude_vector)|(hada|lokr)_w[12](_[ab])?|lora\.(up|down))(\.\w+)*\.?(weight)?",
        "these are LoRA weights, which change a model and are none by themselves: merge them into it with PyTorch "
        "(merge_and_unload of peft), and give the result",
    ),
    (
        r"(absmax|quant_map|nested_absmax|quant_state\.\w+|SCB|weight_format)",
        "these weights are quantised by bitsandbytes, which are not read; get the model in bfloat16",
    ),
    (
        r"(qweight|qzeros|g_idx)",
        "these weights are quantised (GPTQ or AWQ), which are not read; get the model in bfloat16",
    ),
    (
        r"(scale_weight|scale_input|weight_scale(_inv)?|input_scale|scaled_fp8|comfy_quant)",
        "these weights are scaled to 8 bits and mean nothing without their scales, which are not applied here; get the "
        "model in bfloat16",
    ),
    (
        r"(wscales|smooth_factor|smooth_orig|proj_(down|up)_lowrank)",
        "these weights are quantised by SVDQuant, which are not read; get the model in bfloat16",
    ),
    (
        r"(exp_avg|exp_avg_sq|momentum_buffer|optimizer\..*)",
        "this is the state of an optimiser; give the weights that were saved beside it",
    ),
)


def name_tensors(names: Iterable[str], metadata: Mapping[str, str] | None = None) -> str | None:
    """Say what tensors are that no model here can be read from; ``None`` where nothing is recognised.

    Args:
        names: of the tensors.
        metadata: of a safetensors file.
    """
    names = list(names)
    for pattern, text in _KINDS:
        fits = re.compile(rf"(.*\.)?{pattern}").fullmatch
        if any(map(fits, names)):
            return text
    written_for = (metadata or {}).get("format")
    if written_for in ("mlx", "flax", "tf"):
        return (
            f"these weights were converted for {written_for.upper()}, with other layouts; give the files that "
            "PyTorch wrote"
        )
    return None


WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What torch.compile, FSDP and activation checkpointing put between the parts of a name."""
_INSIDE = re.compile(rf"(?:(?<=\.)|^)(?:{'|'.join(WRAPPERS)})\.")


def unwrapped(names: Iterable[str]) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Offer shorter names, from the most cautious on.

    Yields:
        What was taken off, for people, and the function that takes it off a name: first what wrappers put anywhere,
        then also one part after the other that all names begin with, such as ``module.`` or ``model.``.
    """
    names = list(names)
    inner = [_INSIDE.sub("", name) for name in names]
    taken, most = "", 4  # of parts; more is no wrapper
    if inner != names:
        yield "wrappers", lambda name: _INSIDE.sub("", name)
    while inner and taken.count(".") < most and all("." in name for name in inner):
        first = inner[0].split(".", 1)[0] + "."
        if not all(name.startswith(first) for name in inner):
            return
        taken, inner = taken + first, [name.removeprefix(first) for name in inner]
        yield taken, lambda name, taken=taken: _INSIDE.sub("", name).removeprefix(taken)


def name_folder(folder: Path) -> str | None:
    """Say what a folder is in which no tensors were found, and what to give instead."""
    snapshots = folder / "snapshots"
    if snapshots.is_dir():
        found = sorted(str(path) for path in snapshots.iterdir() if path.is_dir())
        what = "it is the download cache of a model"
        return f"{what}; give {' or '.join(found)}" if found else f"{what} that holds no snapshot; download it again"
    if folder.name in ("snapshots", "blobs") and (folder.parent / "blobs").is_dir():
        return f"it is part of the download cache of a model: {name_folder(folder.parent)}"
    caches = sorted(path.name for path in folder.glob("models--*"))
    if caches:
        return (
            f"it is the download cache of {', '.join(caches[:5])}; give the snapshot of one, {caches[0]}/snapshots/..."
        )
    unfinished = sorted(
        str(path.relative_to(folder))
        for suffix in UNFINISHED
        for path in [*folder.glob(f"*{suffix}"), *folder.glob(f".cache/**/*{suffix}")]
    )
    if unfinished:
        return f"it has downloads that are not finished ({', '.join(unfinished[:3])}); download it again"
    if any(folder.glob("*.gguf")):
        return "it has GGUF files of quantised weights, which are not read; get the model in bfloat16 as safetensors"
    if (folder / "model_index.json").is_file():
        return "it is a pipeline as diffusers writes it; give one of its parts, such as its folder transformer"
    if (folder / "adapter_config.json").is_file():
        return "it is an adapter (LoRA) of a model; merge it into the model and give the result"
    inside = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and any(map(_holds_tensors, path.iterdir()))
    )
    return f"there are some in {', '.join(inside[:5])}; give that folder" if inside else None


UNFINISHED = (".incomplete", ".part", ".crdownload", ".aria2", ".download", ".partial")
"""Suffixes of downloads that go on, or were given up."""


def _holds_tensors(path: Path) -> bool:
    return path.suffix in (".safetensors", ".pth", ".pt", ".bin", ".ckpt") and not path.name.startswith(".")
