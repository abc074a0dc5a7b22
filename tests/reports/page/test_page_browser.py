"""The page in a real browser without a network: pictures load, tables sort, nothing sticks out at 320 px."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import pages
from ftu.reports.page import page, pictures

pytestmark = pytest.mark.slow  # a browser takes seconds to start

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), "")
# What the page is asked once it is there; the answer is written where it can be read from the document.
ASK = """<script>
addEventListener("load", () => {
  const ids = () => [...document.querySelectorAll("#images tbody tr")].map((row) => row.cells[0].textContent);
  const shown = (name) => getComputedStyle(document.querySelector(".layers ." + name)).visibility;
  const heads = [...document.querySelectorAll("#images th button")];
  const press = (name) => heads.find((head) => head.textContent === name).click();
  const told = { first: ids(), broken: [...document.images].filter((image) => !image.naturalWidth).length };
  press("Dice"); told.second = ids(); press("Dice"); told.third = ids(); press("id"); told.by_id = ids();
  told.before = [shown("truth"), shown("errors")];
  document.querySelector("#truth").click(); document.querySelector("#errors").click();
  told.after = [shown("truth"), shown("errors")];
  document.body.style.width = "320px"; document.body.style.boxSizing = "border-box";
  told.wide = document.body.scrollWidth;
  document.title = JSON.stringify(told);
});
</script>"""


@pytest.mark.skipif(not BROWSER, reason=f"no browser here: none of {', '.join(NAMES)}")
def test_the_page_works_without_a_network(tmp_path: Path) -> None:
    content = pages.content()
    (tmp_path / "page").mkdir()
    for each in content.layers:
        for name in ("image.jpg", "probability.png", "errors.png", "truth.png", "prediction.png"):
            layer = np.full((each.height, each.width, 3), 99, np.uint8)
            pictures._write(tmp_path / f"page/{each.number:02d}-{name}", layer)
    text = page.render(content).replace("</body>", f"{ASK}</body>").replace(' loading="lazy"', "")
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--dump-dom",
        (tmp_path / "index.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    told = json.loads(unescape(title[1]))
    assert told["broken"] == 0
    assert set(told["first"]) == set(pages.IDS)
    assert (told["second"], told["third"]) == (told["first"][::-1], told["first"])
    assert told["by_id"] != told["first"]
    assert (told["before"], told["after"]) == (["visible", "hidden"], ["hidden", "visible"])
    assert told["wide"] <= 320
