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
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from erios.errors import StorageError, UsageError

PROJECT = Path(__file__).resolve().parents[1]
"""The checkout: the folder that holds ``erios/`` and ``conf/``."""

ZONES: Mapping[str, int] = {
    "landing": 0o700,
    "identity": 0o700,
    "warehouse": 0o750,
    "studies": 0o750,
    "tracking": 0o750,
    "governance": 0o700,
}
"""Zone → mode of the folder that is made for it; clear-text identity and the audit chain are their owner's alone."""


def _check_local(value: Any) -> Any:
    if isinstance(value, str) and ("://" in value or not value):
        raise ValueError("must be a local folder")
    return value


Folder = Annotated[Path, BeforeValidator(_check_local), AfterValidator(Path.absolute)]


class SparkSettings(BaseModel):
    """How the Spark session is made: any master, by configuration alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master: str = "local[*]"
    driver_memory: str = Field("2g", pattern=r"^\d+[kmgt]$")
    local_dir: Folder | None = None
    event_log_dir: Folder | None = None
    conf: dict[str, str] = Field(default_factory=dict)


class LoadSettings(BaseModel):
    """How a load cuts its work: sizes in MiB; ``buckets`` is fixed once a warehouse exists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split_mb: int = Field(32, ge=1, le=1024)
    buckets: int = Field(8, ge=1, le=4096)
    max_line_mb: int = Field(64, ge=1, le=1024)
    task_memory_mb: int = Field(1024, ge=256)
    file_rows: int = Field(32768, ge=1024)

    @field_validator("buckets")
    @classmethod
    def _check_power_of_two(cls, buckets: int) -> int:
        """Buckets are leading bits of a pseudonym."""
        if buckets & (buckets - 1):
            raise ValueError("must be a power of two")
        return buckets


class MailSettings(BaseModel):
    """Where letters go: an SMTP server, or (without one) the console. Its password, if any, is in ``password_file``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = ""
    port: int = Field(25, ge=1, le=65535)
    user: str = ""
    password_file: Folder | None = None
    tls: bool = False
    sender: str = "erios@localhost"


class DirectorySettings(BaseModel):
    """The hospital's OpenID Connect directory; ``roles``: value of the claim → role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = ""
    client_id: str = ""
    secret_file: Folder | None = None
    claim: str = "groups"
    roles: dict[str, str] = Field(default_factory=dict)


class PortalSettings(BaseModel):
    """The portal: the hospital's name, who is asked about data protection, and how many votes decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hospital: str = "CHU de démonstration"
    contact: str = "dpo@localhost"
    hosts: list[str] = Field(default_factory=lambda: ["localhost", "127.0.0.1", "[::1]"])
    proxy: bool = False
    quorum: int = Field(3, ge=1, le=99)
    second_factor: bool = True
    mail: MailSettings = MailSettings()
    directory: DirectorySettings = DirectorySettings()


class Settings(BaseSettings):
    """All settings; paths are absolute. Zones default to folders of ``home``."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="ERIOS_", env_nested_delimiter="__", env_ignore_empty=True
    )

    home: Folder = PROJECT / "var"
    landing: Folder = Field(default_factory=lambda known: _in_home(known, "landing"))
    identity: Folder = Field(default_factory=lambda known: _in_home(known, "identity"))
    warehouse: Folder = Field(default_factory=lambda known: _in_home(known, "warehouse"))
    studies: Folder = Field(default_factory=lambda known: _in_home(known, "studies"))
    tracking: Folder = Field(default_factory=lambda known: _in_home(known, "tracking"))
    governance: Folder = Field(default_factory=lambda known: _in_home(known, "governance"))
    database: str = ""
    views_dir: Folder = PROJECT / "conf" / "views"
    suites_dir: Folder = PROJECT / "conf" / "suites"
    legal_routes: Folder = PROJECT / "conf" / "legal_routes.toml"
    spark: SparkSettings = SparkSettings()
    load: LoadSettings = LoadSettings()
    portal: PortalSettings = PortalSettings()

    @field_validator("database")
    @classmethod
    def _check_database(cls, database: str) -> str:
        """A password would stand in a file or in every process's environment."""
        if database and not re.fullmatch(r"postgresql://([\w.-]+@)?[\w.-]*(:\d+)?/[\w-]+(\?[\w=&/.-]*)?", database):
            raise ValueError(
                "must be empty (SQLite in the zone governance) or postgresql://user@host:port/name without a password,"
                " which belongs in ~/.pgpass"
            )
        return database

    @model_validator(mode="after")
    def _keep_zones_apart(self) -> Self:
        """No zone inside another: one zone's readers would reach what the other guards."""
        for inner, outer in permutations(ZONES, 2):
            if getattr(self, inner).resolve().is_relative_to(getattr(self, outer).resolve()):
                raise ValueError(f"zone '{inner}' lies inside zone '{outer}'; give each its own folder")
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
    def spark_local_dir(self) -> Path:
        """Where Spark shuffles and spills."""
        return self.spark.local_dir or self.home / "spark"

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


def _in_home(known: Mapping[str, Any], zone: str) -> Path:
    return Path(known.get("home", PROJECT / "var")) / zone


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ERIOS_") and name != "ERIOS_CONF"}


def _check_variables(names: Any) -> None:
    """pydantic-settings ignores variables it does not know; a misspelt one must not go unnoticed."""
    known = {"ERIOS_CONF", *(f"ERIOS_{name.upper()}" for name in Settings.model_fields)}
    for name in names:
        if name.split("__")[0] not in known:
            raise UsageError(f"unknown variable {name}; known are {', '.join(sorted(known))}")


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
    *("home", "views_dir", "suites_dir", "legal_routes", "local_dir", "event_log_dir"),
    *("password_file", "secret_file"),
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
    if first["type"] == "extra_forbidden":
        return f"unknown setting '{name}' in {source}; known are {', '.join(_known(first['loc'][:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    where = f"setting '{name}' (in {source} or its ERIOS_ variable)" if name else f"settings in {source}"
    return f"{where}: {message}"


def _known(section: tuple[int | str, ...]) -> list[str]:
    models: dict[tuple[int | str, ...], type[BaseModel]] = {
        ("spark",): SparkSettings,
        ("load",): LoadSettings,
        ("portal",): PortalSettings,
        ("portal", "mail"): MailSettings,
        ("portal", "directory"): DirectorySettings,
    }
    return list(models.get(section, Settings).model_fields)
