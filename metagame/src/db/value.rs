//! Arguments of statements: the few types that both engines store, and how ours become them.
//!
//! Ids and hashes are bytes, times and counts signed 64-bit integers, truth values 0 and 1, JSON is text.

use protocol::id::{MatchId, PartyId, PlayerId, TicketId};

use crate::core::device::DeviceHash;
use crate::core::inventory::ItemId;
use crate::core::ledger::Account;
use crate::core::name::PlayerName;
use crate::core::session::{SessionId, TokenHash};
use crate::vault::BlindIndex;

/// The arguments of a statement; made by [`args!`](crate::args).
pub type Args = Vec<Value>;

/// One argument. It knows its type even where it is NULL, which PostgreSQL asks for.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// An integer, a time, a count, or a truth value.
    Int(Option<i64>),
    /// A number with a fraction.
    Real(Option<f64>),
    /// Text, or JSON.
    Text(Option<String>),
    /// Bytes: an id, a hash.
    Blob(Option<Vec<u8>>),
    /// For `IN ints($1)`.
    Ints(Vec<i64>),
    /// For `IN texts($1)`.
    Texts(Vec<String>),
    /// For `IN blobs($1)`.
    Blobs(Vec<Vec<u8>>),
}

/// Values are never shown: names, addresses and hashes of tokens are among them.
impl std::fmt::Debug for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Int(_) => "Int",
            Self::Real(_) => "Real",
            Self::Text(_) => "Text",
            Self::Blob(_) => "Blob",
            Self::Ints(_) => "Ints",
            Self::Texts(_) => "Texts",
            Self::Blobs(_) => "Blobs",
        })
    }
}

/// What can be an argument. A new id type is one line in this file and one in `row.rs`.
pub trait ToValue {
    /// NULL of this type.
    fn null() -> Value;

    /// As the engines store it.
    fn to_value(&self) -> Value;
}

/// The arguments of a statement, in order: `args![player, name, now_ms]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::ToValue::to_value(&$value)),*] };
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn null() -> Value {
        T::null()
    }

    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn null() -> Value {
        T::null()
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or_else(T::null, ToValue::to_value)
    }
}

macro_rules! to_value {
    ($($kind:ident, $of:ty, $value:ident => $stored:expr;)*) => { $(
        impl ToValue for $of {
            fn null() -> Value {
                Value::$kind(None)
            }

            fn to_value(&self) -> Value {
                let $value = self;
                Value::$kind(Some($stored))
            }
        }
    )* };
}

to_value! {
    Int, i64, value => *value;
    // Both engines' integers are signed; what does not fit is a clock or a counter that nobody reaches.
    Int, u64, value => i64::try_from(*value).unwrap_or(i64::MAX);
    Int, u32, value => i64::from(*value);
    Int, u16, value => i64::from(*value);
    Int, bool, value => i64::from(*value);
    Real, f64, value => *value;
    Text, str, value => value.to_owned();
    Text, String, value => value.clone();
    Text, PlayerName, value => value.as_str().to_owned();
    Blob, [u8], value => value.to_vec();
    Blob, Vec<u8>, value => value.clone();
    Blob, PlayerId, value => value.to_bytes().to_vec();
    Blob, MatchId, value => value.to_bytes().to_vec();
    Blob, TicketId, value => value.to_bytes().to_vec();
    Blob, PartyId, value => value.to_bytes().to_vec();
    Blob, SessionId, value => value.0.as_bytes().to_vec();
    Blob, TokenHash, value => value.0.to_vec();
    Blob, DeviceHash, value => value.0.to_vec();
    Blob, BlindIndex, value => value.0.to_vec();
    Blob, Account, value => value.0.to_vec();
    Blob, ItemId, value => value.to_bytes().to_vec();
}

impl<const N: usize> ToValue for [u8; N] {
    fn null() -> Value {
        Value::Blob(None)
    }

    fn to_value(&self) -> Value {
        Value::Blob(Some(self.to_vec()))
    }
}

/// A list for `IN ints($1)`, `IN texts($1)` or `IN blobs($1)`.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, T>(pub &'a [T]);

impl<T: ToValue> ToValue for List<'_, T> {
    fn null() -> Value {
        match T::null() {
            Value::Text(_) => Value::Texts(Vec::new()),
            Value::Blob(_) => Value::Blobs(Vec::new()),
            _ => Value::Ints(Vec::new()),
        }
    }

    fn to_value(&self) -> Value {
        let mut list = Self::null();
        for one in self.0 {
            match (&mut list, one.to_value()) {
                (Value::Ints(ints), Value::Int(Some(int))) => ints.push(int),
                (Value::Texts(texts), Value::Text(Some(text))) => texts.push(text),
                (Value::Blobs(blobs), Value::Blob(Some(blob))) => blobs.push(blob),
                // NULL is in no list.
                _ => {}
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_still_has_a_type() {
        let args = args![None::<u64>, Some("x"), None::<PlayerId>, true, u64::MAX, List(&[[1_u8; 2]])];
        let expected = [
            Value::Int(None),
            Value::Text(Some("x".into())),
            Value::Blob(None),
            Value::Int(Some(1)),
            Value::Int(Some(i64::MAX)),
            Value::Blobs(vec![vec![1, 1]]),
        ];
        assert_eq!(args, expected);
    }

    #[test]
    fn a_value_is_not_shown() {
        assert_eq!(format!("{:?}", args!["secret", [7_u8; 4]]), "[Text, Blob]");
    }
}
