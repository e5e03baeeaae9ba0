"""`--compile-cache` keeps compiled programs in a folder, and nothing does without it."""

import argparse
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from worldkv_jax.cli.compile_cache import add_cache_flag, own_folder, use_cache


def given(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_cache_flag(parser)
    return parser.parse_args(words)


@pytest.fixture
def settings():
    """Let quick programs be kept too, and put everything back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
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


def test_without_the_option_jax_decides(settings):
    before = jax.config.jax_compilation_cache_dir
    use_cache(given())
    assert jax.config.jax_compilation_cache_dir == before


def test_the_folder_of_its_own_is_among_the_users_caches(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use_cache(given("--compile-cache"))
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "worldkv-jax") and own_folder().is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert own_folder() == Path.home() / ".cache" / "worldkv-jax"
