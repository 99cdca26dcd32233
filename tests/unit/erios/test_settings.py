"""Settings: defaults, precedence, and one sentence for whatever is wrong."""

import json
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from erios.errors import StorageError, UsageError
from erios.settings import ZONES, Settings, load_settings


def write_conf(folder: Path, text: str) -> Path:
    file = folder / "conf" / "erios.toml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    return file


def test_zones_default_to_folders_of_home(erios_home):
    settings = load_settings()

    assert [getattr(settings, zone) for zone in ZONES] == [erios_home / zone for zone in ZONES]
    assert settings.keyring == erios_home / "identity" / "keyring.json"
    assert settings.spark_local_dir == erios_home / "spark"


def test_home_defaults_to_var_in_the_project(monkeypatch):
    monkeypatch.delenv("ERIOS_HOME")

    assert load_settings().home == PROJECT / "var"


def test_the_shipped_file_holds_the_defaults(monkeypatch):
    monkeypatch.delenv("ERIOS_HOME")

    assert load_settings(PROJECT / "conf" / "erios.toml") == Settings()


def test_relative_paths_in_the_file_start_at_the_folder_above_conf(tmp_path, monkeypatch):
    monkeypatch.delenv("ERIOS_HOME")
    file = write_conf(tmp_path, 'home = "data"\n[spark]\nlocal_dir = "scratch"\n')

    settings = load_settings(file)

    assert settings.landing == tmp_path / "data" / "landing"
    assert settings.spark.local_dir == tmp_path / "scratch"


def test_a_relative_path_in_a_variable_starts_at_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERIOS_HOME", "here")

    assert load_settings().warehouse == tmp_path / "here" / "warehouse"


def test_a_variable_wins_over_the_file_and_leaves_the_rest_of_its_section(tmp_path, monkeypatch):
    file = write_conf(tmp_path, "[load]\nchunk_mb = 8\nbuckets = 4\n")
    monkeypatch.setenv("ERIOS_LOAD__BUCKETS", "64")

    load = load_settings(file).load

    assert (load.chunk_mb, load.buckets) == (8, 64)


def test_erios_conf_names_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ERIOS_CONF", str(write_conf(tmp_path, "[load]\nbuckets = 2\n")))

    assert load_settings().load.buckets == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('hme = "x"', r"unknown setting 'hme' in .*erios\.toml; known are home, landing, identity"),
        ("[spark]\nmasters = 1", r"unknown setting 'spark\.masters' .*; known are master, driver_memory"),
        ("[load]\nbuckets = 0", r"setting 'load\.buckets' .*greater than or equal to 1"),
        ('[spark]\ndriver_memory = "lots"', r"setting 'spark\.driver_memory'"),
        ('warehouse = "s3://bucket/x"', r"setting 'warehouse' .*must be a local folder"),
        ("[load", r"erios\.toml is not TOML"),
        ('identity = "/w/identity"\nwarehouse = "/w"', r"zone 'identity' lies inside zone 'warehouse'"),
        ('landing = "/same"\nstudies = "/same"', r"zone 'landing' lies inside zone 'studies'"),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path, text, sentence):
    file = write_conf(tmp_path, text)

    with pytest.raises(UsageError, match=sentence) as caught:
        load_settings(file)
    assert "\n" not in str(caught.value)


def test_a_zone_behind_a_link_into_another_is_refused(tmp_path, erios_home, monkeypatch):
    (erios_home / "warehouse").mkdir(parents=True)
    link = tmp_path / "elsewhere"
    link.symlink_to(erios_home / "warehouse")
    monkeypatch.setenv("ERIOS_IDENTITY", str(link / "identity"))

    with pytest.raises(UsageError, match="zone 'identity' lies inside zone 'warehouse'"):
        load_settings()


