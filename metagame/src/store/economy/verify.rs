//! Checking the books: everything is computed again from what is written, in pages, while metagame runs.
//!
//! Each page is read in one moment. Three passes: the journal by time (entries, postings, seals), the chains of the wallets
//! by number, the wallets against the ends of their chains.

use std::collections::BTreeMap;

use protocol::id::MatchId;

use crate::args;
use crate::core::ledger::{Account, Entry, Posting, chain_hash, entry_hash, journal_id};
use crate::core::seal::{Seal, root};
use crate::db::{Domain, FromRow, List, Row, StoreError, Tx};
use crate::store::Store;

/// Entries or postings of one page.
const PAGE: u32 = 2_000;
/// Most faults that are told.
const FAULTS_MAX: usize = 100;

/// Something in the books that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BookFault {
    /// When what it concerns happened, Unix milliseconds; 0 where nothing tells.
    pub at_ms: u64,
    /// The cause of the entry that it concerns, or the wallet or seal.
    pub subject: String,
    /// What is wrong.
    pub fault: String,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Entries of the journal.
    pub entries: u64,
    /// Wallets.
    pub wallets: u64,
    /// Seals.
    pub seals: u64,
    /// Number and hash of the newest seal: the same as in the log of the program that made it.
    pub newest_seal: Option<(u64, [u8; 32])>,
    /// Sum of the postings by currency and holder, where all players are one: each currency adds up to 0.
    pub sums: BTreeMap<(String, String), i64>,
    /// What is wrong, in the order of time: the first is where the books begin to diverge. At most 100.
    pub faults: Vec<BookFault>,
}

impl Verified {
    fn fault(&mut self, at_ms: u64, subject: impl Into<String>, fault: impl Into<String>) {
        let fault = BookFault { at_ms, subject: subject.into(), fault: fault.into() };
        let at = self.faults.partition_point(|one| *one < fault);
        if self.faults.get(at) != Some(&fault) {
            self.faults.insert(at, fault);
            self.faults.truncate(FAULTS_MAX);
        }
    }
}

/// A row of the journal.
struct JournalRow {
    id: [u8; 16],
    entry: Entry,
    hash: [u8; 32],
}

/// Its columns are those of [`JOURNAL`].
impl FromRow for JournalRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            entry: Entry {
                cause: row.get(1)?,
                kind: row.get(2)?,
                actor: row.get(3)?,
                match_id: row.get::<Option<MatchId>>(4)?,
                detail: row.get(5)?,
                at_ms: row.get(6)?,
                lines: Vec::new(),
                may_owe: false,
            },
            hash: row.get(7)?,
        })
    }
}

const JOURNAL: &str = "\
    SELECT journal_id, cause, kind, actor, match_id, detail, at_ms, entry_hash FROM journal
    WHERE (at_ms, journal_id) > ($1, $2) ORDER BY at_ms, journal_id LIMIT $3";

const POSTINGS: &str = "\
    SELECT journal_id, line, account, currency, amount, number, balance FROM postings
    WHERE journal_id IN blobs($1) ORDER BY journal_id, line";

type PostingRow = ([u8; 16], u64, Account, String, i64, u64, i64);

const CHAINS: &str = "\
    SELECT account, currency, number, amount, postings.balance, hash, line, entry_hash, at_ms, cause
    FROM postings JOIN journal ON journal.journal_id = postings.journal_id
    WHERE number > 0 AND (account, currency, number) > ($1, $2, $3) ORDER BY account, currency, number LIMIT $4";

type ChainRow = (Account, String, u64, i64, i64, [u8; 32], u64, [u8; 32], u64, String);

/// Wallets with the ends of their chains; a posting beyond the wallet's number is there by mistake.
const WALLETS: &str = "\
    SELECT wallets.account, wallets.currency, wallets.balance, wallets.number, last_hash, debt,
           newest.balance, newest.hash,
           (SELECT count(*) FROM postings AS beyond WHERE beyond.account = wallets.account
            AND beyond.currency = wallets.currency AND beyond.number = wallets.number + 1)
    FROM wallets LEFT JOIN postings AS newest ON newest.account = wallets.account AND newest.currency = wallets.currency
         AND newest.number = wallets.number AND newest.number > 0
    WHERE (wallets.account, wallets.currency) > ($1, $2) ORDER BY wallets.account, wallets.currency LIMIT $3";

type WalletRow = (Account, String, i64, u64, [u8; 32], u64, Option<i64>, Option<[u8; 32]>, u64);

