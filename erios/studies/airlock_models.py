"""The tables of the airlock: requests, their files round by round, votes, points and comments.

As in ``models``, nothing here decides anything. A vote lies sealed until all votes of its round are in: whoever reads
the row before learns that there is one, and not which.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from erios.governance.airlock import Destination, Ground, Kind, State, Verdict


def _person(name: str) -> Any:
    return models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name=name)


class AirlockRequest(models.Model):
    """What a team asks to let out, known by its number; its files are those of the current ``round``.

    ``root``, ``manifest`` (SHA-256 of the signed manifest) and ``key_id``: of what was released. ``problem``: why the
    request was voided.
    """

    number = models.CharField(max_length=24, unique=True)
    study = models.ForeignKey("studies.Study", on_delete=models.PROTECT, related_name="airlock_requests")
    author = _person("airlock_requests")
    destination = models.CharField(max_length=16, default=Destination.TEAM.value)
    state = models.CharField(max_length=16, default=State.DRAFT.value)
    since = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now)
    round = models.PositiveIntegerField(default=1)
    root = models.CharField(max_length=64, blank=True)
    manifest = models.CharField(max_length=64, blank=True)
    key_id = models.CharField(max_length=32, blank=True)
    problem = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("-created",)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[s.value for s in State]), name="known_airlock_state"),
            models.CheckConstraint(
                condition=Q(destination__in=[d.value for d in Destination]), name="known_airlock_destination"
            ),
            models.CheckConstraint(
                condition=~Q(state=State.RELEASED.value) | ~Q(manifest=""), name="released_has_manifest"
            ),
        )

    def __str__(self) -> str:
        return self.number


class AirlockFile(models.Model):
    """A file of a request in one of its rounds: its bytes lie with the study under their ``digest``.

    ``context``: what it is; ``controls``: what protects the patients in it. ``behind``: the file of the request whose
    data it has, such as a figure; ``columns``: header of a table → what the author says that it is. ``report``: the
    automatic checks' (``erios.airlock.findings.Report``). ``exception_asked``: why the author thinks that they are
    wrong; ``exception``: why the data protection officer lets it be voted on all the same.
    """

    request = models.ForeignKey(AirlockRequest, on_delete=models.PROTECT, related_name="files")
    round = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=16)
    digest = models.CharField(max_length=64)
    size = models.BigIntegerField()
    form = models.CharField(max_length=16)
    context = models.TextField(blank=True)
    controls = models.TextField(blank=True)
    behind = models.CharField(max_length=100, blank=True)
    columns = models.JSONField(default=dict)
    report = models.JSONField(default=dict)
    held = models.BooleanField()
    exception_asked = models.TextField(blank=True)
    exception = models.TextField(blank=True)
    exception_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["request", "round", "name"], name="one_file_a_name_and_round"),
            models.CheckConstraint(condition=Q(kind__in=[k.value for k in Kind]), name="known_airlock_kind"),
            models.CheckConstraint(
                condition=Q(exception="", exception_by__isnull=True)
                | (~Q(exception="") & Q(exception_by__isnull=False)),
                name="exception_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return f"{self.request}: {self.name}"


class AirlockVote(models.Model):
    """A checker's vote on a file. ``sealed`` holds it from the start; the fields beside are empty until all are in."""

    request = models.ForeignKey(AirlockRequest, on_delete=models.PROTECT, related_name="votes")
    file = models.ForeignKey(AirlockFile, on_delete=models.PROTECT, related_name="votes")
    checker = _person("airlock_votes")
    sealed = models.TextField()
    verdict = models.CharField(max_length=16, blank=True)
    ground = models.CharField(max_length=24, blank=True)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["file", "checker"], name="one_vote_a_checker_and_file"),
            models.CheckConstraint(condition=Q(verdict__in=["", *(v.value for v in Verdict)]), name="known_verdict"),
            models.CheckConstraint(condition=Q(ground__in=["", *(g.value for g in Ground)]), name="known_ground"),
        )

    def __str__(self) -> str:
        return f"{self.file}: vote of {self.checker}"


class AirlockPoint(models.Model):
    """What a checker wants answered or changed before the request comes again."""

    request = models.ForeignKey(AirlockRequest, on_delete=models.PROTECT, related_name="points")
    round = models.PositiveIntegerField()
    file = models.ForeignKey(AirlockFile, on_delete=models.PROTECT, related_name="points", null=True)
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)
    answer = models.TextField(blank=True)
    answered = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.request}: point {self.pk}"


class AirlockComment(models.Model):
    """A word on a request. A checker's is read by nobody else before the votes of its round are in."""

    request = models.ForeignKey(AirlockRequest, on_delete=models.PROTECT, related_name="comments")
    round = models.PositiveIntegerField()
    author = _person("+")
    by_checker = models.BooleanField()
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.request}: comment {self.pk}"
