//! Taking a player's name out of documents that stay.

use serde_json::Value;

/// The document with `name` wherever it names this player (an object with its `player_id` and a `name`); `None` if that
/// changes nothing, or it is no JSON.
pub fn forget_name(document: &str, player_id: &str, name: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(document).ok()?;
    walk(&mut value, player_id, name).then(|| value.to_string())
}

fn walk(value: &mut Value, player_id: &str, name: &str) -> bool {
    match value {
        Value::Object(members) => {
            let is_theirs = members.get("player_id").and_then(Value::as_str) == Some(player_id);
            let mut changed = false;
            for (key, member) in members {
                let personal =
                    is_theirs && key == "name" && member.as_str().is_some_and(|now| !now.is_empty() && now != name);
                if personal {
                    *member = name.into();
                    changed = true;
                } else {
                    changed |= walk(member, player_id, name);
                }
            }
            changed
        }
        Value::Array(all) => {
            let mut changed = false;
            for one in all {
                changed |= walk(one, player_id, name);
            }
            changed
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_taken_out_wherever_it_is_and_nobody_elses() {
        let event = r#"{"teams":[{"players":[{"player_id":"a","name":"Ada"},{"player_id":"b","name":"Bob"}]}],"mvp":{"player_id":"a","name":"Ada"}}"#;
        let forgotten = forget_name(event, "a", "Player-1").expect("changed");
        assert!(!forgotten.contains("Ada") && forgotten.contains("Bob"), "{forgotten}");
        assert_eq!(forgotten.matches("Player-1").count(), 2);
        assert_eq!(forget_name(&forgotten, "a", "Player-1"), None, "once is enough");
        assert_eq!(forget_name(event, "c", "Player-1"), None);
        assert_eq!(forget_name("not JSON", "a", "Player-1"), None);
        assert_eq!(forget_name(r#"{"player_id":"a","name":""}"#, "a", "Player-1"), None, "nobody knew it");
    }
}
