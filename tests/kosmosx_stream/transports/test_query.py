"""Query parameters that may come several times."""

import pytest
from starlette.datastructures import QueryParams

from kosmosx_stream.protocol.errors import InvalidRequest
from kosmosx_stream.transports.query import Choices

INCLUDE = Choices(name="include", says="What.", choices=("a.b", "c"))


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", set()),
        ("include=a.b", {"a.b"}),
        ("include[]=a.b&include[]=c", {"a.b", "c"}),
        ("include=c&include=c", {"c"}),
        ("include[0]=c&include[1]=a.b", {"a.b", "c"}),
        ("included=x&xinclude[]=x", set()),
    ],
)
def test_any_of_some_words(query: str, values: set[str]) -> None:
    assert INCLUDE.read(QueryParams(query)) == values


def test_another_word_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest, match=r"values are: 'a\.b', 'c'") as refused:
        INCLUDE.read(QueryParams("include[]=c&include[]=message.output_text.logprobs"))
    assert refused.value.param == "include[1]"
