"""Calls a gateway as its OpenAPI description says, and as it does not, by schemathesis, and compares the answers with it.

args    URL    of the gateway
        MODE   status: errors come by their status, so what breaks the description must not be answered by 2xx.
               body: errors stand in a body with status 200, as Centrifugo's clients expect them.
exit    0 when every answer is one that the description has

What fits the description may still be refused for its meaning (base64 that holds no JSON), so that is not held against
the gateway. Commands that share a request are refused one by one, in replies with status 200.
"""

import os
import pathlib
import sys
import tempfile

from schemathesis.cli import schemathesis

CASES = 20  # of each operation, beside those that go through the limits of every field
CONFIG = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path = ["/api", "/api/batch", "/api/broadcast"]
checks.negative_data_rejection.enabled = false
"""

url, mode = sys.argv[1:]
modes = {
    "status": ["--header", "X-Centrifugo-Error-Mode: transport"],
    "body": ["--exclude-checks", "negative_data_rejection"],
}
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)  # it leaves files where it runs
    pathlib.Path("schemathesis.toml").write_text(CONFIG)
    schemathesis(
        [
            *("--no-color", "run", f"{url}/openapi.json", "--header", "X-API-Key: natter-tests", *modes[mode]),
            *("--phases", "coverage,fuzzing", "--max-examples", str(CASES)),
            *("--generation-deterministic", "--continue-on-failure", "--suppress-health-check", "too_slow"),
        ]
    )
