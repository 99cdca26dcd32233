"""Frozen settings: conf/erios.toml, overridden by ERIOS_* variables, checked before anything runs.

Owns the names and defaults of all settings and the folders of the zones. It must never hold a secret: keys
are in the keyring (``erios.keys``), and no setting has a place for one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from erios.checkout import PROJECT
from erios.errors import StorageError, UsageError
from erios.settings_sections import (
    AirlockSettings,
    AnchorSettings,
    ComplianceSettings,
    CountSettings,
    DirectorySettings,
    Folder,
    ImageSettings,
    LoadSettings,
    MailSettings,
    PortalSettings,
    SandboxSettings,
    SparkSettings,
    WorkspaceSettings,
)

ZONES: Mapping[str, int] = {
    "landing": 0o700,
    "identity": 0o700,
    "warehouse": 0o750,
    "studies": 0o750,
    "tracking": 0o750,
    "governance": 0o700,
}
"""Zone → mode of the folder that is made for it; clear-text identity and the audit chain are their owner's alone."""


class Settings(BaseSettings):
    """All settings; paths are absolute. Zones default to folders of ``home``."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="ERIOS_", env_nested_delimiter="__", env_ignore_empty=True
    )

    home: Folder = PROJECT / "var"
    """Where the zones lie that are not named on their own."""
    landing: Folder = Field(default_factory=lambda values: _in_home(values, "landing"))
    """Zone of exports as received; clear-text identity."""
    identity: Folder = Field(default_factory=lambda values: _in_home(values, "identity"))
    """Zone of keyring, objections, re-identification and quarantine index; clear-text identity."""
    warehouse: Folder = Field(default_factory=lambda values: _in_home(values, "warehouse"))
    """Zone of pseudonymised tables, releases and validation reports."""
    studies: Folder = Field(default_factory=lambda values: _in_home(values, "studies"))
    """Zone of released extracts and runs, one folder a study."""
    tracking: Folder = Field(default_factory=lambda values: _in_home(values, "tracking"))
    """Zone of MLflow's records and models."""
    governance: Folder = Field(default_factory=lambda values: _in_home(values, "governance"))
    """Zone of the governance database and the audit chain."""
    database: str = ""
    """`postgresql://user@host/name` without a password (`~/.pgpass` has it); without one, SQLite in its zone."""
    views_dir: Folder = PROJECT / "conf" / "views"
    """The ViewDefinitions, one a table."""
    suites_dir: Folder = PROJECT / "conf" / "suites"
    """The validation suites, one a table."""
    legal_routes: Folder = PROJECT / "conf" / "legal_routes.toml"
    """The legal routes that a study may take."""
    requirements: Folder = PROJECT / "conf" / "compliance.toml"
    """What the compliance page checks."""
    bundles_dir: Folder = PROJECT / "conf" / "bundles"
    """The MONAI bundles that `erios train` finds by name."""
    clusters_dir: Folder = PROJECT / "conf" / "clusters"
    """The profiles of clusters."""
    terminology_dir: Folder = PROJECT / "conf" / "terminology"
    """The code systems that may be named, and the small code lists that the product ships."""
    tracking_uri: str = ""
    """The team's tracking server; without one, SQLite in the zone `tracking`."""
    tracking_database: str = ""
    """PostgreSQL of `erios tracking serve`, as in `database`; without one, SQLite."""
    broker: Folder | None = None
    """The socket of `erios broker serve`; whoever is not its owner has commands run there."""
    spark: SparkSettings = SparkSettings()
    load: LoadSettings = LoadSettings()
    images: ImageSettings = ImageSettings()
    sandbox: SandboxSettings = SandboxSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    portal: PortalSettings = PortalSettings()
    counts: CountSettings = CountSettings()
    compliance: ComplianceSettings = ComplianceSettings()
    airlock: AirlockSettings = AirlockSettings()
    anchor: AnchorSettings = AnchorSettings()

    @field_validator("database", "tracking_database")
    @classmethod
    def _check_database(cls, database: str) -> str:
        """A password would stand in a file or in every process's environment."""
        if database and not re.fullmatch(r"postgresql://([\w.-]+@)?[\w.-]*(:\d+)?/[\w-]+(\?[\w=&/.-]*)?", database):
            raise ValueError(
                "must be empty (SQLite in its zone) or postgresql://user@host:port/name without a password,"
                " which belongs in ~/.pgpass"
            )
        return database

    @field_validator("tracking_uri")
    @classmethod
    def _check_tracking(cls, uri: str) -> str:
        """A password would stand in a file or in every process's environment."""
        if uri and not re.fullmatch(r"https?://[\w.-]+(:\d+)?(/[\w./-]*)?", uri):
            raise ValueError("must be empty (SQLite in the zone tracking) or http(s)://host:port of a tracking server")
        return uri

    @model_validator(mode="after")
    def _keep_zones_apart(self) -> Self:
        """No zone inside another: one zone's readers would reach what the other guards."""
        for inner, outer in permutations(ZONES, 2):
            if getattr(self, inner).resolve().is_relative_to(getattr(self, outer).resolve()):
                raise ValueError(f"zone '{inner}' lies inside zone '{outer}'; give each its own folder")
        return self

    @model_validator(mode="after")
    def _keep_workspaces_apart(self) -> Self:
        """A page of a workspace must not be able to set or get a cookie of the portal's."""
        domain = self.workspace.domain
        for host in self.portal.hosts:
            name = host.lower().rstrip(".")
            below = f".{name}".endswith(f".{domain}") and name != "localhost"
            if below or name == "*" or (name.startswith(".") and f".{domain}".endswith(name)):
                raise ValueError(f"workspace.address shares the portal's host {host}: give workspaces a name apart")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then what ``load_settings`` read from the file."""
        return env_settings, init_settings

    @property
    def keyring(self) -> Path:
        """Where the keyring is."""
        return self.identity / "keyring.json"

    @property
    def code_lists(self) -> Path:
        """Where the code lists lie that were loaded or adopted."""
        return self.warehouse / "terminology"

    @property
    def local_codes(self) -> Path:
        """The register of what the source wrote for codes of no list; clear text."""
        return self.identity / "local-codes"

    @property
    def spark_local_dir(self) -> Path:
        """Where Spark shuffles and spills."""
        return self.spark.local_dir or self.home / "spark"

    @property
    def packages(self) -> Path:
        """Where the packages lie that workspaces may install."""
        return self.workspace.packages_dir or self.home / "packages"

    def make_zones(self) -> None:
        """Make the folders that are missing, each with its zone's mode; StorageError if it cannot."""
        for zone, mode in ZONES.items():
            make_folder(getattr(self, zone), mode)


