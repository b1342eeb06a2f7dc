//! The books: double entry in whole minor units, each wallet a chain of hashes.
//!
//! An [`Entry`] is one thing that happened. Its lines add up to 0 in each currency: what a player gets, an account of the
//! [`System`] gives. [`book`] turns it into postings: one per account and currency, numbered and hashed onto the one before in
//! players' wallets. System accounts have no number, no balance and no chain, because a row that every purchase changes would
//! make all of them wait for each other; their balance is the sum of their postings, their history that of the journal.
//!
//! Whoever changes a row afterwards changes a hash: of the entry, of every later posting of the wallet, and of the seal over
//! its stretch of time ([`super::seal`]).

use std::collections::BTreeMap;

use protocol::id::{MatchId, PlayerId};
use sha2::{Digest as _, Sha256};

/// Largest amount and largest balance, 2⁵³ − 1: what every JSON reader takes without rounding.
pub const AMOUNT_MAX: i64 = (1 << 53) - 1;

/// A holder of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(pub [u8; 16]);

/// Accounts that are not players'. Where they stand says what happened: minus what was granted, plus what was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// Gives what players earn.
    Rewards,
    /// Takes what players spend.
    Shop,
    /// Gives what players bought with money of the world.
    Payments,
    /// Keeps what is disputed at the bank.
    Disputes,
    /// Keeps what is offered in a trade.
    Escrow,
    /// Gives and takes what operators order.
    Operator,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Rewards, Self::Shop, Self::Payments, Self::Disputes, Self::Escrow, Self::Operator];

    /// Its name, at most 9 bytes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewards => "rewards",
            Self::Shop => "shop",
            Self::Payments => "payments",
            Self::Disputes => "disputes",
            Self::Escrow => "escrow",
            Self::Operator => "operator",
        }
    }

    /// Its account: `system:` and the name. No player has such an id, for UUIDs have a version where the colon is.
    pub fn account(self) -> Account {
        let mut id = [0; 16];
        id[..7].copy_from_slice(b"system:");
        id[7..7 + self.name().len()].copy_from_slice(self.name().as_bytes());
        Account(id)
    }
}

impl From<PlayerId> for Account {
    fn from(player: PlayerId) -> Self {
        Self(player.to_bytes())
    }
}

impl Account {
    /// Which system account it is; `None` for a player's.
    pub fn system(self) -> Option<System> {
        System::ALL.into_iter().find(|system| system.account() == self)
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.system() {
            Some(system) => write!(formatter, "system:{}", system.name()),
            None => PlayerId::from_bytes(self.0).fmt(formatter),
        }
    }
}

/// One side of a movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub account: Account,
    /// Of what.
    pub currency: String,
    /// Plus is received, minus is given.
    pub amount: i64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Names it: what has the same cause is the same thing.
    pub cause: String,
    /// What sort of thing.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// The match that led to it.
    pub match_id: Option<MatchId>,
    /// JSON: goods that moved, versions of the rules.
    pub detail: String,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// The movements.
    pub lines: Vec<Line>,
    /// Whether players may owe afterwards: only what is taken back from them by right.
    pub may_owe: bool,
}

impl Entry {
    /// An entry of `kind`, without movements yet. `cause` begins with its kind: `purchase:…`.
    pub fn new(cause: String, actor: String, at_ms: u64) -> Self {
        let kind = cause.split(':').next().unwrap_or_default().to_owned();
        Self { cause, kind, actor, match_id: None, detail: "{}".into(), at_ms, lines: Vec::new(), may_owe: false }
    }

    /// Moves `amount` from one account to another.
    pub fn transfer(&mut self, from: Account, to: Account, currency: &str, amount: i64) {
        let line = |account, amount| Line { account, currency: currency.to_owned(), amount };
        self.lines.push(line(from, amount.saturating_neg()));
        self.lines.push(line(to, amount));
    }

    /// Its id: made of the cause.
    pub fn id(&self) -> [u8; 16] {
        journal_id(&self.cause)
    }

    /// The wallets that it moves.
    pub fn wallets(&self) -> Vec<(Account, &str)> {
        let players = self.lines.iter().filter(|line| line.account.system().is_none());
        let mut wallets: Vec<_> = players.map(|line| (line.account, line.currency.as_str())).collect();
        wallets.sort_unstable();
        wallets.dedup();
        wallets
    }
}

