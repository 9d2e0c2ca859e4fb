"""Scope rows to one organisation: every table of a tenant inherits this."""

import uuid
from typing import Self

from django.db import models


class OrgQuerySet(models.QuerySet):  # type: ignore[type-arg]  # django-stubs: generic at run time only
    def for_org(self, organisation: "models.Model") -> Self:
        """Return the rows of one organisation; another's do not exist for the caller."""
        return self.filter(organisation=organisation)


class OrgScoped(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey("registry.Organisation", on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrgQuerySet.as_manager()

    class Meta:
        abstract = True
