"""Convert PyTorch checkpoints, piece by piece: in little memory, to be continued if interrupted, all or nothing."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.drafts import Draft, check_space
from checkpoints.eight_bits import RoundedKernel, parts
from checkpoints.key_tables import Target
from checkpoints.layout import PIECE_BYTES, ArrayPlan, StoredArray, write_tree
from checkpoints.manifest import (
    ComponentRecord,
    Manifest,
    SourceFile,
    foreign_entries,
    hash_file,
    library_versions,
    write_manifest,
)
from checkpoints.matching import Match
from checkpoints.planning import Conversion
from checkpoints.tensors import LazyTensor, TensorFile, give_back_what_is_freed

Progress = Callable[[str, int, int], Any]
"""Is told what is being done, how many bytes were just done, and how many there are."""


def run_conversion(
    conversion: Conversion,
    out: str | Path,
    *,
    force: bool = False,
    hashes: bool = True,
    progress: Progress = lambda what, done, total: None,
) -> Manifest:
    """Write the converted checkpoint to the folder ``out``, which appears only when it is complete.

    If it is interrupted in whatever way, the same call goes on where it stopped and ends with the same bytes.

    Args:
        conversion: what `plan_conversion` returned.
        out: the folder.
        force: replace a converted checkpoint that is there.
        hashes: note the SHA-256 of the source files and recognise published ones.
        progress: is told of every few megabytes.

    Raises:
        FileExistsError: ``out`` is there, and ``force`` is not given; or the source or files of others are in it.
        BlockingIOError: another process is converting to it.
        OSError: it does not fit on the disk, or cannot be written.
        ValueError: the data of the source is damaged, or was changed meanwhile.
    """
    out = Path(os.path.abspath(out))
    files = [file.path for found in conversion.matches.values() for file in found.source.files]
    if any(path.resolve().is_relative_to(out.resolve()) for path in files):
        raise FileExistsError(f"{out} holds the source, which would be replaced; choose another folder")
    check_out(out, force=force)
    plan = _fingerprint(conversion)
    with Draft(out, plan) as draft:
        _check_disk(conversion, draft)
        records = _check_files(conversion, draft, hashes, progress)
        _write_tensors(conversion, draft, progress)
        if _fingerprint(conversion) != plan:
            draft.abandon()
            raise ValueError(f"{conversion.path} was changed while it was converted; start again")
        for name, arrays in conversion.arrays.items():
            write_tree(draft.new / name, arrays)
        manifest = Manifest(
            model=conversion.model.name,
            dtype=conversion.cast,
            components={name: _record(conversion, name, records[name]) for name in conversion.matches},
            absent=conversion.absent,
            versions=library_versions(),
        )
        write_manifest(draft.new, manifest)
        draft.finish()
    return manifest


def check_out(out: str | Path, *, force: bool) -> None:
    """Check that a folder may be written, before any work.

    Raises:
        FileExistsError: it is there, and ``force`` is not given; or it is a file, or holds what no conversion made.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; give the name of a new folder")
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists; choose another folder, or replace it with --force")
    if out.exists() and (foreign := foreign_entries(out)):
        raise FileExistsError(
            f"{out} holds what no conversion made and would be lost ({', '.join(foreign[:3])}): choose another folder"
        )


def _fingerprint(conversion: Conversion) -> dict:
    """Describe all that decides what is written, so that only the same conversion is continued."""
    return {
        "model": conversion.model.name,
        "dtype": conversion.cast,
        "versions": library_versions(),
        "components": {
            name: {
                "files": {
                    str(file.path.resolve()): [file.size, file.path.stat().st_mtime_ns] for file in found.source.files
                },
                "config": found.component.to_json(found.config),
                "arrays": {path: plan.to_json() for path, plan in conversion.arrays[name].items()},
            }
            for name, found in conversion.matches.items()
        },
    }


def _check_disk(conversion: Conversion, draft: Draft) -> None:
    there = sum(path.stat().st_blocks * 512 for path in draft.new.rglob("*") if path.is_file())
    try:
        check_space(draft.out, conversion.nbytes - there)
    except OSError:
        if not there:
            draft.abandon()
        raise


