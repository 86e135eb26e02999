"""Settings: file < environment < options, and what is refused at start, with its place."""

from dataclasses import fields
from pathlib import Path

import pytest

from vdb.config import FIXED_LIMITS, LOWERED_LIMITS, RULES, Limits, Settings
from vdb.errors import InvalidArgument
from vdb.layered import documentation, flag_of

FLAT = [field.name for field in fields(Settings) if field.name != "limits"]


def other_value(name: str) -> object:
    """A value that the setting may have and that is not its default."""
    default = getattr(Settings(), name)
    if name in RULES.choices:
        return next(choice for choice in RULES.choices[name] if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        return default + 60
    return ("10.0.0.1", "10.1.0.0/16") if isinstance(default, tuple) else type(default)("elsewhere")


def written(name: str, value: object) -> str:
    """A line of a file that sets `name`."""
    text = f'"{value}"' if isinstance(value, (str, Path)) else str(value).lower()
    return f"{name} = {list(value) if isinstance(value, tuple) else text}\n"


def as_variable(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def file_of(folder: Path, text: str) -> Path:
    path = folder / "vdb.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        Settings.load(file_of(folder, text), {})
    return caught.value.detail


SETTABLE = [name for name in FLAT if name not in ("admin_key_file", "tls_cert", "tls_key")]
"""Those that mean something on their own."""


@pytest.mark.parametrize("name", SETTABLE)
def test_every_setting_is_taken_from_a_file_a_variable_and_an_option(name: str, tmp_path: Path) -> None:
    value = other_value(name)
    by_file = Settings.load(file_of(tmp_path, written(name, value)), {})
    by_variable = Settings.load(None, {f"VDB_{name.upper()}": as_variable(value)})
    by_option = Settings.load(None, {}, **{name: value})
    assert [getattr(loaded.settings, name) for loaded in (by_file, by_variable, by_option)] == [value] * 3
    assert by_file.origins == {name: str(tmp_path / "vdb.toml")}
    assert by_variable.origins == {name: f"VDB_{name.upper()}"}
    assert by_option.origins == {name: flag_of(name)}


def test_options_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, "port = 1\nmetrics_port = 1\nn_readers = 1\n")
    environment = {"VDB_METRICS_PORT": "2", "VDB_N_READERS": "2"}
    settings = Settings.load(path, environment, n_readers=3).settings
    assert (settings.port, settings.metrics_port, settings.n_readers, settings.n_writers) == (1, 2, 3, 2)


def test_a_variable_names_the_file_and_an_option_names_another(tmp_path: Path) -> None:
    path = file_of(tmp_path, "port = 9000\n")
    assert Settings.load(None, {"VDB_CONFIG": str(path)}).settings.port == 9000
    other = tmp_path / "other.toml"
    other.write_text("port = 9001\n")
    assert Settings.load(other, {"VDB_CONFIG": str(path)}).settings.port == 9001
    assert Settings.load(None, {"VDB_CONFIG": ""}).settings.port == 8080


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "'prot' is no setting: did you mean 'port'?"),
        ("[server]\nport = 1", "'server' is no setting"),
        ("port = = 1", "line 1"),
        ("port = 1\nport = 2", "Cannot overwrite a value"),
        ('port = "9000"', "port has a value of wrong form: '9000'"),
        ("port = true", "port has a value of wrong form: True"),
        ("port = 65536", "port must be 0 to 65535, not 65536"),
        ("memory_bytes = -1", "memory_bytes must be 0 or more, not -1"),
        ("n_readers = 0", "n_readers must be 1 to 256, not 0"),
        ("purge_interval_s = nan", "purge_interval_s must be"),
        ("purge_interval_s = inf", "purge_interval_s must be"),
        ("log_requests = 1", "log_requests has a value of wrong form"),
        ('log_level = "loud"', "log_level must be one of debug, info, warning, error"),
        ('host = "a\\u0000b"', "host has a value of wrong form"),
        ("data_dir = 1", "data_dir has a value of wrong form"),
        ("limits = 1", "limits is a table"),
        ("[limits]\nmax_lmit = 1", "'max_lmit' is no limit: did you mean 'max_limit'?"),
        ("[limits]\nmax_limit = 0", "limits.max_limit must be 1 to"),
        ("[limits]\nmax_limit = 1.5", "limits.max_limit has a value of wrong form"),
        ("[limits]\nmax_id_bytes = 100", "max_id_bytes cannot be changed"),
        ("[limits]\nmax_dimension = 8193", "limits.max_dimension must be 1 to 8192"),
    ],
)
def test_a_file_is_refused_with_its_name_and_the_key_or_line(text: str, said: str, tmp_path: Path) -> None:
    detail = refusal(tmp_path, text)
    assert detail.startswith(str(tmp_path / "vdb.toml"))
    assert said in detail


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5_000,
        "port = 1" + "0" * 400,
        "purge_interval_s = 1" + "0" * 400,
        "port = " + "1" * 5_000,
        "[limits]\nmax_limit = 1" + "0" * 400,
    ],
    ids=["deep", "integer", "float", "digits", "limit"],
)
def test_depths_and_numbers_beyond_a_float_were_internal_errors(text: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, text).startswith(str(tmp_path / "vdb.toml"))


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot read the settings file"):
        Settings.load(tmp_path / "absent.toml", {})
    (tmp_path / "vdb.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="vdb"):
        Settings.load(tmp_path / "vdb.toml", {})


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("VDB_PORT", "many", "VDB_PORT has a value of wrong form: 'many'"),
        ("VDB_PORT", "-1", "VDB_PORT must be 0 to 65535"),
        ("VDB_N_WRITERS", "0", "VDB_N_WRITERS must be 1 to 256"),
        ("VDB_LOG_REQUESTS", "maybe", "VDB_LOG_REQUESTS has a value of wrong form"),
        ("VDB_LOG_LEVEL", "INFO", "VDB_LOG_LEVEL must be one of"),
        ("VDB_PORT", "1" + "0" * 400, "VDB_PORT has a value of wrong form"),
        ("VDB_PURGE_INTERVAL_S", "nan", "VDB_PURGE_INTERVAL_S must be"),
    ],
)
def test_a_variable_is_refused_by_its_name(variable: str, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Settings.load(None, {variable: text})
    assert caught.value.detail.startswith(said)


def test_options_are_held_to_the_same_bounds() -> None:
    for given in ({"port": 70_000}, {"memory_bytes": -1}, {"n_readers": True}, {"host": 5}):
        with pytest.raises(InvalidArgument, match=next(iter(given))):
            Settings.load(None, {}, **given)


def test_a_misspelt_variable_is_warned_of_and_a_foreign_one_is_not() -> None:
    loaded = Settings.load(None, {"VDB_MEMORY_BYTE": "1", "VDB_SERVICE_HOST": "10.0.0.1", "HOME": "/"})
    assert loaded.warnings == ("VDB_MEMORY_BYTE is no setting: VDB_MEMORY_BYTES is",)


def test_caps_in_the_limits_table_are_taken(tmp_path: Path) -> None:
    loaded = Settings.load(file_of(tmp_path, "[limits]\nmax_limit = 2000\nmax_dimension = 512\n"), {})
    assert (loaded.settings.limits.max_limit, loaded.settings.limits.max_dimension) == (2000, 512)
    assert loaded.settings.limits.max_timeout_s == Limits().max_timeout_s
    assert set(loaded.origins) == {"limits.max_limit", "limits.max_dimension"}


def test_the_rules_name_settings_and_limits_that_exist() -> None:
    assert set(RULES.bounds) | set(RULES.choices) | set(RULES.secrets) <= set(FLAT)
    assert set(FIXED_LIMITS) | set(LOWERED_LIMITS) <= {field.name for field in fields(Limits)}


def test_a_file_with_a_secret_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    path = file_of(tmp_path, 'admin_key = "a-secret-of-some-length"\n')
    path.chmod(0o600)
    assert Settings.load(path, {}).warnings == ()
    path.chmod(0o644)
    (warning,) = Settings.load(path, {}).warnings
    assert "chmod 600" in warning and "a-secret" not in warning
    assert Settings.load(path, {"VDB_ADMIN_KEY": "another-of-some-length"}).warnings == ()


def test_an_audit_log_among_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="outside of data_dir"):
        Settings.load(None, {}, data_dir=tmp_path, audit_log=str(tmp_path / "audit.log"))
    beside = str(tmp_path / "audit.log")
    assert Settings.load(None, {}, data_dir=tmp_path / "data", audit_log=beside).settings.audit_log == beside


