"""Settings: which source wins, and errors that name the setting and the remedy."""

from pathlib import Path

import pytest

from turnup.runtime.settings import InvalidSetting, Settings, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TURNUP_{name.upper()}", raising=False)
    monkeypatch.delenv("TURNUP_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.order_queue_poll_ms == 50
    assert settings.secret_key_path == settings.data_dir / "secret.key"


def test_argument_beats_environment_beats_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "turnup.yaml").write_text("http_port: 1\ndatabase_pool_size: 7\nworker_concurrency: 3\n")
    monkeypatch.setenv("TURNUP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TURNUP_HTTP_PORT", "2")
    monkeypatch.setenv("TURNUP_WORKER_CONCURRENCY", "4")
    settings = load_settings(worker_concurrency=5)
    assert (settings.database_pool_size, settings.http_port, settings.worker_concurrency) == (7, 2, 5)


def test_named_file_is_read_instead_of_the_data_directorys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "turnup.yaml").write_text("http_port: 1\n")
    (tmp_path / "other.yaml").write_text("http_port: 9\n")
    monkeypatch.setenv("TURNUP_CONFIG", str(tmp_path / "other.yaml"))
    assert load_settings(data_dir=tmp_path).http_port == 9
    monkeypatch.setenv("TURNUP_CONFIG", str(tmp_path / "absent.yaml"))
    with pytest.raises(InvalidSetting, match=r"TURNUP_CONFIG: there is no file .*absent\.yaml"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "field", "message"),
    [
        ("TURNUP_HTTP_PORT", "eighty", "http_port", "valid integer"),
        ("TURNUP_HTTP_PORT", "70000", "http_port", "less than or equal to 65535"),
        ("TURNUP_DEFAULT_TIME_ZONE", "Europe/Bonn", "default_time_zone", "no such IANA time zone"),
        ("TURNUP_DEFAULT_CURRENCY", "euro", "default_currency", "pattern"),
        ("TURNUP_DATABASE_URL", "mysql://somewhere", "database_url", "write postgresql://"),
        ("TURNUP_MAIL_SENDER", "the ISP", "mail_sender", "pattern"),
        ("TURNUP_DEFAULT_LANGUAGE", "German", "default_language", "pattern"),
        ("TURNUP_LOG_FORMAT", "xml", "log_format", "'console' or 'json'"),
    ],
)
def test_a_wrong_value_names_setting_and_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSetting, match=message) as caught:
        load_settings()
    assert caught.value.field == field
    assert variable in (caught.value.remedy or "")
    assert value not in (caught.value.remedy or "")


def test_pools_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="more than twice") as caught:
        load_settings(http_threads=50, database_pool_size=2)
    assert caught.value.field == "http_threads"


def test_a_misspelt_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "turnup.yaml").write_text("htp_port: 1\n")
    with pytest.raises(InvalidSetting, match=r"htp_port: no such setting \(did you mean http_port"):
        load_settings(data_dir=tmp_path)


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "turnup.yaml").write_text("http_port: [1\n")
    with pytest.raises(InvalidSetting, match=r"turnup\.yaml: not valid YAML"):
        load_settings(data_dir=tmp_path)


def test_a_password_is_not_shown() -> None:
    settings = load_settings(database_url="postgresql://turnup:hunter2@db/turnup")
    assert "hunter2" not in repr(settings)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value().endswith("hunter2@db/turnup")


def test_every_setting_is_described() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []


def test_misspelt_variables_are_found() -> None:
    found = unknown_variables({"TURNUP_DATABSE_URL": "x", "TURNUP_HTTP_PORT": "1", "HOME": "/"})
    assert found == {"TURNUP_DATABSE_URL": "TURNUP_DATABASE_URL"}


def test_a_mail_login_is_whole_or_absent() -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(mail_username="isp")
    assert caught.value.field == "mail_password"
    with pytest.raises(InvalidSetting) as caught:
        load_settings(mail_password="hush")
    assert caught.value.field == "mail_username"
    assert "hush" not in repr(load_settings(mail_username="isp", mail_password="hush"))
