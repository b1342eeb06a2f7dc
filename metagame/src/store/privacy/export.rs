//! Reading everything that is held about a player, a page at a time.

use protocol::id::PlayerId;

use super::held::{HELD, Held, PAGE_ROWS, Who};
use crate::db::{Args, Cells, Domain, ToValue as _, Value};
use crate::store::{Store, StoreError, subject};

/// How far an export is.
#[derive(Debug, Clone, Default)]
pub struct ExportCursor {
    line: usize,
    /// Key of the row that came last of this line.
    after: Option<Args>,
}

/// A row as it is: names of columns and what they hold.
pub type ExportedRow = Vec<(String, Value)>;

impl ExportCursor {
    /// The line whose rows come next; `None` after the last.
    pub fn line(&self) -> Option<&'static Held> {
        HELD.get(self.line)
    }
}

impl Held {
    /// How this table names a player.
    pub(super) fn value(&self, player: PlayerId) -> Value {
        match self.who {
            Who::Bytes => player.to_value(),
            Who::Text => player.to_string().to_value(),
            Who::Subject => subject(player).to_value(),
        }
    }
}

impl Store {
    /// Some rows of the cursor's line, which moves on; to the next line after the last of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export_page(
        &self,
        player: PlayerId,
        cursor: &mut ExportCursor,
    ) -> Result<Vec<ExportedRow>, StoreError> {
        let Some(held) = cursor.line().copied() else { return Ok(Vec::new()) };
        if !held.is_shown {
            *cursor = ExportCursor { line: cursor.line + 1, after: None };
            return Ok(Vec::new());
        }
        let mut args = vec![held.value(player)];
        let sql = if cursor.after.is_some() { held.next } else { held.first };
        args.extend(cursor.after.take().into_iter().flatten());
        let rows: Vec<Cells> = self.db.all(Domain::Operations, sql, args).await?;
        match rows.last().filter(|_| rows.len() == PAGE_ROWS) {
            Some(Cells(last)) => cursor.after = Some(key_of(&held, last)?),
            None => cursor.line += 1,
        }
        Ok(rows.into_iter().map(|Cells(cells)| cells).collect())
    }
}

fn key_of(held: &Held, row: &ExportedRow) -> Result<Args, StoreError> {
    let part = |name: &&str| row.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone());
    let key: Option<Args> = held.key.iter().map(part).collect();
    key.ok_or_else(|| StoreError::Unreadable(format!("the table {} has lost a column of its key", held.table)))
}
