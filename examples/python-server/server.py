#!/usr/bin/env python3
"""A game server that knows nothing of Muster but the HTTP of the agent beside it. Python's standard library only.

The game: whoever clicks most often wins. A datagram is one JSON object.

  client -> server  {"join": TOKEN}   {"clicks": N}   {"leave": true}
  server -> client  {"welcome": {...}}   {"refused": NUMBER}   {"score": {NAME: N}}   {"over": {NAME: PLACE}}

A datagram may be lost or repeated, so a client says how often it has clicked in all, and repeats its join until it is
answered. Settings of the match: "seconds", from the first player on.
"""

import concurrent.futures
import http.client
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import urllib.parse
import uuid

SECONDS = 10
SECONDS_MAX = 600
DATAGRAM_BYTES_MAX = 4096
CLICKS_PER_S_MAX = 50
SCORE_EVERY_S = 0.1
HEALTH_EVERY_S = 1.0
SILENCE_S = 5.0


class Agent:
    """The agent's HTTP, one connection per request."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port

    def ask(self, method, path, body=None, patience_s=15.0):
        """Status and JSON of the answer; status 0 when there is none."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=patience_s)
        try:
            headers = {"content-type": "application/json"} if body is not None else {}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, {"detail": str(error)}
        finally:
            connection.close()


class Player:
    def __init__(self, name, player_id):
        self.name, self.player_id = name, player_id
        self.address, self.clicks, self.heard_at, self.is_there = None, 0, 0.0, False


class Match:
    """One match. Only the main loop touches it."""

    def __init__(self, described):
        self.id = described["match_id"]
        self.players = {p["player_id"]: Player(p["name"] or p["player_id"][:8], p["player_id"]) for p in described["players"]}
        seconds = described["settings"].get("seconds", SECONDS)
        self.seconds = min(float(seconds), SECONDS_MAX) if isinstance(seconds, (int, float)) else SECONDS
        self.began_at = None

    def score(self):
        return {player.name: player.clicks for player in self.players.values()}

    def places(self):
        """Place by clicks; equal clicks share one."""
        better = lambda player: sum(other.clicks > player.clicks for other in self.players.values())
        return {player.player_id: 1 + better(player) for player in self.players.values()}


