//! A player's orders, as operators see them: what was paid at the provider, and what stands in the books because of it.

use serde::Serialize;
use uuid::Uuid;

use crate::store::economy::Order;

/// An order, the provider's names of it included: there an operator finds the rest.
#[derive(Debug, Serialize)]
pub(super) struct OrderBody {
    order_id: Uuid,
    offer: String,
    quantity: u64,
    /// ISO 4217, in small letters.
    money: String,
    /// What it costs, in minor units.
    amount: u64,
    /// As players are told.
    state: &'static str,
    /// Minor units: what was paid, what of it is gone again, and what a bank holds.
    paid: u64,
    taken: u64,
    held: u64,
    /// Items that should have been taken back, and were used up or given away.
    items_owed: u64,
    /// Entries of the ledger because of it.
    entries: u64,
    /// The provider's session and payment.
    session: Option<String>,
    payment: Option<String>,
    made_at_ms: u64,
    expires_at_ms: u64,
    /// How often the provider was asked about it.
    looks: u64,
}

impl From<Order> for OrderBody {
    fn from(order: Order) -> Self {
        let due = order.facts.due(&order.price);
        Self {
            order_id: order.order_id,
            state: due.state.name(),
            paid: due.total,
            taken: due.taken,
            held: due.held,
            items_owed: order.position.goods.iter().map(|part| part.owed).sum(),
            offer: order.offer,
            quantity: order.quantity,
            money: order.price.money,
            amount: order.price.amount,
            entries: order.entries,
            session: order.session,
            payment: order.intent,
            made_at_ms: order.made_at_ms,
            expires_at_ms: order.expires_at_ms,
            looks: order.looks,
        }
    }
}
