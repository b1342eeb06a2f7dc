//! A match's world for those who watch it from outside: the tick thread leaves the newest state in one slot, at most
//! ten times a second and only while somebody looks; the admin port turns it into JSON by the schema's names.
//!
//! The tick thread never waits here: it takes the slot only when nobody else has it, and fills memory that it keeps.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use game::{EntityId, MapView, MatchSetup, Schema, SeatId, Tick, World};
use netcode::Micros;
use protocol::schema::FieldCodec;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Shortest time between two states.
const PUBLISH_EVERY_US: u64 = 100_000;
/// Most who watch one match at once.
pub const WATCHERS_MAX: usize = 16;

/// The world after a tick, as raw values.
#[derive(Debug, Default)]
struct Frame {
    tick: u32,
    entities: Vec<(EntityId, u8, Option<SeatId>)>,
    /// Raw values of the public fields of every entity, one after another.
    raws: Vec<u32>,
}

/// The slot of one match.
#[derive(Debug, Default)]
pub struct LiveView {
    schema: Option<Arc<Schema>>,
    about: Value,
    watchers: AtomicUsize,
    /// The tick thread's own clock: the next state is due then.
    due_us: AtomicU64,
    frame: Mutex<Frame>,
    news: Notify,
    is_over: AtomicBool,
}

impl LiveView {
    /// The slot of a match with this setup, schema and map.
    pub fn new(setup: &MatchSetup, schema: &Arc<Schema>, map: Option<MapView>) -> Self {
        let players = setup.players.iter().map(|player| {
            json!({ "seat": player.seat.0, "team": player.team, "name": player.name, "player_id": player.id.to_string() })
        });
        let about = json!({
            "match_id": setup.match_id.to_string(),
            "game": schema.game,
            "tick_rate_hz": setup.tick_rate_hz,
            "players": players.collect::<Vec<_>>(),
            "bounds": bounds(schema),
            "map": map.map(|map| map_json(&map)),
        });
        Self { schema: Some(Arc::clone(schema)), about, ..Self::default() }
    }

    /// What does not change: `{match_id, game, tick_rate_hz, players, bounds, map}`.
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// Called by the tick thread after each tick. Does nothing unless somebody watches and a state is due.
    pub(crate) fn publish(&self, now: Micros, tick: Tick, world: &World) {
        if self.watchers.load(Ordering::Relaxed) == 0 || now.0 < self.due_us.load(Ordering::Relaxed) {
            return;
        }
        let (Some(schema), Ok(mut frame)) = (&self.schema, self.frame.try_lock()) else { return };
        self.due_us.store(now.0 + PUBLISH_EVERY_US, Ordering::Relaxed);
        let frame = &mut *frame;
        frame.tick = tick.0;
        frame.entities.clear();
        frame.raws.clear();
        for id in world.entities() {
            let Some((kind, described)) = world.kind(id).and_then(|k| Some((k, schema.kinds.get(k)?))) else {
                continue;
            };
            frame.entities.push((id, u8::try_from(kind).unwrap_or(u8::MAX), world.owner(id)));
            let public = described.fields.iter().enumerate().filter(|(_, field)| !field.owner_only);
            frame.raws.extend(public.map(|(n, _)| world.raw(id, n).unwrap_or(0)));
        }
        self.news.notify_waiters();
    }

    /// The room is closed: those who watch are told.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.news.notify_waiters();
    }

    /// Whether the room is closed.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// One more who watches, unless there are [`WATCHERS_MAX`]. [`leave`](Self::leave) takes it back.
    pub(crate) fn enter(&self) -> bool {
        let enter = |n: usize| (n < WATCHERS_MAX).then_some(n + 1);
        self.watchers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_ok()
    }

    /// One fewer who watches.
    pub(crate) fn leave(&self) {
        self.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Resolves at the first state after this call, or when the match is over.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The newest state, if it is newer than `seen`: its tick, and
    /// `{"tick": …, "entities": [{"id", "kind", "owner", "fields": {…}}]}`.
    pub(crate) fn frame_json(&self, seen: Option<u32>) -> Option<(u32, String)> {
        let schema = self.schema.as_ref()?;
        let frame = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        if frame.entities.is_empty() || seen == Some(frame.tick) {
            return None;
        }
        let mut raws = frame.raws.iter().copied();
        let mut out = format!("{{\"tick\":{},\"entities\":[", frame.tick);
        for (n, (id, kind, owner)) in frame.entities.iter().enumerate() {
            let Some(kind) = schema.kinds.get(usize::from(*kind)) else { continue };
            let comma = if n == 0 { "" } else { "," };
            let owner = owner.map_or(Value::Null, |seat| json!(seat.0));
            // Writing to a String cannot fail; names need the escaping of JSON.
            let _ = write!(
                out,
                "{comma}{{\"id\":{},\"kind\":{},\"owner\":{owner},\"fields\":{{",
                id.to_bits(),
                json!(kind.name)
            );
            for (m, field) in kind.fields.iter().filter(|field| !field.owner_only).enumerate() {
                let comma = if m == 0 { "" } else { "," };
                let value = number(field.codec, raws.next().unwrap_or(0));
                let _ = write!(out, "{comma}{}:{value}", json!(field.name));
            }
            out.push_str("}}");
        }
        out.push_str("]}");
        Some((frame.tick, out))
    }
}

