//! Connections to everything that speaks HTTP/1, HTTP/2 or gRPC, a bounded number a second.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use netcode::emulator::Random;
use socket2::{Domain, Socket, Type};

use super::ports::Protocol;
use super::{STRANGER, Shared};

/// From one round of all ports to the next.
const ROUND: Duration = Duration::from_millis(40);
/// Connections that are held open at each port, the oldest is given up for a new one.
const HELD_MAX: usize = 64;
/// Longest wait for a port that takes nothing.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of what is too long.
const OVERSIZE: usize = 192 * 1024;
/// How HTTP/2 begins (RFC 9113, 3.4), and an empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Floods until it is over; what is held open is held until then.
pub(super) fn flood(shared: &Shared, seed: u64) {
    let mut random = Random::new(seed);
    let mut held: BTreeMap<SocketAddr, VecDeque<TcpStream>> = BTreeMap::new();
    while !shared.is_over() {
        for target in shared.targets(Protocol::Tcp) {
            let (kind, bytes, is_held) = request(&mut random);
            let Ok(mut stream) = connect(target) else { continue };
            // A port may close before it has heard everything: that is its right.
            let _ = stream.write_all(&bytes);
            shared.count(Protocol::Tcp, target, kind);
            if is_held {
                let held = held.entry(target).or_default();
                held.push_back(stream);
                if held.len() > HELD_MAX {
                    held.pop_front();
                }
            }
        }
        std::thread::sleep(ROUND);
    }
}

/// What a stranger says, of what kind it is, and whether the connection is held open afterwards.
fn request(random: &mut Random) -> (&'static str, Vec<u8>, bool) {
    match random.below(10) {
        0 => ("nothing", Vec::new(), true),
        1 => ("half a head", b"GET /healthz HTTP/1.1\r\nHost: strangers\r\nX-Never-".to_vec(), true),
        2 => ("half a preface", PREFACE[..10].to_vec(), true),
        3 => ("HTTP/2 that asks for nothing", PREFACE.to_vec(), true),
        4 => ("noise", noise(random, 4_096), false),
        5 => ("an oversize head", oversize_head(), false),
        6 => ("an oversize body", oversize_body(), false),
        7 => ("JSON that nests", nested_json(), false),
        8 => ("frames of noise", [PREFACE, &frames(random)].concat(), false),
        _ => ("streams that are reset at once", [PREFACE, &resets()].concat(), false),
    }
}

fn noise(random: &mut Random, most: u64) -> Vec<u8> {
    (0..=random.below(most)).map(|_| random.next_u64() as u8).collect()
}

fn oversize_head() -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: strangers\r\n".to_vec();
    while head.len() < OVERSIZE {
        head.extend_from_slice(b"X-Long: ");
        head.resize(head.len() + 1_000, b'a');
        head.extend_from_slice(b"\r\n");
    }
    head
}

fn oversize_body() -> Vec<u8> {
    let head = "POST /v1/auth/device HTTP/1.1\r\nHost: strangers\r\nContent-Type: application/json\r\n";
    let mut request = format!("{head}Content-Length: 1073741824\r\n\r\n{{\"device_id\": \"").into_bytes();
    request.resize(OVERSIZE, b'a');
    request
}

fn nested_json() -> Vec<u8> {
    let body = "[".repeat(60_000);
    let head = "POST /v1/auth/device HTTP/1.1\r\nHost: strangers\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Frames whose type, flags, stream and content mean nothing; one in four claims to be 16 MiB long.
fn frames(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..32 {
        let payload = noise(random, 200);
        let length = if random.below(4) == 0 { 0xFF_FFFF } else { payload.len() as u32 };
        bytes.extend_from_slice(&length.to_be_bytes()[1..]);
        bytes.extend_from_slice(&[random.below(12) as u8, random.next_u64() as u8]);
        bytes.extend_from_slice(&(random.below(8) as u32).to_be_bytes());
        bytes.extend_from_slice(&payload);
    }
    bytes
}

/// Requests that are cancelled as soon as they are made (CVE-2023-44487).
fn resets() -> Vec<u8> {
    // POST http://s/: indexed fields of HPACK's static table, then :authority as a literal.
    let fields = [0x83, 0x86, 0x84, 0x41, 0x01, b's'];
    let mut bytes = Vec::new();
    for stream in (1..400u32).step_by(2) {
        bytes.extend_from_slice(&[0, 0, fields.len() as u8, 0x01, 0x04]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&fields);
        bytes.extend_from_slice(&[0, 0, 4, 0x03, 0]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&8u32.to_be_bytes());
    }
    bytes
}

fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((STRANGER, 0)).into())?;
    socket.connect_timeout(&target.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
