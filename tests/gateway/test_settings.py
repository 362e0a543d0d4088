"""Settings come from the caller, variables, files that variables name, and the TOML file, in this order."""

import pickle
from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsError, load_settings


def written(folder: Path, text: str) -> Path:
    (folder / "fluxgate.toml").write_text(text, "utf-8")
    return folder


def test_each_source_wins_over_the_next(tmp_path: Path) -> None:
    written(tmp_path, 'host = "toml"\nprovider = "toml"\nmodel_id = "toml"\nappeal_contact = "toml"')
    secret = tmp_path / "secret"
    secret.write_text("file\n", "utf-8")
    environ = {
        "FLUXGATE_HOST": "variable",
        "FLUXGATE_PROVIDER": "variable",
        **{f"FLUXGATE_{name}_FILE": str(secret) for name in ("HOST", "PROVIDER", "MODEL_ID")},
    }
    found = load_settings(tmp_path, {"host": "given", "provider": None}, environ)
    assert (found.host, found.provider, found.model_id, found.appeal_contact) == ("given", "variable", "file", "toml")


def test_a_nested_value_leaves_its_neighbours_of_other_sources(tmp_path: Path) -> None:
    written(tmp_path, "[limits]\npolls_per_minute = 7\npublic_requests_per_minute = 8\n[parts.clip]\na = 1\nb = 2")
    secret = tmp_path / "redis"
    secret.write_text("redis://:secret@cache:6379\n", "utf-8")
    environ = {
        "FLUXGATE_LIMITS__POLLS_PER_MINUTE": "9",
        "FLUXGATE_LIMITS__REDIS_URL_FILE": str(secret),
        "FLUXGATE_PARTS__CLIP__B": "0.5",
        "FLUXGATE_PARTS__CLIP__LIST_FILE": "a-file-of-the-part",
    }
    found = load_settings(tmp_path, environ=environ)
    assert (found.limits.polls_per_minute, found.limits.public_requests_per_minute) == (9, 8)
    assert found.limits.redis_url == "redis://:secret@cache:6379"
    assert found.parts["clip"] == {"a": 1, "b": 0.5, "list_file": "a-file-of-the-part"}


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("PORT", "9000", "port", 9000),
        ("UNSAFE_DEVELOPMENT", "true", "unsafe_development", True),
        ("PROVIDER_CODE", "911101010000000007", "provider_code", "911101010000000007"),
        ("PROVIDER_CODE", '"quoted"', "provider_code", "quoted"),
        ("PUBLIC_URL", "null", "public_url", None),
        ("LABELS", '["eu"]', "labels", ("eu",)),
        ("ALIASES", '{"a": "b"}', "aliases", {"a": "b"}),
        ("OVERLAYS__acme", "acme.toml", "overlays", {"acme": Path("acme.toml")}),
        ("KEY_PASSPHRASE_FILE", "no-such-file", "key_passphrase_file", Path("no-such-file")),
    ],
)
def test_variables_are_read_as_their_fields_want_them(
    tmp_path: Path, variable: str, text: str, field: str, value: object
) -> None:
    written(tmp_path, 'public_url = "https://toml.test"')
    assert getattr(load_settings(tmp_path, environ={f"FLUXGATE_{variable}": text}), field) == value


@pytest.mark.parametrize(
    "text", ['nonsense = "1"', 'Host = "1"', '[limits]\nnonsense = "1"', 'database_url_file = "x"']
)
def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"^these settings cannot be used: .*: Extra inputs .*fluxgate\.toml"):
        load_settings(written(tmp_path, text), environ={})


def test_an_unknown_variable_is_ignored_and_an_unknown_name_below_a_known_one_is_not(tmp_path: Path) -> None:
    ignored = {"FLUXGATE_NONSENSE": "1", "FLUXGATE_NONSENSE_FILE": "no-such-file", "FLUXGATE_DATA_DIR": "elsewhere"}
    assert load_settings(tmp_path, environ=ignored | {"PORT": "1", "fluxgate_port": "1"}) == Settings(data_dir=tmp_path)
    with pytest.raises(SettingsError, match=r"limits\.nonsense: Extra inputs are not permitted"):
        load_settings(tmp_path, environ={"FLUXGATE_LIMITS__NONSENSE": "1"})


def test_text_where_a_list_belongs_is_refused_by_the_field_without_being_quoted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="labels: Input should be a valid tuple") as refused:
        load_settings(tmp_path, environ={"FLUXGATE_LABELS": "no-list-at-all"})
    assert "no-list-at-all" not in str(refused.value)


def test_a_secret_that_cannot_be_read_or_is_empty_ends_the_start(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_bytes(b"\n")
    binary.write_bytes(b"\xff\xfe")
    for file, said in ((tmp_path / "missing", "cannot be read"), (binary, "cannot be read"), (empty, "is empty")):
        with pytest.raises(SettingsError, match=f"^FLUXGATE_DATABASE_URL_FILE: .*{said}"):
            load_settings(tmp_path, environ={"FLUXGATE_DATABASE_URL_FILE": str(file)})


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"fluxgate\.toml is not valid TOML"):
        load_settings(written(tmp_path, "port = "), environ={})


def test_settings_are_a_plain_value_that_no_variable_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXGATE_PORT", "1")
    monkeypatch.setenv("PORT", "1")
    settings = Settings(host="::1")
    assert settings.port == 8080
    assert pickle.loads(pickle.dumps(settings)) == settings
