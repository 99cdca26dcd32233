"""The sections of the settings: their keys, limits and defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from erios.checkout import PROJECT
from erios.governance.disclosure import THRESHOLD
from erios.governance.roles import Role
from erios.translation import languages
from experiments.sandbox.limits import DEFAULT


def _check_local(value: Any) -> Any:
    if isinstance(value, str) and ("://" in value or not value):
        raise ValueError("must be a local folder")
    return value


Folder = Annotated[Path, BeforeValidator(_check_local), AfterValidator(Path.absolute)]


class SparkSettings(BaseModel):
    """How the Spark session is made: any master, by configuration alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master: str = "local[*]"
    """Where Spark runs: `local[*]`, `spark://host:7077`, `yarn`, …"""
    driver_memory: str = Field("2g", pattern=r"^\d+[kmgt]$")
    """The heap of the driver's JVM; DuckDB's memory in the tasks comes on top."""
    local_dir: Folder | None = None
    """Where Spark shuffles and spills; by default `spark/` in `home`."""
    event_log_dir: Folder | None = None
    """Where Spark writes event logs; by default it writes none."""
    conf: dict[str, str] = Field(default_factory=dict)
    """Anything else that Spark knows, as it is; it wins over what Erios sets."""


class LoadSettings(BaseModel):
    """How a load cuts its work: sizes in MiB; ``buckets`` is fixed once a warehouse exists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk_mb: int = Field(64, ge=1, le=1024)
    """MiB of text that a task reads at a time."""
    buckets: int = Field(8, ge=1, le=4096)
    """Partitions of each table, a power of two; fixed once a warehouse exists."""
    max_line_mb: int = Field(64, ge=1, le=1024)
    """A longer line is quarantined, in MiB."""
    task_memory_mb: int = Field(1024, ge=256)
    """MiB that DuckDB may take in one task."""
    file_rows: int = Field(32768, ge=1024)
    """Rows of one data file at most: small files make increments cheap, big ones scans."""
    max_unpacked_mb: int = Field(65536, ge=1)
    """A zip that unpacks to more MiB is refused."""

    @field_validator("buckets")
    @classmethod
    def _check_power_of_two(cls, buckets: int) -> int:
        """Buckets are leading bits of a pseudonym."""
        if buckets & (buckets - 1):
            raise ValueError("must be a power of two")
        return buckets


class ImageSettings(BaseModel):
    """How DICOM is taken: what may stay of it, the system of its patient numbers, and those of other issuers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Folder = PROJECT / "conf" / "dicom.toml"
    """What of a DICOM file may stay."""
    patient_system: str = Field("https://chu-demonstration.example.org/fhir/namingsystem/ipp", min_length=1)
    """The FHIR system of the PatientID in DICOM."""
    issuers: dict[str, str] = Field(default_factory=dict)
    """IssuerOfPatientID → FHIR system; series of other issuers are held back."""


