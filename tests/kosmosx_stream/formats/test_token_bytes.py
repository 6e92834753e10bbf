"""What tokens say, byte for byte as the tokenizers library has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from kosmosx_stream.formats.token_bytes import TokenBytes, of_byte_fallback, of_byte_level


@given(text=st.text())
def test_byte_level_is_read_as_it_is_written(text):
    encoder = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    written = "".join(token for token, _ in encoder.pre_tokenize_str(text))
    assert of_byte_level(written) == text.encode()


@given(token=st.text(st.sampled_from("Ġa\xad é<"), max_size=4))
def test_a_token_that_is_no_bytes_is_text(token):
    assert of_byte_level(token).decode(errors="replace") == decoders.ByteLevel().decode([token])


@pytest.mark.parametrize("token", ["<0x41>", "<0xc3>", "<0x4G>", "<0x041>", " <0x41>", "é", ""])
def test_a_byte_is_named_by_two_hex_digits(token):
    assert of_byte_fallback(token).decode(errors="replace") == decoders.ByteFallback().decode(
        [token]
    )


def test_what_is_silent_or_no_token_says_nothing():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.add_tokens(["<b>"])
    said = TokenBytes(tokenizer, str.encode, silent={"</s>"})
    assert [said[each] for each in (0, 1, 2, 3, 0)] == [b"a", b"", b"<b>", b"", b"a"]
