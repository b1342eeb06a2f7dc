//! The order in which a client's places are mentioned: the one not mentioned for longest comes first.

/// No place.
const NONE: u16 = u16::MAX;

/// The neighbours of a place.
#[derive(Debug, Clone, Copy)]
struct Link {
    before: u16,
    after: u16,
}

/// All places of a world in a doubly linked list: a mention moves its place to the end, so nothing is ever sorted.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    links: Vec<Link>,
    first: u16,
    last: u16,
}

impl Queue {
    /// No place; grows by [`reach`](Self::reach) to at most `limit` places, which is below 65,535.
    pub(super) fn new(limit: usize) -> Self {
        Self { links: Vec::with_capacity(limit), first: NONE, last: NONE }
    }

    /// Makes at least `places` places. New ones were never mentioned: they come first, the lowest before the others.
    pub(super) fn reach(&mut self, places: usize) {
        let old = self.links.len();
        if places <= old {
            return;
        }
        self.links.resize(places, Link { before: NONE, after: NONE });
        for place in (old..places).rev() {
            self.insert(place as u16, NONE, self.first);
        }
    }

    /// Number of places.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The place that was not mentioned for longest.
    pub(super) fn first(&self) -> Option<usize> {
        (self.first != NONE).then_some(usize::from(self.first))
    }

    /// The place after this one.
    pub(super) fn after(&self, place: usize) -> Option<usize> {
        let after = self.links[place].after;
        (after != NONE).then_some(usize::from(after))
    }

    /// The place is mentioned.
    pub(super) fn move_to_end(&mut self, place: usize) {
        let place = place as u16;
        if place == self.last {
            return;
        }
        let Link { before, after } = self.links[usize::from(place)];
        self.join(before, after);
        self.insert(place, self.last, NONE);
    }

    fn insert(&mut self, place: u16, before: u16, after: u16) {
        self.join(before, place);
        self.join(place, after);
    }

    /// Makes two places neighbours; [`NONE`] stands for both ends.
    fn join(&mut self, before: u16, after: u16) {
        match self.links.get_mut(usize::from(before)) {
            Some(link) => link.after = after,
            None => self.first = after,
        }
        match self.links.get_mut(usize::from(after)) {
            Some(link) => link.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(queue: &Queue) -> Vec<usize> {
        std::iter::successors(queue.first(), |&place| queue.after(place)).collect()
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_list(mentions in proptest::collection::vec((0usize..30, 0usize..40), 0..100)) {
            let (mut queue, mut model) = (Queue::new(40), Vec::new());
            for (place, reach) in mentions {
                let new: Vec<usize> = (model.len()..reach).collect();
                model.splice(0..0, new);
                queue.reach(reach);
                if place < model.len() {
                    model.retain(|&other| other != place);
                    model.push(place);
                    queue.move_to_end(place);
                }
                prop_assert_eq!(order(&queue), model.clone());
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