/// A value as JSON: integers and flags whole, everything else to a thousandth.
fn number(codec: FieldCodec, raw: u32) -> String {
    match codec {
        FieldCodec::Bool | FieldCodec::Unsigned { .. } | FieldCodec::Signed { .. } => {
            codec.dequantize_int(raw).to_string()
        }
        FieldCodec::Range { .. } | FieldCodec::Angle { .. } => {
            ((f64::from(codec.dequantize(raw)) * 1_000.0).round() / 1_000.0).to_string()
        }
    }
}

/// The space in which things can be, by the ranges of the fields `x` and `y`: `[x_min, y_min, x_max, y_max]`.
fn bounds(schema: &Schema) -> Value {
    let range = |name: &str| {
        let fields = schema.kinds.iter().flat_map(|kind| &kind.fields).filter(|field| field.name == name);
        let ranges = fields.filter_map(|field| match field.codec {
            FieldCodec::Range { min, max, .. } => Some((min, max)),
            _ => None,
        });
        ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    match (range("x"), range("y")) {
        (Some(x), Some(y)) => json!([x.0, y.0, x.1, y.1]),
        _ => Value::Null,
    }
}

fn map_json(map: &MapView) -> Value {
    let walls = map.walls.iter().map(|wall| json!([wall.x, wall.y, wall.width, wall.height]));
    json!({ "width": map.width, "height": map.height, "walls": walls.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use game::Game as _;

    use super::*;

    fn view() -> (LiveView, World) {
        let schema = Arc::new(arena::Arena::schema());
        let setup = MatchSetup {
            match_id: protocol::id::MatchId::from_entropy([1; 16]),
            seed: 1,
            tick_rate_hz: 60,
            players: vec![],
            settings: game::Settings::new(),
        };
        let mut world = World::new(Arc::clone(&schema), 8);
        let id = world.spawn(arena::schema::PLAYER, Some(SeatId(3))).expect("room");
        world.set(id, arena::schema::player::X, 12.5);
        world.set_int(id, arena::schema::player::ROUNDS, 30);
        world.set_int(id, arena::schema::player::KILLS, 7);
        (LiveView::new(&setup, &schema, None), world)
    }

    fn published(view: &LiveView) -> Option<Value> {
        view.frame_json(None).map(|(_, json)| serde_json::from_str(&json).expect("JSON"))
    }

    #[test]
    fn a_state_names_its_public_fields_and_hides_the_owners_own() {
        let (view, world) = view();
        assert!(view.enter());
        view.publish(Micros(1), Tick(9), &world);
        let frame = published(&view).expect("a state");
        let entity = &frame["entities"][0];
        assert_eq!((&frame["tick"], &entity["kind"], &entity["owner"]), (&json!(9), &json!("player"), &json!(3)));
        assert_eq!((&entity["fields"]["x"], &entity["fields"]["kills"]), (&json!(12.5), &json!(7)));
        assert!(entity["fields"].get("rounds").is_none(), "{entity}");
        assert!(view.frame_json(Some(9)).is_none(), "seen already");
        assert_eq!(view.about()["bounds"][0], json!(0.0));
    }

    #[test]
    fn nothing_is_published_unwatched_nor_more_often_than_ten_times_a_second() {
        let (view, world) = view();
        view.publish(Micros(1), Tick(1), &world);
        assert!(published(&view).is_none());
        assert!(view.enter());
        let tick = |view: &LiveView| published(view).map(|frame| frame["tick"].clone());
        view.publish(Micros(1), Tick(1), &world);
        view.publish(Micros(99_000), Tick(2), &world);
        assert_eq!(tick(&view), Some(json!(1)));
        view.publish(Micros(100_001), Tick(3), &world);
        assert_eq!(tick(&view), Some(json!(3)));
        view.leave();
        view.publish(Micros(900_000), Tick(4), &world);
        assert_eq!(tick(&view), Some(json!(3)));
    }

    #[test]
    fn a_slot_that_is_being_read_never_holds_the_tick_thread_up() {
        let (view, world) = view();
        assert!(view.enter());
        let reading = view.frame.lock().expect("not poisoned");
        view.publish(Micros(1), Tick(1), &world);
        drop(reading);
        assert!(published(&view).is_none());
        view.publish(Micros(2), Tick(2), &world);
        assert!(published(&view).is_some(), "it is tried again at once");
    }

    #[test]
    fn watchers_are_bounded() {
        let (view, _) = view();
        assert!((0..WATCHERS_MAX).all(|_| view.enter()));
        assert!(!view.enter());
        view.leave();
        assert!(view.enter());
    }
}
