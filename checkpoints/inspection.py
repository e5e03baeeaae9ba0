"""Say what a checkpoint is, what it holds, and whether it is whole."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints.components import Component, ModelFormat
from checkpoints.layout import StoredArray, array_folder
from checkpoints.listing import fold, fold_by_text
from checkpoints.locating import find_places
from checkpoints.manifest import ComponentRecord, Manifest, SourceFile, hash_file, is_converted, read_manifest
from checkpoints.matching import match, name_source, recognise
from checkpoints.sources import Source, open_source
from checkpoints.tensors import TensorFile, count_not_finite

Tell = Callable[[int], Any]
"""Is told how many bytes were just read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a checkpoint."""

    name: str | None
    """``None`` where it is none that is known."""
    path: Path
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    """Number of tensors by dtype."""
    size: int
    """Bytes on disk."""
    files: tuple[SourceFile, ...]
    naming: str | None
    """Of the tensors' names: which of the namings that are in use."""
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a path holds."""

    path: Path
    model: str | None
    networks: tuple[Network, ...]
    absent: tuple[str, ...]
    """Networks of the model that are not there, optional ones included."""
    manifest: Manifest | None
    """Of a converted checkpoint; ``None`` for PyTorch files."""

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong."""
        return [problem for network in self.networks for problem in network.problems]


def inspect_checkpoint(
    path: str | Path, models: Sequence[ModelFormat] = (), *, verify: bool = False, tell: Tell = lambda _: None
) -> Inspection:
    """Look at a converted checkpoint, a model folder, or the file or folder of one network.

    Args:
        path: where it is.
        models: what it might be.
        verify: also read all data: compare it with the checksums it has, count what is not finite, hash PyTorch files.
        tell: is told how many bytes were just read.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: a file cannot be read at all.
    """
    path = Path(path)
    if is_converted(path):
        return _inspect_converted(path, verify, tell)
    ranked = sorted((_survey(path, model) for model in models), key=lambda found: -len(found[1]))
    if ranked and ranked[0][1] and not _is_one_network(path, ranked[0][1]):
        # Models share networks: the right one is that which has least to complain about.
        likely = [found for found in ranked if len(found[1]) == len(ranked[0][1])]
        candidates = [_inspect_model(path, model, places) for model, places in likely]
        best = min(candidates, key=lambda found: len(found.problems))
        return _read_all(best, models, tell) if verify else best
    source = open_source(path)
    found = recognise(source, models)
    model, component = found if found else (None, None)
    network = _inspect_network(source, component)
    result = Inspection(path=path, model=model.name if model else None, networks=(network,), absent=(), manifest=None)
    return _read_all(result, models, tell) if verify else result


def _survey(path: Path, model: ModelFormat) -> tuple[ModelFormat, dict[str, Path]]:
    places = find_places(path, model.components)
    return model, {name: place for name, place in places.items() if place is not None}


def _is_one_network(path: Path, places: dict[str, Path]) -> bool:
    """Tell whether all there is are the tensors of one network, right in the folder."""
    return len(places) == 1 and all(
        place == path or (place.parent == path and place.is_file()) for place in places.values()
    )


def _inspect_model(path: Path, model: ModelFormat, places: dict[str, Path]) -> Inspection:
    networks = []
    for component in model.components:
        if component.name in places:
            try:
                networks.append(_inspect_network(open_source(places[component.name]), component))
            except (ValueError, FileNotFoundError) as error:
                networks.append(_broken(component.name, places[component.name], str(error)))
        elif not component.optional:
            networks.append(
                _broken(component.name, path, f"{path} has no {component.name}: {', '.join(component.files)}")
            )
    absent = tuple(component.name for component in model.components if component.name not in places)
    return Inspection(path=path, model=model.name, networks=tuple(networks), absent=absent, manifest=None)


