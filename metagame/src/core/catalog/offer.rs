//! Offers: what they give for which price, when, and how often.

use sha2::{Digest as _, Sha256};

use super::{Catalog, Part};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Something that is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What players read.
    pub name: String,
    /// What one of it gives: one part, or a bundle.
    pub gives: Vec<Part>,
    /// Its prices; the one without a region is for everybody else.
    pub prices: Vec<Price>,
    /// How often a player may have it.
    pub per_player: Option<Limit>,
    /// How many there are for all players together.
    pub stock: Option<u64>,
    /// Unix milliseconds from which it is sold.
    pub from_ms: u64,
    /// Unix milliseconds at which its sale ends.
    pub until_ms: u64,
}

/// What one of an offer costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The players' region, two capital letters; `None`: every other.
    pub region: Option<String>,
    /// In what.
    pub tender: Tender,
    /// Minor units.
    pub amount: u64,
}

/// What is paid with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tender {
    /// A currency of the game.
    Currency(String),
    /// Money of the world: an ISO 4217 code in small letters, as payment providers write it.
    Money(String),
}

/// How often a player may have an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How often.
    pub count: u64,
    /// Within what.
    pub period: Period,
}

/// What a limit counts within. Days and weeks begin at midnight UTC, weeks on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A day.
    Day,
    /// A week.
    Week,
    /// For ever.
    Ever,
}

impl Period {
    /// Unix milliseconds at which the period around `now_ms` began.
    pub fn begin_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Day => now_ms - now_ms % DAY_MS,
            // The first of January 1970 was a Thursday.
            Self::Week => {
                let since_monday = (now_ms + 3 * DAY_MS) % (7 * DAY_MS);
                now_ms.saturating_sub(since_monday)
            }
            Self::Ever => 0,
        }
    }
}

/// Offers that take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Its name.
    pub id: String,
    /// How long a turn is.
    pub every_ms: u64,
    /// How many of its offers a turn has.
    pub shows: usize,
    /// Which.
    pub offers: Vec<String>,
}

impl Rotation {
    /// Unix milliseconds at which the turn around `now_ms` began.
    fn turn_ms(&self, now_ms: u64) -> u64 {
        now_ms - now_ms % self.every_ms
    }

    /// Whose turn it is: for everybody the same, and the same on every instance. No offer comes twice before all have come.
    pub fn shown(&self, now_ms: u64) -> Vec<&str> {
        let turn = now_ms / self.every_ms;
        let turns = self.offers.len().div_ceil(self.shows).max(1) as u64;
        // The order changes with each round through all offers.
        let mut order: Vec<&str> = self.offers.iter().map(String::as_str).collect();
        order.sort_by_cached_key(|offer| {
            let mut hash = Sha256::new();
            hash.update(self.id.as_bytes());
            hash.update((turn / turns).to_be_bytes());
            hash.update(offer.as_bytes());
            <[u8; 32]>::from(hash.finalize())
        });
        let first = usize::try_from(turn % turns).unwrap_or(0) * self.shows;
        order.into_iter().skip(first).take(self.shows).collect()
    }
}

/// Why something is not sold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSold {
    /// There is no such offer.
    #[error("there is no offer of this name")]
    Unknown,
    /// It is not sold now.
    #[error("this offer is not sold now")]
    NotNow,
    /// It has no such price.
    #[error("this offer is not sold for that here")]
    NoPrice,
}

impl Catalog {
    /// An offer, if it is sold now.
    ///
    /// # Errors
    /// [`NotSold`].
    pub fn offer(&self, id: &str, now_ms: u64) -> Result<&Offer, NotSold> {
        let offer = self.offers.get(id).ok_or(NotSold::Unknown)?;
        if self.until_ms(id, offer, now_ms).is_none() { Err(NotSold::NotNow) } else { Ok(offer) }
    }

    /// Everything that is sold now, with the Unix milliseconds at which that ends.
    pub fn sold(&self, now_ms: u64) -> impl Iterator<Item = (&str, &Offer, u64)> {
        let sold = move |(id, offer)| Some((String::as_str(id), offer, self.until_ms(id, offer, now_ms)?));
        self.offers.iter().filter_map(sold)
    }

    /// Until when it is sold, if it is now.
    fn until_ms(&self, id: &str, offer: &Offer, now_ms: u64) -> Option<u64> {
        if now_ms < offer.from_ms || now_ms >= offer.until_ms {
            return None;
        }
        let mut rotations = self.rotations.iter().filter(|one| one.offers.iter().any(|offer| offer == id)).peekable();
        if rotations.peek().is_none() {
            return Some(offer.until_ms);
        }
        let shown = rotations.find(|one| one.shown(now_ms).contains(&id))?;
        Some(offer.until_ms.min(shown.turn_ms(now_ms) + shown.every_ms))
    }
}