def test_every_setting_says_what_it_is() -> None:
    assert set(documentation(Settings)) == set(FLAT)


def test_a_printed_file_gives_the_same_settings_and_shows_no_secret(tmp_path: Path) -> None:
    given = file_of(tmp_path, "[limits]\nmax_limit = 7\n")
    secret = "a-secret-of-some-length"
    loaded = Settings.load(given, {"VDB_ADMIN_KEY": secret, "VDB_BACKUP_DIR": 'odd "name"\\x7f'}, port=9000)
    text = loaded.toml()
    assert secret not in text
    assert '# admin_key = "***"  # VDB_ADMIN_KEY' in text
    assert "port = 9000  # --port" in text
    assert f"max_limit = 7  # {given}" in text
    assert "n_readers = 4  # default" in text
    again = Settings.load(file_of(tmp_path, text), {}, admin_key=secret).settings
    assert again == loaded.settings


def test_a_printed_secret_of_a_wrong_kind_is_not_shown(tmp_path: Path) -> None:
    assert "12345678" not in refusal(tmp_path, "admin_key = 12345678")


class TestAdminKeyFile:
    """`admin_key_file` holds the key instead of a variable."""

    def key_file(self, folder: Path, data: bytes = b"a-key-of-some-length\n", mode: int = 0o600) -> str:
        path = folder / "key"
        path.write_bytes(data)
        path.chmod(mode)
        return str(path)

    def test_its_key_is_taken_without_the_line_end(self, tmp_path: Path) -> None:
        loaded = Settings.load(None, {"VDB_ADMIN_KEY_FILE": self.key_file(tmp_path)})
        assert loaded.settings.admin_key == "a-key-of-some-length"
        assert loaded.warnings == ()

    def test_one_that_others_may_read_is_warned_of(self, tmp_path: Path) -> None:
        (warning,) = Settings.load(None, {}, admin_key_file=self.key_file(tmp_path, mode=0o644)).warnings
        assert "chmod 600" in warning

    @pytest.mark.parametrize("data", [b"", b"\n", b"k" * 5000])
    def test_one_that_holds_no_key_is_refused(self, data: bytes, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="holds no key"):
            Settings.load(None, {}, admin_key_file=self.key_file(tmp_path, data))

    def test_one_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="cannot read admin_key_file"):
            Settings.load(None, {}, admin_key_file=str(tmp_path / "absent"))

    def test_another_key_beside_it_is_refused_and_the_same_is_not(self, tmp_path: Path) -> None:
        path = self.key_file(tmp_path)
        with pytest.raises(InvalidArgument, match="different keys") as caught:
            Settings.load(None, {"VDB_ADMIN_KEY": "another-key-of-some"}, admin_key_file=path)
        assert "another-key" not in caught.value.detail
        same = Settings.load(None, {"VDB_ADMIN_KEY": "a-key-of-some-length"}, admin_key_file=path)
        assert same.settings.admin_key == "a-key-of-some-length"