class SandboxSettings(BaseModel):
    """What a training may use inside the sandbox; one that goes beyond is ended with that reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gigabytes: int = Field(DEFAULT.gigabytes, ge=1)
    """GiB that it may write to its output folder and its checkpoints together."""
    files: int = Field(DEFAULT.files, ge=10)
    """Files and folders in these two."""
    processes: int = Field(DEFAULT.processes, ge=1)
    """Processes that it may start, at a time."""
    threads: int = Field(DEFAULT.threads, ge=1)
    """Threads of all of them."""
    memory_gb: int = Field(DEFAULT.memory_gb, ge=0)
    """GiB of memory that the processes of a rank may hold; 0 leaves it to the scheduler, which `local` has none."""
    hours: int = Field(DEFAULT.hours, ge=0)
    """Hours that an attempt may take; 0 leaves it to the scheduler."""
    messages_mb: int = Field(DEFAULT.messages_mb, ge=1)
    """MiB of figures and settings that it may log, and as many of lines that it prints."""
    temporary_mb: int = Field(DEFAULT.temporary_mb, ge=64)
    """MiB of its temporary folder, and as many of shared memory; both are in memory and end with it."""


class WorkspaceSettings(BaseModel):
    """Workspaces: where browsers reach them, how long they stay, and how much may leave one for the browser."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = "http://*.localhost:8010"
    """Where browsers reach them; each opening puts a name of its own in the star's place. Not the portal's host."""
    idle_minutes: int = Field(60, ge=1)
    """One in which nobody has worked for longer is closed."""
    hours: int = Field(12, ge=1)
    """So is one that has been open for longer."""
    out_mb: int = Field(256, ge=1)
    """MiB that may leave one for the browser; then it is closed."""
    day_mb: int = Field(512, ge=1)
    """MiB that may leave the workspaces of a person in 24 hours."""
    largest_mb: int = Field(16, ge=1)
    """MiB of one answer or one output."""
    memory_gb: int = Field(8, ge=1)
    """GiB of memory that one may hold."""
    processes: int = Field(500, ge=10)
    """Processes that one may run, at a time."""
    folder_gb: int = Field(20, ge=1)
    """GiB that a study's shared folder may hold."""
    versions: int = Field(20, ge=1)
    """Earlier states of that folder that are kept."""
    packages_dir: Folder | None = None
    """The hospital's mirror of packages; by default `packages/` in `home`."""

    @field_validator("address")
    @classmethod
    def _has_names(cls, address: str) -> str:
        if not re.fullmatch(r"https?://\*\.[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?", address):
            raise ValueError("must be as https://*.work.hospital.fr, with a star for the name of each opening")
        if address.startswith("http:") and not re.search(r"\*\.localhost(:\d+)?$", address):
            raise ValueError("must begin with https:// anywhere but at *.localhost")
        return address

    @property
    def domain(self) -> str:
        """The name below which every opening has its own."""
        return self.address.split("://*.")[1].split(":")[0]


class MailSettings(BaseModel):
    """Where letters go: an SMTP server, or (without one) the console. Its password, if any, is in ``password_file``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = ""
    """The SMTP server; without one, letters are printed on the console."""
    port: int = Field(25, ge=1, le=65535)
    """Its port."""
    user: str = ""
    """The login there, if it asks for one."""
    password_file: Folder | None = None
    """The file with the password of that login."""
    tls: bool = False
    """Speak STARTTLS."""
    sender: str = "erios@localhost"
    """The address from which letters come."""


class DirectorySettings(BaseModel):
    """The hospital's OpenID Connect directory; ``roles``: value of the claim → role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = ""
    """The address of the OpenID Connect issuer; without one, local accounts alone."""
    client_id: str = ""
    """The portal's name in the directory."""
    secret_file: Folder | None = None
    """The file with the client's secret."""
    claim: str = "groups"
    """The claim that holds the groups."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """Group → role."""


class PortalSettings(BaseModel):
    """The portal: the hospital's name, who is asked about data protection, and how many votes decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hospital: str = "CHU de démonstration"
    """The hospital's name, on every page."""
    language: str = "fr"
    """The language of letters, and of pages for whoever asks for no other; one that has a catalogue."""
    contact: str = "dpo@localhost"
    """The data protection office's address, on the public pages."""
    hosts: list[str] = Field(default_factory=lambda: ["localhost", "127.0.0.1", "[::1]"])
    """Names under which the portal answers."""
    proxy: bool = False
    """The portal stands behind a web server that ends TLS and sets X-Forwarded-Proto."""
    quorum: int = Field(3, ge=1, le=99)
    """Votes that the committee needs."""
    second_factor: bool = True
    """Ask local accounts for a one-time code; off only where nobody comes in but by a directory that asks."""
    mail: MailSettings = MailSettings()
    directory: DirectorySettings = DirectorySettings()

    @field_validator("language")
    @classmethod
    def _has_a_catalogue(cls, code: str) -> str:
        if code not in languages():
            raise ValueError(f"no catalogue of '{code}'; there are {', '.join(languages())}")
        return code


