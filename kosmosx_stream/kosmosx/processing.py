"""From a request to the model's inputs: prompt ids are expanded, images are preprocessed.

A prompt holds one adjacent `<image></image>` pair per image. The pair becomes `<image>`,
`latent_query_num` placeholders, `</image>`. A lone `<image>` is text: a model can generate one.

transformers' `Kosmos2Processor` is not used: it adds tokens to the tokenizer it is given, and it
wants text. The image processor is the Pillow one everywhere, so that a preprocessed image does
not depend on whether torchvision is installed.
"""

# ruff: noqa: ARG002  # vLLM names the arguments and passes all of them

from collections.abc import Mapping, Sequence
from functools import lru_cache

from transformers import BatchFeature, CLIPImageProcessorPil, Kosmos2Config
from vllm.config.multimodal import MultiModalDummyOptions
from vllm.inputs import MultiModalDataDict
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import MultiModalDataItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
)
from vllm.renderers import TokenizeParams

BEGIN, END = "<image>", "</image>"


@lru_cache(maxsize=4)
def image_processor(model: str, revision: str | None) -> CLIPImageProcessorPil:
    """The image processor that the checkpoint's `preprocessor_config.json` describes."""
    return CLIPImageProcessorPil.from_pretrained(model, revision=revision or "main")


class Kosmos2ProcessingInfo(BaseProcessingInfo):
    """What vLLM must know before it sees a request."""

    def get_hf_config(self) -> Kosmos2Config:
        """The checkpoint's configuration."""
        return self.ctx.get_hf_config(Kosmos2Config)

    def get_image_processor(self) -> CLIPImageProcessorPil:
        """The checkpoint's image processor."""
        return image_processor(self.ctx.model_config.model, self.ctx.model_config.revision)

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        """None: preprocessing is the checkpoint's, not a request's."""
        return {"images_kwargs": set()}

    def get_default_tok_params(self) -> TokenizeParams:
        """Nothing is added to a prompt: XLM-R's post-processor would append `</s>`."""
        return super().get_default_tok_params().with_kwargs(add_special_tokens=False)

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Any number of images."""
        return {"image": None}

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Embeddings of one image; constant."""
        return {"image": self.get_hf_config().latent_query_num}

    def token_id(self, token: str) -> int:
        """The id of a tag.

        Raises:
            ValueError: the tokenizer lacks it.
        """
        try:
            return self.get_tokenizer().get_vocab()[token]
        except KeyError:
            raise ValueError(f"the checkpoint's tokenizer has no {token}") from None


class Kosmos2DummyInputs(BaseDummyInputsBuilder[Kosmos2ProcessingInfo]):
    """The largest input, for vLLM's memory profile."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """One pair per image."""
        return (BEGIN + END) * mm_counts.get("image", 0)

    def get_dummy_mm_data(
        self,
        seq_len: int,
        mm_counts: Mapping[str, int],
        mm_options: MultiModalDummyOptions,
    ) -> MultiModalDataDict:
        """Blank images at the encoder's size."""
        size = self.info.get_hf_config().vision_config.image_size
        count = mm_counts.get("image", 0)
        images = self._get_dummy_images(
            width=size, height=size, num_images=count, overrides=mm_options.get("image")
        )
        return {"image": images}


class Kosmos2MultiModalProcessor(BaseMultiModalProcessor[Kosmos2ProcessingInfo]):
    """Applies the image processor and expands the pairs."""

    def _call_hf_processor(
        self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        """Images to pixel_values (images, 3, size, size) in the model's dtype."""
        return self.info.ctx.call_hf_processor(self.info.get_image_processor(), hf_data, hf_kwargs)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {"pixel_values": MultiModalFieldConfig.batched("image")}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        config = self.info.get_hf_config()
        begin, end = self.info.token_id(BEGIN), self.info.token_id(END)
        # A placeholder's own embedding is overwritten; the padding token is never generated,
        # so no penalty can fall on a token that an answer may use.
        placeholder = config.text_config.pad_token_id
        expanded = [begin, *[placeholder] * config.latent_query_num, end]
        content = PromptUpdateDetails.select_token_id(expanded, embed_token_id=placeholder)
        return [PromptReplacement(modality="image", target=[begin, end], replacement=content)]

    def _apply_prompt_updates_via_text(
        self, token_ids: list[int], mm_prompt_updates: object, **_: object
    ) -> tuple[list[int], Mapping[str, list[int | None]]]:
        """A pair is missing. The second try of vLLM, by text, would re-tokenize the prompt."""
        raise ValueError("the prompt has fewer <image></image> pairs than images")
