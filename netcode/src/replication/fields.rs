//! One entity's fields as bits: whole, or as a difference from an older row.
//!
//! A difference: which fields changed, then the changed fields. Which: where the snapshot names a usual set for the
//! kind, one bit whether it is that; else the place of the last changed field among the visible ones plus 1 (0: nothing
//! changed), then a bit for each field before it. Only prefix codes that are the same for everyone in one tick, so bits
//! can be appended anywhere.

use super::plan::{FieldPlan, KindPlan, count_bits};
use super::snapshot::SnapshotError;
use crate::bits::{BitReader, BitWriter};

/// Whether two rows show a client the same.
pub(super) fn equal(plan: &KindPlan, mine: bool, a: &[u32], b: &[u32]) -> bool {
    plan.visible(mine).iter().all(|&field| a[usize::from(field)] == b[usize::from(field)])
}

/// Writes all visible fields.
pub(super) fn write_full(writer: &mut BitWriter, plan: &KindPlan, mine: bool, row: &[u32]) {
    for &field in plan.visible(mine) {
        writer.write(row[usize::from(field)], plan.fields[usize::from(field)].bits);
    }
}

/// Reads what [`write_full`] wrote.
pub(super) fn read_full(
    reader: &mut BitReader<'_>,
    plan: &KindPlan,
    mine: bool,
    row: &mut [u32],
) -> Result<(), SnapshotError> {
    for &field in plan.visible(mine) {
        row[usize::from(field)] = read_raw(reader, &plan.fields[usize::from(field)])?;
    }
    Ok(())
}

/// Writes the visible fields of `new` that differ from `old`; returns which these are, bit `i` for visible field `i`.
pub(super) fn write_delta(
    writer: &mut BitWriter,
    plan: &KindPlan,
    mine: bool,
    usual: Option<u64>,
    old: &[u32],
    new: &[u32],
) -> u64 {
    let visible = plan.visible(mine);
    // At most 64 fields: bit i for visible field i.
    let mut changed = 0u64;
    for (place, &field) in visible.iter().enumerate() {
        let field = usize::from(field);
        changed |= u64::from(old[field] != new[field]) << place;
    }
    if usual.is_some() {
        writer.write_bool(usual == Some(changed));
    }
    if usual != Some(changed) {
        let end = u64::BITS - changed.leading_zeros();
        writer.write(end, count_bits(visible.len()));
        writer.write_word(changed, end.saturating_sub(1));
    }
    for (place, &field) in visible.iter().enumerate() {
        let field = usize::from(field);
        if changed >> place & 1 == 1 {
            write_change(writer, &plan.fields[field], old[field], new[field]);
        }
    }
    changed
}

/// Reads what [`write_delta`] wrote into `row`, which holds the old values.
pub(super) fn read_delta(
    reader: &mut BitReader<'_>,
    plan: &KindPlan,
    mine: bool,
    usual: Option<u64>,
    row: &mut [u32],
) -> Result<(), SnapshotError> {
    let visible = plan.visible(mine);
    let is_usual = usual.is_some() && reader.read_bool()?;
    let changed = if is_usual { usual.unwrap_or(0) } else { read_changed(reader, visible.len())? };
    for (place, field) in visible.iter().enumerate() {
        if changed >> place & 1 == 1 {
            let field = usize::from(*field);
            row[field] = read_change(reader, &plan.fields[field], row[field])?;
        }
    }
    Ok(())
}

/// Bits that say which of so many visible fields changed, where no usual set does.
pub(super) fn changed_bits(changed: u64, visible: usize) -> u32 {
    let end = u64::BITS - changed.leading_zeros();
    count_bits(visible) + end.saturating_sub(1)
}

/// Which of so many visible fields changed.
fn read_changed(reader: &mut BitReader<'_>, visible: usize) -> Result<u64, SnapshotError> {
    let end = reader.read(count_bits(visible))? as usize;
    if end > visible {
        return Err(SnapshotError::Malformed);
    }
    // At most 64 fields: the flags of those before the last, and the last itself.
    let mut changed = 0u64;
    for place in 0..end {
        let is_changed = place + 1 == end || reader.read_bool()?;
        changed |= u64::from(is_changed) << place;
    }
    Ok(changed)
}

fn write_change(writer: &mut BitWriter, plan: &FieldPlan, old: u32, new: u32) {
    if plan.bits == 1 {
        return;
    }
    let Some((small, medium)) = plan.classes else {
        writer.write(new, plan.bits);
        return;
    };
    let code = zigzag(difference(plan, old, new)) - 1;
    if code < 1 << small {
        writer.write_word(code << 1, 1 + small);
    } else if code < 1 << medium {
        writer.write_word(0b01 | code << 2, 2 + medium);
    } else {
        writer.write_word(0b11 | u64::from(new) << 2, 2 + plan.bits);
    }
}

