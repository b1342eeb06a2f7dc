//! Sessions of the realtime gateway whose connections break anywhere: at the client's end, at the server's, in the middle of a
//! message, before an acknowledgement, before the answer to a resume. Everything that happens at random comes of one seed.
//!
//! | module | |
//! |---|---|
//! | `wire` | a socket that breaks after so many bytes |
//! | `line` | the protocol over it, as a WebSocket or over TLS |
//! | `ear` | a client that goes on with its session each time, and counts what it hears |
//! | `world` | the gateways, the players, and somebody who speaks |
//! | `board` | what those two know of each other |
//!
//! A few hundred cuts here; `cargo xtask deep --only cuts` runs the same many thousand times, by the variables below.

mod board;
mod chance;
mod ear;
#[path = "../api/fakes.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod fakes;
#[path = "../api/harness.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod harness;
mod line;
mod slow;
mod wire;
mod world;

use chance::Chance;
use ear::{Ear, Figures};
use world::{EARS, Gateways, World};

/// How many cuts.
const CUTS: &str = "MUSTER_CUTS";
/// Seed of everything that is random here.
const SEED: &str = "MUSTER_CUTS_SEED";

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Cuts sessions, `few` times if nobody says how often; what was counted by all.
async fn cut(gateways: Gateways, few: u64) -> Figures {
    let (cuts, seed) = (variable(CUTS).unwrap_or(few), variable(SEED).unwrap_or_else(service::random::u64));
    eprintln!("{gateways:?}: {cuts} cuts, {SEED}={seed}");
    let mut chance = Chance::new(seed);
    let world = World::make(gateways).await;
    let (over, is_over) = tokio::sync::oneshot::channel();
    let watching = tokio::spawn(world.watch(is_over).await);
    let listening: Vec<_> = (0..EARS)
        .map(|n| Ear::new(n, world.doors(n), world.access(n), world.ticket(n), &world.board, chance.next()))
        .map(|ear| tokio::spawn(ear.listen()))
        .collect();
    world.speak(cuts, &mut chance).await;
    let mut all = Figures::default();
    for ear in listening {
        all.add(&ear.await.expect("it hears everything in the end"));
    }
    world.check().await;
    over.send(()).expect("somebody watches");
    let gone = watching.await.expect("somebody watched");
    let answered = all.resumed + all.gone;
    let share = all.resumed as f64 * 100.0 / answered as f64;
    eprintln!(
        "{gateways:?}: {} cuts, {answered} resumes answered, {share:.2} % good; {gone} times gone\n{all:?}",
        all.cuts()
    );
    world.end().await;
    assert!(all.cuts() >= cuts && all.mid_frame > 0 && all.unacknowledged > 0, "this proves nothing");
    assert!(all.resumed * 100 >= answered * 99, "{share:.2} % of the resumes were good");
    assert_eq!((all.durable_lost, all.durable_again), (0, 0), "durable messages");
    assert_eq!((gone, all.partyless), (0, 0), "nobody was gone for the others, or out of the party");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_anywhere_goes_on_where_it_was() {
    let all = cut(Gateways::One, 300).await;
    assert_eq!((all.ordered_lost, all.ordered_again), (0, 0), "messages in order");
    assert_eq!((all.resyncs, all.repeated), (0, 0), "what a session keeps was enough, and nothing came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_anywhere_goes_on_at_whichever_gateway_it_comes_to() {
    let all = cut(Gateways::Two, 60).await;
    assert!(all.resyncs > 0, "nobody has come to another gateway: this proves nothing");
}
