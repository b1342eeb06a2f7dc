//! Which fields usually change together: the server says it once per snapshot instead of once per entity.

use super::fields::changed_bits;
use super::plan::Plan;
use super::snapshot::SnapshotError;
use crate::bits::{BitReader, BitWriter, BitsError};

/// A set pays when so many more differences have it than have others: then it saves more than it costs.
const LEAD_MIN: u32 = 8;

/// Per kind the set of fields that most differences change, if there is one: bit `i` stands for the `i`-th field that
/// everyone sees.
#[derive(Debug, Clone)]
pub(super) struct UsualFields {
    sets: Vec<Option<u64>>,
    /// Number of fields that everyone sees, per kind.
    fields: Vec<u32>,
}

impl UsualFields {
    /// None for any kind.
    pub(super) fn new(plan: &Plan) -> Self {
        let fields: Vec<u32> = plan.kinds.iter().map(|kind| kind.public.len() as u32).collect();
        Self { sets: vec![None; fields.len()], fields }
    }

    /// The set of a kind, as it counts for the entity's owner (`mine`) or for anyone else. Owners see other fields.
    pub(super) fn of(&self, kind: usize, mine: bool) -> Option<u64> {
        self.sets[kind].filter(|_| !mine)
    }

    /// Whether any of these kinds (bit `i` for kind `i`) has a set.
    pub(super) fn has_any(&self, kinds: u64) -> bool {
        (0..).zip(&self.sets).any(|(kind, set)| set.is_some() && kinds >> kind & 1 == 1)
    }

    /// Forgets all sets.
    pub(super) fn clear(&mut self) {
        self.sets.fill(None);
    }

    /// Most bits that [`write`](Self::write) takes; 0 when there is nothing to write.
    pub(super) fn bits_max(&self) -> usize {
        if !self.has_any(u64::MAX) {
            return 0;
        }
        let sets = self.sets.iter().zip(&self.fields);
        sets.map(|(set, fields)| 1 + set.map_or(0, |_| *fields as usize)).sum()
    }

    /// Per kind one bit, whether there is a set, and the set. Only those of `kinds` (bit `i` for kind `i`), which the
    /// client is told of: it learns nothing about what it does not see.
    pub(super) fn write(&self, kinds: u64, writer: &mut BitWriter) {
        for (kind, (set, &fields)) in self.sets.iter().zip(&self.fields).enumerate() {
            let set = set.filter(|_| kinds >> kind & 1 == 1);
            writer.write_bool(set.is_some());
            if let Some(set) = set {
                writer.write_word(set, fields);
            }
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(super) fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), SnapshotError> {
        for (set, &fields) in self.sets.iter_mut().zip(&self.fields) {
            *set = if reader.read_bool()? { Some(read_set(reader, fields)?) } else { None };
        }
        Ok(())
    }
}

fn read_set(reader: &mut BitReader<'_>, fields: u32) -> Result<u64, BitsError> {
    let low = reader.read(fields.min(32))?;
    let high = reader.read(fields.saturating_sub(32))?;
    Ok(u64::from(low) | u64::from(high) << 32)
}

/// Counts the sets of one tick. The majority vote of Boyer and Moore: one candidate per kind, and how many more votes it
/// has than the others together.
#[derive(Debug)]
pub(super) struct Votes(Vec<(u64, u32)>);

impl Votes {
    pub(super) fn new(plan: &Plan) -> Self {
        Self(vec![(0, 0); plan.kinds.len()])
    }

    /// A difference of an entity of this kind changed these fields.
    pub(super) fn cast(&mut self, kind: usize, set: u64) {
        let (candidate, lead) = &mut self.0[kind];
        if *candidate == set {
            *lead += 1;
        } else if *lead > 0 {
            *lead -= 1;
        } else {
            (*candidate, *lead) = (set, 1);
        }
    }

    /// What won clearly enough is usual from now on; the next vote begins.
    pub(super) fn elect(&mut self, usual: &mut UsualFields) {
        for ((vote, set), &fields) in self.0.iter_mut().zip(&mut usual.sets).zip(&usual.fields) {
            let (candidate, lead) = std::mem::take(vote);
            let is_shorter = changed_bits(candidate, fields as usize) > 1;
            *set = (lead >= LEAD_MIN && is_shorter).then_some(candidate);
        }
    }
}