impl Offer {
    /// What it costs in `region`, in the given tender or, without one, in the first currency of the game.
    ///
    /// # Errors
    /// [`NotSold::NoPrice`].
    pub fn price(&self, region: Option<&str>, tender: Option<&Tender>) -> Result<&Price, NotSold> {
        let fits = |price: &&Price| match tender {
            Some(tender) => price.tender == *tender,
            None => matches!(price.tender, Tender::Currency(_)),
        };
        let here = |price: &&Price| region.is_some() && price.region.as_deref() == region;
        let prices = || self.prices.iter().filter(fits);
        let price = prices().find(here).or_else(|| prices().find(|price| price.region.is_none()));
        price.ok_or(NotSold::NoPrice)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn periods_begin_at_midnight_and_weeks_on_monday() {
        // Saturday, 21 November 2026, 23:59:59 UTC.
        let now_ms = 1_795_305_599_000;
        assert_eq!(Period::Day.begin_ms(now_ms), 1_795_219_200_000);
        assert_eq!(Period::Week.begin_ms(now_ms), 1_795_219_200_000 - 5 * DAY_MS);
        assert_eq!(Period::Week.begin_ms(1_795_219_200_000 - 5 * DAY_MS), 1_795_219_200_000 - 5 * DAY_MS);
        assert_eq!((Period::Ever.begin_ms(now_ms), Period::Week.begin_ms(5)), (0, 0));
    }

    #[test]
    fn each_offer_of_a_rotation_has_its_turn_in_every_round() {
        let offers: Vec<String> = (0..7).map(|n| format!("offer-{n}")).collect();
        let rotation = Rotation { id: "daily".into(), every_ms: 1_000, shows: 3, offers };
        for round in 0..20 {
            let turns = (0..3).map(|turn| rotation.shown((round * 3 + turn) * 1_000 + 999));
            let shown: Vec<&str> = turns.flatten().collect();
            assert_eq!((shown.len(), shown.iter().collect::<BTreeSet<_>>().len()), (7, 7), "{shown:?}");
        }
        let rounds: BTreeSet<Vec<&str>> = (0..20).map(|round| rotation.shown(round * 3_000)).collect();
        assert!(rounds.len() > 5, "the order changes");
    }

    const CATALOG: &str = r#"
        version = 1
        [[currency]]
        id = "gold"
        kind = "soft"
        [[item]]
        id = "hat"
        [[offer]]
        id = "hat"
        gives = [{ item = "hat" }]
        price = [{ currency = "gold", amount = 100 }, { region = "BR", currency = "gold", amount = 40 },
                 { money = "eur", amount = 299 }]
        from = "2026-01-01T00:00:00Z"
        until = "2026-02-01T00:00:00Z"
        [[offer]]
        id = "turn"
        gives = [{ item = "hat" }]
        price = [{ currency = "gold", amount = 1 }]
        [[rotation]]
        id = "daily"
        every_s = 86400
        shows = 1
        offers = ["turn"]
    "#;

    #[test]
    fn an_offer_has_its_time_and_its_price_by_region() {
        let catalog = file::parse(CATALOG).expect("a catalog");
        let (january, february) = (1_767_225_600_000, 1_769_904_000_000);
        assert_eq!(catalog.offer("hat", january - 1), Err(NotSold::NotNow));
        assert_eq!(catalog.offer("hat", february), Err(NotSold::NotNow));
        assert_eq!(catalog.offer("cap", january), Err(NotSold::Unknown));
        let hat = catalog.offer("hat", january).expect("sold");
        let amount = |region, tender: Option<&Tender>| hat.price(region, tender).map(|price| price.amount);
        assert_eq!(
            (amount(None, None), amount(Some("BR"), None), amount(Some("DE"), None)),
            (Ok(100), Ok(40), Ok(100))
        );
        assert_eq!(amount(Some("BR"), Some(&Tender::Money("eur".into()))), Ok(299));
        assert_eq!(amount(None, Some(&Tender::Money("usd".into()))), Err(NotSold::NoPrice));
        let sold: Vec<_> = catalog.sold(january).map(|(id, _, until_ms)| (id, until_ms)).collect();
        assert_eq!(sold, [("hat", february), ("turn", january + DAY_MS)]);
    }
}
