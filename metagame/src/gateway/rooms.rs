//! Rooms: whoever is in one hears what is said in it. They come into being with their first member and end with the last.
//!
//! What is said in a room is of the moment. A member that does not take it loses it, and nobody waits for that member.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::metrics;

/// What a member may have waiting; what comes beyond is lost to it.
const WAITING_MAX: usize = 64;
/// Most rooms of one member.
const ROOMS_MAX: usize = 32;

/// The rooms of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    next: u64,
    members: HashMap<u64, mpsc::Sender<Arc<str>>>,
    rooms: HashMap<String, HashSet<u64>>,
}

/// Somebody who hears rooms; dropping it leaves all of them.
#[derive(Debug)]
pub(crate) struct Member {
    rooms: Rooms,
    id: u64,
    own: HashSet<String>,
    heard: mpsc::Receiver<Arc<str>>,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member that is in no room yet.
    pub(crate) fn enter(&self) -> Member {
        let (told, heard) = mpsc::channel(WAITING_MAX);
        let mut tables = self.lock();
        tables.next += 1;
        let id = tables.next;
        tables.members.insert(id, told);
        Member { rooms: self.clone(), id, own: HashSet::new(), heard }
    }

    /// Says something in a room.
    pub(crate) fn say(&self, room: &str, text: &str) {
        let tables = self.lock();
        let Some(ids) = tables.rooms.get(room) else { return };
        tell(ids.iter().filter_map(|id| tables.members.get(id)), text);
    }

    /// Says something to every member, whatever room it is in.
    pub(crate) fn say_to_all(&self, text: &str) {
        tell(self.lock().members.values(), text);
    }

    /// Whether nobody would hear anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().members.is_empty()
    }
}

fn tell<'a>(members: impl Iterator<Item = &'a mpsc::Sender<Arc<str>>>, text: &str) {
    let text: Arc<str> = text.into();
    let lost = members.filter(|member| member.try_send(Arc::clone(&text)).is_err()).count();
    metrics::room_messages_lost(lost);
}

impl Member {
    /// Hears a room from now on; whether it did not before, and may.
    pub(crate) fn join(&mut self, room: &str) -> bool {
        if self.own.len() >= ROOMS_MAX || !self.own.insert(room.to_owned()) {
            return false;
        }
        self.rooms.lock().rooms.entry(room.to_owned()).or_default().insert(self.id)
    }

    /// Hears a room no more; whether it did.
    pub(crate) fn leave(&mut self, room: &str) -> bool {
        let was_in = self.own.remove(room);
        if was_in {
            self.rooms.lock().forget(room, self.id);
        }
        was_in
    }

    /// Leaves all rooms; which they were.
    pub(crate) fn leave_all(&mut self) -> Vec<String> {
        let own: Vec<String> = self.own.drain().collect();
        let mut tables = self.rooms.lock();
        own.iter().for_each(|room| tables.forget(room, self.id));
        drop(tables);
        own
    }

    /// The next thing that it hears. Dropping the future loses nothing.
    pub(crate) async fn heard(&mut self) -> Option<Arc<str>> {
        self.heard.recv().await
    }
}

impl Tables {
    fn forget(&mut self, room: &str, id: u64) {
        if let Some(ids) = self.rooms.get_mut(room) {
            ids.remove(&id);
            if ids.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave_all();
        self.rooms.lock().members.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn next(member: &mut Member) -> Option<String> {
        member.heard().now_or_never().flatten().map(|text| text.to_string())
    }

    #[test]
    fn members_hear_their_rooms_and_nothing_remains_of_them() {
        let rooms = Rooms::default();
        let (mut ada, mut bob) = (rooms.enter(), rooms.enter());
        assert!(ada.join("r") && !ada.join("r") && bob.join("r") && bob.join("s"));
        rooms.say("r", "hello");
        rooms.say("nowhere", "hello");
        assert_eq!((next(&mut ada), next(&mut bob)), (Some("hello".into()), Some("hello".into())));
        assert!(ada.leave("r") && !ada.leave("r"));
        rooms.say("r", "again");
        rooms.say_to_all("all");
        assert_eq!((next(&mut ada), next(&mut ada)), (Some("all".into()), None));
        assert_eq!((next(&mut bob), next(&mut bob)), (Some("again".into()), Some("all".into())));
        drop((ada, bob));
        assert!(rooms.is_empty() && rooms.lock().rooms.is_empty());
    }

    #[test]
    fn a_member_that_takes_nothing_costs_the_others_nothing() {
        let rooms = Rooms::default();
        let (mut slow, mut other) = (rooms.enter(), rooms.enter());
        assert!(slow.join("r") && other.join("r"));
        for n in 0..WAITING_MAX + 10 {
            rooms.say("r", &n.to_string());
            assert_eq!(next(&mut other), Some(n.to_string()));
        }
        let taken = std::iter::from_fn(|| next(&mut slow)).count();
        assert_eq!(taken, WAITING_MAX, "what came beyond is lost to it");
    }

    #[test]
    fn a_member_is_in_a_bounded_number_of_rooms() {
        let rooms = Rooms::default();
        let mut member = rooms.enter();
        assert_eq!((0..100).filter(|n| member.join(&n.to_string())).count(), ROOMS_MAX);
        assert_eq!(member.leave_all().len(), ROOMS_MAX);
        assert!(rooms.lock().rooms.is_empty());
    }
}
