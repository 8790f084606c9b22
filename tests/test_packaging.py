"""Our top-level packages collide with nobody's (docs/decisions/package-names.md)."""

from importlib.metadata import distributions

OURS = {"identity", "protocols", "storage", "plugins", "node", "bootstrap"}


def test_no_installed_distribution_brings_a_package_of_our_names() -> None:
    seen_ours = False
    for distribution in distributions():
        if distribution.metadata["Name"] == "pagi-twin":
            seen_ours = True
            continue
        files = distribution.files or ()
        tops = {path.parts[0].removesuffix(".py") for path in files if path.suffix in {".py", ".so", ".pyi"}}
        assert not tops & OURS, distribution.metadata["Name"]
    assert seen_ours, "the tests run outside the project's environment"
