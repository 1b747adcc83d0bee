import os
import subprocess
import sys
from pathlib import Path

import PIL

from mobius_tui.fingerprint import versions
from mobius_tui.fingerprint.model import Limits
from mobius_tui.fingerprint.versions import decoder_version, failure_environment


def test_the_decoder_is_named_with_its_version():
    assert decoder_version().startswith(f"Pillow {PIL.__version__}, libjpeg")
    assert "\n" not in decoder_version()
    assert decoder_version() == decoder_version()


def test_the_environment_of_a_failure_changes_with_what_it_depends_on(monkeypatch):
    before = failure_environment(Limits())
    assert failure_environment(Limits()) == before
    for other in (Limits(pixels=1), Limits(bytes=1), Limits(seconds=1.0), Limits(memory=1)):
        assert failure_environment(other) != before
    monkeypatch.setattr(versions, "external_tools", dict)
    assert failure_environment(Limits()) != before
    monkeypatch.setattr(versions, "external_tools", lambda: {"ffmpeg": __file__})
    assert "ffmpeg" in failure_environment(Limits())


def test_hashing_brings_along_none_of_the_heavy_packages():
    code = (
        "import sys, mobius_tui.fingerprint.pool, mobius_tui.fingerprint.versions as v; v.decoder_version();"
        "print([name for name in ('numpy', 'scipy', 'pywt', 'imagehash', 'pillow_heif') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_replaced_program_changes_the_environment(monkeypatch, tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_bytes(b"one")
    monkeypatch.setattr(versions, "external_tools", lambda: {"ffmpeg": str(program)})
    before = failure_environment(Limits())
    program.write_bytes(b"another")
    assert failure_environment(Limits()) != before
