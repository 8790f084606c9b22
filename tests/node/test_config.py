from pathlib import Path

import pytest
from pydantic import ValidationError

from node.config import Config, load_config
from node.errors import ConfigInvalid


def written(path: Path, text: str) -> Path:
    file = path / "config.toml"
    file.write_text(text)
    return file


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "config.toml") == Config()


def test_the_command_line_lies_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'name = "Ada"\n[mind]\nmax_asked = 1\nreflect = false\n')
    config = load_config(file, {"mind": {"max_asked": 3}, "network": {"mdns": False}})
    assert (config.name, config.mind.max_asked, config.mind.reflect) == ("Ada", 3, False)
    assert not config.network.mdns
    assert config.mail == Config().mail
    assert load_config(file, {"name": "Bela"}).name == "Bela"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "TOML"),
        ('name = ""', "name"),
        ('name = "two\\nlines"', "name"),
        (f'name = "{"x" * 65}"', "name"),
        ("colour = 1", "colour: there is no such setting"),
        ("[mind]\nmax_askd = 1", "mind.max_askd"),
        ("[mind]\nmax_asked = 9", "mind.max_asked"),
        ("[memory]\nworking_ttl_s = 1", "memory.working_ttl_s"),
        ("[memory]\nhalf_life_days = 0", "memory.half_life_days"),
        ('[mind]\nplaybook = "Common!"', "mind.playbook"),
        ("mind = 3", "mind"),
        ("[network]\nsync_every_s = inf", "network.sync_every_s"),
        ("[mail]\nretry_first_s = 0", "mail.retry_first_s"),
        ('log_level = "LOUD"', "log_level"),
        ('[public]\ngateway_denies = ["tide"]', "public.gateway_denies"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        load_config(written(tmp_path, text), {"api": {"listen": "127.0.0.1:0"}})


def test_a_section_that_is_no_table_is_named_also_under_an_override(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="mind"):
        load_config(written(tmp_path, "mind = 3"), {"mind": {"max_asked": 1}})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigInvalid, match=r"config\.toml"):
        load_config(tmp_path / "config.toml")


def test_a_config_does_not_change() -> None:
    with pytest.raises(ValidationError):
        Config().mind.max_asked = 5