def _inspect_network(source: Source, component: Component | None) -> Network:
    naming, problems = None, []
    if component is not None:
        try:
            naming = match(source, component).names
        except ValueError as error:
            problems.append(str(error))
    elif foreign := name_source(source):
        problems.append(f"{source.path}: {foreign}")
    tensors = source.tensors.values()
    return Network(
        name=component.name if component else None,
        path=source.path,
        tensors=len(tensors),
        parameters=sum(tensor.size for tensor in tensors),
        dtypes=_count(tensor.dtype for tensor in tensors),
        size=source.size,
        files=tuple(
            SourceFile(name=file.path.name, size=file.size, sha256=None, published=None) for file in source.files
        ),
        naming=naming,
        problems=tuple(problems),
    )


def _broken(name: str, path: Path, problem: str) -> Network:
    return Network(
        name=name, path=path, tensors=0, parameters=0, dtypes={}, size=0, files=(), naming=None, problems=(problem,)
    )


def _read_all(found: Inspection, models: Iterable[ModelFormat], tell: Tell) -> Inspection:
    """Check and hash the PyTorch files of an inspection."""
    known = {digest: what for model in models for digest, what in model.known_files.items()}
    networks = []
    for network in found.networks:
        files, problems = [], list(network.problems)
        for file in open_source(network.path).files if network.files else ():
            try:
                file.verify(lambda _: None)
            except ValueError as error:
                problems.append(str(error))
            digest = hash_file(file.path, tell)
            files.append(SourceFile(name=file.path.name, size=file.size, sha256=digest, published=known.get(digest)))
            problems += [f"{file.path.name}: {line}" for line in _not_finite(file)]
        networks.append(dataclasses.replace(network, files=tuple(files), problems=tuple(problems)))
    return dataclasses.replace(found, networks=tuple(networks))


def _not_finite(file: TensorFile) -> list[str]:
    """Count what no weight should be; masks, which are infinite on purpose, are no weights but seldom in a file."""
    counts = {name: count_not_finite(tensor.open()) for name, tensor in file.tensors.items()}
    return fold_by_text({name: _not_finite_text(count) for name, count in counts.items() if count})


def _not_finite_text(count: int) -> str:
    return f"{count:,} number{'s are' if count > 1 else ' is'} not finite (NaN or infinity)"


def _inspect_converted(path: Path, verify: bool, tell: Tell) -> Inspection:
    manifest = read_manifest(path)
    networks = []
    for name, record in manifest.components.items():
        problems = _check_files(path / name, record)
        if verify and not problems:
            problems = _check_data(path / name, record, tell)
        networks.append(
            Network(
                name=name,
                path=path / name,
                tensors=len(record.tensors),
                parameters=record.parameters,
                dtypes=_count(plan.dtype for plan in record.arrays.values()),
                size=sum(plan.nbytes for plan in record.arrays.values()),
                files=record.files,
                naming=record.naming,
                problems=tuple(problems),
            )
        )
    return Inspection(
        path=path, model=manifest.model, networks=tuple(networks), absent=manifest.absent, manifest=manifest
    )


def _check_files(folder: Path, record: ComponentRecord) -> list[str]:
    """Return what is missing or of a wrong size in the folder of a network."""
    problems = [f"{folder / name} is missing" for name in ("_METADATA",) if not (folder / name).is_file()]
    for path, plan in record.arrays.items():
        place = array_folder(folder, path)
        sizes = {file.name: file.stat().st_size for file in place.iterdir()} if place.is_dir() else {}
        lacking = [name for name in ("zarr.json", *plan.files) if name not in sizes]
        problems += [f"{place} lacks {name}" for name in fold(lacking)]
        wrong = [name for name in plan.files if sizes.get(name, plan.file_bytes) != plan.file_bytes]
        problems += [f"{place / name} does not have {plan.file_bytes:,} bytes" for name in wrong]
    return problems


def _check_data(folder: Path, record: ComponentRecord, tell: Tell) -> list[str]:
    problems = []
    for path, plan in record.arrays.items():
        try:
            count = StoredArray(folder, path, plan).verify(tell)
            if count:
                problems.append(f"{path}: {_not_finite_text(count)}")
        except ValueError as error:
            problems.append(str(error))
    return problems


def _count(dtypes: Iterable[np.dtype]) -> dict[str, int]:
    return dict(collections.Counter(dtype.name for dtype in dtypes).most_common())
