"""A prompt goes on where the last answer ended, in the middle of a block of vLLM's cache.

vLLM's prefix cache finds whole blocks: of 32 tokens on a CPU, where a question is often shorter
than what is read again of the turns before. Here the block that a request did not fill is named by
the tokens that it has, as whole ones are, and stays in the cache until its place is needed; a
prompt that begins with them gets a copy, by the means that vLLM has for models with states. It has
no hook for that; this wraps the two methods of `KVCacheManager` (vLLM 0.32) that look a prompt up
and free a request's blocks, in the engine's process.

Importing this imports vLLM.
"""

from functools import wraps

from vllm.platforms import current_platform
from vllm.utils.hashing import sha256
from vllm.utils.math_utils import cdiv
from vllm.v1.core.block_pool import BlockPool
from vllm.v1.core.kv_cache_coordinator import UnitaryKVCacheCoordinator
from vllm.v1.core.kv_cache_manager import KVCacheBlocks, KVCacheManager
from vllm.v1.core.kv_cache_utils import (
    BlockHashWithGroupId,
    KVCacheBlock,
    generate_block_hash_extra_keys,
    hash_block_tokens,
    make_block_hash_with_group_id,
)
from vllm.v1.core.single_type_kv_cache_manager import FullAttentionManager
from vllm.v1.request import Request


def install() -> None:
    """Wrap vLLM's methods, once a process, on a CPU.

    A GPU's blocks are of 16 tokens, which it reads in no time: little could be gained there.
    """
    look_up, free = KVCacheManager.get_computed_blocks, KVCacheManager.free
    if hasattr(free, "__wrapped__") or not current_platform.is_cpu():
        return

    @wraps(look_up)
    def get_computed_blocks(
        manager: KVCacheManager, request: Request
    ) -> tuple[KVCacheBlocks, int, int]:
        blocks, tokens, boundary = look_up(manager, request)
        if _keeps(manager) and manager.prefix_cache_lookup_enabled(request):
            kept, rest = _find(manager, request, tokens)
            blocks = manager.create_kv_cache_blocks(([*blocks.blocks[0], *kept],))
            tokens += rest
        return blocks, tokens, boundary

    @wraps(free)
    def keep_and_free(manager: KVCacheManager, request: Request) -> None:
        if _keeps(manager):
            _keep(manager, request)
        free(manager, request)

    KVCacheManager.get_computed_blocks = get_computed_blocks
    KVCacheManager.free = keep_and_free


def _keeps(manager: KVCacheManager) -> bool:
    """Whether every layer of the model keeps all tokens, and none of them are guesses."""
    coordinator = manager.coordinator
    return (
        manager.enable_caching
        and isinstance(coordinator, UnitaryKVCacheCoordinator)
        and type(coordinator.single_type_managers[0]) is FullAttentionManager
        and not coordinator.eagle_group_ids
    )


def _find(manager: KVCacheManager, request: Request, start: int) -> tuple[list[KVCacheBlock], int]:
    """The kept block that a prompt goes on with, behind whole ones, and how much of it it has.

    The last token is always read: what follows it is asked for. With the copy a prompt needs one
    block more than by itself; it never waits for that one.
    """
    pool = manager.block_pool
    if pool.get_num_free_blocks() <= cdiv(request.num_tokens, pool.hash_block_size):
        return [], 0
    for rest in range(min(pool.hash_block_size, request.num_tokens - start) - 1, 0, -1):
        name = _name(pool, request, start, start + rest)
        if kept := pool.cached_block_hash_to_block.get_one_block(name):
            return [kept], rest
    return [], 0


def _keep(manager: KVCacheManager, request: Request) -> None:
    """Name a request's last block, if it is not full, by the tokens that were read."""
    pool = manager.block_pool
    read = min(request.num_computed_tokens - request.num_in_flight_tokens, request.num_tokens)
    whole, rest = divmod(max(read, 0), pool.hash_block_size)
    if rest:
        block = manager.get_blocks(request.request_id).blocks[0][whole]
        if block.block_hash is None:
            name = _name(pool, request, read - rest, read)
            block.set_block_hash(name, num_tokens=read)
            pool.cached_block_hash_to_block.insert(name, block)


def _name(pool: BlockPool, request: Request, start: int, end: int) -> BlockHashWithGroupId:
    """What vLLM would call the block that begins at `start`, were it full at `end`."""
    before = request.block_hashes[start // pool.hash_block_size - 1] if start else None
    keys, _ = generate_block_hash_extra_keys(request, start, end, 0)
    tokens = request.all_token_ids[start:end]
    return make_block_hash_with_group_id(hash_block_tokens(sha256, before, tokens, keys), 0)
