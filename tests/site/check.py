"""Look at the built site in a headless Chromium: `python -m tests.site.check [--site FOLDER]`.

Each page is opened at 390 pixels in a light scheme and at 1400 in a dark one. It fails where a page
scrolls sideways, where anything is asked of another host, where a picture does not load, where a
link has no words, and where text has too little contrast to its background. `--screenshots FOLDER`
keeps pictures of the pages at both widths in both schemes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.support.browser import Tab, chromium, open_tab
from tests.support.documentation import ROOT

SITE = ROOT / "docs" / "_build" / "html"
WIDTHS = {"narrow": 390, "wide": 1400}
# Width and scheme are unlike: two ways show all that either can spoil.
TWO_WAYS = (("narrow", "light"), ("wide", "dark"))
ALL_WAYS = (*TWO_WAYS, ("narrow", "dark"), ("wide", "light"))
# What the reader would stumble over, as sentences.
FINDINGS = r"""
(() => {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("article *")]
      .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1
                     && !e.closest("pre, .table-wrapper, .sidebar-drawer, .toc-drawer"))
      .map((e) => e.tagName.toLowerCase() + " " + e.textContent.trim().slice(0, 40));
    found.push(`scrolls sideways: ${root.scrollWidth} of ${root.clientWidth}: ${wide.slice(-1)}`);
  }
  for (const entry of performance.getEntriesByType("resource"))
    if (/^https?:/.test(entry.name)) found.push(`asks another host for ${entry.name}`);
  for (const link of document.querySelectorAll("article a[href]:not(.headerlink)"))
    if (!link.textContent.trim() && !link.querySelector("img, svg"))
      found.push(`a link without a word to ${link.href}`);
  for (const image of document.images)
    if (image.complete && image.naturalWidth === 0) found.push(`no picture at ${image.src}`);
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0.9) return color;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()
        || element.closest("svg, script, style, .headerlink, button")) continue;
    const [one, other] = [getComputedStyle(element).color, background(element)].map(luminance);
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 3) {
      found.push(`hard to read (${contrast.toFixed(1)}): ${node.data.trim().slice(0, 40)}`);
      break;
    }
  }
  return found;
})()
"""


async def show(tab: Tab, page: Path, width: int, scheme: str) -> None:
    """Have the page loaded in a window of this width, in this scheme."""
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )
    await tab.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    await tab.call("Page.navigate", url=page.as_uri())
    await tab.until(f"document.readyState === 'complete' && location.pathname === '{page}'")


async def photograph(tab: Tab, tallest: int) -> bytes:
    """Return what the page looks like, from its top, as PNG."""
    height = await tab.evaluate("document.documentElement.scrollHeight")
    width = await tab.evaluate("innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, tallest), "scale": 1}
    shot = await tab.call(
        "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
    )
    return base64.b64decode(shot["data"])


async def findings(
    site: Path, pages: Sequence[Path], screenshots: Path | None, tallest: int
) -> AsyncIterator[str]:
    """Yield what is wrong, page by page."""
    with tempfile.TemporaryDirectory() as profile:
        async with open_tab(Path(profile), "about:blank") as tab:
            for name, scheme in ALL_WAYS if screenshots else TWO_WAYS:
                for page in pages:
                    await show(tab, page, WIDTHS[name], scheme)
                    shown = page.relative_to(site).as_posix()
                    for finding in await tab.evaluate(FINDINGS):
                        yield f"{shown}, {name}, {scheme}: {finding}"
                    if screenshots:
                        stem = shown.removesuffix(".html").replace("/", "-")
                        shot = await photograph(tab, tallest)
                        (screenshots / f"{stem}-{name}-{scheme}.png").write_bytes(shot)


async def main() -> int:
    """Check the pages, and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=SITE)
    parser.add_argument("--screenshots", type=Path)
    parser.add_argument("--tallest", type=int, default=3000, help="pixels of a screenshot")
    parser.add_argument("pages", nargs="*", help="pages by their path in the site; all if none")
    options = parser.parse_args()
    site = options.site.resolve()
    named = [site / f"{name.removesuffix('.html')}.html" for name in options.pages]
    pages = named or sorted(page for page in site.rglob("*.html") if "_static" not in page.parts)
    if not pages:
        print(f"no site at {site}: run sphinx-build first", file=sys.stderr)
        return 1
    if chromium() is None:
        print("chromium is not installed: the site is not looked at", file=sys.stderr)
        return 0
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    wrong = 0
    async for finding in findings(site, pages, options.screenshots, options.tallest):
        print(finding)
        wrong += 1
    print(f"{len(pages)} pages looked at, {wrong} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
