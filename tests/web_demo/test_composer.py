"""The next question's pictures: picked, pasted, dropped, photographed, removed, made smaller."""

import base64
import io
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import expect

from tests.web_demo.demo import Demo


def picture(kind: str, size: tuple[int, int]) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize(size).save(stream, kind)
    name = f"{size[0]}.{kind.lower()}"
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": stream.getvalue()}


async def attached(demo: Demo, count: int) -> None:
    await expect(demo.page.locator("#attached li")).to_have_count(count)


async def sizes_sent(demo: Demo) -> list[tuple[int, int]]:
    """Ask, and tell the sizes of the pictures that went along."""
    await demo.ask("What is this?")
    await demo.answered(0)
    sizes = []
    for part in demo.questions()[0]["input"][0]["content"][1:]:
        kind, _, data = part["image_url"].partition(";base64,")
        assert kind in {"data:image/png", "data:image/jpeg"}
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    return sizes


async def test_several_are_picked_and_huge_ones_made_smaller(demo: Demo) -> None:
    field = demo.page.locator("#file")
    await field.set_input_files(files=[{**picture("PNG", (8, 8)), "buffer": b"no picture"}])
    await expect(demo.page.locator("#notice")).to_contain_text("can't be read as a picture")
    files = [picture("JPEG", (3000, 2000)), picture("PNG", (48, 32)), picture("PNG", (64, 64))]
    await field.set_input_files(files=files)
    await attached(demo, 3)
    await demo.page.get_by_role("button", name="Remove 48.png").click()
    await attached(demo, 2)
    assert await sizes_sent(demo) == [(1024, 683), (64, 64)]
    await attached(demo, 0)
    await expect(demo.turn(0).locator(".thumb")).to_have_count(2)


async def test_who_is_quick_takes_the_picture_along(demo: Demo) -> None:
    await demo.question.fill("What is it?")
    await demo.page.evaluate("""() => {
        document.querySelector("[data-sample]").click();
        document.querySelector("#composer").requestSubmit();
    }""")
    await demo.answered(0)
    assert len(demo.questions()[0]["input"][0]["content"]) == 2


@pytest.mark.parametrize(
    "event",
    [
        "new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })",
        "new DragEvent('drop', { dataTransfer: transfer, bubbles: true })",
    ],
    ids=["paste", "drop"],
)
async def test_paste_and_drop(demo: Demo, event: str) -> None:
    data = base64.b64encode(picture("PNG", (64, 48))["buffer"]).decode()
    give = f"""(data) => {{
        const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
        const transfer = new DataTransfer();
        for (const name of ["one.png", "two.png"])
            transfer.items.add(new File([bytes], name, {{ type: "image/png" }}));
        document.querySelector("main").dispatchEvent({event});
    }}"""
    await demo.page.evaluate(give, data)
    await attached(demo, 2)
    assert await sizes_sent(demo) == [(64, 48)] * 2


async def test_a_photo_is_taken(demo: Demo) -> None:
    await demo.page.locator("#composer").get_by_role("button", name="Use the camera").click()
    video = demo.page.locator("#sheet video")
    await expect(video).not_to_have_js_property("videoWidth", 0)
    await demo.page.get_by_role("button", name="Take the picture").click()
    await expect(demo.page.locator("#sheet")).to_be_hidden()
    await attached(demo, 1)
    ((width, height),) = await sizes_sent(demo)
    assert width > height > 0
