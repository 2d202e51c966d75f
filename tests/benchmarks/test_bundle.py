import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import main
from tests.benchmarks.test_latency import TINY

ROOT = Path(__file__).parents[2]


def test_one_file_measures_with_the_installed_runtime_alone(tmp_path: Path) -> None:
    bundle = tmp_path / "bench.pyz"
    assert main(["bundle", "--out", str(bundle)]) == 0
    # Stands for the installed wheel: the runtime is found, the checkout's benchmarks are not.
    site = tmp_path / "site"
    site.mkdir()
    (site / "edge_runtime").symlink_to(ROOT / "edge_runtime")
    code = (
        "import runpy, sys\n"
        f"sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]\n"
        f"sys.argv = ['bench.pyz', 'latency', '--model', {str(TINY)!r}, '--calls', '20']\n"
        "sys.argv += ['--format', 'json']\n"
        f"runpy.run_path({str(bundle)!r}, run_name='__main__')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    assert record["calls"] == 20
    assert record["model"] == "tiny"


def test_the_bundle_holds_the_benchmarks_alone(tmp_path: Path) -> None:
    import zipfile

    bundle = tmp_path / "bench.pyz"
    assert main(["bundle", "--out", str(bundle)]) == 0
    names = zipfile.ZipFile(bundle).namelist()
    assert {name.split("/")[0] for name in names} == {"benchmarks", "__main__.py"}
    assert not [name for name in names if name.endswith(".pyc")]
