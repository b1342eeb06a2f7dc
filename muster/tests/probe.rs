//! `muster probe` says by its status whether a program is well.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use common::{muster, run};

/// The probe's status when one request is answered like this.
fn status(answer: &'static str) -> Option<i32> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut request = [0; 1_024];
        let length = stream.read(&mut request).expect("a request");
        stream.write_all(answer.as_bytes()).expect("an answer");
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let output = run(muster().args(["probe", &url]), Duration::from_secs(30));
    assert!(server.join().expect("no panic").starts_with("GET /readyz "));
    output.status.code()
}

#[test]
fn a_program_that_is_ready_is_well_and_one_that_is_not_is_not() {
    assert_eq!(status("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), Some(0));
    assert_eq!(status("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), Some(1));
}

#[test]
fn a_program_that_is_away_is_not_well() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    drop(listener);
    assert_eq!(run(muster().args(["probe", &url]), Duration::from_secs(30)).status.code(), Some(1));
}
