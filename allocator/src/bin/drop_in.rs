//! For tests, which kill it: Agones' allocation interfaces as a program of their own. Of several, the one that holds the
//! Lease gives out servers. `drop_in NAMESPACE GRPC_ADDRESS TLS_FOLDER LEASE_SECONDS`
#![expect(clippy::print_stdout, reason = "a program of tests says on stdout that it serves")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use allocator::agones::{Config, Interfaces, Limits, TlsFiles, start};
use cluster::lease::{Candidacy, Timing, campaign};
use service::Shutdown;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, address, folder, seconds] = arguments.as_slice() else {
        return Err("drop_in NAMESPACE GRPC_ADDRESS TLS_FOLDER LEASE_SECONDS".into());
    };
    let client = kube::Client::try_default().await?;
    let duration = Duration::from_secs(seconds.parse()?);
    let candidacy = Candidacy {
        namespace: namespace.clone(),
        name: "drop-in".to_owned(),
        me: format!("{}@{address}", hex::encode(service::random::bytes::<8>())),
        timing: Timing { duration, retry: duration / 6 },
    };
    let (leadership, _campaign) = campaign(client.clone(), candidacy, CancellationToken::new());
    let gate = move || leadership.epoch().map(|epoch| epoch.0).ok_or_else(|| leadership.holder());
    let config = Config {
        client,
        gate: Arc::new(gate),
        namespaces: vec![namespace.clone()],
        limits: Limits::default(),
        interfaces: Some(Interfaces {
            grpc: address.parse()?,
            rest: "127.0.0.1:0".parse()?,
            tls: TlsFiles::in_folder(Path::new(folder)),
        }),
    };
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let running = start(config, shutdown).await?;
    running.engine.ready().await?;
    println!("serving");
    running.wait().await;
    Ok(())
}
