"""What may be taken of main memory: the machine's, or what a container or a job is given of it."""

import pytest

from worldkv_jax.cli.main import main
from worldkv_jax.sessions import free_memory

GB = 1024**3


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 * GB),
        # a container: its own group is at the top of what it sees; files in memory are given back
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
                "sys/fs/cgroup/memory.current": f"{3 * GB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {GB // 2}\n",
            },
            GB + GB // 2,
        ),
        # a job of a batch system: no limit of its own, but the group around it has one
        (
            {
                "proc/self/cgroup": "0::/slurm/job_1/step_0\n",
                "sys/fs/cgroup/slurm/job_1/step_0/memory.max": "max\n",
                "sys/fs/cgroup/slurm/job_1/memory.max": f"{5 * GB}\n",
                "sys/fs/cgroup/slurm/job_1/memory.current": f"{GB}\n",
            },
            4 * GB,
        ),
        # version 1, in a container that sees the machine's name of its group and not its folder
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n1:name=systemd:/docker/1\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}\n",
            },
            GB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}\n",
            },
            8 * GB,
        ),
    ],
    ids=["no groups", "container", "job", "version 1", "version 1 without a limit"],
)
def test_a_group_may_have_less_than_the_machine(tmp_path, monkeypatch, files, expected):
    write(tmp_path, {"proc/meminfo": f"MemFree: 1 kB\nMemAvailable: {8 * GB // 1024} kB\n", **files})
    monkeypatch.setattr(free_memory, "_ROOT", tmp_path)
    assert free_memory.available_host_bytes() == expected


def test_a_rollout_that_main_memory_has_no_room_for_is_refused(tmp_path, capsys):
    """The system would kill it in the middle, without a word."""
    assert main(["rollout", "demo-world", "--worlds", "1000000", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "of main memory, of which" in said and "generate fewer worlds at once" in said and "--force" in said
    assert not (tmp_path / "out").exists()
