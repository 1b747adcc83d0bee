from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.settings import ENVIRONMENTS, PATHS, Settings, describe, load_settings, setting_names

ANY_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def toml(root: Path, text: str | bytes) -> Path:
    (root / "mobius.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_defaults_without_any_source(tmp_path: Path) -> None:
    found = load_settings(tmp_path, {}, {})
    assert found.values == Settings()
    assert set(found.sources.values()) == {"default"}
    assert found.warnings == ()


def test_order_flag_variable_alias_environment_table_file_default(tmp_path: Path) -> None:
    toml(tmp_path, 'library = "top"\n[env.staging]\nlibrary = "section"\n')
    layers: list[tuple[str, dict[str, object], dict[str, str]]] = [
        ("flag", {"library": "f"}, {"MOBIUS_LIBRARY": "v", "LIBRARY_DIR": "a", "MOBIUS_ENVIRONMENT": "staging"}),
        ("MOBIUS_LIBRARY", {}, {"MOBIUS_LIBRARY": "v", "LIBRARY_DIR": "a", "MOBIUS_ENVIRONMENT": "staging"}),
        ("LIBRARY_DIR", {}, {"LIBRARY_DIR": "a", "MOBIUS_ENVIRONMENT": "staging"}),
        ("mobius.toml [env.staging]", {}, {"MOBIUS_ENVIRONMENT": "staging"}),
        ("mobius.toml", {}, {}),
    ]
    values = []
    for source, flags, environ in layers:
        found = load_settings(tmp_path, flags, environ)
        assert found.sources["library"] == source
        values.append(found.values.library)
    assert values == ["f", "v", "a", "section", "top"]


def test_env_flag_beats_variable_and_chooses_the_table(tmp_path: Path) -> None:
    toml(tmp_path, 'environment = "staging"\n[env.production]\nlog_level = "error"\n')
    found = load_settings(tmp_path, {"environment": "production"}, {"MOBIUS_ENVIRONMENT": "development"})
    assert (found.values.environment, found.sources["environment"]) == ("production", "flag")
    assert found.values.log_level == "error"
    assert load_settings(tmp_path, {}, {}).values.environment == "staging"


@pytest.mark.parametrize("name", ["LIBRARY_DIR", "BACKUP_DIR", "RETENTION_DAYS", "MIGRATION_LOG_DIR", "BASE_URL"])
def test_empty_variable_counts_as_not_set(tmp_path: Path, name: str) -> None:
    assert load_settings(tmp_path, {}, {name: "", "MOBIUS_THRESHOLD": ""}).values == Settings()


@pytest.mark.parametrize(
    ("text", "said", "fix"),
    [
        ("treshold = 3", "unknown setting 'treshold'", "did you mean threshold?"),
        ("threshold = 65", "threshold must be from 0 to 64", ""),
        ('threshold = "x"', "threshold must be a whole number", ""),
        ("threshold = true", "threshold must be a whole number", ""),
        ("threshold = 1.0", "threshold must be a whole number", ""),
        ("max_failure_rate = nan", "max_failure_rate must be a number", ""),
        ("max_failure_rate = 5", "max_failure_rate must be from 0.0 to 1.0", ""),
        ("watch_folder = 1", "watch_folder must be true or false", ""),
        ("library = 5", "library must be text", ""),
        ('library = ""', "library must name a folder", ""),
        ('themes = " "', "themes must name a folder", ""),
        ('catalogue = "a\\u0000b"', "catalogue must name a file", ""),
        ('library = "~nobody-is-called-so/x"', "home folder of nobody", ""),
        ('environment = "prod"', "environment cannot be 'prod'", "did you mean production?"),
        ('[env.prod]\nlibrary = "x"', "[env.prod] is no environment", "did you mean production?"),
        ('[env.production]\nenvironment = "staging"', "unknown setting 'environment'", ""),
        ("[env.production]\nlibary = 1", "unknown setting 'libary'", "did you mean library?"),
        ("env = 3", "[env] must hold tables", ""),
        ("[env]\nproduction = 3", "[env.production] must be a table", ""),
        ("a = = b", "mobius.toml cannot be read", ""),
        ("a = 1\na = 2", "mobius.toml cannot be read", ""),
        (b"\xff", "mobius.toml is not UTF-8 (byte 0)", ""),
        ("x = " + "[" * 5000, "mobius.toml cannot be read", ""),
    ],
)
def test_wrong_file_is_one_error_and_leniently_a_warning(
    tmp_path: Path, text: str | bytes, said: str, fix: str
) -> None:
    toml(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        load_settings(tmp_path, {}, {})
    assert said in caught.value.what
    assert fix in caught.value.fix
    assert "mobius.toml" in caught.value.where
    lenient = load_settings(tmp_path, {}, {}, lenient=True)
    assert any(said in warning for warning in lenient.warnings)
    assert lenient.values == Settings()


def test_lenient_keeps_what_is_right(tmp_path: Path) -> None:
    toml(tmp_path, 'backups = "/srv/backups"\nthreshold = 99\nnonsense = 1\n[env.production]\nlogs = "l"\noops = 2\n')
    found = load_settings(tmp_path, {"environment": "production"}, {"MOBIUS_BATCH_SIZE": "many"}, lenient=True)
    assert found.values.backups == "/srv/backups"
    assert found.values.logs == "l"
    assert (found.values.threshold, found.sources["threshold"]) == (10, "default")
    assert found.values.batch_size == 100
    assert len(found.warnings) == 4


def test_lenient_falls_back_to_the_next_source(tmp_path: Path) -> None:
    toml(tmp_path, "threshold = 7\n")
    found = load_settings(tmp_path, {}, {"MOBIUS_THRESHOLD": "x"}, lenient=True)
    assert (found.values.threshold, found.sources["threshold"]) == (7, "mobius.toml")


def test_a_wrong_flag_is_an_error_even_when_lenient(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="environment cannot be"):
        load_settings(tmp_path, {"environment": "prod"}, {}, lenient=True)


def test_misspelt_variables_are_named_with_the_nearest(tmp_path: Path) -> None:
    environ = {"MOBIUS_TRESHOLD": "3", "MOBIUS_WORKSPACE": "/x", "MOBIUS_QQQQQQQQ": "", "OTHER": "1"}
    warnings = load_settings(tmp_path, {}, environ).warnings
    assert [("MOBIUS_THRESHOLD" in warning, "MOBIUS_QQQQQQQQ" in warning) for warning in warnings] == [
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("MOBIUS_ENV", "MOBIUS_ENVIRONMENT"),
        ("MOBIUS_WORKSPCE", "MOBIUS_WORKSPACE"),
        ("MOBIUS_RETENTION", "MOBIUS_RETENTION_DAYS"),
        ("MOBIUS_RUM", ""),
        ("MOBIUS_OUTCOMES", ""),
        ("MOBIUS_", ""),
    ],
)
def test_only_what_a_person_sets_is_suggested(tmp_path: Path, given: str, meant: str) -> None:
    (warning,) = load_settings(tmp_path, {}, {given: "x"}).warnings
    assert warning.endswith(f"; did you mean {meant}?" if meant else "means nothing to MOBIUS")


def test_a_folder_or_an_unreadable_file_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "mobius.toml").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        load_settings(tmp_path, {}, {})
    (tmp_path / "mobius.toml").rmdir()
    loop = tmp_path / "mobius.toml"
    loop.symlink_to(loop)
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        load_settings(tmp_path, {}, {})
    assert "cannot be read" in load_settings(tmp_path, {}, {}, lenient=True).warnings[0]


