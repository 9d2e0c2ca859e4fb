"""A reviewer's way through the policy pages in a real browser, without a line in its console."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from playwright.sync_api import Browser, Page, expect, sync_playwright

from compliance.models import PolicyVersion
from compliance.services.assess import assess
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("keys", "blobs")]

EXAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "policy.yaml").read_text()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install Debian's package chromium")
        pytest.skip("no Chromium here: install Debian's package chromium")
    # The synchronous API runs an event loop in this thread; Django's guard must not stop the ORM.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


def _enter(browser: Browser, url: str, client: Any, person: Any) -> tuple[Page, list[str]]:
    client.force_login(person)
    name = configured.SESSION_COOKIE_NAME
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])
    page, complaints = context.new_page(), []
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


def _picture(page: Page, name: str) -> None:
    if folder := os.environ.get("LICTOR_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def acme(live_server: Any) -> Cast:
    cast = make_cast("acme")
    base = make_checkpoint(cast, "nvidia/base", license="agpl-3.0")
    for name, parent, licence in (
        ("acme/support-chat", base, "agpl-3.0"),
        ("acme/translator", None, "apache-2.0"),
        ("elsewhere/tiny", None, "mit"),
    ):
        assess(make_checkpoint(cast, name, parent=parent, license=licence), USE, actor="test")
    return cast


def test_a_policy_is_written_tried_and_activated_by_another(
    browser: Browser, live_server: Any, client: Any, acme: Cast
) -> None:
    page, complaints = _enter(browser, live_server.url, client, acme.legal)
    page.goto(f"{live_server.url}/policies/")
    page.get_by_label("Rules and their tests").fill(EXAMPLE.replace("risk.level", "risk.levle", 1))
    page.get_by_role("button", name="Check and run").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown field 'levle'")
    _picture(page, "policies-refused")
    complaints.clear()  # the browser notes the 400 itself

    page.get_by_label("Rules and their tests").fill(EXAMPLE)
    page.get_by_role("button", name="Check and run").click()
    expect(page.get_by_text("7 rules, 13 tests")).to_be_visible()
    _picture(page, "policies-checked")
    page.get_by_label("What the version changes").fill("Acme's first rules.")
    page.get_by_role("button", name="Save as the next version").click()
    expect(page.get_by_role("heading", name="Acme model policy, version 1")).to_be_visible()
    expect(page.get_by_text("You wrote this version")).to_be_visible()
    _picture(page, "policy-draft")

    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", name="Each change")).to_be_visible()
    expect(page.get_by_text("known_publishers_only").first).to_be_visible()
    _picture(page, "policy-dry-run")
    assert complaints == []

    page, complaints = _enter(browser, live_server.url, client, acme.security)
    page.goto(f"{live_server.url}/policies/{PolicyVersion.objects.get().pk}/")
    page.get_by_role("button", name="Activate this version").click()
    expect(page.get_by_text("Version 1 is active")).to_be_visible()
    _picture(page, "policy-active")
    page.get_by_role("navigation").get_by_role("link", name="Policies").click()
    expect(page.get_by_text("activated by acme-sam")).to_be_visible()
    _picture(page, "policies-active")
    assert complaints == []
