//! Refresh families against a model that remembers every token ever given and when.

use metagame::core::session::{FAMILY_LIFE_MS, Family, GRACE_MS, RefreshSecret, RefreshToken, SessionId, Verdict};
use proptest::prelude::*;
use uuid::Uuid;

/// What somebody who writes everything down expects.
struct Model {
    /// All tokens, oldest first, and when each was first given.
    given: Vec<(RefreshToken, u64)>,
    begun_ms: u64,
    alive: bool,
}

impl Model {
    fn expect(&mut self, index: usize, now_ms: u64) -> Verdict {
        let newest = self.given.len() - 1;
        if now_ms >= self.begun_ms + FAMILY_LIFE_MS {
            Verdict::Expired
        } else if index == newest {
            Verdict::Rotate
        } else if index + 1 == newest && now_ms - self.given[newest].1 <= GRACE_MS {
            Verdict::Repeat
        } else {
            Verdict::Reused
        }
    }
}

/// How far back the presented token is, and how long after the last step.
fn steps() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let wait = prop_oneof![0_u64..10, Just(GRACE_MS), Just(GRACE_MS + 1), 0..FAMILY_LIFE_MS / 4];
    prop::collection::vec((prop_oneof![8 => Just(0_usize), 4 => Just(1), 1 => 2_usize..5], wait), 1..40)
}

proptest! {
    #[test]
    fn a_family_decides_as_the_model_does(steps in steps()) {
        let secret = RefreshSecret::new(&[1; 32]);
        let first = secret.first(SessionId(Uuid::from_bytes([2; 16])), [3; 32]);
        let mut now_ms = 1_000;
        let mut family = Family::new(first.hash(), now_ms);
        let mut model = Model { given: vec![(first, now_ms)], begun_ms: now_ms, alive: true };
        for (back, wait) in steps {
            now_ms += wait;
            let index = (model.given.len() - 1).saturating_sub(back);
            let presented = model.given[index].0.clone();
            // What a client keeps is the text.
            let read = secret.read(&secret.text(&presented));
            prop_assert_eq!(read.as_ref(), Some(&presented));
            let expected = model.expect(index, now_ms);
            prop_assert_eq!(family.judge(presented.hash(), now_ms), expected);
            let successor = secret.successor(&presented);
            match expected {
                Verdict::Rotate => {
                    family.rotate(successor.hash(), now_ms);
                    model.given.push((successor, now_ms));
                }
                Verdict::Repeat => prop_assert_eq!(&successor, &model.given[index + 1].0),
                Verdict::Reused | Verdict::Expired => model.alive = false,
            }
            if !model.alive {
                break;
            }
        }
    }
}