def test_values_of_the_file_are_never_shown_raw(tmp_path: Path) -> None:
    toml(tmp_path, 'theme = 1\n"\\u001b[31m\\u202e" = 2\n')
    for warning in load_settings(tmp_path, {}, {}, lenient=True).warnings:
        assert warning.isprintable()


def test_every_setting_is_described_and_has_a_usable_default(tmp_path: Path) -> None:
    for name in setting_names():
        assert describe(name)
    values = asdict(Settings())
    environ = {f"MOBIUS_{name.upper()}": str(value) for name, value in values.items() if value != ""}
    assert asdict(load_settings(tmp_path, {}, environ).values) == values
    assert set(PATHS) <= set(values)


@ANY_TMP
@given(st.sampled_from([item.name for item in fields(Settings)]), st.text(max_size=30).filter(lambda t: "\0" not in t))
def test_any_text_in_a_variable_gives_a_value_or_a_sentence(tmp_path: Path, name: str, text: str) -> None:
    environ = {f"MOBIUS_{name.upper()}": text}
    try:
        found = load_settings(tmp_path, {}, environ)
    except BadInput as error:
        assert error.where == f"MOBIUS_{name.upper()}"
        assert str(error).isprintable()
        assert load_settings(tmp_path, {}, environ, lenient=True).values == Settings()
    else:
        assert type(getattr(found.values, name)) is type(getattr(Settings(), name))


@ANY_TMP
@given(st.binary(max_size=200))
def test_any_bytes_in_the_file_give_values_or_a_sentence(tmp_path: Path, data: bytes) -> None:
    toml(tmp_path, data)
    try:
        load_settings(tmp_path, {}, {})
    except BadInput as error:
        assert str(error).isprintable()
    assert isinstance(load_settings(tmp_path, {}, {}, lenient=True).values, Settings)


@ANY_TMP
@given(st.sampled_from(ENVIRONMENTS), st.sampled_from(ENVIRONMENTS), st.integers(0, 64), st.integers(0, 64))
def test_only_the_chosen_environments_table_holds(
    tmp_path: Path, chosen: str, tabled: str, inside: int, above: int
) -> None:
    toml(tmp_path, f"threshold = {above}\n[env.{tabled}]\nthreshold = {inside}\n")
    found = load_settings(tmp_path, {"environment": chosen}, {})
    assert found.values.threshold == (inside if chosen == tabled else above)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MOBIUS_PORT": "65536"}, "port must be from 0 to 65535"),
        ({"MOBIUS_PORT": "-1"}, "port must be from 0 to 65535"),
        ({"MOBIUS_HOST": " "}, "host must name an address"),
        ({"BASE_URL": "mobius.lan:5001"}, "base_url must begin with http"),
    ],
)
def test_where_the_worker_answers(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load_settings(tmp_path, {}, environ)
    given = {"BASE_URL": "https://mobius.lan/x", "MOBIUS_PORT": "0"}
    values = load_settings(tmp_path, {}, given).values
    assert (values.host, values.port, values.base_url) == ("127.0.0.1", 0, "https://mobius.lan/x")
