//! What is held about a player, table by table: what an export shows and what an erasure does. One line for each.
//!
//! A new table gets a line in [`HELD`], or one in [`NOTHING`] that says why it needs none; a test compares both with the
//! schema. A table whose rows belong to two players has a line for each.
//!
//! `held!("table", "column of the player", ["rest of the key"], delete)`, and then
//!
//! | | |
//! |---|---|
//! | `delete` | an erasure deletes the player's rows |
//! | `blank "a = NULL"` | it keeps them without these columns |
//! | `keep "why"` | it keeps them: nothing in them is personal once the account is forgotten |
//! | `step Step` | it takes more than a statement: a [`Step`] |
//! | `.hides(&["hash"])` | an export says that there is something, and not what: secrets |
//! | `.opens(&[("sealed", "purpose")])` | an export shows what is sealed under the account's key |
//! | `.unshown()` | an export leaves it out: it is somebody else's |

/// What an erasure does that is more than a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ends open trades: both sides get back what is in escrow.
    Trades,
    /// Leaves the party, which goes on without the player.
    Party,
    /// Takes the player off all leaderboards, of every season.
    Boards,
    /// Gives the player's rows of matches the name that accounts without one have.
    Names,
    /// The same in the bodies of events.
    Events,
    /// The account itself: its name and its figures.
    Account,
}

/// What an erasure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erase {
    /// This statement; `$1` is who.
    Statement(&'static str),
    /// Nothing, and why.
    Kept(&'static str),
    /// More than a statement.
    By(Step),
}

/// How a table names the player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// By its id, as bytes.
    Bytes,
    /// By its id, as text.
    Text,
    /// As the log of acts does: `player:<id>`.
    Subject,
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// The table.
    pub table: &'static str,
    /// Its column of the player.
    pub column: &'static str,
    /// How the player is named there.
    pub who: Who,
    /// Reads the first page; `$1` is who.
    pub first: &'static str,
    /// Reads the page after a row; `$2`… are its key.
    pub next: &'static str,
    /// The rest of the key.
    pub key: &'static [&'static str],
    /// Columns that an export does not show.
    pub hidden: &'static [&'static str],
    /// Columns that are sealed under the account's key, and for which purpose.
    pub sealed: &'static [(&'static str, &'static str)],
    /// Whether an export has it.
    pub is_shown: bool,
    /// What an erasure does.
    pub erase: Erase,
}

impl Held {
    const fn hides(self, hidden: &'static [&'static str]) -> Self {
        Self { hidden, ..self }
    }

    const fn opens(self, sealed: &'static [(&'static str, &'static str)]) -> Self {
        Self { sealed, ..self }
    }

    const fn unshown(self) -> Self {
        Self { is_shown: false, ..self }
    }

    const fn named(self, who: Who) -> Self {
        Self { who, ..self }
    }
}

/// Rows of a page of an export.
pub const PAGE_ROWS: usize = 500;

macro_rules! held {
    (@erase $table:literal, $column:literal, delete) => {
        Erase::Statement(concat!("DELETE FROM ", $table, " WHERE ", $column, " = $1"))
    };
    (@erase $table:literal, $column:literal, blank $set:literal) => {
        Erase::Statement(concat!("UPDATE ", $table, " SET ", $set, " WHERE ", $column, " = $1"))
    };
    (@erase $table:literal, $column:literal, keep $why:literal) => { Erase::Kept($why) };
    (@erase $table:literal, $column:literal, step $step:ident) => { Erase::By(Step::$step) };
    (@after $a:literal) => { concat!("(", $a, ") > ($2)") };
    (@after $a:literal $b:literal) => { concat!("(", $a, ", ", $b, ") > ($2, $3)") };
    (@after $a:literal $b:literal $c:literal) => { concat!("(", $a, ", ", $b, ", ", $c, ") > ($2, $3, $4)") };
    (@order $a:literal) => { $a };
    (@order $a:literal $b:literal) => { concat!($a, ", ", $b) };
    (@order $a:literal $b:literal $c:literal) => { concat!($a, ", ", $b, ", ", $c) };
    ($table:literal, $column:literal, [$($key:literal),+], $($erase:tt)+) => {
        held!($table in $table, $column, [$($key),+], $($erase)+)
    };
    ($table:literal in $from:literal, $column:literal, [$($key:literal),+], $($erase:tt)+) => {
        Held {
            table: $table,
            column: $column,
            who: Who::Bytes,
            first: concat!("SELECT * FROM ", $from, " WHERE ", $column, " = $1 ORDER BY ", held!(@order $($key)+), " LIMIT 500"),
            next: concat!("SELECT * FROM ", $from, " WHERE ", $column, " = $1 AND ", held!(@after $($key)+),
                          " ORDER BY ", held!(@order $($key)+), " LIMIT 500"),
            key: &[$($key),+],
            hidden: &[],
            sealed: &[],
            is_shown: true,
            erase: held!(@erase $table, $column, $($erase)+),
        }
    };
}

