//! Calls to servers of a few lines.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::HeaderValue;
use axum::http::header::ACCEPT;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn outgoing() -> Outgoing {
    Outgoing::new(OutgoingSettings { connect: Duration::from_millis(500), ..OutgoingSettings::default() })
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// Answers requests without a body by the same bytes, on connections that stay.
async fn answer(mut io: impl AsyncRead + AsyncWrite + Unpin, text: &'static str) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = io.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..read]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            let _ = io.write_all(text.as_bytes()).await;
        }
    }
}

/// A server that always answers the same, and how many connections it has had.
async fn server(text: &'static str) -> (u16, Arc<AtomicUsize>) {
    let ((listener, port), connections) = (listener().await, Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer(tcp, text));
        }
    });
    (port, connections)
}

fn get(port: u16) -> Request {
    Request::get(format!("http://127.0.0.1:{port}/path?key=hush").parse().expect("a URL"))
}

#[tokio::test]
async fn a_certificate_is_checked_by_the_authorities_that_are_named() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a key");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("its own key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            tokio::spawn(answer(tls, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue"));
        }
    });
    let url: Uri = format!("https://localhost:{port}/").parse().expect("a URL");
    let settings = OutgoingSettings { authorities: vec![cert.der().clone()], ..OutgoingSettings::default() };
    let told = Outgoing::new(settings).destination("test").send(Request::get(url.clone())).await.expect("an answer");
    assert_eq!((told.status.as_u16(), told.json()), (200, Ok(true)));
    // Where the system has no authorities at all, that is said instead.
    match outgoing().destination("test").send(Request::get(url)).await.expect_err("a stranger") {
        OutgoingError::Unreachable(told) => assert!(told.contains("certificate"), "{told}"),
        OutgoingError::Address(AddressFault::Tls(TlsError::Roots(_))) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_keeps_silent_is_given_up() {
    // The kernel accepts, nobody answers.
    let (_silent, port) = listener().await;
    let to = outgoing().destination("test").plain_allowed();
    let error = to.send(get(port).timeout(Duration::from_millis(200))).await.expect_err("silence");
    assert!(matches!(&error, OutgoingError::Unanswered(told) if told.contains("200ms")), "{error:?}");
    let settings = OutgoingSettings { connect: Duration::from_millis(200), ..OutgoingSettings::default() };
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["localhost".to_owned()]).expect("a key");
    let to = Outgoing::new(OutgoingSettings { authorities: vec![cert.der().clone()], ..settings }).destination("test");
    // The handshake belongs to connecting.
    let url = format!("https://127.0.0.1:{port}/").parse().expect("a URL");
    let error = to.send(Request::get(url)).await.expect_err("silence");
    assert!(matches!(&error, OutgoingError::Unreachable(told) if told.contains("timed out")), "{error:?}");
}

#[tokio::test]
async fn a_connection_is_used_again_and_redirects_are_not_followed() {
    let (port, connections) = server("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 2\r\n\r\nno").await;
    let to = outgoing().destination("test");
    for _ in 0..3 {
        let told = to.send(get(port)).await.expect("an answer");
        assert_eq!((told.status.as_u16(), &told.body[..]), (302, &b"no"[..]));
        assert_eq!(told.headers["location"], "/other");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    let (port, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
    let to = outgoing().destination("test");
    assert_eq!(to.send(get(port).answer_max(10)).await.expect("an answer").body.len(), 10);
    assert_eq!(to.send(get(port).answer_max(9)).await.expect_err("too long"), OutgoingError::TooLong(9));
    assert_eq!(to.send(get(port).answer_max(0)).await.expect("not read").body.len(), 0);
}

#[tokio::test]
async fn whoever_is_gone_is_asked_no_more_for_a_moment() {
    let (listener, port) = listener().await;
    drop(listener);
    let to = outgoing().destination("test");
    for _ in 0..FAILURES_MAX {
        let error = to.send(get(port)).await.expect_err("nobody");
        assert!(matches!(&error, OutgoingError::Unreachable(told) if told.contains("refused")), "{error:?}");
    }
    let mut skipped = 0;
    for _ in 0..20 {
        skipped += usize::from(matches!(to.send(get(port)).await, Err(OutgoingError::Skipped)));
    }
    assert!(skipped > 0, "it was asked 20 times within a moment");
    let (port, _) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let patient = outgoing().destination("test").without_circuit();
    assert!(patient.send(get(port)).await.is_ok());
    testkit::wait::until("it is asked again", || async { to.send(get(port)).await.ok() }).await;
}

#[tokio::test]
async fn a_slow_one_holds_no_more_calls_than_its_own() {
    let (_silent, port) = listener().await;
    let to = outgoing().destination("test").at_once(2);
    let call = || to.send(get(port).timeout(Duration::from_secs(2)));
    let (first, second, third) = tokio::join!(call(), call(), call());
    assert_eq!(third.expect_err("no place"), OutgoingError::Busy);
    assert!(first.is_err() && second.is_err());
    let (port, _) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(to.send(get(port)).await.is_ok(), "the places are free again");
}

#[test]
fn only_safe_addresses_are_called() {
    let to = outgoing().destination("test");
    let check = |to: &Destination, url: &str| to.check(&url.parse().expect("a URI"));
    for good in ["http://127.0.0.1:80/", "http://localhost/x", "http://[::1]:8080"] {
        assert_eq!(check(&to, good), Ok(()), "{good}");
    }
    for plain in
        ["http://example.org/", "http://127.0.0.1.example.org/", "http://10.0.0.7/", "ftp://localhost/", "/path"]
    {
        assert_eq!(check(&to, plain), Err(AddressFault::Scheme), "{plain}");
    }
    assert_eq!(check(&to, "http://ada:hush@localhost/"), Err(AddressFault::User));
    assert_eq!(check(&to.plain_allowed(), "http://10.0.0.7/"), Ok(()));
}

#[test]
fn nothing_secret_is_shown() {
    let url: Uri = "https://example.org/hush?key=hush".parse().expect("a URL");
    let request =
        Request::form(url, &[("key", "hush")]).bearer("hush").header(ACCEPT, HeaderValue::from_static("hush"));
    assert_eq!(format!("{request:?}"), "POST https://example.org");
    let basic = Request::get("https://example.org".parse().expect("a URL")).basic("ada", "hush");
    assert!(basic.headers["authorization"].is_sensitive());
    assert_eq!(basic.headers["authorization"], "Basic YWRhOmh1c2g=");
    let answer = Answer { status: axum::http::StatusCode::OK, headers: request.headers.clone(), body: "hush".into() };
    assert_eq!(format!("{answer:?}"), "200 OK with 4 bytes");
    assert!(!answer.json::<u32>().expect_err("no number").to_string().contains("hush"));
}
