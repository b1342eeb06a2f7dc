//! The economy: the flag that names the catalog, and `muster ledger verify`, which checks the books.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use metagame::store::economy::Verified;
use metagame::{Economy, read_catalog, read_stripe};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::database::DatabaseOptions;
use crate::exit::Failure;
use crate::output::{Output, answer};

/// What is sold, and what matches give.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct EconomyOptions {
    /// Catalog of currencies, items, offers, recipes and rewards. Without it there are gold and gems, gold for every match,
    /// and nothing is sold.
    #[arg(long, env = "MUSTER_CATALOG", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) catalog: Option<PathBuf>,
    /// Sell for money of the world, by Stripe: file with its addresses and the files of its keys (TOML).
    #[arg(long, env = "MUSTER_STRIPE", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) stripe: Option<PathBuf>,
}

impl EconomyOptions {
    /// The settings, with the catalog checked.
    pub(crate) fn read(&self) -> Result<Economy, Failure> {
        let mut economy = Economy::default();
        if let Some(path) = &self.catalog {
            economy.catalog = read_catalog(path).map_err(Failure::setup)?.into();
        }
        economy.stripe = self.stripe.as_deref().map(read_stripe).transpose().map_err(Failure::setup)?;
        Ok(economy)
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LedgerOptions {
    #[command(subcommand)]
    pub(crate) task: LedgerTask,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LedgerTask {
    /// Compute every balance, hash and seal again, and name the first entry that does not fit. Metagame may run meanwhile; use
    /// the program of its version.
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

/// Checks the books.
pub(crate) fn ledger(options: &LedgerOptions) -> Result<ExitCode, Failure> {
    let LedgerTask::Verify { data, database, output } = &options.task;
    let verified = database.look(data, async |store| store.verify_ledger().await.map_err(Failure::run))?;
    answer(&match output {
        Output::Text => text(&verified),
        Output::Json => whole(&verified),
    })?;
    Ok(if verified.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn text(verified: &Verified) -> String {
    let Verified { entries, wallets, seals, .. } = verified;
    let mut lines = vec![format!("{entries} entries, {wallets} wallets, {seals} seals")];
    if let Some((number, hash)) = &verified.newest_seal {
        lines.push(format!("newest seal: {number} {}", hex::encode(hash)));
    }
    for ((currency, holder), sum) in &verified.sums {
        lines.push(format!("{currency}  {holder}  {sum}"));
    }
    match verified.faults.split_first() {
        None => lines.push("the books are whole".to_owned()),
        Some((first, more)) => {
            lines.push(format!("the books diverge first at {}: {}", first.subject, first.fault));
            lines.extend(more.iter().map(|fault| format!("  then at {}: {}", fault.subject, fault.fault)));
        }
    }
    lines.join("\n")
}

fn whole(verified: &Verified) -> String {
    let sum = |((currency, holder), sum): (&(String, String), &i64)| json!({ "currency": currency, "holder": holder, "sum": sum });
    let fault = |one: &metagame::store::economy::BookFault| json!({ "at_ms": one.at_ms, "subject": one.subject, "fault": one.fault });
    let seal = verified.newest_seal.map(|(number, hash)| json!({ "number": number, "hash": hex::encode(hash) }));
    json!({
        "whole": verified.faults.is_empty(),
        "entries": verified.entries,
        "wallets": verified.wallets,
        "seals": verified.seals,
        "newest_seal": seal,
        "sums": verified.sums.iter().map(sum).collect::<Vec<_>>(),
        "faults": verified.faults.iter().map(fault).collect::<Vec<_>>(),
    })
    .to_string()
}
