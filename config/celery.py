"""Make the Celery app and its beat table.

Each periodic task is a sweep: it finds in the database whatever a lost hint left undone. No rule
depends on beat running on time.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("lictor")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["registry", "compliance", "deployer"])
app.conf.beat_schedule = {
    "relay the outbox": {"task": "registry.tasks.relay_outbox", "schedule": 2.0},
    "sign the ledger": {"task": "registry.tasks.sign_ledgers", "schedule": 10.0},
    "assess what is unassessed": {"task": "compliance.tasks.sweep_assessments", "schedule": 10.0},
    "measure what waits": {"task": "compliance.tasks.sweep_evidence_jobs", "schedule": 5.0},
    "judge by the policy": {"task": "compliance.policy_tasks.sweep_policies", "schedule": 10.0},
    "check standing": {"task": "compliance.tasks.sweep_standing", "schedule": 10.0},
    "keep duties in step": {"task": "compliance.tasks.sweep_duties", "schedule": 15.0},
    "read watched repositories": {
        "task": "registry.watch_tasks.sweep_watches",
        "schedule": 60.0,
    },
    "reconcile endpoints": {"task": "deployer.tasks.sweep_endpoints", "schedule": 2.0},
}
