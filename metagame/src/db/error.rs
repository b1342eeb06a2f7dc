//! Why a use case did not happen, and what the engines' errors mean.

/// Why a use case did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Too much to do; nothing was written. Try again.
    #[error("the database is busy")]
    Busy,
    /// The database is away, or the connection to it broke; nothing was written. Try again.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The connection broke, or time ran out, in the moment of commit. Repeating the use case tells.
    #[error("the connection to the database broke during the commit: whether it was written is not known")]
    Unknown,
    /// Another use case changed the same rows at the same time; nothing was written. The layer repeats what meets
    /// this; callers see [`StoreError::Busy`] after too many.
    #[error("another use case changed the same: {0}")]
    Conflict(String),
    /// The database cannot be read or written (disk full, file gone, damaged), or refused a statement; nothing was
    /// written.
    #[error("the database failed: {0}")]
    Failed(String),
    /// A row that no version of metagame writes.
    #[error("the database holds something unreadable: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// The label of `muster_metagame_database_errors_total`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Busy | Self::Conflict(_) => "busy",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown => "unknown",
            Self::Failed(_) => "failed",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(fault) => by_code(fault.code().as_deref().unwrap_or(""), &error),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                Self::Unreadable(error.to_string())
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// PostgreSQL's codes have five characters (appendix A of its manual), SQLite's are numbers below 10,000 whose low byte is
/// the kind.
fn by_code(code: &str, error: &sqlx::Error) -> StoreError {
    let text = || error.to_string();
    if code.len() < 5 {
        let kind = code.parse::<u32>().map(|code| code & 0xFF);
        // SQLITE_BUSY and SQLITE_LOCKED: another process holds the file longer than the busy timeout.
        return if matches!(kind, Ok(5 | 6)) { StoreError::Busy } else { StoreError::Failed(text()) };
    }
    match code {
        // serialization_failure, deadlock_detected, lock_not_available (our lock_timeout). A unique_violation between
        // serializable transactions often is the first of these: its repetition sees the other's row.
        "40001" | "40P01" | "55P03" | "23505" => StoreError::Conflict(text()),
        // query_canceled (our statement_timeout), too_many_connections.
        "57014" | "53300" => StoreError::Busy,
        // Shutting down, starting up, or a primary that has become a standby.
        "57P01" | "57P02" | "57P03" | "25006" | "25P03" => StoreError::Unavailable(text()),
        _ if code.starts_with("08") => StoreError::Unavailable(text()),
        _ => StoreError::Failed(text()),
    }
}
