"""The tables of studies and extracts. What the rules forbid, the database refuses too: one part a person.

No model decides anything: ``erios.governance`` does, and ``erios.studies.actions`` alone writes.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from erios.governance.extract import BUILT_STATES
from erios.governance.extract import State as ExtractState
from erios.governance.publication import State as PublicationState
from erios.governance.run import State as RunState
from erios.governance.study import Opinion, State
from erios.governance.workspace import LIVE as LIVE_WORKSPACES
from erios.governance.workspace import State as WorkspaceState
from erios.studies.airlock_models import (  # noqa: F401 - Django finds an app's tables in its ``models``
    AirlockComment,
    AirlockFile,
    AirlockPoint,
    AirlockRequest,
    AirlockVote,
)


class Study(models.Model):
    """A study, known by its number; what it is lies in its proposals."""

    number = models.CharField(max_length=16, unique=True)
    proposer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="studies")
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return self.number


class Proposal(models.Model):
    """One version of a study: the first, or an amendment. ``content`` is what ``erios.governance.proposal`` describes.

    ``revision`` counts every change, so that two people who act at the same instant are not both obeyed.
    """

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="proposals")
    version = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=32, choices=[(s.value, s.value) for s in State], default=State.DRAFT.value)
    since = models.DateTimeField(default=timezone.now)
    submitted = models.DateTimeField(null=True, blank=True)
    decided = models.DateTimeField(null=True, blank=True)
    ends = models.DateField(null=True, blank=True)
    content = models.JSONField(default=dict)
    earlier_reviews = models.JSONField(default=list)
    revision = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("study", "version")
        constraints = (
            models.UniqueConstraint(fields=["study", "version"], name="one_proposal_a_version"),
            models.UniqueConstraint(
                fields=["study"],
                condition=Q(state__in=[State.ACTIVE.value, State.SUSPENDED.value]),
                name="one_active_proposal",
            ),
            models.CheckConstraint(condition=Q(state__in=[state.value for state in State]), name="known_state"),
        )

    def __str__(self) -> str:
        return f"{self.study} v{self.version}"


class PartKind(models.TextChoices):
    """What somebody is to a proposal; nobody is two things."""

    PROPOSER = "proposer"
    TEAM = "team"
    VOTE = "vote"
    VISA = "visa"
    DECISION = "decision"


class Part(models.Model):
    """A person's one part in a proposal: four eyes, as a unique pair of columns."""

    proposal = models.ForeignKey(Proposal, on_delete=models.CASCADE, related_name="parts")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="parts")
    kind = models.CharField(max_length=16, choices=PartKind)
    opinion = models.CharField(max_length=32, blank=True)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at",)
        constraints = (
            models.UniqueConstraint(fields=["proposal", "person"], name="one_part_a_person"),
            models.UniqueConstraint(
                fields=["proposal", "kind"],
                condition=Q(kind__in=[PartKind.PROPOSER.value, PartKind.VISA.value, PartKind.DECISION.value]),
                name="one_proposer_visa_decision",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[PartKind.PROPOSER.value, PartKind.TEAM.value], opinion="")
                | Q(kind__in=[PartKind.VOTE.value, PartKind.VISA.value], opinion__in=[o.value for o in Opinion])
                | Q(
                    kind=PartKind.DECISION.value,
                    opinion__in=[s.value for s in (State.APPROVED, State.CONDITIONAL, State.REJECTED)],
                ),
                name="opinion_fits_part",
            ),
        )

    def __str__(self) -> str:
        return f"{self.proposal}: {self.kind} of {self.person}"


class Point(models.Model):
    """What a reviewer wants answered before the proposal comes again."""

    proposal = models.ForeignKey(Proposal, on_delete=models.CASCADE, related_name="points")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)
    answer = models.TextField(blank=True)
    answered = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"{self.proposal}: point {self.pk}"


class Condition(models.Model):
    """What the decision asks for before the study starts."""

    proposal = models.ForeignKey(Proposal, on_delete=models.CASCADE, related_name="conditions")
    text = models.TextField()
    met = models.DateTimeField(null=True, blank=True)
    met_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(
                condition=Q(met__isnull=True, met_by__isnull=True) | Q(met__isnull=False, met_by__isnull=False),
                name="met_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return f"{self.proposal}: condition {self.pk}"


class Agreement(models.Model):
    """That one of the two who must agree to resume a suspended study has agreed."""

    proposal = models.ForeignKey(Proposal, on_delete=models.CASCADE, related_name="agreements")
    role = models.CharField(max_length=16)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["proposal", "role"], name="one_agreement_a_role"),)

    def __str__(self) -> str:
        return f"{self.proposal}: {self.role} agrees"


