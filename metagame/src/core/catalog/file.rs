//! The catalog's file: TOML, checked as a whole, with every fault named at once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::offer::Tender;
use super::{
    Catalog, Currency, CurrencyKind, ItemDefinition, Limit, Offer, Part, Period, Price, Recipe, Rewards, Rotation,
};

/// Longest id in bytes.
const ID_BYTES_MAX: usize = 48;
/// Most units that one part may have.
const AMOUNT_MAX: u64 = 1_000_000_000_000;
/// Most items that do not stack of one part: each is a row.
const UNIQUE_MAX: u64 = 100;
/// Most parts of a bundle, price or recipe.
const PARTS_MAX: usize = 32;

/// Every fault of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalog cannot be used:\n{}", faults.join("\n"))]
pub struct CatalogFaults {
    /// One line per fault, with what to do.
    pub faults: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    currency: Vec<CurrencyTable>,
    #[serde(default)]
    item: Vec<ItemTable>,
    #[serde(default)]
    offer: Vec<OfferTable>,
    #[serde(default)]
    rotation: Vec<RotationTable>,
    #[serde(default)]
    recipe: Vec<RecipeTable>,
    #[serde(default)]
    reward: Vec<RewardTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrencyTable {
    id: String,
    name: Option<String>,
    kind: CurrencyKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemTable {
    id: String,
    name: Option<String>,
    #[serde(default = "one")]
    version: u32,
    #[serde(default)]
    stacks: bool,
    lasts_s: Option<u64>,
    #[serde(default)]
    consumable: bool,
    #[serde(default)]
    tradable: bool,
    #[serde(default)]
    disenchant: Vec<PartTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferTable {
    id: String,
    name: Option<String>,
    gives: Vec<PartTable>,
    price: Vec<PriceTable>,
    per_player: Option<LimitTable>,
    stock: Option<u64>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceTable {
    region: Option<String>,
    currency: Option<String>,
    money: Option<String>,
    amount: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitTable {
    count: u64,
    period: Period,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotationTable {
    id: String,
    every_s: u64,
    shows: usize,
    offers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeTable {
    id: String,
    takes: Vec<PartTable>,
    gives: Vec<PartTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewardTable {
    queue: Option<String>,
    #[serde(default)]
    per_match: Vec<PartTable>,
    #[serde(default)]
    per_win: Vec<PartTable>,
    #[serde(default)]
    per_place: BTreeMap<String, Vec<PartTable>>,
}

/// An amount or a number of items, as it is written here and in other files that give something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartTable {
    currency: Option<String>,
    amount: Option<u64>,
    item: Option<String>,
    quantity: Option<u64>,
}

fn one() -> u32 {
    1
}

/// Reads and checks a catalog.
///
/// # Errors
/// [`CatalogFaults`], all at once.
pub fn parse(text: &str) -> Result<Catalog, CatalogFaults> {
    let file: File = toml::from_str(text).map_err(|error| CatalogFaults { faults: vec![format!("  {error}")] })?;
    let mut check = Check { catalog: Catalog { version: file.version, ..Catalog::default() }, faults: Vec::new() };
    if file.version == 0 {
        check.fault("version", "it begins at 1");
    }
    // Items' own parts name items, so all of them come first.
    file.currency.into_iter().for_each(|table| check.currency(table));
    let disenchant: Vec<_> = file.item.into_iter().map(|table| check.item(table)).collect();
    for (id, parts) in disenchant {
        let parts = check.parts(&format!("item \"{id}\": disenchant"), parts);
        check.catalog.items.entry(id).and_modify(|item| item.disenchant = parts);
    }
    file.offer.into_iter().for_each(|table| check.offer(table));
    file.rotation.into_iter().for_each(|table| check.rotation(table));
    file.recipe.into_iter().for_each(|table| check.recipe(table));
    file.reward.into_iter().for_each(|table| check.reward(table));
    check.catalog.source = text.to_owned();
    if check.faults.is_empty() { Ok(check.catalog) } else { Err(CatalogFaults { faults: check.faults }) }
}

/// The catalog as far as it was read.
struct Check {
    catalog: Catalog,
    faults: Vec<String>,
}

impl Check {
    fn fault(&mut self, subject: &str, fault: impl std::fmt::Display) {
        self.faults.push(format!("  {subject}: {fault}"));
    }

    /// Checks an id; `fresh` says whether it is the first of its sort.
    fn id(&mut self, sort: &str, id: &str, fresh: bool) -> String {
        let subject = format!("{sort} \"{id}\"");
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(good) {
            self.fault(&subject, format!("an id has 1 to {ID_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'"));
        }
        if !fresh {
            self.fault(&subject, "there are two of this id");
        }
        subject
    }

    fn currency(&mut self, table: CurrencyTable) {
        self.id("currency", &table.id, !self.catalog.currencies.contains_key(&table.id));
        let name = table.name.unwrap_or_else(|| table.id.clone());
        self.catalog.currencies.insert(table.id, Currency { name, kind: table.kind });
    }

    fn item(&mut self, table: ItemTable) -> (String, Vec<PartTable>) {
        let subject = self.id("item", &table.id, !self.catalog.items.contains_key(&table.id));
        if table.version == 0 || table.lasts_s == Some(0) {
            self.fault(&subject, "version and lasts_s begin at 1");
        }
        let definition = ItemDefinition {
            name: table.name.unwrap_or_else(|| table.id.clone()),
            version: table.version,
            stacks: table.stacks,
            lasts_s: table.lasts_s,
            consumable: table.consumable,
            tradable: table.tradable,
            disenchant: Vec::new(),
        };
        self.catalog.items.insert(table.id.clone(), definition);
        (table.id, table.disenchant)
    }

    fn parts(&mut self, subject: &str, tables: Vec<PartTable>) -> Vec<Part> {
        if tables.len() > PARTS_MAX {
            self.fault(subject, format!("{} parts are more than {PARTS_MAX}", tables.len()));
        }
        tables
            .into_iter()
            .filter_map(|table| part(&self.catalog, table).map_err(|fault| self.fault(subject, fault)).ok())
            .collect()
    }

    fn offer(&mut self, table: OfferTable) {
        let subject = self.id("offer", &table.id, !self.catalog.offers.contains_key(&table.id));
        let gives = self.parts(&subject, table.gives);
        if gives.is_empty() || table.price.is_empty() {
            self.fault(&subject, "it gives something and has a price");
        }
        let mut seen = BTreeSet::new();
        let mut prices = Vec::new();
        for price in table.price {
            match self.price(price) {
                Ok(price) if seen.insert((price.region.clone(), price.tender.clone())) => prices.push(price),
                Ok(_) => self.fault(&subject, "there are two prices for the same region and money"),
                Err(fault) => self.fault(&subject, fault),
            }
        }
        if table.per_player.as_ref().is_some_and(|limit| limit.count == 0) || table.stock == Some(0) {
            self.fault(&subject, "per_player and stock begin at 1");
        }
        let mut time = |text: Option<String>, absent| {
            text.map_or(Ok(absent), |text| unix_ms(&text)).unwrap_or_else(|fault| {
                self.fault(&subject, fault);
                absent
            })
        };
        let (from_ms, until_ms) = (time(table.from, 0), time(table.until, u64::MAX));
        if from_ms >= until_ms {
            self.fault(&subject, "its sale ends before it begins");
        }
        let per_player = table.per_player.map(|limit| Limit { count: limit.count, period: limit.period });
        let name = table.name.unwrap_or_else(|| table.id.clone());
        let offer = Offer { name, gives, prices, per_player, stock: table.stock, from_ms, until_ms };
        self.catalog.offers.insert(table.id, offer);
    }

    fn price(&self, table: PriceTable) -> Result<Price, String> {
        let capital = |region: &String| region.len() == 2 && region.bytes().all(|byte| byte.is_ascii_uppercase());
        if !table.region.as_ref().is_none_or(capital) {
            return Err("a region is two capital letters, such as BR (ISO 3166)".to_owned());
        }
        let tender = match (table.currency, table.money) {
            (Some(currency), None) if self.catalog.currencies.contains_key(&currency) => Tender::Currency(currency),
            (Some(currency), None) => return Err(format!("there is no currency \"{currency}\"")),
            (None, Some(money)) if money.len() == 3 && money.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                Tender::Money(money)
            }
            (None, Some(_)) => return Err("money is three small letters, such as eur (ISO 4217)".to_owned()),
            _ => return Err("a price has a currency of the game, or money".to_owned()),
        };
        Ok(Price { region: table.region, tender, amount: amount_of(table.amount)? })
    }

    fn rotation(&mut self, table: RotationTable) {
        let subject = self.id("rotation", &table.id, self.catalog.rotations.iter().all(|one| one.id != table.id));
        if table.every_s == 0 || table.shows == 0 || table.offers.is_empty() {
            self.fault(&subject, "every_s, shows and the number of offers begin at 1");
            return;
        }
        for offer in &table.offers {
            if !self.catalog.offers.contains_key(offer) {
                self.fault(&subject, format!("there is no offer \"{offer}\""));
            }
        }
        if table.offers.iter().collect::<BTreeSet<_>>().len() < table.offers.len() {
            self.fault(&subject, "an offer is in it twice");
        }
        let every_ms = table.every_s.saturating_mul(1_000);
        self.catalog.rotations.push(Rotation { id: table.id, every_ms, shows: table.shows, offers: table.offers });
    }

    fn recipe(&mut self, table: RecipeTable) {
        let subject = self.id("recipe", &table.id, !self.catalog.recipes.contains_key(&table.id));
        let (takes, gives) = (self.parts(&subject, table.takes), self.parts(&subject, table.gives));
        if takes.is_empty() || gives.is_empty() {
            self.fault(&subject, "it takes something and gives something");
        }
        self.catalog.recipes.insert(table.id, Recipe { takes, gives });
    }

    fn reward(&mut self, table: RewardTable) {
        let subject = format!("reward of queue \"{}\"", table.queue.as_deref().unwrap_or("*"));
        if self.catalog.rewards.iter().any(|rules| rules.queue == table.queue) {
            self.fault(&subject, "there are two for this queue");
        }
        let (per_match, per_win) = (self.parts(&subject, table.per_match), self.parts(&subject, table.per_win));
        let mut per_place = BTreeMap::new();
        for (place, parts) in table.per_place {
            match place.parse() {
                Ok(place) if place > 0 => drop(per_place.insert(place, self.parts(&subject, parts))),
                _ => self.fault(&subject, format!("\"{place}\" is no place: they count from 1")),
            }
        }
        self.catalog.rewards.push(Rewards { queue: table.queue, per_match, per_win, per_place });
    }
}

/// A part whose currency or item the catalog has.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn part(catalog: &Catalog, table: PartTable) -> Result<Part, String> {
    match (table.currency, table.amount, table.item, table.quantity) {
        (Some(currency), Some(amount), None, None) => {
            if !catalog.currencies.contains_key(&currency) {
                return Err(format!("there is no currency \"{currency}\""));
            }
            amount_of(amount).map(|amount| Part::Currency { currency, amount })
        }
        (None, None, Some(item), quantity) => {
            let definition = catalog.items.get(&item).ok_or_else(|| format!("there is no item \"{item}\""))?;
            let quantity = amount_of(quantity.unwrap_or(1))?;
            if !definition.stacks && quantity > UNIQUE_MAX {
                return Err(format!("\"{item}\" does not stack: at most {UNIQUE_MAX} at once"));
            }
            Ok(Part::Item { item, quantity })
        }
        _ => Err("a part is { currency = \"…\", amount = … } or { item = \"…\", quantity = … }".to_owned()),
    }
}

fn amount_of(amount: u64) -> Result<u64, String> {
    let fault = || format!("{amount} is not within 1 to {AMOUNT_MAX}");
    (1..=AMOUNT_MAX).contains(&amount).then_some(amount).ok_or_else(fault)
}

/// Unix milliseconds of a time as people write it.
///
/// # Errors
/// How to write it.
pub(crate) fn unix_ms(text: &str) -> Result<u64, String> {
    let fault = || format!("\"{text}\" is no time: write it as 2026-11-21T18:00:00Z");
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| fault())?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let text = r#"
            version = 0
            [[currency]]
            id = "Gold"
            kind = "soft"
            [[item]]
            id = "hat"
            disenchant = [{ currency = "dust", amount = 1 }]
            [[item]]
            id = "hat"
            [[offer]]
            id = "bad"
            gives = [{ item = "cap" }, { item = "hat", quantity = 101 }, { item = "hat", amount = 1 }]
            price = [{ region = "br", money = "eur", amount = 1 }, { money = "EUR", amount = 1 }, { amount = 1 },
                     { money = "eur", amount = 0 }]
            from = "yesterday"
            per_player = { count = 0, period = "day" }
            [[offer]]
            id = "late"
            gives = [{ item = "hat" }]
            price = [{ money = "eur", amount = 1 }, { money = "eur", amount = 2 }]
            from = "2026-02-01T00:00:00Z"
            until = "2026-01-01T00:00:00Z"
            [[rotation]]
            id = "r"
            every_s = 1
            shows = 1
            offers = ["nothing"]
            [[recipe]]
            id = "none"
            takes = []
            gives = []
            [[reward]]
            per_place = { 0 = [] }
            [[reward]]
        "#;
        let told = parse(text).expect_err("faults").to_string();
        for part in [
            "version: it begins at 1",
            "currency \"Gold\": an id has",
            "item \"hat\": there are two",
            "no currency \"dust\"",
            "no item \"cap\"",
            "does not stack",
            "a part is",
            "two capital letters",
            "three small letters",
            "a price has",
            "0 is not within",
            "\"yesterday\" is no time",
            "per_player and stock",
            "ends before it begins",
            "two prices",
            "no offer \"nothing\"",
            "takes something",
            "\"0\" is no place",
            "two for this queue",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
    }

    #[test]
    fn an_unknown_word_is_a_fault() {
        let told = parse("version = 1\n[[offers]]\n").expect_err("a fault").to_string();
        assert!(told.contains("offers"), "{told}");
    }
}
