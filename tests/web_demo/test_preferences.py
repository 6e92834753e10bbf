"""The page as its user wants it: by keyboard, in another language, dark, with what it costs."""

from typing import Any

from playwright.async_api import Page, expect

from tests.web_demo.demo import ANSWER_TIMEOUT_MS, Demo


async def test_everything_goes_by_keyboard(demo: Demo) -> None:
    keyboard, page = demo.page.keyboard, demo.page
    await expect(demo.question).to_be_focused()
    await keyboard.type("A question")
    await keyboard.press("Enter")
    await demo.answered(0)
    await page.locator("#log").focus()
    await keyboard.press("?")
    sheet = page.locator("#sheet")
    await expect(sheet).to_contain_text("Stop the answer")
    await keyboard.press("Escape")
    await expect(sheet).to_be_hidden()
    await keyboard.press("e")
    await expect(page.locator(".editor textarea")).to_be_focused()
    await keyboard.press("Escape")
    await page.locator("#log").focus()
    await keyboard.press("r")
    await expect(page.locator(".versions")).to_contain_text("2/2")
    await demo.answered(0)
    await keyboard.press("s")
    await expect(page.locator("#search")).to_be_focused()
    await page.locator("#log").focus()
    await keyboard.press("n")
    await expect(page.locator("article")).to_have_count(0)
    await expect(demo.question).to_be_focused()


async def test_the_language_and_the_theme_are_kept(demo: Demo) -> None:
    page = demo.page
    await demo.ask("Hello!")
    await demo.answered(0)
    await demo.prefer("language", "de")
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await expect(page.get_by_role("button", name="Neue Unterhaltung")).to_be_visible()
    await expect(page.get_by_role("button", name="Antwort kopieren")).to_be_visible()
    await expect(page.locator("#status")).to_have_text("Bereit")
    await expect(demo.turn(0).locator(".facts")).to_contain_text("Tokens")
    await demo.prefer("theme", "dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert await page.evaluate(paper) == "rgb(19, 19, 22)"
    await demo.again()
    await expect(page.get_by_role("button", name="Neue Unterhaltung")).to_be_visible()
    assert await page.evaluate(paper) == "rgb(19, 19, 22)"
    await demo.prefer("language", "en")
    await expect(page.get_by_role("button", name="New conversation")).to_be_visible()


async def test_usage_is_shown_and_keys_are_made_rotated_and_revoked(
    demo: Demo, wordy_server: Any
) -> None:
    page, sheet = demo.page, demo.page.locator("#sheet")
    await demo.ask("What does it cost?")
    await demo.answered(0)
    await demo.page.locator("#close-session").click()
    await page.locator("#receipt").get_by_role("button", name="New session").click()
    await demo.menu("Usage and keys")
    report = await page.request.get(f"{wordy_server.base_url}/v1/usage", headers=demo.authorization)
    turns = (await report.json())["data"][-1]["turns"]
    await expect(sheet.locator("tbody tr").last.locator("td").first).to_have_text(f"{turns:,}")
    await expect(sheet.locator(".chart rect")).not_to_have_count(0)
    async with page.expect_download() as download:
        await sheet.get_by_role("button", name="Download CSV").click()
    assert (await (await download.value).path()).read_text().startswith("day,turns,")

    await sheet.get_by_label("Name of the new key").fill("laptop")
    await sheet.get_by_role("button", name="New key").click()
    first = await sheet.locator("pre").inner_text()
    await page.keyboard.press("Escape")
    await demo.menu("Usage and keys")
    row = sheet.locator("li", has_text="laptop").first
    await row.get_by_role("button", name="Rotate").click()
    await expect(sheet.locator("pre")).not_to_have_text(first)
    assert (await sheet.locator("pre").inner_text()).startswith("kx_live_")
    await page.keyboard.press("Escape")
    await demo.menu("Usage and keys")
    await expect(row).to_be_visible()
    before = await sheet.locator(".own-keys li").count()
    await row.get_by_role("button", name="Revoke").click()
    await sheet.get_by_role("button", name="Revoke").click()
    await expect(sheet.locator(".own-keys li")).to_have_count(before - 1)


async def test_a_revoked_key_closes_no_session(page: Page, wordy_server: Any) -> None:
    """It was closed with the key; that trying again helps would not be true."""
    demo = Demo(page, wordy_server.base_url)
    await demo.open(wordy_server.create_key())
    await demo.ask("How long have we got?")
    await demo.answered(0)
    revoked = await page.request.delete(
        f"{wordy_server.base_url}/v1/keys/{demo.key.split('_')[2]}", headers=demo.authorization
    )
    assert revoked.ok
    await expect(page.locator("#status")).to_have_text("Refused")
    await page.locator("#close-session").click()
    await expect(page.locator("#notice")).to_contain_text("does not accept this key")


async def test_somebody_registers_and_signs_in(page: Page, wordy_server: Any) -> None:
    demo, sheet = Demo(page, wordy_server.base_url), page.locator("#sheet")
    await page.goto(wordy_server.base_url)
    await page.get_by_role("button", name="Sign in with an email instead").click()
    await expect(sheet.get_by_label("Email")).to_be_focused()
    await page.keyboard.type("ada@example.com")
    await sheet.get_by_label("Password").fill("a long and quiet sentence")
    await page.keyboard.press("Enter")  # It signs in, and does not register.
    await expect(sheet.get_by_role("alert")).to_have_text(
        "There is no account with this email and password."
    )
    await sheet.get_by_role("button", name="Register").click()
    await expect(sheet).to_be_hidden(timeout=ANSWER_TIMEOUT_MS)
    await expect(demo.question).to_be_visible()
    await demo.ask("Who am I?")
    await demo.answered(0)
    await demo.menu("Usage and keys")
    await expect(sheet.locator(".own-keys li")).to_have_count(0)

    change = sheet.locator("form", has_text="Change password")
    await change.get_by_label("New password").fill("another sentence, as quiet")
    for old, told in (
        ("not this one at all", "This is not the password of this account."),
        ("a long and quiet sentence", "From now on you sign in with the new password."),
    ):
        await change.get_by_label("Password", exact=True).fill(old)
        await change.get_by_role("button", name="Change password").click()
        await expect(change.get_by_role("status")).to_have_text(told, timeout=ANSWER_TIMEOUT_MS)
    for password, status in ((old, 401), ("another sentence, as quiet", 200)):
        answer = await page.request.post(
            f"{wordy_server.base_url}/v1/accounts/sign_in",
            data={"email": "ada@example.com", "password": password},
        )
        assert answer.status == status
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert "sentence" not in await page.evaluate(stored)
    refused = ("401", "400")  # The browser's own lines.
    assert [each for each in demo.problems if not any(map(each.__contains__, refused))] == []
