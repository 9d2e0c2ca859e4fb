"""A reviewer's work in a real browser: lineage, findings, approval, and the playground's toggle."""

import os
import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.questions import held_out_dials
from demo.steps.judging import assess_all
from demo.steps.registering import register_demo_checkpoints, register_nemotron
from demo.steps.serving import deploy
from demo.steps.stage import Stage
from demo.use import BASE, FINETUNE, USE

pytestmark = [pytest.mark.flow, pytest.mark.browser, pytest.mark.slow]

# Pages come in well below a second; the machine may be busy with four runtimes besides.
expect.set_options(timeout=20_000)

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install Debian's package chromium")
        pytest.skip("no Chromium here: install Debian's package chromium")
    # The synchronous API runs an event loop in this thread; Django's guard must not stop the ORM.
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


def _log_in(browser: Browser, stage: Stage, person: str) -> tuple[Page, list[str]]:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{stage.stack.web_url}/login/")
    page.get_by_label("Name").fill(person)
    page.get_by_label("Password").fill(stage.cast.passwords[person])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    return page, complaints


def _go(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name).click()


def _approve(page: Page, model: str) -> None:
    _go(page, "Reviews")
    page.get_by_role("link", name=model).first.click()
    page.get_by_label("Comment").fill("Read the clause and the evidence.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Recorded in the ledger.")).to_be_visible()


def test_reviewers_approve_and_an_engineer_chats_in_the_browser(browser: Browser, stage: Stage):
    register_demo_checkpoints(stage)
    register_nemotron(stage)
    assess_all(stage)
    for name in (BASE, FINETUNE):
        body = {"checkpoint": stage.checkpoints[name]["id"], "use": USE}
        stage.reviews[name] = stage.erin.post("reviews/", body)

    lena, lena_complaints = _log_in(browser, stage, "lena")
    _go(lena, "Checkpoints")
    lena.get_by_role("link", name="lictor/nano-unguarded").click()
    lineage = lena.get_by_role("img", name="Lineage of lictor/nano-unguarded")
    expect(lineage).to_contain_text("lictor/nano-base")
    expect(lena.get_by_text("without a substantially similar Guardrail").first).to_be_visible()
    expect(lena.get_by_text("removed").first).to_be_visible()
    for name in (BASE, FINETUNE):
        _approve(lena, name)
    sam, sam_complaints = _log_in(browser, stage, "sam")
    for name in (BASE, FINETUNE):
        _approve(sam, name)
    expect(sam.locator(".badge", has_text=re.compile("^approved$")).first).to_be_visible()

    deploy(stage)
    question, answer = held_out_dials(1, seed=91)[0]
    olga, olga_complaints = _log_in(browser, stage, "olga")
    _go(olga, "Endpoints")
    olga.get_by_role("link", name="nano-base", exact=True).click()
    olga.get_by_label("Message").fill(question)
    olga.get_by_role("button", name="Send").click()
    expect(olga.locator(".turn .thought")).to_contain_text("=")
    expect(olga.locator(".turn .said").last).to_have_text(answer)
    expect(olga.locator(".turn .meta").last).to_contain_text("reasoning on (by request)")

    olga.get_by_label("off", exact=True).check()
    olga.get_by_role("button", name="Send").click()
    expect(olga.locator(".turn .meta").last).to_contain_text("reasoning off (by request)")
    expect(olga.locator(".turn .meta").last).to_contain_text("0 reasoning tokens")

    assert lena_complaints == sam_complaints == olga_complaints == []
