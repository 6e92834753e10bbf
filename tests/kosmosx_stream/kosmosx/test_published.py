"""A folder laid out as the published Kosmos-2 loads unchanged, and says what transformers says."""

import io
import json
from pathlib import Path
from typing import Any

import llguidance.hf
import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from PIL import Image as Pillow
from transformers import AutoProcessor, AutoTokenizer, Kosmos2ForConditionalGeneration

from conversation.entries import Sampling
from conversation.items import Image, Message, Text
from kosmosx_stream.engines.checkpoint import Checkpoint
from kosmosx_stream.engines.port import Generate, ImageInput
from kosmosx_stream.engines.transformers_local import TransformersEngine
from kosmosx_stream.formats import grammar
from kosmosx_stream.kosmosx.plugin import register
from kosmosx_stream.kosmosx.prompt import Kosmos2Format
from kosmosx_stream.settings import Settings
from tests.kosmosx_stream.engines.conformance import all_deltas
from tests.kosmosx_stream.kosmosx import published_checkpoint as published
from tests.kosmosx_stream.kosmosx.pair import Pair
from tests.kosmosx_stream.kosmosx.reference import Prompt

pytestmark = pytest.mark.filterwarnings("default")  # torch's and vLLM's own deprecations
QUESTIONS = ("What is in the picture?", "Where is the red ball?", "Describe this image in detail:")
TOKENS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind = published.Published(head_in_file=True)
    return published.write(kind, tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint.read(folder)


@pytest.fixture(scope="module")
def chat(folder: Path) -> Kosmos2Format:
    return Kosmos2Format.from_checkpoint(folder)


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return AutoProcessor.from_pretrained(folder)


def picture(seed: int) -> Pillow.Image:
    """Not square: the published preprocessor squeezes, where CLIP's own would crop."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Pillow.fromarray(cells).resize((80, 60), Pillow.Resampling.NEAREST)


def png(image: Pillow.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def asked(chat: Kosmos2Format, question: str, *, image: bool = True) -> tuple[int, ...]:
    content = (Image("0" * 64), Text(question)) if image else (Text(question),)
    message = Message(id="m", role="user", content=content)
    return chat.opening(None) + chat.segment([message], grounding=image)


def test_ids_are_in_the_published_order(folder: Path, checkpoint: Checkpoint) -> None:
    """As the tokenizer's class of transformers loads the folder, which is vLLM's way too."""
    ids = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids
    assert [ids(each) for each in published.FIRST] == [0, 1, 2, 3]
    tags = [ids(each) for each in (*published.TAGS, *published.CELLS)]
    mask = ids("<mask>")
    assert tags == list(range(mask + 1, checkpoint.vocab_size))
    assert checkpoint.placeholder == (ids("<image>"), ids("</image>"))
    assert (checkpoint.begin, checkpoint.ends, checkpoint.image_tokens) == (0, (2,), 64)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_first_prompt_is_the_processor_s(
    chat: Kosmos2Format, checkpoint: Checkpoint, processor: Any, question: str
) -> None:
    text = f"<grounding> Question: {question} Answer:"
    theirs = processor(text=text, images=picture(1))
    ids, seen = theirs["input_ids"], theirs["image_embeds_position_mask"]
    places = [each for each, is_place in zip(ids, seen, strict=True) if not is_place]
    assert places == list(asked(chat, question))
    assert len(ids) == checkpoint.count(asked(chat, question), 1)


TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*published.FIRST, "<mask>", *published.TAGS, *published.CELLS[:3]]),
        st.text(st.characters(exclude_categories=())),
    ),
    max_size=5,
).map("".join)


@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_no_text_becomes_a_control_token(chat: Kosmos2Format, text: str) -> None:
    assert chat.controls.isdisjoint(chat.encode(text))


@pytest.fixture(scope="module")
def generated(folder: Path, processor: Any) -> list[list[int]]:
    """The answers of transformers' `generate` to the processor's inputs, greedy."""
    model = Kosmos2ForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    answers = []
    for seed, question in enumerate(QUESTIONS):
        text = f"<grounding> Question: {question} Answer:"
        inputs = processor(text=text, images=picture(seed), return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(
                **inputs, do_sample=False, max_new_tokens=TOKENS, no_repeat_ngram_size=0
            )
        answers.append(ids[0, inputs["input_ids"].shape[1] :].tolist())
    assert len({tuple(answer) for answer in answers}) == len(QUESTIONS)
    return answers


async def test_the_engine_answers_as_generate_does(
    folder: Path, chat: Kosmos2Format, generated: list[list[int]]
) -> None:
    async with TransformersEngine.running(Settings(model=folder)) as engine:
        for seed, question in enumerate(QUESTIONS):
            request = Generate(
                request_id=question,
                prompt_ids=asked(chat, question),
                images=(ImageInput(str(seed), png(picture(seed))),),
                sampling=Sampling(),
                max_tokens=TOKENS,
                cache_salt="",
            )
            deltas = await all_deltas(engine, request)
            assert [token for delta in deltas for token in delta.token_ids] == generated[seed]
        held = msgspec.structs.replace(request, max_tokens=400, grammar=TOLD)
        deltas = await all_deltas(engine, held)
        assert_told(chat, [token for delta in deltas for token in delta.token_ids])


PLACE = {
    "type": "object",
    "properties": {"in": {"enum": ["the picture", "a red ball"]}, "at": {"type": "integer"}},
    "required": ["in", "at"],
    "additionalProperties": False,
}
TOLD = grammar.of_answer(functions={}, required=False, most=1, text=PLACE)


def assert_told(chat: Kosmos2Format, ids: list[int]) -> None:
    """The answer is the JSON that the grammar allows, blanks and all."""
    decoder = chat.decoder()
    text = decoder.feed(ids).text + decoder.finish().text
    assert json.loads(text)["in"] in {"the picture", "a red ball"}


def test_vllm_reads_its_tokens_for_a_grammar(folder: Path, checkpoint: Checkpoint) -> None:
    """As vLLM's structured output asks for them, once our plugin is in."""
    register()
    tokens = llguidance.hf.from_tokenizer(
        AutoTokenizer.from_pretrained(folder), n_vocab=checkpoint.vocab_size
    )
    matcher = LLMatcher(tokens, TOLD, log_level=0)
    assert not matcher.is_error()
    spelled = tokens.tokenize_str('{"in":"the picture","at":7}')
    assert matcher.try_consume_tokens(spelled) == len(spelled)


def test_vllm_answers_as_transformers_do(folder: Path, chat: Kosmos2Format) -> None:
    """In float32, with the tied head's tensor in the file."""
    prompts = [
        Prompt(list(asked(chat, question, image=image)), (picture(seed),) if image else ())
        for seed, question in enumerate(QUESTIONS)
        for image in (True, False)
    ]
    pair = Pair(folder)
    try:
        answers = pair.assert_equal(prompts)
    finally:
        pair.close()
    assert len({tuple(answer.ids) for answer in answers}) == len(prompts)


def test_an_answer_is_read_as_the_processor_reads_it(chat: Kosmos2Format, processor: Any) -> None:
    ids = processor.tokenizer.convert_tokens_to_ids
    box = [ids(each) for each in ("<object>", *published.CELLS[44:1000:819], "</object>")]
    answer = [
        *chat.encode("An image of"),
        ids("<phrase>"), *chat.encode("a snowman"), ids("</phrase>"), *box,
        *chat.encode("by a fire."), ids("</s>"),
    ]  # fmt: skip
    whole = processor.batch_decode([answer], skip_special_tokens=True)[0]
    text, entities = processor.post_process_generation(whole)
    decoder = chat.decoder()
    released = [decoder.feed([each]) for each in answer] + [decoder.finish()]
    groundings = [each for one in released for each in one.grounding]
    assert "".join(one.text for one in released) == text == "An image of a snowman by a fire."
    assert [(each.phrase, (each.start, each.end), [*each.boxes]) for each in groundings] == entities
