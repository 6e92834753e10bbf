from hypothesis import given
from hypothesis import strategies as st

from kosmosx_stream.formats.beginnings import begun


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=6))
def test_the_longest_ending_that_may_become_the_whole(text: str, whole: str) -> None:
    beginnings = (length for length in range(len(whole)) if text.endswith(whole[:length]))
    assert begun(text, whole) == max(beginnings)
