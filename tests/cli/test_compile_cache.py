"""Compiled programs are kept in a folder, unless that is turned off or cannot be."""

import argparse
import os
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from worldkv_jax.cli.compile_cache import MOST_BYTES, add_cache_flag, own_folder, use_cache


def given(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_cache_flag(parser)
    return parser.parse_args(words)


@pytest.fixture
def settings():
    """Begin with JAX's own, which keeps no program that compiles within a second, and put everything back."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_compilation_cache_max_size",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_programs_are_kept_where_asked_for(settings, tmp_path):
    jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))  # whether there is a cache is otherwise decided here
    folder = tmp_path / "a" / "b"
    use_cache(given("--compile-cache", str(folder)))
    jax.block_until_ready(jax.jit(lambda x: x * 3 + 2)(1.0))
    assert any(folder.iterdir())


def test_where_jax_has_a_folder_it_stays(settings, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    use_cache(given())
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_by_default_it_is_among_the_users_caches_and_bounded(settings, tmp_path, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use_cache(given("--no-compile-cache"))
    assert jax.config.jax_compilation_cache_dir is None
    use_cache(given())
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "worldkv-jax") and own_folder().is_dir()
    assert jax.config.jax_compilation_cache_max_size == MOST_BYTES
    jax.block_until_ready(jax.jit(lambda x: x * 5 + 2)(1.0))
    assert any(own_folder().iterdir())
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert own_folder() == Path.home() / ".cache" / "worldkv-jax"


@pytest.mark.parametrize("asked", [(), ("--compile-cache",)])
def test_what_cannot_be_kept_is_a_warning_unless_asked_for(settings, tmp_path, monkeypatch, capsys, asked):
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    if asked:
        with pytest.raises(OSError):
            use_cache(given(*asked))
    else:
        use_cache(given())
        assert "compiled programs are not kept" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir is None


def programs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*-cache"))


def test_a_program_that_was_cut_while_it_was_written_is_compiled_again(settings, tmp_path, recwarn):
    """Killed in the middle, or a full disk: JAX then stored nothing any more, and never wrote that one whole."""
    use_cache(given("--compile-cache", str(tmp_path)))
    jax.block_until_ready(jax.jit(lambda x: x * 7 + 2)(1.0))
    whole = {path: path.stat().st_size for path in tmp_path.glob("*-cache")}
    for path, size in whole.items():
        os.truncate(path, size // 2)
        path.with_name(path.name.replace("-cache", "-atime")).unlink()
    jax.clear_caches()
    use_cache(given("--compile-cache", str(tmp_path)))
    jax.block_until_ready(jax.jit(lambda x: x * 7 + 2)(1.0))
    jax.block_until_ready(jax.jit(lambda x: x * 7 + 3)(1.0))
    assert all(path.stat().st_size > 0.9 * size for path, size in whole.items())  # seconds are packed with it
    assert len(programs(tmp_path)) > len(whole)
    assert not [str(w.message) for w in recwarn if "compilation cache" in str(w.message)]


def test_a_folder_that_jax_filled_without_a_bound_is_used(settings, tmp_path, recwarn):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()
    jax.block_until_ready(jax.jit(lambda x: x * 11 + 2)(1.0))
    before = programs(tmp_path)
    assert before and not [*tmp_path.glob("*-atime")]
    use_cache(given("--compile-cache", str(tmp_path)))
    jax.block_until_ready(jax.jit(lambda x: x * 11 + 3)(1.0))
    assert set(before) < set(programs(tmp_path)) and len([*tmp_path.glob("*-atime")]) == len(programs(tmp_path))
    assert not [str(w.message) for w in recwarn if "compilation cache" in str(w.message)]
