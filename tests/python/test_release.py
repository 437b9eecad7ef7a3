"""The release checklist: what its reading steps accept, what stops it, and that it publishes nothing."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import release  # noqa: E402

ENTRY = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-12-01

### Added

- A thing.

## [1.2.2] - 2026-11-28
"""


def run(*arguments):
    return subprocess.run([ROOT / "build.sh", "release", *arguments], capture_output=True, text=True)


def test_the_entry_of_a_version():
    assert release.changelog_entry(ENTRY, "1.2.3") == "### Added\n\n- A thing."


@pytest.mark.parametrize("version, said", [
    ("1.2.4", "no entry '## [1.2.4] - YYYY-MM-DD'"),
    ("1.2.2", "the entry of 1.2.2 is empty"),
    ("Unreleased", "has no day"),
])
def test_no_entry(version, said):
    with pytest.raises(ValueError) as error:
        release.changelog_entry(ENTRY, version)
    assert said in str(error.value)


def test_a_day_that_does_not_exist():
    with pytest.raises(ValueError, match="has no day, got '## \\[1.2.3\\] - 2026-13-01'"):
        release.changelog_entry(ENTRY.replace("2026-12-01", "2026-13-01"), "1.2.3")


def test_pages_that_name_another_version():
    pages = {"a.md": "npufa==1.2.3 and npufa-1.2.3.tar.gz", "b.md": "pip install 'npufa==1.2.2+torch2.10'"}
    assert release.other_versions(pages, "1.2.3") == ["b.md: npufa==1.2.2"]


def test_this_version_is_written_down():
    release.written_version()


def test_a_dry_run_names_every_step_and_does_none():
    done = run("--dry-run")
    assert done.returncode == 0, done.stderr
    named = [line.split(":")[0] for line in done.stdout.splitlines()[1:-2]]
    assert named == [f"== {name}" for name in release.STEPS]
    assert "== not published\n" in done.stdout


def test_what_is_left_out_is_said():
    done = run("version", "--dry-run")
    assert "left out: tree, lint, test, slow, docs, wheels, source, package, built" in done.stdout
    assert "left out: package\n" in run("--dry-run", "--without", "package").stdout


def test_unknown_steps():
    done = run("upload")
    assert done.returncode == 2
    assert "no step upload; expected tree, version, lint" in done.stderr


def test_a_failing_command_stops(monkeypatch):
    monkeypatch.setattr(release, "ROOT", ROOT)
    with pytest.raises(SystemExit, match="release: stopped: false failed"):
        release.run("false")


def repository(path, monkeypatch):
    monkeypatch.setattr(release, "ROOT", path)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*who, "commit", "-qm", "x", "--allow-empty"]):
        subprocess.run(["git", *command], cwd=path, check=True)


def test_a_tree_with_changes_or_a_tag_stops(tmp_path, monkeypatch):
    repository(tmp_path, monkeypatch)
    release.clean_tree()
    (tmp_path / "new").touch()
    with pytest.raises(SystemExit, match=r"in no commit:\n\?\? new"):
        release.clean_tree()
    (tmp_path / "new").unlink()
    subprocess.run(["git", "tag", f"v{release.VERSION}"], cwd=tmp_path, check=True)
    with pytest.raises(SystemExit, match="exists; set the next version"):
        release.clean_tree()


def test_what_was_built(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(release, "ROOT", tmp_path)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/npufa-0.0.1-py3-none-any.whl").touch()
    with pytest.raises(SystemExit, match=f"no wheel of {release.VERSION}"):
        release.built()
    for name in (f"npufa-{release.VERSION}-py3-none-any.whl", f"npufa-{release.VERSION}.tar.gz"):
        (tmp_path / "dist" / name).write_bytes(b"x")
    release.built()
    digest = hashlib.sha256(b"x").hexdigest()
    assert capsys.readouterr().out.count(f"{digest} dist/npufa-{release.VERSION}") == 2
