"""Debian packages in the cache: where they are, and what is said when they can't be fetched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.errors import DependencyUnavailable
from streams.stack import debs


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_the_cache_is_where_the_user_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below XDG_CACHE_HOME; without it, where those as whom root's servers run can read."""
    assert debs.cache_folder("mysql") == tmp_path / "cache" / "tallystream" / "deb-mysql"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for uid, folder in ((0, Path("/var/cache")), (1000, tmp_path / ".cache")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert debs.cache_folder("mysql") == folder / "tallystream" / "deb-mysql"


def test_without_apt_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems; what is in the cache is taken all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyUnavailable, match="fetched by apt, and there is none"):
        debs.package_root("mysql")
    debs.cache_folder("mysql").mkdir(parents=True)
    assert debs.package_root("mysql") == debs.cache_folder("mysql")


def test_what_apt_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first error, in one line; nothing stays in the cache but the lock."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    program(tmp_path / "bin", "apt-get", "echo 'W: slow' >&2; echo 'E: no such host' >&2; exit 100")
    program(tmp_path / "bin", "dpkg-deb", "exit 1")
    with pytest.raises(
        DependencyUnavailable, match="apt-get could not fetch mysql: E: no such host"
    ) as raised:
        debs.package_root("mysql")
    assert "\n" not in str(raised.value)
    assert [path.name for path in debs.cache_folder("mysql").parent.iterdir()] == ["deb-mysql.lock"]


def test_packages_are_unpacked_once_and_without_what_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each archive that apt has fetched, into the folder, with its own status and sources; then no more."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ARGUMENTS", str(tmp_path / "arguments"))
    program(
        tmp_path / "bin",
        "apt-get",
        'echo "$@" >>"$ARGUMENTS"\n'
        'for one in "$@"; do case $one in -oDir::Cache::archives=*) touch "${one#*=}/one.deb" "${one#*=}/two.deb";; '
        "esac; done",
    )
    program(
        tmp_path / "bin",
        "dpkg-deb",
        'mkdir -p "$3/usr/sbin" "$3/usr/bin"; touch "$3/usr/bin/tool" "$3/usr/sbin/$(basename "$2")"',
    )
    root = debs.package_root("mysql")
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*.deb")) == [
        "usr/sbin/one.deb",
        "usr/sbin/two.deb",
    ]
    assert not (root / "usr/bin").exists()
    assert debs.package_root("mysql") == root
    update, install = (tmp_path / "arguments").read_text(encoding="utf-8").splitlines()
    assert update.endswith(" update")
    assert install.endswith("--download-only --no-install-recommends mysql")
    for arguments in (update, install):
        assert "Dir::Etc::sourceparts=-" in arguments
        assert "mysql.sources" in arguments
        assert f"Dir::State::status={debs.cache_folder('mysql').parent}" in arguments


def test_a_folder_that_is_not_complete(tmp_path: Path) -> None:
    """Said with what to remove; a complete one is run by its own loader."""
    with pytest.raises(DependencyUnavailable, match="is not complete; remove it"):
        debs.loaded(tmp_path, "usr/sbin/mysqld")
    for file in ("usr/lib64/ld-linux-x86-64.so.2", "usr/sbin/mysqld", "usr/lib/x86_64-linux-gnu/libc.so.6"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert debs.loaded(tmp_path, "usr/sbin/mysqld", ["usr/lib/mysql/private"]) == [
        str(tmp_path / "usr/lib64/ld-linux-x86-64.so.2"),
        "--library-path",
        f"{tmp_path}/usr/lib/x86_64-linux-gnu:{tmp_path}/usr/lib/mysql/private",
        str(tmp_path / "usr/sbin/mysqld"),
    ]