/// The id of the entry with this cause.
pub fn journal_id(cause: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(cause).into();
    hash[..16].try_into().expect("16 of 32 bytes")
}

/// What a player has of a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// Whose.
    pub account: Account,
    /// Of what.
    pub currency: String,
    /// Minor units; negative is owed.
    pub balance: i64,
    /// Postings so far.
    pub number: u64,
    /// Hash of the newest; zeros before the first.
    pub last_hash: [u8; 32],
}

impl Wallet {
    /// A wallet in which nothing has happened.
    pub fn empty(account: Account, currency: &str) -> Self {
        Self { account, currency: currency.to_owned(), balance: 0, number: 0, last_hash: [0; 32] }
    }
}

/// An entry's movement of one account and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Whose.
    pub account: Account,
    /// Of what.
    pub currency: String,
    /// Plus is received, minus is given.
    pub amount: i64,
    /// In the wallet, from 1; 0 in a system account.
    pub number: u64,
    /// The wallet's balance afterwards; 0 in a system account.
    pub balance: i64,
    /// The chain's hash; zeros in a system account.
    pub hash: [u8; 32],
}

/// An entry as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// [`Entry::id`].
    pub journal_id: [u8; 16],
    /// [`entry_hash`].
    pub entry_hash: [u8; 32],
    /// In the order of their line numbers.
    pub postings: Vec<Posting>,
}

/// Why an entry cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// More is given than received, or less.
    #[error("the movements of {0} do not add up to 0")]
    Unbalanced(String),
    /// The player does not have it.
    #[error("{account} has {balance} {currency} and would give {amount}")]
    Insufficient {
        /// Whose.
        account: Account,
        /// Of what.
        currency: String,
        /// What there is.
        balance: i64,
        /// What is asked for.
        amount: i64,
    },
    /// More than [`AMOUNT_MAX`].
    #[error("an amount or a balance of {0} is beyond what can be counted")]
    TooLarge(String),
}

/// Writes an entry onto the wallets as they are; those that are not among `wallets` are empty.
///
/// # Errors
/// [`LedgerFault`]; then nothing of it happens.
pub fn book(entry: &Entry, wallets: &[Wallet]) -> Result<Booked, LedgerFault> {
    let mut postings = Vec::new();
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for ((account, currency), amount) in moved(entry) {
        *sums.entry(currency).or_default() += amount;
        let too_large = |_| LedgerFault::TooLarge(currency.to_owned());
        let amount = i64::try_from(amount).map_err(too_large)?;
        if amount.unsigned_abs() > AMOUNT_MAX as u64 {
            return Err(LedgerFault::TooLarge(currency.to_owned()));
        }
        if amount == 0 {
            continue;
        }
        let mut posting =
            Posting { account, currency: currency.to_owned(), amount, number: 0, balance: 0, hash: [0; 32] };
        if account.system().is_none() {
            let before = wallet(wallets, account, currency);
            let (number, balance) = before.map_or((0, 0), |wallet| (wallet.number, wallet.balance));
            posting.number = number + 1;
            posting.balance = balance.saturating_add(amount);
            if posting.balance.unsigned_abs() > AMOUNT_MAX as u64 {
                return Err(LedgerFault::TooLarge(currency.to_owned()));
            }
            if amount < 0 && posting.balance < 0 && !entry.may_owe {
                let currency = currency.to_owned();
                return Err(LedgerFault::Insufficient { account, currency, balance, amount: -amount });
            }
        }
        postings.push(posting);
    }
    if let Some((currency, _)) = sums.iter().find(|(_, sum)| **sum != 0) {
        return Err(LedgerFault::Unbalanced((*currency).to_owned()));
    }
    let entry_hash = entry_hash(entry, &postings);
    for (line, posting) in postings.iter_mut().enumerate().filter(|(_, posting)| posting.number > 0) {
        let last = wallet(wallets, posting.account, &posting.currency).map_or([0; 32], |wallet| wallet.last_hash);
        posting.hash = chain_hash(&last, &entry_hash, line as u64);
    }
    Ok(Booked { journal_id: entry.id(), entry_hash, postings })
}