def make_folder(folder: Path, mode: int) -> None:
    """Make ``folder`` with exactly ``mode`` if it is missing; one that exists keeps its mode."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if folder.is_dir():
            return
        raise StorageError(f"{folder} is a file; it must be a folder") from None
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
    folder.chmod(mode)


def load_settings(file: Path | None = None) -> Settings:
    """The settings of ``file`` (default: ERIOS_CONF, else conf/erios.toml) under the ERIOS_* variables.

    Raises UsageError, one sentence that names the setting and what is allowed.
    """
    source = file or Path(os.environ.get("ERIOS_CONF") or PROJECT / "conf" / "erios.toml").absolute()
    return _load(source, tuple(sorted(_variables().items())))


@cache
def _load(source: Path, variables: tuple[tuple[str, str], ...]) -> Settings:
    _check_variables(name for name, _ in variables)
    try:
        return Settings(**_read(source))
    except ValidationError as error:
        raise UsageError(_sentence(error, source)) from None
    except ValueError as error:  # pydantic-settings: a variable whose JSON is broken
        raise UsageError(f"{error}; see conf/erios.toml for the form") from None


def _in_home(values: Mapping[str, Any], zone: str) -> Path:
    return Path(values.get("home", PROJECT / "var")) / zone


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ERIOS_") and name != "ERIOS_CONF"}


def _check_variables(names: Any) -> None:
    """pydantic-settings ignores variables it does not know; a misspelt one must not go unnoticed."""
    values = {"ERIOS_CONF", *(f"ERIOS_{name.upper()}" for name in Settings.model_fields)}
    for name in names:
        if name.split("__")[0] not in values:
            raise UsageError(f"unknown variable {name}; known are {', '.join(sorted(values))}")


def _read(source: Path) -> dict[str, Any]:
    """The file's values, with relative paths made absolute from the folder above it."""
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no settings file {source}; set ERIOS_CONF to the right one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{source} is not TOML: {error}") from None
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error.strerror}") from None
    return _from_folder(values, source.parents[1])


_PATHS = {
    *("home", "views_dir", "suites_dir", "legal_routes", "requirements", "bundles_dir", "clusters_dir"),
    "terminology_dir",
    "packages_dir",
    *("broker", "local_dir", "event_log_dir", "password_file", "secret_file", "backup_stamp", "profile"),
    *ZONES,
}


def _from_folder(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    def place(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return _from_folder(value, folder)
        is_path = name in _PATHS and isinstance(value, str) and value and "://" not in value
        return str(folder / value) if is_path else value

    return {name: place(name, value) for name, value in values.items()}


def _sentence(error: ValidationError, source: Path) -> str:
    """One sentence for the first thing wrong in the settings."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    either = f"(in {source} or its ERIOS_ variable)"
    if first["type"] == "extra_forbidden":
        *section, _ = first["loc"]
        place = either if section else f"in {source}"  # a variable of no section is refused before
        return f"unknown setting '{name}' {place}; known are {', '.join(_known(tuple(section)))}"
    message = first["msg"].removeprefix("Value error, ")
    where = f"setting '{name}' {either}" if name else f"settings in {source}"
    return f"{where}: {message}"


def _known(section: tuple[int | str, ...]) -> list[str]:
    models: dict[tuple[int | str, ...], type[BaseModel]] = {
        ("spark",): SparkSettings,
        ("load",): LoadSettings,
        ("images",): ImageSettings,
        ("portal",): PortalSettings,
        ("portal", "mail"): MailSettings,
        ("portal", "directory"): DirectorySettings,
        ("counts",): CountSettings,
        ("compliance",): ComplianceSettings,
        ("workspace",): WorkspaceSettings,
    }
    return list(models.get(section, Settings).model_fields)
