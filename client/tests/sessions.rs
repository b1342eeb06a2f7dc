//! Clients in whole matches over bad networks, many seeds each.

mod support;

use std::time::Duration;

use client::{Event, Frame};
use game::Game as _;
use netcode::emulator::Conditions;
use netcode::replication::SeatId;
use support::{Stand, TICK};

const WARM_UP: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(8);

/// A round trip of 100 ms with some jitter and this share of loss each way.
fn far(loss: f64) -> Conditions {
    Conditions { latency: Duration::from_millis(47), jitter: Duration::from_millis(6), loss, ..Conditions::PERFECT }
}

fn distance(a: (f32, f32), b: (f32, f32)) -> f32 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

#[test]
fn everyone_is_welcomed_gets_the_map_and_hears_of_the_others() {
    let mut stand = Stand::new(1, 3, far(0.05), false);
    stand.run(Duration::from_secs(3), |_| {});
    for (seat, host) in (0u8..).zip(&stand.hosts) {
        let welcome = host.events.iter().find_map(|event| match event {
            Event::Connected(welcome) => Some(welcome),
            _ => None,
        });
        let welcome = welcome.expect("a welcome");
        assert_eq!((welcome.seat, welcome.tick_rate_hz, welcome.players.len()), (SeatId(seat), 60, 3));
        assert_eq!(host.events.iter().filter(|event| matches!(event, Event::Bulk(_))).count(), 1);
        assert!(host.events.iter().any(|event| matches!(event, Event::Game(_))), "the game tells that play begins");
        let late_joiners = stand.hosts.iter().flat_map(|host| &host.events);
        assert!(late_joiners.filter(|event| matches!(event, Event::PlayerJoined(_))).count() > 0);
        let stats = host.client.stats(stand.now);
        assert!(stats.counts.snapshots > 60 && stats.counts.snapshots_bad == 0, "{stats:?}");
        assert!((90..125).contains(&stats.session.rtt.as_millis()), "{:?}", stats.session.rtt);
    }
}

#[test]
fn prediction_shows_no_error_at_100_ms_and_5_percent_loss() {
    let (mut ticks, mut wrong, mut errors_m) = (0u32, 0u32, 0.0);
    for seed in 1..=8 {
        let mut stand = Stand::new(seed, 2, far(0.05), false);
        stand.run(WARM_UP, |_| {});
        let first = stand.room.tick().0 + 30;
        stand.run(MEASURED, |_| {});
        let last = stand.room.tick().0;
        for (seat, host) in (0u8..).zip(&stand.hosts) {
            for (tick, predicted) in host.predicted.range(first..=last) {
                let error = distance(*predicted, stand.truth[&(seat, *tick)]);
                ticks += 1;
                wrong += u32::from(error > 0.0);
                errors_m += error;
            }
        }
    }
    assert!(ticks > 7_000, "only {ticks} ticks were predicted");
    assert!(wrong * 200 < ticks, "{wrong} of {ticks} predictions were wrong");
    assert!(errors_m / (ticks as f32) < 0.001, "mean error of {} m", errors_m / ticks as f32);
}

#[test]
fn corrections_are_smooth_to_the_eye() {
    let mut corrected_m: f32 = 0.0;
    for seed in 1..=6 {
        let mut stand = Stand::new(seed, 2, far(0.0), false);
        stand.run(WARM_UP, |_| {});
        let mut before: Option<(f32, f32)> = None;
        let mut at = stand.now;
        for half in 0..16u32 {
            // Inputs are cut off for half of each second, so predictions do go wrong.
            let up = if half % 2 == 0 { Conditions { loss: 1.0, ..far(0.0) } } else { far(0.0) };
            stand.hosts[0].up.set_conditions(up);
            stand.run(Duration::from_millis(500), |stand| {
                if stand.now.since(at) < Duration::from_millis(5) {
                    return;
                }
                let passed_s = stand.now.since(at).as_secs_f32();
                at = stand.now;
                let shown = stand.hosts[0].client.own(stand.now).expect("predicted").position();
                if let Some(before) = before {
                    // A tick of the fastest run, and what fades of an error meanwhile.
                    let most = (passed_s + TICK.as_secs_f32()) * arena::movement::DASH_M_PER_S + 0.2;
                    assert!(distance(before, shown) < most, "seed {seed}: a jump of {} m", distance(before, shown));
                }
                before = Some(shown);
            });
        }
        let host = &stand.hosts[0];
        let errors = host.predicted.iter().filter_map(|(tick, at)| Some(distance(*at, *stand.truth.get(&(0, *tick))?)));
        corrected_m = errors.fold(corrected_m, f32::max);
    }
    assert!(corrected_m > 1.0, "nothing had to be corrected, by {corrected_m} m at most");
}