/// In the order in which an erasure goes through them: what others see first, the account last.
pub const HELD: &[Held] = &[
    // What takes others along.
    held!("trades", "from_player", ["trade_id"], step Trades),
    held!("trades", "to_player", ["trade_id"], keep "what was traded, under two ids"),
    held!("parties", "leader_id", ["party_id"], step Party),
    held!("party_members", "player_id", ["party_id"], delete),
    held!("party_invites", "player_id", ["party_id"], delete),
    held!("party_invites", "from_id", ["party_id", "player_id"], delete),
    held!("lb_entries", "player_id", ["board", "season"], step Boards),
    // Logins.
    held!("identities", "player_id", ["provider", "subject"], delete).hides(&["subject"]).opens(&[("sealed", "email")]),
    held!("passwords", "player_id", ["player_id"], delete).hides(&["phc"]),
    held!("totp", "player_id", ["player_id"], delete).hides(&["sealed"]),
    held!("recovery_codes", "player_id", ["code_hash"], delete).hides(&["code_hash"]),
    held!("passkeys", "player_id", ["passkey_id"], delete).hides(&["sealed"]),
    held!("begun_proofs", "player_id", ["proof_id"], delete).hides(&["sealed"]),
    held!("codes", "player_id", ["code_id"], delete).hides(&["code_hash", "sealed"]),
    held!("mails", "player_id", ["mail_id"], delete).hides(&["sealed"]),
    held!("sessions", "player_id", ["session_id"], delete).hides(&["current_hash", "previous_hash"]),
    held!("sightings", "player_id", ["mark"], delete),
    held!("revocations", "player_id", ["revocation_id"], keep "ids that end tokens; removed after an hour"),
    // Others.
    held!("edges", "player_id", ["other_id"], delete),
    held!("edges", "other_id", ["player_id"], delete),
    held!("mutes", "player_id", ["other_id"], delete),
    held!("mutes", "other_id", ["player_id"], delete).unshown(),
    held!("chat_messages", "sender_id", ["channel", "seq"], delete),
    held!("inbox", "player_id", ["seq"], delete),
    held!("inbox", "sender_id", ["player_id", "seq"], delete).unshown(),
    held!("inbox_heads", "player_id", ["player_id"], delete),
    // Play. Names of events before those of matches: the events are found by them.
    held!("outbox" in "outbox JOIN match_players ON match_players.match_id = outbox.match_id", "player_id", ["sequence"], step Events).unshown(),
    held!("match_players", "player_id", ["match_id"], step Names),
    held!("player_tickets", "player_id", ["player_id"], delete),
    held!("history", "player_id", ["match_id"], delete),
    held!("xp_journal", "player_id", ["match_id"], delete),
    held!("ratings", "player_id", ["queue"], delete),
    held!("progress", "player_id", ["player_id"], delete),
    held!("progress_counts", "player_id", ["subject", "period"], delete),
    held!("claims", "player_id", ["claim"], delete),
    held!("unlocks", "player_id", ["node"], delete),
    held!("kv", "player_id", ["collection", "key"], delete).hides(&["mark"]),
    held!("kv_usage", "player_id", ["player_id"], delete),
    held!("loadouts", "player_id", ["slot"], delete),
    // Goods and money. The books stay: they add up, under an id that is nobody's.
    held!("items", "player_id", ["item_id"], delete),
    held!("offer_counts", "player_id", ["offer"], delete),
    held!("shop_regions", "player_id", ["player_id"], delete),
    held!("idempotency", "account", ["idempotency_key"], delete).hides(&["request_hash"]),
    held!("wallets", "account", ["currency"], keep "amounts under an id: the books balance"),
    held!("postings" in "postings JOIN journal ON journal.journal_id = postings.journal_id AND number > 0", "account", ["currency", "number"],
          keep "amounts under an id: the books balance").hides(&["detail", "actor"]),
    held!("orders", "player_id", ["order_id"], blank "session_url = NULL").hides(&["request_hash"]),
    // What operators did.
    held!("sanctions", "player_id", ["sanction_id"], blank "note = NULL, appeal = NULL").hides(&["note"]).opens(&[("appeal", "appeal")]),
    held!("anti_cheat_verdicts", "player_id", ["vendor", "message_id"], blank "reason = ''"),
    held!("acts", "subject", ["number"], keep "a chain of hashes; its notes were sealed under the key that is gone")
        .hides(&["note"]).named(Who::Subject),
    held!("audit", "subject", ["audit_id"], keep "ids and names of programs").named(Who::Text),
    held!("receipts", "player_id", ["receipt_id"], keep "the proof"),
    held!("erasures", "player_id", ["player_id"], keep "the proof"),
    held!("erased_rows", "player_id", ["held"], keep "the proof"),
    held!("account_keys", "player_id", ["player_id"], keep "the key was shredded; the row keeps a new one from being made").hides(&["wrapped"]),
    held!("accounts", "player_id", ["player_id"], step Account),
];

/// Tables in which nothing is held about one player, and why.
pub const NOTHING: &[(&str, &str)] = &[
    ("allocator_keys", "public keys"),
    ("catalogs", "what operators wrote"),
    ("chat_heads", "counters of channels"),
    ("event_relays", "where events are to go"),
    ("event_wants", "where events are to go"),
    ("events", "ids, figures and names of things on their way to other systems; no names or words of people"),
    ("journal", "what its postings are about; causes, ids and goods"),
    ("live_documents", "what operators wrote"),
    ("lb_writes", "ids that servers made, for a week"),
    ("ledger_seals", "hashes"),
    ("matches", "when and where; who is in match_players"),
    ("offer_stock", "counters of offers"),
    ("party_cancels", "ids of tickets"),
    ("payment_events", "what a provider says of payments; nothing personal is kept of it"),
    ("progression_rules", "what operators wrote"),
    ("results", "ids and figures as a game server signed them"),
    ("season_archive", "what operators wrote, and how many took part"),
    ("settings", "what operators decided"),
    ("signing_keys", "keys of the installation"),
    ("store_moves", "that the whole store was moved"),
    ("telemetry", "reports under pseudonyms: an export reads them by the account's key, an erasure takes the key"),
    ("tallies", "blind counters of a few minutes"),
    ("used_proofs", "hashes of tickets of other systems, until they expire"),
    ("webhook_deliveries", "where events are to go"),
    ("webhook_endpoints", "where events are to go"),
    ("webhook_filters", "where events are to go"),
];
