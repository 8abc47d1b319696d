"""Image building: the decisions, and what is done to a tree. The build itself is run by the scenario tests' set-up."""

from __future__ import annotations

import pytest

from minicloud import image

HOST = [("http://mirror/debian/", "trixie"), ("http://mirror/debian/", "trixie-updates"),
        ("http://mirror/debian-security/", "trixie-security"), ("http://other/pkgs", "stable")]  # fmt: skip
SIGNED = f"[signed-by={image.KEYRING}]"


def test_sources_use_the_mirrors_of_this_machine_for_the_other_suite():
    assert image.apt_sources("bookworm", HOST) == [
        f"deb {SIGNED} http://mirror/debian/ bookworm main",
        f"deb {SIGNED} http://mirror/debian/ bookworm-updates main",
        f"deb {SIGNED} http://mirror/debian-security/ bookworm-security main",
    ]
    assert image.apt_sources("sid", HOST) == [f"deb {SIGNED} http://mirror/debian/ sid main"]


def test_a_machine_without_a_debian_mirror_is_told():
    with pytest.raises(image.ImageError, match="no Debian mirror"):
        image.apt_sources("bookworm", [("http://other/pkgs", "stable")])


def test_cleaning_removes_what_belongs_to_the_builder(tmp_path):
    for name in (
        "etc/hostname",
        "etc/resolv.conf",
        "etc/apt/sources.list.d/x.sources",
        "var/log/apt/term.log",
        "tmp/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("builder")
    (tmp_path / "etc/nsswitch.conf").write_text("passwd: files\nhosts: files dns\n")
    image.clean(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size}
    assert left == {"etc/hostname", "etc/hosts", "etc/nsswitch.conf"}
    assert (tmp_path / "etc/hostname").read_text() == "localhost\n"
    assert (tmp_path / "etc/nsswitch.conf").read_text() == "passwd: files\nhosts: files\n"
    assert (tmp_path / "var/log/apt").is_dir()
    assert (tmp_path / "etc/machine-id").read_text() == ""


def test_units_are_disabled_and_masked(tmp_path):
    units = tmp_path / "etc/systemd/system"
    for wants in ("multi-user.target.wants/db.service", "sockets.target.wants/db.socket"):
        (units / wants).parent.mkdir(parents=True)
        (units / wants).symlink_to("/lib/systemd/system/db")
    image.disable_unit(tmp_path, "db")
    image.mask_unit(tmp_path, "db.socket")
    image.mask_unit(tmp_path, "db.socket")
    assert sorted(path.name for path in units.rglob("*") if path.is_symlink()) == ["db.socket"]
    assert str((units / "db.socket").readlink()) == "/dev/null"


def test_a_tree_is_copied_through_the_links_of_the_image_but_never_out_of_it(tmp_path):
    root, tree = tmp_path / "root", tmp_path / "tree"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "run").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").mkdir()
    (tree / "lib").mkdir(parents=True)
    (tree / "lib/tool").write_text("x")
    (tree / "lib/tool").chmod(0o750)
    (tree / "lib/link").symlink_to("tool")
    image._copy_tree(tree, root)
    assert (root / "lib").is_symlink()
    assert (root / "usr/lib/tool").stat().st_mode & 0o777 == 0o750
    assert (root / "usr/lib/link").is_symlink()
    (tree / "run").mkdir()
    with pytest.raises(image.ImageError, match="leads out of the image"):
        image._copy_tree(tree, root)


def test_a_layer_has_a_manifest_with_its_checksum(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    manifest = image.layer(tmp_path / "tree", tmp_path / "out/layer.squashfs")
    data = (tmp_path / "out/layer.squashfs").read_bytes()
    assert data[:4] == b"hsqs"
    assert manifest["size"] == len(data)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "layer.squashfs",
        "layer.squashfs.manifest.json",
    ]
    with pytest.raises(image.ImageError, match="^dir: "):
        image.layer(tmp_path / "absent", tmp_path / "x")


def test_a_failing_tool_is_quoted(tmp_path):
    with pytest.raises(image.ImageError, match="is not installed"):
        image._run(["no-such-tool-here"])
    with pytest.raises(image.ImageError, match="ls failed"):
        image._run(["ls", str(tmp_path / "absent")])