class Comment(models.Model):
    """A word between those who see a study."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"{self.study}: comment {self.pk}"


class Publication(models.Model):
    """A version of what came of a study, in plain French, for the public register; its text is never changed.

    ``request``: by which two checkers read it in the airlock.
    """

    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="publications")
    version = models.PositiveIntegerField()
    text = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(
        max_length=32,
        choices=[(s.value, s.value) for s in PublicationState],
        default=PublicationState.WAITING.value,
    )
    since = models.DateTimeField(default=timezone.now)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    reason = models.TextField(blank=True)
    request = models.OneToOneField(AirlockRequest, on_delete=models.PROTECT, related_name="publication", null=True)

    class Meta:
        ordering = ("study", "-version")
        constraints = (
            models.UniqueConstraint(fields=["study", "version"], name="one_text_a_version"),
            models.UniqueConstraint(
                fields=["study"], condition=Q(state=PublicationState.WAITING.value), name="one_text_waiting"
            ),
            models.UniqueConstraint(
                fields=["study"], condition=Q(state=PublicationState.PUBLISHED.value), name="one_text_published"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in PublicationState]), name="known_publication_state"
            ),
            models.CheckConstraint(
                condition=~Q(state=PublicationState.PUBLISHED.value)
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("by"))),
                name="published_by_another",
            ),
        )

    def __str__(self) -> str:
        return f"{self.study}: results v{self.version}"


class Notification(models.Model):
    """What somebody should know; ``action`` and ``state`` are words of the rules, said in the reader's language."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    proposal = models.ForeignKey(Proposal, on_delete=models.CASCADE, related_name="+")
    extract = models.ForeignKey("Extract", on_delete=models.CASCADE, related_name="+", null=True)
    request = models.ForeignKey(AirlockRequest, on_delete=models.CASCADE, related_name="+", null=True)
    action = models.CharField(max_length=32)
    state = models.CharField(max_length=32)
    actor = models.CharField(max_length=150)
    at = models.DateTimeField(default=timezone.now)
    read = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.person}: {self.action} {self.proposal}"


class LedgerPatients(models.Model):
    """Patients who came into the disclosure ledger's roster together: their keyed digests, eight bytes each, in order.

    The first row is the lock of the ledger: whoever appends holds it.
    """

    digests = models.BinaryField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{len(self.digests) // 8} patients"


class LedgerGroup(models.Model):
    """A set of patients that somebody's question named: places in the roster, one bit each, compressed by zlib."""

    bits = models.BinaryField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"group {self.pk}"


class LedgerAnswer(models.Model):
    """What the hospital answers to a question about a release, whoever asks (``erios.extracts.ledger.Answer``).

    ``value`` None is masked; ``named``: the groups that the question named.
    """

    release = models.CharField(max_length=32)
    digest = models.CharField(max_length=64)
    canonical = models.TextField()
    value = models.BigIntegerField(null=True)
    group = models.ForeignKey(LedgerGroup, on_delete=models.PROTECT, related_name="answers", null=True)
    named = models.JSONField(default=list)
    fresh = models.BooleanField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=["release", "digest"], name="one_answer_a_question_release"),)

    def __str__(self) -> str:
        return f"{self.release}: count {self.digest[:8]}"


class LedgerReading(models.Model):
    """That a person was shown an answer for a study: what both have paid for.

    ``draft``: the study had never been submitted.
    """

    answer = models.ForeignKey(LedgerAnswer, on_delete=models.PROTECT, related_name="readings")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="readings")
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="readings")
    draft = models.BooleanField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["answer", "person", "study"], name="one_reading_an_answer_person_study"),
        )

    def __str__(self) -> str:
        return f"{self.study}: {self.answer}"


class Extract(models.Model):
    """A dataset that leaves the warehouse for a study, known by its number; what it holds is in its versions.

    ``proposal``: the approved version of the study that it serves. ``busy``: since when it is being built. ``problem``:
    why the last build failed. ``root`` and ``public_key``: what was built, and what a clearance is bound to.
    """

    number = models.CharField(max_length=24, unique=True)
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="extracts")
    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="extracts")
    state = models.CharField(
        max_length=32, choices=[(s.value, s.value) for s in ExtractState], default=ExtractState.REQUESTED.value
    )
    since = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now)
    release = models.CharField(max_length=32, blank=True)
    key_id = models.CharField(max_length=32, blank=True)
    root = models.CharField(max_length=64, blank=True)
    public_key = models.CharField(max_length=64, blank=True)
    patients = models.BigIntegerField(null=True)
    rows = models.JSONField(default=dict)
    report = models.JSONField(default=dict, help_text="the risk report")
    overlaps = models.JSONField(default=list, help_text="patients told apart by crossing this with earlier releases")
    linkage = models.JSONField(default=dict, help_text="the linkage attack against another study's extract")
    expires = models.DateField(null=True, blank=True)
    exception_reason = models.TextField(blank=True)
    busy = models.DateTimeField(null=True, blank=True)
    progress = models.CharField(max_length=100, blank=True)
    problem = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("-created",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in ExtractState]), name="known_extract_state"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[state.value for state in BUILT_STATES]) | ~Q(root=""), name="built_has_root"
            ),
            models.CheckConstraint(
                condition=~Q(state=ExtractState.RELEASED.value) | Q(expires__isnull=False), name="released_expires"
            ),
        )

    def __str__(self) -> str:
        return self.number


