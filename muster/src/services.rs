//! Each service by itself: `muster allocator`, `muster matchmaker`, `muster metagame`.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use matchmaker::QueueSource;
use service::Shutdown;

use crate::cli::{AllocatorOptions, MatchmakerOptions, MetagameOptions};
use crate::cluster_services;
use crate::exit::Failure;
use crate::migrate_store;
use crate::platform::{ServiceData, queues};
use crate::servers_file::ServersFile;

/// Runs the allocator until Ctrl-C or SIGTERM.
pub(crate) fn allocator(options: &AllocatorOptions) -> Result<ExitCode, Failure> {
    options.common.start_logs();
    if options.cluster.kubernetes {
        return until_signal(|shutdown| cluster_services::allocator(options, shutdown));
    }
    let data = ServiceData::open(&options.data)?;
    // Held until the end: two allocators on one folder would fight over its epoch.
    let _lock = data.lock("allocator")?;
    let servers = options.servers.as_deref().map(ServersFile::open).transpose()?;
    let expected = servers.as_ref().map(ServersFile::names);
    let config = allocator::Config { expected, ..data.allocator(options.listen, options.admin)? };
    until_signal(|shutdown| async move {
        let running = allocator::start(config, shutdown).await.map_err(Failure::setup)?;
        if let Some(servers) = servers {
            tokio::spawn(servers.follow(running.handle()));
        }
        running.wait().await.map_err(Failure::run)
    })
}

/// Runs the matchmaker until Ctrl-C or SIGTERM.
pub(crate) fn matchmaker(options: &MatchmakerOptions) -> Result<ExitCode, Failure> {
    options.common.start_logs();
    if options.cluster.kubernetes {
        return until_signal(|shutdown| cluster_services::matchmaker(options, shutdown));
    }
    let data = ServiceData::open(&options.data)?;
    let drain = Duration::from_secs(options.drain_seconds);
    let queues = QueueSource::Given(queues(options.queues.as_deref())?);
    let config = data.matchmaker(options.listen, options.admin, &options.allocator, queues, drain);
    until_signal(|shutdown| async move {
        let running = matchmaker::start(config, shutdown).await.map_err(Failure::setup)?;
        running.wait().await.map_err(Failure::run)
    })
}

/// Runs metagame until Ctrl-C or SIGTERM.
pub(crate) fn metagame(options: &MetagameOptions) -> Result<ExitCode, Failure> {
    if let Some(task) = &options.task {
        return migrate_store::run(task);
    }
    options.common.start_logs();
    if options.cluster.kubernetes {
        return until_signal(|shutdown| cluster_services::metagame(options, shutdown));
    }
    let data = ServiceData::open(&options.data)?;
    let database = options.database.location(&options.data)?;
    let data = data.with_identity(options.identity.read()?);
    let config = data.metagame(options.listen, options.admin, &options.allocator, &options.matchmaker, database);
    let config = metagame::Config { webhooks: options.webhooks.read()?, parts: options.parts.read()?, ..config };
    until_signal(|shutdown| async move {
        let running = metagame::start(config, shutdown).await.map_err(Failure::setup)?;
        running.wait().await.map_err(Failure::run)
    })
}

/// Runs until Ctrl-C or SIGTERM.
pub(crate) fn until_signal<F: Future<Output = Result<(), Failure>>>(
    serve: impl FnOnce(Shutdown) -> F,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals().map_err(Failure::setup)?;
        serve(shutdown).await.map(|()| ExitCode::SUCCESS)
    })
}
