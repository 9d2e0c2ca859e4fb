"""Assess, pin, measure, review: what may be used, who says so, and on what evidence."""

from typing import Any

from demo.client import ApiError, wait_for
from demo.show import fact, held, must, step, table
from demo.steps.stage import Stage
from demo.use import BASE, FINETUNE, LORA, NEMOTRON, PIN, PIN_REASON, UNGUARDED, USE


def _assess(stage: Stage, name: str) -> dict[str, Any]:
    body = {"checkpoint": stage.checkpoints[name]["id"], "use": USE}
    assessment: dict[str, Any] = stage.erin.post("assessments/", body)
    stage.assessments[name] = assessment
    return assessment


def _open_findings(assessment: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        finding
        for finding in assessment["report"]["findings"]
        if finding["status"] in {"unmet", "violated", "needs_review"}
    ]


def _show_findings(name: str, assessment: dict[str, Any], limit: int = 4) -> None:
    fact(f"[bold]{name}[/]: {assessment['decision']}")
    for finding in _open_findings(assessment)[:limit]:
        where = " ".join(str(finding.get(key) or "") for key in ("licence", "section")).strip()
        fact(f"  · {finding['rule']} [{finding['status']}] {where}")
        if finding.get("quote"):
            fact(f"    “{finding['quote'][:160]}”")
        fact(f"    because {finding['because']}")
        if finding.get("remedy"):
            fact(f"    remedy: {finding['remedy']}")


def assess_all(stage: Stage) -> None:
    step(4, "Assess each for a commercial hosted service")
    before = _assess(stage, BASE)
    _show_findings(BASE, before, limit=2)
    must(
        before["decision"] == "needs_review", "an unversioned licence link is not taken for a text"
    )
    for name, checkpoint in stage.checkpoints.items():
        body = {"checkpoint": checkpoint["id"], "licence": PIN, "reason": PIN_REASON}
        if name == NEMOTRON:
            body["reason"] = body["reason"].replace(
                "(in the demo organisation, as a worked example)", ""
            )
        stage.lena.post("licence-pins/", body)
    held(f"Lena (legal) pinned {PIN} for {len(stage.checkpoints)} checkpoints, with a reason")
    _measure(stage)
    _compare(stage)
    for name in (BASE, NEMOTRON, FINETUNE, LORA, UNGUARDED):
        _show_findings(name, _assess(stage, name))
    must(stage.assessments[BASE]["decision"].startswith("allow"), f"{BASE} may be used")
    must(stage.assessments[FINETUNE]["decision"].startswith("allow"), f"{FINETUNE} may be used")
    must(stage.assessments[UNGUARDED]["decision"] == "deny", f"{UNGUARDED} may not")


def _measure(stage: Stage) -> None:
    """Wait for the guardrail measurements of the derivatives and show the figures."""
    fact("measuring whether safety mechanisms survived (both checkpoints run; held-out prompts):")
    rows = []
    for name in (FINETUNE, LORA, UNGUARDED):
        body = {"checkpoint": stage.checkpoints[name]["id"]}
        job = stage.sam.post("evidence/measure/", body)
        job = wait_for(
            lambda path=f"evidence/jobs/{job['id']}/": stage.sam.get(path),  # type: ignore[misc]
            lambda seen: seen["state"] in {"done", "failed"},
            seconds=180,
            what=f"the measurement of {name}",
        )
        must(job["state"] == "done", f"measured {name}: {job['done']} of {job['total']} prompts")
        evidence = stage.sam.get(f"evidence/{job['evidence']}/")
        rows.append([name, evidence["result"], evidence["summary"]])
    table(["checkpoint", "verdict", "figures"], rows)


def _compare(stage: Stage) -> None:
    """Wait for the comparisons of the derivatives' weights and show what was done to them."""
    fact("comparing the weights with the base's; they accuse, and never clear:")
    rows = []
    for name in (FINETUNE, LORA, UNGUARDED):
        body = {"checkpoint": stage.checkpoints[name]["id"]}
        job = stage.sam.post("evidence/compare/", body)
        job = wait_for(
            lambda path=f"evidence/jobs/{job['id']}/": stage.sam.get(path),  # type: ignore[misc]
            lambda seen: seen["state"] in {"done", "failed"},
            seconds=120,
            what=f"the comparison of {name}",
        )
        must(job["state"] == "done", f"compared {name}: {job['message'][:60]}")
        evidence = stage.sam.get(f"evidence/{job['evidence']}/")
        rows.append([name, evidence["result"], evidence["record"]["body"]["report"]["rank"] or ""])
    table(["checkpoint", "what was done", "rank"], rows)
    done = [row[1:] for row in rows]
    wanted = [["dense_finetune", ""], ["adapter_merge", 8], ["dense_finetune", ""]]
    must(done == wanted, "fine-tune, rank 8 adapter and fine-tune are told apart")


def review_and_approve(stage: Stage) -> None:
    step(5, "Review: four eyes, two stages")
    for name in (BASE, FINETUNE):
        body = {"checkpoint": stage.checkpoints[name]["id"], "use": USE}
        stage.reviews[name] = stage.erin.post("reviews/", body)
    try:
        _decide(stage, "erin", BASE, "legal")
        must(False, "the submitter approved her own checkpoint")
    except ApiError as error:
        must(error.status == 403, f"Erin (submitter) is refused: {error.body.get('detail')}")
    for name in (BASE, FINETUNE):
        _decide(stage, "lena", name, "legal")
        review = _decide(stage, "sam", name, "security")
        must(review["state"] == "approved", f"{name}: legal by Lena, security by Sam")


def _decide(stage: Stage, person: str, name: str, stage_name: str) -> dict[str, Any]:
    api = getattr(stage.cast, person)
    review = api.get(f"reviews/{stage.reviews[name]['id']}/")
    body = {
        "stage": stage_name,
        "verdict": "approve",
        "seen_digest": review["seen_digest"],
        "comment": "Read the findings and the evidence.",
        "conditions": [],
    }
    decided: dict[str, Any] = api.post(f"reviews/{review['id']}/decide/", body)
    return decided


def refuse_unguarded(stage: Stage) -> None:
    step(8, "The derivative whose safety mechanism was removed is refused")
    finding = next(
        row for row in _open_findings(stage.assessments[UNGUARDED]) if "guardrail" in row["rule"]
    )
    fact(f"{finding['licence']} §{finding['section']}: “{finding['quote'][:230]}…”")
    for item in finding["evidence"]:
        fact(f"evidence {item['reference'][:19]}…: {item['summary']}")
    body = {"checkpoint": stage.checkpoints[UNGUARDED]["id"], "use": USE}
    stage.reviews[UNGUARDED] = stage.erin.post("reviews/", body)
    try:
        _decide(stage, "lena", UNGUARDED, "legal")
        must(False, "a denied checkpoint was approved")
    except ApiError as error:
        must(error.status == 409, f"approval refused: {error.body.get('detail')}")
    deploy = {
        "name": "unguarded",
        "checkpoint": stage.checkpoints[UNGUARDED]["id"],
        "target": "this-host",
        "use": USE,
    }
    try:
        stage.olga.post("endpoints/", deploy)
        must(False, "a denied checkpoint was deployed")
    except ApiError as error:
        must(error.status in {409, 451}, f"deployment refused: {error.body.get('detail')}")
