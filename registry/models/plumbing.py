"""Hold what makes writes safe to repeat and effects safe to lose: idempotency and the outbox."""

from django.db import models

from registry.models.scoped import OrgScoped


class IdempotencyRecord(OrgScoped):
    """Keep the answer to a POST with an Idempotency-Key, written with its effect."""

    principal = models.CharField(max_length=100)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=300)
    key = models.CharField(max_length=200)
    body_sha256 = models.CharField(max_length=64)
    status = models.IntegerField()
    body = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "principal", "method", "path", "key"],
                name="one_answer_a_key",
            )
        ]

    def __str__(self) -> str:
        return self.key


class OutboxEvent(models.Model):
    """Promise, in the transaction of a change, that its followers will be told."""

    topic = models.CharField(max_length=60)
    key = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    attempts = models.IntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["dispatched_at", "id"], name="outbox_waiting")]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"