class ExtractVersion(models.Model):
    """One version of an extract's specification, in its JSON form."""

    extract = models.ForeignKey(Extract, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("number",)
        constraints = (models.UniqueConstraint(fields=["extract", "number"], name="one_version_a_number"),)

    def __str__(self) -> str:
        return f"{self.extract} v{self.number}"


class ExtractPartKind(models.TextChoices):
    """What somebody is to an extract; nobody is two things."""

    REQUESTER = "requester"
    BUILDER = "builder"
    CLEARER = "clearer"
    EXCEPTION = "exception"
    RELEASER = "releaser"


class ExtractPart(models.Model):
    """A person's one part in an extract: requester, builder, clearing officer and releaser differ."""

    extract = models.ForeignKey(Extract, on_delete=models.CASCADE, related_name="parts")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="extract_parts")
    kind = models.CharField(max_length=16, choices=ExtractPartKind)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("at",)
        constraints = (
            models.UniqueConstraint(fields=["extract", "person"], name="one_part_a_person_of_an_extract"),
            models.UniqueConstraint(fields=["extract", "kind"], name="one_person_a_part_of_an_extract"),
        )

    def __str__(self) -> str:
        return f"{self.extract}: {self.kind} {self.person}"


class Run(models.Model):
    """A training of a model on a released extract, known by its number.

    ``order``: what was asked for (cluster, nodes, processes, gpus, seed, settings). ``job``: the cluster's name of it.
    ``reason``: why it ended so. ``tracked``: the MLflow run of its last attempt; ``closed``: that has its end too.
    """

    number = models.CharField(max_length=24, unique=True)
    extract = models.ForeignKey(Extract, on_delete=models.PROTECT, related_name="runs")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="runs")
    bundle = models.CharField(max_length=100)
    digest = models.CharField(max_length=64)
    cluster = models.CharField(max_length=64)
    order = models.JSONField(default=dict)
    job = models.CharField(max_length=64, blank=True)
    state = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in RunState], default=RunState.QUEUED.value
    )
    reason = models.TextField(blank=True)
    tracked = models.CharField(max_length=64, blank=True)
    created = models.DateTimeField(default=timezone.now)
    ended = models.DateTimeField(null=True, blank=True)
    closed = models.BooleanField(default=False)
    weights = models.CharField(max_length=64, blank=True)
    promoted = models.DateTimeField(null=True, blank=True)
    promoted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="promoted_runs", null=True, blank=True
    )

    class Meta:
        ordering = ("-created",)
        constraints = (
            models.CheckConstraint(
                condition=Q(promoted_by=None) | ~Q(promoted_by=F("by")), name="own_model_unpromoted"
            ),
            models.CheckConstraint(condition=Q(state__in=[state.value for state in RunState]), name="known_run_state"),
        )

    def __str__(self) -> str:
        return self.number


class Workspace(models.Model):
    """A person's place to work on a released extract, known by its number; ``label`` begins the name of its host.

    ``token``: the digest of the way in that was given last, at ``token_at``; empty once it was used. ``out``: bytes
    that have left for the browser; ``refused``: downloads that were not let out.
    """

    number = models.CharField(max_length=24, unique=True)
    extract = models.ForeignKey(Extract, on_delete=models.PROTECT, related_name="workspaces")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="workspaces")
    label = models.CharField(max_length=32, unique=True)
    state = models.CharField(
        max_length=24, choices=[(s.value, s.value) for s in WorkspaceState], default=WorkspaceState.ASKED.value
    )
    token = models.CharField(max_length=64, blank=True)
    token_at = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now)
    opened = models.DateTimeField(null=True, blank=True)
    ended = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    out = models.BigIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("-created",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in WorkspaceState]), name="known_workspace_state"
            ),
            models.UniqueConstraint(
                fields=["by"],
                condition=Q(state__in=[state.value for state in LIVE_WORKSPACES]),
                name="one_live_workspace_a_person",
            ),
        )

    def __str__(self) -> str:
        return self.number
