"""Starts the browser that pages are tested, measured and pictured in."""

from __future__ import annotations

import contextlib
import os

from playwright.async_api import Browser, Error, Playwright

from artdag_cli.testing import NO_BROWSER, browser


async def launched(playwright: Playwright) -> Browser:
    """Return a Chromium of this machine, in its sandbox where that works: never as root, not in every container.

    Raises:
        FileNotFoundError: there is none.
    """
    found = browser()
    if found is None:
        raise FileNotFoundError(NO_BROWSER)
    if os.geteuid() != 0:
        with contextlib.suppress(Error):
            return await playwright.chromium.launch(executable_path=found, chromium_sandbox=True)
    return await playwright.chromium.launch(executable_path=found, chromium_sandbox=False)
