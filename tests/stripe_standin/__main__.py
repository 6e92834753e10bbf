"""The stand-in as a process of its own: `python -m tests.stripe_standin [PORT]`."""

import sys
import time

import uvicorn

from tests.stripe_standin.app import StripeStandin

KEY = "sk_test_of_this_machine"


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 12111
    standin = StripeStandin(time.time, key=KEY)
    uvicorn.run(standin.app(), host="0.0.0.0", port=port, access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