fn read_change(reader: &mut BitReader<'_>, plan: &FieldPlan, old: u32) -> Result<u32, SnapshotError> {
    if plan.bits == 1 {
        return Ok(1 - old.min(1));
    }
    let Some((small, medium)) = plan.classes else { return read_raw(reader, plan) };
    let bits = if !reader.read_bool()? {
        small
    } else if !reader.read_bool()? {
        medium
    } else {
        return read_raw(reader, plan);
    };
    let new = i64::from(old) + unzigzag(u64::from(reader.read(bits)?) + 1);
    if plan.wraps {
        return Ok(new as u32 & plan.raw_max);
    }
    u32::try_from(new).ok().filter(|&raw| raw <= plan.raw_max).ok_or(SnapshotError::Malformed)
}

fn read_raw(reader: &mut BitReader<'_>, plan: &FieldPlan) -> Result<u32, SnapshotError> {
    let raw = reader.read(plan.bits)?;
    if raw > plan.raw_max { Err(SnapshotError::Malformed) } else { Ok(raw) }
}

/// `new - old`, for an angle the short way around.
fn difference(plan: &FieldPlan, old: u32, new: u32) -> i64 {
    let difference = i64::from(new) - i64::from(old);
    if !plan.wraps {
        return difference;
    }
    let circle = 1i64 << plan.bits;
    let half = circle / 2;
    (difference + half).rem_euclid(circle) - half
}

/// 0, -1, 1, -2, 2, … become 0, 1, 2, 3, 4, …
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(code: u64) -> i64 {
    (code >> 1) as i64 ^ -((code & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::schema::{Field, FieldCodec, Kind, Schema};

    use super::super::plan::Plan;
    use super::*;

    fn plan() -> KindPlan {
        let fields = vec![
            Field::new("x", FieldCodec::Range { min: -10.0, max: 10.0, step: 0.01 }),
            Field::new("aim", FieldCodec::Angle { bits: 12 }),
            Field::new("alive", FieldCodec::Bool),
            Field::owner_only("ammo", FieldCodec::Unsigned { bits: 3 }),
            Field::new("score", FieldCodec::Signed { bits: 32 }),
        ];
        let kinds = vec![Kind { name: "player".into(), fields }];
        Plan::new(&Schema { game: "test".into(), version: 1, kinds, input: vec![] }).kinds.remove(0)
    }

    fn row() -> impl Strategy<Value = Vec<u32>> {
        (0u32..=2000, 0u32..4096, 0u32..2, 0u32..8, any::<u32>())
            .prop_map(|(x, aim, alive, ammo, score)| vec![x, aim, alive, ammo, score])
    }

    #[test]
    fn an_angle_takes_the_short_way_around() {
        let plan = plan();
        let mut writer = BitWriter::new();
        write_delta(&mut writer, &plan, false, None, &[0, 4095, 0, 0, 0], &[0, 2, 0, 0, 0]);
        // Three bits for the last of four visible fields, one flag, one class bit, five bits of difference.
        assert_eq!(writer.bits(), 3 + 1 + 1 + 5);
    }

    proptest! {
        #[test]
        fn rows_survive_whole_and_as_differences(old in row(), new in row(), same in 0u8..32, mine in any::<bool>()) {
            let plan = plan();
            let pick = |place: usize| if same >> place & 1 == 1 { old[place] } else { new[place] };
            let new: Vec<u32> = (0..5).map(pick).collect();
            let mut writer = BitWriter::new();
            write_full(&mut writer, &plan, mine, &old);
            let changed = write_delta(&mut writer, &plan, mine, None, &old, &new);
            for usual in [changed, changed ^ 2] {
                write_delta(&mut writer, &plan, mine, Some(usual), &old, &new);
            }
            let bytes = writer.finish().to_vec();
            let mut reader = BitReader::new(&bytes);
            let mut row = vec![0; 5];
            read_full(&mut reader, &plan, mine, &mut row).unwrap();
            prop_assert!(equal(&plan, mine, &row, &old));
            let whole = row.clone();
            for usual in [None, Some(changed), Some(changed ^ 2)] {
                row.clone_from(&whole);
                read_delta(&mut reader, &plan, mine, usual, &mut row).unwrap();
                prop_assert!(equal(&plan, mine, &row, &new), "with {usual:?} as usual");
            }
            prop_assert_eq!(row[3], if mine { new[3] } else { 0 });
            reader.finish().unwrap();
        }
    }
}
