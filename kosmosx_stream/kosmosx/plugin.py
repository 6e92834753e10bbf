"""Makes vLLM serve Kosmos-2: the entry point `vllm.general_plugins` calls `register`.

vLLM calls it in every process that it starts, so it must be cheap and may run more than once.
It must not import torch: the model is named, and imported when a checkpoint asks for it.
"""

ARCHITECTURE = "Kosmos2ForConditionalGeneration"
MODEL = "kosmosx_stream.kosmosx.model:Kosmos2ForConditionalGeneration"


def register() -> None:
    """Tell vLLM which class runs checkpoints whose config names `ARCHITECTURE`.

    Whatever the model, answers that are held to a grammar learn to go on, and prompts in the middle
    of a block; pictures may be read again; tiles may be used, and are used better.
    """
    from vllm import ModelRegistry  # noqa: PLC0415  # only when vLLM is there already

    from kosmosx_stream.engines import (  # noqa: PLC0415
        guide_tokens,
        tile_registers,
        vllm_grammar,
        vllm_partial_blocks,
        vllm_resumed_pictures,
        vllm_tiled_attention,
    )

    tile_registers.request()
    vllm_grammar.install()
    vllm_partial_blocks.install()
    vllm_resumed_pictures.install()
    vllm_tiled_attention.install()
    guide_tokens.install()
    ModelRegistry.register_model(ARCHITECTURE, MODEL)
