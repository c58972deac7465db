"""What the documents say is so: examples run and print what is printed below them, commands and files exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benches/README.md",
    ROOT / "docs/benchmarks/README.md",
    ROOT / "tests/cpython/README.md",
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str | None]]:
    """The Python examples of the README, each with the output that is printed right below it."""
    blocks = FENCE.findall((ROOT / "README.md").read_text())
    found = []
    for index, (language, text) in enumerate(blocks):
        if language == "python":
            after = blocks[index + 1] if index + 1 < len(blocks) else ("", "")
            found.append((text, after[1] if after[0] == "text" else None))
    return found


def text_of(document: Path) -> str:
    return document.read_text()


def test_the_readme_has_examples() -> None:
    assert len(examples()) >= 5
    assert all(output is not None for _, output in examples())


@pytest.mark.parametrize("code, output", examples())
def test_an_example_prints_what_is_below_it(code: str, output: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=15
    )
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout == output


def test_the_rust_examples_are_ones_that_the_crates_run() -> None:
    examples = [
        text for language, text in FENCE.findall(text_of(DOCUMENTS[0])) if language == "rust"
    ]
    assert len(examples) == 2
    for crate, example in zip(("coro", "runtime"), examples, strict=True):
        source = (ROOT / f"crates/{crate}/src/lib.rs").read_text()
        documented = re.sub(r"^//! ?", "", source, flags=re.MULTILINE)
        assert example in documented


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    code = re.findall(r"`([^`\n]+)`|^ {4}(\S.*)$", text_of(document), re.MULTILINE)
    named = {
        target
        for inline, indented in code
        for target in re.findall(r"(?:^|[\s$])make ([a-z-]+)", inline or indented)
    }
    assert named <= targets
    if document.name in ("README.md", "CONTRIBUTING.md") and document.parent == ROOT:
        assert {"demo", "test"} <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text_of(document))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_code_exist(document: Path) -> None:
    """A name in backquotes that begins with one of our folders is a file or folder that is there."""
    folders = r"(?:crates|python|tests|benches|demo|docs|\.ci)/"
    named = re.findall(rf"`({folders}[\w./-]+)`", text_of(document))
    assert [path for path in named if not (ROOT / path).exists()] == []