class CountSettings(BaseModel):
    """Who counts patients: DuckDB in the portal's process, or Spark by the master of ``[spark]``; the same answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["duckdb", "spark"] = "duckdb"
    """`duckdb`, or `spark` for the session of `[spark]`: the same answers."""


class ComplianceSettings(BaseModel):
    """What the compliance page holds the system against, in days; ``backup_stamp``: the file that a backup touches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    review_days: int = Field(365, ge=1)
    """An access review at least every so many days."""
    dormant_days: int = Field(180, ge=1)
    """An open account that nobody used for longer is pointed out."""
    backup_days: int = Field(2, ge=1)
    """A backup at least every so many days."""
    backup_stamp: Folder | None = None
    """The file that the backup touches when it has ended well."""


class AirlockSettings(BaseModel):
    """What the airlock's automatic checks hold a file against; each limit may be made stricter by a hospital.

    Sources: the threshold is the product's own (docs/disclosure.md); dominance and p % are those of ACRO (UWE Bristol),
    as the handbook of Eurostat's centre of excellence on statistical disclosure control defines them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: int = Field(THRESHOLD, ge=THRESHOLD)
    """The least number of patients behind a figure; the same as for every count, so that no output tells more."""
    rows: int = Field(1000, ge=10)
    """Rows of a table at most: one with more is rather a data set, which leaves as an extract."""
    largest: int = Field(2, ge=1)
    """How many contributions together may not dominate a sum: n of the (n, k) rule."""
    share: float = Field(0.9, gt=0, le=0.9)
    """The share of a sum that they may have at most: k of the (n, k) rule."""
    accuracy: float = Field(0.1, ge=0.1, lt=1)
    """How closely the second largest contributor may know the largest, as a share of it: p of the p % rule."""
    digits: int = Field(6, ge=1, le=8)
    """Figures that count of a mean, share or coefficient: more tell of single records, or carry something else."""
    age: int = Field(90, ge=50, le=90)
    """From this age on a person is in the last class, as in an extract."""
    attack_auc: float = Field(0.65, ge=0.5, le=0.65)
    """The most that the best membership attack may reach: upper 95 % bound of its area under the curve."""
    attack_tpr: float = Field(0.05, ge=0.01, le=0.05)
    """Members whom it may name at 1 % of false alarms, as measured: an average hides the few who are exposed."""
    attack_members: int = Field(400, ge=400)
    """Members, and as many others, that it takes to measure: with fewer, 1 % of false alarms is under four people."""
    shadow_models: int = Field(16, ge=16)
    """Shadow models of a LiRA attack, with fewer its two normal laws are not estimated."""
    text_mb: int = Field(1, ge=1, le=16)
    """MiB of a text, code, notebook or table at most."""
    figure_mb: int = Field(8, ge=1, le=64)
    """MiB of a figure at most."""
    figure_pixels: int = Field(8000, ge=100, le=16000)
    """Width and height of a figure at most: one unpacks to at most the square of this."""
    model_mb: int = Field(2048, ge=1)
    """MiB of a model at most."""
    days: int = Field(30, ge=1, le=365)
    """A request that nobody has moved for so many days expires: what the checks compared it with is no longer what is
    out, and nobody remembers what was asked."""


class AnchorSettings(BaseModel):
    """The time-stamping authority of `erios audit anchor` (RFC 3161), where the hospital has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestamp_url: str = ""
    """Where the authority answers, as `https://horodatage.example.org/tsa`; it is sent a digest and nothing else."""
    timestamp_authority: Folder | None = None
    """The file with the authority's root certificate (PEM), and those between, by which its time-stamps are checked."""

    @field_validator("timestamp_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return value