const SEALS: &str = "\
    SELECT number, from_ms, until_ms, entries, root, seal_hash FROM ledger_seals WHERE number > $1
    ORDER BY number LIMIT $2";

impl Store {
    /// Checks everything: sums, balances, chains, seals. It may take long; it holds nobody up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_ledger(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        self.verify_journal(&mut verified).await?;
        self.verify_chains(&mut verified).await?;
        self.verify_wallets(&mut verified).await?;
        Ok(verified)
    }

    async fn verify_journal(&self, verified: &mut Verified) -> Result<(), StoreError> {
        let mut seals = Sealed::new(self);
        let (mut at_ms, mut id) = (0_u64, Vec::new());
        loop {
            let page = self
                .database()
                .read(Domain::Operations, (at_ms, id.clone()), |tx, (at_ms, id)| Box::pin(journal_page(tx, *at_ms, id)))
                .await?;
            let Some((last, _)) = page.last() else { break };
            (at_ms, id) = (last.entry.at_ms, last.id.to_vec());
            for (row, postings) in &page {
                verified.entries += 1;
                check_entry(verified, row, postings);
                seals.take(verified, row.entry.at_ms, row.hash).await?;
            }
        }
        seals.finish(verified).await
    }

    async fn verify_chains(&self, verified: &mut Verified) -> Result<(), StoreError> {
        let mut before =
            Chain { account: Account([0; 16]), currency: String::new(), number: 0, balance: 0, hash: [0; 32] };
        loop {
            let args = args![before.account, before.currency, before.number, PAGE];
            let page: Vec<ChainRow> = self.database().all(Domain::Operations, CHAINS, args).await?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                before = check_link(verified, &before, row);
            }
        }
    }

    async fn verify_wallets(&self, verified: &mut Verified) -> Result<(), StoreError> {
        let (mut account, mut currency) = (Account([0; 16]), String::new());
        loop {
            let args = args![account, currency, PAGE];
            let page: Vec<WalletRow> = self.database().all(Domain::Operations, WALLETS, args).await?;
            let Some(last) = page.last() else { return Ok(()) };
            (account, currency) = (last.0, last.1.clone());
            for row in page {
                verified.wallets += 1;
                check_wallet(verified, row);
            }
        }
    }
}

async fn journal_page(
    tx: &mut Tx,
    at_ms: u64,
    id: &[u8],
) -> Result<Vec<(JournalRow, Vec<(u64, Posting)>)>, StoreError> {
    let rows: Vec<JournalRow> = tx.all(JOURNAL, args![at_ms, id, PAGE]).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut postings: BTreeMap<[u8; 16], Vec<(u64, Posting)>> = BTreeMap::new();
    let found: Vec<PostingRow> = tx.all(POSTINGS, args![List(&ids)]).await?;
    for (id, line, account, currency, amount, number, balance) in found {
        let posting = Posting { account, currency, amount, number, balance, hash: [0; 32] };
        postings.entry(id).or_default().push((line, posting));
    }
    Ok(rows
        .into_iter()
        .map(|row| (postings.remove(&row.id).unwrap_or_default(), row))
        .map(|(p, row)| (row, p))
        .collect())
}

fn check_entry(verified: &mut Verified, row: &JournalRow, lines: &[(u64, Posting)]) {
    let (at_ms, cause) = (row.entry.at_ms, &row.entry.cause);
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for (_, posting) in lines {
        *sums.entry(&posting.currency).or_default() += i128::from(posting.amount);
        let holder =
            posting.account.system().map_or("players".to_owned(), |system| format!("system:{}", system.name()));
        let sum = verified.sums.entry((posting.currency.clone(), holder)).or_default();
        *sum = sum.saturating_add(posting.amount);
    }
    if journal_id(cause) != row.id {
        verified.fault(at_ms, cause, "its id is not that of its cause");
    }
    if let Some((currency, sum)) = sums.iter().find(|(_, sum)| **sum != 0) {
        verified.fault(at_ms, cause, format!("its postings of {currency} add up to {sum}"));
    }
    if lines.iter().enumerate().any(|(index, (line, _))| *line != index as u64) {
        verified.fault(at_ms, cause, "a posting is missing");
    }
    let postings: Vec<Posting> = lines.iter().map(|(_, posting)| posting.clone()).collect();
    if entry_hash(&row.entry, &postings) != row.hash {
        verified.fault(at_ms, cause, "its hash is not that of what is written");
    }
}

/// The end of a wallet's chain so far.
struct Chain {
    account: Account,
    currency: String,
    number: u64,
    balance: i64,
    hash: [u8; 32],
}

