"""The program that copies a tar and keeps one of its members."""
import io
import subprocess
import sys
import tarfile

import pytest

from trove.guestagent.backup import tar_member


def made(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def run(tmp_path, data, name="wanted"):
    done = subprocess.run([sys.executable, tar_member.__file__, name, str(tmp_path / "kept")], input=data,
                          capture_output=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 3_000_000])
def test_the_copy_is_the_same_and_the_member_is_kept(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    data = made(("first", b"x" * 700), ("wanted", content[:size]), ("wanted.not", b"y"))
    assert run(tmp_path, data) == (0, data, "")
    assert (tmp_path / "kept").read_bytes() == content[:size]


@pytest.mark.parametrize(("data", "reason"), [
    (made(("other", b"x")), "there is no member wanted"),
    (made(("wanted", b"x" * 600))[:900], "damaged: EOFError"),
    (b"", "damaged: EOFError"),
    (b"no tar at all" * 512, "damaged: ValueError"),
])
def test_what_is_no_such_tar_is_an_error(tmp_path, data, reason):
    code, _, said = run(tmp_path, data)
    assert code == 1
    assert reason in said