class Server:
    def __init__(self, bind, agent):
        host, _, port = bind.rpartition(":")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host.strip("[]"), int(port)))
        self.socket.settimeout(0.02)
        self.agent = agent
        # Names this process: an agent that hears another name knows that the matches of this one are lost.
        self.instance = uuid.uuid4().hex
        self.matches = {}
        self.seats = {}  # address -> (match, player)
        self.asked = {}  # address -> the token that is being verified
        self.ended = set()
        self.news = queue.Queue()  # what other threads tell the main loop
        self.workers = concurrent.futures.ThreadPoolExecutor(max_workers=8)
        self.is_told_to_end = False
        self.health_at = self.score_at = 0.0
        self.health = None

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "is_told_to_end", True))
        threading.Thread(target=self.follow, daemon=True).start()
        log(f"listening at {self.socket.getsockname()}")
        # In a pod SIGTERM comes to the game and to the agent at once: what is played is played to its end.
        while not (self.is_told_to_end and not self.matches):
            self.receive()
            while not self.news.empty():
                self.news.get()()
            self.tick(time.monotonic())
        self.workers.shutdown()

    def later(self, work, then):
        """Does `work` on another thread, and `then` with what it returns on the main loop."""
        self.workers.submit(lambda: self.news.put(lambda done=work(): then(done)))

    # The roster: what to host.

    def follow(self):
        """Asks for the roster for ever; each answer is the whole truth."""
        cursor = None
        while True:
            path = "/roster" if cursor is None else f"/roster?after={cursor}&wait_s=20"
            status, roster = self.agent.ask("GET", path, patience_s=30.0)
            if status == 200:
                cursor = roster["cursor"]
                self.news.put(lambda roster=roster: self.compare(roster))
            else:
                cursor = None
                time.sleep(0.2)

    def compare(self, roster):
        there = {described["match_id"]: described for described in roster["matches"]}
        for match_id in [match_id for match_id in self.matches if match_id not in there]:
            log(f"match {match_id} was taken away")
            self.close(self.matches.pop(match_id), {})
        for match_id, described in there.items():
            if match_id in self.ended:
                continue
            if match_id not in self.matches:
                self.matches[match_id] = Match(described)
                log(f"match {match_id} is prepared")
            if described["phase"] == "assigned":
                self.later(lambda body={"match_id": match_id}: self.agent.ask("POST", "/joinable", body), lambda _: None)
            elif described["phase"] == "ending":
                self.end(self.matches[match_id], described["reason"])

    # Players.

    def receive(self):
        try:
            bytes_, address = self.socket.recvfrom(DATAGRAM_BYTES_MAX)
            said = json.loads(bytes_)
        except (TimeoutError, ValueError, ConnectionError):
            return
        if not isinstance(said, dict):
            return
        if "join" in said:
            self.join(address, said["join"])
        elif address in self.seats:
            self.hear(address, said)

    def join(self, address, token):
        if address in self.seats:
            match, player = self.seats[address]
            return self.send(address, {"welcome": {"match": match.id, "name": player.name}})
        if not isinstance(token, str) or self.asked.get(address) == token or len(self.asked) > 256:
            return
        self.asked[address] = token
        self.later(
            lambda: self.agent.ask("POST", "/verify", {"token": token}),
            lambda answer: self.verified(address, *answer),
        )

    def verified(self, address, status, answer):
        self.asked.pop(address, None)
        match = self.matches.get(answer.get("match_id"))
        if status != 200 or match is None:
            return self.send(address, {"refused": answer.get("refusal", 0)})
        player = match.players[answer["player_id"]]
        # A fresh token takes the seat over from whoever has it.
        self.seats.pop(player.address, None)
        player.address, player.heard_at, player.is_there = address, time.monotonic(), True
        self.seats[address] = (match, player)
        match.began_at = match.began_at or time.monotonic()
        self.tell(match, player, "joined")
        self.send(address, {"welcome": {"match": match.id, "name": player.name}})

    def hear(self, address, said):
        match, player = self.seats[address]
        player.heard_at = time.monotonic()
        if not player.is_there:
            player.is_there = True
            self.tell(match, player, "joined")
        if said.get("leave"):
            del self.seats[address]
            player.address, player.is_there = None, False
            self.tell(match, player, "left")
        clicks = said.get("clicks")
        most = CLICKS_PER_S_MAX * (1 + time.monotonic() - match.began_at)
        if isinstance(clicks, int) and player.clicks < clicks <= most:
            player.clicks = clicks

    def tell(self, match, player, event):
        body = {"match_id": match.id, "player_id": player.player_id, "event": event}
        self.later(lambda: self.agent.ask("POST", "/players", body), lambda _: None)

    def send(self, address, what):
        try:
            self.socket.sendto(json.dumps(what).encode(), address)
        except OSError:
            pass  # The client will ask again.

    # Time.

    def tick(self, now):
        if now >= self.health_at and (self.health is None or self.health.done()):
            # From this loop, so that a loop that hangs is seen to.
            self.health_at = now + HEALTH_EVERY_S
            body = {"instance": self.instance}
            self.health = self.workers.submit(self.agent.ask, "POST", "/health", body, 2.0)
        if now < self.score_at:
            return
        self.score_at = now + SCORE_EVERY_S
        for match in list(self.matches.values()):
            if match.began_at is None:
                continue
            for player in match.players.values():
                if player.address is not None:
                    self.send(player.address, {"score": match.score()})
                if player.is_there and now - player.heard_at > SILENCE_S:
                    player.is_there = False
                    self.tell(match, player, "lost")
            if now - match.began_at >= match.seconds:
                self.end(match, "finished")

    def end(self, match, reason):
        places = match.places()
        players = [
            {"player_id": p.player_id, "place": places[p.player_id], "score": p.clicks, "stats": {"clicks": p.clicks}}
            for p in match.players.values()
        ]
        self.ended.add(match.id)
        self.matches.pop(match.id, None)
        self.close(match, {player.name: places[player.player_id] for player in match.players.values()})
        body = {"match_id": match.id, "reason": reason, "players": players}
        self.later(lambda: self.report(body), lambda answer: log(f"result of {match.id}: {answer}"))

    def close(self, match, places):
        for player in match.players.values():
            if self.seats.pop(player.address, None):
                for _ in range(3):
                    self.send(player.address, {"over": places})

    def report(self, body):
        """Posts a result until it is safe, or until the agent says that nobody wants it."""
        while True:
            status, answer = self.agent.ask("POST", "/result", body)
            if status == 200:
                return answer["state"]
            if 400 <= status < 500:
                return answer.get("detail", status)
            time.sleep(0.2)


def log(line):
    print(line, flush=True)


def main():
    bind = os.environ.get("MUSTER_BIND", "127.0.0.1:7777")
    agent = Agent(os.environ.get("MUSTER_AGENT", "http://127.0.0.1:7790"))
    Server(bind, agent).run()


if __name__ == "__main__":
    sys.exit(main())
