//! One HTTP/1.1 connection that stays open.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Headers of an answer at most.
const HEADERS_MAX: usize = 32;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1_024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection; it connects when it is first needed, and again when it was closed.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

/// The bytes of a request without the headers that depend on whom it is sent to.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: metagame\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method != "GET" {
        text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

impl Connection {
    /// To this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, read: Vec::with_capacity(READ_BYTES) }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks, nothing comes for 10 s, or what comes is no answer. The next request connects again.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer> {
        let outcome = tokio::time::timeout(PATIENCE, self.ask(request)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "no answer within 10 s")));
        if outcome.is_err() {
            self.stream = None;
            self.read.clear();
        }
        outcome
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(request).await?;
        loop {
            if let Some((answer, length)) = parse(&self.read)? {
                self.read.drain(..length);
                return Ok(answer);
            }
            if stream.read_buf(&mut self.read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The answer at the beginning of what was read, once it is whole, and its length. Metagame says the length of every body.
fn parse(read: &[u8]) -> Result<Option<(Answer, usize)>> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = response.parse(read).map_err(|error| wrong(&error.to_string()))?;
    let httparse::Status::Complete(head) = head else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some(header) => {
            let text = std::str::from_utf8(header.value).map_err(|_| wrong("a length that is no text"))?;
            text.parse().map_err(|_| wrong("a length that is no number"))?
        }
        None if status == 204 || status == 304 => 0,
        None => return Err(wrong("an answer without its length")),
    };
    let Some(body) = read.get(head..head + length) else { return Ok(None) };
    Ok(Some((Answer { status, body: body.to_vec() }, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_one_after_another_however_they_come() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 204 No Content\r\n\r\n";
        for cut in 0..bytes.len() {
            let parsed = parse(&bytes[..cut]).expect("no fault");
            assert_eq!(parsed.is_some(), cut >= 40, "{cut}");
        }
        let (first, length) = parse(bytes).expect("no fault").expect("whole");
        assert_eq!(first, Answer { status: 200, body: b"hi".to_vec() });
        let (second, rest) = parse(&bytes[length..]).expect("no fault").expect("whole");
        assert_eq!((second.status, length + rest), (204, bytes.len()));
        for wrong in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "nonsense\r\n\r\n"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_says_how_long_it_is() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let get = text(request("GET", "/x", &[("Authorization", "Bearer t")], b""));
        assert_eq!(get, "GET /x HTTP/1.1\r\nHost: metagame\r\nAuthorization: Bearer t\r\n\r\n");
        assert!(text(request("POST", "/x", &[], b"{}")).ends_with("Content-Length: 2\r\n\r\n{}"));
        assert!(text(request("POST", "/x", &[], b"")).ends_with("Content-Length: 0\r\n\r\n"));
    }
}
