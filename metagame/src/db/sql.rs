//! The text of a statement: nearly always one for both engines, with `$1`, `$2`, … for its arguments.

use std::borrow::Cow;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in this process.
    Sqlite,
    /// A server.
    Postgres,
}

/// A statement. Most are one literal: `tx.execute("UPDATE … WHERE player_id = $1", args![player])`.
///
/// Where the engines need different words, [`Sql::by_engine`] holds both. A list argument is written
/// `IN blobs($1)`, `IN ints($1)` or `IN texts($1)` and takes a `Vec`.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Sql {
    /// A statement that the engines spell differently. Both take the same arguments and give the same columns.
    pub const fn by_engine(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres }
    }

    /// What is sent.
    pub(super) fn text(self, engine: Engine) -> Cow<'static, str> {
        let text = match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        };
        if text.contains("s($") { expand_lists(text, engine) } else { Cow::Borrowed(text) }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::by_engine(text, text)
    }
}

/// Name of a list, what SQLite makes of a JSON value, type of the array in PostgreSQL.
const LISTS: [(&str, &str, &str); 3] =
    [("blobs($", "unhex(value)", "bytea"), ("ints($", "value", "bigint"), ("texts($", "value", "text")];

fn expand_lists(text: &'static str, engine: Engine) -> Cow<'static, str> {
    let mut expanded = Cow::Borrowed(text);
    for (name, from_json, element) in LISTS {
        while let Some(begin) = expanded.find(name) {
            let number = begin + name.len();
            let Some(length) = expanded[number..].find(')') else { break };
            let argument = &expanded[number..number + length];
            let list = match engine {
                Engine::Sqlite => format!("(SELECT {from_json} FROM json_each(${argument}))"),
                Engine::Postgres => format!("(SELECT unnest(${argument}::{element}[]))"),
            };
            let end = number + length + 1;
            expanded = Cow::Owned(format!("{}{list}{}", &expanded[..begin], &expanded[end..]));
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_spelled_as_each_engine_takes_it() {
        let sql = Sql::from("DELETE FROM t WHERE a IN blobs($1) AND b IN ints($2) AND min(c) > counts(d)");
        assert_eq!(
            sql.text(Engine::Sqlite),
            "DELETE FROM t WHERE a IN (SELECT unhex(value) FROM json_each($1)) \
             AND b IN (SELECT value FROM json_each($2)) AND min(c) > counts(d)"
        );
        assert_eq!(
            sql.text(Engine::Postgres),
            "DELETE FROM t WHERE a IN (SELECT unnest($1::bytea[])) \
             AND b IN (SELECT unnest($2::bigint[])) AND min(c) > counts(d)"
        );
    }

    #[test]
    fn most_statements_are_sent_as_they_are_written() {
        assert!(matches!(Sql::from("SELECT 1 WHERE $1 = 2").text(Engine::Postgres), Cow::Borrowed(_)));
        assert_eq!(Sql::by_engine("a", "b").text(Engine::Sqlite), "a");
        assert_eq!(Sql::by_engine("a", "b").text(Engine::Postgres), "b");
    }
}
