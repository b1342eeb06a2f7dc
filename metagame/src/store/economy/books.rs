//! Writing into the books: an entry of the journal, its postings and the wallets, in one round trip.

use crate::args;
use crate::core::ledger::{Account, Booked, Entry, LedgerFault, Wallet, book};
use crate::db::{List, Sql, StoreError, Tx};
use crate::together;

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It is in the books.
    Now(Booked),
    /// It cannot be; nothing was written.
    Refused(LedgerFault),
}

const WALLETS: &str = "\
    SELECT currency, balance, number, last_hash FROM wallets WHERE account = $1 AND currency IN texts($2)";

/// All three take the same rows, so they go to the server once.
const WRITE: Sql = together! {
    journal: "INSERT INTO journal (journal_id, cause, kind, actor, match_id, detail, at_ms, entry_hash)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    postings: "INSERT INTO postings (journal_id, line, account, currency, amount, number, balance, hash)
               SELECT $1, line, account, currency, amount, number, balance, hash
               FROM ROWS(line int $9, account blob $10, currency text $11, amount int $12, number int $13,
                         balance int $14, hash blob $15)",
    wallets: "INSERT INTO wallets (account, currency, balance, number, last_hash, debt)
              SELECT account, currency, balance, number, hash, CASE WHEN balance < 0 THEN 1 ELSE 0 END
              FROM ROWS(account blob $10, currency text $11, number int $13, balance int $14, hash blob $15)
              WHERE number > 0
              ON CONFLICT (account, currency) DO UPDATE SET balance = excluded.balance, number = excluded.number,
                  last_hash = excluded.last_hash, debt = excluded.debt",
};

/// Writes an entry, if its players have what it takes. It must not be there yet: its caller holds a key that says so, or has
/// asked [`is_booked`].
pub(crate) async fn post(tx: &mut Tx, entry: &Entry) -> Result<Posted, StoreError> {
    let wallets = wallets_of(tx, entry).await?;
    match book(entry, &wallets) {
        Ok(booked) => {
            write(tx, entry, &booked).await?;
            Ok(Posted::Now(booked))
        }
        Err(fault) => Ok(Posted::Refused(fault)),
    }
}

/// Whether something with this cause is in the books.
pub(crate) async fn is_booked(tx: &mut Tx, entry_id: [u8; 16]) -> Result<bool, StoreError> {
    let found: Option<u64> = tx.optional("SELECT 1 FROM journal WHERE journal_id = $1", args![entry_id]).await?;
    Ok(found.is_some())
}

/// The wallets that an entry moves, as they are.
pub(crate) async fn wallets_of(tx: &mut Tx, entry: &Entry) -> Result<Vec<Wallet>, StoreError> {
    let touched = entry.wallets();
    let mut wallets = Vec::with_capacity(touched.len());
    // By key, one player after another: a join is free to read the whole table, and then everybody meets everybody.
    for players in touched.chunk_by(|a, b| a.0 == b.0) {
        let account = players[0].0;
        let currencies: Vec<&str> = players.iter().map(|(_, currency)| *currency).collect();
        wallets.extend(wallets_in(tx, account, &currencies).await?);
    }
    Ok(wallets)
}

/// An account's wallets of these currencies.
pub(crate) async fn wallets_in(tx: &mut Tx, account: Account, currencies: &[&str]) -> Result<Vec<Wallet>, StoreError> {
    let rows: Vec<(String, i64, u64, [u8; 32])> = tx.all(WALLETS, args![account, List(currencies)]).await?;
    let wallet = |(currency, balance, number, last_hash)| Wallet { account, currency, balance, number, last_hash };
    Ok(rows.into_iter().map(wallet).collect())
}

/// Writes what [`book`] has made of an entry.
pub(crate) async fn write(tx: &mut Tx, entry: &Entry, booked: &Booked) -> Result<(), StoreError> {
    let postings = &booked.postings;
    let lines: Vec<u64> = (0..postings.len() as u64).collect();
    let accounts: Vec<_> = postings.iter().map(|posting| posting.account).collect();
    let currencies: Vec<_> = postings.iter().map(|posting| posting.currency.as_str()).collect();
    let amounts: Vec<_> = postings.iter().map(|posting| posting.amount).collect();
    let numbers: Vec<_> = postings.iter().map(|posting| posting.number).collect();
    let balances: Vec<_> = postings.iter().map(|posting| posting.balance).collect();
    let hashes: Vec<_> = postings.iter().map(|posting| posting.hash).collect();
    let args = args![
        booked.journal_id,
        entry.cause,
        entry.kind,
        entry.actor,
        entry.match_id,
        entry.detail,
        entry.at_ms,
        booked.entry_hash,
        List(&lines),
        List(&accounts),
        List(&currencies),
        List(&amounts),
        List(&numbers),
        List(&balances),
        List(&hashes),
    ];
    tx.execute(WRITE, args).await.map(drop)
}
