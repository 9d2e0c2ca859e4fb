"""Hold the ledger: insert only, one hash chain for each organisation."""

from typing import Any, NoReturn

from django.db import models

from registry.models.accounts import Organisation


class InsertOnlyQuerySet(models.QuerySet):  # type: ignore[type-arg]  # generic at run time only
    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError("ledger rows are never changed")

    def delete(self) -> NoReturn:
        raise TypeError("ledger rows are never deleted")


class InsertOnly(models.Model):
    objects = InsertOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None and not self._state.adding:
            raise TypeError("ledger rows are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("ledger rows are never deleted")


class LedgerEntry(InsertOnly):
    """Hold one link of the chain; `registry.ledger.chain` defines its bytes."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    seq = models.BigIntegerField()
    prev = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    at = models.CharField(max_length=40)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=300)
    payload = models.JSONField()

    class Meta:
        ordering = ["organisation", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "seq"], name="one_entry_a_seq")
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"


class LedgerHead(models.Model):
    """Hold the newest seq and hash; taking this row's lock orders the writers."""

    organisation = models.OneToOneField(Organisation, on_delete=models.PROTECT, primary_key=True)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.organisation} at {self.seq}"


class SignedRoot(InsertOnly):
    """Hold a signed Merkle root over the first `size` entries."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    size = models.BigIntegerField()
    root = models.CharField(max_length=64)
    head = models.CharField(max_length=64)
    kid = models.CharField(max_length=64)
    signature = models.CharField(max_length=200)
    at = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "size"], name="one_root_a_size")
        ]

    def __str__(self) -> str:
        return f"root over {self.size}"
