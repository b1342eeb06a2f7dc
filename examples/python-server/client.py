#!/usr/bin/env python3
"""A player of the clicking game: from login to the end of one match. Python's standard library only.

    client.py http://127.0.0.1:7100 clicks-1v1

Prints what happens as JSON, one object per line, and ends with status 0 when the match is over.
"""

import json
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid

PATIENCE_S = 60.0
JOIN_EVERY_S = 0.2
CLICK_EVERY_S = 0.1
SILENCE_S = 10.0


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Metagame:
    def __init__(self, url):
        self.url, self.token = url.rstrip("/"), None

    def ask(self, method, path, body=None):
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        # Metagame is a neighbour here: no proxy stands between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)


def until(what, ask):
    """Asks until there is an answer."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = ask()
            if found is not None:
                return found
        except (urllib.error.URLError, OSError) as error:
            say("retry", what=what, why=str(error))
        time.sleep(0.1)
    sys.exit(f"waited {PATIENCE_S} s in vain: {what}")


def placed(metagame, queue):
    """Queues, and waits for the match."""
    ticket = {"ticket_id": str(uuid.uuid4()), "queue": queue, "region_rtts": [{"region": "local", "rtt_ms": 1}]}
    until("a ticket", lambda: metagame.ask("POST", "/v1/tickets", ticket))

    def look():
        state = metagame.ask("GET", f"/v1/tickets/{ticket['ticket_id']}")
        if state["state"] in ("cancelled", "timed_out", "failed"):
            sys.exit(f"the ticket is {state['state']}: {state['reason']}")
        return state["match"] if state["state"] == "completed" else None

    return until("a match", look)


def play(metagame, match):
    match_id = match["match_id"]
    token = lambda: metagame.ask("POST", f"/v1/matches/{match_id}/join-token", {})["join_token"]
    host, _, port = match["address"].rpartition(":")
    port_udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port_udp.connect((host.strip("[]"), int(port)))
    port_udp.settimeout(0.05)
    join, clicks, is_in, heard_at, send_at = {"join": until("a token", token)}, 0, False, time.monotonic(), 0.0
    while time.monotonic() - heard_at < SILENCE_S:
        if time.monotonic() >= send_at:
            clicks += is_in
            send_at = time.monotonic() + (CLICK_EVERY_S if is_in else JOIN_EVERY_S)
            try:
                port_udp.send(json.dumps({"clicks": clicks} if is_in else join).encode())
            except ConnectionError:
                pass  # Nobody listens there: silence will tell.
        try:
            heard = json.loads(port_udp.recv(4096))
        except (TimeoutError, ConnectionError):
            continue
        heard_at = time.monotonic()
        if "welcome" in heard and not is_in:
            is_in = True
            say("playing", match_id=match_id, name=heard["welcome"]["name"])
        elif "refused" in heard:
            say("refused", number=heard["refused"])
            join = {"join": until("a token", token)}
        elif "over" in heard:
            say("over", match_id=match_id, places=heard["over"])
            return 0
    say("silence", match_id=match_id)
    return 1


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    metagame = Metagame(sys.argv[1])
    login = {"device_id": uuid.uuid4().hex, "name": f"clicker-{uuid.uuid4().hex[:6]}"}
    session = until("a session", lambda: metagame.ask("POST", "/v1/auth/device", login))
    metagame.token = session["access_token"]
    match = placed(metagame, sys.argv[2])
    say("placed", match_id=match["match_id"], address=match["address"], transport=match["transport"])
    if match["transport"] != "foreign":
        sys.exit("the match is on a server that speaks Muster's own packets")
    return play(metagame, match)


if __name__ == "__main__":
    sys.exit(main())
