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
/// `IN blobs($1)`, `IN ints($1)` or `IN texts($1)` and takes a `Vec`. Lists of equal length are read as rows by
/// `ROWS(account blob $1, amount int $2)`: a table `given` of these columns, in `FROM`. Writes that do not depend on
/// each other go in one round trip by [`together!`](crate::together).
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
        let text = if text.contains("ROWS(") { Cow::Owned(expand_rows(text, engine)) } else { Cow::Borrowed(text) };
        if text.contains("s($") { expand_lists(text, engine) } else { text }
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

fn expand_lists(text: Cow<'static, str>, engine: Engine) -> Cow<'static, str> {
    let mut expanded = text;
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

/// Several writes as one statement: one round trip on PostgreSQL, where they all see the moment before any of them; one
/// after another on SQLite. So none may need what another writes, nor touch the same row. Arguments are numbered through.
///
/// ```
/// # use metagame::db::Sql;
/// const MOVE: Sql = metagame::together! {
///     from: "UPDATE pots SET n = n - $1 WHERE pot = $2",
///     into: "UPDATE pots SET n = n + $1 WHERE pot = $3",
/// };
/// ```
#[macro_export]
macro_rules! together {
    ($($name:ident: $statement:literal),+ $(,)?) => {
        $crate::db::Sql::by_engine(
            concat!($($statement, ";\n"),+),
            concat!("WITH ", $crate::together!(@with $($name: $statement),+)),
        )
    };
    (@with $name:ident: $statement:literal) => {
        concat!("w_", stringify!($name), " AS (", $statement, ") SELECT 1")
    };
    (@with $name:ident: $statement:literal, $($rest:tt)+) => {
        concat!("w_", stringify!($name), " AS (", $statement, "), ", $crate::together!(@with $($rest)+))
    };
}

/// Replaces every `ROWS(name kind $n, …)` by a table `given` with these columns.
fn expand_rows(text: &str, engine: Engine) -> String {
    let mut expanded = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("ROWS(") {
        let (columns, behind) = after.split_once(')').expect("ROWS( has its closing parenthesis");
        let columns: Vec<[&str; 3]> = columns.split(',').map(column).collect();
        expanded.push_str(before);
        expanded.push_str(&match engine {
            Engine::Sqlite => sqlite_rows(&columns),
            Engine::Postgres => postgres_rows(&columns),
        });
        rest = behind;
    }
    expanded.push_str(rest);
    expanded
}

/// Name, kind and argument of a column of `ROWS`.
fn column(text: &str) -> [&str; 3] {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.try_into().expect("a column of ROWS( is its name, blob, int or text, and an argument")
}

fn sqlite_rows(columns: &[[&str; 3]]) -> String {
    let value = |index: usize, kind: &str| match kind {
        "blob" => format!("unhex(r{index}.value)"),
        _ => format!("r{index}.value"),
    };
    let named = columns.iter().enumerate().map(|(index, [name, kind, _])| format!("{} AS {name}", value(index, kind)));
    let joined = columns.iter().enumerate().map(|(index, [_, _, argument])| match index {
        0 => format!("json_each({argument}) AS r0"),
        _ => format!("JOIN json_each({argument}) AS r{index} ON r{index}.key = r0.key"),
    });
    let (named, joined): (Vec<_>, Vec<_>) = (named.collect(), joined.collect());
    format!("(SELECT {} FROM {}) AS given", named.join(", "), joined.join(" "))
}

fn postgres_rows(columns: &[[&str; 3]]) -> String {
    let array = |[_, kind, argument]: &[&str; 3]| match *kind {
        "blob" => format!("{argument}::bytea[]"),
        "int" => format!("{argument}::bigint[]"),
        _ => format!("{argument}::text[]"),
    };
    let arrays: Vec<_> = columns.iter().map(array).collect();
    let names: Vec<_> = columns.iter().map(|[name, _, _]| *name).collect();
    format!("unnest({}) AS given({})", arrays.join(", "), names.join(", "))
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
    fn lists_of_equal_length_are_rows() {
        let sql = Sql::from("INSERT INTO t SELECT id, n FROM ROWS(id blob $1, n int $2) WHERE n > 0");
        assert_eq!(
            sql.text(Engine::Sqlite),
            "INSERT INTO t SELECT id, n FROM (SELECT unhex(r0.value) AS id, r1.value AS n \
             FROM json_each($1) AS r0 JOIN json_each($2) AS r1 ON r1.key = r0.key) AS given WHERE n > 0"
        );
        assert_eq!(
            sql.text(Engine::Postgres),
            "INSERT INTO t SELECT id, n FROM unnest($1::bytea[], $2::bigint[]) AS given(id, n) WHERE n > 0"
        );
    }

    #[test]
    fn writes_that_go_together_are_one_statement() {
        const BOTH: Sql = crate::together! { a: "DELETE FROM a WHERE n = $1", b: "DELETE FROM b WHERE n = $2" };
        assert_eq!(BOTH.text(Engine::Sqlite), "DELETE FROM a WHERE n = $1;\nDELETE FROM b WHERE n = $2;\n");
        assert_eq!(
            BOTH.text(Engine::Postgres),
            "WITH w_a AS (DELETE FROM a WHERE n = $1), w_b AS (DELETE FROM b WHERE n = $2) SELECT 1"
        );
    }

    #[test]
    fn most_statements_are_sent_as_they_are_written() {
        assert!(matches!(Sql::from("SELECT 1 WHERE $1 = 2").text(Engine::Postgres), Cow::Borrowed(_)));
        assert_eq!(Sql::by_engine("a", "b").text(Engine::Sqlite), "a");
        assert_eq!(Sql::by_engine("a", "b").text(Engine::Postgres), "b");
    }
}
