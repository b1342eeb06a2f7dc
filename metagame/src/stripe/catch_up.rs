//! Reads Stripe's own list of events, for those that no webhook told of: refunds and disputes above all, of which nobody asks once an
//! order is paid.
//!
//! The list goes from the newest to the oldest, by pages. A pass reads one stretch of time, from where the pass before began until now; of
//! a long one every look reads a part, and notes where it is, so that any instance goes on. As events are kept once by their id, and what they say
//! adds up in any order, it does not matter that a pass comes upon events that webhooks told of, or that come twice.

use service::Shutdown;

use super::{Stripe, StripeError};
use crate::core::payment::{Parsed, read};
use crate::metrics;
use crate::store::economy::{Heard, Stretch};
use crate::store::{Store, StoreError};

/// Pages of one look: with 50 events each, more than a shop has in ten minutes.
const PAGES_MAX: usize = 20;
/// How far a pass reaches back before the one before it, in seconds: an event may be listed a little later than its time.
const OVERLAP_S: u64 = 10 * 60;
/// How far the first pass reaches back, in seconds: as far as Stripe keeps the list.
const FIRST_S: u64 = 29 * 24 * 60 * 60;

/// Why a look ended before it had read everything.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("Stripe: {0}")]
    Stripe(#[from] StripeError),
    #[error("the database: {0}")]
    Store(#[from] StoreError),
}

/// Looks until shutdown; of several instances one at a time.
pub(crate) async fn run(stripe: Stripe, store: Store, shutdown: Shutdown) {
    loop {
        match look(&stripe, &store).await {
            Ok(0) => {}
            Ok(missed) => tracing::warn!(missed, "events that no webhook told of: look at the endpoint at Stripe"),
            Err(error) => tracing::warn!(%error, "cannot read the list of Stripe's events; going on there later"),
        }
        let every = stripe.settings().list_every;
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(every / 4) => {}
        }
    }
}

/// One look, if it is time. Returns how many events were news.
async fn look(stripe: &Stripe, store: &Store) -> Result<u64, Fault> {
    let now_ms = service::clock::unix_ms();
    let every_ms = u64::try_from(stripe.settings().list_every.as_millis()).unwrap_or(u64::MAX);
    let Some(mut stretch) = store.begin_stretch(now_ms, every_ms, FIRST_S).await? else { return Ok(0) };
    let mut missed = 0;
    for _ in 0..PAGES_MAX {
        let page = match stripe.events(stretch.since_s, stretch.until_s, stretch.after.as_deref()).await {
            Err(StripeError::Failed { status: 400 | 404, .. }) if stretch.after.is_some() => {
                // The event that was read last is not kept any more: from the newest on again.
                store.move_stretch(&stretch, &Stretch::over(stretch.since_s)).await?;
                return Ok(missed);
            }
            page => page?,
        };
        for event in &page.events {
            missed += u64::from(hear(stripe, store, event).await?);
        }
        let next = match page.events.last().and_then(|event| event["id"].as_str()) {
            Some(id) if page.has_more => stretch.clone().read_until(id),
            _ => Stretch::over(stretch.until_s.saturating_sub(OVERLAP_S)),
        };
        let is_over = next.after.is_none();
        if !store.move_stretch(&stretch, &next).await? || is_over {
            return Ok(missed);
        }
        stretch = next;
    }
    Ok(missed)
}

/// Whether it was news.
async fn hear(stripe: &Stripe, store: &Store, event: &serde_json::Value) -> Result<bool, StoreError> {
    let event = match read(event) {
        Ok(Parsed::Event(event)) if event.is_live == stripe.settings().is_live => event,
        Ok(Parsed::Event(_) | Parsed::Other { .. }) => return Ok(false),
        Err(fault) => {
            // The next one may be good, and this one will not become so.
            metrics::payment_event("unreadable");
            tracing::error!(%fault, event = event["id"].as_str(), "an event in Stripe's list cannot be read");
            return Ok(false);
        }
    };
    let (id, kind) = (event.id.clone(), event.kind.clone());
    let heard = store.hear_payment(event, service::clock::unix_ms()).await?;
    let is_news = matches!(heard, Heard::Done(_));
    if is_news {
        metrics::payment_event("missed");
        tracing::warn!(event = id, kind, ?heard, "no webhook told of this event");
    }
    Ok(is_news)
}
