"""Calls a gateway as its OpenAPI description says, and as it does not, by schemathesis, and compares the answers with it.

args    URL    of the gateway
        MODE   status: errors come by their status, so what breaks the description must not be answered by 2xx.
               body: errors stand in a body with status 200, as Centrifugo's clients expect them.
        USER   somebody whom calls may put in and out of rooms
        ROOM…  where there is something to be seen: members with infos, bytes, no history
prints  what was answered how often
exit    0 when every answer is one that the description has, and there were answers of every kind

What fits the description may still be refused for its meaning (base64 that holds no JSON), so that is not held against
the gateway. Commands that share a request are refused one by one, in replies with status 200.
"""

import collections
import itertools
import os
import pathlib
import sys
import tempfile

import schemathesis
from schemathesis.cli import schemathesis as run

CASES = 20  # of each operation, beside those that go through the limits of every field
CONFIG = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path = ["/api", "/api/batch", "/api/broadcast"]
checks.negative_data_rejection.enabled = false
"""
MESSAGES = "/v1/rooms/{room}/messages"
METHODS = "publish broadcast history history_remove presence presence_stats subscribe unsubscribe refresh disconnect info channels"
# They would take away those whom the other calls are about.
REVOKE = "block_user unblock_user revoke_token invalidate_user_tokens ban_user unban_user revocations"
# Kinds of answers, and how many of them there have to be at least.
DUE = {
    **{f"POST /api/{method}: result": 5 for method in [*METHODS.split(), *REVOKE.split()]},
    "POST /api/batch: result": 5,
    "POST /api: result": 1,
    "POST /api/presence: member": 5,
    "POST /api/history: data": 1,
    "POST /api/history: b64data": 1,
    f"POST {MESSAGES}: 201": 5,
    f"POST {MESSAGES}: 202": 1,
    f"GET {MESSAGES}: data": 1,
    f"GET {MESSAGES}: b64data": 1,
    f"DELETE {MESSAGES}: 204": 5,
}

url, mode, user, *rooms = sys.argv[1:]
turns = itertools.cycle([*rooms, None])
methods = itertools.cycle(METHODS.split())
seen = collections.Counter()


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """All but one of so many calls are about rooms in which there is something to be seen."""
    room = next(turns)
    if room is None:
        return
    if isinstance(case.path_parameters.get("room"), str):
        case.path_parameters = {**case.path_parameters, "room": room}
    body = case.body
    if not isinstance(body, dict):
        return
    if case.operation.path.removeprefix("/api/") in REVOKE.split():
        if isinstance(body.get("channel"), str):
            case.body = {**body, "channel": room}
        return
    about = {"channel": room, "user": user}
    named = {name: value for name, value in about.items() if isinstance(body.get(name), str)}
    if isinstance(body.get("channels"), list):
        named["channels"] = [*body["channels"], room]
    if case.operation.path == "/api" and isinstance(body.get("method"), str):
        named["method"] = next(methods)
    if named:
        case.body = {**body, **named}


@schemathesis.check
def counted(_context, response, case):
    """Beside the checks of schemathesis: whatever is counted has been compared with the description."""
    seen.update(f"{case.operation.label}: {kind}" for kind in kinds(response))


def kinds(response):
    yield str(response.status_code)
    try:
        answer = response.json()
    except ValueError:
        return
    if not isinstance(answer, dict):
        return
    yield from answer.keys() & {"result", "error"}
    result = answer.get("result", answer)
    for message in result.get("publications", result.get("messages", [])):
        yield from message.keys() & {"data", "b64data"}
    for member in result.get("presence", {}).values():
        if "conn_info" in member and "chan_info" in member:
            yield "member"
    if any("error" not in reply for reply in answer.get("replies", [])):
        yield "result"


modes = {
    "status": ["--header", "X-Centrifugo-Error-Mode: transport"],
    "body": ["--exclude-checks", "negative_data_rejection"],
}
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)  # it leaves files where it runs
    pathlib.Path("schemathesis.toml").write_text(CONFIG)
    try:
        run(
            [
                *("--no-color", "run", f"{url}/openapi.json", "--header", "X-API-Key: natter-tests", *modes[mode]),
                *("--phases", "coverage,fuzzing", "--max-examples", str(CASES)),
                *("--generation-deterministic", "--continue-on-failure", "--suppress-health-check", "too_slow"),
            ]
        )
    except SystemExit as end:
        if end.code:
            raise
    finally:
        os.chdir("/")
for kind, times in sorted(seen.items()):
    print(f"{times:6} {kind}")
missing = [f"{kind}: {seen[kind]} of {least}" for kind, least in DUE.items() if seen[kind] < least]
if missing:
    sys.exit("too few answers of a kind: " + ", ".join(missing))
