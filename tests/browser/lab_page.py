"""A notebook that is open in JupyterLab, as a person sees and touches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

START, RUN, REDRAW = 300, 900, 60
"""Seconds for the page and its kernel, for all cells, and for a picture to change once something was touched."""

# Cells far outside the window are not rendered, so it is as tall as a notebook; its width is that of a small laptop.
WINDOW = {"width": 1300, "height": 14000}

# What is timed is seen in a window of usual size: so tall a page takes longer to paint than a figure to draw.
LAPTOP = {"width": 1300, "height": 900}

KERNEL_IS_READY = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    return session?.isReady && session.session?.kernel?.connectionStatus === "connected"
        && session.session.kernel.status === "idle";
}"""

# It is not awaited: a notebook may take longer than one call may.
RUN_ALL = """() => {
    window.hasRun = false;
    window.jupyterapp.commands.execute("notebook:run-all-cells").finally(() => { window.hasRun = true; });
}"""

HAS_RUN = f"() => window.hasRun && ({KERNEL_IS_READY})()"

SHUT_DOWN = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"

ERRORS = """() => [...document.querySelectorAll(
        '.jp-Notebook [data-mime-type="application/vnd.jupyter.error"], ' +
        '.jp-Notebook [data-mime-type="application/vnd.jupyter.stderr"]')]
    .map(output => output.innerText.trim().split("\\n").pop())"""

PICTURE = """box => [...box.querySelectorAll(".widget-output")]
    .map(output => output.innerText + [...output.querySelectorAll("img")].map(image => image.src)).join()"""

PICTURE_IS = f"([box, picture, same]) => (({PICTURE})(box) === picture) === same"

WATCH_HEIGHT = """box => {
    box.heights = [];
    const look = () => {
        box.heights.push(box.getBoundingClientRect().height);
        requestAnimationFrame(look);
    };
    look();
}"""

# Timed in the page, from the key press (or the click on Draw) until the new picture has been painted.
TIME_REDRAW = """box => {
    const output = box.querySelector(".widget-output");
    const before = output.querySelector("img")?.src;  // a picture may be put in its place twice
    box.redraw = new Promise(resolve => {
        let start = 0;
        const begin = event => {
            if (event.type === "keydown" || event.target.innerText === "Draw") start = performance.now();
        };
        box.addEventListener("keydown", begin, {capture: true, once: true});
        box.addEventListener("click", begin, {capture: true, once: true});
        new MutationObserver((_, observer) => {
            const image = output.querySelector("img");
            const failed = !image && output.innerText;  // an error is in its place
            if (!start || !(image || failed) || image?.src === before && !failed) return;
            observer.disconnect();
            const painted = () => resolve((performance.now() - start) / 1000);
            Promise.resolve(image?.decode()).catch(() => {})
                .then(() => requestAnimationFrame(() => requestAnimationFrame(painted)));
        }).observe(output, {childList: true, subtree: true, attributes: true});
    });
}"""

CLIPPED = """box => {
    const edge = box.closest(".jp-Cell").getBoundingClientRect().right;
    const narrow = [...box.querySelectorAll(".widget-label, .widget-readout, button, select")]
        .filter(part => part.scrollWidth > part.clientWidth + 1);
    const outside = [...box.querySelectorAll("label, button, img, code, .widget-readout")]
        .filter(part => part.getBoundingClientRect().right > edge);
    return [...narrow, ...outside].map(part => part.innerText || part.tagName);
}"""


class LabPage:
    """`boxes` are what `explore` shows, `first` their pictures before anything was touched, `console` its errors.

    `redraws` are the seconds from each key press on a slider until its new picture is there.
    """

    def __init__(self, browser, url: str) -> None:
        context = browser.new_context(viewport=WINDOW, permissions=["clipboard-read", "clipboard-write"])
        self.page = context.new_page()
        self.console: list[str] = []
        self.redraws: list[float] = []
        self.page.on("console", lambda message: message.type == "error" and self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.goto(f"{url}?reset", timeout=START * 1000)
        self.page.wait_for_function(KERNEL_IS_READY, timeout=START * 1000)
        self.page.evaluate(RUN_ALL)
        self.page.wait_for_function(HAS_RUN, timeout=RUN * 1000)
        self.boxes = self.page.query_selector_all(".oddlab-explore")
        for box in self.boxes:
            box.wait_for_selector(".widget-output img", timeout=REDRAW * 1000)
        self.first = [box.evaluate(PICTURE) for box in self.boxes]

    def errors(self) -> list[str]:
        """The last line of each error in the notebook, and what the browser's console says."""
        ours = [text for text in self.console if "favicon" not in text and "404" not in text]
        return [*self.page.evaluate(ERRORS), *ours]

    def wait_for_picture(self, box, picture: str, same: bool) -> bool:
        """Whether the picture in `box` comes to be the same as `picture`, or another one, before time runs out."""
        from playwright.sync_api import TimeoutError

        try:
            self.page.wait_for_function(PICTURE_IS, arg=[box, picture, same], timeout=REDRAW * 1000)
        except TimeoutError:
            return False
        return True

    def look_at(self, box) -> None:
        """Make the window as large as that of a laptop, with `box` in it."""
        self.page.set_viewport_size(LAPTOP)
        box.evaluate("box => box.scrollIntoView({block: 'center'})")

    def change(self, box, act: Callable[[], object]) -> bool:
        """Do `act`, and press Draw if there is such a button; return whether the picture in `box` changed."""
        before = box.evaluate(PICTURE)
        act()
        if button := box.query_selector("button:text-is('Draw')"):
            button.click()
        return self.wait_for_picture(box, before, same=False)

    def reset(self, box, first: str) -> bool:
        """Press Reset; return whether the picture in `box` becomes `first`."""
        box.query_selector("button:text-is('Reset')").click()
        return self.wait_for_picture(box, first, same=True)

    def choose_another(self, box, select) -> bool:
        """Choose the next option of a dropdown; return whether the picture changed."""
        now, n = select.evaluate("select => [select.selectedIndex, select.options.length]")
        return self.change(box, lambda: select.select_option(index=(now + 1) % n))

    def move(self, box, handle) -> bool:
        """Move a slider one step by key; return whether its picture changed."""
        before = box.evaluate(PICTURE)
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        button = box.query_selector("button:text-is('Draw')")
        box.evaluate(TIME_REDRAW)
        handle.press("ArrowLeft" if at_end else "ArrowRight")
        if button:
            button.click()
        changed = self.wait_for_picture(box, before, same=False)
        if changed:
            self.redraws.append(box.evaluate("box => box.redraw"))
        return changed


@contextmanager
def opened(browser, url: str) -> Iterator[LabPage]:
    """The notebook at `url`, open and run; its kernel is shut down afterwards."""
    page = LabPage(browser, url)
    try:
        yield page
    finally:
        page.page.evaluate(SHUT_DOWN)
        page.page.context.close()


def name_of(handle) -> str:
    """The label of the slider that a handle belongs to."""
    return handle.evaluate("handle => handle.closest('.widget-slider').querySelector('.widget-label').innerText")
