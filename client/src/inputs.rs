//! Inputs on their way to the server: each is repeated until the server has used it.

use std::collections::VecDeque;

use game::{Input, InputPacket, Seen};
use protocol::schema::Schema;
use protocol::tick::Tick;
use protocol::wire::INPUTS_REPEATED_MAX;

/// The newest inputs, for consecutive ticks, that the server has not used yet.
#[derive(Debug, Default)]
pub(crate) struct PendingInputs {
    newest: Tick,
    inputs: VecDeque<Input>,
    payload: Vec<u8>,
}

impl PendingInputs {
    /// Adds the input of a tick. A gap in the ticks forgets what was before it: the server has passed there.
    pub(crate) fn push(&mut self, tick: Tick, input: &Input) {
        if tick != self.newest.next() {
            self.inputs.clear();
        }
        if self.inputs.len() == INPUTS_REPEATED_MAX {
            self.inputs.pop_front();
        }
        self.inputs.push_back(input.clone());
        self.newest = tick;
    }

    /// The server has used the input of this tick; older ones come too late for it.
    pub(crate) fn used(&mut self, tick: Tick) {
        let unused = self.newest.since(tick).max(0) as usize;
        while self.inputs.len() > unused {
            self.inputs.pop_front();
        }
    }

    /// The payload that carries them.
    pub(crate) fn payload(&mut self, schema: &Schema, seen: Seen) -> &[u8] {
        InputPacket::encode(schema, self.newest, seen, self.inputs.iter(), &mut self.payload);
        &self.payload
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use game::schema::{SchemaBuilder, unsigned};

    use super::*;

    fn carried(pending: &mut PendingInputs, schema: &Schema) -> Vec<(u32, u32)> {
        let bytes = pending.payload(schema, Seen::default()).to_vec();
        let packet = InputPacket::decode(schema, &bytes).expect("own bytes");
        packet.iter().map(|(tick, raw)| (tick.0, raw[0])).collect()
    }

    #[test]
    fn an_input_is_repeated_until_it_is_used_and_twelve_times_at_most() {
        let schema = Arc::new(SchemaBuilder::new("test", 1).input([unsigned("n", 8)]).build());
        let mut pending = PendingInputs::default();
        for tick in 10..30 {
            let mut input = Input::neutral(Arc::clone(&schema));
            input.set_int(0, i64::from(tick));
            pending.push(Tick(tick), &input);
        }
        assert_eq!(carried(&mut pending, &schema), (18..30).map(|tick| (tick, tick)).collect::<Vec<_>>());
        pending.used(Tick(27));
        assert_eq!(carried(&mut pending, &schema), [(28, 28), (29, 29)]);
        pending.used(Tick(5));
        assert_eq!(carried(&mut pending, &schema).len(), 2);
        pending.push(Tick(40), &Input::neutral(Arc::clone(&schema)));
        assert_eq!(carried(&mut pending, &schema), [(40, 0)]);
    }
}
