"""A model with pictures that is not Kosmos-2, on vLLM here and elsewhere, through the server."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from PIL import Image, ImageDraw

from kosmosx_stream.engines.picture_tokens import square
from tests.kosmosx_stream.clients import MODEL, client, message, picture_url
from tests.kosmosx_stream.formats.chat_template import tiny_vision_model as tiny
from tests.server_process import ServerProcess, started
from tests.vllm_server import API_KEY, VllmServer, serving

pytestmark = [
    pytest.mark.slow,  # It starts vLLM twice.
    pytest.mark.filterwarnings("default"),  # transformers' own
]
GREEDY = {"model": MODEL, "temperature": 0, "max_output_tokens": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tiny.write(tmp_path_factory.mktemp("idefics"))


@pytest.fixture(scope="module", params=["vllm", "remote"])
def seeing(
    request: pytest.FixtureRequest, folder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    place = tmp_path_factory.mktemp("seeing")
    elsewhere = VllmServer(place, serving(folder)) if request.param == "remote" else None
    try:
        chosen = {}
        if elsewhere:
            elsewhere.wait_until_well()
            chosen = {"KOSMOSX_ENGINE_URLS": elsewhere.url, "KOSMOSX_ENGINE_API_KEY": API_KEY}
        yield from started(place, KOSMOSX_ENGINE=request.param, KOSMOSX_MODEL=str(folder), **chosen)
    finally:
        if elsewhere:
            elsewhere.kill()


@pytest.fixture(scope="module")
def processor(folder):
    from transformers import AutoProcessor  # noqa: PLC0415

    return AutoProcessor.from_pretrained(folder)


def wide_url() -> str:
    picture = Image.new("RGB", (400, 100), "yellow")
    ImageDraw.Draw(picture).rectangle((30, 10, 160, 90), fill="black")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def prompt_length(processor: Any, words: str, *urls: str) -> int:
    """Of a first question in tokens, as the model's own template and processor make it."""
    content = [*[{"type": "image"}] * len(urls), {"type": "text", "text": words}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    files = [io.BytesIO(base64.b64decode(url.partition(",")[2])) for url in urls]
    pictures = [square(Image.open(file).convert("RGB")) for file in files]
    return len(processor(text=text, images=pictures, input_data_format=None)["input_ids"][0])


def test_it_says_that_it_sees(seeing):
    capabilities = getattr(client(seeing).models.retrieve(MODEL), "kosmosx:capabilities")
    assert capabilities["input_modalities"] == ["text", "image"]
    assert capabilities["grounding"] is False


@pytest.mark.parametrize("urls", [(picture_url(),), (wide_url(),), (picture_url(), wide_url())])
def test_usage_counts_what_the_processor_makes(seeing, processor, urls):
    response = client(seeing).responses.create(**GREEDY, input=[message("What is it?", *urls)])
    assert response.usage.input_tokens == prompt_length(processor, "What is it?", *urls)
    assert getattr(response, "kosmosx:usage")["images"] == len(urls)


def test_answers_depend_on_the_picture(seeing):
    def answer(url: str) -> str:
        asked = [message("What is it?", url)]
        return client(seeing).responses.create(**GREEDY, input=asked).output_text

    first, other, again = (answer(url) for url in (picture_url(), wide_url(), picture_url()))
    assert first == again != other


def test_the_next_turn_finds_the_picture_in_the_cache(seeing):
    official = client(seeing)
    first = official.responses.create(**GREEDY, input=[message("What is it?", picture_url())])
    second = official.responses.create(
        **GREEDY, input=[message("And that?", wide_url())], previous_response_id=first.id
    )
    before = first.usage.total_tokens
    assert second.usage.input_tokens > before
    assert second.usage.input_tokens_details.cached_tokens >= before // 32 * 32 - 32 > 0
    third = official.responses.create(**GREEDY, input="Why?", previous_response_id=second.id)
    assert third.usage.input_tokens > second.usage.total_tokens


def test_no_boxes_can_be_asked_for(seeing):
    with pytest.raises(openai.BadRequestError) as refused:
        client(seeing).responses.create(
            **GREEDY,
            input=[message("What is it?", picture_url())],
            extra_body={"kosmosx:grounding": True},
        )
    assert refused.value.param == "kosmosx:grounding"