def test_a_misspelt_variable_is_refused(monkeypatch):
    monkeypatch.setenv("ERIOS_HOEM", "/x")

    with pytest.raises(
        UsageError,
        match="unknown variable ERIOS_HOEM; known are ERIOS_AIRLOCK, ERIOS_ANCHOR, ERIOS_BROKER, ERIOS_BUNDLES_DIR",
    ):
        load_settings()


def test_a_misspelt_variable_of_a_section_is_looked_for_in_both_places(monkeypatch):
    monkeypatch.setenv("ERIOS_LOAD__SPLIT_MB", "32")

    with pytest.raises(
        UsageError,
        match=r"'load\.split_mb' \(in .*erios\.toml or its ERIOS_ variable\); known are chunk_mb, buckets",
    ):
        load_settings()


def test_a_variable_with_broken_json_is_refused(monkeypatch):
    monkeypatch.setenv("ERIOS_SPARK", "{")

    with pytest.raises(UsageError, match="spark"):
        load_settings()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no settings file .*nowhere\.toml; set ERIOS_CONF"):
        load_settings(tmp_path / "nowhere.toml")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().home = Path("/elsewhere")  # type: ignore[misc]


def test_zones_are_made_with_their_modes(settings):
    modes = {zone: getattr(settings, zone).stat().st_mode & 0o777 for zone in ZONES}

    assert modes == {
        "landing": 0o700,
        "identity": 0o700,
        "warehouse": 0o750,
        "studies": 0o750,
        "tracking": 0o750,
        "governance": 0o700,
    }


def test_a_zone_that_exists_keeps_its_mode(settings):
    settings.warehouse.chmod(0o770)

    settings.make_zones()

    assert settings.warehouse.stat().st_mode & 0o777 == 0o770


def test_a_zone_that_is_a_file_is_refused(erios_home):
    erios_home.mkdir()
    (erios_home / "landing").write_text("")

    with pytest.raises(StorageError, match="landing is a file; it must be a folder"):
        load_settings().make_zones()


def test_a_zone_under_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ERIOS_HOME", str(tmp_path / "file" / "home"))

    with pytest.raises(StorageError, match=r"cannot make the folder .*: Not a directory"):
        load_settings().make_zones()


@pytest.mark.parametrize(
    ("address", "hosts", "sentence"),
    [
        ("https://work.hospital.fr", [], "workspace.address"),
        ("https://*", [], "workspace.address"),
        ("http://*.work.hospital.fr", [], "https://"),
        ("https://*.work.hospital.fr/lab", [], "workspace.address"),
        ("https://a.*.hospital.fr", [], "workspace.address"),
        ("https://*.hospital.fr", ["portal.hospital.fr"], "shares the portal's host portal.hospital.fr"),
        ("https://*.hospital.fr", ["PORTAL.Hospital.fr."], "shares the portal's host"),
        ("https://*.work.hospital.fr", ["work.hospital.fr"], "shares the portal's host work.hospital.fr"),
        ("https://*.work.hospital.fr", [".hospital.fr"], "shares the portal's host"),
        ("https://*.work.hospital.fr", ["*"], "shares the portal's host"),
        ("http://*.localhost:8010", ["portal.localhost"], "shares the portal's host"),
    ],
)
def test_a_workspace_shares_no_host_with_the_portal(monkeypatch, address, hosts, sentence):
    monkeypatch.setenv("ERIOS_WORKSPACE__ADDRESS", address)
    monkeypatch.setenv("ERIOS_PORTAL__HOSTS", json.dumps(hosts))
    with pytest.raises(UsageError, match=sentence):
        load_settings()


def test_workspaces_beside_the_portal_are_taken(monkeypatch):
    monkeypatch.setenv("ERIOS_WORKSPACE__ADDRESS", "https://*.work.hospital.fr")
    monkeypatch.setenv("ERIOS_PORTAL__HOSTS", '["portal.hospital.fr", "localhost"]')
    assert load_settings().workspace.domain == "work.hospital.fr"
