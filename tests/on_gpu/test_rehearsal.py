"""``make gpu`` rehearsed at tiny size: it goes on when a part fails, and writes numbers, table and figure."""

import json

import pytest

from tests.on_gpu.__main__ import main
from tests.on_gpu.parts import PARTS


@pytest.mark.long
def test_a_rehearsal_measures_goes_on_and_writes_everything(tmp_path, capsys):
    assert main(["--tiny", "--out", str(tmp_path)]) == 1
    result = json.loads((tmp_path / "gpu.json").read_text())
    measured, broken = result["parts"]
    assert measured["state"] == "done", (tmp_path / "matrix-game.log").read_text()[-2000:]
    assert broken["state"].startswith("failed") and "this part fails" in (tmp_path / "broken.log").read_text()
    assert any(row["ms"] > 0 and row["planned GiB"] >= 0 for row in measured["rows"])
    assert "jax" in result["machine"]["versions"] and (tmp_path / "gpu.png").stat().st_size > 0
    assert "| matrix-game | worldkv pinned_host, 6 chunks" in (tmp_path / "gpu.md").read_text()


def test_parts_have_names_and_end_within_nine_minutes(tmp_path):
    assert sum(part.seconds for part in PARTS) <= 9 * 60
    with pytest.raises(ValueError, match="did you mean 'lingbot'"):
        main(["--only", "lingbo", "--out", str(tmp_path)])
