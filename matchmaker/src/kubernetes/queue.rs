//! One `MatchQueue` as a queue of the core. The API server has checked most of it by the resource's own rules; here
//! is what those cannot say, and what a cluster with older rules might have let through.

use crds::MatchQueue;

use crate::core::queue_config::{
    PLAYERS_MAX, QueueConfig, REGIONS_MAX, RatingRule, RttRule, SETTINGS_BYTES_MAX, Source, is_build, is_name,
};

/// A queue of the core, or every fault of the resource as a sentence.
///
/// # Errors
/// The faults.
pub(super) fn read(resource: &MatchQueue, source: Source) -> Result<QueueConfig, Vec<String>> {
    let spec = &resource.spec;
    let settings_json = serde_json::Value::Object(spec.settings.0.clone()).to_string();
    let config = QueueConfig {
        name: resource.queue_name().to_owned(),
        teams: spec.teams,
        players_per_team: spec.players_per_team,
        fleet: spec.fleet.clone(),
        build: spec.build.clone().unwrap_or_default(),
        regions: spec.regions.clone(),
        settings_json,
        rating: spec.rating.map(|window| RatingRule {
            window_start: window.window_start,
            window_growth_per_s: window.window_growth_per_second,
            window_max: window.window_maximum,
            pre_expand_wait_s: window.pre_expand_wait_seconds,
        }),
        rtt: RttRule {
            max_ms: spec.round_trip.maximum_ms,
            growth_ms_per_s: spec.round_trip.growth_ms_per_second,
            ceiling_ms: spec.round_trip.ceiling_ms,
        },
        ticket_timeout_s: spec.ticket_timeout_seconds,
        party_size_max: spec.party_size_maximum.unwrap_or(spec.players_per_team),
        capacity: spec.capacity,
        starving_after_s: spec.starving_after_seconds,
        source,
    };
    let faults = faults(&config);
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

fn faults(queue: &QueueConfig) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |sound: bool, sentence: String| {
        if !sound {
            faults.push(sentence);
        }
    };
    let name_rule = "must be 1 to 63 lower-case letters, digits, '-', '_' or '.'";
    check(is_name(&queue.name), format!("spec.queue {name_rule}"));
    check(is_name(&queue.fleet), format!("spec.fleet {name_rule}"));
    check(queue.build.is_empty() || is_build(&queue.build), format!("spec.build {name_rule}, or '+'"));
    for (place, region) in queue.regions.iter().enumerate() {
        check(is_name(region), format!("spec.regions[{place}] {name_rule}"));
        check(!queue.regions[..place].contains(region), format!("spec.regions names {region} twice"));
    }
    check(queue.regions.len() <= REGIONS_MAX, format!("spec.regions has at most {REGIONS_MAX} regions"));
    let players = queue.teams.saturating_mul(queue.players_per_team);
    check(
        (2..=PLAYERS_MAX).contains(&players),
        format!("spec.teams times spec.playersPerTeam must give 2 to {PLAYERS_MAX} players, not {players}"),
    );
    check(
        (1..=queue.players_per_team).contains(&queue.party_size_max),
        "spec.partySizeMaximum must be 1 to playersPerTeam: a party is never split over teams".into(),
    );
    let bytes = queue.settings_json.len();
    check(
        bytes <= SETTINGS_BYTES_MAX,
        format!("spec.settings is {bytes} bytes of JSON: a game gets at most {SETTINGS_BYTES_MAX}"),
    );
    if let Some(rule) = queue.rating {
        let numbers = [rule.window_start, rule.window_growth_per_s, rule.window_max, rule.pre_expand_wait_s];
        let sound = numbers.iter().all(|number| number.is_finite() && *number >= 0.0);
        check(sound, "spec.rating has only numbers of 0 or more".into());
        check(rule.window_start <= rule.window_max, "spec.rating.windowStart must not be above windowMaximum".into());
    }
    let growth = queue.rtt.growth_ms_per_s;
    check(growth.is_finite() && growth >= 0.0, "spec.roundTrip.growthMsPerSecond must be 0 or more".into());
    check(queue.rtt.max_ms <= queue.rtt.ceiling_ms, "spec.roundTrip.maximumMs must not be above ceilingMs".into());
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Queues;

    fn resource(spec: &Value) -> MatchQueue {
        let mut manifest = json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue",
            "metadata": { "name": "ranked", "namespace": "games" },
            "spec": { "teams": 2, "playersPerTeam": 4, "fleet": "arena" }
        });
        for (key, value) in spec.as_object().expect("an object") {
            manifest["spec"][key] = value.clone();
        }
        serde_json::from_value(manifest).expect("a queue by its types")
    }

    #[test]
    fn a_resource_and_a_queue_file_that_say_the_same_are_the_same_queue() {
        let file = r#"
            [[queue]]
            name = "ranked"
            teams = 2
            players_per_team = 4
            fleet = "arena"
        "#;
        let from_file = Queues::parse("test", file).expect("sound").as_slice()[0].clone();
        assert_eq!(read(&resource(&json!({})), Source::default()), Ok(from_file), "the defaults are the same");

        let file = r#"
            [[queue]]
            name = "other"
            teams = 4
            players_per_team = 2
            fleet = "f"
            build = "1.0.0+abc"
            regions = ["eu", "us"]
            settings = { seconds = 20 }
            rtt_ms_max = 80
            rtt_ms_growth_per_s = 1.5
            rtt_ms_ceiling = 120
            ticket_timeout_s = 60
            party_size_max = 1
            capacity = 7
            starving_after_s = 5
            [queue.rating]
            window_start = 1.5
            window_growth_per_s = 0.5
            window_max = 9
            pre_expand_wait_s = 0
        "#;
        let from_file = Queues::parse("test", file).expect("sound").as_slice()[0].clone();
        let spec = json!({
            "queue": "other", "teams": 4, "playersPerTeam": 2, "fleet": "f", "build": "1.0.0+abc",
            "regions": ["eu", "us"], "settings": { "seconds": 20 },
            "roundTrip": { "maximumMs": 80, "growthMsPerSecond": 1.5, "ceilingMs": 120 },
            "ticketTimeoutSeconds": 60, "partySizeMaximum": 1, "capacity": 7,
            "starvingAfterSeconds": 5,
            "rating": { "windowStart": 1.5, "windowGrowthPerSecond": 0.5, "windowMaximum": 9, "preExpandWaitSeconds": 0 }
        });
        assert_eq!(read(&resource(&spec), Source::default()), Ok(from_file));
    }

    #[test]
    fn every_fault_is_named_by_its_field() {
        let rows = [
            (json!({ "queue": "Ranked" }), "spec.queue"),
            (json!({ "fleet": "a b" }), "spec.fleet"),
            (json!({ "build": "1/2" }), "spec.build"),
            (json!({ "regions": ["eu", "EU"] }), "spec.regions[1]"),
            (json!({ "regions": ["eu", "eu"] }), "eu twice"),
            (json!({ "teams": 200 }), "2 to 128 players, not 800"),
            (json!({ "partySizeMaximum": 5 }), "spec.partySizeMaximum"),
            (json!({ "settings": { "text": "x".repeat(20_000) } }), "bytes of JSON"),
            (
                json!({ "rating": { "windowStart": -1, "windowGrowthPerSecond": 0, "windowMaximum": 1 } }),
                "numbers of 0 or more",
            ),
            (
                json!({ "rating": { "windowStart": 2, "windowGrowthPerSecond": 0, "windowMaximum": 1 } }),
                "spec.rating.windowStart",
            ),
            (json!({ "roundTrip": { "maximumMs": 9, "ceilingMs": 8 } }), "spec.roundTrip.maximumMs"),
        ];
        for (spec, expected) in rows {
            let faults = read(&resource(&spec), Source::default()).expect_err("a fault");
            assert!(faults.len() == 1 && faults[0].contains(expected), "{spec}: {faults:?}");
        }
        let many = json!({ "queue": "", "fleet": "", "teams": 0 });
        assert_eq!(read(&resource(&many), Source::default()).expect_err("faults").len(), 3);
    }
}
