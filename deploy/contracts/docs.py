"""Opens /docs in a browser, as a person would, and makes a deposit with "Try it out".

usage: docs.py URL TOKEN
"""

import shutil
import sys

from playwright.sync_api import expect, sync_playwright

# How long the page may take for one step, in milliseconds.
PATIENCE = 30_000


def main(url, token):
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("the pages of the document are looked at with chromium: install it")
    with sync_playwright() as playwright:
        # Without the sandbox, which does not run as root in a container; the page is our own.
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        elsewhere, errors = [], []
        page.on("request", lambda request: elsewhere.append(request.url)
                if not request.url.startswith((url, "data:")) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(f"{url}/docs")
        page.locator(".scheme-container .authorize").click()
        dialog = page.locator(".dialog-ux")
        dialog.locator("input[type=text]").fill(token)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").first.click()
        deposit = page.locator("#operations-wallets-deposit")
        deposit.locator(".opblock-summary-control").click()
        deposit.get_by_role("button", name="Try it out").click()
        deposit.locator("tr[data-param-name=id] input").fill("docs-1")
        # What is optional comes with an example, which need not hold here.
        for name in ("Idempotency-Key", "traceparent", "Prefer", "If-Match"):
            deposit.locator(f'tr[data-param-name="{name}"] input[type=text]').fill("")
        deposit.locator("textarea.body-param__text").fill('{"amount": "12.50"}')
        deposit.get_by_role("button", name="Execute").click()
        answer = deposit.locator(".live-responses-table .response").first
        expect(answer.locator(".response-col_status")).to_contain_text("201", timeout=PATIENCE)
        expect(answer.locator(".response-col_description")).to_contain_text('"balance": "12.50"')
        browser.close()
    if elsewhere or errors:
        sys.exit(f"the page asked elsewhere: {elsewhere}; or it had errors: {errors}")
    print(f"{url}/docs: a deposit was made with \"Try it out\"")


main(sys.argv[1].rstrip("/"), sys.argv[2])
