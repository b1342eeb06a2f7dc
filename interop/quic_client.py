"""A player over QUIC that shares no code with Muster: written from the book's chapter "Wire format" with aioquic.

Reads one JSON object from stdin: address, port, fingerprints (hex), schema_hash (number), routing_token (hex), join_token,
snapshots (how many to wait for). Prints one JSON object: what it saw. Exit status 0 when it saw that many snapshots.
"""

import asyncio
import hashlib
import json
import os
import ssl
import struct
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import DatagramFrameReceived, HandshakeCompleted, StreamDataReceived
from cryptography.hazmat.primitives.serialization import Encoding

PING, UNRELIABLE, RELIABLE, RELIABLE_PART, BULK, CLOSE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06


class Player(QuicConnectionProtocol):
    def __init__(self, connection, stream_handler=None):
        super().__init__(connection, stream_handler)
        order = Player.order
        # Chapter "QUIC", connection ids: the first destination id begins with the routing token.
        first = bytes.fromhex(order["routing_token"])
        first += os.urandom(8 - len(first))
        connection._peer_cid.cid = first
        connection._original_destination_connection_id = first
        self.order = order
        self.answer = b""
        self.sequence = 0
        self.received = set()
        self.newest = 0
        self.seen = {"snapshots": 0, "messages": 0, "bulk_chunks": 0, "closed": None, "status": None}
        self.done = asyncio.get_running_loop().create_future()
        self.open = False

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.check(event)
        elif isinstance(event, StreamDataReceived):
            self.answer += event.data
            self.take_answer()
        elif isinstance(event, DatagramFrameReceived):
            self.take_packet(event.data)

    def check(self, event):
        certificate = self._quic.tls._peer_certificate.public_bytes(Encoding.DER)
        assert hashlib.sha256(certificate).hexdigest() in self.order["fingerprints"], "another certificate"
        assert event.alpn_protocol == "muster/1"
        body = struct.pack("<HHQ", 1, 1, self.order["schema_hash"]) + self.order["join_token"].encode()
        self._quic.send_stream_data(self._quic.get_next_available_stream_id(), struct.pack("<H", len(body)) + body, True)
        self.transmit()

    def take_answer(self):
        if len(self.answer) < 4 or len(self.answer) < 2 + struct.unpack_from("<H", self.answer)[0] or self.open:
            return
        self.seen["status"] = struct.unpack_from("<H", self.answer, 2)[0]
        if self.seen["status"] != 0:
            return self.finish()
        self.open = True
        asyncio.ensure_future(self.keep_alive())

    async def keep_alive(self):
        while not self.done.done():
            self.send(bytes([PING]))
            await asyncio.sleep(0.05)

    def send(self, frames):
        self.sequence += 1
        bits = sum(1 << i for i in range(32) if self.newest - 1 - i in self.received)
        self._quic.send_datagram_frame(struct.pack("<IIIH", self.sequence, self.newest, bits, 0) + frames)
        self.transmit()

    def take_packet(self, packet):
        sequence, ack, _bits, _delay = struct.unpack_from("<IIIH", packet)
        assert ack <= self.sequence, "an ack of what was never sent"
        self.received.add(sequence)
        self.newest = max(self.newest, sequence)
        at = 14
        while at < len(packet):
            kind, at = packet[at], at + 1
            if kind == UNRELIABLE:
                length, = struct.unpack_from("<H", packet, at)
                at += 2 + length
                self.seen["snapshots"] += 1
            elif kind in (RELIABLE, RELIABLE_PART):
                _id, length = struct.unpack_from("<IH", packet, at)
                at += 6 + length
                self.seen["messages"] += 1
            elif kind == BULK:
                length, = struct.unpack_from("<H", packet, at + 8)
                at += 10 + length
                self.seen["bulk_chunks"] += 1
            elif kind == CLOSE:
                self.seen["closed"], = struct.unpack_from("<H", packet, at)
                return self.finish()
            elif kind not in (0x00, PING):
                raise ValueError(f"frame {kind:#x} is not in the book")
        if self.seen["snapshots"] >= self.order["snapshots"] and self.seen["messages"]:
            # Close, reason 1: left.
            self.send(struct.pack("<BH", CLOSE, 1))
            self.finish()

    def finish(self):
        if not self.done.done():
            self.done.set_result(None)


async def main():
    Player.order = json.load(sys.stdin)
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=["muster/1"],
        verify_mode=ssl.CERT_NONE,  # the fingerprint is checked instead; the handshake's signature always is
        max_datagram_frame_size=65536,
        server_name="muster",
    )
    order = Player.order
    async with connect(order["address"], order["port"], configuration=configuration, create_protocol=Player) as player:
        await asyncio.wait_for(player.done, 20)
        await asyncio.sleep(0.1)
        print(json.dumps(player.seen))
        return 0 if player.seen["snapshots"] >= order["snapshots"] else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
