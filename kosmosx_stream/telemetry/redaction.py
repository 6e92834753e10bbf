"""Takes out of a text what must not be kept: keys, tokens, passwords, and pictures. Pure."""

import re

_SECRETS = (
    # data: URLs first: they are the longest, and what is in them may look like anything.
    (re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*,[A-Za-z0-9+/=_%.-]*"), "data:[redacted]"),
    # Ours: kx_live_<id>_<secret>; the id, by which it is revoked, stays.
    (re.compile(r"\b(kx_live_[0-9a-f]{16})_[A-Za-z0-9_-]{43}"), r"\1_[redacted]"),
    (re.compile(r"\bek_[A-Za-z0-9_-]{43}"), "ek_[redacted]"),
    # Signed tokens: RFC 7519.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[redacted token]"),
    # Stripe's, Supabase's and Hugging Face's.
    (
        re.compile(r"\b((?:sk|rk|pk)_(?:live|test)|whsec|sb_secret|sb_publishable|hf)_[\w-]{8,}"),
        r"\1_[redacted]",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 [redacted]"),
    # RFC 3986, 3.2.1: what stands before the host.
    (re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@"), r"\1:[redacted]@"),
    (
        re.compile(
            r"(?i)\b(authorization|api[_-]?key|password|pepper|secret|x-api-key)"
            r"(['\"]?\s*[:=]\s*['\"]?)(?!\[redacted|bearer |basic )[^\s'\",;&}]{4,}"
        ),
        r"\1\2[redacted]",
    ),
)


def redact(text: str) -> str:
    """The text without secrets; what is left says where one was."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
