"""A parity run that finds no golden must fail, not pass in silence."""

from tests.parity.goldens import find_cases


def test_folder_holds_goldens(request):
    folder = request.config.getoption("--goldens")
    cases = [path for path in find_cases(folder, "") if path.with_suffix(".safetensors").exists()]
    assert cases, f"no golden case (NAME.json with NAME.safetensors) under {folder}; give the folder with --goldens DIR"
