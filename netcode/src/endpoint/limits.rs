//! Every duration and bound of the transport, each with its reason. All are in the book's chapter "Wire format".

use std::time::Duration;

/// A whole handshake; the matchmaker's players have waited long enough by then to be told.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// First wait before a Hello or Connect is repeated; it doubles.
pub(super) const HANDSHAKE_RETRY_FIRST: Duration = Duration::from_millis(150);
/// Longest wait before a Hello or Connect is repeated.
pub(super) const HANDSHAKE_RETRY_MAX: Duration = Duration::from_millis(1_000);
/// Connects without an answer after which a client asks for a new cookie: its address may have changed.
pub(super) const CONNECTS_PER_COOKIE: u32 = 3;
/// How long a server remembers its answer to a Connect: longer than the client's whole handshake.
pub(super) const ATTEMPT_LIFE: Duration = Duration::from_secs(6);
/// Life of a cookie secret. A cookie is good in its bucket and the next, 10 to 20 s, more than a handshake takes.
pub(super) const COOKIE_BUCKET: Duration = Duration::from_secs(10);
/// How long a used token is remembered. It was valid when it was used and none lives longer than this.
pub(super) const TOKEN_MEMORY: Duration = Duration::from_secs(protocol::token::JOIN_LIFE_S);
/// Used tokens remembered per allowed session; a legitimate server never comes near it.
pub(super) const TOKENS_PER_SESSION_MAX: usize = 64;

/// Longest wait with an ack that nothing carries.
pub(super) const ACK_DELAY_MAX: Duration = Duration::from_millis(25);
/// Packets that want an ack after which it is sent at once: the 32 ack bits then cover four lost acks.
pub(super) const ACK_EVERY: u32 = 8;
/// A client that sent nothing but acks for this long sends a Ping, so that its NAT binding and its RTT stay fresh.
pub(super) const CLIENT_KEEP_ALIVE: Duration = Duration::from_millis(250);
/// A server that sent nothing but acks for this long sends a Ping: its round-trip times stay fresh too.
pub(super) const SERVER_KEEP_ALIVE: Duration = Duration::from_millis(500);
/// A client that has not heard the server under session keys pings this often: its first packet may be lost.
pub(super) const CONFIRM_INTERVAL: Duration = Duration::from_millis(100);
/// Nothing heard for this long: Silent.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Nothing heard for this long: closed. Silence for 5 s, then 60 s for the player to come back.
pub(super) const CLOSED_AFTER: Duration = Duration::from_secs(65);
/// How often Close is sent.
pub(super) const CLOSE_SENDS: u32 = 3;
/// Least time between two Closes.
pub(super) const CLOSE_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// How long a close waits for reliable messages that are not acknowledged yet.
pub(super) const LINGER_MAX: Duration = Duration::from_secs(3);

/// Shortest time before something reliable is sent again.
pub(super) const RESEND_MIN: Duration = Duration::from_millis(30);
/// Longest.
pub(super) const RESEND_MAX: Duration = Duration::from_millis(1_000);
/// Resend time before the first round trip is measured.
pub(super) const RESEND_INITIAL: Duration = Duration::from_millis(200);
/// Reliable segments that may be unacknowledged, and how far a receiver buffers ahead.
pub(super) const RELIABLE_SEGMENTS_MAX: usize = 256;
/// Bytes of reliable messages that may be unacknowledged.
pub(super) const RELIABLE_BYTES_MAX: usize = 64 * 1024;
/// Unreliable payloads that wait for one flush.
pub(super) const UNRELIABLE_QUEUE_MAX: usize = 32;
/// Bulk transfers that wait.
pub(super) const BULK_QUEUE_MAX: usize = 4;
/// Bulk chunks in flight at first, at least and at most.
pub(super) const BULK_WINDOW_FIRST: usize = 16;
pub(super) const BULK_WINDOW_MIN: usize = 4;
pub(super) const BULK_WINDOW_MAX: usize = 64;
/// Bulk chunks per pacing interval: 4 KiB in 5 ms, at most 800 KiB/s.
pub(super) const BULK_BURST: u32 = 4;
/// The pacing interval.
pub(super) const BULK_INTERVAL: Duration = Duration::from_millis(5);
/// Packets per call of `flush` or `handle_timeout` and session; the rest follows at the next call.
pub(super) const PACKETS_PER_CALL_MAX: usize = 64;
/// Sent packets remembered until they are acknowledged or lost: 8 s at 128 per second.
pub(super) const SENT_PACKETS_MAX: usize = 1_024;
/// A packet that is not acknowledged for this long is lost, whatever the round-trip time.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(2);

/// How often a path challenge is repeated while packets keep coming from the new address.
pub(super) const CHALLENGE_INTERVAL: Duration = Duration::from_millis(100);
/// A new address that has not answered for this long is forgotten.
pub(super) const CHALLENGE_LIFE: Duration = Duration::from_secs(3);
/// Bytes to an address that is not validated, per byte that came from it (RFC 9000, 8.1).
pub(super) const AMPLIFICATION_MAX: u64 = 3;

/// QUIC handshakes without a session from which on a server asks newcomers to prove their address (Retry).
pub(super) const QUIC_RETRY_FROM: usize = 32;
/// From a QUIC connection's first packet until its request must be there.
pub(super) const QUIC_REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Silence after which a QUIC connection is dead; its seat is Lost by then.
pub(super) const QUIC_IDLE_MAX: Duration = Duration::from_secs(10);
/// Silence after which QUIC pings; sessions ping more often, so it matters in handshakes only.
pub(super) const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Round trip assumed before it is measured: a player's, not the internet's 333 ms.
pub(super) const QUIC_RTT_INITIAL: Duration = Duration::from_millis(50);
/// Datagrams that wait for the congestion window: two ticks of snapshots or 8 KiB, whichever is more. A tick's snapshot
/// is one packet and at most three with messages, so 8 KiB it is; the oldest make room for the newest.
pub(super) const QUIC_SEND_BUFFER_BYTES: usize = 8 * 1024;
/// Stream bytes that may be on their way: one request.
pub(super) const QUIC_STREAM_WINDOW: u32 = 4_096;