def _check_files(
    conversion: Conversion, draft: Draft, hashes: bool, progress: Progress
) -> dict[str, tuple[SourceFile, ...]]:
    """Compare the files with their own checksums, and describe them."""
    total = sum(found.source.size for found in conversion.matches.values())
    tell = functools.partial(_tell, progress, "checking", total)
    records: dict[str, tuple[SourceFile, ...]] = {}
    for name, found in conversion.matches.items():
        for file in found.source.files:
            key = ("file", name, str(file.path))
            if key not in draft.notes or (hashes and draft.notes[key] is None):
                try:
                    draft.note(*key, value=_check_file(file, hashes, tell))
                except ValueError:
                    draft.abandon()
                    raise
            else:
                tell(file.size)
            digest = draft.notes[key] if hashes else None
            record = SourceFile(
                name=_relative(file.path, conversion.path),
                size=file.size,
                sha256=digest,
                published=None if digest is None else conversion.known_files.get(digest),
            )
            records[name] = (*records.get(name, ()), record)
    return records


def _check_file(file: TensorFile, hashes: bool, tell: Callable[[int], Any]) -> str | None:
    file.verify((lambda _: None) if hashes else tell)
    return hash_file(file.path, tell) if hashes else None


def _write_tensors(conversion: Conversion, draft: Draft, progress: Progress) -> None:
    wanted = [
        (name, found, tensor)
        for name, found in conversion.matches.items()
        for key, tensor in found.source.tensors.items()  # in the order of the files
        if key in found.targets
    ]
    total = sum(tensor.nbytes for _, _, tensor in wanted)
    tell = functools.partial(_tell, progress, "converting", total)
    arrays: dict[tuple[str, str], StoredArray] = {}
    staging = np.empty(PIECE_BYTES, np.uint8)
    give_back_what_is_freed()
    for name, found, tensor in wanted:
        if ("tensor", name, tensor.name) in draft.notes:
            tell(tensor.nbytes)
            continue
        target, plans = found.targets[tensor.name], conversion.arrays[name]
        try:
            for path, values, told in _as_stored(tensor, target, plans, tell):
                if (name, path) not in arrays:
                    arrays[name, path] = StoredArray(draft.new / name, path, plans[path], create=True)
                arrays[name, path].write(values, target.layer, staging, told)
        except ValueError as error:
            draft.abandon()
            raise ValueError(f"{tensor.name} in {tensor.file}: {error}") from None
        draft.note("tensor", name, tensor.name)


def _as_stored(
    tensor: LazyTensor, target: Target, plans: Mapping[str, ArrayPlan], tell: Callable[[int], Any]
) -> list[tuple[str, np.ndarray | RoundedKernel, Callable[[int], Any]]]:
    """Return the arrays that a tensor becomes: path, what to write, and who is told of it in bytes of the tensor."""
    values = target.transform.apply(tensor.open())
    if target.path in plans:
        return [(target.path, values, tell)]
    values_path, scale_path = parts(target.path)
    kernel = RoundedKernel(values, plans[values_path].dtype)
    return [
        (values_path, kernel, lambda done: tell(done * tensor.dtype.itemsize)),
        (scale_path, kernel.scale, lambda done: None),
    ]


def _record(conversion: Conversion, name: str, files: tuple[SourceFile, ...]) -> ComponentRecord:
    found: Match = conversion.matches[name]
    tensors = found.source.tensors
    return ComponentRecord(
        config=found.component.to_json(found.config),
        settings=found.source.config,
        naming=found.naming,
        parameters=found.parameters,
        files=files,
        arrays=conversion.arrays[name],
        tensors={key: (tensors[key].dtype, tensors[key].shape) for key in found.targets},
        left_out=found.left_out,
    )


def _tell(progress: Progress, what: str, total: int, done: int) -> None:
    progress(what, done, total)


def _relative(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if path != source and path.is_relative_to(source) else path.name
