"""What kind of document a file is, by the end of its name, and where none of it should be looked at. Pure."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, Literal

DocumentKind = Literal["text", "markdown", "html", "pdf", "code"]

_LANGUAGES: Final[Mapping[str, str]] = {
    **{"py": "python", "pyi": "python", "js": "javascript", "mjs": "javascript", "jsx": "javascript"},
    **{"ts": "typescript", "tsx": "typescript", "go": "go", "rs": "rust", "java": "java", "kt": "kotlin"},
    **{"c": "c", "h": "c", "cc": "c++", "cpp": "c++", "hpp": "c++", "cs": "c#", "swift": "swift", "rb": "ruby"},
    **{"php": "php", "lua": "lua", "pl": "perl", "r": "r", "jl": "julia", "scala": "scala", "ex": "elixir"},
    **{"sh": "shell", "bash": "shell", "zsh": "shell", "ps1": "powershell", "sql": "sql", "proto": "protobuf"},
    **{"toml": "toml", "yaml": "yaml", "yml": "yaml", "json": "json", "ini": "ini", "cfg": "ini", "css": "css"},
    **{"hs": "haskell", "ml": "ocaml", "zig": "zig", "dart": "dart", "vue": "vue", "tf": "terraform"},
}
"""Source code and configuration, by the end of the name."""

_KINDS: Final[Mapping[str, DocumentKind]] = {
    **dict.fromkeys(("txt", "text", "log", "rst", "org", "adoc", "tex", "csv", "tsv", "srt", "vtt"), "text"),
    **dict.fromkeys(("md", "markdown", "mdx"), "markdown"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    "pdf": "pdf",
    **dict.fromkeys(_LANGUAGES, "code"),
}

_WHOLE_NAMES: Final[Mapping[str, DocumentKind]] = {
    **dict.fromkeys(("readme", "license", "licence", "changelog", "notes", "todo", "authors", "notice"), "text"),
    **dict.fromkeys(("makefile", "dockerfile", "justfile", "rakefile", "gemfile", "cmakelists.txt"), "code"),
}

SKIPPED_FOLDERS: Final = frozenset(
    """
    __pycache__ node_modules site-packages venv env dist build target vendor coverage
    """.split()  # noqa: SIM905 - a list of words is easier to read
)
"""What programs make for themselves. Hidden folders are skipped as well."""

SKIPPED_NAMES: Final = frozenset({"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "poetry.lock", "cargo.lock"})


def kind_of(name: str) -> DocumentKind | None:
    """The kind of the file of this name, or None for what has no text that is worth remembering."""
    base = PurePosixPath(name).name.lower()
    if base in SKIPPED_NAMES or base.endswith((".min.js", ".min.css", ".map")):
        return None
    if base in _WHOLE_NAMES:
        return _WHOLE_NAMES[base]
    return _KINDS.get(base.rpartition(".")[2]) if "." in base else None


def language_of(name: str) -> str | None:
    """The programming language of a file of the kind `code`, where its name says."""
    return _LANGUAGES.get(PurePosixPath(name).name.lower().rpartition(".")[2])


def known_endings() -> list[str]:
    """The ends of names that are understood, for an error that says what could be given."""
    return sorted(_KINDS)
