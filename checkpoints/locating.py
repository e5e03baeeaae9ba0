"""Find the networks of a model in what the user gives: a model folder, or the file or folder of one network."""

from collections.abc import Sequence
from pathlib import Path

from checkpoints.components import Component, ModelFormat
from checkpoints.matching import hint, name_source, recognise
from checkpoints.sources import Source, open_source, visible


def locate(
    path: str | Path, model: ModelFormat, only: Sequence[str] = (), *, known: Sequence[ModelFormat] = ()
) -> dict[str, Source]:
    """Open the networks of a model that are at a path.

    Args:
        path: a folder in which they lie where the model's components say, or the tensors of one of them.
        model: the model.
        only: names of the components to look for; all by default.
        known: models to name where the tensors are of one of them instead.

    Returns:
        Sources by component name; optional components that are not there are left out.

    Raises:
        FileNotFoundError: there is nothing, or a component that is not optional is missing.
        ValueError: a name in ``only`` is not a component, or the files are no tensors.
    """
    path = Path(path)
    components = {component.name: component for component in model.components}
    strange = [name for name in only if name not in components]
    if strange:
        raise ValueError(f"{model.name} has no {' and no '.join(strange)}; it has {', '.join(components)}")
    wanted = [components[name] for name in only or components]
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected the folder or file of a checkpoint")
    places = find_places(path, wanted)
    if not any(places.values()) or path in places.values():
        return _open_one(path, model, wanted, known)
    missing = [component for component in wanted if not places[component.name] and not component.optional]
    if missing:
        found = " ".join(name for name, place in places.items() if place)
        raise FileNotFoundError(
            f"{path} lacks parts of {model.name}; add them, or take what is there with --only {found}:\n  "
            + "\n  ".join(f"{component.name}: no {' and no '.join(component.files)}" for component in missing)
        )
    return {name: open_source(place) for name, place in places.items() if place}


def find_places(path: Path, components: Sequence[Component]) -> dict[str, Path | None]:
    """Return where in a model folder each component lies; ``None`` where it does not."""
    return {component.name: _find(path, component) if path.is_dir() else None for component in components}


def _open_one(
    path: Path, model: ModelFormat, wanted: Sequence[Component], known: Sequence[ModelFormat]
) -> dict[str, Source]:
    """Open a source that is one network; which one shows in the names of its tensors."""
    source = open_source(path)
    if len(wanted) == 1 and path.is_file():
        return {wanted[0].name: source}
    found = recognise(source, [model])
    if found is not None and found[1] in wanted:
        return {found[1].name: source}
    foreign = name_source(source)
    if foreign:
        raise ValueError(f"{path}: {foreign}")
    lacking = f"no {', no '.join(name for component in wanted for name in component.files)}, and " * path.is_dir()
    raise ValueError(
        f"{path} has no {' and no '.join(component.name for component in wanted)} of {model.name}: {lacking}its "
        f"{len(source.tensors)} tensors are others, such as {', '.join(list(source.tensors)[:3])}{hint(source, known)}"
    )


def _find(folder: Path, component: Component) -> Path | None:
    for pattern in component.files:
        found = visible(folder, pattern)
        shards = [path for path in found if path.name.count("-of-")]
        if shards and shards == found:
            found = sorted({path.parent for path in found})  # where their index is
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in found)
            raise ValueError(
                f"{folder} has {len(found)} files {pattern} ({names}); give the one you want as the source"
            )
        if found:
            return found[0]
    return None
