//! A schema from a stranger: what is accepted must be canonical, and usable for everything that a schema drives.

use std::sync::Arc;

use game::{Input, InputPacket, Seen, Tick};
use netcode::replication::{Replica, World};
use protocol::schema::{FIELD_BITS_MAX, Field, FieldCodec, Kind, Schema};

use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "schema",
    what: "canonical schema bytes, and codec, world, replica and input made from what is accepted",
    cases_per_world: 4_096,
    bytes_max: 4_096,
    world: || Box::new(Reader),
    seeds,
};

/// Values at which quantizing goes wrong.
const VALUES: [f32; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    f32::MIN_POSITIVE,
    1e-40,
    16_777_217.0,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];
const INTEGERS: [i64; 6] = [0, -1, 1 << 31, u32::MAX as i64, i64::MIN, i64::MAX];

struct Reader;

impl Target for Reader {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let schema = match Schema::from_bytes(case) {
            Ok(schema) => schema,
            Err(protocol::schema::SchemaError::Malformed) => return Ok(1),
            Err(protocol::schema::SchemaError::TooMany { .. }) => return Ok(2),
            Err(protocol::schema::SchemaError::Name(_)) => return Ok(3),
            Err(protocol::schema::SchemaError::Codec(_)) => return Ok(4),
        };
        check(schema.to_bytes() == case, || "accepted bytes are not the canonical ones".to_owned())?;
        schema.validate().map_err(|error| format!("an accepted schema is not valid: {error}"))?;
        let fields = schema.kinds.iter().flat_map(|kind| &kind.fields).chain(&schema.input);
        fields.map(|field| field.codec).try_for_each(check_codec)?;
        use_it(&Arc::new(schema.clone()), case)?;
        Ok(5 + ((schema.kinds.len() as u64) << 8) + ((schema.input.len() as u64) << 16))
    }
}

fn check_codec(codec: FieldCodec) -> Result<(), String> {
    let (bits, raw_max) = (codec.bits(), codec.raw_max());
    check((1..=FIELD_BITS_MAX).contains(&bits) && u64::from(raw_max) < 1 << bits, || {
        format!("{codec:?} has {bits} bits for values up to {raw_max}")
    })?;
    for raw in
        VALUES.map(|value| codec.quantize(value)).into_iter().chain(INTEGERS.map(|value| codec.quantize_int(value)))
    {
        check(raw <= raw_max, || format!("{codec:?} makes {raw}, at most {raw_max}"))?;
        let value = codec.dequantize(raw);
        check(value.is_finite(), || format!("{codec:?} makes {value} of {raw}"))?;
        codec.dequantize_int(raw);
    }
    Ok(())
}

/// Everything that a schema drives, once.
fn use_it(schema: &Arc<Schema>, noise: &[u8]) -> Result<(), String> {
    let mut world = World::new(Arc::clone(schema), 8);
    for (number, kind) in schema.kinds.iter().enumerate() {
        let Ok(entity) = world.spawn(number, None) else { break };
        (0..kind.fields.len()).for_each(|field| world.set(entity, field, VALUES[(field + number) % VALUES.len()]));
    }
    world.hash();
    let mut replica = Replica::new(Arc::clone(schema));
    let _ = replica.apply(noise);
    let input = Input::neutral(Arc::clone(schema));
    let mut bytes = Vec::new();
    InputPacket::encode(schema, Tick(9), Seen::default(), [&input, &input].into_iter(), &mut bytes);
    let read = InputPacket::decode(schema, &bytes).map_err(|error| format!("own input: {error}"))?;
    let same = read.iter().all(|(_, raw)| raw == input.raw());
    check(same, || "an input changed on the wire".to_owned())?;
    let _ = InputPacket::decode(schema, noise);
    Ok(())
}

fn seeds() -> Vec<Entry> {
    let range = |min, max, step| FieldCodec::Range { min, max, step };
    let every = Schema {
        game: "every".into(),
        version: 1,
        kinds: vec![
            Kind {
                name: "a".into(),
                fields: vec![
                    Field::new("b", FieldCodec::Bool),
                    Field::new("u", FieldCodec::Unsigned { bits: 32 }),
                    Field::owner_only("s", FieldCodec::Signed { bits: 1 }),
                ],
            },
            Kind { name: "empty".into(), fields: vec![] },
        ],
        input: vec![Field::new("r", range(-1.0, 1.0, 0.25)), Field::new("a", FieldCodec::Angle { bits: 20 })],
    };
    let extreme = Schema {
        input: vec![
            Field::new("wide", range(f32::MIN, f32::MAX, 1e35)),
            Field::new("fine", range(0.0, 1.0, 1.0 / 4_294_967_000.0)),
            Field::new("single", range(0.0, 1.0, 2.0)),
        ],
        kinds: vec![],
        ..every.clone()
    };
    let arena = <arena::Arena as game::Game>::schema();
    [("arena", arena), ("every", every), ("extreme", extreme)]
        .map(|(name, schema)| (name.to_owned(), schema.to_bytes()))
        .into()
}