#[test]
fn the_moment_shown_never_goes_back_and_is_nearly_always_between_two_snapshots() {
    for seed in 1..=6 {
        let mut stand = Stand::new(seed, 2, Conditions::rough(0.05), false);
        stand.run(WARM_UP, |_| {});
        let mut frame = Frame::new(&arena::Arena::schema());
        let (mut moment, mut pictures, mut uncovered) = (0.0, 0u32, 0u32);
        let mut before: Option<(f64, (f32, f32))> = None;
        stand.run(MEASURED, |stand| {
            let now = stand.now;
            let client = &mut stand.hosts[0].client;
            client.fill_frame(now, &mut frame);
            assert!(frame.moment >= moment, "seed {seed}: from {moment} back to {}", frame.moment);
            moment = frame.moment;
            pictures += 1;
            uncovered += u32::from(moment > f64::from(client.newest().tick().0));
            let other = frame.rows().find(|row| row.kind == arena::schema::PLAYER && row.owner == Some(SeatId(1)));
            let Some(other) = other else { return before = None };
            let place = (other.get(arena::schema::player::X), other.get(arena::schema::player::Y));
            if let Some((then, place_then)) = before {
                let most = (frame.moment - then + 1.5) as f32 * TICK.as_secs_f32() * arena::movement::DASH_M_PER_S;
                // After a loss longer than the delay the other jumps; never farther than it ran meanwhile.
                assert!(distance(place, place_then) <= most * 4.0, "seed {seed}: {place_then:?} to {place:?}");
            }
            before = Some((frame.moment, place));
        });
        assert!(pictures > 500);
        assert!(uncovered * 20 < pictures, "seed {seed}: {uncovered} of {pictures} pictures had no later snapshot");
        let delay = stand.hosts[0].client.stats(stand.now).interpolation_delay;
        assert!(
            delay < Duration::from_millis(130),
            "seed {seed}: a delay of {delay:?} is more than jitter and loss ask for"
        );
    }
}

#[test]
fn inputs_come_in_time_but_not_early_under_jitter() {
    let jittery = Conditions { jitter: Duration::from_millis(40), loss: 0.02, ..Conditions::latency_ms(30) };
    for seed in 1..=10 {
        let mut stand = Stand::new(seed, 2, jittery, false);
        stand.run(WARM_UP, |_| {});
        stand.inputs = (0, 0);
        stand.run(MEASURED, |_| {});
        let (in_time, missing) = stand.inputs;
        let share = in_time as f64 / (in_time + missing) as f64;
        assert!(share >= 0.95, "seed {seed}: {:.1} % of inputs came in time", share * 100.0);
        let stats = stand.hosts[0].client.stats(stand.now);
        // The slowest datagram takes 70 ms; the estimate of the server's clock may be off by half the jitter.
        assert!(stats.input_lead < Duration::from_millis(110), "seed {seed}: a lead of {:?}", stats.input_lead);
    }
}

#[test]
fn a_match_with_shots_and_deaths_is_seen_alike_by_all() {
    for seed in 1..=3 {
        let mut stand = Stand::new(seed, 4, far(0.1), true);
        stand.run(Duration::from_secs(15), |_| {});
        for (seat, host) in (0u8..).zip(&stand.hosts) {
            let checked = stand.room.verify(SeatId(seat), host.client.newest());
            assert!(checked.is_ok(), "seed {seed}, seat {seat}: {checked:?}");
            assert_eq!(host.client.stats(stand.now).counts.snapshots_bad, 0);
        }
    }
}

#[test]
fn after_a_break_of_four_seconds_play_goes_on() {
    let mut stand = Stand::new(2, 2, far(0.0), false);
    stand.run(WARM_UP, |_| {});
    let dead = Conditions { loss: 1.0, ..Conditions::PERFECT };
    stand.hosts[0].set_conditions(dead);
    stand.run(Duration::from_secs(4), |_| {});
    stand.hosts[0].set_conditions(far(0.0));
    stand.run(Duration::from_secs(4), |_| {});
    stand.inputs = (0, 0);
    let first = stand.room.tick().0;
    stand.run(Duration::from_secs(2), |_| {});
    let (in_time, missing) = stand.inputs;
    assert!(missing * 20 < in_time, "{missing} inputs missing, {in_time} in time");
    let last = stand.room.tick().0;
    let wrong = stand.hosts[0].predicted.range(first..=last).filter(|(tick, at)| stand.truth[&(0, **tick)] != **at);
    assert!(wrong.count() < 6);
}

#[test]
fn a_client_that_hears_nothing_gives_up_and_says_so() {
    let mut stand = Stand::new(1, 2, Conditions { loss: 1.0, ..Conditions::PERFECT }, false);
    stand.run(Duration::from_secs(7), |_| {});
    assert_eq!(stand.hosts[0].events, [Event::TimedOut]);
    assert!(stand.hosts[0].client.is_done() && stand.hosts[0].client.poll_timeout().is_none());
}

#[test]
fn a_client_that_leaves_tells_the_server() {
    let mut stand = Stand::new(1, 2, far(0.0), false);
    stand.run(Duration::from_secs(2), |_| {});
    let now = stand.now;
    stand.hosts[0].client.leave(now);
    stand.run(Duration::from_secs(1), |_| {});
    assert!(!stand.hosts[0].client.is_open());
    assert!(stand.hosts[0].events.iter().any(|event| matches!(event, Event::Closed { by_server: false, .. })));
    assert!(stand.hosts[1].events.contains(&Event::PlayerLeft { seat: SeatId(0), why: game::Leave::Left }));
}
