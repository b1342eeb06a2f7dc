//! Mail by SMTP, to a server that refuses first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use metagame::{IdentitySettings, MailSettings, MailWay, SmtpSettings, SmtpTls};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::harness::Harness;
use super::passwords::code;

/// A mail server that refuses the first mail and takes all others.
async fn server() -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (taken, mails) = mpsc::unbounded_channel();
    let seen = Arc::new(AtomicU32::new(0));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, Arc::clone(&seen), taken.clone()));
        }
    });
    (port, mails)
}

async fn serve(tcp: TcpStream, seen: Arc<AtomicU32>, taken: mpsc::UnboundedSender<String>) -> std::io::Result<()> {
    let (read, mut write) = tcp.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 mail.test\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let word = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
        let answer: &[u8] = match word.as_str() {
            "EHLO" => b"250 mail.test\r\n",
            "RCPT" if seen.fetch_add(1, Ordering::Relaxed) == 0 => b"451 come back later\r\n",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    mail.push_str(&line);
                    mail.push('\n');
                }
                let _ = taken.send(mail);
                b"250 taken\r\n"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 fine\r\n",
        };
        write.write_all(answer).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_sent_again() {
    let (port, mut mails) = server().await;
    let smtp = SmtpSettings { server: "127.0.0.1".into(), port, tls: SmtpTls::None, login: None, authority_file: None };
    let harness = Harness::start_changed(|config, _| {
        let mail = MailSettings {
            from: "Arena <no-reply@example.org>".into(),
            game: "Arena".into(),
            way: MailWay::Smtp(smtp),
        };
        config.identity = IdentitySettings { mail: Some(mail), ..IdentitySettings::default() };
    })
    .await;
    let body = json!({ "email": "ada@example.org", "password": "tenacious badger" });
    let sent = harness.post("/v1/auth/password/register", None, &body).await;
    let mail = tokio::time::timeout(testkit::wait::PATIENCE, mails.recv()).await.expect("in time").expect("a mail");
    assert!(mail.contains("To: ada@example.org") && mail.contains("From: Arena <no-reply@example.org>"), "{mail}");
    let body = json!({ "code_id": sent.text("code_id"), "code": code(&mail) });
    assert_eq!(harness.post("/v1/auth/password/register/verify", None, &body).await.status, 200);
}
