"""Links between documents lead to files and headings that exist; so do paths named in the architecture."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, relative, text_of

PATH = re.compile(r"`((?:vdb|api|bench|tests|docs|deploy)/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if "://" not in link and not _leads_somewhere(page, link)]
    assert broken == []


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize("page", [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"], ids=relative)
def test_paths_named_in_documents_exist(page: Path) -> None:
    assert [path for path in PATH.findall(text_of(relative(page))) if not (ROOT / path).exists()] == []


def test_the_architecture_says_where_every_package_is() -> None:
    named = text_of("docs/architecture.md")
    packages = [path.parent for path in (ROOT / "vdb").rglob("__init__.py")]
    code = [package for package in packages if len([*package.glob("*.py")]) > 1 and package.name != "vdb"]
    assert [relative(package) for package in code if f"{relative(package)}/" not in named] == []


def test_the_readme_lists_every_document() -> None:
    readme = text_of("README.md")
    pages = [relative(page) for page in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f"]({page})" not in readme] == []


def test_decisions_are_numbered_without_gaps_and_titled() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        for part in ("**Context.**", "**Options.**", "**Decision.**", "**Consequences.**"):
            assert part in text, (page.name, part)