/// The sum per account and currency: an entry posts once to each.
fn moved(entry: &Entry) -> BTreeMap<(Account, &str), i128> {
    let mut moved = BTreeMap::new();
    for line in &entry.lines {
        *moved.entry((line.account, line.currency.as_str())).or_default() += i128::from(line.amount);
    }
    moved
}

fn wallet<'w>(wallets: &'w [Wallet], account: Account, currency: &str) -> Option<&'w Wallet> {
    wallets.iter().find(|wallet| wallet.account == account && wallet.currency == currency)
}

/// SHA-256 over an entry and its postings, without their chains. Texts go with their length before them, numbers as 8 bytes,
/// big end first.
pub fn entry_hash(entry: &Entry, postings: &[Posting]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"muster-ledger-entry-1");
    for part in [&entry.cause, &entry.kind, &entry.actor, &entry.detail] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update([u8::from(entry.match_id.is_some())]);
    hash.update(entry.match_id.map_or([0; 16], MatchId::to_bytes));
    hash.update(entry.at_ms.to_be_bytes());
    hash.update((postings.len() as u64).to_be_bytes());
    for posting in postings {
        hash.update(posting.account.0);
        hash.update((posting.currency.len() as u64).to_be_bytes());
        hash.update(&posting.currency);
        hash.update(posting.amount.to_be_bytes());
        hash.update(posting.number.to_be_bytes());
        hash.update(posting.balance.to_be_bytes());
    }
    hash.finalize().into()
}