fn check_link(verified: &mut Verified, before: &Chain, row: ChainRow) -> Chain {
    let (account, currency, number, amount, balance, hash, line, entry_hash, at_ms, cause) = row;
    let goes_on = before.account == account && before.currency == currency;
    let (last, sum, last_hash) = if goes_on { (before.number, before.balance, before.hash) } else { (0, 0, [0; 32]) };
    if number != last + 1 {
        verified.fault(
            at_ms,
            &cause,
            format!("postings {} to {} of {account} in {currency} are missing", last + 1, number - 1),
        );
    } else {
        if balance != sum.saturating_add(amount) {
            let due = sum.saturating_add(amount);
            verified.fault(at_ms, &cause, format!("{account} has {balance} {currency} after it instead of {due}"));
        }
        if hash != chain_hash(&last_hash, &entry_hash, line) {
            verified.fault(at_ms, &cause, format!("the chain of {account} in {currency} breaks at posting {number}"));
        }
    }
    Chain { account, currency, number, balance, hash }
}

fn check_wallet(verified: &mut Verified, row: WalletRow) {
    let (account, currency, balance, number, last_hash, debt, newest_balance, newest_hash, beyond) = row;
    let subject = format!("wallet {account} {currency}");
    if newest_hash.is_none() {
        return verified.fault(0, subject, format!("its newest posting, number {number}, is missing"));
    }
    if newest_balance != Some(balance) {
        let due = newest_balance.unwrap_or_default();
        verified.fault(0, subject.clone(), format!("it holds {balance} and its postings say {due}"));
    }
    if newest_hash != Some(last_hash) || beyond > 0 {
        verified.fault(0, subject.clone(), format!("it does not end with its newest posting, number {number}"));
    }
    if (balance < 0) != (debt == 1) {
        verified.fault(0, subject, format!("its debt flag is {debt} and its balance {balance}"));
    }
}

/// The seals, one after another, as the journal goes by.
struct Sealed<'s> {
    store: &'s Store,
    waiting: std::collections::VecDeque<Seal>,
    read: u64,
    hash: [u8; 32],
    until_ms: u64,
    leaves: Vec<[u8; 32]>,
    over: bool,
}

impl<'s> Sealed<'s> {
    fn new(store: &'s Store) -> Self {
        let waiting = std::collections::VecDeque::new();
        Self { store, waiting, read: 0, hash: [0; 32], until_ms: 0, leaves: Vec::new(), over: false }
    }

    /// The seal whose turn it is.
    async fn current(&mut self) -> Result<Option<Seal>, StoreError> {
        if self.waiting.is_empty() && !self.over {
            let args = args![self.read, PAGE];
            let page: Vec<Seal> = self.store.database().all(Domain::Operations, SEALS, args).await?;
            self.over = page.is_empty();
            self.read = page.last().map_or(self.read, |seal| seal.number);
            self.waiting.extend(page);
        }
        Ok(self.waiting.front().cloned())
    }

    /// An entry passes; they come in the order of time.
    async fn take(&mut self, verified: &mut Verified, at_ms: u64, hash: [u8; 32]) -> Result<(), StoreError> {
        while let Some(seal) = self.current().await?.filter(|seal| seal.until_ms <= at_ms) {
            self.check(verified, &seal);
        }
        self.leaves.push(hash);
        Ok(())
    }

    async fn finish(&mut self, verified: &mut Verified) -> Result<(), StoreError> {
        while let Some(seal) = self.current().await? {
            self.check(verified, &seal);
        }
        Ok(())
    }

    fn check(&mut self, verified: &mut Verified, seal: &Seal) {
        let subject = format!("seal {}", seal.number);
        if seal.number != verified.seals + 1 || seal.from_ms != self.until_ms || seal.hash != seal.hash_after(self.hash)
        {
            verified.fault(seal.from_ms, subject.clone(), "it is not the one that followed the seal before it");
        }
        let found = self.leaves.len() as u64;
        if found != seal.entries {
            let told = format!(
                "between {} and {} ms there are {found} entries and {} were sealed: entries were removed or put in later \
                 (or were written by a machine whose clock was more than a minute behind)",
                seal.from_ms, seal.until_ms, seal.entries
            );
            verified.fault(seal.from_ms, subject, told);
        } else if root(&self.leaves) != seal.root {
            verified.fault(seal.from_ms, subject, "the entries within are not those that were sealed");
        }
        verified.seals = seal.number;
        verified.newest_seal = Some((seal.number, seal.hash));
        (self.hash, self.until_ms) = (seal.hash, seal.until_ms);
        self.leaves.clear();
        self.waiting.pop_front();
    }
}
