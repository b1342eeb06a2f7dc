//! Asks Stripe about orders of which nothing was heard: a webhook can be lost, or its endpoint wrong for days.

use service::Shutdown;

use super::{Stripe, StripeError};
use crate::core::payment::{News, session_news};
use crate::store::economy::Order;
use crate::store::{Store, StoreError};

/// Most orders of one look.
const ORDERS_MAX: u32 = 20;
/// First pause between two questions about an order; it doubles.
const PAUSE_MS: u64 = 3 * 60 * 1_000;
/// Longest pause: money by bank transfer is on its way for days.
const PAUSE_MS_MAX: u64 = 60 * 60 * 1_000;

/// Looks until shutdown.
pub(crate) async fn run(stripe: Stripe, store: Store, shutdown: Shutdown) {
    loop {
        if let Err(error) = look(&stripe, &store).await {
            tracing::warn!(%error, "cannot look for orders that wait for news; trying again");
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(stripe.settings().look_every) => {}
        }
    }
}

async fn look(stripe: &Stripe, store: &Store) -> Result<(), StoreError> {
    let now_ms = service::clock::unix_ms();
    for order in store.orders_to_look_at(now_ms, ORDERS_MAX).await? {
        if !store.look_at_order(&order, now_ms + pause_ms(order.looks)).await? {
            continue;
        }
        match news_of(stripe, &order, now_ms).await {
            Ok((intent, Some(news))) => {
                let heard = store.hear_of_order(order.order_id, intent, news, now_ms).await?;
                tracing::info!(order = %order.order_id, ?heard, "asked Stripe about an order of which nothing was heard");
            }
            Ok((_, None)) => {}
            Err(error) => tracing::warn!(order = %order.order_id, %error, "cannot ask Stripe about an order"),
        }
    }
    Ok(())
}

fn pause_ms(looks: u64) -> u64 {
    PAUSE_MS.saturating_mul(1 << looks.min(16)).min(PAUSE_MS_MAX)
}

async fn news_of(stripe: &Stripe, order: &Order, now_ms: u64) -> Result<(Option<String>, Option<News>), StripeError> {
    let Some(session) = &order.session else {
        // Nobody was told where to pay, so nobody can.
        let is_over = now_ms >= order.expires_at_ms;
        return Ok((None, is_over.then_some(News::Closed)));
    };
    let session = stripe.session(session).await?;
    let (named, intent, news) = session_news(&session).map_err(|_| StripeError::Strange)?;
    if named != Some(order.order_id) {
        return Err(StripeError::Strange);
    }
    Ok((intent, news))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        assert_eq!(
            (pause_ms(0), pause_ms(1), pause_ms(5), pause_ms(u64::MAX)),
            (180_000, 360_000, 3_600_000, 3_600_000)
        );
    }
}
