//! NATS JetStream: each event is a message under `<name>.<type>`, and its id is the one by which the server drops repetitions.
//!
//! This is the one file that knows the client library. It connects in the background, for ever; while it is not connected nothing
//! is handed to it, because it would keep messages that the relay has long sent again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::{Client, ConnectOptions};
use futures_util::future::{BoxFuture, join_all};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{BusName, Handed, NatsAccess, NatsUrl, Sink, SinkFault};
use crate::core::event::{Event, rounds};

/// Longest that an acknowledgement may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Longest for all rounds of one batch; with one more answer still within what a relay may take.
const ROUNDS_MAX: Duration = Duration::from_secs(2);
/// Longest that a connection may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest pause before another connection is tried.
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// How long a stream that is made here keeps events.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Within this time a stream that is made here drops repetitions: longer than a relay that was killed takes to be replaced.
const REPEATS: Duration = Duration::from_secs(10 * 60);

/// Why the way to NATS cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The credentials cannot be used.
    #[error("cannot use the credentials of NATS in {path}: {error}; give the .creds file of a user that may publish")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: std::io::Error,
    },
    /// The certificates that servers are checked against cannot be used.
    #[error(
        "cannot use the certificates for NATS in {path}: {reason}; give a PEM file with the certificate of whoever signed the server's"
    )]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The library refuses the settings.
    #[error("cannot prepare the connection to NATS: {0}")]
    Connect(#[from] async_nats::ConnectError),
}

/// The library reads the file anew for each connection, and only then would say what is wrong with it.
fn readable(roots: &Path) -> Result<(), NatsError> {
    let refused = |reason: String| NatsError::Roots { path: roots.to_owned(), reason };
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(roots).and_then(Iterator::collect).map_err(|error| refused(error.to_string()));
    if all?.is_empty() {
        return Err(refused("there is no certificate in it".to_owned()));
    }
    Ok(())
}

/// A stream of a NATS server.
#[derive(Debug)]
pub struct Nats {
    client: Client,
    jetstream: Context,
    name: BusName,
    source: String,
}

impl Nats {
    /// The way to a server, which need not be there yet. `source` names the installation in events.
    ///
    /// # Errors
    /// [`NatsError`].
    pub async fn open(url: &NatsUrl, access: &NatsAccess, name: &BusName, source: String) -> Result<Self, NatsError> {
        let mut options = ConnectOptions::new()
            .name("muster-metagame")
            .connection_timeout(CONNECT_MAX)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| RECONNECT_MAX.min(Duration::from_millis(50 * tries as u64)));
        if let Some(path) = &access.roots {
            readable(path)?;
            options = options.add_root_certificates(path.clone());
        }
        if let Some(path) = &access.credentials {
            let refused = |error| NatsError::Credentials { path: path.clone(), error };
            options = options.credentials_file(path).await.map_err(refused)?;
        }
        if let Some((user, password)) = url.user() {
            options = match password {
                Some(password) => options.user_and_password(user, password),
                None => options.token(user),
            };
        }
        let client = options.connect(url.servers.clone()).await?;
        let jetstream = ContextBuilder::new().timeout(ANSWER_MAX).build(client.clone());
        Ok(Self { client, jetstream, name: name.clone(), source })
    }

    async fn publish(&self, event: &Event) -> Result<PublishAckFuture, PublishError> {
        let message = PublishMessage::build()
            .message_id(&event.id)
            .header("content-type", "application/cloudevents+json")
            .payload(event.cloud_event(&self.source).into());
        self.jetstream.send_publish(format!("{}.{}", self.name, event.type_name), message).await
    }

    /// Messages of one round, each of another subject: all on their way, then all acknowledged.
    async fn round(&self, events: &[&Event], handed: &mut Handed) {
        let published = join_all(events.iter().map(|event| async move {
            match self.publish(event).await {
                Ok(acknowledged) => acknowledged.await.map(drop),
                Err(error) => Err(error),
            }
        }));
        for (event, outcome) in events.iter().zip(published.await) {
            match outcome {
                Ok(()) => handed.taken.push(event.sequence),
                Err(error) => handed.fault = Some(fault(event, &error)),
            }
        }
    }

    /// Makes the stream if there is none; one that is there stays as its owner has made it.
    async fn make_stream(&self) -> Option<SinkFault> {
        let config = Config {
            name: self.name.of_stream(),
            description: Some("Events of a Muster installation".to_owned()),
            subjects: vec![format!("{}.>", self.name)],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_age: LIFE,
            duplicate_window: REPEATS,
            num_replicas: 1,
            ..Config::default()
        };
        match self.jetstream.get_or_create_stream(config).await {
            Ok(_) => {
                tracing::info!(stream = self.name.of_stream(), "the stream of events is there");
                None
            }
            Err(error) => Some(SinkFault::Refused(format!("no stream {}: {error}", self.name.of_stream()))),
        }
    }
}

impl Sink for Nats {
    fn hand<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Handed> {
        Box::pin(async move {
            if self.client.connection_state() != State::Connected {
                return Handed::none(SinkFault::Away("not connected".to_owned()));
            }
            let begun = tokio::time::Instant::now();
            let mut handed = Handed::default();
            for round in rounds(events) {
                let some: Vec<&Event> = round.into_iter().map(|at| &events[at]).collect();
                self.round(&some, &mut handed).await;
                // What follows may be of the subject that was not taken; and what there is no time for is read again.
                if handed.fault.is_some() || begun.elapsed() > ROUNDS_MAX {
                    break;
                }
            }
            let is_missing = handed.fault.as_ref().is_some_and(|fault| *fault == no_stream());
            if is_missing {
                // If it was made, what is left is handed over with the next look.
                handed.fault = self.make_stream().await;
            }
            handed
        })
    }
}

fn no_stream() -> SinkFault {
    SinkFault::Refused("there is no stream for events".to_owned())
}

fn fault(event: &Event, error: &PublishError) -> SinkFault {
    match error.kind() {
        PublishErrorKind::StreamNotFound => no_stream(),
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::MaxAckPending => {
            SinkFault::Away(error.to_string())
        }
        _ => SinkFault::Refused(format!("event {}: {error}", event.id)),
    }
}
