//! What is there after all the kills, against what the answers said.

use std::collections::BTreeMap;
use std::time::Duration;

use arena::random::Random;
use serde_json::Value;

use super::books::{Answered, Books, Possessions};
use super::common::{muster, run};
use super::players::{Player, Sent};
use super::stage::Stage;

/// Most answers that are asked for once more.
const AGAIN_MAX: usize = 1_500;

/// Compares everything; how many seals the books have.
pub(crate) async fn everything(stage: &Stage, books: &Books, mut players: Vec<Player>, random: &mut Random) -> u64 {
    assert_eq!(holdings(&mut players).await, books.holdings(), "what players have is not what they were told");
    let all = books.all();
    for one in chosen(&all, random) {
        same_again(&mut players[one.player], one).await;
    }
    assert_eq!(holdings(&mut players).await, books.holdings(), "a repetition has moved something");
    verify(stage, &all)
}

/// What there is, by player.
async fn holdings(players: &mut [Player]) -> Possessions {
    let mut holdings = Possessions::new();
    for player in players {
        let mut things = BTreeMap::<String, i64>::new();
        let wallet = player.read("/v1/players/me/wallet").await;
        for one in wallet["balances"].as_array().expect("balances") {
            let (currency, balance) = (one["currency"].as_str(), one["balance"].as_i64());
            *things.entry(currency.expect("a name").to_owned()).or_default() += balance.expect("a balance");
        }
        let mut path = "/v1/players/me/inventory?limit=200".to_owned();
        loop {
            let page = player.read(&path).await;
            for item in page["items"].as_array().expect("items") {
                let (name, quantity) = (item["item"].as_str(), item["quantity"].as_i64());
                *things.entry(name.expect("a name").to_owned()).or_default() += quantity.expect("a quantity");
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/players/me/inventory?limit=200&cursor={cursor}");
        }
        things.retain(|_, amount| *amount != 0);
        holdings.insert(player.id().to_owned(), things);
    }
    holdings
}

/// All that had to be repeated, and some of the others.
fn chosen<'a>(all: &'a [Answered], random: &mut Random) -> Vec<&'a Answered> {
    let (mut again, mut others): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.sent > 1);
    while again.len() < AGAIN_MAX && !others.is_empty() {
        let at = random.below(others.len() as u32) as usize;
        again.push(others.swap_remove(at));
    }
    again
}

/// The same key once more, after the restarts: the same answer.
async fn same_again(player: &mut Player, before: &Answered) {
    let Sent { status, headers, answer } = loop {
        match player.send(before.is_admin, &before.path, &before.key, &before.body).await {
            Some(sent) => break sent,
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    assert_eq!((status, without_id(&answer)), (before.status, without_id(&before.answer)), "{before:?}");
    assert!(headers.contains_key("idempotency-replayed"), "it happened once more: {before:?}");
}

/// A problem has the id of each request that it answers.
fn without_id(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(members) = answer.as_object_mut() {
        members.remove("request_id");
    }
    answer
}

/// The program's own check, and as many entries as there were acts.
fn verify(stage: &Stage, all: &[Answered]) -> u64 {
    let mut command = muster();
    command.args(["ledger", "verify", "-o", "json"]).arg(format!("--database={}", stage.database()));
    let output = run(&mut command, Duration::from_secs(120));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let books: Value = serde_json::from_str(&stdout).expect("one JSON object");
    assert_eq!((&books["whole"], &books["faults"]), (&Value::Bool(true), &Value::Array(vec![])), "{books}");
    let happened = all.iter().filter(|one| one.has_happened()).count();
    assert_eq!(books["entries"], happened, "entries of the journal, and acts that were answered with success");
    let mut sums = BTreeMap::<&str, i64>::new();
    for sum in books["sums"].as_array().expect("sums") {
        let (currency, amount) = (sum["currency"].as_str(), sum["sum"].as_i64());
        *sums.entry(currency.expect("a name")).or_default() += amount.expect("a sum");
    }
    assert!(sums.len() == 2 && sums.values().all(|sum| *sum == 0), "debits are not credits: {sums:?}");
    books["seals"].as_u64().expect("a number")
}
