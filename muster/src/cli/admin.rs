//! Options of the commands that ask metagame's admin port, and of those that check what it has signed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::database::DatabaseOptions;
use crate::output::Output;

/// Where the commands that change or show what metagame has decided find it.
#[derive(Debug, Clone, Args)]
pub(crate) struct MetagameAdmin {
    /// Metagame's admin port.
    #[arg(
        long,
        global = true,
        env = "MUSTER_METAGAME_ADMIN",
        default_value = "http://127.0.0.1:7101",
        value_name = "URL"
    )]
    pub(crate) admin: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MaintenanceOptions {
    #[command(subcommand)]
    pub(crate) task: MaintenanceTask,
    #[command(flatten)]
    pub(crate) metagame: MetagameAdmin,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum MaintenanceTask {
    /// Refuse new tickets; tickets in the queue and running matches go on. It outlasts a restart.
    On {
        /// What players are told.
        #[arg(long)]
        message: String,
        /// When clients come back.
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        retry_after: u64,
    },
    /// Take new tickets again.
    Off,
    /// Show what is decided.
    Show,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MinimumBuildOptions {
    /// Oldest build that may queue, such as 1.4.0; older clients are told to update.
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    pub(crate) build: Option<String>,
    /// Let every build queue again.
    #[arg(long)]
    pub(crate) clear: bool,
    /// For this queue only; it goes before the general one.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    #[command(flatten)]
    pub(crate) metagame: MetagameAdmin,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct WebhooksOptions {
    #[command(subcommand)]
    pub(crate) task: WebhooksTask,
    #[command(flatten)]
    pub(crate) metagame: MetagameAdmin,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditOptions {
    #[command(subcommand)]
    pub(crate) task: AuditTask,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuditTask {
    /// Compute every hash of the log again, and name the first entry that does not fit. Metagame may run meanwhile; use the
    /// program of its version.
    Verify {
        /// Where accounts and keys are kept.
        #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
        data: PathBuf,
        #[command(flatten)]
        database: DatabaseOptions,
        /// What to print on stdout.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReceiptOptions {
    #[command(subcommand)]
    pub(crate) task: ReceiptTask,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ReceiptTask {
    /// Verify a receipt, or an export with the receipt at its end, and print what it says.
    Verify {
        /// The file.
        file: PathBuf,
        /// The installation's key of receipts, as /v1/privacy/receipt-key says it; without it that of the data folder.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Where accounts and keys are kept.
        #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
        data: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OperatorTokenOptions {
    /// Who it is: the log of acts names it. Letters, digits, `.`, `_` and `-`.
    pub(crate) name: String,
    /// Where the installation's service key is kept.
    #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Hours for which it is good.
    #[arg(long, default_value_t = 8, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=168))]
    pub(crate) hours: u64,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum WebhooksTask {
    /// Show every endpoint: how it does, and how much it has still to be told of.
    List,
    /// Show the events that were given up, and why.
    Dead,
    /// Send dead letters again; an endpoint that was disabled gets another chance.
    Resend {
        /// The endpoint.
        endpoint: String,
        /// One event instead of all dead letters, delivered or not.
        #[arg(long, value_name = "ID")]
        event: Option<String>,
    },
}
