//! What to draw, as columns: one table per kind of entity, one column of `f32` per field.

use std::f32::consts::{PI, TAU};

use netcode::replication::{EntityId, SeatId, View};
use protocol::schema::{FieldCodec, Schema};

/// The entities at one moment, between two snapshots. The caller keeps it and has it filled again for every picture,
/// so that filling reserves no memory after the first few.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The moment in ticks, with fraction.
    pub moment: f64,
    /// One table per kind, by the kind's number.
    pub tables: Vec<Table>,
}

/// All entities of one kind, as a structure of arrays: row n of every column belongs to entity n.
#[derive(Debug, Clone)]
pub struct Table {
    /// The entities, by ascending index.
    pub entities: Vec<EntityId>,
    /// Whose they are.
    pub owners: Vec<Option<SeatId>>,
    /// A column per field, by the field's number. Fields that only the owner receives are 0 for the others.
    pub columns: Vec<Vec<f32>>,
    codecs: Vec<FieldCodec>,
}

/// One entity of a table.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Number of its kind.
    pub kind: usize,
    /// The entity.
    pub entity: EntityId,
    /// Whose it is.
    pub owner: Option<SeatId>,
    table: &'a Table,
    row: usize,
}

impl Frame {
    /// An empty frame for entities of this schema.
    pub fn new(schema: &Schema) -> Self {
        let table = |fields: &[protocol::schema::Field]| Table {
            entities: Vec::new(),
            owners: Vec::new(),
            columns: vec![Vec::new(); fields.len()],
            codecs: fields.iter().map(|field| field.codec).collect(),
        };
        Self { moment: 0.0, tables: schema.kinds.iter().map(|kind| table(&kind.fields)).collect() }
    }

    /// The entities of all kinds.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let tables = self.tables.iter().enumerate();
        tables.flat_map(|(kind, table)| {
            let rows = table.entities.iter().zip(&table.owners).enumerate();
            rows.map(move |(row, (&entity, &owner))| Row { kind, entity, owner, table, row })
        })
    }

    /// The row of an entity.
    pub fn row(&self, entity: EntityId) -> Option<Row<'_>> {
        self.rows().find(|row| row.entity == entity)
    }

    /// Fills the tables with the entities of `before`, moved by `part` (0 to 1) of the way towards `after`.
    ///
    /// Ranges and angles move, angles the shorter way round; flags and whole numbers keep the value of `before`.
    pub(crate) fn fill(&mut self, before: &View, after: Option<&View>, part: f32) {
        for table in &mut self.tables {
            table.clear();
        }
        for entity in before.entities() {
            let Some(table) = before.kind(entity).and_then(|kind| self.tables.get_mut(kind)) else { continue };
            let after = after.filter(|view| view.contains(entity));
            table.entities.push(entity);
            table.owners.push(before.owner(entity));
            for (field, column) in table.columns.iter_mut().enumerate() {
                let from = before.get(entity, field);
                let to = after.map_or(from, |view| view.get(entity, field));
                column.push(between(table.codecs[field], from, to, part));
            }
        }
    }
}

impl Table {
    fn clear(&mut self) {
        self.entities.clear();
        self.owners.clear();
        self.columns.iter_mut().for_each(Vec::clear);
    }
}

impl Row<'_> {
    /// A field's value; 0 for a field that the kind does not have.
    pub fn get(&self, field: usize) -> f32 {
        self.table.columns.get(field).and_then(|column| column.get(self.row)).copied().unwrap_or(0.0)
    }
}

/// The value `part` of the way between two values of a field.
fn between(codec: FieldCodec, from: f32, to: f32, part: f32) -> f32 {
    match codec {
        FieldCodec::Bool | FieldCodec::Unsigned { .. } | FieldCodec::Signed { .. } => from,
        FieldCodec::Range { .. } => from + (to - from) * part,
        FieldCodec::Angle { .. } => {
            let turn = (to - from + PI).rem_euclid(TAU) - PI;
            (from + turn * part).rem_euclid(TAU)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_turn_the_shorter_way_and_flags_do_not_blend() {
        let angle = FieldCodec::Angle { bits: 10 };
        let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
        assert!(near(between(angle, TAU - 0.1, 0.1, 0.75), 0.05));
        assert!(near(between(angle, 0.1, TAU - 0.1, 0.75), TAU - 0.05));
        assert!(near(between(angle, 1.0, 2.0, 0.5), 1.5));
        let range = FieldCodec::Range { min: 0.0, max: 9.0, step: 1.0 };
        assert_eq!(between(range, 2.0, 4.0, 0.25), 2.5);
        assert_eq!(between(FieldCodec::Bool, 0.0, 1.0, 0.9), 0.0);
    }
}