/// The hash of a wallet's posting: over the one before, the entry, and which of its lines it is.
pub fn chain_hash(before: &[u8; 32], entry_hash: &[u8; 32], line: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"muster-ledger-chain-1");
    hash.update(before);
    hash.update(entry_hash);
    hash.update(line.to_be_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn player(n: u8) -> Account {
        PlayerId::from_entropy([n; 16]).into()
    }

    fn entry(cause: &str, moves: &[(Account, Account, i64)]) -> Entry {
        let mut entry = Entry::new(cause.into(), "system".into(), 7);
        for (from, to, amount) in moves {
            entry.transfer(*from, *to, "gold", *amount);
        }
        entry
    }

    /// Books an entry and keeps the wallets, as a store does.
    fn apply(wallets: &mut Vec<Wallet>, entry: &Entry) -> Result<Booked, LedgerFault> {
        let booked = book(entry, wallets)?;
        for posting in booked.postings.iter().filter(|posting| posting.number > 0) {
            wallets.retain(|one| (one.account, &one.currency) != (posting.account, &posting.currency));
            wallets.push(Wallet {
                account: posting.account,
                currency: posting.currency.clone(),
                balance: posting.balance,
                number: posting.number,
                last_hash: posting.hash,
            });
        }
        Ok(booked)
    }

    #[test]
    fn a_wallet_is_a_chain_of_what_happened_to_it() {
        let mut wallets = Vec::new();
        let shop = System::Shop.account();
        apply(&mut wallets, &entry("match:1", &[(System::Rewards.account(), player(1), 50)])).expect("a grant");
        let bought = apply(&mut wallets, &entry("purchase:1", &[(player(1), shop, 20)])).expect("a purchase");
        let mine = bought.postings.iter().find(|one| one.account == player(1)).expect("a posting");
        assert_eq!((mine.amount, mine.number, mine.balance), (-20, 2, 30));
        let shops = bought.postings.iter().find(|one| one.account == shop).expect("a posting");
        assert_eq!((shops.amount, shops.number, shops.balance, shops.hash), (20, 0, 0, [0; 32]));
        let line = bought.postings.iter().position(|one| one == mine).expect("its line") as u64;
        let first = book(&entry("match:1", &[(System::Rewards.account(), player(1), 50)]), &[]).expect("the same");
        let before = first.postings.iter().find(|one| one.number == 1).expect("a posting").hash;
        assert_eq!(mine.hash, chain_hash(&before, &bought.entry_hash, line));
    }

    #[test]
    fn nobody_gives_what_is_not_there_unless_it_may_be_owed() {
        let taken = entry("purchase:1", &[(player(1), System::Shop.account(), 1)]);
        let fault = book(&taken, &[]).expect_err("nothing there");
        assert!(matches!(fault, LedgerFault::Insufficient { balance: 0, amount: 1, .. }), "{fault:?}");
        let owed = book(&Entry { may_owe: true, ..taken }, &[]).expect("a debt");
        assert!(owed.postings.iter().any(|posting| posting.balance == -1));
        // Who owes may be given less than the debt.
        let wallet = Wallet { balance: -10, number: 3, ..Wallet::empty(player(1), "gold") };
        let given = entry("match:1", &[(System::Rewards.account(), player(1), 4)]);
        let booked = book(&given, &[wallet]).expect("a grant");
        assert!(booked.postings.iter().any(|posting| posting.balance == -6 && posting.number == 4));
    }

    #[test]
    fn what_does_not_add_up_or_cannot_be_counted_is_refused() {
        let mut odd = entry("odd", &[(player(1), player(2), 0)]);
        odd.lines.push(Line { account: player(1), currency: "gems".into(), amount: 1 });
        assert_eq!(book(&odd, &[]), Err(LedgerFault::Unbalanced("gems".into())));
        for amount in [AMOUNT_MAX + 1, i64::MAX, i64::MIN] {
            let large = Entry { may_owe: true, ..entry("large", &[(System::Rewards.account(), player(1), amount)]) };
            assert_eq!(book(&large, &[]), Err(LedgerFault::TooLarge("gold".into())), "{amount}");
        }
    }

    #[test]
    fn every_word_of_an_entry_is_in_its_hash() {
        let one = entry("match:1", &[(System::Rewards.account(), player(1), 50)]);
        let hash = |entry: &Entry| book(entry, &[]).expect("an entry").entry_hash;
        let others = [
            Entry { cause: "match:2".into(), ..one.clone() },
            Entry { kind: "purchase".into(), ..one.clone() },
            Entry { actor: "operator:x".into(), ..one.clone() },
            Entry { detail: "{ }".into(), ..one.clone() },
            Entry { at_ms: 8, ..one.clone() },
            Entry { match_id: Some(MatchId::from_bytes([0; 16])), ..one.clone() },
            entry("match:1", &[(System::Rewards.account(), player(1), 51)]),
            entry("match:1", &[(System::Rewards.account(), player(2), 50)]),
            entry("match:1", &[(System::Operator.account(), player(1), 50)]),
        ];
        for other in &others {
            assert_ne!(hash(&one), hash(other), "{other:?}");
        }
    }

    #[test]
    fn a_system_account_has_a_name_and_no_player_has_its_id() {
        for system in System::ALL {
            assert_eq!(system.account().to_string(), format!("system:{}", system.name()));
            assert_eq!(PlayerId::from_entropy(system.account().0).to_bytes()[6] >> 4, 4);
            assert_eq!(system.account().0[6], b':');
        }
        assert_eq!(player(1).system(), None);
    }

    proptest! {
        #[test]
        fn sums_are_zero_balances_are_folds_and_nobody_owes_by_chance(
            moves in prop::collection::vec((0..5_u8, 0..5_u8, 0..100_i64, any::<bool>()), 1..60),
        ) {
            let account = |n: u8| if n == 0 { System::Rewards.account() } else { player(n) };
            let (mut wallets, mut folds) = (Vec::new(), BTreeMap::<Account, i64>::new());
            let mut may_have_debt = false;
            for (n, (from, to, amount, may_owe)) in moves.into_iter().enumerate() {
                let moved = entry(&format!("move:{n}"), &[(account(from), account(to), amount)]);
                let Ok(booked) = apply(&mut wallets, &Entry { may_owe, ..moved }) else { continue };
                may_have_debt |= may_owe;
                prop_assert_eq!(booked.postings.iter().map(|posting| posting.amount).sum::<i64>(), 0);
                for posting in booked.postings {
                    *folds.entry(posting.account).or_default() += posting.amount;
                }
            }
            for wallet in &wallets {
                prop_assert_eq!(wallet.balance, folds[&wallet.account]);
                prop_assert!(wallet.balance >= 0 || may_have_debt);
            }
            prop_assert_eq!(folds.values().sum::<i64>(), 0);
        }
    }
}
