//! For tests and benches: the allocator as `muster allocator --kubernetes` starts it, as a process of its own.
//! `kubernetes_allocator NAMESPACE CALLERS` says on stdout where it serves once it leads; game servers and the Lease are in
//! the one namespace. It ends when its standard input does.
#![expect(clippy::print_stdout, reason = "a program of tests says on stdout that it serves")]

use std::sync::Arc;

use allocator::kubernetes::{Config, start};
use allocator::{Limits, Timing, agones};
use protocol::jwt::SigningKey;
use service::Shutdown;
use service::logs::{Format, init};
use tokio::io::AsyncReadExt as _;

#[global_allocator]
static HEAP: service::Heap = service::Heap;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, callers] = arguments.as_slice() else {
        return Err("kubernetes_allocator NAMESPACE CALLERS".into());
    };
    init("info", Format::Json);
    let config = Config {
        address: "127.0.0.1:0".parse()?,
        admin_address: "127.0.0.1:0".parse()?,
        signing_key: Arc::new(SigningKey::from_seed(&service::random::bytes())),
        client: kube::Client::try_default().await?,
        namespace: namespace.clone(),
        game_namespaces: vec![namespace.clone()],
        pod: "allocator-0".to_owned(),
        advertise: None,
        callers: callers.parse()?,
        interfaces: None,
        agones_backend: agones::Mode::Direct,
        lease: cluster::lease::Timing::default(),
        timing: Timing::default(),
        limits: Limits::default(),
    };
    let shutdown = Shutdown::new();
    let (running, mut leadership) = start(config, shutdown.clone()).await?;
    while leadership.epoch().is_none() {
        leadership.changed().await;
    }
    println!("{}", running.address);
    tokio::spawn(async move {
        // Nothing ever comes: it ends with the process that holds the other end.
        tokio::io::stdin().read_to_end(&mut Vec::new()).await.ok();
        shutdown.trigger();
    });
    running.wait().await?;
    Ok(())
}
