//! Trades: two players, two sides, and no moment in which one has both.
//!
//! ```text
//! offered ──accept──▶ accepted ──confirm──▶ settled
//!    └──────cancel, time out──────┴──────▶ cancelled, timed out
//! ```
//!
//! What a side gives is in escrow from its word on (offer, accept), so it cannot be spent meanwhile. Only when both are there does the
//! offering player's confirmation let them cross. Until then either may cancel, and silence for [`TRADE_LIFE_MS`] cancels as well.

use protocol::id::PlayerId;

/// How long a trade waits for the next word.
pub const TRADE_LIFE_MS: u64 = 15 * 60 * 1_000;

/// Where a trade is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeState {
    /// The one side is in escrow.
    Offered,
    /// Both are.
    Accepted,
    /// They have crossed.
    Settled,
    /// They are back.
    Cancelled,
    /// They are back, because nobody said a word.
    TimedOut,
}

impl TradeState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Offered, Self::Accepted, Self::Settled, Self::Cancelled, Self::TimedOut];

    /// The name in the database and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Settled => "settled",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether something is in escrow.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Offered | Self::Accepted)
    }
}

/// What somebody says to a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeWord {
    /// The other player puts its side in.
    Accept,
    /// The offering player lets them cross.
    Confirm,
    /// Either takes its side back.
    Cancel,
}

/// What a word, or silence, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeStep {
    /// The other side goes into escrow.
    TakeIn,
    /// Both sides cross.
    Cross,
    /// What is in escrow goes back; the trade ends so.
    GiveBack(TradeState),
}

/// Why a word does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TradeFault {
    /// It is over, or not so far.
    #[error("the trade is {0}")]
    State(&'static str),
    /// It is the other player's to say.
    #[error("this is for the other player to say")]
    NotYours,
}

/// What `who`'s word does in a trade between `from` and `to` that waits until `until_ms`.
///
/// # Errors
/// [`TradeFault`].
pub fn step(
    state: TradeState,
    (from, to): (PlayerId, PlayerId),
    until_ms: u64,
    word: TradeWord,
    who: PlayerId,
    now_ms: u64,
) -> Result<TradeStep, TradeFault> {
    if state.is_open() && now_ms >= until_ms {
        return Ok(TradeStep::GiveBack(TradeState::TimedOut));
    }
    match (state, word) {
        (TradeState::Offered | TradeState::Accepted, TradeWord::Cancel) => {
            Ok(TradeStep::GiveBack(TradeState::Cancelled))
        }
        (TradeState::Offered, TradeWord::Accept) if who == to => Ok(TradeStep::TakeIn),
        (TradeState::Accepted, TradeWord::Confirm) if who == from => Ok(TradeStep::Cross),
        (TradeState::Offered, TradeWord::Accept) | (TradeState::Accepted, TradeWord::Confirm) => {
            Err(TradeFault::NotYours)
        }
        (state, _) => Err(TradeFault::State(state.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_player_has_its_words_and_silence_ends_it() {
        let (ada, bob) = (PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        let says = |state, word, who| step(state, (ada, bob), 100, word, who, 99);
        assert_eq!(says(TradeState::Offered, TradeWord::Accept, bob), Ok(TradeStep::TakeIn));
        assert_eq!(says(TradeState::Offered, TradeWord::Accept, ada), Err(TradeFault::NotYours));
        assert_eq!(says(TradeState::Offered, TradeWord::Confirm, ada), Err(TradeFault::State("offered")));
        assert_eq!(says(TradeState::Accepted, TradeWord::Confirm, bob), Err(TradeFault::NotYours));
        assert_eq!(says(TradeState::Accepted, TradeWord::Confirm, ada), Ok(TradeStep::Cross));
        for who in [ada, bob] {
            for state in [TradeState::Offered, TradeState::Accepted] {
                let back = TradeStep::GiveBack(TradeState::Cancelled);
                assert_eq!(says(state, TradeWord::Cancel, who), Ok(back));
                let late = step(state, (ada, bob), 100, TradeWord::Confirm, who, 100);
                assert_eq!(late, Ok(TradeStep::GiveBack(TradeState::TimedOut)));
            }
        }
        for state in [TradeState::Settled, TradeState::Cancelled, TradeState::TimedOut] {
            for word in [TradeWord::Accept, TradeWord::Confirm, TradeWord::Cancel] {
                assert_eq!(step(state, (ada, bob), 0, word, ada, 100), Err(TradeFault::State(state.name())));
            }
        }
    }
}
