//! JSON of protobuf messages where it is not what serde does by itself: 64-bit numbers are text (a number is taken as
//! well), enums are names (a number is taken as well).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// A number of 64 bits as JSON may have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Int64 {
    Number(i64),
    Text(String),
}

impl Int64 {
    fn value<E: serde::de::Error>(self) -> Result<i64, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text.parse().map_err(|_| E::custom(format!("\"{text}\" is not a whole number"))),
        }
    }
}

/// A required number.
pub mod int64 {
    use super::{Deserialize as _, Deserializer, Int64, Serializer};

    /// As text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// From text or a number.
    ///
    /// # Errors
    /// If it is no whole number of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        Int64::deserialize(from)?.value()
    }
}

/// A number that may be absent.
pub mod optional_int64 {
    use super::{Deserialize as _, Deserializer, Int64, Serializer};

    /// As text, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    /// From text, a number, or null.
    ///
    /// # Errors
    /// If it is no whole number of 64 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        Option::<Int64>::deserialize(from)?.map(Int64::value).transpose()
    }
}

/// An enum as JSON may have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Number(i32),
    Text(String),
}

macro_rules! by_name {
    ($module:ident, $enum:path) => {
        /// An enum by its name.
        pub mod $module {
            use super::{Deserialize as _, Deserializer, Name, Serializer};
            use $enum as Enum;

            /// As its name, or as the number that has none.
            ///
            /// # Errors
            /// Those of the serializer.
            pub fn serialize<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
                match Enum::try_from(*value) {
                    Ok(known) => to.serialize_str(known.as_str_name()),
                    Err(_) => to.serialize_i32(*value),
                }
            }

            /// From its name or number.
            ///
            /// # Errors
            /// If it is neither.
            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
                match Name::deserialize(from)? {
                    Name::Number(number) => Ok(number),
                    Name::Text(text) => super::known(Enum::from_str_name(&text).map(i32::from), &text),
                }
            }
        }
    };
}

fn known<E: serde::de::Error>(number: Option<i32>, text: &str) -> Result<i32, E> {
    number.ok_or_else(|| E::custom(format!("\"{text}\" is none of the names that are known here")))
}

by_name!(scheduling, super::super::generated::allocation_request::SchedulingStrategy);
by_name!(operator, super::super::generated::label_match_expressions::Operator);
by_name!(state, super::super::generated::game_server_selector::GameServerState);
by_name!(priority_type, super::super::generated::priority::Type);
by_name!(priority_order, super::super::generated::priority::Order);

/// Reads a message. A field that is null counts as absent; an unknown one is an error, for it may be a misspelt one.
///
/// # Errors
/// What is wrong and where.
pub fn read<'de, M: Deserialize<'de>>(bytes: &[u8]) -> Result<M, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes)?;
    drop_nulls(&mut value);
    if !value.is_object() {
        return Err(serde_json::Error::custom("a JSON object is expected"));
    }
    M::deserialize(value)
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::allocation_request::SchedulingStrategy;
    use super::super::{AllocationRequest, AllocationResponse, allocation_response};
    use super::*;

    #[test]
    fn a_request_of_the_rest_interface_is_the_grpc_message() {
        let text = br#"{"namespace": "default", "metadata": null, "scheduling": "Distributed",
            "gameServerSelectors": [{"matchLabels": {"agones.dev/fleet": "a"}, "gameServerState": "ALLOCATED",
                "counters": {"rooms": {"minAvailable": "3", "maxCount": 7}},
                "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}],
            "priorities": [{"type": "List", "key": "players", "order": 1}],
            "counters": {"rooms": {"action": "Increment", "amount": "2"}}}"#;
        let request: AllocationRequest = read(text).expect("good JSON");
        assert_eq!(request.scheduling(), SchedulingStrategy::Distributed);
        let selector = &request.game_server_selectors[0];
        assert_eq!((selector.game_server_state, selector.match_expressions[0].operator), (1, 1));
        assert_eq!((selector.counters["rooms"].min_available, selector.counters["rooms"].max_count), (3, 7));
        assert_eq!((request.priorities[0].r#type, request.priorities[0].order), (1, 1));
        assert_eq!(request.counters["rooms"].amount, Some(2));
        assert_eq!(request.metadata, None);
    }

    #[test]
    fn a_misspelt_field_or_name_is_an_error_that_names_it() {
        for (text, named) in [
            (&br#"{"gameserverSelectors": []}"#[..], "gameserverSelectors"),
            (br#"{"scheduling": "Tight"}"#, "Tight"),
            (br#"{"counters": {"rooms": {"amount": "many"}}}"#, "many"),
            (b"[]", "object"),
        ] {
            let error = read::<AllocationRequest>(text).expect_err("a fault").to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn an_answer_shows_every_field_and_its_large_numbers_as_text() {
        let counter = allocation_response::CounterStatus { count: Some(3), capacity: None };
        let answer = AllocationResponse {
            game_server_name: "a-1".into(),
            counters: [("rooms".to_owned(), counter)].into(),
            ..AllocationResponse::default()
        };
        let json = serde_json::to_value(&answer).expect("JSON");
        assert_eq!(json["gameServerName"], "a-1");
        assert_eq!(json["counters"]["rooms"], serde_json::json!({"count": "3", "capacity": null}));
        assert_eq!((&json["ports"], &json["lists"]), (&serde_json::json!([]), &serde_json::json!({})));
    }
}
